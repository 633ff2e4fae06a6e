"""A real registry (Debian's docker-registry) that wants a token, and a small token server that gives anybody one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.registry import MANIFEST, small_image

PROGRAM = shutil.which("docker-registry", path="/usr/bin:/usr/local/bin")
SERVICE, ISSUER = "registry.test", "token.test"
CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{token: {{realm: "{realm}", service: {service}, issuer: {issuer}, rootcertbundle: {folder}/cert.pem}}}}
"""


@dataclass
class TokenRegistry:
    """`host` is where it listens; `granted` are the scopes that tokens were given for."""

    host: str
    realm: str
    folder: Path
    granted: list[str] = field(default_factory=list)

    def put(self, repository: str, tag: str) -> str:
        """Push a small image that no engine has seen; return its digest."""
        blobs, manifest = small_image()
        for digest, blob in blobs.items():
            where = self._send("POST", f"/v2/{repository}/blobs/uploads/", repository).headers["Location"]
            mark = "&" if "?" in where else "?"
            self._send("PUT", f"{where}{mark}digest={digest}", repository, blob, "application/octet-stream")
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", repository, manifest, MANIFEST)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _send(self, method: str, path: str, repository: str, body: bytes = b"", kind: str = "") -> Any:
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        token = _token(self.folder, [f"repository:{repository}:pull,push"])
        headers = {"Authorization": f"Bearer {token}", "Content-Length": str(len(body)), "Content-Type": kind}
        return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method))


@contextmanager
def token_registry(folder: Path) -> Iterator[TokenRegistry]:
    """Serve an empty registry on loopback."""
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    _openssl(folder, "req", "-x509", "-subj", "/CN=token", *made)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TokenHandler)
    realm = f"http://127.0.0.1:{server.server_port}/token"
    port = _free_port()
    found = TokenRegistry(f"127.0.0.1:{port}", realm, folder)
    _TokenHandler.registry = found
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder, port=port, realm=realm, service=SERVICE, issuer=ISSUER))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(PROGRAM), "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(port, folder / "log")
        yield found
    finally:
        process.terminate()
        process.wait(10)
        server.shutdown()
        server.server_close()


class _TokenHandler(BaseHTTPRequestHandler):
    registry: TokenRegistry

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        scopes = asked.get("scope", [])
        self.registry.granted.extend(scopes)
        right = asked.get("service") == [SERVICE] and "Authorization" not in self.headers
        body = json.dumps({"token": _token(self.registry.folder, scopes)}).encode() if right else b"{}"
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


def _token(folder: Path, scopes: list[str]) -> str:
    """A JSON Web Token as the registry's specification wants it, signed by the key whose certificate it trusts."""
    certificate = "".join((folder / "cert.pem").read_text().splitlines()[1:-1])
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    now = int(time.time())
    times = {"nbf": now - 60, "iat": now, "exp": now + 300}
    claims = {"iss": ISSUER, "sub": "", "aud": SERVICE, "jti": str(time.monotonic()), **times, "access": access}
    head = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
    text = b".".join(_text(json.dumps(part).encode()) for part in (head, claims))
    signature = _openssl(folder, "dgst", "-sha256", "-sign", "key.pem", text=text)
    return (text + b"." + _text(signature)).decode()


def _text(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _openssl(folder: Path, *words: str, text: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], cwd=folder, input=text, capture_output=True, check=True).stdout


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(port: int, log: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
