# What the judges of the door share; sourced, not run. It makes a scratch folder, starts a filled platform of its own and
# stops what it started. LETHE_BIN names the program to judge; otherwise the newest one that is built, or one built now.
# shellcheck shell=bash

judges="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$judges/../.."
scratch="$(mktemp -d -t lethe-judge.XXXXXX)"
served=()

finish() {
    local code=$? one
    for one in "${served[@]}"; do
        kill "$one" 2>/dev/null || true
        wait "$one" 2>/dev/null || true
    done
    if [[ $code != 0 ]]; then
        tail -n 20 "$scratch"/*.log 2>/dev/null || true
    fi
    if [[ -n "${KEEP:-}" ]]; then
        echo "kept: $scratch"
    else
        rm -rf "$scratch" || true
    fi
    exit "$code"
}
trap finish EXIT

# Debian's packages by name of the program: `needs testssl testssl.sh openssl openssl`.
needs() {
    local missing=()
    while [[ $# -gt 0 ]]; do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    if [[ ${#missing[@]} != 0 ]]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    fi
}

# Python packages of a judge, pinned, in a folder of its own.
judge_of() {
    # Debian has the module in a package of its own.
    python3 -m venv "$scratch/venv" >/dev/null 2>&1 || { needs no-such-program python3-venv && python3 -m venv --clear "$scratch/venv"; }
    "$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$judges/$1"
}

find_lethe() {
    lethe="${LETHE_BIN:-}"
    if [[ -z "$lethe" ]]; then
        # shellcheck disable=SC2012  # two names that we chose
        lethe="$(ls -t target/release/lethe target/debug/lethe 2>/dev/null | head -n 1 || true)"
    fi
    if [[ -z "$lethe" ]]; then
        cargo build --quiet -p lethe
        lethe=target/debug/lethe
    fi
    lethe="$(readlink -f "$lethe")"
}

# Waits until a log says so: `says FILE WORDS PID`.
says() {
    local _
    for _ in $(seq 1200); do
        grep -q "$2" "$1" 2>/dev/null && return 0
        kill -0 "$3" 2>/dev/null || { echo "what should serve ended by itself" >&2; return 1; }
        sleep 0.2
    done
    echo "nothing was served" >&2
    return 1
}

# A demo in $scratch/data: 24 participants, one erased. Sets $base, and $link of the first administrator.
start_demo() {
    "$lethe" demo --participants 24 --data-dir "$scratch/data" "$@" >"$scratch/demo.log" 2>&1 &
    served+=($!)
    says "$scratch/demo.log" "goes on serving" $!
    base="$(sed -n 's/.*goes on serving \(https\{0,1\}:[^ ]*\)\. Ctrl-C.*/\1/p' "$scratch/demo.log")"
    link="$("$lethe" admin link --tenant demo --data-dir "$scratch/data" 2>"$scratch/link.log" |
        grep -o 'http[^ ]*/join#[^ ]*' | head -n 1)"
    [[ -n "$base" && -n "$link" ]] || { echo "no address or no link" >&2; return 1; }
}

# A token of a role, in a file: `token_of dpo FILE`.
token_of() {
    local kind=()
    [[ "$1" == integrator ]] && kind=(--service-account)
    "$lethe" token create --tenant demo --role "$1" --name "Judge of $1" "${kind[@]}" --data-dir "$scratch/data" >"$2" 2>"$scratch/token.log"
}

# The roles that a token can have, as the description of the API lists them.
roles() {
    python3 - "$scratch/openapi.json" <<'PYTHON'
import json, sys

roles = json.load(open(sys.argv[1], encoding="utf-8"))["components"]["schemas"]["Role"]["enum"]
print("\n".join(role for role in roles if role != "system"))
PYTHON
}
