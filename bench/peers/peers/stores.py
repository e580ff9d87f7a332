"""Where peers keep what they are given, and the table of keys beside it: as a careful user would have it, one key a person,
in the same place, deleted to shred. Each store is a folder with a server (or none) that can be stopped, copied, started."""

import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg

from .ground import Fault, Process, free_port, listens, run, somebody

KEYS = "CREATE TABLE IF NOT EXISTS person_keys (person {id} PRIMARY KEY, key {bytes} NOT NULL)"


def timed(work) -> float:
    """How long it takes, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


class Store:
    """A folder of its own."""

    url: str

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self):
        """Serves what is in the folder."""

    def stop(self):
        """Ends it, cleanly: what is to be written is written."""

    def copied(self, to: Path):
        """Another one, on a copy of the folder. Only when stopped."""
        shutil.copytree(self.folder, to, symlinks=True)
        return type(self)(to)

    def size(self) -> int:
        """Bytes in all files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


class SqliteKeys:
    """A table of keys in an SQLite file, as the standard library opens it."""

    def __init__(self, path: Path):
        self.path = path

    def connect(self):
        one = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        one.execute("PRAGMA journal_mode=WAL")
        one.execute("PRAGMA synchronous=FULL")
        return closing(one)

    def put(self, keys):
        with self.connect() as one:
            one.execute(KEYS.format(id="TEXT", bytes="BLOB"))
            one.execute("BEGIN")
            one.executemany("INSERT INTO person_keys VALUES (?, ?)", [(p, bytes.fromhex(k)) for p, k in keys])
            one.execute("COMMIT")

    def of(self, person):
        with self.connect() as one:
            row = one.execute("SELECT key FROM person_keys WHERE person = ?", [person]).fetchone()
        return row[0].hex() if row else None

    def delete(self, person) -> float:
        with self.connect() as one:
            return timed(lambda: one.execute("DELETE FROM person_keys WHERE person = ?", [person]))

    def tidy(self):
        with self.connect() as one:
            secure = one.execute("PRAGMA secure_delete").fetchone()[0]
            took = timed(lambda: (one.execute("VACUUM"), one.execute("PRAGMA wal_checkpoint(TRUNCATE)")))
        return f"VACUUM, wal_checkpoint(TRUNCATE); secure_delete is {secure}", took


class Sqlite(Store):
    """One SQLite file, keys in the same."""

    kind = "SQLite"

    def __init__(self, folder: Path):
        super().__init__(folder)
        folder.mkdir(exist_ok=True)
        path = folder / "events.db"
        self.url, self.keys = f"sqlite://{path}", SqliteKeys(path)

    def durability(self) -> str:
        """As it is, asked of a connection that sets nothing but the journal."""
        with closing(sqlite3.connect(self.folder / "events.db")) as one:
            mode, sync = (one.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))
        if (mode, sync) != ("wal", 2):
            raise Fault(f"SQLite has journal_mode {mode} and synchronous {sync}: not wal and FULL")
        return f"SQLite {sqlite3.sqlite_version}: journal_mode=WAL, synchronous=FULL (the WAL is synced at each commit)"


class Uma(Store):
    """UmaDB: one file. It deletes nothing, so keys stand beside it, in an SQLite file."""

    kind = "UmaDB"

    def __init__(self, folder: Path):
        super().__init__(folder)
        folder.mkdir(exist_ok=True)
        self.keys, self.server = SqliteKeys(folder / "keys.db"), None

    def start(self):
        port = free_port()
        binary = Path(sys.executable).with_name("umadb")
        command = [binary, "--listen", f"127.0.0.1:{port}", "--db-path", self.folder / "uma.db"]
        # It ends by the interrupt of a terminal.
        self.server = Process(command, self.folder.with_suffix(".log"), signal.SIGINT)
        self.server.wait_for(lambda: listens(port), "umadb")
        self.url = f"http://127.0.0.1:{port}"

    def stop(self):
        self.server.stop()

    def durability(self) -> str:
        return "UmaDB as it comes: each write transaction, shared by all who wait, is synced (fdatasync, twice) before it is answered"


class PostgresKeys:
    """A table of keys in the same database."""

    def __init__(self, store):
        self.store = store

    def connect(self):
        return psycopg.connect(self.store.url, autocommit=True)

    def put(self, keys):
        with self.connect() as one:
            one.execute(KEYS.format(id="uuid", bytes="bytea"))
            with one.transaction(), one.cursor() as cursor:
                cursor.executemany("INSERT INTO person_keys VALUES (%s, %s)", [(p, bytes.fromhex(k)) for p, k in keys])

    def of(self, person):
        with self.connect() as one:
            row = one.execute("SELECT key FROM person_keys WHERE person = %s", [person]).fetchone()
        return bytes(row[0]).hex() if row else None

    def delete(self, person) -> float:
        with self.connect() as one:
            return timed(lambda: one.execute("DELETE FROM person_keys WHERE person = %s", [person]))

    def tidy(self):
        with self.connect() as one:
            took = timed(lambda: (one.execute("VACUUM FULL person_keys"), one.execute("CHECKPOINT")))
        return "VACUUM FULL of the table of keys, CHECKPOINT", took


class Postgres(Store):
    """A PostgreSQL cluster of its own, as it comes, but for the number of connections; on loopback, with a password."""

    kind = "PostgreSQL"
    password = "scratch"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.keys, self.server, self.port = PostgresKeys(self), None, free_port()
        self.url = f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def start(self):
        binaries = postgres_binaries()
        who, owner = somebody()
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            secret = self.folder.with_suffix(".password")
            secret.write_text(self.password)
            own(self.folder, owner)
            own(secret, owner)
            run(
                [binaries / "initdb", "-D", self.folder, "-U", "postgres", "--auth=scram-sha-256"]
                + ["--encoding=UTF8", "--no-locale", f"--pwfile={secret}"],
                cwd="/",
                **who,
            )
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "max_connections": 100}
        command = [binaries / "postgres", "-D", self.folder]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self.folder.with_suffix(".log")
        log.touch()
        # The interrupt is a fast shutdown: connections are cut, a checkpoint is made.
        self.server = Process(command, log, signal.SIGINT, cwd="/", **who)
        self.server.wait_for(self.answers, "PostgreSQL")

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self):
        self.server.stop()

    def copied(self, to: Path):
        copy = super().copied(to)
        own_all(to, somebody()[1])
        return copy

    def durability(self) -> str:
        with self.keys.connect() as one:
            shown = {name: one.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "synchronous_commit", "wal_sync_method")}
            version = one.execute("SHOW server_version").fetchone()[0].split(" ")[0]
        if (shown["fsync"], shown["synchronous_commit"]) != ("on", "on"):
            raise Fault(f"PostgreSQL does not sync: {shown}")
        return f"PostgreSQL {version}: " + ", ".join(f"{name}={value}" for name, value in shown.items())


def own(path: Path, owner):
    """Gives a file to whoever runs PostgreSQL."""
    if owner:
        shutil.chown(path, *owner)


def own_all(folder: Path, owner):
    """Gives a folder with all that is in it."""
    for path in [folder, *folder.rglob("*")]:
        own(path, owner)


def postgres_binaries() -> Path:
    """Where Debian puts them, or the path has them."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if places:
        return places[-1].parent
    found = shutil.which("postgres")
    if not found:
        raise Fault("there is no PostgreSQL: apt-get install postgresql")
    return Path(found).resolve().parent
