"""The three doors: which links there should be is computed from the records; making them so is separate."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from provision.files import replace_file
from provision.store.errors import taken
from provision.store.record import ModelRecord, claims, newest, slug

HF_CACHE = ".hf/hub"
MODELSCOPE_CACHE = ".modelscope"
TREES = ".provision/trees"


@dataclass(frozen=True)
class Doors:
    """What leads to one model's trees, relative to the store: `links` (place to tree) and `refs` (place to commit)."""

    links: Mapping[str, str]
    refs: Mapping[str, str]


def doors(repo: str, records: Sequence[ModelRecord]) -> Doors:
    """Return the doors of a model with these records: none where there are none.

    The path leads to the current commit. Each cache has every commit and every name, and the names of the default branch
    always: where no pull claimed them, they lead to the current commit too.
    """
    if not records:
        return Doors({}, {})
    current = newest(records)[0]
    names = {"main": current, "master": current} | claims(records)
    hf = f"{HF_CACHE}/models--{slug(repo)}"
    links = {repo: current} | {f"{hf}/snapshots/{record.commit}": record for record in records}
    if "/" in repo:  # ModelScope knows no model without an owner
        modelscope = f"{MODELSCOPE_CACHE}/models/{slug(repo)}/snapshots"
        links |= {f"{modelscope}/{record.commit}": record for record in records}
        links |= {f"{modelscope}/{name}": record for name, record in names.items()}
    trees = {place: f"{TREES}/{slug(repo)}/{record.tree}" for place, record in links.items()}
    refs = {name: record.commit for name, record in names.items() if name != record.commit}
    return Doors(trees, {f"{hf}/refs/{name}": commit for name, commit in refs.items()})


def refuse_foreign(root: Path, wanted: Doors) -> None:
    """Raise StoreError `store-name-taken` where a door would stand in the place of something that is not ours."""
    for place in wanted.links:
        path = root / place
        for above in [root / part for part in PurePosixPath(place).parents][:-1]:
            if above.is_symlink() or (above.exists() and not above.is_dir()):
                raise taken(above, "a link" if above.is_symlink() else "a file")
        if path.is_symlink() and TREES not in str(path.readlink()):
            raise taken(path, "a link to somewhere else")
        if path.exists() and not path.is_symlink():
            raise taken(path, "a folder" if path.is_dir() else "a file")


def open_doors(root: Path, wanted: Doors, scratch: Path) -> None:
    """Make each link and ref as wanted, one rename each out of the folder `scratch`; what is right is not touched.
    Raises OSError."""
    for place, tree in wanted.links.items():
        _point(root / place, os.path.relpath(root / tree, (root / place).parent), scratch / "door")
    for place, commit in wanted.refs.items():
        path = root / place
        if not path.is_file() or path.read_text() != commit:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, commit.encode(), scratch=scratch)


def stand(root: Path, wanted: Doors) -> bool:
    """Whether every door leads where it should."""
    return next(fallen(root, wanted), None) is None


def fallen(root: Path, wanted: Doors) -> Iterator[str]:
    """Find the places of doors that do not lead where they should."""
    for place, tree in wanted.links.items():
        if _told(lambda path: str(path.readlink()), root / place) != os.path.relpath(root / tree, (root / place).parent):
            yield place
    for place, commit in wanted.refs.items():
        if _told(Path.read_text, root / place) != commit:
            yield place


def close_doors(root: Path, before: Doors, after: Doors) -> None:
    """Take away what led to records that are gone, and the folders that this leaves empty. Raises OSError."""
    for place in {*before.links, *before.refs} - {*after.links, *after.refs}:
        path = root / place
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for above in path.relative_to(root).parents[:-1]:
                (root / above).rmdir()


def _point(link: Path, target: str, scratch: Path) -> None:
    """Make `link` a symbolic link to `target`, by rename. Raises OSError."""
    if link.is_symlink() and str(link.readlink()) == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    scratch.symlink_to(target)
    os.replace(scratch, link)


def _told(how: Callable[[Path], str], path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return how(path)
    return None
