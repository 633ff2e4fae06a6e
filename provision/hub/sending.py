"""One file's bytes over HTTP, by the kernel's sendfile: whole, or one range of them (RFC 9110, 13 and 14)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Mapping
from typing import BinaryIO

from aiohttp import web

from provision.hub.catalogue import HubFile

RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})$")  # several ranges in one request are answered with the whole
NOTHING = range(0)


async def send(request: web.Request, file: HubFile, etag: str, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer a GET or HEAD for `file`: 200, 206, 304, 416, or 409 where it is no longer what was listed."""
    told = {**headers, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
    if any(known.value in ("*", etag) for known in request.if_none_match or ()):
        return web.Response(status=304, headers=told)
    span = _asked(request, file.size, etag)
    if span == NOTHING:
        return web.Response(status=416, headers={**told, "Content-Range": f"bytes */{file.size}"})
    try:
        handle = await asyncio.to_thread(_open, file)
    except OSError as error:
        return web.Response(status=409, text=f"{file.path} is no longer what was listed: {error.strerror}\n")
    with handle:
        if span is None:
            return await _pour(request, handle, range(file.size), 200, told)
        told["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{file.size}"
        return await _pour(request, handle, span, 206, told)


async def _pour(
    request: web.Request, handle: BinaryIO, span: range, status: int, told: Mapping[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=told)
    response.content_type = "application/octet-stream"  # never a page that a browser would run
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.content_length = len(span)
    with contextlib.suppress(ConnectionError):  # the client went away
        await response.prepare(request)
        if span and request.method != "HEAD" and request.transport is not None:
            sent = await asyncio.get_running_loop().sendfile(request.transport, handle, span.start, len(span))
            if sent < len(span):  # it was cut meanwhile: only the connection's end tells the client
                request.transport.close()
        await response.write_eof()
    return response


def _open(file: HubFile) -> BinaryIO:
    """Open the file if it still is the one that was hashed, and no link put in its place. Raises OSError."""
    handle = os.open(file.location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(handle)
    changed = found.st_size != file.size or (file.modified and found.st_mtime_ns != file.modified)
    if changed or not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(0, "it has changed")
    return os.fdopen(handle, "rb")


def _asked(request: web.Request, size: int, etag: str) -> range | None:
    """Return the bytes asked for: None where that is all or the range does not count, NOTHING where none is there."""
    asked, guard = RANGE.match(request.headers.get("Range", "")), request.headers.get("If-Range")
    if request.method != "GET" or not asked or not (asked[1] or asked[2]) or guard not in (None, f'"{etag}"'):
        return None
    if not asked[1]:
        return range(max(0, size - int(asked[2])), size)
    start, last = int(asked[1]), int(asked[2]) if asked[2] else size - 1
    if asked[2] and last < start:
        return None
    return range(start, min(size, last + 1)) if start < size else NOTHING
