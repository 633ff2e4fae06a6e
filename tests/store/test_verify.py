"""What is damaged on disk is found, named, and mended by its pieces alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from provision.download import pull
from provision.errors import ArrivalError
from provision.events import Event, Progress
from provision.sources.interface import ModelRef
from provision.store import Damage, Store
from provision.store.verify import PIECE
from tests.download.faults import OPTIONS, source
from tests.fakes.faulty_hub import FaultyHub, Repo
from tests.store.samples import COMMIT, FILES, LATER, REPO, content, damage, publish, sha256, writable

BIG = os.urandom(3 * PIECE + 1000)
NAME = "model.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def only(store: Store) -> Damage:
    (found,) = store.verify(store.models())
    return found


@pytest.fixture
def hub() -> Iterator[FaultyHub]:
    with FaultyHub({REPO: Repo({NAME: BIG})}) as hub:
        yield hub


def restore(store: Store, hub: FaultyHub) -> int:
    """Mend what is damaged, and return how many bytes the hub sent for it."""
    hub.sent.clear()
    store.restore(store.verify(store.models()), lambda _: [source(hub)])
    return sum(hub.sent.values())


def test_a_whole_store_is_whole_and_says_when(store: Store) -> None:
    publish(store)
    events: list[Event] = []
    assert store.verify(store.models(), workers=2, listener=events.append) == ()
    assert store.models()[0].verified > 0
    total = sum(map(len, FILES.values()))
    assert events[-1] == Progress("verify", total, total)


def test_a_shared_content_is_hashed_once(store: Store) -> None:
    publish(store)
    publish(store, repo="other/model")
    events: list[Event] = []
    store.verify(store.models(), listener=events.append)
    assert isinstance(events[-1], Progress) and events[-1].total == sum(map(len, FILES.values()))


def test_each_damaged_file_is_named_for_each_model(store: Store) -> None:
    publish(store)
    publish(store, repo="other/model")
    damage(store.blob_path(sha256(FILES["config.json"])), 3)
    store.blob_path(sha256(FILES["sub/tokenizer.json"])).unlink()
    found = {(bad.repo, bad.path, bad.what) for bad in store.verify(store.models())}
    assert found == {
        (repo, path, what)
        for repo in (REPO, "other/model")
        for path, what in [("config.json", "is damaged"), ("sub/tokenizer.json", "is missing")]
    }
    assert store.models()[0].verified == 0


OFFSETS = {5: (0, PIECE), 2 * PIECE + 7: (2 * PIECE, 3 * PIECE), len(BIG) - 1: (3 * PIECE, len(BIG))}


@pytest.mark.parametrize("offset", OFFSETS)
def test_one_flipped_bit_costs_one_piece(store: Store, hub: FaultyHub, offset: int) -> None:
    publish(store, {NAME: BIG})
    blob = store.blob_path(sha256(BIG))
    inode = blob.stat().st_ino
    damage(blob, offset)
    start, end = OFFSETS[offset]
    assert only(store).ranges == ((start, end),)
    assert restore(store, hub) == end - start
    assert content(store.root / REPO) == {NAME: BIG}
    assert blob.stat().st_ino == inode  # whoever has it open sees it mended
    assert not store.verify(store.models()) and store.gc(days=0) == ()


def test_several_damages_are_mended_too(store: Store, hub: FaultyHub) -> None:
    publish(store, {NAME: BIG})
    for offset in (0, 2 * PIECE, len(BIG) - 1):
        damage(store.blob_path(sha256(BIG)), offset)
    assert restore(store, hub) > PIECE
    assert content(store.root / REPO) == {NAME: BIG} and not store.verify(store.models())


@pytest.mark.parametrize("size", [0, PIECE + 5, 3 * PIECE, len(BIG) - 1])
def test_a_file_cut_short_is_filled(store: Store, hub: FaultyHub, size: int) -> None:
    publish(store, {NAME: BIG})
    os.truncate(writable(store.blob_path(sha256(BIG))), size)
    assert restore(store, hub) == len(BIG) - size // PIECE * PIECE
    assert content(store.root / REPO) == {NAME: BIG} and not store.verify(store.models())


def test_a_file_that_grew_is_cut(store: Store, hub: FaultyHub) -> None:
    publish(store, {NAME: BIG})
    with writable(store.blob_path(sha256(BIG))).open("ab") as handle:
        handle.write(b"more")
    assert restore(store, hub) <= PIECE
    assert content(store.root / REPO) == {NAME: BIG} and not store.verify(store.models())


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: damage(path, 3)], ids=["missing", "damaged"])
def test_without_digests_the_whole_file_comes_again(store: Store, hub: FaultyHub, lose: Callable[[Path], None]) -> None:
    publish(store, {NAME: BIG})
    (store.root / ".provision/prefixes" / sha256(BIG)).unlink()
    lose(store.blob_path(sha256(BIG)))
    assert only(store).ranges == ((0, len(BIG)),)
    assert restore(store, hub) == len(BIG)
    assert content(store.root / REPO) == {NAME: BIG} and not store.verify(store.models())


def test_small_files_in_subfolders_are_brought_again(store: Store) -> None:
    publish(store)
    damage(store.blob_path(sha256(FILES["sub/tokenizer.json"])), 0)
    with FaultyHub({REPO: Repo(FILES)}) as hub:
        assert restore(store, hub) == len(FILES["sub/tokenizer.json"])
    assert content(store.root / REPO) == FILES and store.is_whole(store.models()[0])


def test_a_source_that_has_gone_leaves_it_to_the_next(store: Store, hub: FaultyHub) -> None:
    record = publish(store, {NAME: BIG})
    damage(store.blob_path(sha256(BIG)), 5)
    with FaultyHub({REPO: Repo({"other": b""})}) as gone, pytest.raises(ArrivalError):
        restore(store, gone)
    assert not store.is_whole(record)  # and `up` and `pull` will see it
    pulled = pull(ModelRef(REPO), [source(hub)], store.target(), options=OPTIONS)
    assert pulled.fetched == PIECE
    assert content(store.root / REPO) == {NAME: BIG} and not store.verify(store.models())


def test_names_stay_as_they_were(store: Store, hub: FaultyHub) -> None:
    publish(store, {NAME: BIG})
    publish(store, {NAME: b"other"}, commit=LATER)
    damage(store.blob_path(sha256(BIG)), 5)
    restore(store, hub)
    assert {record.commit for record in store.models()} == {COMMIT, LATER}
    assert [record.revisions for record in store.models()] == [("main",), ("main",)]
    assert store.record(REPO, "main") == store.record(REPO, LATER)


def test_digests_that_are_not_known_are_learnt_while_verifying(store: Store) -> None:
    publish(store, {NAME: BIG})
    digests = store.root / ".provision/prefixes" / sha256(BIG)
    known = digests.read_text()
    digests.unlink()
    store.verify(store.models())
    assert digests.read_text() == known and len(known.split()) == 3


def test_a_file_behind_a_door_that_was_replaced_is_found(store: Store) -> None:
    record = publish(store)
    place = (store.root / REPO).resolve() / "config.json"
    place.unlink()
    place.write_bytes(FILES["config.json"][::-1])
    bad = only(store)
    assert (bad.what, bad.ranges) == ("was replaced by something that is not verified", ())
    assert not store.is_whole(record)
    store.restore([bad], lambda _: [])  # all that is needed is here
    assert content(store.root / REPO) == FILES and not store.verify(store.models())


def test_verify_needs_no_right_to_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    record = publish(store)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr("provision.store.store.replace_file", refuse)
    assert store.verify([record]) == ()
    assert store.record(REPO, COMMIT) == record


def meanwhile(act: Callable[[], object]) -> Callable[[Event], None]:
    """Return a listener that lets another process act once, when hashing has begun."""
    acts = [act]

    def listen(_: Event) -> None:
        if acts:
            acts.pop()()

    return listen


def test_a_pull_that_ends_while_we_verify_stands(store: Store) -> None:
    publish(store, {"config.json": FILES["config.json"]})
    assert store.verify(store.models(), listener=meanwhile(lambda: publish(Store(store.root)))) == ()
    record = store.models()[0]
    assert {file.path for file in record.files} == set(FILES) and record.verified == 0
    store.gc(days=0)
    assert store.is_whole(record) and content(store.root / REPO) == FILES


def test_a_record_that_goes_while_we_verify_stays_gone(store: Store) -> None:
    publish(store, published=1.0)
    publish(store, {**FILES, "config.json": b"new"}, commit=LATER)
    assert store.verify(store.models(), listener=meanwhile(lambda: Store(store.root).gc(days=0))) == ()
    assert [record.commit for record in store.models()] == [LATER]


@pytest.mark.parametrize("place", [REPO, ".hf/hub/models--org--model/refs/main"])
def test_a_door_that_fell_is_told_and_opened_again(store: Store, place: str) -> None:
    publish(store)
    (store.root / place).unlink()
    bad = only(store)
    assert (bad.path, bad.what, bad.ranges) == (place, "does not lead where it should", ())
    store.restore([bad], lambda _: [])
    assert content(store.root / REPO) == FILES and not store.verify(store.models())


def restore_each(store: Store, hubs: Mapping[str, FaultyHub]) -> None:
    """Mend what is damaged, each model from its own hub."""
    store.restore(store.verify(store.models()), lambda record: [source(hubs[record.repo])])


def test_what_two_models_share_is_taken_back_once_and_brought_by_whichever_can(store: Store, hub: FaultyHub) -> None:
    publish(store, {NAME: BIG})
    publish(store, {NAME: BIG}, repo="other/model")
    damage(store.blob_path(sha256(BIG)), 5)
    with FaultyHub({"not/here": Repo({})}) as without:
        restore_each(store, {REPO: hub, "other/model": without})
    assert hub.sent[NAME] == PIECE
    assert not store.verify(store.models()) and all(store.is_whole(record) for record in store.models())


def test_the_first_model_s_dead_source_does_not_keep_the_second_s_from_being_asked(store: Store, hub: FaultyHub) -> None:
    publish(store, {NAME: BIG}, repo="before/model")
    publish(store, {NAME: BIG})
    damage(store.blob_path(sha256(BIG)), 5)
    with FaultyHub({"not/here": Repo({})}) as without:
        restore_each(store, {"before/model": without, REPO: hub})
    assert not store.verify(store.models()) and all(store.is_whole(record) for record in store.models())


def test_what_another_process_has_mended_meanwhile_is_not_taken_back(store: Store, hub: FaultyHub) -> None:
    publish(store, {NAME: BIG})
    damage(store.blob_path(sha256(BIG)), 5)
    damages = store.verify(store.models())
    store.restore(damages, lambda _: [source(hub)])
    hub.sent.clear()
    store.restore(damages, lambda _: [source(hub)])
    assert not hub.sent and not store.verify(store.models())
