"""The fault table: each row is a way in which a hub fails, what the user is told alone, and what it costs in bytes.

`reference` is the error's name with no other source standing by, or None where the pull succeeds all the same. `twice`
bounds the bytes sent twice, as a share of the model, alone and with a good second source; what lay unread in the sockets'
buffers counts, which weighs much in a model of 3 MB.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision.download import FolderTarget, Options, pull
from provision.errors import ArrivalError
from provision.events import Event, Note
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import Manifest, ModelRef, RemoteFile, Source
from provision.wire import Transport
from tests.fakes.faulty_hub import Fault, FaultyHub, Repo

TRANSPORT = Transport(connect=1.0, stall=0.4, metadata=1.0)
OPTIONS = Options(
    small=64 * 1024,
    first_part=1024 * 1024,
    shortest_part=256 * 1024,
    patience=0.5,
    give_up=2.0,
    backoff=0.05,
    max_wait=3.0,
    tick=0.05,
)
REPO = "org/model"
SIZE = 3_000_000
WEIGHTS = "model.safetensors"


def content() -> dict[str, bytes]:
    """Return a model: one large file and two small ones, the same every time."""
    block = bytes((index * 7 + index // 256) % 256 for index in range(65537))
    return {
        "config.json": b'{"model_type": "qwen3"}',
        WEIGHTS: (block * (SIZE // len(block) + 1))[:SIZE],
        "tokenizer.json": block[:30_000],
    }


def good_hub() -> FaultyHub:
    return FaultyHub({REPO: Repo(content())})


def source(hub: FaultyHub, transport: Transport = TRANSPORT) -> HuggingFaceSource:
    return HuggingFaceSource(hub.url, transport=transport)


class Stale(HuggingFaceSource):
    """Its listing is older than its files."""

    def manifest(self, ref: ModelRef) -> Manifest:
        manifest = super().manifest(ref)
        return replace(manifest, files=tuple(replace(f, sha256="0" * 64) if f.sha256 else f for f in manifest.files))


class Boast(HuggingFaceSource):
    """It lists a file that no disk holds."""

    def manifest(self, ref: ModelRef) -> Manifest:
        manifest = super().manifest(ref)
        return replace(manifest, files=(*manifest.files, RemoteFile("huge.safetensors", 9 << 40, "1" * 64)))


@dataclass(frozen=True)
class Row:
    name: str
    faults: tuple[Mapping[str, object], ...]
    reference: str | None = None
    twice: float = 0.0
    twice_with_second: float = 0.0

    def hub(self) -> FaultyHub:
        hub = good_hub()
        hub.faults = [Fault(**fault) for fault in self.faults]  # type: ignore[arg-type]
        return hub


def on(kind: str, stage: str = "cdn", **more: object) -> tuple[Mapping[str, object], ...]:
    return ({"kind": kind, "stage": stage, **more},)


HALF = SIZE // 2
ROWS = [
    Row("byte flipped once", on("flip", after=HALF, times=1), None, 1.0, 1.0),
    Row("byte flipped always", on("flip", after=HALF), "sha256-mismatch", 1.1, 1.0),
    Row("byte of a small file flipped once", on("flip", "resolve", path="tokenizer.json", times=1), None, 0.05, 0.05),
    Row("byte of a small file flipped always", on("flip", "resolve", path="tokenizer.json"), "sha256-mismatch", 0.05, 0.05),
    Row("body cut once", on("cut", after=300_000, times=1), None, 0.1, 0.1),
    Row("body cut always, at once", on("cut"), "body-cut", 0.1, 0.1),
    Row("body too short", on("short"), "wrong-length", 0.6, 0.6),
    Row("body too long", on("long"), "wrong-length", 0.6, 0.6),
    Row("503 on revision, once", on("status", "revision", value=503, times=1)),
    Row("503 on tree, once", on("status", "tree", value=503, times=1)),
    Row("503 on resolve, once", on("status", "resolve", value=503, times=1)),
    Row("503 on the bytes, once", on("status", value=503, times=1)),
    Row("503 on revision, always", on("status", "revision", value=503), "source-unavailable"),
    Row("503 on the bytes, always", on("status", value=503), "source-unavailable"),
    Row("429 with Retry-After on revision", on("status", "revision", value=429, text="1", times=1)),
    Row("429 with Retry-After on tree", on("status", "tree", value=429, text="1", times=1)),
    Row("429 with Retry-After on resolve", on("status", "resolve", value=429, text="1", times=1)),
    Row("429 with Retry-After on the bytes", on("status", value=429, text="1", times=1)),
    Row("429 without Retry-After, once", on("status", "resolve", value=429, times=1)),
    Row("429 without Retry-After, always", on("status", "resolve", value=429), "rate-limited"),
    Row("429 that asks for an hour", on("status", "resolve", value=429, text="3600"), "rate-limited"),
    Row("connection reset once", on("reset", after=300_000, times=1), None, 0.4, 0.4),
    Row("connection reset always", on("reset-at-once"), "connection-lost"),
    Row("closed without an answer, on revision", on("reset-at-once", "revision"), "connection-lost"),
    Row("stalled once", on("stall", after=300_000, times=1), None, 0.1, 0.1),
    Row("stalled always", on("stall"), "source-stalled", 0.1, 0.1),
    Row("one byte at a time", on("trickle", value=0.1), "source-slow", 0.1, 0.1),
    Row("never answering, on revision", on("silent", "revision"), "source-stalled"),
    Row("never answering, on the bytes", on("silent"), "source-stalled"),
    Row("range ignored", on("range-ignored"), None, 3.0, 3.0),
    Row("range shifted", on("range-shifted"), "range-shifted", 0.4, 0.4),
    Row("signature expired once", on("status", value=403, times=1)),
    Row("signature refused always", on("status", value=403), "link-refused"),
    Row("other bytes under the same name", on("other"), "sha256-mismatch", 1.1, 1.1),
    Row("login page on revision", on("page", "revision"), "login-page"),
    Row("login page on the tree", on("page", "tree"), "login-page"),
    Row("login page on the bytes", on("page"), "login-page"),
    Row("login page padded to size", on("padded-page"), "login-page", 1.1, 1.1),
    Row("LFS pointer instead of the file", on("pointer"), "lfs-pointer", 0.01, 0.01),
    Row("gated", on("gated", "revision"), "repo-gated"),
    Row("gated at the file", on("gated", "resolve"), "repo-gated"),
    Row("file missing though listed", on("status", "resolve", path=WEIGHTS, value=404), "file-not-found"),
    Row("cut JSON, once", on("json-cut", "tree", times=1)),
    Row("cut JSON, always", on("json-cut", "tree"), "listing-cut"),
    Row("redirect loop", on("loop"), "redirect-loop"),
]


@dataclass
class Seen:
    """What one row came to. `twice` is a share of the model's bytes."""

    reference: str | None
    seconds: float
    twice: float
    notes: list[str] = field(default_factory=list)
    message: str = ""


def run(folder: Path, sources: Sequence[Source], hubs: Sequence[FaultyHub], options: Options = OPTIONS) -> Seen:
    """Pull the model of the table, and return what the user saw."""
    notes: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    began, error = time.monotonic(), None
    try:
        pull(ModelRef(REPO), sources, FolderTarget(folder), listener=listen, options=options)
    except ArrivalError as caught:
        error = caught
    seconds = time.monotonic() - began
    sent = sum(sum(hub.sent.values()) for hub in hubs)
    twice = max(0.0, sent - sum(map(len, content().values()))) / SIZE
    return Seen(error.name if error else None, seconds, twice, notes, str(error or ""))
