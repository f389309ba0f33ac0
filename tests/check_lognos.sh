#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Message numbers: unique, in their folder's range, explained in docs/messages.md; and nothing urgent without one.
. "${srcdir:-.}/tests/tap.sh"

sources=$(find src mod_pydaemon.c -name '*.[ch]' | sort)
uses=$(grep -noE 'PYD_LOGNO\([0-9]+\)' /dev/null $sources | sed -E 's/PYD_LOGNO\(([0-9]+)\)/\1/') # FILE:LINE:NUMBER
entries=$(sed -nE 's/^## PYD([0-9]+).*/\1/p' docs/messages.md)

in_range() { # FILE NUMBER
    number=$(echo "$2" | sed 's/^0*//')
    case $1 in
        src/httpd/*|mod_pydaemon.c) [ "$number" -ge 1 ] && [ "$number" -le 599 ] ;;
        src/manager/*) [ "$number" -ge 600 ] && [ "$number" -le 799 ] ;;
        src/worker/*) [ "$number" -ge 800 ] && [ "$number" -le 999 ] ;;
        src/python/*) [ "$number" -ge 1000 ] && [ "$number" -le 1199 ] ;;
        *) false ;;
    esac
}

verdict 'numbers have four digits' "$(echo "$uses" | grep -vE '^$|:[0-9]{4}$')"
verdict 'no number is used twice' "$(for number in $(echo "$uses" | sed 's/.*://' | sort | uniq -d); do
    echo "$uses" | grep ":$number\$"
done)"
verdict "numbers are in their folder's range" "$(echo "$uses" | while IFS=: read -r file line number; do
    [ -z "$number" ] || in_range "$file" "$number" || echo "$file:$line: $number"
done)"
verdict 'each number has an entry in docs/messages.md' "$(echo "$uses" | while IFS=: read -r file line number; do
    [ -z "$number" ] || echo "$entries" | grep -qx "$number" || echo "$file:$line: PYD$number"
done)"
verdict 'each entry in docs/messages.md is used' "$(for number in $entries; do
    echo "$uses" | grep -q ":$number\$" || echo "PYD$number"
done)"
verdict 'entries are in order, none twice' "$(echo "$entries" | sort -cu 2>&1)"
verdict 'messages from warning up have a number' "$(perl -0777 -ne '
    while (/\b(pyd_log|ap_log_(?:r|c|p|cs)?error)\s*\(((?:[^"()]|\((?:[^()])*\))*?)("|PYD_LOGNO)/g) {
        my ($call, $arguments, $next, $at) = ($1, $2, $3, pos);
        next if $arguments =~ /;/ || $next eq "PYD_LOGNO" || $arguments =~ /PYD_LOGNO/;
        next unless $arguments =~ /\b(?:PYD_LOG|APLOG)_(?:EMERG|ALERT|CRIT|ERR|WARNING)\b/;
        my $line = 1 + (substr($_, 0, $at) =~ tr/\n//);
        print "$ARGV:$line: $call\n";
    }' $sources)"
finish
