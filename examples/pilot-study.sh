#!/usr/bin/env bash
# The CDISC pilot study, entered through the public HTTP API by 17 site users, each with a token for one site: 306
# participants, their visits, demographics and 29 643 vital signs. Every value is read back by the site users and by the
# data manager, every address of the API is tried on other sites' participants, and the study is exported in every
# format to DIR, where every value is compared with its source.
#
#   examples/pilot-study.sh DIR      needs lethe on the path (or LETHE_BIN), curl and python3
#
# PILOT_EACH=2 takes the first two participants of each site only, to see that it works.
# JUDGE_PYTHON names a Python with the packages of exchange/tests/judges/requirements.txt; without it, or without
# ../shared/schemas, the judging by schemas and the reading of SAS files are skipped by name.
#
# The study is not part of this project: without ../shared/data there is nothing to do, and it says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# == 1 && -d $1 ]] || { echo "usage: $0 DIR (a folder that is there)" >&2; exit 2; }
to="$(cd "$1" && pwd)"
data=../shared/data
[[ -f $data/pv_dm.csv ]] || { echo "skipped: pilot-study, because ../shared/data is not here"; exit 0; }
[[ -d ../shared/schemas ]] && export SCHEMAS="$PWD/../shared/schemas"

judge="${JUDGE_PYTHON:-python3}"
study=cdisc-pilot-01
source examples/common.sh pilot-study
export PYTHONDONTWRITEBYTECODE=1

# Everything that an export demands stands here.
export_all() {
    LETHE_TOKEN="$1" "$lethe" data export --study "$study" --format odm132,odm20,csv,dataset-json,xpt \
        --to "$2" --recipient "Statistics" --purpose "The pilot study, compared with its source" \
        --expires 7
}

say "A platform, a study, a user for each site"
serve
"$lethe" tenant create acme
"$lethe" study create --tenant acme "$study" --name "CDISC pilot study 01"
designer="$(token study-designer Dana)" manager="$(token data-manager Mara)"
sites="$(python3 -c 'import sys; sys.path.insert(0, "examples/pilot"); import study; print(*study.Source(sys.argv[1]).sites)' "$data")"
tokens="$ground/tokens.json"
(
    umask 077
    {
        printf '{"designer": "%s", "manager": "%s", "sites": {' "$designer" "$manager"
        comma=""
        for site in $sites; do
            printf '%s"%s": "%s"' "$comma" "$site" "$(token investigator "Investigator of site $site" --site "$site")"
            comma=", "
        done
        printf '}}\n'
    } >"$tokens"
)

say "Entered, read back, and tried at other sites"
python3 examples/pilot/enter.py "$url" "$tokens" "$data"

say "Exported by the data manager, and compared with the source"
began=$SECONDS
export_all "$manager" "$to"
echo "exported in $((SECONDS - began)) s"
"$judge" examples/pilot/compare.py "$to" "$data"

say "Exported by the user of one site: only what is theirs"
site="${sites%% *}"
mkdir "$ground/site"
export_all "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["sites"][sys.argv[2]])' "$tokens" "$site")" "$ground/site"
"$judge" examples/pilot/compare.py "$ground/site" "$data" "$site"
say "Passed"
