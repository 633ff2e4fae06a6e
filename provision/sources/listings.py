"""What a hub lists is held to its types before anything is made of it."""

from __future__ import annotations

from provision.sources.interface import RemoteFile

LARGEST = 2**63  # bytes; no file system holds more


def remote_file(path: object, size: object, sha256: object, blob_id: object) -> RemoteFile:
    """Return the file that a listing speaks of; an empty digest is none. Raises ValueError where it is no such thing."""
    if not isinstance(path, str) or not path:
        raise ValueError("a path that is no text")
    path.encode()  # a lone surrogate is no text either
    if isinstance(size, str) and size.isascii() and size.isdigit():
        size = int(size[:20])
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < LARGEST:
        raise ValueError("a size that is no number of bytes")
    return RemoteFile(path, size, _digest(sha256), _digest(blob_id))


def _digest(told: object) -> str | None:
    if told is not None and not isinstance(told, str):
        raise ValueError("a digest that is no text")
    return told.lower() if told else None
