"""The CDISC pilot study: its design, its sites, and every value of its files at the place where it is entered."""

import csv
import gzip
import os
import re
from collections import defaultdict
from pathlib import Path

STUDY = "cdisc-pilot-01"

# Each form with its groups, each group with its items: OID, question, type, unit, code list.
DM = [
    ("SUBJID", "Number of the subject at the site", "text", None, None),
    ("RFSTDTC", "First study treatment", "date", None, None),
    ("RFENDTC", "Last study treatment", "date", None, None),
    ("RFXSTDTC", "First exposure", "date", None, None),
    ("RFXENDTC", "Last exposure", "date", None, None),
    ("RFPENDTC", "End of participation", "text", None, None),
    ("DTHDTC", "Date of death", "date", None, None),
    ("DTHFL", "Death", "text", None, "NY"),
    ("BRTHDTC", "Date of birth", "date", None, None),
    ("AGE", "Age", "integer", "YEARS", None),
    ("SEX", "Sex", "text", None, "SEX"),
    ("RACE", "Race", "text", None, "RACE"),
    ("ETHNIC", "Ethnicity", "text", None, "ETHNIC"),
    ("ARMCD", "Planned arm", "text", None, "ARM"),
    ("ACTARMCD", "Actual arm", "text", None, "ARM"),
    ("COUNTRY", "Country", "text", None, None),
    ("DMDTC", "Date of collection", "date", None, None),
    ("DMDY", "Study day of collection", "integer", None, None),
    ("ARMNRS", "Why no arm", "text", None, None),
]
SV = [
    ("SVSTDTC", "Start of the visit", "date", None, None),
    ("SVENDTC", "End of the visit", "date", None, None),
    ("VISITNUM", "Number of the visit", "decimal", None, None),
    ("VISITDY", "Planned study day", "integer", None, None),
]
# Where subjects were measured in one unit, it is the item's; where sites used two, it is asked for.
SIGNS = [
    ("VSTPT", "When", "text", None, "TPT"),
    ("VSPOS", "Position", "text", None, "POSITION"),
    ("SYSBP", "Systolic blood pressure", "decimal", "MMHG", None),
    ("DIABP", "Diastolic blood pressure", "decimal", "MMHG", None),
    ("PULSE", "Pulse rate", "decimal", "BPM", None),
]
BODY = [
    ("TEMP", "Temperature", "decimal", None, None),
    ("TEMPU", "Unit of the temperature", "text", None, "TEMPU"),
    ("TEMPLOC", "Where it was taken", "text", None, "LOC"),
    ("WEIGHT", "Weight", "decimal", None, None),
    ("WEIGHTU", "Unit of the weight", "text", None, "WEIGHTU"),
    ("HEIGHT", "Height", "decimal", None, None),
    ("HEIGHTU", "Unit of the height", "text", None, "HEIGHTU"),
]
GROUPS = {"DM": DM, "SV": SV, "VSSIGNS": SIGNS, "VSBODY": BODY}
FORMS = {"DM": ("Demographics", ["DM"]), "SV": ("Visit", ["SV"]), "VS": ("Vital signs", ["VSSIGNS", "VSBODY"])}
UNITS = {"MMHG": "mmHg", "BPM": "BEATS/MIN", "YEARS": "YEARS"}
CODES = {
    "NY": ["Y", "N"],
    "SEX": ["F", "M"],
    "RACE": ["WHITE", "BLACK OR AFRICAN AMERICAN", "ASIAN", "AMERICAN INDIAN OR ALASKA NATIVE"],
    "ETHNIC": ["HISPANIC OR LATINO", "NOT HISPANIC OR LATINO"],
    "ARM": ["Pbo", "Xan_Hi", "Xan_Lo", "Scrnfail"],
    "TPT": ["AFTER LYING DOWN FOR 5 MINUTES", "AFTER STANDING FOR 1 MINUTE", "AFTER STANDING FOR 3 MINUTES"],
    "POSITION": ["SUPINE", "STANDING"],
    "TEMPU": ["F", "C"],
    "LOC": ["ORAL CAVITY", "EAR"],
    "WEIGHTU": ["LB", "kg"],
    "HEIGHTU": ["IN", "cm"],
}
# A value outside is taken as it is, and asked about.
LIMITS = {"SYSBP": (90, 180), "DIABP": (50, 100), "PULSE": (45, 110)}
TYPES = {item[0]: item[2] for items in GROUPS.values() for item in items}


def rows(path):
    text = gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="")
    with text as file:
        return list(csv.DictReader(file))


def visit_oid(name):
    return re.sub(r"[^A-Z0-9]+", "-", name.upper()).strip("-")


def whole(text):
    """A number as R wrote it (`7.0`), as people enter it (`7`)."""
    return text.removesuffix(".0")


def given(text):
    return text not in ("", "NA")


class Source:
    """The three files, participant by participant."""

    def __init__(self, folder):
        folder = Path(folder)
        each, people = int(os.environ.get("PILOT_EACH", "0")), defaultdict(list)
        for row in rows(folder / "pv_dm.csv"):
            people[row["SITEID"]].append(row)
        # All of them, or the first of each site.
        self.whole = each == 0
        self.dm = {row["USUBJID"]: row for site in people.values() for row in site[: each or None]}
        self.sv, self.vs = defaultdict(list), defaultdict(list)
        visits = set()
        for row in rows(folder / "pv_sv.csv"):
            visits.add((float(row["VISITNUM"]), row["VISIT"], row["VISITDY"]))
            if row["USUBJID"] in self.dm:
                self.sv[row["USUBJID"]].append(row)
        for row in rows(folder / "pv_vs.csv.gz"):
            if row["USUBJID"] in self.dm:
                self.vs[row["USUBJID"], row["VISIT"]].append(row)
        self.measurements = sum(map(len, self.vs.values()))
        self.visits = sorted({(number, name) for number, name, _ in visits})
        self.days = {name: int(float(day)) for _, name, day in visits if given(day)}
        self.sites = sorted({row["SITEID"] for row in self.dm.values()})

    def of_site(self, site):
        return [subject for subject, row in sorted(self.dm.items()) if row["SITEID"] == site]

    def forms(self, subject):
        """Each visit with its date and its forms: {(visit, date): {form: [(group, repeat, item, value or None)]}}."""
        visits = {}
        for row in self.sv[subject]:
            forms = {"SV": [("SV", 1, oid, whole(row[oid])) for oid, *_ in SV if given(row[oid])]}
            if row["VISIT"] == "SCREENING 1":
                person = self.dm[subject]
                forms["DM"] = [("DM", 1, oid, person[oid]) for oid, *_ in DM if given(person[oid])]
            signs = self.vs.get((subject, row["VISIT"]))
            if signs:
                forms["VS"] = vital_signs(signs)
            visits[visit_oid(row["VISIT"]), row["SVSTDTC"]] = forms
        return visits

    def expected(self, subjects=None):
        """Every value at its place: {(subject, visit, 1, form, 1, group, repeat, item): value or None (not done)}."""
        return {
            (subject, visit, 1, form, 1, group, repeat, item): value
            for subject in (subjects or self.dm)
            for (visit, _), forms in self.forms(subject).items()
            for form, items in forms.items()
            for group, repeat, item, value in items
        }


def vital_signs(signs):
    """Measurements are lines in the file and fields on the form: one occurrence of the group for each moment."""
    items, seen = [], set()
    for row in signs:
        test, value = row["VSTESTCD"], row["VSORRES"] if given(row["VSORRES"]) else None
        if row["VSTPT"]:
            repeat = CODES["TPT"].index(row["VSTPT"]) + 1
            if repeat not in seen:
                seen.add(repeat)
                items += [("VSSIGNS", repeat, "VSTPT", row["VSTPT"]), ("VSSIGNS", repeat, "VSPOS", row["VSPOS"])]
            items.append(("VSSIGNS", repeat, test, value))
            wanted = UNITS[next(unit for oid, _, _, unit, _ in SIGNS if oid == test)]
            assert row["VSORRESU"] in ("", wanted), row
        else:
            items.append(("VSBODY", 1, test, value))
            items.append(("VSBODY", 1, test + "U", row["VSORRESU"]))
            if given(row["VSLOC"]):
                items.append(("VSBODY", 1, test + "LOC", row["VSLOC"]))
    return items


def design(source):
    """What a study designer sends."""

    def item(oid, name, data_type, unit, codes):
        item = {"oid": oid, "name": name, "labels": {"en": name}, "data_type": data_type}
        item |= {"unit": unit} if unit else {}
        item |= {"code_list": codes} if codes else {}
        if oid in LIMITS:
            item["range_checks"] = [
                {"comparator": comparator, "hard": False, "values": [str(limit)], "message": {"en": f"{name}: is this right?"}}
                for comparator, limit in zip(("GE", "LE"), LIMITS[oid])
            ]
        return item

    def refs(oids):
        return [{"oid": oid} for oid in oids]

    def visit(name):
        forms = ["SV", "VS"] if name != "SCREENING 1" else ["DM", "SV", "VS"]
        visit = {"oid": visit_oid(name), "name": name, "labels": {"en": name}, "forms": refs(forms)}
        if name in source.days and name != "BASELINE":
            visit["window"] = {"after": "BASELINE", "days": source.days[name] - 1, "early": 7, "late": 7}
        # What has no day in the protocol is unscheduled.
        if name not in source.days:
            visit["optional"] = True
        return visit

    return {
        "name": "CDISC pilot study 01",
        "version": "1.0",
        "visits": [visit(name) for _, name in source.visits],
        "forms": [
            {"oid": oid, "name": name, "labels": {"en": name}, "item_groups": refs(groups)}
            for oid, (name, groups) in FORMS.items()
        ],
        "item_groups": [
            {"oid": oid, "name": oid, "repeating": oid == "VSSIGNS", "items": refs(item[0] for item in items)}
            for oid, items in GROUPS.items()
        ],
        "items": [item(*of) for items in GROUPS.values() for of in items],
        "code_lists": [
            {"oid": oid, "name": oid, "codes": [{"value": code, "labels": {"en": code}} for code in codes]}
            for oid, codes in CODES.items()
        ],
        "units": {oid: {"en": name} for oid, name in UNITS.items()},
    }
