"""A real mirror on loopback for every protocol that is measured, in every mood that mirrors are in.

It serves a package index with wheels that pip and uv install, a hub's repository, a distribution's archive and an image.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import socket
import ssl
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>password</form></body></html>"
COMMIT = "c" * 40
MOODS = ("well", "slow", "lying", "stale", "captive", "firewall", "limited", "short", "mute", "blackhole", "dribbling")


def wheel(name: str, version: str, filling: int = 0) -> bytes:
    """A wheel that installs: one module, and `filling` bytes that do not compress."""
    seed = hashlib.sha256(f"{name}{version}".encode()).digest()
    body = b"".join(hashlib.sha256(seed + number.to_bytes(4, "big")).digest() for number in range(filling // 32))
    files = {
        f"{name}/__init__.py": b"",
        f"{name}/filling.bin": body,
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{name}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, data in {**files, f"{name}-{version}.dist-info/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has seen enough goes away: that is no error."""


@dataclass
class MirrorServer:
    """One mirror. `redirect` sends the large files there (another server's address) with `redirect_status`.

    `seen` are (path, user agent) of every request, `authorised` those that carried a credential.
    """

    mood: str = "well"
    redirect: str = ""
    redirect_status: int = 302
    tells_commit: bool = True
    tells_type: bool = True
    is_hashed: bool = True
    rate: float = 400_000.0  # bytes per second, where slow
    tls: ssl.SSLContext | None = None
    user: str = ""
    filling: int = 300_000
    project: str = "transformers"
    versions: tuple[str, ...] = ("4.51.0", "4.57.1")
    dated: str = "Sat, 21 Nov 2026 08:00:00 UTC"
    wants_token: str = ""  # the address that gives out tokens for images
    answers: dict[str, bytes] = field(default_factory=dict)  # whatever else it is to say, by path
    seen: list[tuple[str, str]] = field(default_factory=list)
    authorised: list[str] = field(default_factory=list)

    def __enter__(self) -> MirrorServer:
        outer = self

        class Handler(_Handler):
            mirror = outer

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        port = self._server.server_address[1]
        return f"{'https' if self.tls else 'http'}://{self.user + '@' if self.user else ''}127.0.0.1:{port}"

    @property
    def index(self) -> str:
        return f"{self.address}/simple"

    def files(self) -> dict[str, bytes]:
        """Everything large: path → bytes, as an honest mirror has it."""
        shown = self.versions[:1] if self.mood == "stale" else self.versions
        found = {f"/packages/{self.project}-{v}-py3-none-any.whl": wheel(self.project, v, self.filling) for v in shown}
        packages = b"Package: a\n" * 3000
        found["/debian/dists/bookworm/main/binary-amd64/Packages.gz"] = packages
        found[f"/org/name/resolve/{COMMIT}/model.safetensors"] = weights()
        found["/modelscope/model.safetensors"] = weights()
        found[f"/v2/library/debian/blobs/{_digest(layer())}"] = layer()
        found["/npm/typescript/-/typescript-5.9.3.tgz"] = layer()
        found["/anaconda/pkgs/main/linux-64/current_repodata.json"] = json.dumps({"packages": {}}).encode() + b" " * 5000
        return found


def weights() -> bytes:
    return hashlib.sha256(b"weights").digest() * 6000


def layer() -> bytes:
    return hashlib.sha256(b"layer").digest() * 4000


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: MirrorServer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        mirror = self.mirror
        mirror.seen.append((self.path, self.headers.get("User-Agent", "")))
        if "Authorization" in self.headers:
            mirror.authorised.append(self.headers["Authorization"])
        elif mirror.user:
            return self._answer(401, b"who are you")
        path = urlsplit(self.path).path
        if path in mirror.answers:
            return self._answer(200, mirror.answers[path])
        if mirror.wants_token and path.startswith("/v2/") and "Authorization" not in self.headers:
            scope = 'service="s",scope="repository:library/debian:pull"'
            return self._answer(401, b"{}", {"WWW-Authenticate": f'Bearer realm="{mirror.wants_token}",{scope}'})
        if mirror.mood == "captive":
            return self._answer(200, PAGE, {"Content-Type": "text/html"})
        if mirror.mood == "firewall":
            return self._answer(403, b"<html>blocked</html>")
        if mirror.mood == "limited":
            return self._answer(429, b"", {"Retry-After": "300"})
        if mirror.mood == "blackhole":
            time.sleep(30)
            return None
        found = mirror.files()
        if path == "/api/v1/models/org/name/repo":
            path = "/modelscope/" + parse_qs(urlsplit(self.path).query)["FilePath"][0]
        if path in found:
            return self._file(path, found[path])
        listing = self._listing(path, found)
        if listing is None:
            return self._answer(404, b"no")
        kind = "text/html" if b"<a " in listing else "application/json"
        return self._answer(200, listing, {"Content-Type": kind} if mirror.tells_type else {})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _file(self, path: str, data: bytes) -> None:
        mirror = self.mirror
        told = {"X-Repo-Commit": COMMIT, "ETag": '"e"'} if "/resolve/" in path and mirror.tells_commit else {}
        if mirror.redirect:
            return self._answer(mirror.redirect_status, b"moved", {"Location": mirror.redirect + self.path, **told})
        if mirror.mood == "lying":
            data = bytes(byte ^ 1 for byte in data[:100]) + data[100:]
        if mirror.mood == "short":
            data = data[: len(data) // 2]
        self.send_response(200)
        for name, value in {"Content-Length": str(len(data)), **told}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if mirror.mood == "mute":
            time.sleep(30)
        step = int(mirror.rate / 20) if mirror.mood == "slow" else 1 if mirror.mood == "dribbling" else len(data)
        with contextlib.suppress(OSError):
            for start in range(0, len(data), step):
                self.wfile.write(data[start : start + step])
                if mirror.mood in ("slow", "dribbling"):
                    time.sleep(0.05)

    def _listing(self, path: str, found: dict[str, bytes]) -> bytes | None:
        mirror = self.mirror
        if path == f"/simple/{mirror.project}/":
            rows = [name for name in found if name.startswith("/packages/")]
            honest = {name: f"#{_digest(found[name]).replace(':', '=')}" if mirror.is_hashed else "" for name in rows}
            links = "".join(f'<a href="{name}{end}">{name[10:]}</a><br>' for name, end in honest.items())
            return f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
        if path.startswith("/whl/cu128/"):
            name = "torch-2.9.1%2Bcu128-cp312-cp312-manylinux_2_28_x86_64.whl"
            return f'<a href="/packages/{name}">torch</a>'.encode()
        if path == "/api/models/org/name/revision/main":
            return json.dumps({"sha": COMMIT}).encode()
        if path.startswith("/api/models/org/name/tree/"):
            digest = _digest(weights())[7:]
            row = {"type": "file", "path": "model.safetensors", "size": len(weights()), "oid": "x", "lfs": {"oid": digest}}
            return json.dumps([row, {"type": "file", "path": "config.json", "size": 2, "oid": "y"}]).encode()
        if path == "/api/v1/models/org/name/repo/files":
            row = {"Path": "model.safetensors", "Size": len(weights()), "Sha256": _digest(weights())[7:], "Type": "blob"}
            return json.dumps({"Code": 200, "Data": {"Files": [row]}}).encode()
        if path == "/npm/typescript":
            dist = {"tarball": f"http://{self.headers['Host']}/npm/typescript/-/typescript-5.9.3.tgz"}
            newest = {"name": "typescript", "version": "5.9.3", "dist": dist}
            told = {"name": "typescript", "dist-tags": {"latest": "5.9.3"}, "versions": {"5.9.3": newest}}
            return json.dumps(told).encode()
        if path == "/debian/dists/bookworm/InRelease":
            name = "main/binary-amd64/Packages.gz"
            data = found[f"/debian/dists/bookworm/{name}"]
            head = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nDate: {mirror.dated}\nSHA256:\n"
            return f"{head} {_digest(data)[7:]} {len(data)} {name}\n".encode()
        if path.startswith("/v2/library/debian/manifests/"):
            manifest = json.dumps({"layers": [{"digest": _digest(layer()), "size": len(layer())}]}).encode()
            rows = [("arm64", _digest(b"arm")), ("amd64", _digest(manifest))]
            listed = [{"digest": digest, "platform": {"architecture": name}} for name, digest in rows]
            return json.dumps({"manifests": listed}).encode() if path.endswith("bookworm-slim") else manifest
        return None

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextlib.contextmanager
def dead() -> Iterator[str]:
    """The address of a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}"


def self_signed() -> ssl.SSLContext:
    """A server's TLS context with a certificate that nobody vouches for."""
    import datetime
    import ipaddress
    import tempfile
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "both.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(file)
    return context
