"""Drives the library `eventsourcing` with its AES cipher: reads what to do from stdin, one JSON object a line, and answers
each with a line of its own. Its cipher knows one key for everybody; here each aggregate has a cipher of its own."""

import json
import math
import sys
import threading
import time
from base64 import b64encode
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.cipher import AESCipher
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    DatetimeAsISO,
    EventStore,
    InfrastructureFactory,
    JSONTranscoder,
    Mapper,
    UUIDAsHex,
)

CONNECTIONS = 64


class Participant(Aggregate):
    """Somebody who takes part."""

    class Saved(Aggregate.Event):
        """A form was saved."""

        text: str


def cipher(key: str) -> AESCipher:
    """The library's cipher with this key, given in hex."""
    return AESCipher({"CIPHER_KEY": b64encode(bytes.fromhex(key)).decode()})


class PersonalMapper(Mapper):
    """Opens and seals each event with the cipher of its aggregate."""

    def __init__(self, transcoder, ciphers):
        super().__init__(transcoder)
        self.ciphers = {person: Mapper(transcoder, cipher=one) for person, one in ciphers.items()}

    def to_stored_event(self, domain_event):
        return self.ciphers[domain_event.originator_id].to_stored_event(domain_event)

    def to_domain_event(self, stored_event):
        return self.ciphers[stored_event.originator_id].to_domain_event(stored_event)


def environment(url: str) -> dict:
    """Where the events go: a file, or PostgreSQL."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": parts.path, "SQLITE_LOCK_TIMEOUT": "60"}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_HOST": parts.hostname,
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username,
        "POSTGRES_PASSWORD": parts.password,
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_POOL_SIZE": str(CONNECTIONS),
        "POSTGRES_CONNECT_TIMEOUT": "60",
    }


class Store:
    """The library's event store, which refuses a version that is taken."""

    def __init__(self, url, people, text):
        self.people = [UUID(person) for person, _ in people]
        self.versions = dict.fromkeys(self.people, 0)
        self.text = text
        self.recorder = InfrastructureFactory.construct(environment(url)).application_recorder()
        self.transcoder = JSONTranscoder()
        self.transcoder.register(UUIDAsHex())
        self.transcoder.register(DatetimeAsISO())
        self.events = self.opened_with({UUID(person): cipher(key) for person, key in people})

    def opened_with(self, ciphers):
        return EventStore(PersonalMapper(self.transcoder, ciphers), self.recorder)

    def write(self, person, text):
        version = self.versions[person] + 1
        event = Participant.Saved(
            originator_id=person,
            originator_version=version,
            timestamp=Participant.Saved.create_timestamp(),
            text=text,
        )
        self.events.put([event])
        self.versions[person] = version

    def append(self, clients, commits):
        """Each client has people of its own, so that no two write to the same one; its next once the last is durable."""
        work, times, faults = iter(range(commits)), [], []
        lock = threading.Lock()

        def client(number):
            own, taken = self.people[number::clients], []
            try:
                while True:
                    with lock:
                        if next(work, None) is None:
                            break
                    began = time.perf_counter()
                    self.write(own[len(taken) % len(own)], self.text)
                    taken.append(time.perf_counter() - began)
            except Exception as fault:  # it is told by the one who waits
                faults.append(fault)
            with lock:
                times.extend(taken)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        if faults:
            raise faults[0]
        times.sort()
        return {"seconds": seconds, "commits": len(times), "p50_ms": rank(times, 0.5), "p99_ms": rank(times, 0.99)}

    def read(self, person, key):
        try:
            events = self.opened_with({UUID(person): cipher(key)}).get(UUID(person))
            return {"texts": [event.text for event in events]}
        except Exception as fault:
            return {"texts": [], "fault": str(fault)}

    def answer(self, ask):
        match ask["do"]:
            case "append":
                return self.append(ask["clients"], ask["commits"])
            case "write":
                self.write(self.people[ask["person"]], ask["text"])
                return {}
            case "read":
                return self.read(ask["person"], ask["key"])
            case other:
                raise ValueError(f"what is {other}?")


def rank(ordered, share):
    return ordered[max(1, math.ceil(len(ordered) * share)) - 1] * 1000 if ordered else 0.0


def main():
    start = json.loads(sys.stdin.readline())
    store = Store(start["url"], start["people"], start["text"])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(store.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
