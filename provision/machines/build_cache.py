"""What BuildKit keeps of our builds, told from other people's by the words of each record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MARKS = ("/usr/local/lib/provision/", "/var/cache/provision-uv", "provision:x:10001")  # what only our Dockerfile says
ROUNDS = 12  # a record goes only after those that stand on it


@dataclass(frozen=True)
class Taken:
    """Bytes that were freed, and bytes of records that do not say whose they are."""

    freed: int
    unknown: int


def take_away(api: Any) -> Taken:
    """Remove our records and what stands on them; never another's. Raises docker's errors."""
    freed = 0
    for _ in range(ROUNDS):
        records = api.df()["BuildCache"] or []
        mine = [record for record in ours(records) if not record["InUse"]]
        gained = sum(int(api.prune_builds(filters={"id": f"^{each['ID']}$"}, all=True)["SpaceReclaimed"]) for each in mine)
        freed += gained
        if not gained:
            break
    return Taken(freed, sum(record["Size"] for record in records if _is_anonymous(record)))


def ours(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the records whose own words are our Dockerfile's, and those that stand on one of them."""
    found = {record["ID"] for record in records if any(mark in record["Description"] for mark in MARKS)}
    while more := {record["ID"] for record in records if record.get("Parent") in found} - found:
        found |= more
    return [record for record in records if record["ID"] in found]


def _is_anonymous(record: Mapping[str, Any]) -> bool:
    """A build's context and a copy of a file say nothing of whose they are."""
    return not record["InUse"] and record["Description"].startswith(("http url http://build-context-", "fileop target"))
