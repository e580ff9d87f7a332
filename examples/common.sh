# What the examples begin with; sourced, from the project's folder, with the example's name: a place of its own that goes when it passes,
# and how to start a platform there.
lethe="${LETHE_BIN:-lethe}"
ground="$(mktemp -d -t "$1.XXXXXX")"
serving=""
export LETHE_DATA_DIR="$ground/data" LETHE_KMS="file:$ground/kms"
unset LETHE_KMS_DIR LETHE_URL LETHE_TOKEN LETHE_TOKEN_FILE LETHE_LISTEN LETHE_OFF_SITE
mkdir -p "$ground/kms"

finish() {
    local code=$?
    [[ -z "$serving" ]] || { kill "$serving" 2>/dev/null; wait "$serving" 2>/dev/null; } || true
    [[ $code == 0 ]] && rm -rf "$ground" || echo "it failed; what it left: $ground" >&2
    exit "$code"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

serve() {
    "$lethe" serve --listen 127.0.0.1:0 2>>"$ground/serve.log" &
    serving=$!
    for _ in $(seq 600); do
        # The address of the platform is in its note beside the data.
        url="$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["url"])' "$LETHE_DATA_DIR/run.json" 2>/dev/null || true)"
        [[ -n "$url" ]] && curl -sf "$url/readyz" >/dev/null && return
        kill -0 "$serving" 2>/dev/null || { tail -5 "$ground/serve.log" >&2; return 1; }
        sleep 0.1
    done
    echo "the platform does not come up: $ground/serve.log" >&2
    return 1
}

token() { "$lethe" token create --tenant acme --role "$1" --name "$2" "${@:3}" 2>/dev/null; }
