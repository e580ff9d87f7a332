"""Measures, shreds, searches; prints one JSON object."""

import argparse
import json
import os
import platform
import secrets
import signal
import statistics
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from . import lethe
from .contenders import ALL, Worker
from .ground import Fault, scratch
from .shred import shredded

CLIENTS = (1, 8, 64)

# Each client has some of its own.
PEOPLE = 256

# What is sealed: with nonce and tag, about 1 KiB.
TEXT_BYTES = 960


def arguments():
    parser = argparse.ArgumentParser(prog="bench/peers/run", description="Event stores that others made, beside Lethe.")
    parser.add_argument("--quick", action="store_true", help="few commits: to see that it works, not to measure")
    parser.add_argument("--json", metavar="FILE", type=Path, help="where the result goes; otherwise to stdout")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, everybody in turn; one more goes before, unmeasured")
    parser.add_argument("--commits", type=int, default=2000, help="commits a round; one client writes a fifth")
    parser.add_argument("--only", metavar="NAMES", help="only these, with commas: " + ", ".join(one.name for one in ALL))
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.commits = 2, 200
    return given


def text() -> str:
    """Four values of a form, who saved them and when: the same for everybody."""
    said = {
        "type": "items-saved",
        "visit": "V07",
        "form": "F",
        "items": [{"group": "G", "item": f"I{n:02}", "value": f"{40 + n}.5"} for n in range(4)],
        "by": str(uuid.uuid4()),
        "at": datetime.now(UTC).isoformat(),
    }
    said["note"] = "as measured".ljust(TEXT_BYTES - len(json.dumps({**said, "note": ""})), ".")
    return json.dumps(said)


def note(*words):
    print(*words, file=sys.stderr, flush=True)


class Entry:
    """A contender with its store, its worker, and somebody to shred."""

    def __init__(self, contender, folder: Path, said: str):
        self.contender = contender
        self.people = [(str(uuid.uuid4()), secrets.token_hex(32)) for _ in range(PEOPLE)]
        self.canaries = [f"canary-{secrets.token_hex(12)}" for _ in range(2)]
        self.store = contender.store(folder / contender.name)
        self.worker = None
        self.store.start()
        self.store.keys.put(self.people)
        self.worker = Worker(contender, self.store.url, self.people, said, folder / f"{contender.name}.worker")
        for person, canary in enumerate(self.canaries):
            self.worker.ask({"do": "write", "person": person, "text": said.replace("as measured", canary)})
        self.durability = self.store.durability()

    def close(self):
        if self.worker:
            self.worker.end()
            self.worker = None


def measure(given, entries, folder: Path, binary: Path) -> dict:
    """Everybody in turn, round by round: what each wrote a second, by name and number of clients."""
    seen: dict = {}

    def take(name, clients, rate, **more):
        seen.setdefault((name, clients), []).append({"rate": rate, **more})

    for number in range(given.rounds + 1):
        note(f"round {number} of {given.rounds}" + ("" if number else ", to warm up"))
        for entry in entries:
            for clients in CLIENTS:
                commits = given.commits // 5 if clients == 1 else given.commits
                done = entry.worker.ask({"do": "append", "clients": clients, "commits": commits})
                rate = done.pop("commits") / done.pop("seconds")
                if number:
                    take(entry.contender.name, clients, rate, **done)
        # It has a round of its own before, so it needs no other.
        for row in lethe.round_of(binary, CLIENTS, given.commits, folder) if number else []:
            door, clients = row["name"].split(".")[1:]
            take(f"lethe-{door}", int(clients), row["ours"], p50_ms=row["p50_ms"], p99_ms=row["p99_ms"])
            if door == "http":
                limit = {"p50_ms": row["raw_p50_ms"], "p99_ms": row.get("raw_p99_ms")}
                take("jetstream", int(clients), row["raw"], **limit)
    return seen


def results(seen) -> list[dict]:
    """Medians over the rounds, beside the raw publishes of the same run."""
    middle = {key: statistics.median(round["rate"] for round in rounds) for key, rounds in seen.items()}
    rows = []
    for (name, clients), rounds in seen.items():
        rates, ours = [round["rate"] for round in rounds], middle[name, clients]
        raw = middle.get(("jetstream", clients))
        row = {
            "name": f"peers.{name}.{clients}",
            "ours": round(ours, 1),
            "raw": raw and round(raw, 1),
            "ratio": raw and round(ours / raw, 3),
            "unit": "1/s",
            "spread": round((max(rates) - min(rates)) / ours, 3),
            "rounds": len(rates),
        }
        for more in ("p50_ms", "p99_ms", "again"):
            values = [one[more] for one in rounds if one.get(more) is not None]
            if values:
                row[more] = round(statistics.median(values), 3)
        rows.append(row)
    return rows


def about(given, entries, binary: Path) -> dict:
    return {
        "quick": given.quick,
        "rounds": given.rounds,
        "commits": given.commits,
        "clients": CLIENTS,
        "text_bytes": TEXT_BYTES,
        "people": PEOPLE,
        "day": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "lethe": lethe.run([binary, "--version"]).strip(),
        "contenders": {
            entry.contender.name: {
                "what": entry.contender.what,
                "store": entry.store.kind,
                "cipher": entry.contender.cipher,
                "durability": entry.durability,
            }
            for entry in entries
        },
    }


def whole(given, binary: Path, folder: Path) -> dict:
    wanted = given.only.split(",") if given.only else [one.name for one in ALL]
    said, entries = text(), []
    try:
        for contender in ALL:
            if contender.name in wanted:
                note(f"{contender.name}: starting")
                entries.append(Entry(contender, folder, said))
        told = about(given, entries, binary)
        seen = measure(given, entries, folder, binary)
        residue = []
        for entry in entries:
            note(f"{entry.contender.name}: one person is shredded")
            entry.close()
            residue.append(shredded(entry.contender, entry.store, entry.people, entry.canaries))
    finally:
        for entry in entries:
            entry.close()
    note("lethe: one person is erased")
    canaries = [f"Canary{secrets.token_hex(12)}" for _ in range(2)]
    residue.append(lethe.erased(binary, folder / "lethe", canaries))
    return {"about": told, "results": results(seen), "residue": residue}


def main() -> int:
    given, binary = arguments(), Path(os.environ["LETHE_BIN"])
    # Ended from outside, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        with scratch() as folder:
            told = whole(given, binary, folder)
    except Fault as fault:
        note(f"error: {fault}")
        return 1
    told["about"]["seconds"] = round(time.monotonic() - began)
    said = json.dumps(told, indent=1)
    if given.json:
        given.json.write_text(said + "\n")
    else:
        print(said)
    return 0


sys.exit(main())
