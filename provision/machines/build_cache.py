"""What BuildKit keeps of our builds, told from other people's by the words of each record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# what only our Dockerfile says
MARKS = ("/usr/local/lib/provision/", "/ca-certificates/provision/", "/var/cache/provision-uv", "provision:x:10001")
SILENT = ("http url http://build-context-", "copy /context /", "fileop target", "from local")
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
    while more := {record["ID"] for record in records if _below(record) & found} - found:
        found |= more
    return [record for record in records if record["ID"] in found]


def _below(record: Mapping[str, Any]) -> set[str]:
    """The records that this one stands on: one until the API's 1.41, a list from 1.42, at first under a misspelt name."""
    return {str(record.get("Parent")), *(record.get("Parents") or record.get(" Parents") or [])}


def size(records: Sequence[Mapping[str, Any]]) -> int:
    """Return the bytes of ours, and of those that do not say whose they are: a build's context, a copy of a file."""
    known = {record["ID"] for record in ours(records)}
    silent = (record for record in records if record["Description"].startswith(SILENT) and not record["InUse"])
    known.update(record["ID"] for record in silent)
    return sum(int(record["Size"]) for record in records if record["ID"] in known)
