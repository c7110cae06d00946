#!/usr/bin/env bash
#
# The configurations of the guide's chapter about proxies, in the real nginx and HAProxy. Installs them
# by apt-get where it may; without them it says so and passes.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

install() { apt-get install -qq -y nginx-light haproxy >/dev/null 2>&1; }
missing() { ! command -v nginx >/dev/null || ! command -v haproxy >/dev/null; }
if missing && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install || { apt-get update -qq >/dev/null 2>&1 && install; } || true
fi
if missing; then
    echo "proxies: SKIPPED, nginx and HAProxy are not both installed"
    exit 0
fi
exec cargo test --quiet --all-features -p sockeye-tests --test tls -- --ignored proxies::
