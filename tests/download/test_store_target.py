"""A pull into the real store, also from the real hub that serves one."""

from __future__ import annotations

from pathlib import Path

from provision.download import pull
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef
from provision.store import Store
from tests.download.faults import OPTIONS, REPO, SIZE, TRANSPORT, WEIGHTS, content, good_hub, source
from tests.fakes.faulty_hub import FaultyHub, Repo

REF = ModelRef(REPO)


def test_into_the_store_and_warm_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with good_hub() as hub:
        first = pull(REF, [source(hub)], store.target(), options=OPTIONS)
        hub.sent.clear()
        second = pull(REF, [source(hub)], store.target(), options=OPTIONS)
        assert sum(hub.sent.values()) == 0
    assert first.path == tmp_path / REPO
    assert (tmp_path / REPO / WEIGHTS).read_bytes() == content()[WEIGHTS]
    assert second.fetched == 0
    assert store.verify(store.models()) == ()
    record = store.record(REPO)
    assert record and record.commit == "a" * 40
    assert {file.path: sum(file.shares.values()) for file in record.files} == {k: len(v) for k, v in content().items()}


def test_offline_from_the_store(tmp_path: Path) -> None:
    with good_hub() as hub:
        pull(REF, [source(hub)], Store(tmp_path).target(), options=OPTIONS)
    gone = HuggingFaceSource("http://127.0.0.1:9", transport=TRANSPORT)
    assert pull(REF, [gone], Store(tmp_path).target(), options=OPTIONS).fetched == 0


def test_two_models_share_their_bytes(tmp_path: Path) -> None:
    with FaultyHub({REPO: Repo(content()), "org/two": Repo({**content(), "config.json": b"{}"})}) as hub:
        pull(REF, [source(hub)], Store(tmp_path).target(), options=OPTIONS)
        second = pull(ModelRef("org/two"), [source(hub)], Store(tmp_path).target(), options=OPTIONS)
    assert second.fetched == 2
    assert hub.sent[WEIGHTS] == SIZE


def test_a_damaged_prefix_names_the_place(tmp_path: Path) -> None:
    store = Store(tmp_path)
    big = bytes(20 * 1024 * 1024)
    with FaultyHub({REPO: Repo({WEIGHTS: big})}) as hub:
        pull(REF, [source(hub)], store.target(), options=OPTIONS)
    record = store.record(REPO)
    assert record
    blob = store.blob_path(record.files[0].sha256)
    blob.chmod(0o644)
    with blob.open("r+b") as handle:
        handle.seek(9 * 1024 * 1024)
        handle.write(b"!")
    (damage,) = store.verify(store.models())
    assert damage.ranges == ((8 * 1024 * 1024, 16 * 1024 * 1024),)


def test_only_the_damaged_piece_is_brought_again(tmp_path: Path) -> None:
    store, big = Store(tmp_path), bytes(20 * 1024 * 1024)
    with FaultyHub({REPO: Repo({WEIGHTS: big})}) as hub:
        pull(REF, [source(hub)], store.target(), options=OPTIONS)
        record = store.record(REPO)
        assert record
        (file,) = record.files
        blob = store.blob_path(file.sha256)
        blob.chmod(0o644)
        with blob.open("r+b") as handle:
            handle.seek(9 * 1024 * 1024)
            handle.write(b"!")
        (damage,) = store.verify([record])
        hub.sent.clear()
        store.restore([damage], lambda _: [source(hub)])
        assert hub.sent[WEIGHTS] == 8 * 1024 * 1024
    assert store.verify([record]) == ()


def test_a_pull_of_what_is_there_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with good_hub() as hub:
        pull(REF, [source(hub)], store.target(), options=OPTIONS)
        before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
        again = pull(REF, [source(hub)], Store(tmp_path).target(), options=OPTIONS)
    assert again.path == tmp_path / REPO
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
