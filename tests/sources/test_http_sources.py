"""Both protocols against a real server: listings, pages, commits, tokens, redirects, and what is missing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from provision.errors import UnknownName, UsageError
from provision.http import Http, retry_after
from provision.sources import KINDS, parse_source
from provision.sources.directory import DirectorySource
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef, RemoteFile, Source, SourceError, Stream
from provision.sources.modelscope import ModelScopeSource
from provision.sources.tokens import HUGGINGFACE
from provision.wire import Transport, bare
from tests.fakes.faulty_hub import Fault, FaultyHub, Repo, blob_id, sha256

SHORT = Transport(connect=1.0, stall=0.5, metadata=1.0)
FILES = {"config.json": b"{}", "sub/vocab.txt": b"a b c", "model.safetensors": bytes(range(256)) * 1000}
REPO = "org/model"
REF = ModelRef(REPO)
Maker = Callable[..., Source]


@pytest.fixture
def hub() -> Iterator[FaultyHub]:
    with FaultyHub({REPO: Repo(dict(FILES))}) as hub:
        yield hub


def drain(stream: Stream) -> bytes:
    view, body = memoryview(bytearray(50_000)), bytearray()
    while count := stream.readinto(view):
        body += view[:count]
    stream.close()
    return bytes(body)


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_huggingface_lists_over_pages(hub: FaultyHub, page_size: int) -> None:
    hub.page_size = page_size
    manifest = HuggingFaceSource(hub.url, transport=SHORT).manifest(REF)
    weights = FILES["model.safetensors"]
    assert manifest.commit == "a" * 40
    assert set(manifest.files) == {
        RemoteFile("config.json", 2, None, blob_id(b"{}")),
        RemoteFile("sub/vocab.txt", 5, None, blob_id(b"a b c")),
        RemoteFile("model.safetensors", len(weights), sha256(weights), None),
    }


def test_modelscope_lists_and_finds_the_commit_behind_its_short_id(hub: FaultyHub) -> None:
    manifest = ModelScopeSource(hub.url, transport=SHORT).manifest(REF)
    assert manifest.commit == "a" * 40
    assert {file.path: file.sha256 for file in manifest.files} == {path: sha256(data) for path, data in FILES.items()}


@pytest.mark.parametrize("make", [HuggingFaceSource, ModelScopeSource])
@pytest.mark.parametrize(("offset", "length"), [(0, None), (0, 10), (1000, None), (1000, 5000), (255_999, 1)])
def test_bytes_from_an_offset(hub: FaultyHub, make: Maker, offset: int, length: int | None) -> None:
    source = make(hub.url, transport=SHORT)
    manifest = source.manifest(REF)
    weights = next(file for file in manifest.files if file.path == "model.safetensors")
    stream = source.open(manifest, weights, offset, length)
    assert stream.total == weights.size
    assert stream.host == f"localhost:{hub.port}"
    assert drain(stream) == FILES["model.safetensors"][offset : None if length is None else offset + length]


def test_the_hub_is_asked_once_where_a_file_lies(hub: FaultyHub) -> None:
    source = HuggingFaceSource(hub.url, transport=SHORT)
    manifest = source.manifest(REF)
    weights = next(file for file in manifest.files if file.path == "model.safetensors")
    for offset in (0, 1000, 2000):
        drain(source.open(manifest, weights, offset, 1000))
    assert (hub.asked["resolve"], hub.asked["content"]) == (1, 3)


def test_a_signature_that_ran_out_is_renewed(hub: FaultyHub) -> None:
    source = HuggingFaceSource(hub.url, transport=SHORT)
    manifest = source.manifest(REF)
    weights = next(file for file in manifest.files if file.path == "model.safetensors")
    drain(source.open(manifest, weights, 0, 1000))
    hub.faults = [Fault("status", value=403, times=1)]
    assert drain(source.open(manifest, weights, 1000, 1000)) == FILES["model.safetensors"][1000:2000]
    assert hub.asked["resolve"] == 2


@pytest.mark.parametrize("make", [HuggingFaceSource, ModelScopeSource])
def test_a_token_stays_with_its_origin(hub: FaultyHub, make: Maker) -> None:
    source = make(hub.url, "hf_secret", transport=SHORT)
    manifest = source.manifest(REF)
    for file in manifest.files:
        for _ in range(2):
            drain(source.open(manifest, file, 0, 2))
    assert hub.tokens
    assert {host for host, _ in hub.tokens} == {f"127.0.0.1:{hub.port}"}


def test_a_token_is_in_no_error(hub: FaultyHub) -> None:
    hub.faults = [Fault("gated", "revision")]
    source = HuggingFaceSource(hub.url, "hf_secret", SHORT)
    with pytest.raises(SourceError) as caught:
        source.manifest(REF)
    error = caught.value
    assert "hf_secret" not in f"{error.message}{error.context}{error.hint}{error.blame}{source.name}"


def test_gated_names_the_page_and_how_to_pass_a_token(hub: FaultyHub) -> None:
    hub.token = "right"
    with pytest.raises(SourceError) as caught:
        HuggingFaceSource(hub.url, transport=SHORT).manifest(REF)
    assert caught.value.name == "repo-gated"
    assert f"{hub.url}/{REPO}" in caught.value.hint
    assert "machine 127.0.0.1 login token password" in caught.value.hint
    assert HUGGINGFACE.how("https://huggingface.co") == "export HF_TOKEN=…"
    assert HuggingFaceSource(hub.url, "right", SHORT).manifest(REF).files


@pytest.mark.parametrize(
    ("ref", "reference", "hint"),
    [
        (ModelRef("org/modle"), "repo-not-found", "'org/model'"),
        (ModelRef(REPO, "mian"), "revision-not-found", "'main'"),
    ],
)
def test_missing_things_are_told_apart_with_near_names(hub: FaultyHub, ref: ModelRef, reference: str, hint: str) -> None:
    with pytest.raises(SourceError) as caught:
        HuggingFaceSource(hub.url, transport=SHORT).manifest(ref)
    assert caught.value.name == reference
    assert hint in caught.value.hint


@pytest.mark.parametrize("make", [HuggingFaceSource, ModelScopeSource])
def test_a_missing_file_is_told_with_a_near_name(hub: FaultyHub, make: Maker) -> None:
    source = make(hub.url, transport=SHORT)
    manifest = source.manifest(REF)
    with pytest.raises(SourceError) as caught:
        source.open(manifest, RemoteFile("confg.json", 2, "0" * 64))
    assert caught.value.name == "file-not-found"
    assert "'config.json'" in caught.value.hint


def test_modelscope_unknown_revision_is_not_an_empty_model(hub: FaultyHub) -> None:
    with pytest.raises(SourceError) as caught:
        ModelScopeSource(hub.url, transport=SHORT).manifest(ModelRef(REPO, "v9"))
    assert caught.value.name == "revision-not-found"


def test_the_host_that_really_failed_is_blamed(hub: FaultyHub) -> None:
    hub.faults = [Fault("status", value=503)]
    source = HuggingFaceSource(hub.url, transport=SHORT)
    manifest = source.manifest(REF)
    weights = next(file for file in manifest.files if file.path == "model.safetensors")
    with pytest.raises(SourceError) as caught:
        source.open(manifest, weights)
    assert caught.value.blame.host == f"localhost:{hub.port}"
    assert caught.value.blame.status == 503
    assert "Signature" not in caught.value.context


@pytest.mark.parametrize("stage", ["header", "listing"])
def test_an_answer_that_dribbles_ends_in_time(stage: str) -> None:
    with dribbling(stage) as port:
        began = time.monotonic()
        with pytest.raises(SourceError) as caught:
            HuggingFaceSource(f"http://127.0.0.1:{port}", transport=SHORT).manifest(REF)
        assert caught.value.retriable
        assert time.monotonic() - began < 10


@contextmanager
def dribbling(stage: str) -> Iterator[int]:
    """Serve one byte every tenth of a second: all of the answer, or its body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(4096)
            body = b" " * 5000
            if stage == "listing":
                connection.sendall(head)
            for byte in head + body if stage == "header" else body:
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    return
                if over.wait(0.1):
                    return

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        over.set()


def test_unreachable_and_unknown_hosts() -> None:
    for url, reference in (("http://127.0.0.1:9", "host-unreachable"), ("http://nowhere.invalid", "host-unknown")):
        with pytest.raises(SourceError) as caught:
            HuggingFaceSource(url, transport=SHORT).manifest(REF)
        assert caught.value.name == reference


def test_parse_source() -> None:
    assert parse_source("hf=https://hf-mirror.com", {}).name == "hf:https://hf-mirror.com"
    assert parse_source("modelscope=https://www.modelscope.cn/", {}).name == "modelscope:https://www.modelscope.cn"
    assert isinstance(parse_source("dir=/models", {}), DirectorySource)
    assert set(KINDS) == {"hf", "modelscope", "dir"}


@pytest.mark.parametrize("text", ["hf", "hf=", "hf=hf-mirror.com", "hf=ftp://x", "hf=https://user:secret@host"])
def test_parse_source_refuses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text, {})
    assert "secret" not in caught.value.message or text in ("hf",)


def test_parse_source_knows_the_nearest_kind() -> None:
    with pytest.raises(UnknownName) as caught:
        parse_source("modelscop=https://x", {})
    assert "'modelscope'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("hf=https://huggingface.co", True),
        ("hf=http://huggingface.co", False),
        ("hf=https://hf-mirror.com", False),
        ("hf=https://huggingface.co.evil.example", False),
        ("modelscope=https://www.modelscope.cn", True),
        ("modelscope=https://mirror.example", False),
    ],
)
def test_tokens_of_the_environment_go_upstream_alone(text: str, given: bool) -> None:
    source = parse_source(text, {"HF_TOKEN": "t", "MODELSCOPE_API_TOKEN": "t"})
    assert isinstance(source, HuggingFaceSource | ModelScopeSource)
    assert bool(source._private) is given


NETRC = (
    "machine hub.lan login token password s3cret\nmachine evil.example login x password other\ndefault login a password b\n"
)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("hf=http://hub.lan:8090", "s3cret"),
        ("modelscope=https://hub.lan", "s3cret"),
        ("hf=https://sub.hub.lan", None),
        ("hf=https://hf-mirror.com", None),
        ("hf=https://huggingface.co", None),
    ],
)
def test_a_token_of_netrc_goes_to_its_own_host_alone(text: str, token: str | None, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(NETRC)
    (tmp_path / ".netrc").chmod(0o600)
    source = parse_source(text, {"HOME": str(tmp_path)})
    assert isinstance(source, HuggingFaceSource | ModelScopeSource)
    assert source._private.get("Authorization") == (f"Bearer {token}" if token else None)


@pytest.mark.parametrize("text", ["machine hub.lan login\n", "\0\xff", ""])
def test_a_netrc_that_cannot_be_read_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_bytes(text.encode("latin-1"))
    source = parse_source("hf=http://hub.lan", {"NETRC": str(path)})
    assert isinstance(source, HuggingFaceSource) and not source._private


def test_retry_after() -> None:
    now = 1_700_000_000.0
    assert retry_after({"retry-after": "7"}, now) == 7
    assert retry_after({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, now) == 10
    assert retry_after({"retry-after": "soon"}, now) is None
    assert retry_after({"ratelimit": '"api";r=0;t=55'}, now) == 55
    assert retry_after({"ratelimit": '"api";r=10;t=55'}, now) is None


def test_proxies_and_their_exceptions() -> None:
    transport = Transport.from_environ({"https_proxy": "http://p:1", "NO_PROXY": "localhost, .lan"})
    assert transport.proxy_for("https://huggingface.co/x") == "http://p:1"
    assert transport.proxy_for("http://huggingface.co/x") is None
    assert transport.proxy_for("https://hub.lan/x") is None
    assert transport.proxy_for("https://localhost:8000/x") is None


def test_addresses_lose_their_secrets() -> None:
    assert bare("https://user:pw@host:8/a/b?Signature=x#y") == "https://host:8/a/b"


def test_a_redirect_to_something_else_than_http_is_refused(hub: FaultyHub) -> None:
    hub.faults = [Fault("away", "revision", text="file:///etc/passwd")]
    with pytest.raises(SourceError) as caught:
        Http(SHORT, "hf").get_json(f"{hub.url}/api/models/{REPO}/revision/main")
    assert caught.value.name == "redirect-refused"


def test_a_near_host_cannot_fill_the_kernel_with_bytes_that_a_killed_reader_would_lose() -> None:
    taken, size = [0], 64 * 1024 * 1024
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pour() -> None:
            peer, _ = server.accept()
            with peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
                peer.settimeout(1.0)
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                with pytest.raises(TimeoutError):
                    while taken[0] < size:
                        taken[0] += peer.send(bytes(65536))

        sender = threading.Thread(target=pour)
        sender.start()
        reply = Http(SHORT, "test").get(f"http://127.0.0.1:{server.getsockname()[1]}/")
        read = 0
        while read < size // 2:  # fast at first, so that the kernel would have made room
            read += len(reply.read_some(128 * 1024))
        sender.join()
        reply.close()
    assert read <= taken[0] < read + 2 * 1024 * 1024


class Told(BaseHTTPRequestHandler):
    """Answers as `answers` has it: path prefix to status, headers and body."""

    answers: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]] = {}

    def do_GET(self) -> None:
        status, headers, body = next(answer for start, answer in self.answers.items() if self.path.startswith(start))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def telling(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Told,), {"answers": answers}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


SHA = '{"sha": "%s"}' % ("a" * 40)
ENTRY = {"type": "file", "path": "a.json", "size": 3, "oid": "b" * 40}


@pytest.mark.parametrize(
    "odd",
    [
        {"size": float("inf")}, {"size": "many"}, {"size": -1}, {"size": 2**70}, {"size": True}, {"size": None},
        {"lfs": "x"}, {"lfs": {"oid": 5}}, {"oid": 7}, {"path": 1}, {"path": "\ud800"}, {"path": ""},
    ],
)  # fmt: skip
def test_a_listing_of_other_types_is_no_listing(odd: dict[str, object]) -> None:
    listing = json.dumps([{**ENTRY, **odd}]).encode()
    answers = {"/api/models/org/model/rev": (200, {}, SHA.encode()), "/api/models/org/model/tree": (200, {}, listing)}
    with telling(answers) as url, pytest.raises(SourceError) as caught:
        HuggingFaceSource(url, transport=SHORT).manifest(REF)
    assert caught.value.name == "listing-cut"


@pytest.mark.parametrize("odd", [{"Size": "abc"}, {"Size": None}, {"Sha256": 5}, {"Path": 1}])
def test_a_modelscope_listing_of_other_types_is_no_listing(odd: dict[str, object]) -> None:
    entry = {"Path": "a.json", "Size": 3, "Sha256": "c" * 64, "Type": "blob", **odd}
    listing = json.dumps({"Code": 200, "Data": {"Files": [entry], "LatestCommitter": [1]}}).encode()
    with telling({"/api": (200, {}, listing)}) as url, pytest.raises(SourceError) as caught:
        ModelScopeSource(url, transport=SHORT).manifest(REF)
    assert caught.value.name == "listing-cut"


def test_a_modelscope_folder_that_is_cut_is_told() -> None:
    entries = [{"Path": f"{n}.json", "Size": 1, "Sha256": "c" * 64, "Type": "blob"} for n in range(3000)]
    listing = json.dumps({"Code": 200, "Data": {"Files": entries}}).encode()
    with telling({"/api": (200, {}, listing)}) as url, pytest.raises(SourceError) as caught:
        ModelScopeSource(url, transport=Transport()).manifest(REF)
    assert caught.value.name == "listing-endless" and "3000 entries" in caught.value.message


@pytest.mark.parametrize(
    ("status", "headers", "body", "reference"),
    [
        (302, {"Location": "http://h:notaport/"}, b"", "redirect-refused"),
        (302, {"Location": "http://h:99999/"}, b"", "redirect-refused"),
        (302, {"Location": "http://[::1/"}, b"", "redirect-refused"),
        (302, {"Location": "file:///etc/passwd"}, b"", "redirect-refused"),
        (200, {}, b"[" * 200_000, "listing-cut"),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b", "encoding-unasked"),
        (407, {}, b"", "proxy-refused"),
        (429, {"Retry-After": "\u00b2".encode().decode("latin-1")}, b"", "rate-limited"),
        (429, {"Retry-After": "9" * 400}, b"", "rate-limited"),
    ],
)
def test_odd_answers_are_errors_with_a_name(status: int, headers: dict[str, str], body: bytes, reference: str) -> None:
    with telling({"/": (status, headers, body)}) as url, pytest.raises(SourceError) as caught:
        HuggingFaceSource(url, transport=SHORT).manifest(REF)
    assert caught.value.name == reference
    assert not caught.value.blame.retry_after


@pytest.mark.parametrize("address", ["http://[::1", "http://h:99999", "http://h:notaport", "http://u:p@h"])
def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError):
        parse_source(f"hf={address}", {})


@pytest.mark.parametrize(
    ("no", "url", "is_around"),
    [
        ("hub.lan:8090", "http://hub.lan:8090", True),
        ("hub.lan:8090", "http://hub.lan:80", False),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        (".lan", "http://hub.lan", True),
        ("*.lan", "http://hub.lan", True),
        ("lan", "http://hubxlan", False),
        ("*", "http://anything", True),
        ("", "http://anything", False),
    ],
)
def test_no_proxy(no: str, url: str, is_around: bool) -> None:
    transport = Transport.from_environ({"http_proxy": "proxy.lan:3128", "no_proxy": no})
    assert transport.proxy_for(url) == (None if is_around else "http://proxy.lan:3128")


def test_a_proxys_password_goes_to_the_proxy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen: list[bytes] = []

        def proxy() -> None:
            peer, _ = server.accept()
            with peer:
                seen.append(peer.recv(65536))
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=proxy)
        thread.start()
        address = f"http://user:p%40ss@127.0.0.1:{server.getsockname()[1]}"
        Http(Transport(proxies={"http": address}), "test").get("http://hub.example/").close()
        thread.join()
    assert b"proxy-authorization: basic dXNlcjpwQHNz".lower() in seen[0].lower()


def test_a_proxy_of_another_kind_is_named() -> None:
    transport = Transport(proxies={"http": "socks5h://127.0.0.1:9"})
    with pytest.raises(SourceError) as caught:
        Http(transport, "test").get("http://hub.example/")
    assert caught.value.name == "proxy-invalid" and "HTTPS_PROXY" in caught.value.hint
