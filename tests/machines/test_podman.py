"""What is said to Podman and heard from it; the real one is in tests/engine."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from docker.errors import APIError

from provision.errors import BuildFailed, MachineError
from provision.machines import podman
from provision.machines.building import Order, Refused, with_podman
from provision.machines.terminal import client

DOCKERFILE = (
    b"FROM x AS a\nRUN --mount=type=cache,target=/c --mount=type=secret,id=netrc \\\n    --mount=type=cache,id=u make\n"
)
ORDER = Order({"Dockerfile": DOCKERFILE}, "t", "a", {"A": "b"}, {"l": "m"}, {"netrc": b"hush"})


class Podman(requests.Session):
    """What the Docker SDK's client is: a session with an address. The server keeps what it was sent."""

    api_version = "1.41"
    timeout = 5

    def __init__(self) -> None:
        super().__init__()
        self.answer: tuple[int, list[dict[str, Any]]] = (200, [])
        self.heard: list[tuple[str, dict[str, list[str]], dict[str, bytes]]] = []
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = io.BytesIO(self.rfile.read(int(self.headers["Content-Length"])))
                with tarfile.open(fileobj=body) as tar:
                    files = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
                parts = urlsplit(self.path)
                kept.heard.append((parts.path, parse_qs(parts.query), files))
                status, events = kept.answer
                self.send_response(status)
                self.end_headers()
                self.wfile.write("".join(f"{json.dumps(event)}\n" for event in events).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def api() -> Iterator[Podman]:
    found = Podman()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_it_keeps_the_mounts_but_caches_and_secrets_travel_beside_the_context(api: Podman) -> None:
    with_podman(api, "4.3.1", ORDER, {"s": "t"}, print)
    [(path, asked, files)] = api.heard
    assert path == "/v1.41/build" and asked["t"] == ["t"] and asked["target"] == ["a"]
    assert json.loads(asked["secrets"][0]) == ["id=netrc,src=secret-netrc"] and files["secret-netrc"] == b"hush"
    assert files["Dockerfile"] == b'FROM x AS a\nLABEL s="t"\nRUN --mount=type=secret,id=netrc \\\n    make\n'
    assert json.loads(asked["buildargs"][0]) == {"A": "b"} and json.loads(asked["labels"][0]) == {"l": "m"}


def test_the_failing_instruction_is_told_in_its_own_words(api: Podman) -> None:
    api.answer = (200, [{"stream": "[1/2] STEP 2/3: RUN make\n"}, {"stream": "no rule\n"}, {"error": "exit status 2"}])
    with pytest.raises(BuildFailed, match="exit status 2") as caught:
        with_podman(api, "5.2.0-rc1", ORDER, {}, print)
    assert caught.value.context.startswith("[1/2] STEP 2/3: RUN make\n") and caught.value.context.endswith("no rule")


def test_a_release_before_secrets_is_left_to_the_classic_way(api: Podman) -> None:
    with pytest.raises(Refused, match=r"Podman 3\.4\.4 takes no secrets over its API, 4\.0 does"):
        with_podman(api, "3.4.4", ORDER, {}, print)
    assert api.heard == []


def test_what_it_refuses_is_dockers_error_with_its_words(api: Podman, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "base.tar", "w"):
        pass
    podman.bring_in(api, tmp_path / "base.tar", "provision-base:x", {"a": "b"})
    assert api.heard[0][:2] == (
        "/v4.0.0/libpod/images/import",
        {"reference": ["docker.io/library/provision-base:x"], "changes": ["LABEL a=b"]},
    )
    api.answer = (500, [{"message": "no space left on device"}])
    with pytest.raises(APIError, match="no space left on device"):
        podman.bring_in(api, tmp_path / "base.tar", "provision-base:x", {})


def test_its_own_client_attaches_a_terminal_before_dockers(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "DOCKER_HOST": "unix:///p.sock"}
    with pytest.raises(MachineError, match="none on the PATH") as caught:
        client("podman", environ)
    assert caught.value.hint == "apt-get install podman"
    for name in ("docker", "podman"):
        (tmp_path / name).touch(0o755)
        words = {kind: client(kind, environ) for kind in ("docker", "podman") if name == "docker" or kind == "podman"}
        expected = ["docker"] if name == "docker" else ["podman", "--remote", "--url=unix:///p.sock"]
        assert set(map(tuple, words.values())) == {tuple(expected)}
    assert client("docker", environ) == ["docker"]
