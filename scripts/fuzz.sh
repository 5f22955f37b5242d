#!/bin/bash
# Runs every fuzz target for a while, one after the other, and stops at the first that
# finds something. Usage: fuzz.sh 20s
set -eu
cd "$(dirname "$0")/.."
time=${1:-20s}

found=0
for dir in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | xargs -n1 dirname | sort -u); do
    for target in $(grep -h '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do
        found=$((found + 1))
        echo "== $dir $target for $time"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$dir"
    done
done
[ "$found" -gt 0 ] || { echo "fuzz: no target found" >&2; exit 1; }
echo "fuzz: $found targets found nothing"
