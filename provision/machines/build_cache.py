"""What BuildKit keeps of our builds, told from other people's by the words of each record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MARKS = ("/usr/local/lib/provision/", "/var/cache/provision-uv", "provision:x:10001")  # what only our Dockerfile says
ROUNDS = 12  # a record goes only after those that stand on it
AT_ONCE = 50  # records named in one request


def take_away(api: Any) -> int:
    """Remove our records and what stands on them, never another's; return the bytes. Raises docker's errors."""
    freed = 0
    for _ in range(ROUNDS):
        records = api.df().get("BuildCache") or []
        names = [record["ID"] for record in ours(records) if not record["InUse"]][:AT_ONCE]
        if not names:
            break
        filters = {"id": f'"^({"|".join(names)})$"'}  # a regular expression, quoted as containerd's filters want it
        gained = int(api.prune_builds(filters=filters, all=True)["SpaceReclaimed"])
        if not gained:
            break
        freed += gained
    return freed


def ours(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the records whose own words are our Dockerfile's, and those that stand on one of them."""
    found = {record["ID"] for record in records if any(mark in record["Description"] for mark in MARKS)}
    while more := {record["ID"] for record in records if record.get("Parent") in found} - found:
        found |= more
    return [record for record in records if record["ID"] in found]


def unclaimed(records: Sequence[Mapping[str, Any]]) -> int:
    """Return the bytes of those that say nothing of whose they are: a build's context, a copy of a file."""
    silent = ("http url http://build-context-", "fileop target")
    return sum(
        int(record["Size"]) for record in records if record["Description"].startswith(silent) and not record["InUse"]
    )
