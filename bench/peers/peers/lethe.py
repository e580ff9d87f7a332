"""Lethe itself, by its command line: `lethe bench append` for the rates, and an erasure for what remains."""

import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from .ground import Fault, Process, run
from .residue import occurrences

DESIGN = Path(__file__).resolve().parents[3] / "examples/vital-signs.odm.xml"
PEOPLE = 20


def round_of(binary: Path, clients, commits: int, folder: Path) -> list[dict]:
    """One round of `lethe bench append`, on a platform of its own: ours, and the raw publishes beside it."""
    wanted = ",".join(map(str, clients))
    command = [binary, "bench", "append", "--clients", wanted, "--commands", commits, "--rounds", 1, "--json"]
    said = run(command, env={**bare(), "TMPDIR": str(folder)})
    rows = json.loads(said)["results"]
    return [row for row in rows if re.fullmatch(r"append\.\w+\.\d+", row["name"])]


def bare() -> dict:
    """The environment without what would point Lethe elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}


class Site:
    """A platform with a study and some people."""

    def __init__(self, binary: Path, folder: Path):
        self.binary, self.folder = binary, folder
        self.data, self.kms, self.off_site = (folder / name for name in ("data", "kms", "off-site"))
        self.tokens, self.server = {}, None
        self.kms.mkdir(parents=True)
        self.off_site.mkdir()

    def lethe(self, *arguments, **env) -> str:
        said = run([self.binary, *arguments], env={**self.environment(), **env})
        return said.strip()

    def environment(self) -> dict:
        return {**bare(), "LETHE_DATA_DIR": str(self.data), "LETHE_KMS": f"file:{self.kms}", "LETHE_OFF_SITE": str(self.off_site)}

    def start(self):
        """Serves; raises a `Fault` if it does not."""
        note = self.data / "run.json"
        note.unlink(missing_ok=True)
        command = [self.binary, "serve", "--listen", "127.0.0.1:0"]
        self.server = Process(command, self.folder / "serve.log", env=self.environment())
        self.server.wait_for(self.ready, "lethe serve")

    def ready(self) -> bool:
        try:
            self.url = json.loads((self.data / "run.json").read_text())["url"]
            return self.ask("GET", "/readyz")[0] == 200
        except (OSError, ValueError, KeyError):
            return False

    def stop(self):
        self.server.stop()

    def ask(self, method, path, body=None, role=None, media="application/json"):
        """The status, and what was said."""
        request = urllib.request.Request(self.url + path, method=method, data=body and body.encode())
        if body:
            request.add_header("Content-Type", media)
        if role:
            request.add_header("Authorization", f"Bearer {self.tokens[role]}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def furnish(self):
        """Tenant, study, those who work in it."""
        self.lethe("tenant", "create", "acme")
        self.lethe("study", "create", "--tenant", "acme", "peers", "--name", "Peers")
        for role in ("study-designer", "investigator", "dpo", "controller"):
            self.tokens[role] = self.lethe("token", "create", "--tenant", "acme", "--role", role, "--name", role)
        designer = {"LETHE_TOKEN": self.tokens["study-designer"]}
        self.lethe("study", "import", DESIGN, "--study", "peers", **designer)
        self.lethe("study", "open-site", "oslo", "--name", "Oslo", "--study", "peers", **designer)
        self.lethe("study", "go-live", "--study", "peers", **designer)

    def enrol(self, people, canaries):
        lines = []
        for n, person in enumerate(people):
            canary = canaries[n] if n < len(canaries) else f"Kvistberg{n}"
            for aggregate, command in (
                ("participant", {"type": "register", "site": "oslo", "subject_number": f"OSLO-{n:03}"}),
                ("participant", {"type": "give-consent", "version": "1.0"}),
                ("identity", {"type": "record", "details": {"given_name": "Ingrid", "family_name": canary}}),
            ):
                lines.append(json.dumps({"aggregate": aggregate, "id": person, "command": command}))
        status, said = self.ask(
            "POST", "/v1/studies/peers/commands", "\n".join(lines) + "\n", "investigator", "application/x-ndjson"
        )
        refused = [line for line in said.splitlines() if json.loads(line)["status"] >= 300]
        if status >= 300 or refused:
            raise Fault(f"Lethe refused: {status} {refused[:1] or said[:500]}")

    def tells(self, person, canary) -> bool:
        """Whether the identity of somebody can be read."""
        return canary in self.ask("GET", f"/v1/studies/peers/participants/{person}/identity", role="investigator")[1]

    def from_copy(self, folder: Path, elsewhere: Path) -> "Site":
        """A copy of the data that serves, with the KMS and the off-site copy that stand `elsewhere`; asked by the same people."""
        copy = object.__new__(Site)
        copy.binary, copy.folder, copy.data = self.binary, folder, folder / "data"
        copy.kms, copy.off_site = elsewhere / "kms", elsewhere / "off-site"
        copy.tokens, copy.server = self.tokens, None
        return copy


def erased(binary: Path, folder: Path, canaries) -> dict:
    """One person is erased, as two people do it; then the files are searched, and a copy from before is served."""
    site, people = Site(binary, folder), [str(uuid.uuid4()) for _ in range(PEOPLE)]
    site.start()
    site.furnish()
    site.enrol(people, canaries)
    if not all(site.tells(person, canary) for person, canary in zip(people, canaries)):
        raise Fault("Lethe does not tell what was just entered")
    backups, secret = folder / "backups", folder / "backup.key"
    recipient = site.lethe("backup", "keygen", "--out", secret)
    backups.mkdir()
    site.lethe("backup", "create", "--tenant", "acme", "--to", backups, "--recipient", recipient)
    site.stop()
    yesterday = folder.with_name(folder.name + "-yesterday")
    shutil.copytree(site.folder, yesterday)
    again = folder.with_name(folder.name + "-yesterday-whole")
    shutil.copytree(site.folder, again)
    before = occurrences(site.folder, canaries[0].encode())
    site.start()
    began = time.perf_counter()
    request = site.lethe("erase", "request", people[0], "--study", "peers", LETHE_TOKEN=site.tokens["dpo"])
    approval = {"LETHE_TOKEN": site.tokens["controller"]}
    site.lethe("erase", "approve", request, "--instruction", "PEERS/1", "--yes", **approval)
    took = (time.perf_counter() - began) * 1000
    now = {"erased_opens": site.tells(people[0], canaries[0]), "other_opens": site.tells(people[1], canaries[1])}
    site.stop()
    told = {
        "name": "lethe",
        "id_found": len(occurrences(site.data, people[0].encode())),
        "erase_ms": took,
        "text_before": before,
        "text_left": occurrences(site.folder, canaries[0].encode()),
        "other_text_left": occurrences(site.folder, canaries[1].encode()),
        "now": now,
        "copy": served(site.from_copy(yesterday, folder), people, canaries),
        "copy_of_everything": served(site.from_copy(again, again), people, canaries),
    }
    # Last, as what is restored takes the place of the site.
    restored = site.from_copy(folder.with_name(folder.name + "-restored"), folder)
    restored.folder.mkdir()
    restored.lethe("restore", "--tenant", "acme", "--from", backups, "--identity", secret, "--yes")
    told["backup_restored"] = served(restored, people, canaries)
    if not (told["id_found"] and told["now"]["other_opens"] and told["backup_restored"]["other_opens"]):
        raise Fault(f"Lethe: what is there is not found, so what is gone cannot be shown: {told}")
    return told


def served(copy: Site, people, canaries) -> dict:
    """Whether a copy tells what the erased person and another said."""
    try:
        copy.start()
    except Fault as fault:
        return {"erased_opens": False, "other_opens": False, "fault": str(fault)[-300:]}
    try:
        return {
            "erased_opens": copy.tells(people[0], canaries[0]),
            "other_opens": copy.tells(people[1], canaries[1]),
        }
    finally:
        copy.stop()
