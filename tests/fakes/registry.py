"""A registry (OCI distribution, pull only) of one image; it can go away in the middle of a layer, or lie about bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Registry:
    """`reference` is what to pull; `fault` is empty, `cut` or `tampered`."""

    reference: str
    digest: str
    fault: str = ""
    digest_told: str = ""  # what it announces instead of the digest
    asked: list[str] = field(default_factory=list)


@contextmanager
def registry(name: str) -> Iterator[Registry]:
    """Serve an image on loopback, as `name`."""
    blobs, manifest = small_image()
    digest = _digest(manifest)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            state.asked.append(self.path)
            last = self.path.rsplit("/", 1)[-1]
            if "/manifests/" in self.path and last in ("latest", digest):
                self._send(manifest, MANIFEST)
            elif "/blobs/" in self.path and last in blobs:
                self._send(blobs[last], "application/octet-stream")
            else:
                self.send_response(200 if self.path == "/v2/" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _send(self, body: bytes, kind: str) -> None:
            large = len(body) > 10_000
            if large and state.fault == "tampered":
                body = body[:-1] + bytes([body[-1] ^ 1])
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Content-Digest", state.digest_told or digest)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if large and state.fault == "cut" else body)
            if large and state.fault == "cut":
                self.close_connection = True

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Registry(f"127.0.0.1:{server.server_port}/{name}:latest", digest)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def small_image() -> tuple[dict[str, bytes], bytes]:
    """An image of one layer that no engine has seen: its blobs by digest, and the manifest of them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("big")
        entry.size = 500_000
        tar.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    layer = packed.getvalue()
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    whole = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _row("application/vnd.docker.container.image.v1+json", config),
        "layers": [_row("application/vnd.docker.image.rootfs.diff.tar", layer)],
    }
    return {_digest(config): config, _digest(layer): layer}, json.dumps(whole).encode()


def _row(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
