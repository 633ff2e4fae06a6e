"""A model's folder as it lies on disk: what each file is by its own bytes, and whether index, shards and headers agree.

Standard library only; reads headers, never weights.
"""

from __future__ import annotations

import json
import os
from typing import Any

HEADER_LIMIT = 100 * 1024 * 1024  # bytes of a safetensors header (safetensors, format: the reference reader's limit)
WIDTHS = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
POINTER = b"version https://git-lfs"
MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml")


def look(folder: str, fact: dict[str, Any]) -> None:
    """Fill `fact`: files, what is wrong (`troubles`: file, code, detail), bytes of tensors by dtype, and the config.

    Raises PermissionError for what this user may not read: it is closed, and not missing.
    """
    walked = os.walk(folder, onerror=closed)
    names = sorted(os.path.relpath(os.path.join(base, name), folder) for base, _, found in walked for name in found)
    names = [name for name in names if not name.startswith(".")]
    troubles: list[dict[str, str]] = []
    held: dict[str, set[str]] = {}
    bytes_of: dict[str, int] = {}
    for name in names:
        found = judge(os.path.join(folder, name), held, bytes_of, name)
        if found:
            troubles.append({"file": name, "code": found[0], "detail": found[1]})
    for name in names:
        if name.endswith(".index.json") and not any(trouble["file"] == name for trouble in troubles):
            troubles += against_index(folder, name, held)
    if "config.json" not in names:
        troubles.append({"file": "config.json", "code": "file-missing", "detail": "there is no config.json"})
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if not held and not pickled and not any(name.endswith(".safetensors") for name in names):
        troubles.append({"file": "*.safetensors", "code": "file-missing", "detail": "there are no weights"})
    fact.update(files=len(names), troubles=troubles[:50], tensor_bytes=bytes_of, pickled=pickled)
    fact["config"] = settings(os.path.join(folder, "config.json"))


def closed(error: OSError) -> None:
    """Raise what a walk would keep to itself, where it is no absence."""
    if isinstance(error, PermissionError):
        raise error


def judge(path: str, held: dict[str, set[str]], bytes_of: dict[str, int], name: str) -> tuple[str, str] | None:
    """What is wrong with one file, by its first bytes: (code, detail), or None."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(512)
    if size == 0:
        return "file-empty", "0 bytes"
    if start.startswith(POINTER):
        return "lfs-pointer", "a Git LFS pointer of %d bytes where the file should be" % size
    if start.lstrip().lower().startswith(MARKUP) and not name.endswith((".html", ".xml", ".md")):
        return "html-instead", start[:80].decode("utf-8", "replace")
    if name.endswith(".safetensors"):
        return tensors(path, size, held.setdefault(name, set()), bytes_of)
    if name.endswith(".json"):
        try:
            with open(path, "rb") as file:
                json.load(file)
        except ValueError as error:
            return "json-broken", str(error)[:200]
    return None


def tensors(path: str, size: int, names: set[str], bytes_of: dict[str, int]) -> tuple[str, str] | None:
    """Read a safetensors header (8 bytes of length, then JSON; offsets count from its end) and hold it against the size."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_LIMIT):
            return "shard-header", "a header of %d bytes in a file of %d" % (length, size)
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            return "shard-header", "the header is no JSON: %s" % str(error)[:200]
    header.pop("__metadata__", None)
    end = max((told["data_offsets"][1] for told in header.values()), default=0)
    if 8 + length + end != size:
        return "shard-truncated", "the header promises %d bytes, the file has %d" % (8 + length + end, size)
    names.update(header)
    for told in header.values():
        first, last = told["data_offsets"]
        bytes_of[told["dtype"]] = bytes_of.get(told["dtype"], 0) + last - first
        count = 1
        for side in told["shape"]:
            count *= side
        if told["dtype"] in WIDTHS and count * WIDTHS[told["dtype"]] != last - first:
            return "shard-header", "a tensor's shape and its bytes disagree"
    return None


def against_index(folder: str, name: str, held: dict[str, set[str]]) -> list[dict[str, str]]:
    """Every shard that the index names is there and holds the tensors that the index puts there."""
    with open(os.path.join(folder, name), "rb") as file:
        index = json.load(file)
    wanted: dict[str, set[str]] = {}
    for tensor, shard in (index.get("weight_map") or {}).items():
        wanted.setdefault(shard, set()).add(tensor)
    troubles = []
    for shard, tensors_there in sorted(wanted.items()):
        if not os.path.exists(os.path.join(folder, os.path.dirname(name), shard)):
            troubles.append({"file": shard, "code": "shard-missing", "detail": "%s names it" % name})
        elif held.get(shard) and not tensors_there <= held[shard]:
            lost = sorted(tensors_there - held[shard])
            troubles.append({"file": shard, "code": "index-disagrees", "detail": "lacks %s" % ", ".join(lost[:3])})
    return troubles


def settings(path: str) -> dict[str, Any]:
    """What of the config tells how much memory a token's keys and values take; empty where it cannot be read."""
    wanted = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "model_type")
    try:
        with open(path, "rb") as file:
            config = json.load(file)
    except (OSError, ValueError):
        return {}
    inner = {**config, **(config.get("text_config") or {})} if isinstance(config, dict) else {}
    return {name: inner[name] for name in wanted if isinstance(inner.get(name), (int, str))}
