"""Who is measured: where each keeps its commits, and what drives it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .ground import Fault
from .stores import Postgres, Sqlite, Store, Uma

HERE = Path(__file__).resolve().parent.parent
INSTALLED = Path(os.environ.get("LETHE_PEERS_HOME", HERE / "installed"))

RUST = [INSTALLED / "rust/release/peers"]
PYTHON = [sys.executable, "-m", "peers.workers.eventsourcing"]
NODE = ["node", INSTALLED / "node/emmett.mjs"]


@dataclass(frozen=True)
class Contender:
    """One event store as somebody would use it."""

    name: str
    what: str
    cipher: str
    store: type[Store]
    command: tuple
    deletes: str = "nothing: events stay"


ALL = [
    Contender(
        "eventsourcing-sqlite", "eventsourcing 9.5.6 (Python)", "its AESCipher (AES-256-GCM), one a person", Sqlite, (*PYTHON,)
    ),
    Contender(
        "eventsourcing-postgres", "eventsourcing 9.5.6 (Python)", "its AESCipher (AES-256-GCM), one a person", Postgres, (*PYTHON,)
    ),
    Contender("cqrs-es", "cqrs-es and postgres-es 0.5.0 (Rust)", "AES-256-GCM, ours", Postgres, (*RUST, "cqrs-es")),
    Contender("disintegrate", "disintegrate-postgres 4.0.1 (Rust)", "AES-256-GCM, ours", Postgres, (*RUST, "disintegrate")),
    Contender("umadb", "UmaDB 0.7.8 (server; Rust client)", "AES-256-GCM, ours", Uma, (*RUST, "umadb")),
    Contender("emmett", "emmett-postgresql 0.42.0 (Node)", "AES-256-GCM, ours", Postgres, (*NODE,)),
    Contender("pgcrypto", "plain SQL with pgcrypto (sqlx, Rust)", "pgp_sym_encrypt, aes256", Postgres, (*RUST, "pgcrypto")),
]


class Worker:
    """The process that drives one store: a line in, a line out."""

    def __init__(self, contender: Contender, url: str, people, text: str, log: Path):
        self.name, self.log = contender.name, log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in contender.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": str(HERE)},
            )
        self.ask({"url": url, "people": people, "text": text})

    def ask(self, what: dict) -> dict:
        """Asks, and waits for the answer."""
        try:
            print(json.dumps(what), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise Fault(f"{self.name} ended: {self.log.read_text(errors='replace').strip()[-2000:]}")
        return json.loads(line)

    def end(self):
        """Nothing more is asked."""
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
