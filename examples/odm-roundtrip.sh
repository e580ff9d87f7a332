#!/usr/bin/env bash
# Two real study designs and the data of one of them, by the command line alone: imported, then exported in every format
# to DIR. Then what can be judged is judged: ODM by CDISC's schemas, Dataset-JSON by its own, and the values of every
# file against those that were imported.
#
#   examples/odm-roundtrip.sh DIR      needs lethe on the path (or LETHE_BIN), curl and python3
#
# JUDGE_PYTHON names a Python with the packages of exchange/tests/judges/requirements.txt; without it, or without
# ../shared/schemas, the judging by schemas is skipped by name.
#
# The studies are not part of this project: without ../shared/data there is nothing to do, and it says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# == 1 && -d $1 ]] || { echo "usage: $0 DIR (a folder that is there)" >&2; exit 2; }
to="$(cd "$1" && pwd)"
data=../shared/data schemas="$PWD/../shared/schemas"
[[ -d $data ]] || { echo "skipped: odm-roundtrip, because ../shared/data is not here"; exit 0; }

source examples/common.sh odm-roundtrip

# A study of its own: a published design, a site, live.
study() {
    local study=$1 name=$2 design=$3
    "$lethe" study create --tenant acme "$study" --name "$name"
    LETHE_TOKEN="$designer" "$lethe" study import "$design" --study "$study" >/dev/null
    LETHE_TOKEN="$designer" "$lethe" study open-site clinic --name "Clinic" --study "$study"
    LETHE_TOKEN="$designer" "$lethe" study go-live --study "$study"
}

# Every format at once.
export_all() {
    LETHE_TOKEN="$manager" "$lethe" data export --study "$1" --format odm132,odm20,csv,dataset-json,xpt --history whole \
        --to "$to" --recipient "Statistics" --purpose "A round trip of the formats" --expires 7
}

say "A platform"
serve
"$lethe" tenant create acme
# What comes from a file is brought in by a program, under a name of its own.
designer="$(token study-designer Dana)" importer="$(token integrator Importer --service-account)" manager="$(token data-manager Mara)"

say "Study CES: a design with five languages, without participants"
study ces "Study CES" "$data/odm132_study_ces_metadata.xml"
export_all ces

say "Study OPENEDC: a design, and a version of it after which absurd values are asked about"
study openedc "OpenEDC's example" "$data/odm132_openedc_metadata.xml"
LETHE_TOKEN="$manager" "$lethe" study export --study openedc --out "$ground/design.xml"
# A following version is the file of the one before, edited: soft ranges for what the design leaves open.
python3 - "$ground/design.xml" "$ground/ranges.xml" <<'PYTHON'
import sys
import xml.etree.ElementTree as tree

NS = "http://www.cdisc.org/ns/odm/v1.3"
RANGES = {"BMI": ("10", "80"), "I.2": ("0", "25")}
BEFORE = ["CodeListRef", "Role", "Alias"]  # what stands behind range checks in an ItemDef

tree.register_namespace("", NS)
file = tree.parse(sys.argv[1])
version = file.getroot().find(f".//{{{NS}}}MetaDataVersion")
version.set("OID", "MDV.2")
for item in version.iter(f"{{{NS}}}ItemDef"):
    for comparator, bound in zip(("GE", "LE"), RANGES.get(item.get("OID"), ())):
        check = tree.Element(f"{{{NS}}}RangeCheck", {"Comparator": comparator, "SoftHard": "Soft"})
        tree.SubElement(check, f"{{{NS}}}CheckValue").text = bound
        message = tree.SubElement(tree.SubElement(check, f"{{{NS}}}ErrorMessage"), f"{{{NS}}}TranslatedText")
        message.text = f"{item.get('Name')} is expected from {' to '.join(RANGES[item.get('OID')])}: is it so?"
        tags = [child.tag.rpartition("}")[2] for child in item]
        at = next((n for n, tag in enumerate(tags) if tag in BEFORE), len(tags))
        item.insert(at, check)
file.write(sys.argv[2], encoding="UTF-8", xml_declaration=True)
PYTHON
LETHE_TOKEN="$designer" "$lethe" study import --strict "$ground/ranges.xml" --study openedc >/dev/null
LETHE_TOKEN="$designer" "$lethe" study go-live --study openedc

say "The data of 90 participants, whom the file calls those of study S.1"
LETHE_TOKEN="$importer" "$lethe" data import "$data/odm132_openedc_clinicaldata.xml" --study openedc --from-study S.1 --consent 1.0 \
    --reference "invented" --json >"$ground/import.json" || [[ $? == 7 ]]  # 7: some rows were refused; the report says why
LETHE_TOKEN="$manager" python3 - "$url" "$ground/import.json" <<'PYTHON'
import json, os, sys
import urllib.request

imported = json.load(open(sys.argv[2], encoding="utf-8"))
address = f"{sys.argv[1]}/v1/studies/openedc/audit?kind=check-fired&min_position={imported['position']}"
asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {os.environ['LETHE_TOKEN']}"})
with urllib.request.urlopen(asked) as trail:
    fired = [json.loads(line)["details"] for line in trail]
print(f"{imported['participants']} participants; checks fired: {len(fired)}, queries opened by them: {imported['queries']}")
assert imported["queries"] > 0, "no absurd value was asked about"
assert len(fired) >= imported["queries"], "the audit trail has fewer than were said"
PYTHON
export_all openedc

say "Every value of every file against those that were imported"
python3 - "$to" "$ground/import.json" "$data/odm132_openedc_clinicaldata.xml" <<'PYTHON'
import collections, csv, glob, hashlib, json, sys
import xml.etree.ElementTree as tree

to, report, original = sys.argv[1], json.load(open(sys.argv[2], encoding="utf-8")), sys.argv[3]
V1, V2 = "{http://www.cdisc.org/ns/odm/v1.3}", "{http://www.cdisc.org/ns/odm/v2.0}"

def odm(path, ns, value):
    """(participant, item) -> values; the last one of each place, if each change is there."""
    found = collections.Counter()
    for subject in tree.parse(path).getroot().iter(ns + "SubjectData"):
        for group in subject.iter(ns + "ItemGroupData"):
            last = {}
            for item in group.findall(ns + "ItemData"):
                last[item.get("ItemOID")] = value(item)
            found.update((subject.get("SubjectKey"), item, value) for item, value in last.items() if value is not None)
    return found

source = odm(original, V1, lambda item: item.get("Value"))
first = odm(f"{to}/openedc.odm132.xml", V1, lambda item: item.get("Value"))
second = odm(f"{to}/openedc.odm20.xml", V2, lambda item: item.findtext(V2 + "Value"))
# Two files of one version may call a definition otherwise; in 2.0 an OID is unique in the whole file.
print(f"values: {source.total()} in the original, {report['values']} imported, {first.total()} in ODM 1.3.2, {second.total()} in ODM 2.0")
assert first.total() == second.total() == report["values"], "not every imported value is there"
assert not first - source, f"{(first - source).total()} values that the original does not have"
refused = sum(1 for row in report["report"]["rows"] if row["severity"] == "refused" and row["element"] == "ItemData")
print(f"not taken in by the import, each with a row that says why: {refused} of {(source - first).total()}")

tables = collections.Counter()
for path in glob.glob(f"{to}/openedc.*.csv"):
    rows = csv.reader(open(path, encoding="utf-8", newline=""))
    head = next(rows)
    for row in rows:
        tables.update((row[2], value) for name, value in zip(head[8:-1], row[8:-1]) if value)
assert tables == collections.Counter((who, value) for who, _, value in first.elements()), "CSV and ODM differ"
json_values = 0
for path in glob.glob(f"{to}/openedc.*.json"):
    document = json.load(open(path, encoding="utf-8"))
    if "rows" in document and "columns" in document and "itemGroupOID" in document:
        json_values += sum(1 for row in document["rows"] for value in row[8:-1] if value is not None)
assert json_values == first.total(), f"{json_values} values in Dataset-JSON"
print(f"the same {tables.total()} values are in CSV, and as many in Dataset-JSON")

for study in ("ces", "openedc"):
    manifest = json.load(open(f"{to}/{study}.manifest.json", encoding="utf-8"))
    for file in manifest["files"]:
        assert hashlib.sha256(open(f"{to}/{file['name']}", "rb").read()).hexdigest() == file["sha256"], file["name"]
    print(f"{study}: {len(manifest['files'])} files have the hashes of the manifest, counts {json.dumps(manifest['counts'])}")
PYTHON

say "By CDISC's schemas"
judge="${JUDGE_PYTHON:-python3}"
if [[ -d $schemas ]] && "$judge" -c 'import jsonschema, lxml, odmlib, pyreadstat, xmlschema' 2>/dev/null; then
    SCHEMAS="$schemas" "$judge" exchange/tests/judges/judge.py odm "$to"/{ces,openedc}.odm{132,20}.xml
    "$judge" - "$to" "$schemas/dataset.schema.json" <<'PYTHON'
import glob, json, sys
import jsonschema, pyreadstat

schema = json.load(open(sys.argv[2], encoding="utf-8"))
validator = jsonschema.validators.validator_for(schema)(schema)
datasets = [path for path in glob.glob(f"{sys.argv[1]}/*.json") if "datasetJSONVersion" in json.load(open(path, encoding="utf-8"))]
assert datasets, "no Dataset-JSON file was found"
for path in datasets:
    document = json.load(open(path, encoding="utf-8"))
    validator.validate(document)
    table, _ = pyreadstat.read_xport(path.removesuffix(".json") + ".xpt", output_format="dict")
    assert {len(column) for column in table.values()} == {document["records"]} == {len(document["rows"])}, path
print(f"{len(datasets)} Dataset-JSON files follow their schema, and the SAS files beside them have as many records")
PYTHON
else
    echo "skipped: the schemas, because ../shared/schemas or the judges' packages are not here"
fi
say "Passed"
