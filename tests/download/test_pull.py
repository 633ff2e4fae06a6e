"""What a pull promises beyond faults: sharing between sources, warm and offline runs, locks, selection, space, names."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from collections import namedtuple
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from provision.download import FolderTarget, Pulled, engine, pull
from provision.errors import ArrivalError, ProvisionError, UsageError
from provision.events import Event, Note, Progress
from provision.lock import LockedFile, LockedModel
from provision.sources.directory import DirectorySource
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import Manifest, ModelRef, RemoteFile, SourceError
from provision.sources.modelscope import ModelScopeSource
from provision.wire import Transport
from tests.download.faults import OPTIONS, REPO, SIZE, TRANSPORT, WEIGHTS, Boast, Stale, content, good_hub, source
from tests.fakes.faulty_hub import Fault, FaultyHub, Repo, sha256

REF = ModelRef(REPO)


def lock_of(pulled: Pulled) -> LockedModel:
    files = tuple(LockedFile(file.path, file.size, file.sha256) for file in pulled.files)
    return LockedModel(pulled.repo, pulled.revision, pulled.commit, pulled.source, files)


def test_a_cut_goes_on_from_the_next_source_at_the_same_byte(tmp_path: Path) -> None:
    with good_hub() as hub, good_hub() as second:
        hub.faults = [Fault("reset", after=700_000), Fault("status", "resolve", value=503)]
        hub.faults[1].times = 0
        hub.faults.insert(0, Fault("cut", after=700_000, times=1))
        hub.faults.insert(1, Fault("status", value=503))
        pulled = pull(REF, [source(hub), source(second)], FolderTarget(tmp_path), options=OPTIONS)
        weights = next(file for file in pulled.files if file.path == WEIGHTS)
        assert sum(weights.shares.values()) == SIZE
        assert weights.shares[source(hub).name] >= 700_000
        assert weights.shares[source(second).name] == SIZE - weights.shares[source(hub).name]
        assert sum(hub.sent[WEIGHTS] for hub in (hub, second)) == SIZE
        starts = [start for path, start in second.ranges if path == WEIGHTS]
        assert min(starts) == 700_000


def test_metadata_from_one_protocol_and_bytes_from_the_other(tmp_path: Path) -> None:
    with good_hub() as hub, good_hub() as other:
        hub.faults = [Fault("status", "resolve", value=503), Fault("status", value=503)]
        other.repos[REPO].commit = "b" * 40
        scope = ModelScopeSource(other.url, transport=TRANSPORT)
        pulled = pull(REF, [source(hub), scope], FolderTarget(tmp_path), options=OPTIONS)
        assert pulled.commit == "a" * 40
        assert {name for file in pulled.files for name in file.shares} == {scope.name}
        assert (tmp_path / WEIGHTS).read_bytes() == content()[WEIGHTS]


def test_a_second_source_with_other_bytes_is_not_used(tmp_path: Path) -> None:
    with good_hub() as hub, FaultyHub({REPO: Repo({**content(), WEIGHTS: os.urandom(SIZE)})}) as other:
        hub.faults = [Fault("cut", after=700_000, times=1), Fault("status", value=503, times=2)]
        pulled = pull(REF, [source(hub), source(other)], FolderTarget(tmp_path), options=OPTIONS)
        assert other.sent[WEIGHTS] == 0
        assert all(set(file.shares) <= {source(hub).name, source(other).name} for file in pulled.files)
        assert (tmp_path / WEIGHTS).read_bytes() == content()[WEIGHTS]


def test_a_source_that_lacks_one_file_keeps_the_others(tmp_path: Path) -> None:
    with good_hub() as hub, good_hub() as second:
        del hub.repos[REPO].files["tokenizer.json"]
        hub.faults = [Fault("status", "resolve", path="config.json", value=404)]
        with_all = [source(second), source(hub)]
        lock = lock_of(pull(REF, with_all, FolderTarget(tmp_path / "first"), options=OPTIONS))
        second.sent.clear()
        pulled = pull(REF, [source(hub), source(second)], FolderTarget(tmp_path / "to"), lock=lock, options=OPTIONS)
        assert {file.path: set(file.shares) for file in pulled.files} == {
            "config.json": {source(second).name},
            "tokenizer.json": {source(second).name},
            WEIGHTS: {source(hub).name},
        }


def test_who_sent_wrong_bytes_is_left(tmp_path: Path) -> None:
    files = {f"model-{index}.safetensors": os.urandom(SIZE) for index in range(3)}
    with FaultyHub({REPO: Repo(files)}) as hub, FaultyHub({REPO: Repo(files)}) as second:
        hub.faults = [Fault("flip", path="model-0*", after=SIZE // 2)]
        second.rate = 3e6
        notes: list[Event] = []
        pair = [source(hub), source(second)]
        pull(REF, pair, FolderTarget(tmp_path), listener=notes.append, options=replace(OPTIONS, connections=1))
        assert any(isinstance(note, Note) and "sent wrong bytes; going on from" in note.text for note in notes)
    for path, data in files.items():
        assert (tmp_path / path).read_bytes() == data


def test_warm_fetches_nothing_and_says_so(tmp_path: Path) -> None:
    with good_hub() as hub:
        first = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        hub.sent.clear()
        second = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
    assert (first.fetched, second.fetched) == (sum(map(len, content().values())), 0)
    assert sum(hub.sent.values()) == 0
    assert [(file.path, file.sha256) for file in first.files] == [(file.path, file.sha256) for file in second.files]


def test_warm_with_the_network_off(tmp_path: Path) -> None:
    with good_hub() as hub:
        first = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
    notes: list[Event] = []
    gone = HuggingFaceSource("http://127.0.0.1:9", transport=TRANSPORT)
    second = pull(REF, [gone], FolderTarget(tmp_path), listener=notes.append, options=OPTIONS)
    assert second.commit == first.commit
    assert any(isinstance(note, Note) and "are here, and are used" in note.text for note in notes)


def test_a_lock_needs_no_network_when_all_is_here(tmp_path: Path) -> None:
    with good_hub() as hub:
        first = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        hub.asked.clear()
        again = pull(REF, [source(hub)], FolderTarget(tmp_path), lock=lock_of(first), options=OPTIONS)
        assert not hub.asked
    assert again.files and again.fetched == 0


def test_a_lock_brings_exactly_its_bytes_or_an_error(tmp_path: Path) -> None:
    with good_hub() as hub:
        first = pull(REF, [source(hub)], FolderTarget(tmp_path / "one"), options=OPTIONS)
        hub.repos[REPO] = Repo({**content(), WEIGHTS: os.urandom(SIZE)}, commit="b" * 40)
        with pytest.raises(ArrivalError) as caught:
            pull(REF, [source(hub)], FolderTarget(tmp_path / "two"), lock=lock_of(first), options=OPTIONS)
        assert caught.value.name in ("content-differs", "revision-not-found")
        assert not (tmp_path / "two" / WEIGHTS).exists()


def test_damage_on_disk_afterwards_is_brought_again(tmp_path: Path) -> None:
    with good_hub() as hub:
        pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        with (tmp_path / WEIGHTS).open("r+b") as handle:
            handle.seek(5)
            handle.write(b"!")
        again = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert SIZE <= again.fetched < 1.2 * SIZE
        assert (tmp_path / WEIGHTS).read_bytes() == content()[WEIGHTS]


def test_files_that_another_tool_laid_are_taken_in(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(content()[WEIGHTS])
    with good_hub() as hub:
        pulled = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert hub.sent[WEIGHTS] == 0
        assert pulled.fetched < SIZE


def test_commit_moved_while_downloading(tmp_path: Path) -> None:
    with good_hub() as hub:
        hub.faults = [Fault("cut", after=700_000, times=1)]

        def move(event: Event) -> None:
            if isinstance(event, Progress) and event.task == WEIGHTS:
                hub.repos[REPO] = Repo({**content(), WEIGHTS: os.urandom(SIZE)}, commit="b" * 40)

        hub.rate = 1.5e6
        with pytest.raises(SourceError) as caught:
            pull(REF, [source(hub)], FolderTarget(tmp_path), listener=move, options=replace(OPTIONS, connections=1))
        assert caught.value.name == "changed-under-way"
        assert not (tmp_path / WEIGHTS).exists()


def test_commit_moved_between_runs_brings_only_what_changed(tmp_path: Path) -> None:
    with good_hub() as hub:
        pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        hub.repos[REPO] = Repo({**content(), "config.json": b'{"new": 1}'}, commit="b" * 40)
        pulled = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert (pulled.commit, pulled.fetched) == ("b" * 40, len(b'{"new": 1}'))


def test_listing_stale(tmp_path: Path) -> None:
    with good_hub() as hub, pytest.raises(SourceError) as caught:
        pull(REF, [Stale(hub.url, transport=TRANSPORT)], FolderTarget(tmp_path), options=OPTIONS)
    assert caught.value.name == "changed-under-way"
    assert not (tmp_path / WEIGHTS).exists()


def test_a_stale_listing_gives_the_lead_to_the_next_source(tmp_path: Path) -> None:
    notes: list[Event] = []
    with good_hub() as hub, good_hub() as good:
        sources = [Stale(hub.url, transport=TRANSPORT), source(good)]
        pulled = pull(REF, sources, FolderTarget(tmp_path), listener=notes.append, options=OPTIONS)
    assert (tmp_path / WEIGHTS).read_bytes() == content()[WEIGHTS]
    assert pulled.source == f"hf:{good.url}"
    assert any(isinstance(note, Note) and "lists what nobody sends" in note.text for note in notes)


def test_two_stale_listings_are_the_first_ones_error(tmp_path: Path) -> None:
    with good_hub() as hub, good_hub() as other, pytest.raises(SourceError) as caught:
        sources = [Stale(one.url, transport=TRANSPORT) for one in (hub, other)]
        pull(REF, sources, FolderTarget(tmp_path), options=OPTIONS)
    assert caught.value.name == "changed-under-way"
    assert caught.value.blame.source == f"hf:{hub.url}"


def test_nine_tebibytes_declared(tmp_path: Path) -> None:
    with good_hub() as hub, pytest.raises(ArrivalError) as caught:
        pull(REF, [Boast(hub.url, transport=TRANSPORT)], FolderTarget(tmp_path), options=OPTIONS)
    assert caught.value.name == "disk-too-small"
    assert sum(hub.sent.values()) == 0


def test_a_disk_too_full_is_told_before_a_byte_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**6))
    with good_hub() as hub, pytest.raises(ArrivalError) as caught:
        pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
    assert caught.value.name == "disk-full"
    assert "short" in caught.value.message
    assert sum(hub.sent.values()) == 0


def test_self_signed_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FaultyHub({REPO: Repo(content())}, tls=context) as hub:
        with pytest.raises(SourceError) as caught:
            pull(REF, [source(hub)], FolderTarget(tmp_path / "a"), options=OPTIONS)
        assert caught.value.name == "tls-untrusted"
        assert "SSL_CERT_FILE" in caught.value.hint
        trusted = HuggingFaceSource(hub.url, transport=Transport(stall=5, ca_file=str(certificate)))
        pull(REF, [trusted], FolderTarget(tmp_path / "b"), options=OPTIONS)
        assert (tmp_path / "b" / WEIGHTS).read_bytes() == content()[WEIGHTS]


AUTHORITY = """[ca]
default_ca = it
[it]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = IP:127.0.0.1
"""


@pytest.mark.parametrize(
    ("first", "last"), [("20200101000000Z", "20200201000000Z"), ("20900101000000Z", "20900201000000Z")]
)
def test_a_certificate_of_another_time_is_told_as_a_matter_of_the_clock(tmp_path: Path, first: str, last: str) -> None:
    for name, text in {"it.cnf": AUTHORITY, "index.txt": "", "serial": "01\n"}.items():
        (tmp_path / name).write_text(text)
    request = [
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "key.pem",
        "-out",
        "request.pem",
    ]
    sign = [
        "ca",
        "-batch",
        "-selfsign",
        "-config",
        "it.cnf",
        "-keyfile",
        "key.pem",
        "-in",
        "request.pem",
        "-out",
        "cert.pem",
    ]
    for words in (request, [*sign, "-startdate", first, "-enddate", last]):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with FaultyHub({REPO: Repo(content())}, tls=context) as hub:
        dated = HuggingFaceSource(hub.url, transport=Transport(stall=5, ca_file=str(tmp_path / "cert.pem")))
        with pytest.raises(SourceError) as caught:
            pull(REF, [dated], FolderTarget(tmp_path / "model"), options=OPTIONS)
    assert caught.value.name == "tls-date"
    assert "timedatectl" in caught.value.hint


def test_pickles_and_code_are_left_out_with_a_note(tmp_path: Path) -> None:
    files = {**content(), "pytorch_model.bin": b"x" * 100, "modeling.py": b"import os"}
    with FaultyHub({REPO: Repo(files)}) as hub:
        notes: list[Event] = []
        pulled = pull(REF, [source(hub)], FolderTarget(tmp_path), listener=notes.append, options=OPTIONS)
        assert pulled.left_out == ("modeling.py", "pytorch_model.bin")
        assert not (tmp_path / "modeling.py").exists()
        assert len([note for note in notes if isinstance(note, Note) and note.text.startswith("left out")]) == 2
        allowed = pull(REF, [source(hub)], FolderTarget(tmp_path), allow_pickle=True, allow_code=True, options=OPTIONS)
        assert allowed.left_out == ()
        assert (tmp_path / "modeling.py").read_bytes() == b"import os"


def test_weights_as_pickles_alone_are_an_error(tmp_path: Path) -> None:
    with FaultyHub({REPO: Repo({"config.json": b"{}", "pytorch_model.bin": b"x" * 100})}) as hub:
        with pytest.raises(ArrivalError) as caught:
            pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert caught.value.name == "pickle-only"


def test_include_and_exclude(tmp_path: Path) -> None:
    with good_hub() as hub:
        pulled = pull(REF, [source(hub)], FolderTarget(tmp_path), include=["*.json"], exclude=["tok*"], options=OPTIONS)
        assert [file.path for file in pulled.files] == ["config.json"]
        with pytest.raises(UsageError) as caught:
            pull(REF, [source(hub)], FolderTarget(tmp_path), include=["*.gguf"], options=OPTIONS)
        assert caught.value.name == "nothing-selected"


def test_a_narrower_pull_takes_nothing_away_and_a_wider_one_completes(tmp_path: Path) -> None:
    with good_hub() as hub:
        at = ModelRef(REPO, "a" * 40)
        pull(at, [source(hub)], FolderTarget(tmp_path), include=["*.json"], options=OPTIONS)
        whole = pull(at, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert {file.path for file in whole.files} == set(content())
        again = pull(at, [source(hub)], FolderTarget(tmp_path), include=["config.json"], options=OPTIONS)
        assert {file.path for file in again.files} == set(content())
        assert again.left_out == ()


def test_offline_with_a_part_of_the_model_is_an_error_not_half_a_model(tmp_path: Path) -> None:
    with good_hub() as hub:
        pull(REF, [source(hub)], FolderTarget(tmp_path), include=["*.json"], options=OPTIONS)
    gone = HuggingFaceSource("http://127.0.0.1:9", transport=TRANSPORT)
    with pytest.raises(SourceError) as caught:
        pull(REF, [gone], FolderTarget(tmp_path), options=OPTIONS)
    assert caught.value.name == "host-unreachable"


def test_a_pinned_commit_that_is_here_asks_nobody(tmp_path: Path) -> None:
    with good_hub() as hub:
        at = ModelRef(REPO, "a" * 40)
        pull(at, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        hub.asked.clear()
        pull(at, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert not hub.asked


def mounted(folder: Path, size: int) -> bool:
    """Mount a small file system of its own; only root may."""
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_a_disk_that_fills_up_keeps_what_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    if not mounted(disk, 2_000_000):
        pytest.skip("only root may mount a small disk")
    try:
        usage = namedtuple("usage", "total used free")
        with good_hub() as hub, monkeypatch.context() as blind:
            blind.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, 10**12))
            with pytest.raises(ArrivalError) as caught:
                pull(REF, [source(hub)], FolderTarget(disk), options=OPTIONS)
            assert caught.value.name == "disk-full"
            assert "are missing" in caught.value.message
            assert not (disk / WEIGHTS).exists()
            subprocess.run(["mount", "-o", "remount,size=9000000", str(disk)], check=True)
            hub.sent.clear()
            pull(REF, [source(hub)], FolderTarget(disk), options=OPTIONS)
            assert hub.sent[WEIGHTS] < SIZE - 1_000_000
        assert (disk / WEIGHTS).read_bytes() == content()[WEIGHTS]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../b", "a\0b", "x" * 300, "a//b", ".provision/files.jsonl"])
def test_hostile_names_are_refused_before_a_byte(name: str, tmp_path: Path) -> None:
    with FaultyHub({REPO: Repo({**content(), name: b"evil"})}) as hub:
        with pytest.raises(ProvisionError):
            pull(REF, [source(hub)], FolderTarget(tmp_path / "in"), options=OPTIONS)
        assert sum(hub.sent.values()) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "file",
    [
        RemoteFile("a", 3, "../../../../tmp/evil"),
        RemoteFile("a", 3, None, "../evil"),
        RemoteFile("a", 3),
        RemoteFile("a", -3, "0" * 64),
    ],
)
def test_a_listing_that_cannot_be_verified_is_refused(file: RemoteFile, tmp_path: Path) -> None:
    class Sly(HuggingFaceSource):
        def manifest(self, ref: ModelRef) -> Manifest:
            return replace(super().manifest(ref), files=(file,))

    with good_hub() as hub, pytest.raises(ArrivalError) as caught:
        pull(REF, [Sly(hub.url, transport=TRANSPORT)], FolderTarget(tmp_path / "in"), options=OPTIONS)
    assert caught.value.name == "listing-invalid"
    assert list(tmp_path.rglob("*")) == []


def test_a_place_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS / "something").mkdir(parents=True)
    with good_hub() as hub, pytest.raises(ArrivalError) as caught:
        pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
    assert caught.value.name == "target-unwritable"


def test_a_long_wait_is_counted_down_by_one_voice(tmp_path: Path) -> None:
    notes: list[Event] = []
    with good_hub() as hub:
        hub.faults = [Fault("status", value=429, text="3", times=1)]
        pull(REF, [source(hub)], FolderTarget(tmp_path), listener=notes.append, options=replace(OPTIONS, max_wait=5))
    assert len([note for note in notes if isinstance(note, Note) and note.text.startswith("waiting")]) == 1


def test_twins_are_fetched_once(tmp_path: Path) -> None:
    files = {**content(), "copy.safetensors": content()[WEIGHTS]}
    with FaultyHub({REPO: Repo(files)}) as hub:
        pulled = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert hub.sent[WEIGHTS] + hub.sent["copy.safetensors"] == SIZE
        assert len(pulled.files) == 4
    assert (tmp_path / "copy.safetensors").read_bytes() == (tmp_path / WEIGHTS).read_bytes()


def test_a_twin_is_copied_from_a_file_that_is_right(tmp_path: Path) -> None:
    files = {"a.json": b"same" * 300, "b.json": b"same" * 300, "z.json": b"same" * 300}
    with FaultyHub({REPO: Repo(files)}) as hub:
        pull(REF, [source(hub)], FolderTarget(tmp_path), exclude=["b.json"], options=OPTIONS)
        (tmp_path / "a.json").unlink()
        (tmp_path / "z.json").write_bytes(b"changed")
        pull(REF, [source(hub)], FolderTarget(tmp_path), exclude=["z.json"], options=OPTIONS)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes() == files["b.json"]


class Changing(FolderTarget):
    """A folder in which another program changes a file, its size and time kept, before its twin is made."""

    def finish(self, pulled: Pulled) -> Path:
        path = self.folder / "a.json"
        time = path.stat().st_mtime_ns
        path.write_bytes(b"diff" * 300)
        os.utime(path, ns=(time, time))
        return super().finish(pulled)


def test_a_twin_that_has_nothing_to_be_copied_from_is_told_and_brought_by_the_next_pull(tmp_path: Path) -> None:
    files = {"a.json": b"same" * 300, "b.json": b"same" * 300}
    with FaultyHub({REPO: Repo(files)}) as hub:
        with pytest.raises(ArrivalError) as caught:
            pull(REF, [source(hub)], Changing(tmp_path), options=OPTIONS)
        assert caught.value.name == "file-changed"
        assert not (tmp_path / "b.json").exists() and not list((tmp_path / ".provision/partial").iterdir())
        pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
    assert {path: (tmp_path / path).read_bytes() for path in files} == files


def test_nothing_is_made_where_a_link_leads_out(tmp_path: Path) -> None:
    folder, outside = tmp_path / "to", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "sub").symlink_to(outside)
    with FaultyHub({REPO: Repo({"sub/deep/config.json": b"{}"})}) as hub, pytest.raises(ArrivalError) as caught:
        pull(REF, [source(hub)], FolderTarget(folder), options=OPTIONS)
    assert "leads out of" in caught.value.context + caught.value.message
    assert not list(outside.iterdir())


def test_from_a_folder(tmp_path: Path) -> None:
    for path, data in content().items():
        (tmp_path / "from" / REPO).mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / REPO / path).write_bytes(data)
    pulled = pull(REF, [DirectorySource(tmp_path / "from")], FolderTarget(tmp_path / "to"), options=OPTIONS)
    assert {file.path: file.sha256 for file in pulled.files} == {path: sha256(data) for path, data in content().items()}
    assert (tmp_path / "to" / WEIGHTS).read_bytes() == content()[WEIGHTS]


def test_many_small_files_come_over_few_connections(tmp_path: Path) -> None:
    files = {f"shard/{index:03}.json": os.urandom(2000) for index in range(200)}
    with FaultyHub({REPO: Repo(files)}) as hub:
        pulled = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert hub.open_most <= OPTIONS.small_connections
        assert len(pulled.files) == 200
    for path, data in files.items():
        assert (tmp_path / path).read_bytes() == data


def test_connections_are_added_where_each_is_throttled(tmp_path: Path) -> None:
    with FaultyHub({REPO: Repo({WEIGHTS: os.urandom(16_000_000)})}, rate=1e6) as hub:
        pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
        assert hub.open_most >= 12


def test_progress_reaches_the_total_and_names_the_source(tmp_path: Path) -> None:
    events: list[Event] = []
    with good_hub() as hub:
        hub.rate = 6e6
        pull(REF, [source(hub)], FolderTarget(tmp_path), listener=events.append, options=OPTIONS)
    whole = [event for event in events if isinstance(event, Progress) and event.task == str(REF)]
    assert whole[-1].done == whole[-1].total == sum(map(len, content().values()))
    assert any(event.detail == source(hub).name for event in whole)
    assert all(before.done <= after.done for before, after in pairwise(whole))


@pytest.mark.parametrize("stage", ["revision", "tree"])
@pytest.mark.parametrize("second", [False, True])
def test_a_hub_that_will_never_list_is_asked_once(stage: str, second: bool, tmp_path: Path) -> None:
    with good_hub() as hub, good_hub() as good:
        hub.faults = [Fault("status", stage, value=400)]
        sources = [source(hub), *([source(good)] if second else [])]
        if second:
            pull(REF, sources, FolderTarget(tmp_path), options=OPTIONS)
        else:
            with pytest.raises(SourceError) as caught:
                pull(REF, sources, FolderTarget(tmp_path), options=OPTIONS)
            assert caught.value.name == "status-unexpected"
        assert hub.asked[stage] == 1


def test_a_listing_that_takes_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(HuggingFaceSource):
        def manifest(self, ref: ModelRef) -> Manifest:
            time.sleep(0.5)
            return super().manifest(ref)

    monkeypatch.setattr(engine, "LISTING_LONG", 0.1)
    notes: list[Event] = []
    with good_hub() as hub:
        pull(REF, [Slow(hub.url, transport=TRANSPORT)], FolderTarget(tmp_path), listener=notes.append, options=OPTIONS)
    assert Note("org/model@main", "still reading what there is of it") in notes


def test_a_host_that_ignores_ranges_is_read_on_from_its_first_answer(tmp_path: Path) -> None:
    with good_hub() as hub:
        hub.faults = [Fault("range-ignored")]
        hub.rate = 3e6
        pulled = pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
    assert pulled.fetched < 1.2 * SIZE


def test_a_sender_with_an_etag_of_its_own_each_time_is_believed_for_its_bytes(tmp_path: Path) -> None:
    with good_hub() as hub:
        hub.faults = [Fault("etag", text=f"{index}", times=1) for index in range(50)]
        pull(REF, [source(hub)], FolderTarget(tmp_path), options=OPTIONS)
    assert (tmp_path / WEIGHTS).read_bytes() == content()[WEIGHTS]
