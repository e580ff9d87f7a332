#!/usr/bin/env bash
# The erasure drill, by the command line alone: participants, a backup, three erasures (one of them of contact data
# only); the whole data directory is destroyed; the backup from before the erasures is restored beside the live root
# keys. Then it is shown that the three stay erased, that the others read as before, that the erasures are in the audit
# trail again, and that the certificates verify.
#
#   examples/erasure-drill.sh [PARTICIPANTS]      needs lethe on the path (or LETHE_BIN), curl and python3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

participants="${1:-50}"
source examples/common.sh erasure-drill

# What the platform needs to know, in every command from here on. The KMS and the off-site copy stand elsewhere.
export LETHE_DATA_DIR="$ground/site/data" LETHE_KMS="file:$ground/vault/kms" LETHE_OFF_SITE="$ground/elsewhere/copy"
backups="$ground/elsewhere/backups"
mkdir -p "$ground/vault" "$ground/elsewhere/copy" "$backups"

stop() { kill "$serving"; wait "$serving" || true; serving=""; }

get() { curl -sS -H "Authorization: Bearer $doctor" "$url$1"; }

# Everything that can be asked about everybody, one line a participant.
look() {
    while read -r participant; do
        here="/v1/studies/cardio/participants/$participant"
        printf '%s %s %s\n' "$participant" "$(get "$here/casebook" | python3 -c "$canonical")" \
            "$(get "$here/identity" | python3 -c "$canonical")"
    done <"$ground/participants"
}
canonical='import json, sys; print(json.dumps(json.load(sys.stdin), sort_keys=True, separators=(",", ":")).replace(" ", "_"))'

say "A platform with $participants participants"
serve
"$lethe" tenant create acme >/dev/null
"$lethe" study create --tenant acme cardio --name "CARDIO, a drill" >/dev/null
designer="$(token study-designer Dana)" doctor="$(token investigator Ivo)"
dpo="$(token dpo Petra)" controller="$(token controller Carl)"
export LETHE_TOKEN="$designer"
"$lethe" study import examples/vital-signs.odm.xml --study cardio >/dev/null
"$lethe" study open-site oslo --name "Oslo University Hospital" --study cardio >/dev/null
"$lethe" study go-live --study cardio >/dev/null
python3 - "$participants" "$ground/participants" <<'PYTHON' >"$ground/commands.ndjson"
import json, sys, uuid

count, names = int(sys.argv[1]), open(sys.argv[2], "w", encoding="utf-8")
for n in range(count):
    person = str(uuid.uuid4())
    names.write(person + "\n")
    at = lambda aggregate, **command: print(json.dumps({
        "aggregate": aggregate, "id": person, "idempotency_key": f'"{uuid.uuid4()}"', "command": command}))
    at("participant", type="register", site="oslo", subject_number=f"OSLO-{n + 1:04}")
    at("participant", type="give-consent", version="2.0", reference="signed on paper")
    at("identity", type="record", details={
        "given_name": "Ingrid", "family_name": f"Kvistberg{n:04}", "email": f"person-{n:04}@post.example"})
    at("participant", type="save-items", visit="BASELINE", form="VS", items=[
        {"group": "VITALS", "item": "SYSBP", "value": str(100 + n % 60)}, {"group": "VITALS", "item": "PULSE", "value": str(50 + n % 40)}])
PYTHON
curl -sSf -H "Authorization: Bearer $doctor" -H "Content-Type: application/x-ndjson" \
    --data-binary "@$ground/commands.ndjson" "$url/v1/studies/cardio/commands" >"$ground/replies.ndjson"
python3 - "$ground/replies.ndjson" "$participants" <<'PYTHON'
import json, sys
replies = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
refused = [reply for reply in replies if reply["status"] >= 300]
assert len(replies) == 4 * int(sys.argv[2]) and not refused, refused[:3]
PYTHON
look >"$ground/before"

say "A full backup, encrypted to one key"
recipient="$("$lethe" backup keygen --out "$ground/vault/backup.key")"
"$lethe" backup create --tenant acme --to "$backups" --recipient "$recipient"
"$lethe" backup list --tenant acme --from "$backups"
trust="$("$lethe" kms status --tenant acme --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["public_key"])')"
"$lethe" backup verify --tenant acme --from "$backups" --identity "$ground/vault/backup.key" --trust "$trust"

say "Three erasures; of the third, contact data only"
mapfile -t erased < <(head -3 "$ground/participants")
erasures=()
for n in 0 1 2; do
    scope=(); [[ $n == 2 ]] && scope=(--scope identity.contact)
    erasure="$(LETHE_TOKEN="$dpo" "$lethe" erase request "${erased[$n]}" --study cardio "${scope[@]}" 2>/dev/null)"
    LETHE_TOKEN="$controller" "$lethe" erase approve "$erasure" --instruction "DRILL/$n" --yes
    erasures+=("$erasure")
done

say "The site is lost: the whole data directory is destroyed"
stop
rm -rf "$ground/site"

say "The backup from before the erasures is restored beside the live root keys"
"$lethe" restore --tenant acme --from "$backups" --identity "$ground/vault/backup.key" --yes
serve

say "What is there now"
look >"$ground/after"
python3 - "$ground/before" "$ground/after" "${erased[@]}" <<'PYTHON'
import sys

def table(path):
    return {line.split(" ")[0]: line.split(" ")[1:] for line in open(path, encoding="utf-8").read().splitlines()}

before, after, (first, second, contact) = table(sys.argv[1]), table(sys.argv[2]), sys.argv[3:]
assert before.keys() == after.keys() and len(before) > 3
for person in (first, second):
    assert all('"code":"erased"' in answer for answer in after[person]), f"{person} can be read: {after[person]}"
casebook, identity = after[contact]
assert casebook == before[contact][0], "only contact data was to go"
assert "post.example" not in identity and "Ingrid" in identity, identity
same = [person for person in before if person not in sys.argv[3:]]
assert all(before[person] == after[person] for person in same), "a survivor reads otherwise than before"
print(f"erased: 2 wholly, 1 of contact data; {len(same)} survivors read as before")
PYTHON
for n in 0 1 2; do
    get "/v1/studies/cardio/participants/${erased[$n]}/audit" | grep -q '"erasure-completed"' ||
        { echo "the erasure ${erasures[$n]} is not in the audit trail" >&2; exit 1; }
    curl -sSf -H "Authorization: Bearer $dpo" "$url/v1/erasures/${erasures[$n]}/certificate" >"$ground/certificate-$n.json"
    "$lethe" verify "$ground/certificate-$n.json" --trust "$trust" >"$ground/verified-$n"
done
echo "the three erasures are in the audit trail again, and their certificates verify:"
cat "$ground/verified-0"

say "By every other road: the backup's own copies of the key tree, and every copy off-site, with every living root key"
"$lethe" verify erasure --tenant acme --from "$backups" --identity "$ground/vault/backup.key" "${erasures[@]}"
"$lethe" verify journal --tenant acme
stop
say "Passed"
