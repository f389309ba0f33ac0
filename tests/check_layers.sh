#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Who may include whom (docs/architecture.md). The compiler finds most of it, since each folder is built with its own -I only.
. "${srcdir:-.}/tests/tap.sh"

HTTPD='["<](httpd|http_[a-z]+|ap_[a-z_]+|apr|apr_[a-z_]+|apu|util_[a-z]+|mpm_common|unixd|scoreboard|mod_[a-z]+)\.h[">]'

includes() { # PATTERN FILES...: lines of FILES with an include that matches PATTERN
    pattern=$1
    shift
    grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*$pattern" /dev/null "$@"
}

ours=$(find include src mod_pydaemon.c -name '*.[ch]' | sort)
not_httpd=$(echo "$ours" | grep -vE '^(src/httpd/|mod_pydaemon\.c)')
not_python=$(echo "$ours" | grep -v '^src/python/')
pure=$(echo "$ours" | grep -E '^src/(wire|spec)/')
library=$(echo "$ours" | grep -E '^src/(base|wire|spec|board)/' | grep -v '^src/base/pyd_log\.c')

verdict 'no folder in a quoted include' "$(includes '"[^"]*/' $ours)"
verdict 'httpd and APR in src/httpd only' "$(includes "$HTTPD" $not_httpd)"
verdict 'Python.h in src/python only' "$(includes '["<]Python\.h' $not_python)"
verdict 'wire and spec do no I/O' \
    "$(includes '<(unistd|fcntl|poll|pthread|sys/(socket|epoll|stat|mman|uio|wait|ioctl)|linux/.*)\.h>' $pure)"
verdict 'base, wire, spec and board do not log' "$(grep -nE '\bpyd_log(_set)?\(' /dev/null $library)"
verdict 'base, wire, spec and board do not end the process' "$(grep -nE '\b(_exit|exit|abort)\(' /dev/null $library)"

# The file's and the address space's locks are the worker's, too, for as long as it likes.
verdict 'the manager waits for no lock that a worker can hold' \
    "$(grep -nE '\b(fallocate|ftruncate|pyd_area_(open|write))\(|smaps|/(environ|cmdline|maps)"' /dev/null \
        src/manager/*.c)"

foreign=$(for file in $ours; do
    folder=$(dirname "$file")
    for header in $(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"\/]*)".*/\1/p' "$file"); do
        case $file in
            src/python/*) allowed="$folder src/worker include" ;;
            mod_pydaemon.c) allowed="src/httpd include" ;;
            *) allowed="$folder include" ;;
        esac
        found=
        for place in $allowed; do
            [ -f "$place/$header" ] || [ -f "$place/$header.in" ] && found=yes
        done
        [ -n "$found" ] || echo "$file: \"$header\" is not in: $allowed"
    done
done)
verdict 'quoted includes are of the own folder or include/' "$foreign"

for header in include/*.h; do
    verdict "$header compiles alone" \
        "$(echo "#include \"${header#include/}\"" | ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Iinclude -Wall -Wextra -Werror \
            -fsyntax-only -x c - 2>&1)"
done
finish
