"""Judges answers of the Dataset-JSON API: by CDISC's schemas, and value by value against what was entered.

usage: judge.py SCHEMAS FOLDER
"""

import json
import pathlib
import sys

import jsonschema

schemas, folder = map(pathlib.Path, sys.argv[1:])
faults = []


def valid(name, document, schema):
    for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(document):
        faults.append(f"{name}: {error.json_path}: {error.message}")


def ndjson_schema():
    schema = json.loads((schemas / "dataset-ndjson-schema.json").read_text(encoding="utf-16"))
    # As published, it refers to definitions that stand elsewhere in it: put where the references lead.
    metadata = schema["$defs"]["DatasetMetadata"]["properties"]
    schema["$defs"].update(metadata["columns"]["items"], **metadata["sourceSystem"])
    return schema


def values(name, columns, rows):
    """(subject, column) -> value."""
    names = [column["name"] for column in columns]
    found = {}
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        for column, value in cells.items():
            if found.setdefault((cells["SUBJID"], column), value) != value:
                faults.append(f"{name}: two values of {column}")
    return found


entered = json.loads((folder / "entered").read_text(encoding="utf-8"))
compared = 0
for path in sorted(folder.glob("*.json")):
    whole = json.loads(path.read_text(encoding="utf-8"))
    valid(path.name, whole, json.loads((schemas / "dataset.schema.json").read_text(encoding="utf-8")))
    lines = path.with_suffix(".ndjson").read_text(encoding="utf-8").split("\n")
    if lines.pop() != "":
        faults.append(f"{path.stem}: NDJSON ends with a line break")
    head, rows = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
    valid(f"{path.stem}.ndjson", head, ndjson_schema())
    if not whole["records"] == head["records"] == len(whole["rows"]) == len(rows):
        faults.append(f"{path.stem}: records are miscounted")
    for form, columns, found in [("json", whole["columns"], whole["rows"]), ("ndjson", head["columns"], rows)]:
        of = values(f"{path.stem}.{form}", columns, found)
        for dataset, subject, column, value in entered:
            if dataset == path.stem and of.get((subject, column)) != value:
                faults.append(f"{path.stem}.{form}: {subject} {column} is not what was entered")
    compared += sum(1 for dataset, *_ in entered if dataset == path.stem)

print(f"{compared} values compared in JSON and NDJSON")
print("\n".join(faults))
sys.exit(bool(faults) or compared != len(entered))
