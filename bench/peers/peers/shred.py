"""One person is shredded: what that takes, what is left in the files, what a copy of the folder from before still opens."""

from .contenders import Contender, Worker
from .ground import Fault
from .residue import occurrences
from .stores import Store


def shredded(contender: Contender, store: Store, people, canaries) -> dict:
    """`people[0]` is shredded, `people[1]` shows that the search finds what is there. The worker has ended."""
    (erased, key), (other, other_key) = people[0], people[1]
    secret, other_secret = bytes.fromhex(key), bytes.fromhex(other_key)
    store.stop()
    before = occurrences(store.folder, secret)
    copy = store.copied(store.folder.with_name(store.folder.name + "-yesterday"))
    store.start()
    try:
        deleted = store.keys.delete(erased)
        tidied, tidy_ms = store.keys.tidy()
        if store.keys.of(erased) is not None:
            raise Fault(f"{contender.name}: the key is still in its table")
    finally:
        store.stop()
    told = {
        "name": contender.name,
        "delete_ms": deleted,
        "tidied": tidied,
        "tidy_ms": tidy_ms,
        "key_before": before,
        "key_left": occurrences(store.folder, secret),
        "other_key_left": occurrences(store.folder, other_secret),
        "text_left": occurrences(store.folder, canaries[0].encode()),
        "copy": opened(contender, copy, people, canaries),
        "bytes": store.size(),
    }
    # A search that finds nothing anywhere, or a copy that tells nothing at all, would prove nothing.
    if not (told["key_before"] and told["other_key_left"] and told["copy"]["other_opens"]):
        raise Fault(f"{contender.name}: what is there is not found, so what is gone cannot be shown: {told}")
    return told


def opened(contender: Contender, copy: Store, people, canaries) -> dict:
    """Whether the copy tells what the erased person and another said, by the keys that are in the copy."""
    copy.start()
    try:
        keys = [copy.keys.of(person) for person, _ in people[:2]]
        worker = Worker(contender, copy.url, [], "", copy.folder.with_suffix(".worker"))
        try:
            read = [
                bool(key) and any(canary in text for text in worker.ask({"do": "read", "person": person, "key": key})["texts"])
                for (person, _), key, canary in zip(people[:2], keys, canaries, strict=True)
            ]
        finally:
            worker.end()
    finally:
        copy.stop()
    return {"erased_opens": read[0], "other_opens": read[1]}


