"""An engine over TLS: who proves what to whom, and one direction that ends while the other goes on."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from provision.errors import EngineUnreachable
from provision.machines.endpoint import Endpoint, Tls
from provision.machines.secured import Secured
from tests.fakes.authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "own")


@pytest.fixture(scope="module")
def engine(authority: Authority) -> Iterator[Endpoint]:
    """A server that wants a certificate and answers what it heard only once that has ended."""
    folder = authority.sign(authority.folder / "server", "serverAuth")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    door = socket.create_server(("127.0.0.1", 0))

    def answer(wire: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(wire, server_side=True) as near:
            heard = near.recv(65536)
            while heard and not heard.startswith(b"GET /_ping") and (more := near.recv(65536)):
                heard += more
            near.sendall(heard)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(door.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield Endpoint(f"tcp://127.0.0.1:{door.getsockname()[1]}", "a test")
    door.close()


@pytest.fixture(scope="module")
def mine(authority: Authority) -> Path:
    return authority.sign(authority.folder / "client", "clientAuth")


def test_one_direction_ends_and_the_other_goes_on(
    engine: Endpoint, mine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "of-somebody-else"))
    said = os.urandom(3_000_000)
    secured = Secured(engine, Tls(mine))
    with socket.socket(socket.AF_UNIX) as near:
        near.connect(secured.address.removeprefix("unix://"))
        near.sendall(said)
        near.shutdown(socket.SHUT_WR)
        heard = b"".join(iter(lambda: near.recv(65536), b""))
    secured.close()
    assert heard == said and not Path(secured.address.removeprefix("unix://")).parent.exists()


def lacking(folder: Path, mine: Path, *names: str) -> Path:
    """Return a folder with what `mine` has, but for these."""
    folder.mkdir()
    for path in mine.glob("*.pem"):
        if path.name not in names:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def strange(folder: Path, mine: Path) -> Path:
    """Return a folder that believes somebody else."""
    (lacking(folder, mine) / "ca.pem").write_bytes(Authority(folder / "other").certificate.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("have", "cause", "hint"),
    [
        (strange, "CERTIFICATE_VERIFY_FAILED", "put the right one into"),
        (lambda folder, mine: lacking(folder, mine, "ca.pem"), "CERTIFICATE_VERIFY_FAILED", "put the right one into"),
        (lambda folder, mine: lacking(folder, mine, "cert.pem", "key.pem"), "", "lets in only whom"),
        (lambda folder, mine: lacking(folder, mine, "key.pem"), "", "lets in only whom"),
    ],
)
def test_who_cannot_be_believed_is_told_with_what_to_do(
    engine: Endpoint, mine: Path, tmp_path: Path, have: Callable[[Path, Path], Path], cause: str, hint: str
) -> None:
    folder = have(tmp_path / "have", mine)
    with pytest.raises(EngineUnreachable) as caught:
        Secured(engine, Tls(folder))
    assert cause in caught.value.context and str(folder) in caught.value.context and hint in caught.value.hint


def test_a_certificate_for_another_name_is_refused_unless_nobody_is_to_verify_it(
    engine: Endpoint, mine: Path, tmp_path: Path
) -> None:
    by_name = Endpoint(engine.host.replace("127.0.0.1", "localhost"), "a test")
    with pytest.raises(EngineUnreachable, match="no container engine") as caught:
        Secured(by_name, Tls(mine))
    assert "by a name that its certificate has" in caught.value.hint
    Secured(by_name, Tls(lacking(tmp_path / "have", mine, "ca.pem"), verify=False)).close()


def test_an_engine_that_speaks_no_tls_and_one_that_is_not_there(mine: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        plain = Endpoint(f"tcp://127.0.0.1:{door.getsockname()[1]}", "a test")
        threading.Thread(target=lambda: door.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), daemon=True).start()
        with pytest.raises(EngineUnreachable) as caught:
            Secured(plain, Tls(mine))
        assert "speaks no TLS" in caught.value.hint
    with pytest.raises(EngineUnreachable) as caught:
        Secured(plain, Tls(mine))
    assert "refused" in caught.value.context
