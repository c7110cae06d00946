#!/usr/bin/env bash
#
# Sockeye and other implementations talk to each other with permessage-deflate; README.md beside
# this says what is checked.
#
#   tests/interop/run.sh
#
# The other implementations are installed under target/interop, once.
#
# Exit status: 0 all as expected; 1 a difference; 2 something needed is missing.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

websockets=websockets==17.4
aiohttp=aiohttp==3.14.5
ws=ws@8.23.0

missing() {
    echo "interop: not run: $*" >&2
    exit 2
}

for program in python3 node npm; do
    command -v "$program" >/dev/null || missing "there is no $program"
done
[ "$(uname)" = Linux ] || missing "the bytes are counted by Linux's TCP_INFO"

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/interop"
work=$(cd "$target/interop" && pwd)
peers=tests/interop/peers
python=$work/venv/bin/python
interop=$target/release/examples/interop
export NODE_MODULES_BESIDE=$work/package.json
export PYTHONDONTWRITEBYTECODE=1

step() { # COMMAND...
    "$@" >>"$work/install.log" 2>&1 || missing "$1 failed, see $work/install.log"
}

install() {
    rm -rf "$work/venv" "$work/node_modules" "$work/installed" "$work/install.log"
    step python3 -m venv "$work/venv"
    step "$python" -m pip install "$websockets" "$aiohttp"
    echo '{"private": true}' >"$work/package.json"
    step npm install --no-audit --no-fund --prefix "$work" "$ws"
    echo "$websockets $aiohttp $ws" >"$work/installed"
}

if [ "$(cat "$work/installed" 2>/dev/null)" != "$websockets $aiohttp $ws" ]; then
    install
fi
cargo build --quiet --release --features deflate --example interop

# ---- what is asked and what is to be agreed on ------------------------------------------------

pairs=("websockets sockeye" "sockeye websockets" "aiohttp sockeye" "sockeye aiohttp"
    "ws sockeye" "sockeye ws") # each CLIENT SERVER

# Parameters in the order of the alphabet.
sets=(
    none deflate
    server_no_context_takeover client_no_context_takeover
    client_no_context_takeover,server_no_context_takeover
    server_max_window_bits={9..15} client_max_window_bits={9..15}
    client_max_window_bits=9,server_max_window_bits=9
    client_max_window_bits=9,client_no_context_takeover
    server_max_window_bits=9,server_no_context_takeover
    client_max_window_bits=12,client_no_context_takeover,server_max_window_bits=10,server_no_context_takeover
    # zlib can't compress at 8 bits.
    server_max_window_bits=8 client_max_window_bits=8
)
rows=("${sets[@]/#/client:}" "${sets[@]/#/server:}")

can() { # CLIENT SERVER ROW: whether the one who is to ask can ask for that, and the other answer
    case $1/$2/$3 in
        # The same as when the client asks.
        */server:deflate) false ;;
        websockets/sockeye/client:server_max_window_bits=8) ;;
        ws/sockeye/client:server_max_window_bits=8) ;;
        sockeye/websockets/server:client_max_window_bits=8) ;;
        sockeye/ws/server:client_max_window_bits=8) ;;
        *=8) false ;;
        # aiohttp's client can ask for a window of the server alone, its server for nothing.
        aiohttp/*/client:*,*) false ;;
        aiohttp/*/client:none | aiohttp/*/client:deflate) ;;
        aiohttp/*/client:server_max_window_bits=*) ;;
        aiohttp/*/client:* | */aiohttp/server:?[!o]*) false ;;
    esac
}

expected() { # SERVER ROW: the set to be agreed on
    local param agreed=""
    case $1/$2 in
        # Sockeye declines what it can't do.
        sockeye/client:server_max_window_bits=8) echo none ;;
        *)
            for param in $(tr , ' ' <<<"${2#*:}"); do
                case $1/$2/$param in
                    # What holds without the parameter, too.
                    */deflate | *=15) ;;
                    # What the client says of itself binds nobody; aiohttp leaves it out.
                    aiohttp/client:*/client_*) ;;
                    *) agreed=$agreed,$param ;;
                esac
            done
            agreed=${agreed#,}
            echo "${agreed:-deflate}"
            ;;
    esac
}

# ---- a run ------------------------------------------------------------------------------------

failed=0
fail() {
    echo "interop: $*"
    failed=1
}

server=
# shellcheck disable=SC2329 # called by the trap
clean_up() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
}
trap clean_up EXIT

command_of() { # NAME client|server
    case $1-$2 in
        sockeye-client) echo "$interop connect" ;;
        sockeye-server) echo "$interop serve" ;;
        ws-*) echo "node $peers/ws_$2.mjs" ;;
        *) echo "$python $peers/$1_$2.py" ;;
    esac
}

is_compressed() { # PERCENT
    [ "$1" -lt 80 ]
}

declare -A cells # what the table says, by CLIENT SERVER ROW

check() { # CLIENT SERVER ROW AGREED UP DOWN: the row as the client told it
    local wanted up=is_compressed down=is_compressed mark=""
    wanted=$(expected "$2" "$3")
    [ "$4" = "$wanted" ] || fail "$1 $2 $3: agreed on $4, not on $wanted"
    [ "$wanted" != none ] || { up="! $up" && down="! $down"; }
    # Sockeye's client sends without compression.
    [ "$wanted" != client_max_window_bits=8 ] || up="! $up"
    eval "$up $5" || fail "$1 $2 $3: the client sent $5% of its messages' bytes"
    eval "$down $6" || fail "$1 $2 $3: the server sent $6% of its messages' bytes"
    [ "$wanted" = "${3#*:}" ] || mark='*'
    cells[$1 $2 $3]=$5/$6$mark
}

converse() { # CLIENT SERVER
    local log=$work/$1-$2 output address command row asked=() paths rest
    for row in "${rows[@]}"; do
        ! can "$1" "$2" "$row" || asked+=("$row")
    done
    # A path for each set that the server asks for; `deflate` for the others.
    mapfile -t paths < <(printf '%s\n' deflate "${asked[@]}" | sed -n 's/^server://p; /^deflate$/p')

    # Each runs under `timeout`, which passes SIGTERM on, with --foreground only once: a second one
    # would end a server that is about to end well.
    read -ra command <<<"$(command_of "$2" server)"
    exec {output}< <(exec timeout --foreground 80 "${command[@]}" "${paths[@]}" </dev/null 2>&1)
    server=$!
    read -rt 20 -u "$output" address || true
    if [[ $address != "listening on "* ]]; then
        fail "the server $2 doesn't listen: $address $(timeout 1 cat <&"$output")"
        kill "$server" 2>/dev/null || true
        return
    fi
    cat <&"$output" >"$log.server" &
    read -ra command <<<"$(command_of "$1" client)"
    timeout 75 "${command[@]}" "ws://${address#listening on }" "${asked[@]}" \
        </dev/null >"$log.client" 2>&1 || fail "the client $1 at the server $2 failed: $log.client"
    kill "$server" 2>/dev/null || true
    wait "$server" || fail "the server $2 of the client $1 ended with $?: $log.server"
    server=
    wait # for its output
    exec {output}<&-

    for row in "${asked[@]}"; do
        rest=$(sed -n "s/^$row //p" "$log.client")
        case $rest in
            "" | FAILED*) fail "$1 $2 $row: ${rest:-no result}" ;;
            # shellcheck disable=SC2086
            *) check "$1" "$2" "$row" $rest ;;
        esac
    done
    # How each connection ended for the server. Whoever asked for the set has closed it.
    printf '%s\n' "${asked[@]}" |
        sed 's/^client:.*/deflate client 3001 done/; s/^server:\(.*\)/\1 server clean/' |
        sort >"$log.expected"
    sort "$log.server" | diff "$log.expected" - ||
        fail "the server $2 saw other ends (right) than those expected (left)"
}

short() { # ROW
    sed 's/client_/c_/g; s/server_/s_/g; s/no_context_takeover/no_takeover/g; s/max_window_bits/bits/g
        s/:/ /' <<<"$1"
}

table() {
    local row pair line
    printf '%-54s' client
    printf '  %-10s' "${pairs[@]% *}"
    printf '\n%-54s' server
    printf '  %-10s' "${pairs[@]#* }"
    printf '\n%s\n' "asks for"
    for row in "${rows[@]}"; do
        line=""
        for pair in "${pairs[@]}"; do
            line+=$(printf '  %-10s' "${cells[$pair $row]:--}")
        done
        [[ $line != *[0-9]* ]] || printf '%-54s%s\n' "$(short "$row")" "$line"
    done
}

began=$SECONDS
for pair in "${pairs[@]}"; do
    converse "${pair% *}" "${pair#* }"
done
table
echo "${#cells[@]} conversations in $((SECONDS - began)) s. Each in % of the messages' bytes: what the"
echo "client sent / what the server sent. * less was agreed on than asked for, as it should be."
exit "$failed"
