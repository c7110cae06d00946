#!/usr/bin/env bash
#
# Runs the Autobahn WebSocket test suite against Sockeye and compares every
# case with expected.json, which lies beside this script.
#
#   autobahn/run.sh server           the suite's client against examples/echo_server
#   autobahn/run.sh client           examples/autobahn_client against the suite's server
#   autobahn/run.sh all              one after the other
#   autobahn/run.sh --write-expected [server|client|all]
#                                    for developers: replace what expected.json says of
#                                    that role by what a full run gives
#
# Options:
#   --quick           groups 1 to 10 whole, and three small cases of each
#                     subgroup of 12 and 13 (compression): about a minute
#   --cases LIST      only these, e.g. '1.*,6.4.*,7.1.6'; a group's or
#                     subgroup's number alone (7 or 7.1) means all of it
#   --deflate         run our programs with --deflate (the default)
#   --no-deflate      run them without; expected.json is about a run with it
#   --timeout SECONDS limit for one role's run, building not counted
#   --help            print this text
#
# The suite is `wstest` on PATH if that works; else a virtual environment
# this script makes under the target directory with Python 2.7 (on PATH as
# python2.7, or under pyenv); else the suite's Docker image. Python 3 is
# needed in any case. The environment is made once and needs the network;
# runs stay on 127.0.0.1.
#
# Reports: target/autobahn/reports/{server,client}/index.html. The logs of the
# suite (suite.log) and of our program (program.log) lie beside it.
#
# Exit status: 0 every case as expected; 1 a difference, or the run did not
# come to its end; 2 wrong usage, or something needed is missing.

set -euo pipefail

# Whether our programs are run with permessage-deflate when neither --deflate
# nor --no-deflate is given; expected.json says what is expected in this mode.
deflate=yes

agent=Sockeye
suite_version=25.10.1
docker_image=crossbario/autobahn-testsuite:$suite_version
default_timeout=600           # a run without deflate takes well under a minute
default_timeout_deflate=3600  # groups 12 and 13 move several gigabytes

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
expected=$here/expected.json

# ---- small helpers ----------------------------------------------------------

say() { printf '%s\n' "$*"; }
complain() { printf 'autobahn/run.sh: %s\n' "$*" >&2; }
give_up() { complain "$1"; exit "${2:-1}"; }
usage() { sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
short() { printf '%s' "${1#"$root"/}"; } # a path as seen from the repository's root

# Everything started in the background, to be ended whichever way this ends.
step_pid=
suite_pid=
program_pid=
container=
scratch=

alive() { # PID: whether this is a running child of this very shell
    local pid
    for pid in $(jobs -rp); do
        [ "$pid" != "$1" ] || return 0
    done
    return 1
}

end_child() { # PID: ask it to stop, insist after five seconds; 1 if it had to insist
    local pid=$1 i insisted=0
    [ -n "$pid" ] || return 0
    if alive "$pid"; then
        kill -TERM "$pid" 2>/dev/null || true
        for ((i = 0; i < 50; i++)); do
            alive "$pid" || break
            sleep 0.1
        done
        if alive "$pid"; then
            kill -KILL "$pid" 2>/dev/null || true
            insisted=1
        fi
    fi
    wait "$pid" 2>/dev/null || true
    return "$insisted"
}

end_container() {
    [ -n "$container" ] || return 0
    docker kill "$container" >/dev/null 2>&1 || true
    container=
}

# shellcheck disable=SC2329 # called by the trap
clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    end_child "$step_pid" || true
    end_child "$suite_pid" || true
    end_child "$program_pid" || true
    end_container
    [ -z "$scratch" ] || rm -rf "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Runs a command in the background and waits for it, so that a signal is
# acted on at once and not when the command is done.
step() {
    local status=0
    "$@" </dev/null &
    step_pid=$!
    wait "$step_pid" || status=$?
    step_pid=
    return "$status"
}

# ---- arguments --------------------------------------------------------------

role=
cases=
write=no
timeout=
while [ $# -gt 0 ]; do
    case $1 in
        server | client | all)
            [ -z "$role" ] || give_up "one role at a time, or all" 2
            role=$1
            ;;
        --quick)
            [ -z "$cases" ] || give_up "--quick and --cases exclude each other" 2
            cases=@quick
            ;;
        --cases)
            [ $# -ge 2 ] && [ -n "$2" ] || give_up "--cases wants a list, e.g. --cases '1.*,2.*'" 2
            [ -z "$cases" ] || give_up "--quick and --cases are given once, and not together" 2
            cases=$2
            shift
            ;;
        --deflate) deflate=yes ;;
        --no-deflate) deflate=no ;;
        --timeout)
            [[ ${2:-} =~ ^[1-9][0-9]{0,5}$ ]] || give_up "--timeout wants a number of seconds" 2
            timeout=$2
            shift
            ;;
        --write-expected) write=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) give_up "what is '$1'? See autobahn/run.sh --help" 2 ;;
    esac
    shift
done
if [ "$write" = yes ]; then
    [ -z "$cases" ] || give_up "--write-expected takes a full run: leave out --quick and --cases" 2
    role=${role:-all}
fi
if [ -z "$role" ]; then
    usage >&2
    exit 2
fi
cases=${cases:-@all}
if [ -z "$timeout" ]; then
    timeout=$default_timeout
    [ "$deflate" = no ] || timeout=$default_timeout_deflate
fi

target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
export CARGO_TARGET_DIR=$target
work=$target/autobahn
mkdir -p "$work"

python3=$(command -v python3 || true)
if [ -z "$python3" ] || ! "$python3" -c 'import sys; sys.exit(sys.version_info < (3, 7))' 2>/dev/null; then
    give_up "this needs python3 (3.7 or later) on PATH" 2
fi
report() { "$python3" "$here/report.py" "$@"; }
if [ "$write" = no ]; then
    report selection --role "$role" --expected "$expected" --cases "$cases" || exit 2
fi

# ---- the suite --------------------------------------------------------------

# The suite's server has no option for the address it listens on, and takes
# all of them. Where its Python is known, it is started through this, which
# does what the wstest script does after narrowing that to 127.0.0.1.
# shellcheck disable=SC2016
launcher='
import sys
from autobahntestsuite import choosereactor
from twisted.internet import reactor
listen = reactor.listenTCP
def listen_locally(port, factory, backlog=50, interface=""):
    return listen(port, factory, backlog, interface or "127.0.0.1")
reactor.listenTCP = listen_locally
from autobahntestsuite import wstest
sys.argv[0] = "wstest"
wstest.run()
'

# How the suite is started: "python" (suite_command and the launcher),
# "script" (suite_command is wstest) or "docker".
suite_kind=
suite_command=

suite_works() { # COMMAND...: whether this is a suite that starts
    "$@" -a 2>/dev/null </dev/null | grep '^AutobahnTestSuite ' >/dev/null
}

suite_on_path() {
    local wstest line python
    wstest=$(command -v wstest) || return 1
    if ! suite_works "$wstest"; then
        complain "passing over $wstest, which does not start"
        return 1
    fi
    if ! "$wstest" -a 2>/dev/null </dev/null | grep "^AutobahnTestSuite $suite_version\$" >/dev/null; then
        complain "note: wstest on PATH is not version $suite_version, which expected.json is about"
    fi
    IFS= read -r line <"$wstest" || true
    line=${line#\#!}
    line=${line#"${line%%[![:space:]]*}"}
    line=${line#/usr/bin/env }
    python=${line%% *}
    if [ -n "$python" ] && suite_works "$python" -c "$launcher"; then
        suite_kind=python
        suite_command=$python
    else
        suite_kind=script
        suite_command=$wstest
    fi
}

find_python27() { # prints the path of a Python 2.7 that starts
    local candidate
    for candidate in python2.7 "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/2.7*/bin/python2.7; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

build_suite() { # PYTHON27 DIRECTORY
    step "$python3" -m venv "$2/tools" &&
        step "$2/tools/bin/python" -m pip install --quiet 'virtualenv<20.22' &&
        step "$2/tools/bin/python" -m virtualenv --quiet --python "$1" "$2/suite" &&
        step "$2/suite/bin/python" -m pip install "autobahntestsuite==$suite_version"
}

suite_in_venv() {
    local venv=$work/suite-$suite_version log=$work/suite-build.log python27
    if ! suite_works "$venv/bin/python" -c "$launcher"; then
        python27=$(find_python27) || return 1
        say "building a virtual environment for the suite with $python27 (once)"
        # Built under another name and renamed when it works, so that one
        # broken off half way is never taken for a good one.
        scratch=$(mktemp -d "$work/building.XXXXXX")
        if ! build_suite "$python27" "$scratch" >"$log" 2>&1 ||
            ! suite_works "$scratch/suite/bin/python" -c "$launcher"; then
            complain "that failed; the end of $(short "$log"):"
            tail -n 5 "$log" >&2
            return 1
        fi
        if ! suite_works "$venv/bin/python" -c "$launcher"; then
            rm -rf "$venv"
            mv "$scratch/suite" "$venv"
        fi
        rm -rf "$scratch"
        scratch=
        suite_works "$venv/bin/python" -c "$launcher" || return 1
    fi
    suite_kind=python
    suite_command=$venv/bin/python
}

suite_in_docker() {
    command -v docker >/dev/null && docker info >/dev/null 2>&1 || return 1
    suite_kind=docker
    suite_command=docker
}

find_suite() {
    suite_on_path || suite_in_venv || suite_in_docker ||
        give_up "install Python 2.7 (as python2.7 on PATH, or under pyenv), or Docker, or the test suite itself (wstest of autobahntestsuite $suite_version)" 2
    case $suite_kind in
        docker) say "suite: Docker image $docker_image" ;;
        *) say "suite: $(short "$suite_command")" ;;
    esac
}

start_suite() { # MODE SPEC LOG [DOCKER-OPTION...]: in the background, as suite_pid
    local mode=$1 spec=$2 log=$3
    shift 3
    local arguments=(-m "$mode" -s "$spec" -u 0) # -u 0: no web pages
    case $suite_kind in
        python)
            PYTHONUNBUFFERED=1 "$suite_command" -c "$launcher" "${arguments[@]}" \
                </dev/null >"$log" 2>&1 &
            ;;
        script)
            PYTHONUNBUFFERED=1 "$suite_command" "${arguments[@]}" </dev/null >"$log" 2>&1 &
            ;;
        docker)
            container=sockeye-autobahn-$$
            docker run --rm --init --name "$container" --user "$(id -u):$(id -g)" \
                --env PYTHONUNBUFFERED=1 --volume "$work:$work" "$@" \
                "$docker_image" wstest "${arguments[@]}" </dev/null >"$log" 2>&1 &
            ;;
    esac
    suite_pid=$!
}

# ---- a run ------------------------------------------------------------------

build_program() { # EXAMPLE
    cd "$root"
    command -v cargo >/dev/null || give_up "cargo is not on PATH" 2
    step cargo build --release --features deflate --example "$1" || give_up "building the example $1 failed"
}

cases_begun() { grep -c '^Running test case ID ' "$1" || true; }

# Waits for the process that leads the run, keeping an eye on its partner and
# on the clock. 0 if the leader ended well and in time.
watch_run() { # LEADER NAME PARTNER NAME SUITE-LOG
    local leader=$1 leader_name=$2 partner=$3 partner_name=$4 log=$5
    local began=$SECONDS reported=$SECONDS partner_lost="" status=0
    while alive "$leader"; do
        if [ -z "$partner_lost" ] && ! alive "$partner"; then
            partner_lost=$SECONDS
        fi
        # Without its partner the leader ends by itself; some seconds for that.
        if [ -n "$partner_lost" ] && ((SECONDS - partner_lost > 10)); then
            complain "$partner_name ended before $leader_name"
            return 1
        fi
        if ((SECONDS - began >= timeout)); then
            complain "the time limit of $timeout s was reached after $(cases_begun "$log") cases, in" \
                "$(sed -n 's/^Running test case ID \([0-9.]*\).*/case \1/p' "$log" | tail -n 1)" \
                "(--timeout raises the limit)"
            return 1
        fi
        if ((SECONDS - reported >= 15)); then
            reported=$SECONDS
            say "  $((SECONDS - began)) s: $(cases_begun "$log") cases begun"
        fi
        sleep 0.2
    done
    wait "$leader" || status=$?
    if [ -n "$partner_lost" ] || ! alive "$partner"; then
        complain "$partner_name ended before $leader_name"
        return 1
    fi
    if [ "$status" -ne 0 ]; then
        complain "$leader_name ended with status $status"
        return 1
    fi
}

show_ends() { # the logs' last lines, after something went wrong
    local log
    for log in "$@"; do
        [ -s "$log" ] || continue
        complain "the end of $(short "$log"):"
        tail -n 5 "$log" | cut -c1-300 >&2
    done
}

program_options=()
[ "$deflate" = no ] || program_options=(--deflate)

run_server() { # the leader is the suite's client
    local reports=$1 suite_log=$1/suite.log program_log=$1/program.log
    local address="" url i status=0
    "$target/release/examples/echo_server" --listen 127.0.0.1:0 \
        ${program_options[@]+"${program_options[@]}"} </dev/null >"$program_log" 2>&1 &
    program_pid=$!
    for ((i = 0; i < 150; i++)); do
        address=$(sed -n '/^listening on /{s///;p;q;}' "$program_log")
        [ -z "$address" ] || break
        alive "$program_pid" || break
        sleep 0.1
    done
    if [ -z "$address" ]; then
        complain "echo_server did not say 'listening on ADDRESS' (15 s are its limit)"
        show_ends "$program_log"
        return 1
    fi
    url=ws://$address
    if [ "$suite_kind" = docker ] && [ "$(uname)" != Linux ]; then
        url=ws://host.docker.internal:${address##*:}
    fi
    report spec --role server --url "$url" --agent "$agent" --reports "$reports" \
        --expected "$expected" --cases "$cases" >"$reports/spec.json" || return 1
    start_suite fuzzingclient "$reports/spec.json" "$suite_log" --network host
    watch_run "$suite_pid" "the suite" "$program_pid" echo_server "$suite_log" || status=1
    end_child "$suite_pid" || true
    suite_pid=
    end_container
    if ! end_child "$program_pid"; then
        complain "echo_server did not stop on SIGTERM within 5 s"
        status=1
    fi
    program_pid=
    [ "$status" -eq 0 ] || show_ends "$suite_log" "$program_log"
    return "$status"
}

run_client() { # the leader is our client
    local reports=$1 suite_log=$1/suite.log program_log=$1/program.log
    local port="" url i attempt ready=no status=0
    if [ "$suite_kind" = script ]; then
        complain "note: this wstest listens on all of this host's addresses during the run"
    fi
    # Someone else may take the port between its choice and its use: the
    # suite then ends at once, and another is tried.
    for attempt in 1 2 3; do
        port=$(report free-port) || return 1
        url=ws://127.0.0.1:$port
        report spec --role client --url "$url" --agent "$agent" --reports "$reports" \
            --expected "$expected" --cases "$cases" >"$reports/spec.json" || return 1
        start_suite fuzzingserver "$reports/spec.json" "$suite_log" --publish "127.0.0.1:$port:$port"
        for ((i = 0; i < 150; i++)); do
            if report answers --port "$port"; then
                ready=yes
                break 2
            fi
            alive "$suite_pid" || break
            sleep 0.2
        done
        end_child "$suite_pid" || true
        suite_pid=
        end_container
        grep -q 'CannotListenError\|Address already in use\|already allocated' "$suite_log" || break
    done
    if [ "$ready" = no ]; then
        complain "the suite's server did not answer on 127.0.0.1:$port (attempt $attempt)"
        show_ends "$suite_log"
        return 1
    fi
    "$target/release/examples/autobahn_client" "$url" \
        ${program_options[@]+"${program_options[@]}"} </dev/null >"$program_log" 2>&1 &
    program_pid=$!
    watch_run "$program_pid" autobahn_client "$suite_pid" "the suite" "$suite_log" || status=1
    end_child "$program_pid" || true
    program_pid=
    end_child "$suite_pid" || true
    suite_pid=
    end_container
    [ "$status" -eq 0 ] || show_ends "$suite_log" "$program_log"
    return "$status"
}

run_role() { # ROLE: 0 if the run came to its end and gave what was expected
    local role=$1 reports=$work/reports/$1 status=0 began
    local example=echo_server action=compare note=""
    [ "$role" = server ] || example=autobahn_client
    [ "$deflate" = no ] || note=", with --deflate"
    build_program "$example"
    rm -rf "$reports"
    mkdir -p "$reports" || return 1
    say "$role role: $example$note"
    began=$SECONDS
    case $role in
        server) run_server "$reports" || status=1 ;;
        client) run_client "$reports" || status=1 ;;
    esac
    if grep -q 'panicked at' "$reports/program.log"; then
        complain "$example panicked: see $(short "$reports/program.log")"
        status=1
    fi
    if [ "$write" = yes ] && [ "$status" -eq 0 ]; then
        action="write"
    elif [ "$write" = yes ]; then
        complain "expected.json is left as it was"
        return 1
    fi
    report "$action" --role "$role" --agent "$agent" --reports "$reports" --expected "$expected" \
        --cases "$cases" --suite "autobahntestsuite $suite_version" --seconds "$((SECONDS - began))" \
        --root "$root" || status=1
    return "$status"
}

find_suite
result=0
case $role in
    all)
        run_role server || result=1
        run_role client || result=1
        ;;
    *) run_role "$role" || result=1 ;;
esac
exit "$result"
