"""The store as the place of a pull."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from provision.download.record import ArrivedFile, Pulled
from provision.sources.interface import ModelRef, RemoteFile
from provision.store.record import ModelRecord, StoredFile

if TYPE_CHECKING:
    from provision.store.store import Store


class StoreTarget:
    """See `provision.download.target.Target`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_blob_id: dict[tuple[str, int], str] | None = None

    @property
    def partial(self) -> Path:
        return self._store.partial

    def known(self, ref: ModelRef) -> Pulled | None:
        """Return the commit that `ref` names in the store, if it is whole."""
        record = self._store.record(ref.repo, ref.revision)
        if record is None or not self._store.is_whole(record):
            return None
        files = tuple(ArrivedFile(file.path, file.size, file.sha256, file.blob_id, file.shares) for file in record.files)
        path = self._store.root / record.repo
        return Pulled(record.repo, ref.revision, record.commit, record.source, files, record.left_out, path=path)

    def find(self, file: RemoteFile) -> str | None:
        """Return the file's sha256 if the store has the content, from this model or another."""
        sha256 = file.sha256 or self._known_blobs().get((file.blob_id or "", file.size))
        return sha256 if sha256 and self._store.has(sha256, file.size) else None

    def put(self, file: RemoteFile, sha256: str, part: Path) -> None:
        """Move a verified part in. Raises OSError."""
        self._store.add(sha256, part)

    def finish(self, pulled: Pulled) -> Path:
        """Write the record and open the doors, unless all stands so already; return the first one. Raises StoreError."""
        if not pulled.fetched and self._stands(pulled):
            return self._store.root / pulled.repo
        files = tuple(
            StoredFile(file.path, file.size, file.sha256, file.blob_id, dict(file.shares)) for file in pulled.files
        )
        prefixes = {file.sha256: file.prefixes for file in pulled.files if file.prefixes}
        now = time.time()
        record = ModelRecord(
            *(pulled.repo, pulled.commit, (pulled.revision,), files, pulled.source, pulled.left_out),
            published=now,
            verified=now if pulled.fetched == sum(file.size for file in files) else 0.0,
        )
        self._store.publish(record, prefixes)
        return self._store.root / pulled.repo

    def _stands(self, pulled: Pulled) -> bool:
        """Whether the current record says all of it: a store that may only be read is then enough."""
        record = self._store.record(pulled.repo)
        if record is None or pulled.commit != record.commit or pulled.revision not in record.revisions:
            return False
        known = {(file.path, file.sha256) for file in record.files}
        return {(file.path, file.sha256) for file in pulled.files} <= known and self._store.is_whole(record)

    def _known_blobs(self) -> dict[tuple[str, int], str]:
        if self._by_blob_id is None:
            files = [file for record in self._store.models() for file in record.files]
            self._by_blob_id = {(file.blob_id, file.size): file.sha256 for file in files if file.blob_id}
        return self._by_blob_id
