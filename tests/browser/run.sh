#!/usr/bin/env bash
#
# Opens the examples' pages in Chromium and checks what people see; pictures of them are left in
# target/browser/. Checks the browser client there, too, its size when minified, and its types. Installs
# what it needs: Debian's chromium by apt-get where it may, and below target/ playwright-core, which
# drives it, a minifier and TypeScript. Without Chromium or Node it says so and passes.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# None has dependencies but esbuild, which is a program for each platform.
tools=(playwright-core@1.65.1 esbuild@0.28.2 typescript@5.9.3)
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
if [ "$(cat "$home/tools" 2>/dev/null)" != "${tools[*]}" ]; then
    npm install --silent --no-save --no-fund --no-audit --prefix "$home" "${tools[@]}"
    echo "${tools[*]}" >"$home/tools"
fi

# As the tests build them.
cargo build --quiet --all-features --example chat --example feed --example auth --example monitor --example demo --example browser_peer
export CHROMIUM NODE_PATH="$PWD/$home/node_modules"
CHROMIUM=$(command -v chromium)
tests=(tests/browser/client.js tests/browser/pages.js)
[ $# = 0 ] || tests=("$@")
exec node --test --test-timeout=240000 --test-reporter=spec "${tests[@]}"
