#!/usr/bin/env bash
#
# Opens the examples' pages in Chromium and checks what people see; pictures of them are left in
# target/browser/. Installs what it needs: Debian's chromium by apt-get where it may, and
# playwright-core, which drives it, below target/. Without Chromium or Node it says so and passes.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# It has no dependencies of its own.
driver=playwright-core@1.65.1
home=target/browser

install() { apt-get install -qq -y chromium >/dev/null 2>&1; }
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install || { apt-get update -qq >/dev/null 2>&1 && install; } || true
fi
for program in chromium node npm; do
    if ! command -v "$program" >/dev/null; then
        echo "browser tests: SKIPPED, there is no $program"
        exit 0
    fi
done

mkdir -p "$home"
if [ ! -e "$home/$driver" ]; then
    npm install --silent --no-save --no-fund --no-audit --prefix "$home" "$driver"
    touch "$home/$driver"
fi

# As the tests build them.
cargo build --quiet --all-features --example chat --example feed --example auth --example monitor
export CHROMIUM NODE_PATH="$home/node_modules"
CHROMIUM=$(command -v chromium)
exec node --test --test-timeout=60000 --test-reporter=spec tests/browser/pages.js
