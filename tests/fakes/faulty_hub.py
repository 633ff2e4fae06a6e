"""A real hub on loopback, in both protocols, that can be told to fail in every way hubs fail.

Large files (`LFS` and up) redirect to `/cdn/…` under another host name, as hubs do, with a signature. Every byte and every
request is counted. Faults are data: what kind, on which stage, for which path, how many times.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS = 64 * 1024
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"


@dataclass
class Fault:
    """`stage`: revision, tree, resolve, cdn. `after`: bytes of the body sent before it strikes. `times`: None is always."""

    kind: str
    stage: str = "cdn"
    path: str = "*"
    times: int | None = None
    after: int = 0
    value: float = 0.0
    text: str = ""


@dataclass
class Repo:
    files: dict[str, bytes]
    commit: str = "a" * 40
    revision: str = "main"


@dataclass
class FaultyHub:
    """Serves `repos`. `sent` counts body bytes by path, `asked` requests by stage, `tokens` where a credential was seen."""

    repos: dict[str, Repo] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    token: str | None = None
    page_size: int = 1000
    tls: ssl.SSLContext | None = None
    rate: float = 0.0  # bytes per second and connection; 0 is as fast as it goes
    sent: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[tuple[str, int]] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0
    _server: ThreadingHTTPServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> FaultyHub:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = _Server(("127.0.0.1", 0), Handler)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        assert self._server
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def cdn(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    def strike(self, stage: str, path: str) -> Fault | None:
        """Return the fault that strikes this request, and use it up."""
        with self._lock:
            for fault in self.faults:
                if fault.stage == stage and fnmatchcase(path, fault.path) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def nap(self, seconds: float) -> None:
        """Sleep, but not beyond the hub's own end."""
        self._over.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event here."""


class _Handler(BaseHTTPRequestHandler):
    hub: FaultyHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
        secret = self.headers.get("Authorization") or self.headers.get("Cookie")
        if secret:
            self.hub.tokens.append((self.headers.get("Host", ""), secret))
        for pattern, method in ROUTES:
            if found := pattern.fullmatch(path):
                self.hub.asked[method] += 1
                getattr(self, method)(query, **found.groupdict())
                return
        self.reply(404, b"{}")

    # Hugging Face

    def revision(self, query: dict[str, str], repo: str, revision: str) -> None:
        if self.refuse("revision", repo) or not (found := self.repo(repo)):
            return
        if revision not in (found.revision, found.commit):
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        self.json({"id": repo, "sha": found.commit})

    def tree(self, query: dict[str, str], repo: str, revision: str) -> None:
        if self.refuse("tree", repo) or not (found := self.repo(repo)):
            return
        entries = [tree_entry(path, data) for path, data in sorted(found.files.items())]
        entries.insert(0, {"type": "directory", "oid": "0" * 40, "size": 0, "path": "folder"})
        at, size = int(query.get("cursor", 0)), self.hub.page_size
        extra = {}
        if at + size < len(entries):
            extra["Link"] = (
                f'<{self.hub.url}/api/models/{repo}/tree/{revision}?recursive=true&cursor={at + size}>; rel="next"'
            )
        self.json(entries[at : at + size], extra)

    def refs(self, query: dict[str, str], repo: str) -> None:
        found = self.hub.repos[repo]
        self.json({"branches": [{"name": found.revision, "targetCommit": found.commit}], "tags": []})

    def search(self, query: dict[str, str]) -> None:
        self.json([{"id": name} for name in self.hub.repos])

    def resolve(self, query: dict[str, str], repo: str, revision: str, path: str) -> None:
        if self.refuse("resolve", path) or not (found := self.repo(repo)):
            return
        data = found.files.get(path)
        if data is None:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif len(data) >= LFS:
            headers = {"X-Repo-Commit": found.commit, "X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{sha256(data)}"'}
            self.redirect(f"{self.hub.cdn}/cdn/{repo}/-/{path}?Signature=secret", headers)
        else:
            self.body(path, data, {"X-Repo-Commit": found.commit, "ETag": f'"{blob_id(data)}"'})

    def content(self, query: dict[str, str], repo: str, path: str) -> None:
        if not self.refuse("cdn", path):
            data = self.hub.repos[repo].files[path]
            self.body(path, data, {"ETag": f'"{sha256(data)}"'})

    # ModelScope

    def listing(self, query: dict[str, str], repo: str) -> None:
        if self.refuse("tree", repo) or not (found := self.repo(repo)):
            return
        known = query.get("Revision") in ("master", found.commit)
        files = [
            {"Path": path, "Type": "blob", "Size": len(data), "Sha256": sha256(data), "Revision": found.commit}
            for path, data in sorted(found.files.items())
        ]
        latest = {"Id": "", "ShortId": found.commit[:8]} if known else None
        self.json({"Code": 200, "Data": {"Files": files if known else None, "LatestCommitter": latest}, "Success": True})

    def revisions(self, query: dict[str, str], repo: str) -> None:
        self.json({"Code": 200, "Data": {"RevisionMap": {"Branches": [{"Revision": "master"}], "Tags": []}}})

    def blob(self, query: dict[str, str], repo: str) -> None:
        path = query["FilePath"]
        if self.refuse("resolve", path) or not (found := self.repo(repo)):
            return
        if path not in found.files:
            self.reply(404, b"{}")
        elif len(found.files[path]) >= LFS:
            self.redirect(f"{self.hub.cdn}/cdn/{repo}/-/{path}?Signature=secret", {})
        else:
            self.body(path, found.files[path], {})

    # how things are sent, and go wrong

    def repo(self, name: str) -> Repo | None:
        if self.hub.token and self.hub.token not in (self.headers.get("Authorization") or ""):
            self.reply(401, b"{}", {"X-Error-Code": "GatedRepo"})
            return None
        if name not in self.hub.repos:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return None
        return self.hub.repos[name]

    def refuse(self, stage: str, path: str) -> bool:
        """Strike before any data is sent; faults of the body are left for `body`."""
        self.fault = self.hub.strike(stage, path)
        refusal = REFUSALS.get(self.fault.kind) if self.fault else None
        if refusal and self.fault:
            refusal(self, self.fault)
        return refusal is not None

    def body(self, path: str, data: bytes, headers: dict[str, str]) -> None:
        fault = self.fault
        kind = fault.kind if fault else ""
        if fault and kind in SWAPS:
            data, fault = SWAPS[kind](data, fault), None
        if fault and kind == "etag":
            headers["ETag"], fault = f'"{fault.text}"', None
        start, stop, status = 0, len(data), 200
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        matches = self.headers.get("If-Range") in (None, headers.get("ETag"))
        if asked and kind != "range-ignored" and matches:
            start, status = int(asked[1]), 206
            stop = min(stop, int(asked[2]) + 1) if asked[2] else stop
            shift = 7 if kind == "range-shifted" else 0
            headers["Content-Range"] = f"bytes {start + shift}-{stop - 1}/{len(data)}"
        self.hub.ranges.append((path, start))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(stop - start), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        with self.counted():
            self.pour(path, data, start, stop, fault)

    def pour(self, path: str, data: bytes, start: int, stop: int, fault: Fault | None) -> None:
        began, view, position = time.monotonic(), memoryview(data), start
        while position < stop:
            end = min(stop, position + (65536 if not self.hub.rate else 16384))
            if fault and fault.kind in BREAKS:
                end = min(end, max(position, start + fault.after)) if fault.after else position
                if end == position:
                    BREAKS[fault.kind](self, fault, view[position:stop])
                    return
            self.wfile.write(view[position:end])
            self.hub.sent[path] += end - position
            position = end
            if self.hub.rate:
                self.hub.nap(max(0.0, (position - start) / self.hub.rate - (time.monotonic() - began)))

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        with self.hub._lock:
            self.hub.open_now += 1
            self.hub.open_most = max(self.hub.open_most, self.hub.open_now)
        try:
            yield
        finally:
            with self.hub._lock:
                self.hub.open_now -= 1

    def json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self.reply(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def redirect(self, target: str, headers: dict[str, str]) -> None:
        self.reply(302, b"", {"Location": target, **headers})

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        fault = getattr(self, "fault", None)
        if fault and fault.kind == "json-cut" and status == 200:
            body = body[: len(body) // 2]
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self, *, reset: bool = False) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            if not reset:
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()


ROUTES = [
    (re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/revision/(?P<revision>.+)"), "revision"),
    (re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)"), "tree"),
    (re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/refs"), "refs"),
    (re.compile(r"/api/models"), "search"),
    (re.compile(r"/api/v1/models/(?P<repo>[^/]+/[^/]+)/repo/files"), "listing"),
    (re.compile(r"/api/v1/models/(?P<repo>[^/]+/[^/]+)/revisions"), "revisions"),
    (re.compile(r"/api/v1/models/(?P<repo>[^/]+/[^/]+)/repo"), "blob"),
    (re.compile(r"/cdn/(?P<repo>[^/]+/[^/]+)/-/(?P<path>.+)"), "content"),
    (re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"), "resolve"),
]


def _status(handler: _Handler, fault: Fault) -> None:
    headers = {"Retry-After": fault.text} if fault.text else {}
    handler.reply(int(fault.value), b"no", headers)


def _page(handler: _Handler, fault: Fault) -> None:
    handler.reply(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})


def _silent(handler: _Handler, fault: Fault) -> None:
    handler.hub.nap(fault.value or 60)
    handler.hang_up()


def _loop(handler: _Handler, fault: Fault) -> None:
    handler.redirect(f"{handler.hub.url}{handler.path}", {})


def _away(handler: _Handler, fault: Fault) -> None:
    handler.redirect(fault.text, {})


def _gated(handler: _Handler, fault: Fault) -> None:
    handler.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})


def _trickle(handler: _Handler, fault: Fault, rest: memoryview) -> None:
    for index in range(len(rest)):
        handler.wfile.write(rest[index : index + 1])
        handler.hub.nap(fault.value or 1.0)
        if handler.hub._over.is_set():
            return


def _stall(handler: _Handler, fault: Fault, rest: memoryview) -> None:
    handler.hub.nap(fault.value or 60)
    handler.hang_up()


def flipped(data: bytes, fault: Fault) -> bytes:
    """Return the data with one bit changed at `fault.after`."""
    wrong = bytearray(data)
    wrong[min(fault.after, len(wrong) - 1)] ^= 1
    return bytes(wrong)


def _padded(data: bytes, fault: Fault) -> bytes:
    return PAGE + b" " * (len(data) - len(PAGE))


def _reset(handler: _Handler, fault: Fault) -> None:
    handler.hang_up(reset=True)


def _break_off(handler: _Handler, fault: Fault, rest: memoryview) -> None:
    handler.hang_up(reset=fault.kind == "reset")


def _pointer(data: bytes, fault: Fault) -> bytes:
    return POINTER % (sha256(data).encode(), len(data))


def _shorter(data: bytes, fault: Fault) -> bytes:
    return data[:-1000]


def _longer(data: bytes, fault: Fault) -> bytes:
    return data + b"x" * 1000


def _zeros(data: bytes, fault: Fault) -> bytes:
    return bytes(len(data))


REFUSALS: dict[str, Callable[[_Handler, Fault], None]] = {
    "status": _status,
    "page": _page,
    "silent": _silent,
    "loop": _loop,
    "away": _away,
    "gated": _gated,
    "reset-at-once": _reset,
}
SWAPS: dict[str, Callable[[bytes, Fault], bytes]] = {
    "flip": flipped,
    "padded-page": _padded,
    "pointer": _pointer,
    "short": _shorter,
    "long": _longer,
    "other": _zeros,
}
BREAKS: dict[str, Callable[[_Handler, Fault, memoryview], None]] = {
    "cut": _break_off,
    "reset": _break_off,
    "stall": _stall,
    "trickle": _trickle,
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    """Return git's id of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def tree_entry(path: str, data: bytes) -> dict[str, Any]:
    """Return what a Hugging Face tree says of a file."""
    entry: dict[str, Any] = {"type": "file", "oid": blob_id(data), "size": len(data), "path": path}
    if len(data) >= LFS:
        entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
    return entry
