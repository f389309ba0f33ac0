#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual of the options is what the option table says.
. "${srcdir:-.}/tests/tap.sh"

program=${builddir:-.}/src/cli/pyd_print_options
verdict 'docs/options.md is what the table says (make update-options)' "$("$program" | diff docs/options.md - 2>&1)"
verdict 'each directive has its place in docs/directives.md' "$(
    grep -ohE 'AP_INIT_[A-Z0-9_]+\("PyDaemon[A-Za-z]+"' src/httpd/*.c | sed 's/.*("//; s/"//' | while read -r directive; do
        grep -qx "## $directive" docs/directives.md || echo "$directive"
    done)"
verdict 'each directive of docs/directives.md exists' "$(
    sed -n 's/^## \(PyDaemon.*\)/\1/p' docs/directives.md | while read -r directive; do
        grep -qF "(\"$directive\"" src/httpd/*.c || echo "$directive"
    done)"
finish
