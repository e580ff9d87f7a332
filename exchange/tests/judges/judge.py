"""Looks at exported files with tools that nobody of this project wrote, and compares every value with its source.

    judge.py rich FOLDER      the invented study: FOLDER/expected.json says what must be found
    judge.py empty FOLDER     the invented study without a participant
    judge.py pilot FOLDER     the pilot study: FOLDER/source says it
    judge.py odm FILE…        whether ODM files follow their schema
"""

import csv
import json
import os
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import lxml.etree
import odmlib.loader
import odmlib.odm_loader
import pyreadstat
import xmlschema

SCHEMAS = Path(os.environ["SCHEMAS"])
NAMESPACES = {"132": "http://www.cdisc.org/ns/odm/v1.3", "20": "http://www.cdisc.org/ns/odm/v2.0"}
faults = []
_schemas = {}


def fault(where, what):
    faults.append(f"{where}: {what}")


def same(where, found, wanted):
    if found != wanted:
        fault(where, f"found {found!r}, wanted {wanted!r}")


def schema_path(version):
    return SCHEMAS / ("odm132/ODM1-3-2.xsd" if version == "132" else "odm20/ODM.xsd")


def schema(version):
    if version not in _schemas:
        path = schema_path(version)
        _schemas[version] = xmlschema.XMLSchema(str(path), allow="local", base_url=str(path.parent))
    return _schemas[version]


# --- ODM


def valid_odm(path, version, thorough=True):
    """By libxml2, and by xmlschema, which is slow with a large file and says more."""
    libxml2 = lxml.etree.XMLSchema(lxml.etree.parse(schema_path(version)))
    if not libxml2.validate(lxml.etree.parse(path)):
        fault(path.name, str(libxml2.error_log))
    if thorough:
        for error in schema(version).iter_errors(str(path.resolve())):
            fault(path.name, f"{error.path}: {error.reason}")


def repeat(element, name):
    return int(element.get(name, "1"))


def own(oid, prefix):
    """The OID in the design: in a file, two definitions that have the same one there may not."""
    return oid.removeprefix(prefix)


def odm_items(path, version):
    """Every ItemData in the order of the file: place, element, and the value as the file has it."""
    ns = "{" + NAMESPACES[version] + "}"
    root = ElementTree.parse(path).getroot()
    for subject in root.iter(ns + "SubjectData"):
        for event in subject.findall(ns + "StudyEventData"):
            form_tag, form_oid, form_repeat = (
                ("FormData", "FormOID", "FormRepeatKey")
                if version == "132"
                else ("ItemGroupData", "ItemGroupOID", "ItemGroupRepeatKey")
            )
            for form in event.findall(ns + form_tag):
                for group in form.findall(ns + "ItemGroupData"):
                    for item in group.findall(ns + "ItemData"):
                        place = (
                            subject.get("SubjectKey"),
                            own(event.get("StudyEventOID"), "VISIT."),
                            repeat(event, "StudyEventRepeatKey"),
                            own(form.get(form_oid), "FORM."),
                            repeat(form, form_repeat),
                            own(group.get("ItemGroupOID"), "GROUP."),
                            repeat(group, "ItemGroupRepeatKey"),
                            own(item.get("ItemOID"), "ITEM."),
                        )
                        yield place, item, odm_state(item, ns, version)


def odm_state(item, ns, version):
    if item.get("IsNull") == "Yes":
        for flag in item.iter(ns + "Flag"):
            if flag.findtext(ns + "FlagType") == "MISSING":
                return {"missing": flag.findtext(ns + "FlagValue")}
        return {"missing": None}
    return {"value": item.get("Value") if version == "132" else item.findtext(ns + "Value")}


def audit(item, ns):
    record = item.find(ns + "AuditRecord")
    if record is None:
        return None
    return (
        record.find(ns + "UserRef").get("UserOID"),
        record.findtext(ns + "SourceID").split()[0].removeprefix("role="),
        record.findtext(ns + "ReasonForChange"),
    )


def change_of(change):
    return (change["user"], change["role"], change["reason"])


def judge_odm(path, version, how, expected):
    ns = "{" + NAMESPACES[version] + "}"
    found = {}
    for place, item, state in odm_items(path, version):
        found.setdefault(place, []).append((item, state))
    same(path.name, sorted(found), sorted(expected))
    for place, (states) in found.items():
        want = expected.get(place)
        if want is None:
            continue
        where = f"{path.name} {place}"
        if how == "whole":
            same(where, [state for _, state in states], [change["state"] for change in want["changes"]])
            same(where, [audit(item, ns) for item, _ in states], [change_of(change) for change in want["changes"]])
            kinds = [item.get("TransactionType") for item, _ in states]
            same(where, kinds, transactions(want["changes"]))
        else:
            same(where, [state for _, state in states], [want["state"]])
            wanted_audit = change_of(want["changes"][-1]) if how == "last" else None
            same(where, audit(states[0][0], ns), wanted_audit)


def transactions(changes):
    kinds, before = [], None
    for change in changes:
        now = change["state"].get("missing")
        kinds.append("Remove" if now == "CLEARED" else "Insert" if before in (None, "CLEARED") else "Update")
        before = now or "VALUE"
    return kinds


def judge_odmlib(path, wanted_values):
    """Loads the file with odmlib and compares the values that it finds."""
    loader = odmlib.loader.ODMLoader(odmlib.odm_loader.XMLODMLoader(model_package="odm_1_3_2"))
    loader.open_odm_document(str(path))
    values = [
        item.Value
        for data in loader.root().ClinicalData
        for subject in data.SubjectData
        for event in subject.StudyEventData
        for form in event.FormData
        for group in form.ItemGroupData
        for item in group.ItemData
        if item.Value is not None
    ]
    same(f"{path.name} by odmlib", sorted(values), sorted(wanted_values))
    return len(values)


# --- tables


def typed(text, data_type):
    """A text as Dataset-JSON has it."""
    if data_type == "integer" and -(2**63) <= int(text) < 2**63:
        return int(text)
    if data_type == "boolean":
        return text in ("true", "1")
    return text


def read_json(path):
    document = json.loads(path.read_text())
    check = json.loads((SCHEMAS / "dataset.schema.json").read_text())
    # The schema says of a row only that its cells are scalars, and takes minutes for many: the first ones do.
    some = document | {"rows": document["rows"][:500]}
    for error in jsonschema.validators.validator_for(check)(check).iter_errors(some):
        fault(path.name, f"{error.json_path}: {error.message}")
    same(f"{path.name} records", len(document["rows"]), document["records"])
    return document["columns"], document["rows"], document


def read_ndjson(path):
    lines = path.read_text().split("\n")
    same(f"{path.name} ends with a line break", lines.pop(), "")
    head, rows = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
    check = json.loads((SCHEMAS / "dataset-ndjson-schema.json").read_text(encoding="utf-16"))
    # As published, it refers to definitions that stand elsewhere in it: put where the references lead.
    metadata = check["$defs"]["DatasetMetadata"]["properties"]
    check["$defs"].update(metadata["columns"]["items"], **metadata["sourceSystem"])
    validator = jsonschema.validators.validator_for(check)(check)
    for error in validator.iter_errors(head):
        fault(path.name, f"{error.json_path}: {error.message}")
    same(f"{path.name} records", len(rows), head["records"])
    return head["columns"], rows, head


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, strict=True))
    return rows[0], rows[1:]


def read_xpt(path):
    """The columns of the source, put together again from the variables, by the list that was written beside it."""
    data, meta = pyreadstat.read_xport(str(path), output_format="dict", encoding="UTF-8")
    written = json.loads(Path(f"{path}.map").read_text())
    same(f"{path.name} name", meta.table_name, written["dataset"])
    variables = written["variables"]
    same(f"{path.name} names", meta.column_names, [variable["name"] for variable in variables])
    for variable, label in zip(variables, meta.column_labels):
        cut = variable["label"].encode()[:40].decode(errors="ignore").rstrip()
        same(f"{path.name} label of {variable['name']}", label or "", cut)
    columns = {}
    for variable in variables:
        cells = list(data[variable["name"]]) if data else []
        same(f"{path.name} records", len(cells), written["records"])
        if variable["piece"] == 0:
            columns[variable["column"]] = cells
        else:
            columns[variable["column"]] = [(a or "") + (b or "") for a, b in zip(columns[variable["column"]], cells)]
    names = list(columns)
    return names, [list(row) for row in zip(*columns.values())], written


KEYS = ["SUBJID", "VISIT", "VISITREP", "FORM", "FORMREP", "GROUPREP"]


def records(names, oids, rows):
    """Each row as its key, its cells by item, and why some are missing."""
    for row in rows:
        cells = dict(zip(names, row))
        subject, visit, visit_repeat, form, form_repeat, group_repeat = (cells[key] for key in KEYS)
        key = (subject, visit, int(visit_repeat), form, int(form_repeat), int(group_repeat))
        items = {oid: cells[name] for name, oid in zip(names, oids) if not oid.startswith("LETHE.")}
        missing = dict(pair.split("=") for pair in (cells[names[-1]] or "").split())
        yield key, items, missing


def judge_table(where, names, oids, rows, form, expected, of):
    """Every item that is expected in this table is there with its value, and nothing else is."""
    wanted = {}
    for place, item in expected.items():
        subject, visit, visit_repeat, form_oid, form_repeat, group, group_repeat, oid = place
        if (form_oid if form else group) == of:
            key = (subject, visit, visit_repeat, form_oid, form_repeat, group_repeat)
            wanted.setdefault(key, {})[oid] = item
    found = {}
    for key, items, missing in records(names, oids, rows):
        if key in found:
            fault(where, f"{key} is there twice")
        found[key] = (items, missing)
    same(f"{where} keys", sorted(found), sorted(wanted))
    compared = 0
    for key, (items, missing) in found.items():
        for oid, cell in items.items():
            item = wanted.get(key, {}).get(oid)
            value = item["state"].get("value") if item else None
            yield f"{where} {key} {oid}", cell, value, item["type"] if item else None
            same(f"{where} {key} {oid} missing", missing.get(oid), item["state"].get("missing") if item else None)
            compared += 1
    print(f"{where}: {len(rows)} records, {compared} cells compared")


def judge_tables(folder, expected):
    for path in sorted(folder.glob("*.csv")):
        by, of = path.stem.split(".", 1)
        columns, rows, document = read_json(path.with_suffix(".json"))
        names, oids = [column["name"] for column in columns], [column["itemOID"] for column in columns]
        types = {column["itemOID"]: column["dataType"] for column in columns}
        form = by == "Form"
        for where, cell, value, kind in judge_table(path.stem + ".json", names, oids, rows, form, expected, of):
            oid = where.rsplit(" ", 1)[1]
            # A column with a number that a double does not hold exactly is written as decimals are.
            wide = types[oid] == "string" or (types[oid] == "decimal" and kind == "integer")
            same(where, cell, None if value is None else value if wide else typed(value, kind))
        lines, nd_rows, head = read_ndjson(path.with_suffix(".ndjson"))
        same(f"{path.stem}.ndjson", (lines, nd_rows), (columns, rows))
        same(f"{path.stem}.ndjson head", head, {k: v for k, v in document.items() if k != "rows"})
        header, lines = read_csv(path)
        same(path.name, header, names)
        for where, cell, value, _ in judge_table(path.name, header, oids, lines, form, expected, of):
            same(where, cell, value or "")
        xpt_names, xpt_rows, written = read_xpt(path.with_suffix(".xpt"))
        same(f"{path.stem}.xpt", xpt_names, names)
        numbers = {variable["column"] for variable in written["variables"] if variable["number"]}
        for where, cell, value, kind in judge_table(path.stem + ".xpt", names, oids, xpt_rows, form, expected, of):
            name = names[oids.index(where.rsplit(" ", 1)[1])]
            if name in numbers:
                number = None if value is None else float(typed(value, "boolean")) if kind == "boolean" else float(value)
                same(where, None if cell is None or cell != cell else cell, number)
            else:
                same(where, cell or "", value or "")


# --- what is looked at


def notes(folder, version):
    """Queries, signatures and marks are in the files, in the place that the version has for them."""
    ns = "{" + NAMESPACES[version] + "}"
    root = ElementTree.parse(folder / f"study.whole.odm{version}.xml").getroot()
    same(f"signatures {version}", [it.get("ID") for it in root.iter(ns + "Signature")], ["S-5151-2"])
    if version == "20":
        queries = [(it.get("OID"), it.get("State"), it.get("Type"), it.findtext(ns + "Value")) for it in root.iter(ns + "Query")]
        wanted = [
            ("c0ffee-1", "Closed", "System", "Is this right? It is > 180."),
            ("c0ffee-2", "Open", "Manual", "Where is the second page?"),
        ]
        same("queries 20", sorted(queries), wanted)
        answer = [it.findtext(ns + "ReasonForChange") for query in root.iter(ns + "Query") for it in query.iter(ns + "AuditRecord")]
        same("thread 20", "No: it was 130." in answer, True)
    else:
        ids = sorted(it.get("ID") for it in root.iter(ns + "Annotation") if it.get("ID"))
        same("queries 132", ids, ["Q-c0ffee-1-1", "Q-c0ffee-1-2", "Q-c0ffee-1-3", "Q-c0ffee-2-1", "Q-c0ffee-3-1"])
    marks = sorted(it.text for it in root.iter(ns + "FlagValue") if it.get("CodeListOID") == "LETHE.MARK")
    same(f"marks {version}", marks, ["COMPLETED", "LOCKED", "RESTRICTED", "VERIFIED", "WITHDRAWN"])


def rich(folder):
    source = json.loads((folder / "expected.json").read_text())
    expected = {tuple(item["place"]): item for item in source["items"]}
    for version in NAMESPACES:
        for how in ("plain", "last", "whole"):
            path = folder / f"study.{how}.odm{version}.xml"
            valid_odm(path, version)
            judge_odm(path, version, how, expected)
            states = [
                change["state"]
                for item in expected.values()
                for change in (item["changes"] if how == "whole" else [item])
            ]
            values = [state["value"] for state in states if "value" in state]
            # odmlib's model of ODM 2.0 ends with the metadata.
            by_odmlib = f", {judge_odmlib(path, values)} values by odmlib" if version == "132" else ""
            print(f"{path.name}: valid, {len(states)} items compared{by_odmlib}")
        notes(folder, version)
        subjects = [it.get("SubjectKey") for it in ElementTree.parse(path).getroot().iter("{" + NAMESPACES[version] + "}SubjectData")]
        same(f"subjects {version}", subjects, source["subjects"])
    judge_tables(folder, expected)


def empty(folder):
    for path in sorted(folder.glob("*.odm*.xml")):
        valid_odm(path, path.name.split(".odm")[1].removesuffix(".xml"))
    judge_tables(folder, {})


def pilot(folder):
    wanted = {}
    columns = json.loads((folder / "columns.json").read_text())
    with open(folder / "source", newline="") as file:
        for row in csv.DictReader(file):
            visit = float(row["VISITNUM"])
            repeats = wanted.setdefault((row["USUBJID"], f"V{visit:g}"), [])
            repeats.append(row)
    expected = {}
    for (subject, visit), rows in wanted.items():
        for number, row in enumerate(rows, 1):
            for oid, kind in columns.items():
                text = row[oid]
                if text not in ("", "NA"):
                    if kind == "integer":
                        text = f"{float(text):g}"
                    place = (subject, visit, 1, "VS", 1, "VS", number, oid)
                    expected[place] = {"state": {"value": text}, "type": kind, "changes": []}
    print(f"source: {len(expected)} values of {len({place[0] for place in expected})} participants")
    for version in NAMESPACES:
        path = folder / f"study.plain.odm{version}.xml"
        valid_odm(path, version, thorough=False)
        judge_odm(path, version, "plain", expected)
        print(f"{path.name}: valid, compared")
    judge_tables(folder, expected)


def main(mode, *arguments):
    if mode == "odm":
        for name in arguments:
            version = "20" if "/odm/v2.0" in Path(name).read_text()[:2000] else "132"
            valid_odm(Path(name), version)
    else:
        {"rich": rich, "empty": empty, "pilot": pilot}[mode](Path(arguments[0]))
    for line in faults[:40]:
        print("FAULT", line)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
