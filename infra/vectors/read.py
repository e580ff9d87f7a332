#!/usr/bin/env python3
"""Reads every vector of this folder as docs/format.md says, sharing no line with the program that wrote them.

Needs only Python 3 and its package `cryptography`. Run it without arguments: it says what it found and exits with 1
if anything differs from what a file promises.
"""
import hashlib, json, pathlib, sys
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = pathlib.Path(__file__).parent


class Refused(Exception):
    pass


def cbor(data):
    """One deterministic CBOR item (RFC 8949 section 4.2) that fills `data`: tags are dropped, the rest is checked."""
    def item(at):
        if at >= len(data):
            raise Refused("Spelling")
        major, info = data[at] >> 5, data[at] & 31
        at += 1
        if info < 24:
            number = info
        elif info < 28:
            size = 1 << (info - 24)
            if at + size > len(data):
                raise Refused("Spelling")
            number = int.from_bytes(data[at:at + size], "big")
            if number < (24 if size == 1 else 1 << (4 * size)):
                raise Refused("Spelling")
            at += size
        else:
            raise Refused("Spelling")
        if major == 0:
            return number, at
        if major in (2, 3):
            if at + number > len(data):
                raise Refused("Spelling")
            raw = bytes(data[at:at + number])
            return (raw if major == 2 else raw.decode()), at + number
        if major == 4:
            items = []
            for _ in range(number):
                value, at = item(at)
                items.append(value)
            return items, at
        if major == 5:
            pairs, last = {}, b""
            for _ in range(number):
                start = at
                key, at = item(at)
                if data[start:at] <= last:
                    raise Refused("Spelling")
                last = data[start:at]
                pairs[key], at = item(at)
            return pairs, at
        if major == 6:
            return item(at)
        if major == 7 and number == 22:
            return None, at
        raise Refused("Spelling")

    value, at = item(0)
    if at != len(data):
        raise Refused("Spelling")
    return value


def head(major, number):
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")


def enc(value):
    """Enough of an encoder for associated data."""
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return head(0, value)
    return head(4, len(value)) + b"".join(enc(one) for one in value)


def sha(data):
    return hashlib.sha256(data).digest()


def open_message(message, key, kid, external):
    protected, unprotected, ciphertext = cbor(message)
    if cbor(protected) != {1: 3, 4: kid.encode()}:
        raise Refused("KeyIds")
    try:
        return AESGCM(key).decrypt(unprotected[5], ciphertext, enc(["Encrypt0", protected, external]))
    except InvalidTag:
        raise Refused("Tag") from None


def place(values, events, scope, part):
    for pointer, value in values.items():
        node = events
        try:
            for step in pointer.split("/")[1:]:
                step = step.replace("~1", "/").replace("~0", "~")
                node = node[int(step) if isinstance(node, list) else step]
            empty = node["$personal"] == {"scope": scope, "part": part}
        except (LookupError, TypeError, ValueError):
            raise Refused("Content") from None
        if not empty:
            raise Refused("Content")
        node["$personal"]["value"] = value


def fields(plain, *names):
    found = json.loads(plain)
    if not set(found) <= set(names):
        raise Refused("Content")
    return found


def read_commit(bytes_, stream, keys):
    if len(bytes_) > 1 and bytes_[0] == 0x83 and bytes_[1] != 1:
        raise Refused("Version")
    version, raw_header, sections = cbor(bytes_)
    header = cbor(raw_header)
    if {name: header[name] for name in stream} != stream:
        raise Refused("OtherStream")
    kids = [kid for kid, _ in header["keys"]]
    people = [kid.split("/") for kid in kids[1:]]
    order = [(scope, part) for _, scope, part, _ in people]
    owner = stream["id"]
    if len(kids) != len(sections) or not kids[0].startswith("structure/") or any(p[0] != owner for p in people) \
            or order != sorted(set(order)):
        raise Refused("KeyIds")

    def section(index, external):
        kid, commitment = header["keys"][index]
        key = keys.get(kid)
        if key is None:
            raise Refused("UnknownKey")
        if key == "erased":
            return None
        key = bytes.fromhex(key["known"])
        if sha(b"lethe/key-commitment/v1" + key) != commitment:
            raise Refused("Commitment")
        names = ("values", "digest") if index else ("events", "digest")
        return fields(open_message(sections[index], key, kid, external), *names)

    structure = section(0, enc(["lethe/structure/v1", sha(raw_header), [sha(one) for one in sections[1:]]]))
    if len(structure["events"]) != len(header["events"]):
        raise Refused("Content")
    digest, erased = structure.get("digest"), []
    for index in range(1, len(sections)):
        values = section(index, enc(["lethe/values/v1", sha(raw_header)]))
        if values is None:
            erased.append(list(order[index - 1]))
            continue
        digest = values.get("digest", digest)
        place(values["values"], structure["events"], *order[index - 1])
    events = [{"name": n, "version": v, "body": b} for (n, v), b in zip(header["events"], structure["events"])]
    return {"hash": sha(bytes_).hex(), "events": events, "digest": digest, "erased": erased}


def read_tree(vector):
    tenant, nodes = vector["tenant"], {place: bytes.fromhex(raw) for place, raw in vector["nodes"].items()}

    def node(name, message, key):
        return cbor_or_raw(name, open_message(message, key, name, enc(["lethe/node/v1", tenant, name])))

    def cbor_or_raw(name, plain):
        return plain if name.startswith("node/") else cbor(plain)

    _, root, wrapped, body = cbor(nodes["top"])
    context = enc(["lethe/top/v1", tenant])
    top_key = open_message(wrapped, bytes.fromhex(vector["root_key"]), f"root/{root}",
                           enc(["lethe/root/v1", tenant, root, context]))
    structure, children = node("top", body, top_key)
    found = {f"structure/{generation}": key.hex() for generation, key in structure}
    bucket = next(name for name in nodes if name.startswith("bucket/"))
    first, second = int(bucket[7:9], 16), int(bucket[9:11], 16)
    child = children[32 * first:32 * first + 32]
    children = node(f"node/{first:02x}", cbor(nodes[f"node/{first:02x}"])[1], child)
    keys, fences = node(bucket, cbor(nodes[bucket])[1], children[32 * second:32 * second + 32])
    for person, scope, part, generation, key in keys:
        assert sha(person)[0] == first and sha(person)[1] == second
        text = person.hex()
        text = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        fenced = any(f[0] == person and f[1] in (None, scope) and f[2] in (None, part) and generation <= f[3]
                     for f in fences)
        found[f"{text}/{scope}/{part}/{generation}"] = None if fenced else key.hex()
    return found


def main():
    wrong = 0
    for file in sorted(FOLDER.glob("*.json")):
        vector = json.loads(file.read_text())
        if file.stem == "tree":
            same = read_tree(vector) == vector["keys"]
        else:
            try:
                got = read_commit(bytes.fromhex(vector["commit"]), vector["stream"], vector["keys"])
            except Refused as reason:
                got = str(reason)
            want = vector.get("refused") or {name: vector["opens"][name] for name in ("hash", "events", "digest", "erased")}
            same = got == want
        print("same     " if same else "DIFFERENT", file.name)
        wrong += not same
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
