"""The store itself: what others call."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import MachineError
from provision.events import Listener, silent
from provision.files import locked, replace_file
from provision.store import doors, sweep, trees
from provision.store.errors import StoreError, told
from provision.store.record import SHA256, ModelRecord, StoredFile, checked, claims, merged, newest, read_record, slug
from provision.store.verify import Damage, Looked, judge, look_at_all

if TYPE_CHECKING:
    from provision.store.restore import SourcesOf
    from provision.store.target import StoreTarget

KEPT_DAYS = 7.0  # what nobody refers to is kept so long: a pull may come back for it


class Store:
    """The model store at `root`. Making this object touches nothing; reading needs no right to write."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self._own = self.root / ".provision"
        self._blobs, self._prefixes = self._own / "blobs", self._own / "prefixes"
        self._records, self._building = self._own / "models", self._own / "building"
        self._trees = self.root / doors.TREES
        self._parsed: dict[Path, tuple[tuple[int, int, int], ModelRecord]] = {}

    @property
    def partial(self) -> Path:
        """Where a pull keeps what is on its way; on the blobs' file system."""
        return self._own / "partial"

    def target(self) -> StoreTarget:
        """Return the store as the place of a pull."""
        from provision.store.target import StoreTarget

        return StoreTarget(self)

    def environment(self, mount: str | None = None) -> dict[str, str]:
        """Return the variables that open the doors by name, where the store is seen at `mount` (else where it is).

        HF_HOME is left alone: tools write there, and the store may be mounted read-only.
        """
        root = mount.rstrip("/") if mount else str(self.root)
        return {
            "HF_HUB_CACHE": f"{root}/{doors.HF_CACHE}",
            "HF_HUB_OFFLINE": "1",
            "MODELSCOPE_CACHE": f"{root}/{doors.MODELSCOPE_CACHE}",
        }

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether the content is here, by its name and `size` in bytes; none of them is read."""
        try:
            return bool(SHA256.fullmatch(sha256)) and size in (None, self.blob_path(sha256).stat().st_size)
        except OSError:
            return False

    def blob_path(self, sha256: str) -> Path:
        """Return where the content is, or would be. Raises ValueError where that is no SHA-256."""
        if not SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256[:80]!r} is not a SHA-256")
        return self._blobs / sha256

    def add(self, sha256: str, part: Path) -> None:
        """Move in a verified file of this content; one that is here already stays and `part` goes. Raises OSError."""
        blob = self.blob_path(sha256)
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fchmod(handle, 0o444)
            os.fsync(handle)
        finally:
            os.close(handle)
        with self._held():  # of two that bring the same content, the links must be to one
            if self.has(sha256, part.stat().st_size):
                part.unlink()
                return
            self._blobs.mkdir(parents=True, exist_ok=True)
            os.replace(part, blob)

    def publish(self, record: ModelRecord, prefixes: Mapping[str, Sequence[str]] | None = None) -> ModelRecord:
        """Make a model whose files are all here whole under its names, and the current one; return the record as written.

        `prefixes`: by sha256, the digests of the content's first 8, 16, 24… MiB. Each door moves by one rename; killed at
        any instant, the old model or the new stands behind it, and publishing again opens what was not opened yet.
        Raises StoreError (`store-name-taken`, `blob-missing`, `disk-full`, `store-unwritable`), UsageError, ArrivalError.
        """
        record = checked(record)
        with told(self.root), self._held():
            earlier = self._of(record.repo)
            record = merged(record, earlier)
            self._refuse_missing(record.files)
            records = [record, *(old for old in earlier if old.commit != record.commit)]
            wanted = doors.doors(record.repo, records)
            doors.refuse_foreign(self.root, wanted)
            self._blobs.mkdir(parents=True, exist_ok=True)
            trees.sync_folder(self._blobs)
            trees.build(record, self._blobs, self._tree(record), self._building)
            for sha256, digests in (prefixes or {}).items():
                self._keep_prefixes(sha256, digests)
            self._write(record)
            doors.open_doors(self.root, wanted, self._building)
        return record

    def reopen(self, record: ModelRecord) -> None:
        """Lead the doors of a model whose contents are all here to them again; the record stays. Raises StoreError."""
        with told(self.root), self._held():
            self._refuse_missing(record.files)
            trees.build(record, self._blobs, self._tree(record), self._building)
            doors.open_doors(self.root, doors.doors(record.repo, self._of(record.repo)), self._building)

    def models(self) -> tuple[ModelRecord, ...]:
        """Return every record, by name, a model's current commit first. Raises StoreError `record-invalid`."""
        repos = sorted(path.name for path in self._records.iterdir()) if self._records.is_dir() else []
        return tuple(record for name in repos for record in newest(self._read(self._records / name)))

    def versions(self, repo: str) -> tuple[ModelRecord, ...]:
        """Return a model's records, the current one first. Raises UsageError `repo-invalid`, StoreError."""
        return tuple(newest(self._of(repo)))

    def record(self, repo: str, revision: str | None = None) -> ModelRecord | None:
        """Return the record that a name or commit leads to, the current one without, or None. Raises as `versions`."""
        known = self.versions(repo)
        if revision is None:
            return known[0] if known else None
        by_commit = {record.commit: record for record in known}
        return by_commit.get(revision) or claims(known).get(revision)

    def is_whole(self, record: ModelRecord) -> bool:
        """Whether every file is behind the doors with its right length; no byte is read."""
        stands = doors.stand(self.root, doors.doors(record.repo, self._of(record.repo)))
        return stands and trees.is_whole(record, self._blobs, self._tree(record))

    def verify(
        self, records: Sequence[ModelRecord], *, workers: int | None = None, listener: Listener = silent
    ) -> tuple[Damage, ...]:
        """Hash every file of the records again, each content once, and return those that are missing or damaged, and the
        doors that lead to none.

        `workers` threads (as many as there are processors). What is whole is noted as verified now, where that can be
        written. A record that another process removed or wrote anew meanwhile is as that one left it.
        """
        files = {file.sha256: file for record in records for file in record.files}
        looked = look_at_all(list(files.values()), self.blob_path, self._digests, workers or os.cpu_count() or 1, listener)
        same = [record for record in records if self._still(record)]
        found = [self._judged(record, file, looked) for record in same for file in record.files]
        damages = [bad for bad in found if bad]
        self._note_verified(same, {(bad.repo, bad.commit) for bad in damages}, looked)
        return (*damages, *self._fallen(same))

    def restore(self, damages: Sequence[Damage], sources: SourcesOf, listener: Listener = silent) -> None:
        """Make damaged models whole again, each from its `sources`: only damaged ranges are brought, where those are known.

        Raises StoreError, ArrivalError; what was mended by then stays so, and the rest is missing until the next pull.
        """
        from provision.store.restore import give_back, pull_all

        for damage in {one.sha256: one for one in damages if one.ranges}.values():
            with told(self.root), self._held():
                give_back(damage, self.blob_path(damage.sha256), self.partial)
        hurt = {(damage.repo, damage.commit) for damage in damages}
        pull_all(self, [record for record in self.models() if (record.repo, record.commit) in hurt], sources, listener)

    def gc(self, *, days: float = KEPT_DAYS, dry_run: bool = False) -> tuple[sweep.Swept, ...]:
        """Remove what nobody refers to and return it: commits superseded, blobs and parts untouched for `days`, trees and
        leftovers. A part that a process holds stays. With `dry_run` nothing is removed. Raises StoreError.
        """
        if not self._own.is_dir():
            return ()
        before = time.time() - days * 86400
        with told(self.root), self._held():
            gone = [old for repo in {record.repo for record in self.models()} for old in self._superseded(repo, before)]
            kept = [record for record in self.models() if record not in gone]
            if not dry_run:
                self._close(gone)
            rubbish = [
                *sweep.unused_trees(self._trees, kept),
                *sweep.unused_blobs(self._blobs, self._prefixes, kept, before),
                *sweep.abandoned_parts(self.partial, before),
            ]
            for one in [] if dry_run else rubbish:
                one.remove()
        commits = [sweep.Swept("commit", f"{record.repo}@{record.commit}", 0) for record in gone]
        return (*commits, *(one.swept for one in rubbish))

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the store's lock: one process at a time changes what others see. What is being built is in a folder that
        is empty at first, whatever a process that was killed has left there."""
        self._own.mkdir(parents=True, exist_ok=True)
        with locked(self._own / "lock", lambda: None):
            shutil.rmtree(self._building, ignore_errors=True)
            self._building.mkdir()
            yield

    def _tree(self, record: ModelRecord) -> Path:
        return self._trees / slug(record.repo) / record.tree

    def _of(self, repo: str) -> list[ModelRecord]:
        return self._read(self._records / slug(repo))

    def _read(self, folder: Path) -> list[ModelRecord]:
        return [self._parse(path) for path in sorted(folder.glob("*.json"))]

    def _parse(self, path: Path) -> ModelRecord:
        """Return a record, parsed once while its file stays the same: a hub asks for it with every request."""
        with told(self.root):
            stat = path.stat()
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        known = self._parsed.get(path)
        if known is None or known[0] != stamp:
            known = self._parsed[path] = stamp, read_record(path)
        return known[1]

    def _write(self, record: ModelRecord) -> None:
        path = self._records / slug(record.repo) / f"{record.commit}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, record.to_json(), scratch=self._building)
        trees.sync_folder(path.parent)

    def _refuse_missing(self, files: Sequence[StoredFile]) -> None:
        for file in files:
            if not self.has(file.sha256, file.size):
                raise StoreError(
                    f"the store does not have the content of {file.path} any more",
                    context=str(self.blob_path(file.sha256)),
                    hint="run the same command again: it will be brought",
                    reference="blob-missing",
                )

    def _superseded(self, repo: str, before: float) -> list[ModelRecord]:
        return sweep.superseded(self._of(repo), before)

    def _close(self, gone: Sequence[ModelRecord]) -> None:
        """Remove records, their doors first, so that no door ever leads to what no record protects."""
        for repo in {record.repo for record in gone}:
            records = self._of(repo)
            left = [record for record in records if record not in gone]
            after = doors.doors(repo, left)
            doors.open_doors(self.root, after, self._building)
            doors.close_doors(self.root, doors.doors(repo, records), after)
            for record in gone:
                if record.repo == repo:
                    (self._records / slug(repo) / f"{record.commit}.json").unlink()

    def _digests(self, sha256: str) -> list[str]:
        try:
            return (self._prefixes / sha256).read_text().split()
        except FileNotFoundError:
            return []

    def _keep_prefixes(self, sha256: str, digests: Sequence[str]) -> None:
        path = self._prefixes / sha256
        if digests and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, "".join(f"{digest}\n" for digest in digests).encode(), scratch=self._building)

    def _judged(self, record: ModelRecord, file: StoredFile, looked: Mapping[str, Looked | None]) -> Damage | None:
        return judge(record, file, looked[file.sha256], self.blob_path(file.sha256), self._tree(record) / file.path)

    def _still(self, record: ModelRecord) -> ModelRecord | None:
        """Return the record of the same commit as it is now, if it is of the same files."""
        return next((one for one in self._of(record.repo) if (one.commit, one.tree) == (record.commit, record.tree)), None)

    def _fallen(self, records: Sequence[ModelRecord]) -> Iterator[Damage]:
        """Find the doors of these records that do not lead where they should, as damages that bring nothing again."""
        for repo in {record.repo: None for record in records}:
            known = newest(self._of(repo))
            for place in doors.fallen(self.root, doors.doors(repo, known)):
                yield Damage(repo, known[0].commit, place, "", 0, "does not lead where it should", ())

    def _note_verified(
        self, records: Sequence[ModelRecord], bad: set[tuple[str, str]], looked: Mapping[str, Looked | None]
    ) -> None:
        """Write when each record was verified, and the prefix digests that were not known. A read-only store stays so."""
        with contextlib.suppress(StoreError, MachineError), told(self.root), self._held():
            for sha256, found in looked.items():
                self._keep_prefixes(sha256, found.prefixes if found else ())
            now = time.time()
            for record in records:
                current = self._still(record)
                if current and (record.repo, record.commit) not in bad:
                    self._write(replace(current, verified=now))
