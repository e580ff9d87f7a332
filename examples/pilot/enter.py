"""Enters the CDISC pilot study through the HTTP API, as 17 site users; reads it back; tries to see what is not theirs.

    enter.py URL TOKENS DATA

URL is the platform's. TOKENS is a JSON file: {"designer": token, "manager": token, "sites": {site: token}}. DATA is the
folder of pv_dm.csv, pv_sv.csv and pv_vs.csv.gz. The study must be there and empty.
"""

import json
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from api import Caller
from study import STUDY, Source, design

AT = f"/v1/studies/{STUDY}"
# The files say nothing of consent. Where the signed form is found is said with it, and is in the audit trail.
CONSENT = {"type": "give-consent", "version": "1.0", "reference": "CDISCPILOT01, informed consent on file at the site"}


def set_up(designer, source):
    made = designer.send(f"{AT}/designs", design(source))
    designer.send(AT, {"type": "publish-consent", "version": "1.0"})
    for site in source.sites:
        designer.send(AT, {"type": "open-site", "site": site, "name": f"Site {site}"})
        approval = {"version": "1.0", "site": site, "reference": f"CDISCPILOT01, board of site {site}"}
        designer.send(AT, {"type": "approve-consent"} | approval)
    designer.send(AT, {"type": "go-live", "design": made["design"]})
    return made["design"]


class Progress:
    def __init__(self, total):
        self.done, self.total, self.began, self.lock = 0, total, time.monotonic(), Lock()
        self.last = self.began

    def one(self):
        with self.lock:
            self.done += 1
            now = time.monotonic()
            if now - self.last > 10 or self.done == self.total:
                self.last, gone = now, now - self.began
                left = gone / self.done * (self.total - self.done)
                print(f"  {self.done} of {self.total} participants, {gone:.0f} s gone, {left:.0f} s left", flush=True)


def save(visit, form, items):
    def item(group, repeat, oid, value):
        said = {"value": value} if value is not None else {"not_done": "not-done"}
        return {"group": group, "group_repeat": repeat, "item": oid} | said

    return {"type": "save-items", "visit": visit, "form": form, "items": [item(*one) for one in items]}


def enter_site(caller, subjects, source, progress):
    """One site user enters the participants of one site. Returns their ids, and how many commands it took."""
    ids, commands = {}, 0
    for subject in subjects:
        ids[subject] = str(uuid.uuid4())
        at = f"{AT}/participants/{ids[subject]}"
        steps = [{"type": "register", "site": source.dm[subject]["SITEID"], "subject_number": subject}, CONSENT]
        for (visit, day), forms in source.forms(subject).items():
            steps.append({"type": "start-visit", "visit": visit, "on": day})
            steps += [save(visit, form, items) for form, items in forms.items()]
            steps += [{"type": "complete-form", "visit": visit, "form": form} for form in forms if form == "DM"]
        # The files say nothing of the day either: it was the day of the first visit at the latest.
        first = min(day for _, day in source.forms(subject))
        for step in steps:
            caller.send(at, step, f"{first}T00:00:00Z" if step is CONSENT else None)
        commands += len(steps)
        progress.one()
    return ids, commands


def read(caller, subject, participant, position):
    """Every value of one participant as the API shows it, and the dates of the visits."""
    book = caller.get(f"{AT}/participants/{participant}/casebook?min_position={position}")
    values = {}
    for form in book["forms"]:
        for item in form["items"]:
            place = (subject, form["visit"], form["visit_repeat"], form["form"], form["form_repeat"])
            place += (item["group"], item["group_repeat"], item["item"])
            assert item["value"] is not None or item["not_done"] == "not-done", place
            values[place] = item["value"]
    return values, {(visit["visit"], visit["on"]) for visit in book["visits"]}


def read_back(caller, subjects, ids, source, position):
    """Compares every value that this caller sees with its source. Returns how many were compared."""
    seen = {one["subject_number"]: one["participant"] for one in caller.pages(f"{AT}/participants?min_position={position}")}
    assert seen == {subject: ids[subject] for subject in subjects}, "the list is another than that of the site"
    lines = {line["subject_number"]: line for line in caller.pages(f"{AT}/matrix?min_position={position}")}
    assert set(lines) == set(subjects), "the matrix has other participants"
    compared = 0
    for subject in subjects:
        values, visits = read(caller, subject, ids[subject], position)
        wanted = source.expected([subject])
        assert values == wanted, f"{subject}: {set(values.items()) ^ set(wanted.items())}"
        assert visits == set(source.forms(subject)), f"{subject}: the visits differ"
        counted = {
            (visit["visit"], form["form"]): (form["state"], form["items"])
            for visit in lines[subject]["visits"]
            for form in visit["forms"]
        }
        forms = {
            (visit, form): ("completed" if form == "DM" else "begun", len(items))
            for (visit, _), forms in source.forms(subject).items()
            for form, items in forms.items()
        }
        assert counted == forms, f"{subject}: the matrix counts {set(counted.items()) ^ set(forms.items())}"
        compared += len(wanted)
    return compared


def foreign(caller, site, ids, source, description, live):
    """Tries every address of the API on participants of other sites. Returns how many answers were looked at."""
    own = set(source.of_site(site))
    others = {subject: ids[subject] for subject in ids if subject not in own}
    # One of each other site: what is refused for one is refused for all of it.
    some = {source.dm[subject]["SITEID"]: subject for subject in sorted(others, reverse=True)}
    # Commands are tried at the three sites after one's own: so each site is tried by three users.
    order = source.sites + source.sites
    next_ones = [some[order[order.index(site) + n]] for n in (1, 2, 3)]
    looked = 0

    def hidden(what, text):
        for subject, participant in others.items():
            assert participant not in text and subject not in text, f"site {site} sees {subject} in {what}"

    def fill(path, participant):
        for name, value in [("study", STUDY), ("participant", participant), ("design", live), ("other", live)]:
            path = path.replace("{" + name + "}", value)
        # What is not there yet: the address is tried all the same.
        return path.replace("{erasure}", str(uuid.uuid4())).replace("{list}", "main")

    commands = [
        CONSENT,
        save("SCREENING-1", "DM", [("DM", 1, "AGE", "99")]),
        {"type": "complete-form", "visit": "SCREENING-1", "form": "DM"},
        {"type": "open-query", "place": {"level": "participant"}, "text": "Who is this?"},
        {"type": "record", "details": {"given_name": "Nobody"}},
        {"type": "request-erasure", "erasure": str(uuid.uuid4()), "justification": "consent-withdrawn"},
        {"type": "withdraw"},
    ]
    for path, operations in description["paths"].items():
        if "{participant}" not in path:
            if "get" in operations:
                status, body = caller.ask("GET", fill(path, ""))
                hidden(f"GET {path} ({status})", json.dumps(body))
                looked += 1
            continue
        for subject in some.values():
            at = fill(path, others[subject])
            if "get" in operations:
                status, body = caller.ask("GET", at)
                # An address with a part that this program does not know is not even one.
                refused = (400, 403, 404) if "{" in at else (403, 404)
                assert status in refused, f"GET {path} at another site: {status}"
                hidden_but_asked(body, subject)
                looked += 1
            for command in commands if "post" in operations and subject in next_ones else []:
                status, body = caller.ask("POST", at, command)
                assert status in (400, 403, 404, 422), f"POST {path} {command['type']} at another site: {status}"
                hidden_but_asked(body, subject)
                looked += 1
    for subject in next_ones:
        line = {"aggregate": "participant", "id": others[subject], "command": commands[1]}
        _, answers = caller.ask("POST", f"{AT}/commands", json.dumps(line) + "\n", "application/x-ndjson", lines=True)
        assert [answer["status"] in (403, 404) for answer in answers] == [True], f"bulk: {answers}"
        new = {"type": "register", "site": source.dm[subject]["SITEID"], "subject_number": f"X-{site}"}
        status, body = caller.ask("POST", f"{AT}/participants/{uuid.uuid4()}", new)
        assert (status, body.get("code")) == (422, "no-such-site"), f"a site user registers at another site: {status}"
        for view in ("queries", "matrix"):
            status, body = caller.ask("GET", f"{AT}/{view}?site={source.dm[subject]['SITEID']}")
            assert status in (403, 404) or body["items"] == [], f"{view} of another site: {status}"
        status, body = caller.ask("GET", f"{AT}/queries?participant={others[subject]}")
        assert status in (403, 404) or body["items"] == [], f"queries of another site's participant: {status}"
        looked += 5
    return looked


def hidden_but_asked(body, subject):
    """A refusal may repeat the address that was asked, and nothing else of the participant."""
    assert subject not in json.dumps(body), f"a refusal names {subject}"


def main(url, tokens, data):
    tokens, source = json.load(open(tokens)), Source(data)
    assert len(source.sites) == 17, "these are other files"
    if source.whole:
        assert len(source.dm) == 306 and source.measurements == 29643, "these are other files"
    began = time.monotonic()
    live = set_up(Caller(url, tokens["designer"]), source)
    users = {site: Caller(url, token) for site, token in tokens["sites"].items()}
    print(f"set up: design {live[:12]} with {len(source.visits)} visits, {len(source.sites)} sites, {len(users)} site users")

    progress = Progress(len(source.dm))
    with ThreadPoolExecutor(len(users)) as pool:
        entering = {
            site: pool.submit(enter_site, caller, source.of_site(site), source, progress)
            for site, caller in users.items()
        }
        done = {site: entry.result() for site, entry in entering.items()}
    ids = {subject: participant for entered, _ in done.values() for subject, participant in entered.items()}
    commands, seconds = sum(commands for _, commands in done.values()), time.monotonic() - began
    expected = source.expected()
    print(f"entered: {len(ids)} participants, {len(expected)} values ({source.measurements} of them measurements) in "
          f"{commands} commands, {seconds:.0f} s")

    position = max((caller.position for caller in users.values()), key=lambda text: int(text.rsplit(":", 1)[1]))
    manager = Caller(url, tokens["manager"])
    compared = {site: read_back(caller, source.of_site(site), ids, source, position) for site, caller in users.items()}
    print(f"read back by {len(users)} site users: {sum(compared.values())} values, each as in its source")
    everything = read_back(manager, sorted(source.dm), ids, source, position)
    assert everything == len(expected) == sum(compared.values())
    print(f"read back by the data manager: {everything} values, each as in its source")

    with_consent = next(iter(ids.values()))
    trail = json.dumps(list(manager.pages(f"{AT}/participants/{with_consent}/audit")))
    assert CONSENT["reference"] in trail, "the reference to the consent is in the audit trail"

    description = manager.get("/openapi.json")
    with ThreadPoolExecutor(len(users)) as pool:
        looking = [
            pool.submit(foreign, caller, site, ids, source, description, live) for site, caller in users.items()
        ]
        looked = sum(look.result() for look in looking)
    assert read_back(manager, sorted(source.dm), ids, source, position) == everything
    print(f"site users at other sites: {looked} answers, none shows a participant of another site; nothing was changed")
    queries = list(manager.pages(f"{AT}/queries"))
    print(f"queries: {len(queries)} opened by the range checks")
    own = [set(one["site"] for one in caller.pages(f"{AT}/queries")) <= {site} for site, caller in users.items()]
    assert all(own), "a site user sees the queries of another site"


if __name__ == "__main__":
    main(*sys.argv[1:])
