#!/bin/sh
# Fuzzes each target for a bounded time: fuzz/run.sh [seconds-per-target] [target...]
#
# One line for each target; the exit status is not zero if one has a finding. New inputs go to
# fuzz/corpus/<target>, which isn't committed; each run starts from it and from fuzz/seeds/<target>.
#
# To reproduce a finding, give the file that was printed back to its target, from fuzz/:
#   cargo +nightly fuzz run <target> artifacts/<target>/crash-...
# and to make it smaller first:
#   cargo +nightly fuzz tmin <target> artifacts/<target>/crash-...
# When it is fixed, keep the input as a test of the core, and as a seed in examples/seeds.rs.
set -u
cd "$(dirname "$0")" || exit 1
seconds=${1:-60}
[ $# -gt 0 ] && shift

# The tool's own message if rustup is not there either.
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: skipped: no nightly toolchain (rustup toolchain install nightly)"
    exit 0
fi
# Where cargo-fuzz isn't installed, it comes into the target directory.
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
PATH=$PATH:$tools/bin
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked --root "$tools" || { echo "fuzz: cargo-fuzz can't be installed"; exit 1; }
fi
[ $# -gt 0 ] || set -- $(cargo +nightly fuzz list)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
for target in "$@"; do
    mkdir -p "corpus/$target"
    case $target in
        *head | *body | handshake_* | extensions | deflate_negotiation) dictionary=-dict=http.dict ;;
        *) dictionary= ;;
    esac
    # Large inputs find nothing that smaller ones don't, and are slow; a single run takes far
    # less than the time-out.
    cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" -- $dictionary \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 >"$log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    if [ $status -eq 0 ]; then
        echo "$target: no finding in ${seconds} s, ${runs:-0} runs, ${cover:-0} edges"
    else
        failed=1
        finding=$(sed -n 's/.*Test unit written to //p' "$log" | head -n 1)
        echo "$target: FAILED${finding:+, see $finding}"
        grep -A 4 -e 'panicked at' -e '^ *error' -e 'ERROR: ' "$log" | head -n 20
    fi
done
exit $failed
