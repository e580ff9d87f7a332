"""Compares every value of the exported files of the CDISC pilot study with its source.

    compare.py FOLDER DATA [SITE]

With the packages of exchange/tests/judges/requirements.txt and SCHEMAS (CDISC's schemas) the files are judged by those
too; without them that part is skipped by name, and SAS files are not looked at. SITE: only that site's participants.
"""

import csv
import json
import os
import shutil
import sys
import types
from pathlib import Path

absent = []
for package in ("jsonschema", "lxml.etree", "odmlib.loader", "odmlib.odm_loader", "pyreadstat", "xmlschema"):
    try:
        __import__(package)
    except ImportError:
        absent.append(package)
        for name in (package.split(".")[0], package):
            sys.modules.setdefault(name, types.ModuleType(name))
os.environ.setdefault("SCHEMAS", "")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "exchange/tests/judges"))

import judge  # noqa: E402
from study import GROUPS, STUDY, TYPES, Source  # noqa: E402


def wanted(source, subjects):
    """As the judge wants it."""

    def state(value):
        return {"value": value} if value is not None else {"missing": "NOT-DONE"}

    expected = source.expected(subjects)
    return {place: {"state": state(value), "type": TYPES[place[7]], "changes": []} for place, value in expected.items()}


def odm(folder, expected, judged):
    for version in judge.NAMESPACES:
        path = folder / f"{STUDY}.odm{version}.xml"
        if judged:
            judge.valid_odm(path, version, thorough=False)
        judge.judge_odm(path, version, "plain", expected)
        by_odmlib = ""
        if judged and version == "132":
            values = [item["state"]["value"] for item in expected.values() if "value" in item["state"]]
            by_odmlib = f", {judge.judge_odmlib(path, values)} values by odmlib"
        print(f"{path.name}: {len(expected)} values compared{', valid by its schema' if judged else ''}{by_odmlib}")


def table(folder, group, expected, judged):
    stem = f"{STUDY}.{group}"
    document = json.loads((folder / f"{stem}.json").read_text())
    if judged:
        judge.read_json(folder / f"{stem}.json")
    names = [column["name"] for column in document["columns"]]
    oids = [column["itemOID"].removeprefix("ITEM.") for column in document["columns"]]
    kinds = {oid: column["dataType"] for oid, column in zip(oids, document["columns"])}

    def cells(where, columns, rows):
        return judge.judge_table(where, columns, oids, rows, False, expected, group)

    for where, cell, value, kind in cells(f"{stem}.json", names, document["rows"]):
        text = kinds[where.rsplit(" ", 1)[1]] == "string"
        judge.same(where, cell, None if value is None else value if text else judge.typed(value, kind))
    with open(folder / f"{stem}.csv", newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file, strict=True))
    judge.same(f"{stem}.csv", header, names)
    for where, cell, value, _ in cells(f"{stem}.csv", header, lines):
        judge.same(where, cell, value or "")
    if judged:
        sas(folder, stem, names, oids, cells)


def sas(folder, stem, names, oids, cells):
    path = folder / f"{stem}.xpt"
    # The judge looks for the list of variables under another name.
    shutil.copy(f"{path}.variables.json", f"{path}.map")
    found, rows, written = judge.read_xpt(path)
    Path(f"{path}.map").unlink()
    judge.same(path.name, found, names)
    numbers = {variable["column"] for variable in written["variables"] if variable["number"]}
    for where, cell, value, _ in cells(path.name, names, rows):
        if names[oids.index(where.rsplit(" ", 1)[1])] in numbers:
            judge.same(where, None if cell is None or cell != cell else cell, None if value is None else float(value))
        else:
            judge.same(where, cell or "", value or "")


def main(folder, data, site=None):
    folder, source = Path(folder), Source(data)
    judged = not absent and Path(os.environ["SCHEMAS"]).is_dir() and os.environ["SCHEMAS"] != ""
    if not judged:
        missing = ", ".join(absent) or "SCHEMAS"
        print(f"skipped: SAS files and the judging by CDISC's schemas, pyreadstat and odmlib, because {missing} is not here")
    expected = wanted(source, source.of_site(site) if site else None)
    odm(folder, expected, judged)
    for group in GROUPS:
        table(folder, group, expected, judged)
    for line in judge.faults[:20]:
        print("FAULT", line)
    print(f"{len(expected)} values of {len({place[0] for place in expected})} participants: {len(judge.faults)} faults")
    return 1 if judge.faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
