#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything that is in the tree is built, run and distributed: it is listed in Makefile.am.
. "${srcdir:-.}/tests/tap.sh"

listed() { # FILES...: those that Makefile.am does not name
    for file in "$@"; do
        grep -qE "(^|[[:space:]])$(echo "$file" | sed 's/\./\\./g')([[:space:]]|\$)" Makefile.am || echo "$file"
    done
}

verdict 'sources and headers' "$(listed include/*.h src/*/*.[ch])"
verdict 'unit tests' "$(listed $(ls tests/unit/test_*.c | sed 's/\.c$//'))"
verdict 'fuzz targets' "$(listed $(ls tests/fuzz/fuzz_*.c | sed 's/\.c$//; p; s,fuzz/fuzz_,fuzz/replay_,'))"
verdict 'corpora' "$(for file in tests/fuzz/fuzz_*.c; do
    name=$(basename "$file" .c)
    [ -n "$(ls tests/fuzz/corpus/"${name#fuzz_}" 2>&1)" ] && [ -d tests/fuzz/corpus/"${name#fuzz_}" ] || echo "$file has none"
done)"
verdict 'rule scripts' "$(listed tests/check_*.sh)"
verdict 'manual' "$(listed docs/*.md)"
finish
