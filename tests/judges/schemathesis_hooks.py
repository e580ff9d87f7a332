"""What schemathesis must know of this API: who may ask, ids and positions that are there, and newline-delimited JSON."""

import atexit
import collections
import hashlib
import json
import os
import pathlib

import schemathesis

REAL = json.loads(os.environ["JUDGE_REAL"])
CALLERS = {
    file.name: file.read_text(encoding="utf-8").strip()
    for file in sorted(pathlib.Path(os.environ["JUDGE_TOKENS"]).iterdir())
}
SENT = collections.Counter()


def chance(*drawn):
    """Chance that comes from what was drawn: a seed repeats it."""
    return hashlib.sha256(repr(drawn).encode(errors="replace")).digest()


@schemathesis.auth(refresh_interval=None)
class Anybody:
    """Each request is sent by one of all roles, or in the session."""

    def get(self, case, context):
        drawn = chance(case.method, case.path_parameters, case.query, case.body)
        return list(CALLERS)[drawn[2] % len(CALLERS)]

    def set(self, case, who, context):
        case.headers["Authorization"] = f"Bearer {CALLERS[who]}"
        SENT[who] += 1


@atexit.register
def say_who_asked():
    """How many requests each caller was drawn for."""
    with open(os.environ["JUDGE_SENT"], "w", encoding="utf-8") as file:
        json.dump({who: SENT[who] for who in CALLERS}, file)


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Seven of eight ids are of something that is there."""
    for name, drawn in list((path_parameters or {}).items()):
        draw = chance(name, drawn)
        if REAL.get(name) and draw[0] % 8:
            path_parameters[name] = REAL[name][draw[1] % len(REAL[name])]
    return path_parameters


@schemathesis.hook
def map_query(context, query):
    """Seven of eight positions are those of now: an invented one is refused before anything else is looked at."""
    for name in ("min_position", "as_of_position"):
        if query and name in query and chance(name, query[name])[0] % 8:
            query[name] = REAL["position"][name]
    return query


@schemathesis.serializer("application/x-ndjson")
def lines_of(context, value):
    """A list is one line each; anything else is one line."""
    if isinstance(value, bytes):
        return value
    lines = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in lines).encode(errors="surrogatepass")


@schemathesis.deserializer("application/x-ndjson")
def from_lines(context, response):
    """Each line is one value of the described shape, and the first stands for all. Datasets are described as text."""
    text = response.content.decode()
    if "/dataset-json/" in response.request.url:
        return text
    lines = [json.loads(line) for line in text.splitlines() if line]
    return lines[0] if lines else None
