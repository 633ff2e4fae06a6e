"""Answers, byte by byte: over plain sockets, as no client would ask."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from provision import embedded
from provision.events import Event, Note
from provision.hub import FolderCatalogue, Hub, HubError, StoreCatalogue, server
from provision.store import Store
from tests.hub.samples import CATALOGUES, FILES, LARGE, REPO, catalogue, folders
from tests.store.samples import LATER, damage, publish, writable

FILE = f"/{REPO}/resolve/main/{LARGE}"
MODELSCOPE_FILE = f"/api/v1/models/{REPO}/repo?Revision=master&FilePath={LARGE}"
DATA = FILES[LARGE]


@pytest.fixture(params=CATALOGUES)
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    with Hub(catalogue(request.param, tmp_path / "served")) as hub:
        yield hub


def ask(hub: Hub, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
    """Send one request with this very target, and read the whole answer into `.data`."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    answer = connection.getresponse()
    answer.data = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def data(answer: http.client.HTTPResponse) -> bytes:
    return answer.data  # type: ignore[attr-defined,no-any-return]


def told(hub: Hub, path: str) -> Any:
    answer = ask(hub, path)
    assert answer.status == 200, data(answer)
    return json.loads(data(answer))


both = pytest.mark.parametrize("path", [FILE, MODELSCOPE_FILE], ids=["hf", "modelscope"])
RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=0-": (0, len(DATA)),
    "bytes=1000-1999": (1000, 2000),
    f"bytes={len(DATA) - 1}-": (len(DATA) - 1, len(DATA)),
    f"bytes=5-{len(DATA) * 2}": (5, len(DATA)),
    "bytes=-7": (len(DATA) - 7, len(DATA)),
    f"bytes=-{len(DATA) * 2}": (0, len(DATA)),
}


@both
@pytest.mark.parametrize("asked", RANGES)
def test_a_range_is_that_range(hub: Hub, path: str, asked: str) -> None:
    start, end = RANGES[asked]
    answer = ask(hub, path, Range=asked)
    assert (answer.status, data(answer)) == (206, DATA[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert answer.headers["Content-Length"] == str(end - start)


@both
@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", f"bytes={10**18}-{10**18 + 1}", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(hub: Hub, path: str, asked: str) -> None:
    answer = ask(hub, path, Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=" + "9" * 5000]
)
def test_a_range_that_is_none_gets_the_whole(hub: Hub, asked: str) -> None:
    answer = ask(hub, FILE, Range=asked)
    assert (answer.status, len(data(answer))) == (200, len(DATA))


def test_ranges_of_an_empty_file(hub: Hub) -> None:
    empty = f"/{REPO}/resolve/main/empty.txt"
    assert (ask(hub, empty).status, data(ask(hub, empty))) == (200, b"")
    assert ask(hub, empty, Range="bytes=0-").status == 416


@both
def test_if_range_guards_the_range(hub: Hub, path: str) -> None:
    etag = ask(hub, path, "HEAD").headers["ETag"]
    assert ask(hub, path, Range="bytes=5-9", If_Range=etag).status == 206
    for other in ('"other"', f"W/{etag}", "Tue, 24 Nov 2026 00:00:00 GMT"):
        assert ask(hub, path, Range="bytes=5-9", If_Range=other).status == 200


@both
def test_what_is_known_is_not_sent_again(hub: Hub, path: str) -> None:
    etag = ask(hub, path, "HEAD").headers["ETag"]
    answer = ask(hub, path, If_None_Match=f'"other", {etag}')
    assert (answer.status, data(answer), answer.headers["ETag"]) == (304, b"", etag)
    assert ask(hub, path, If_None_Match='"other"').status == 200


@both
def test_head_tells_all_and_sends_nothing(hub: Hub, path: str) -> None:
    head, whole = ask(hub, path, "HEAD", Range="bytes=1-2"), ask(hub, path)
    assert (head.status, data(head), head.headers["Content-Length"]) == (200, b"", str(len(DATA)))
    names = ("ETag", "Accept-Ranges", "X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size", "Content-Type")
    assert [head.headers[name] for name in names] == [whole.headers[name] for name in names]
    assert head.headers["Accept-Ranges"] == "bytes"


def test_etags_are_what_the_hubs_own_are(hub: Hub) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    large = ask(hub, FILE, "HEAD").headers
    assert large["ETag"] == large["X-Linked-Etag"] == f'"{sha256}"'
    assert large["X-Linked-Size"] == str(len(DATA))
    assert ask(hub, MODELSCOPE_FILE, "HEAD").headers["ETag"] == f'"{sha256}"'


def test_small_files_of_a_folder_are_git_blobs(tmp_path: Path) -> None:
    config = FILES["config.json"]
    blob_id = hashlib.sha1(b"blob %d\0" % len(config) + config).hexdigest()
    with Hub(folders(tmp_path)) as hub:
        assert ask(hub, f"/{REPO}/resolve/main/config.json", "HEAD").headers["ETag"] == f'"{blob_id}"'
        entries = {entry["path"]: entry for entry in told(hub, f"/api/models/{REPO}/tree/main")}
        assert entries["config.json"]["oid"] == blob_id and "lfs" not in entries["config.json"]
        assert entries[LARGE]["lfs"]["oid"] == hashlib.sha256(DATA).hexdigest()


def test_no_transfer_protocol_of_their_own_is_advertised(hub: Hub) -> None:
    for path in (FILE, f"/api/models/{REPO}", f"/api/models/{REPO}/tree/main?recursive=true"):
        answer = ask(hub, path)
        assert "xet" not in (str(answer.headers) + ("" if path == FILE else data(answer).decode())).lower()


def test_every_answer_names_the_commit(hub: Hub) -> None:
    commit = told(hub, f"/api/models/{REPO}")["sha"]
    assert told(hub, f"/api/models/{REPO}/revision/{commit}")["sha"] == commit
    assert ask(hub, FILE, "HEAD").headers["X-Repo-Commit"] == commit
    assert ask(hub, FILE.replace("main", commit), "HEAD").status == 200
    listing = told(hub, f"/api/v1/models/{REPO}/repo/files?Revision=master&Recursive=True")["Data"]
    assert listing["LatestCommitter"]["Id"] == commit


def test_a_tree_comes_in_pages(hub: Hub) -> None:
    url, seen = f"/api/models/{REPO}/tree/main?recursive=true&limit=3", []
    while url:
        answer = ask(hub, url)
        page = [entry["path"] for entry in json.loads(data(answer))]
        assert 0 < len(page) <= 3
        seen += page
        link = answer.headers.get("Link", "")
        url = link.partition("<")[2].partition(">")[0].removeprefix(hub.endpoint)
    assert seen == sorted([*FILES, "sub", "sub/deep"])


def test_folders_are_listed_in_both_protocols(hub: Hub) -> None:
    top = {entry["path"]: entry["type"] for entry in told(hub, f"/api/models/{REPO}/tree/main")}
    assert top["sub"] == "directory" and "sub/deep" not in top
    below = [entry["path"] for entry in told(hub, f"/api/models/{REPO}/tree/main/sub?recursive=true")]
    assert [path for path in below if path in FILES] == [path for path in FILES if path.startswith("sub/")]
    files = told(hub, f"/api/v1/models/{REPO}/repo/files?Revision=master&Recursive=False&Root=sub")["Data"]["Files"]
    assert [(entry["Path"], entry["Type"]) for entry in files] == [("sub/deep", "tree")]


def test_paths_info_takes_a_form_and_json(hub: Hub) -> None:
    url = f"/api/models/{REPO}/paths-info/main"
    form = ask(hub, url, "POST", b"paths=config.json&paths=nope", Content_Type="application/x-www-form-urlencoded")
    as_json = ask(hub, url, "POST", b'{"paths": ["config.json", "nope"]}', Content_Type="application/json")
    assert json.loads(data(form)) == json.loads(data(as_json))
    assert [entry["path"] for entry in json.loads(data(form))] == ["config.json"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b'{"paths": 5}', b'{"paths": [[]]}', b"\xff"])
def test_paths_info_that_is_none_is_400(hub: Hub, body: bytes) -> None:
    assert ask(hub, f"/api/models/{REPO}/paths-info/main", "POST", body, Content_Type="application/json").status == 400


CODES = {
    "/api/models/org/nope": "RepoNotFound",
    "/api/models/nope/revision/main": "RepoNotFound",
    f"/api/models/{REPO}/revision/v9": "RevisionNotFound",
    f"/{REPO}/resolve/v9/config.json": "RevisionNotFound",
    f"/{REPO}/resolve/main/nope": "EntryNotFound",
    f"/api/models/{REPO}/tree/main/nope": "EntryNotFound",
    "/api/models/%0d%0aX-Evil:1/b": "RepoNotFound",
    "/api/models/%ff%fe/b": "RepoNotFound",
}


@pytest.mark.parametrize("path", CODES)
def test_what_is_missing_is_said_in_the_clients_words(hub: Hub, path: str) -> None:
    answer = ask(hub, path)
    assert (answer.status, answer.headers["X-Error-Code"]) == (404, CODES[path])
    assert "X-Evil" not in answer.headers


OUT = [
    "../secret", "../../secret", "..%2Fsecret", "%2e%2e/secret", "%2e%2e%2fsecret", "..%5csecret", "%2Fetc%2Fpasswd",
    "sub/../../secret", "link", "linked/secret", "config.json%00", "%00", ".", "..", "./config.json", "sub//deep",
    "%c0%ae%c0%ae/secret", "..%252fsecret", ".provision/lock", "config.json/", "CONFIG.JSON",
]  # fmt: skip


@pytest.mark.parametrize("path", OUT)
def test_no_way_out(tmp_path: Path, path: str) -> None:
    catalogue = folders(tmp_path / "served")
    (tmp_path / "secret").write_text("SECRET")
    (tmp_path / "served/link").symlink_to(tmp_path / "secret")
    (tmp_path / "served/linked").symlink_to(tmp_path)
    with Hub(catalogue) as hub:
        urls = [f"/{REPO}/resolve/main/{path}", f"/api/v1/models/{REPO}/repo?Revision=master&FilePath={quote(path, '%')}"]
        urls += [f"/{path}", f"/api/models/{REPO}/tree/main/{path}", f"/api/models/{path}/revision/main"]
        for url in [*urls, f"/api/models/{REPO}/revision/{path}", f"/{path}/resolve/main/config.json"]:
            answer = ask(hub, url)
            assert b"SECRET" not in data(answer)
            assert answer.status in (400, 404) or (path in ("config.json/", ".") and answer.status == 200), url


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "OPTIONS", "TRACE", "PROPFIND"])
@both
def test_nothing_can_be_changed(hub: Hub, method: str, path: str) -> None:
    answer = ask(hub, path, method)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}


def test_a_method_that_is_none_is_refused(hub: Hub) -> None:
    assert ask(hub, FILE, "BREW").status in (400, 405)
    assert ask(hub, FILE, "HEAD").status == 200


def test_garbage_does_not_bring_it_down(hub: Hub) -> None:
    for junk in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01" + os.urandom(50),
    ):
        with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
            connection.sendall(junk)
    assert ask(hub, FILE, "HEAD").status == 200


def token(hub: Hub, **headers: str) -> int:
    return ask(hub, FILE, "HEAD", **headers).status


def test_the_token_is_asked_for_everywhere(tmp_path: Path) -> None:
    with Hub(folders(tmp_path), token="s3cret") as hub:
        for path in (FILE, MODELSCOPE_FILE, "/api/models", f"/api/models/{REPO}", "/nope"):
            answer = ask(hub, path)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert token(hub, Authorization="Bearer s3cret") == token(hub, Cookie="m_session_id=s3cret") == 200
        for wrong in ("Bearer wrong", "Bearer ", "s3cret", "Basic s3cret", "Bearer s3cret2", "Bearer \xe9"):
            assert token(hub, Authorization=wrong) == 401


def test_each_request_is_told_without_its_secrets(tmp_path: Path) -> None:
    heard: list[Event] = []
    with Hub(folders(tmp_path), token="s3cret", listener=heard.append) as hub:
        ask(hub, f"{FILE}?token=s3cret", Authorization="Bearer s3cret")
        ask(hub, f"{MODELSCOPE_FILE}&x=s3cret", Cookie="m_session_id=s3cret")
        ask(hub, f"{FILE}?token=wr0ng")
        ask(hub, "/%0a%1b[31mfake", Authorization="Bearer s3cret")
    texts = [event.text for event in heard if isinstance(event, Note)]
    assert [text.rpartition(" ")[2] for text in texts] == ["200", "200", "401", "404"]
    assert LARGE in texts[0] and f"FilePath={LARGE}" in texts[1]
    assert not any("s3cret" in text or "wr0ng" in text or "\n" in text or "\x1b" in text for text in texts)


def test_64_readers_of_ranges_at_once(hub: Hub) -> None:
    def read(index: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
        for turn in range(8):
            start = (index * 7919 + turn * 104729) % (len(DATA) - 300_000)
            connection.request("GET", FILE, headers={"Range": f"bytes={start}-{start + 299_999}"})
            answer = connection.getresponse()
            if answer.status != 206 or answer.read() != DATA[start : start + 300_000]:
                return False
        connection.close()
        return True

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(read, range(64)))


def test_readers_that_go_away_leave_the_others_alone(hub: Hub) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", hub.port)) as connection:
            connection.sendall(f"GET {FILE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connection.recv(10)
    assert data(ask(hub, FILE)) == DATA


def test_a_file_cut_while_it_is_sent_ends_the_connection(tmp_path: Path) -> None:
    with Hub(folders(tmp_path, {LARGE: bytes(64 << 20)})) as hub:
        with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as connection:
            connection.sendall(f"GET {FILE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            received = len(connection.recv(10))
            os.truncate(tmp_path / LARGE, 32 << 20)
            while block := connection.recv(1 << 20):
                received += len(block)
        assert 10 < received < 64 << 20


def test_it_stops_while_a_reader_stands_still(tmp_path: Path) -> None:
    hub = Hub(folders(tmp_path, {LARGE: bytes(64 << 20)}))
    hub.start()
    with socket.create_connection(("127.0.0.1", hub.port)) as connection:
        connection.sendall(f"GET {FILE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.recv(10)
        stopper = threading.Thread(target=hub.stop)
        stopper.start()
        stopper.join(20)
        assert not stopper.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", hub.port))
    assert not [thread for thread in threading.enumerate() if thread.name == "hub"]


def test_it_starts_and_stops_again_and_again(tmp_path: Path) -> None:
    catalogue = folders(tmp_path)
    for _ in range(3):
        with Hub(catalogue) as hub, Hub(catalogue) as other:
            assert hub.port != other.port
            assert ask(hub, FILE, "HEAD").status == ask(other, FILE, "HEAD").status == 200
    hub.stop()  # once more does nothing


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with Hub(folders(tmp_path)) as hub, pytest.raises(HubError) as caught:
        Hub(folders(tmp_path), port=hub.port).start()
    assert str(hub.port) in caught.value.message


def test_a_host_that_is_not_here_is_told(tmp_path: Path) -> None:
    with pytest.raises(HubError):
        Hub(folders(tmp_path), host="192.0.2.1").start()


def test_serving_the_lan_without_a_token_is_said_aloud(tmp_path: Path) -> None:
    heard: list[Event] = []
    with Hub(folders(tmp_path), host="0.0.0.0", listener=heard.append) as hub:
        assert hub.endpoint.startswith("http://127.0.0.1:")
        assert ask(hub, FILE, "HEAD").status == 200
    assert isinstance(heard[0], Note) and heard[0].level == "warn"


def test_a_file_that_changes_gets_another_commit_and_never_an_old_name(tmp_path: Path) -> None:
    catalogue = folders(tmp_path)
    with Hub(catalogue) as hub:
        before = ask(hub, FILE, "HEAD").headers
        (tmp_path / LARGE).write_bytes(b"other bytes")
        answer = ask(hub, FILE)  # the listing is a moment old: refused, not sent under the old ETag
        assert answer.status == 409 or answer.headers["ETag"] != before["ETag"]


def test_a_blob_cut_short_in_the_store_is_not_sent(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = publish(store, FILES, repo=REPO)
    blob = store.blob_path(next(file.sha256 for file in record.files if file.path == LARGE))
    os.truncate(writable(blob), 100)
    with Hub(StoreCatalogue(store)) as hub:
        assert ask(hub, FILE).status == 409
        damage(store.blob_path(record.files[0].sha256), 0)  # what has its length is the client's to verify
        assert ask(hub, f"/{REPO}/resolve/main/{quote(record.files[0].path)}").status == 200


def test_what_is_pulled_while_serving_is_served(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with Hub(StoreCatalogue(store)) as hub:
        assert ask(hub, f"/api/models/{REPO}").status == 404
        publish(store, FILES, repo=REPO)
        assert ask(hub, f"/api/models/{REPO}").status == 200


def test_folders_below_a_root_and_the_model_inside(tmp_path: Path) -> None:
    folders(tmp_path / "org/one", {"f": b"1"})
    folders(tmp_path / "org/two", {"f": b"2"})
    (tmp_path / ".cache/x").mkdir(parents=True)
    with Hub(FolderCatalogue.below(tmp_path)) as hub:
        assert [one["id"] for one in told(hub, "/api/models")] == ["org/one", "org/two"]
        assert data(ask(hub, "/org/two/resolve/main/f")) == b"2"
    with Hub(FolderCatalogue({embedded.REPO: embedded.path()})) as hub:
        assert told(hub, f"/api/models/{embedded.REPO}")["sha"] == embedded.commit()


def test_main_and_master_are_one_name_of_the_latest_that_claims_either(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, {"f": b"1"}, repo=REPO, revision="master")
    publish(store, {"f": b"2"}, repo=REPO, commit=LATER, revision="main")
    publish(store, {"f": b"3"}, repo=REPO, commit="c" * 40, revision="v1")
    with Hub(StoreCatalogue(store)) as hub:
        for revision in ("main", "master", LATER):
            assert data(ask(hub, f"/{REPO}/resolve/{revision}/f")) == b"2"
            assert data(ask(hub, f"/api/v1/models/{REPO}/repo?Revision={revision}&FilePath=f")) == b"2"
        assert data(ask(hub, f"/{REPO}/resolve/v1/f")) == b"3"


def test_a_model_without_an_owner_is_served_as_hugging_face_does(tmp_path: Path) -> None:
    publish(Store(tmp_path), {"f": b"1"}, repo="gpt2")
    with Hub(StoreCatalogue(Store(tmp_path))) as hub:
        assert told(hub, "/api/models/gpt2/revision/main")["id"] == "gpt2"
        assert [entry["path"] for entry in told(hub, "/api/models/gpt2/tree/main")] == ["f"]
        assert data(ask(hub, "/gpt2/resolve/main/f")) == b"1"


def test_run_forever_goes_on_with_a_hub_that_was_started(tmp_path: Path) -> None:
    hub = Hub(folders(tmp_path))
    endpoint = hub.start()
    runner = threading.Thread(target=hub.run_forever)
    runner.start()
    assert hub.endpoint == endpoint and ask(hub, FILE, "HEAD").status == 200
    hub.stop()
    runner.join(10)
    assert not runner.is_alive()


def test_a_store_with_a_broken_record_says_so_on_both_ends(tmp_path: Path) -> None:
    store, heard = Store(tmp_path), list[Event]()
    publish(store, FILES, repo=REPO)
    path = next((tmp_path / ".provision/models").glob("*/*.json"))
    with Hub(StoreCatalogue(store), listener=heard.append) as hub:
        path.write_text("{")
        answer = ask(hub, FILE)
        assert answer.status == 500 and b"is not a record" in data(answer)
        assert any(isinstance(event, Note) and event.level == "warn" and str(path) in event.text for event in heard)
        path.unlink()
        assert ask(hub, FILE).status == 404


def test_other_machines_are_told_the_address_that_leads_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "EVERYWHERE", {"0.0.0.0": (socket.AF_INET, "127.0.0.9")})
    served = catalogue("folder", tmp_path / "served")
    with Hub(served, host="0.0.0.0") as open_to_all, Hub(served) as own:
        assert open_to_all.endpoint_outside == f"http://127.0.0.1:{open_to_all.port}"
        assert own.endpoint_outside == own.endpoint


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_was_put_in_a_content_s_place_is_not_followed(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for you")
    store = Store(tmp_path / "store")
    record = publish(store, {"config.json": b"for anyone."})
    blob = store.blob_path(record.files[0].sha256)
    blob.unlink()
    {"link": lambda: blob.symlink_to(secret), "folder": blob.mkdir, "pipe": lambda: os.mkfifo(blob)}[kind]()
    with Hub(StoreCatalogue(store)) as hub:
        answer = ask(hub, f"/{REPO}/resolve/main/config.json")
    assert answer.status == 409 and b"not for you" not in data(answer)


def test_a_link_inside_a_folder_is_served(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/one").write_bytes(b"{}")
    (tmp_path / "config.json").symlink_to("blobs/one")
    with Hub(FolderCatalogue({REPO: tmp_path})) as hub:
        assert data(ask(hub, f"/{REPO}/resolve/main/config.json")) == b"{}"


def test_a_name_too_long_and_a_form_without_its_boundary_are_the_askers_faults(hub: Hub) -> None:
    assert ask(hub, f"/api/models/{'n' * 3000}").status == 404
    path = f"/api/models/{REPO}/paths-info/main"
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        assert ask(hub, path, "POST", b"paths=f", Content_Type=kind).status == 400
