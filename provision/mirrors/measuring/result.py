"""What a measurement found, how mirrors are held against each other, and the memory of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provision.facts.plain import from_plain, to_plain
from provision.files import replace_file

SCHEMA = 1
FRESH = 24 * 3600.0  # seconds for which a measurement speaks for a mirror


@dataclass(frozen=True)
class Measurement:
    """One mirror, measured. `refusal` is empty where it serves; seconds and bytes; `age` is of the measurement.

    `host` really sent the bytes; `way` is every hop, `host status`. `size` is the whole artefact's, 0 where unknown.
    """

    tool: str
    url: str
    origin: str = ""
    refusal: str = ""
    reason: str = ""
    host: str = ""
    way: tuple[str, ...] = ()
    artefact: str = ""
    label: str = ""
    version: tuple[int, ...] = ()
    first_byte: float = 0.0
    rate: float = 0.0
    received: int = 0
    size: int = 0
    prefix: str = ""
    is_verified: bool = False

    @property
    def serves(self) -> bool:
        return not self.refusal

    @property
    def estimate(self) -> float:
        """Seconds until the whole artefact would be here."""
        return self.first_byte + max(self.size, self.received) / self.rate if self.rate else float("inf")


def judge(rows: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Hold the mirrors of each tool against each other: who is behind is stale, who sends other bytes than most lies."""
    return tuple(_against(row, [other for other in rows if other.tool == row.tool and other.serves]) for row in rows)


def ranked(rows: Iterable[Measurement]) -> list[Measurement]:
    """Return the rows by tool in the order they came; in each, who serves first, the quickest first."""
    known = list(rows)
    tools = list(dict.fromkeys(row.tool for row in known))
    return sorted(known, key=lambda row: (tools.index(row.tool), not row.serves, row.estimate))


def best(rows: Iterable[Measurement], tool: str) -> Measurement | None:
    """Return the mirror to use for a tool: one that somebody set here and that serves, else the quickest; or None."""
    usable = [row for row in ranked(rows) if row.tool == tool and row.serves]
    return next((row for row in usable if row.origin == "inherited"), usable[0] if usable else None)


def save(path: Path, rows: Sequence[Measurement], now: float | None = None) -> None:
    """Remember the rows, without credentials. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"schema": SCHEMA, "measured": time.time() if now is None else now, "rows": [to_plain(row) for row in rows]}
    replace_file(path, json.dumps(data, indent=1).encode(), 0o600)


def load(path: Path, now: float | None = None) -> tuple[tuple[Measurement, ...], float] | None:
    """Return the rows last remembered and their age in seconds; None where there are none that can be read."""
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        rows = tuple(from_plain(Measurement, row) for row in data["rows"]) if data["schema"] == SCHEMA else None
        age = (time.time() if now is None else now) - float(data["measured"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (rows, age) if rows is not None and age >= 0 else None


def _against(row: Measurement, others: Sequence[Measurement]) -> Measurement:
    if not row.serves:
        return row
    newest = max((other for other in others if other.version), key=lambda other: other.version, default=None)
    if newest and row.version and row.version < newest.version:
        return replace(row, refusal="stale", reason=f"it has {row.label}, and {newest.host} has {newest.label}")
    same = [other for other in others if other.artefact == row.artefact and other.prefix and row.prefix]
    votes = Counter(other.prefix for other in same)
    rivals = [other for other in same if other.prefix != row.prefix and votes[other.prefix] >= votes[row.prefix]]
    if not rivals:
        return row
    if votes[rivals[0].prefix] > votes[row.prefix]:
        return replace(row, refusal="bytes-differ", reason=f"most others send other bytes for {row.artefact}")
    if row.is_verified and not any(other.is_verified for other in rivals):
        return row
    reason = f"{rivals[0].host} sends other bytes for {row.artefact}, and nothing here says who is right"
    return replace(row, refusal="bytes-disputed", reason=reason)
