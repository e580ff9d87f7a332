"""What is left in files: a search of every byte, in every spelling that somebody may have used."""

import mmap
from base64 import b64encode
from pathlib import Path


def spellings(secret: bytes) -> list[bytes]:
    """As it is, in hex, in base64 at each of its three offsets."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):
        whole = b64encode(bytes(shift) + secret)
        # What the neighbours take part in is cut off.
        found.add(whole[(shift * 8 + 5) // 6 : (len(secret) + shift) * 8 // 6])
    return sorted(found)


def occurrences(folder: Path, secret: bytes) -> dict[str, int]:
    """How often each file has it; files that have it not are not named."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size == 0:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            count = sum(count_in(content, spelling) for spelling in spellings(secret))
        if count:
            found[str(path.relative_to(folder))] = count
    return found


def count_in(content, needle: bytes) -> int:
    """How often it is there, overlaps apart."""
    count, at = 0, content.find(needle)
    while at >= 0:
        count += 1
        at = content.find(needle, at + len(needle))
    return count
