"""Judges what wapiti found: scan.py NAME FILE"""

import json, sys

name, path = sys.argv[1:]
report = json.load(open(path, encoding="utf-8"))
# It names each address that answers OPTIONS, even by a refusal.
HARMLESS = {"HTTP Methods"}
faults, pages = [], report["infos"]["crawled_pages_nbr"]
for kind in ("vulnerabilities", "anomalies", "additionals"):
    for what, found in report[kind].items():
        if what in HARMLESS and kind == "additionals":
            continue
        faults += [f"{kind}, {what}: {one['method']} {one['path']} {one['parameter']}: {one['info']}" for one in found]
print(f"wapiti, {name}: {pages} pages, {len(faults)} findings")
print("\n".join(faults))
if pages < (3 if name == "nobody" else 10):
    faults.append("next to nothing was found to scan")
sys.exit(bool(faults))
