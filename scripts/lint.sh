#!/bin/bash
# What must hold before anything else: format, vet, and the direction of imports.
set -eu
cd "$(dirname "$0")/.."

unformatted=$(git ls-files '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
    echo "lint: not formatted (run gofmt -w):" >&2
    echo "$unformatted" >&2
    exit 1
fi
go vet ./...
go test -count=1 ./test/house
