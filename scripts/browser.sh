#!/bin/bash
# Installs what drives Chromium in test/browser, exactly as its lock file says, into a
# cache outside the tree, and prints the folder. Says nothing else when it is there.
set -eu
here=$(cd "$(dirname "$0")/../test/browser" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/doppelboden-browser/$(sha256sum "$here/package-lock.json" | cut -c1-16)
if [ ! -e "$cache/done" ]; then
    mkdir -p "$cache"
    cp "$here/package.json" "$here/package-lock.json" "$cache/"
    log=$(cd "$cache" && npm ci --ignore-scripts --no-audit --no-fund 2>&1) || { echo "$log" >&2; echo "browser.sh: npm ci failed" >&2; exit 1; }
    touch "$cache/done"
fi
echo "$cache"
