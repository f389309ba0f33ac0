# SPDX-License-Identifier: Apache-2.0
# Sourced by the rule scripts: TAP from lists of findings.
#   srcdir  the top of the source tree
tap_number=0
tap_failed=0
srcdir=${srcdir:-.}
cd "$srcdir" || exit 1

# verdict NAME FINDINGS: one test, which passes if there is nothing in FINDINGS
verdict() {
    tap_number=$((tap_number + 1))
    if [ -z "$2" ]; then
        echo "ok $tap_number - $1"
    else
        tap_failed=1
        echo "not ok $tap_number - $1"
        echo "$2" | sed 's/^/# /'
    fi
}

finish() {
    echo "1..$tap_number"
    exit $tap_failed
}
