#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The budgets of docs/code-rules.md: functions, files, headers, lines; and what each file begins with.
. "${srcdir:-.}/tests/tap.sh"

CTAGS=${CTAGS:-ctags}
ours=$(find include src mod_pydaemon.c -name '*.[ch]' | sort)
tests=$(find tests -name '*.[ch]' | sort)

longer_than() { # LIMIT FILES...
    limit=$1
    shift
    [ $# -eq 0 ] || wc -l "$@" | awk -v limit="$limit" '$2 != "total" && $1 > limit { print $2 ": " $1 " lines" }'
}

functions() { # FILES...: "LENGTH FILE:LINE NAME" of each function
    "$CTAGS" -o - --sort=no --languages=C,C++ --langmap=C:.c.h --kinds-C=f --fields=ne "$@" |
        awk -F '\t' '{
            for (i = 4; i <= NF; i++) {
                if ($i ~ /^line:/) line = substr($i, 6)
                if ($i ~ /^end:/) print substr($i, 5) - line + 1, $2 ":" line, $1
            }
        }'
}

all=$(functions $ours)
verdict 'ctags sees functions' "$([ "$(echo "$all" | wc -l)" -gt 1 ] || echo 'none found: is it universal-ctags?')"
verdict 'functions have at most 80 lines' "$(echo "$all" | awk '$1 > 80')"
verdict 'functions of tests have at most 80 lines' "$(functions $tests | awk '$1 > 80')"
verdict 'at most 5% of the functions have more than 60 lines' \
    "$(echo "$all" | awk '$1 > 60 { long++; list = list "\n" $0 } END { if (long > NR * 0.05) print long " of " NR list }')"
verdict '.c files have at most 800 lines' "$(longer_than 800 $(echo "$ours $tests" | tr ' ' '\n' | grep '\.c$'))"
verdict 'headers have at most 200 lines' "$(longer_than 200 $(echo "$ours $tests" | tr ' ' '\n' | grep '\.h$'))"
verdict 'lines have at most 120 characters' \
    "$(awk 'length($0) > 120 { print FILENAME ":" FNR ": " length($0) }' $ours $tests)"
verdict 'no tabs, no blanks at the end of a line' "$(grep -nE "$(printf '\t')|[[:space:]]\$" /dev/null $ours $tests)"
verdict 'the first line is the licence' \
    "$(for file in $ours $tests; do head -n 1 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"; done)"
verdict 'nothing is left to do' "$(grep -nE '\b(TODO|FIXME|XXX)\b' /dev/null $ours $tests)"
verdict 'no sleeping in unit tests' "$(grep -nE '\b(u|nano)?sleep\(' /dev/null $tests)"
finish
