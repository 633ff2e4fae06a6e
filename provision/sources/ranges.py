"""Bytes of one file over HTTP, from an offset on, and every way in which a host may get that wrong.

A range is taken only from a 206 whose `Content-Range` starts where it was asked and names the size that the manifest
names (RFC 9110 14.4), under `If-Range` with the ETag seen before; all else is an error, never bytes. A sender with another
ETag is a question to the hub: it may be another server of many, and the digest over the whole has the last word.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from provision.http import Http, Reply, looks_like_html, refuse_encoded
from provision.http import login_page as login_page_error
from provision.sources.interface import Manifest, RemoteFile, SourceError

SNIFF = 512
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
PAGES = (
    ".html",
    ".htm",
    ".xhtml",
    ".xml",
    ".svg",
    ".md",
    ".txt",
    ".tmpl",
    ".tpl",
    ".j2",
    ".jinja",
    ".jinja2",
)  # may begin like a page and be what was asked
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)$")


@dataclass
class Known:
    """What the first answer for a file taught: the address that really sends it, and its strong ETag there, if it keeps to
    one."""

    url: str
    etag: str


class HttpStream:
    """A file's bytes from `offset` on. Knows a page or a pointer by its first bytes."""

    def __init__(self, reply: Reply, file: RemoteFile, offset: int, total: int | None, *, ranged: bool = True) -> None:
        self.ranged = ranged
        self._reply, self._file, self._offset = reply, file, offset
        self.host = reply.host
        self.total = total
        self.headers = reply.headers

    def readinto(self, buffer: memoryview) -> int:
        """Fill what is there now; 0 at the end. Raises SourceError."""
        data = self._reply.read_some(len(buffer))
        if self._offset == 0 and data:
            refuse_impostor(self._reply, self._file, data)
        self._offset += len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._reply.close()


class Ranges:
    """Opens files of one source. Remembers where each file's redirects led, so that a hub is asked once per file."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._known: dict[tuple[str, str], Known] = {}
        self._lock = threading.Lock()

    def open(
        self,
        url: str,
        private: Mapping[str, str],
        manifest: Manifest,
        file: RemoteFile,
        offset: int,
        length: int | None,
    ) -> HttpStream | Reply:
        """Return the stream, or the Reply where its status is an error for the source to explain. Raises SourceError."""
        key = (manifest.commit, file.path)
        with self._lock:
            known = self._known.get(key)
        reply = self._ask(known.url if known else url, {} if known and known.url != url else private, known, offset, length)
        ran_out = known and known.url != url and reply.status in (400, 401, 403, 404, 410)
        if ran_out or _is_other(reply, known):  # the hub's word counts: of many senders each may have an ETag of its own
            reply.close()
            reply = self._ask(url, private, None, offset, length)
        if reply.status not in (200, 206):
            return reply
        refuse_encoded(reply)
        total = _checked_total(reply, manifest, file, offset)
        with self._lock:
            self._known[key] = Known(reply.url, _etag(reply) if known is None or known.etag == _etag(reply) else "")
        return HttpStream(reply, file, offset, total, ranged=reply.status == 206 or length is None)

    def _ask(self, url: str, private: Mapping[str, str], known: Known | None, offset: int, length: int | None) -> Reply:
        headers = {}
        if offset or length is not None:
            headers["Range"] = f"bytes={offset}-{offset + length - 1 if length else ''}"
            if known and known.etag:
                headers["If-Range"] = known.etag
        return self._http.get(url, headers, private)


def _etag(reply: Reply) -> str:
    """Return the answer's ETag; a weak one says nothing of its bytes (RFC 9110 8.8.1) and is none."""
    etag = reply.headers.get("etag", "")
    return "" if etag.startswith("W/") else etag


def _is_other(reply: Reply, known: Known | None) -> bool:
    """Whether a sender shows another ETag than before."""
    return bool(known and known.etag and _etag(reply) and known.etag != _etag(reply) and reply.status in (200, 206))


def _checked_total(reply: Reply, manifest: Manifest, file: RemoteFile, offset: int) -> int | None:
    """Return the whole file's size as the host tells it, once nothing about the answer is wrong. Raises SourceError."""
    _refuse_moved(reply, manifest, file)
    if "text/html" in reply.headers.get("content-type", "") and not file.path.lower().endswith(PAGES):
        reply.close()
        raise login_page_error(reply)
    start, total = _span(reply)
    if total is not None and total != file.size:
        raise _wrong_length(reply, file, total)
    if start == offset:
        return total
    reply.close()
    if reply.status == 200:
        raise reply.error("range-ignored", f"{reply.host} ignores ranges: it sent {file.path} from its start")
    raise reply.error("range-shifted", f"{reply.host} sent {file.path} from byte {start} where {offset} was asked")


def _span(reply: Reply) -> tuple[int, int | None]:
    """Return the offset at which the body starts and the whole file's size, as the answer's headers say."""
    if reply.status == 200:
        length = reply.headers.get("content-length", "")
        return 0, int(length) if length.isdigit() else None
    found = CONTENT_RANGE.match(reply.headers.get("content-range", ""))
    if not found:
        reply.close()
        raise reply.error("range-shifted", f"{reply.host} sent a part of a file without saying which")
    return int(found.group(1)), int(found.group(3)) if found.group(3) != "*" else None


def _refuse_moved(reply: Reply, manifest: Manifest, file: RemoteFile) -> None:
    """Raise SourceError where the hub speaks of another content or commit.

    Only the hub's own word is held against the listing: behind its redirect an ETag may be any digest (that of a chunk
    store has 64 hexadecimal digits too).
    """
    linked, commit = reply.first.get("x-linked-etag", "").strip('"'), reply.first.get("x-repo-commit", "")
    foreign = bool(file.sha256 and re.fullmatch(r"[0-9a-f]{64}", linked) and linked != file.sha256)
    if foreign or (commit and commit != manifest.commit and re.fullmatch(r"[0-9a-f]{40}", manifest.commit)):
        reply.close()
        raise reply.error(
            "changed-under-way",
            f"{reply.host} now serves another {file.path} than the one listed at {manifest.commit[:12]}",
            hint="run the same command again to take the new commit, or pin the old one with a lock",
        )


def _wrong_length(reply: Reply, file: RemoteFile, total: int) -> SourceError:
    try:
        refuse_impostor(reply, file, reply.read_some(SNIFF))
    except SourceError as error:
        return error
    finally:
        reply.close()
    return reply.error("wrong-length", f"{reply.host} has {total} bytes of {file.path} where {file.size} are listed")


def refuse_impostor(reply: Reply, file: RemoteFile, head: bytes) -> None:
    """Raise SourceError where a body's first bytes are a web page's or a Git LFS pointer's instead of the file's."""
    if looks_like_html(head) and not file.path.lower().endswith(PAGES):
        raise login_page_error(reply)
    if head.startswith(LFS_POINTER) and file.size > 1024:
        raise reply.error(
            "lfs-pointer",
            f"{reply.host} sent a Git LFS pointer instead of {file.path}",
            hint="this mirror holds the repository without its large files: use another source",
        )
