"""A scratch folder, and the processes that are started in it: exactly these are ended."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

STARTED_WITHIN = 60.0
STOPPED_WITHIN = 60.0

# Whatever runs when the folder goes is ended first.
STARTED: list = []


class Fault(Exception):
    """Something could not be done; said once, to whoever started the run."""


@contextmanager
def scratch():
    """A folder that others may pass through, as PostgreSQL runs as somebody who is not root; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="lethe-peers-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        for process in STARTED:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def somebody():
    """Who runs what refuses to be run by root: the arguments for `subprocess`, and the user to whom folders go."""
    if os.geteuid() != 0:
        return {}, None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}, (user.pw_uid, user.pw_gid)
    raise Fault("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run(command, **more) -> str:
    """Runs a command to its end and returns what it printed."""
    done = subprocess.run(
        [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **more
    )
    if done.returncode != 0:
        raise Fault(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


class Process:
    """A server of ours."""

    def __init__(self, command, log: Path, ends_by=signal.SIGTERM, **more):
        self.log, self.ends_by = log, ends_by
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more
            )
        STARTED.append(self)

    def wait_for(self, ready, what):
        """Waits until `ready` says so."""
        end = time.monotonic() + STARTED_WITHIN
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                tail = self.log.read_text(errors="replace")[-2000:]
                self.stop()
                raise Fault(f"{what} does not come up: {tail}")
            time.sleep(0.05)

    def stop(self):
        """Asks it to end, and waits for it."""
        if self.process.poll() is None:
            self.process.send_signal(self.ends_by)
            try:
                self.process.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def listens(port) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0
