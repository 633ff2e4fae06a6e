"""A model's files as a folder: hard links to blobs, built beside and moved into place whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from provision.store.record import ModelRecord

NO_HARD_LINK = frozenset({errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV})


def build(record: ModelRecord, blobs: Path, tree: Path, scratch: Path) -> None:
    """Make `tree` hold the record's files; one that stands is mended file by file. Raises OSError.

    `scratch` is an empty folder on the same file system.
    """
    if tree.is_dir():
        for file in record.files:
            if not is_linked(blobs / file.sha256, tree / file.path):
                _link(blobs / file.sha256, scratch / "file", tree / file.path)
                (tree / file.path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(scratch / "file", tree / file.path)
        return
    beside = scratch / "tree"
    beside.mkdir()
    for file in record.files:
        (beside / file.path).parent.mkdir(parents=True, exist_ok=True)
        _link(blobs / file.sha256, beside / file.path, tree / file.path)
    tree.parent.mkdir(parents=True, exist_ok=True)
    sync_folder(beside)
    beside.rename(tree)
    sync_folder(tree.parent)


def is_whole(record: ModelRecord, blobs: Path, tree: Path) -> bool:
    """Whether every file is there, is its blob, and has its right length; no byte is read."""
    return all(
        is_linked(blobs / file.sha256, tree / file.path) and (tree / file.path).stat().st_size == file.size
        for file in record.files
    )


def sync_folder(folder: Path) -> None:
    """Return once the folder's entries are on the disk itself."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_linked(blob: Path, file: Path) -> bool:
    """Whether `file` is the blob, by whichever kind of link."""
    try:
        return blob.samefile(file)
    except OSError:
        return False


def _link(blob: Path, place: Path, final: Path) -> None:
    """Put a link to `blob` at `place`, where nothing is; a symbolic one is written as it must read at `final`."""
    try:
        os.link(blob, place)
    except OSError as error:
        if error.errno not in NO_HARD_LINK:
            raise
        place.symlink_to(os.path.relpath(blob, final.parent))
