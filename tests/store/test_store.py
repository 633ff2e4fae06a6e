"""One copy of the bytes, three doors, records; and who stands in the way."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.errors import ArrivalError, UsageError
from provision.store import ModelRecord, Store, StoredFile, StoreError
from tests.store.samples import COMMIT, FILES, LATER, REPO, age, content, publish, put, sha256


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def hf(store: Store, commit: str = COMMIT, slug: str = "org--model") -> Path:
    return store.root / ".hf/hub" / f"models--{slug}" / "snapshots" / commit


def modelscope(store: Store, revision: str = "master") -> Path:
    return store.root / ".modelscope/models/org--model/snapshots" / revision


def test_nothing_is_touched_before_something_is_put_in(store: Store) -> None:
    assert (store.models(), store.record(REPO), store.gc()) == ((), None, ())
    assert not store.root.exists()


def test_three_doors_lead_to_the_same_bytes(store: Store) -> None:
    publish(store)
    for door in (store.root / REPO, hf(store), modelscope(store), modelscope(store, "main"), modelscope(store, COMMIT)):
        assert content(door) == FILES
    assert (hf(store).parent.parent / "refs/main").read_text() == COMMIT


def test_the_bytes_are_there_once_and_cannot_be_written(store: Store) -> None:
    publish(store)
    blob = store.blob_path(sha256(FILES["model.safetensors"]))
    assert (store.root / REPO / "model.safetensors").samefile(blob)
    assert hf(store).joinpath("model.safetensors").samefile(blob)
    assert stat.S_IMODE(blob.stat().st_mode) == 0o444


def test_two_models_share_a_file(store: Store) -> None:
    publish(store)
    publish(store, {**FILES, "config.json": b"{}"}, repo="other/model", commit=LATER)
    weights = "model.safetensors"
    assert (store.root / "other/model" / weights).samefile(store.root / REPO / weights)
    assert len(list((store.root / ".provision/blobs").iterdir())) == 3  # "{}" is shared too


def test_a_store_that_is_moved_is_the_same_store(store: Store, tmp_path: Path) -> None:
    publish(store)
    moved = Store(store.root.rename(tmp_path / "elsewhere"))
    assert content(moved.root / REPO) == content(hf(moved)) == content(modelscope(moved)) == FILES
    assert not moved.verify(moved.models())


def test_without_hard_links_there_are_relative_ones(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_link)
    record = publish(store)
    assert (store.root / REPO / "sub/tokenizer.json").is_symlink()
    assert store.is_whole(record) and not store.verify([record])
    moved = Store(store.root.rename(tmp_path / "elsewhere"))
    assert content(hf(moved)) == FILES


def test_a_new_commit_takes_over_the_name_and_the_old_one_stays(store: Store) -> None:
    publish(store)
    publish(store, {**FILES, "config.json": b"new"}, commit=LATER)
    assert content(store.root / REPO)["config.json"] == content(modelscope(store))["config.json"] == b"new"
    assert (hf(store).parent.parent / "refs/main").read_text() == LATER
    assert content(hf(store, COMMIT)) == FILES
    assert [record.commit for record in store.versions(REPO)] == [LATER, COMMIT]
    assert store.record(REPO) == store.record(REPO, "main") == store.record(REPO, "master") == store.record(REPO, LATER)
    assert store.record(REPO, COMMIT) is not None


def test_a_tag_has_its_own_name_and_main_stays_where_it_was(store: Store) -> None:
    publish(store)
    publish(store, {**FILES, "config.json": b"v1"}, commit=LATER, revision="refs/pr/1")
    assert store.record(REPO, "main") == store.record(REPO, COMMIT)
    assert store.record(REPO, "refs/pr/1") == store.record(REPO, LATER)
    assert (hf(store).parent.parent / "refs/refs/pr/1").read_text() == LATER
    assert content(modelscope(store, "refs/pr/1"))["config.json"] == b"v1"
    assert content(modelscope(store, "master")) == FILES
    assert content(store.root / REPO)["config.json"] == b"v1"  # the path leads to what came last


def test_a_commit_pulled_alone_is_the_default_branch_here(store: Store) -> None:
    publish(store, revision=COMMIT)
    assert (hf(store).parent.parent / "refs/main").read_text() == COMMIT
    assert content(modelscope(store)) == FILES
    assert store.record(REPO, "main") is None  # and yet nobody claimed that name


def test_more_files_of_the_same_commit_join_those_that_are_here(store: Store) -> None:
    publish(store, {"config.json": FILES["config.json"]})
    record = publish(store)
    assert {file.path for file in record.files} == set(FILES)
    again = publish(store, {"config.json": FILES["config.json"]})
    assert {file.path for file in again.files} == set(FILES)
    assert content(store.root / REPO) == FILES


def test_who_sent_the_bytes_is_remembered(store: Store) -> None:
    first = publish(store)
    here_already = tuple(replace(file, shares={}) for file in first.files)
    again = store.publish(replace(first, files=here_already))
    assert [file.shares for file in again.files] == [file.shares for file in first.files] != [{}, {}, {}]


def test_a_hub_without_commits_gets_one_made_of_the_contents(store: Store) -> None:
    record = publish(store, commit="master")
    assert len(record.commit) == 40 and "master" in record.revisions
    assert publish(store, commit="master").commit == record.commit
    assert content(hf(store, record.commit)) == FILES


def test_a_model_without_an_owner(store: Store) -> None:
    record = publish(store, repo="gpt2")
    assert content(store.root / "gpt2") == content(hf(store, slug="gpt2")) == FILES
    assert store.is_whole(record)


def test_records_survive_the_process(store: Store) -> None:
    record = publish(store)
    assert Store(store.root).models() == (record,)
    assert record.size == sum(map(len, FILES.values()))


def test_a_record_that_is_no_record_is_named(store: Store) -> None:
    publish(store)
    path = store.root / ".provision/models/org--model" / f"{COMMIT}.json"
    path.write_text('{"schema": "something"}')
    with pytest.raises(StoreError) as caught:
        store.models()
    assert caught.value.name == "record-invalid"
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a\\b", "a\0b", "", "con", "x" * 300, ".provision/x", "a//b"]
)
def test_hostile_names_never_become_paths(store: Store, path: str) -> None:
    sha = put(store, b"x")
    with pytest.raises(ArrivalError) as caught:
        store.publish(ModelRecord(REPO, COMMIT, ("main",), (StoredFile(path, 1, sha),)))
    assert caught.value.name == "name-hostile"
    assert not store.models() and not (store.root / "org").exists()


@pytest.mark.parametrize("repo", ["../x", "a/b/c", "a--b/c", ".hf/hub", ".provision/x", "/abs", "a/..", "", "a/b\0"])
def test_hostile_repositories_are_refused(store: Store, repo: str) -> None:
    with pytest.raises(UsageError) as caught:
        store.publish(ModelRecord(repo, COMMIT, ("main",), (StoredFile("x", 1, put(store, b"x")),)))
    assert caught.value.name == "repo-invalid"


@pytest.mark.parametrize("revision", ["../../../x", "/abs", "a/../b"])
def test_hostile_revisions_are_refused(store: Store, revision: str) -> None:
    with pytest.raises(ArrivalError):
        publish(store, revision=revision)
    assert not store.models()


@pytest.mark.parametrize("sha", ["../../x", "A" * 64, "0" * 63, ""])
def test_what_is_no_digest_is_no_path(store: Store, sha: str) -> None:
    publish(store)
    assert not store.has(sha)
    with pytest.raises(ValueError, match="is not a SHA-256"):
        store.blob_path(sha)


def test_names_that_only_differ_in_case_are_refused(store: Store) -> None:
    with pytest.raises(ArrivalError) as caught:
        publish(store, {"README.md": b"a", "readme.md": b"b"})
    assert caught.value.name == "name-collision"


def test_a_missing_content_is_told_and_nothing_changes(store: Store) -> None:
    before = publish(store)
    with pytest.raises(StoreError) as caught:
        store.publish(ModelRecord(REPO, LATER, ("main",), (StoredFile("x", 1, sha256(b"never came")),)))
    assert caught.value.name == "blob-missing"
    assert store.models() == (before,)
    assert content(store.root / REPO) == FILES


def make_folder(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "precious").write_text("mine")


def make_file(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("mine")


def make_link(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to("/nowhere")


def make_owner_a_file(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("mine")


def make_owner_a_link(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    (path.parent.parent / "real").mkdir()
    path.parent.symlink_to("real")


FOREIGN = [make_folder, make_file, make_link, make_owner_a_file, make_owner_a_link]


@pytest.mark.parametrize("make", FOREIGN, ids=lambda make: make.__name__)
@pytest.mark.parametrize("place", [REPO, f".hf/hub/models--org--model/snapshots/{COMMIT}"])
def test_what_others_put_there_is_named_and_kept(store: Store, make: Any, place: str) -> None:
    make(store.root / place)
    before = sorted(path for path in store.root.rglob("*") if ".provision" not in path.parts)
    with pytest.raises(StoreError) as caught:
        publish(store)
    assert caught.value.name == "store-name-taken"
    assert "mv " in caught.value.hint
    assert sorted(path for path in store.root.rglob("*") if ".provision" not in path.parts) == before
    assert not store.models()


def test_a_store_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "file/store").publish(ModelRecord(REPO, COMMIT, (), ()))
    assert caught.value.name == "store-failed"


@pytest.mark.parametrize(("number", "reference"), [(errno.ENOSPC, "disk-full"), (errno.EROFS, "store-unwritable")])
def test_a_disk_that_gives_no_more_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, reference: str
) -> None:
    before = publish(store)
    put(store, b"new")

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreError) as caught:
        publish(store, {**FILES, "new": b"new"}, commit=LATER)
    assert caught.value.name == reference
    monkeypatch.undo()
    assert store.models() == (before,) and content(store.root / REPO) == FILES
    assert publish(store, {**FILES, "new": b"new"}, commit=LATER).commit == LATER


def test_adding_what_is_here_keeps_the_copy(store: Store) -> None:
    publish(store)
    blob = store.blob_path(sha256(FILES["config.json"]))
    inode = blob.stat().st_ino
    put(store, FILES["config.json"])
    assert blob.stat().st_ino == inode
    assert not list(store.partial.iterdir())


def test_a_cut_blob_is_replaced_and_the_doors_follow(store: Store) -> None:
    publish(store)
    blob = store.blob_path(sha256(FILES["config.json"]))
    blob.chmod(0o644)
    blob.write_bytes(b"{")
    record = publish(store)
    assert content(store.root / REPO) == content(hf(store)) == FILES
    assert not store.verify([record])


def test_doors_that_went_are_opened_again(store: Store) -> None:
    record = publish(store)
    (store.root / REPO).unlink()
    (hf(store).parent.parent / "refs/main").write_text(LATER)
    assert not store.is_whole(record)
    publish(store)
    assert store.is_whole(record) and content(store.root / REPO) == FILES


def test_environment_names_the_doors_where_they_are_seen(store: Store) -> None:
    assert store.environment(mount="/models/") == {
        "HF_HUB_CACHE": "/models/.hf/hub",
        "HF_HUB_OFFLINE": "1",
        "MODELSCOPE_CACHE": "/models/.modelscope",
    }
    assert store.environment()["HF_HUB_CACHE"] == f"{store.root}/.hf/hub"


def test_gc_leaves_alone_what_is_wanted_or_young(store: Store) -> None:
    publish(store)
    put(store, b"of a pull under way")
    (store.partial / "x.part").write_bytes(b"on its way")
    assert store.gc() == ()
    assert content(store.root / REPO) == FILES


def test_gc_says_what_would_go_and_then_lets_it_go(store: Store) -> None:
    publish(store, {**FILES, "config.json": b"old"}, published=1.0)
    publish(store, commit=LATER)
    age(store.blob_path(sha256(b"old")), days=8)
    orphan = store.blob_path(put(store, b"nobody's"))
    age(orphan, days=8)
    would = store.gc(dry_run=True)
    assert [(one.kind, one.size > 0) for one in would] == [
        ("commit", False),
        ("tree", False),
        ("blob", True),
        ("blob", True),
    ]
    assert orphan.exists() and len(store.models()) == 2
    assert store.gc() == would
    assert not orphan.exists() and not store.has(sha256(b"old"))
    assert [record.commit for record in store.models()] == [LATER]
    assert not hf(store, COMMIT).is_symlink() and not modelscope(store, COMMIT).is_symlink()
    assert content(store.root / REPO) == content(hf(store, LATER)) == FILES
    assert store.gc() == () and not store.verify(store.models())


def test_gc_keeps_a_commit_that_a_name_leads_to(store: Store) -> None:
    publish(store, {**FILES, "config.json": b"old"}, revision="v1", published=1.0)
    publish(store, commit=LATER)
    assert store.gc(days=0) == ()
    assert store.record(REPO, "v1") is not None


def test_gc_leaves_a_part_that_a_process_holds(store: Store) -> None:
    import fcntl

    publish(store)
    for name in ("held.part", "held.journal", "left.part", "left.journal"):
        (store.partial / name).write_bytes(b"x")
        age(store.partial / name, days=8)
    with (store.partial / "held.part").open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert {one.name for one in store.gc()} == {"left.part", "left.journal"}
    assert {path.name for path in store.partial.iterdir()} == {"held.part", "held.journal"}


HOSTILE = {
    "path": lambda told: told["files"][0].update(path="../../../../../outside"),
    "revision": lambda told: told.update(revisions=["../../../../../outside"]),
    "commit": lambda told: told.update(commit="../../../outside"),
    "repo": lambda told: told.update(repo="../outside"),
    "another-s-repo": lambda told: told.update(repo="other/model"),
    "no-name": lambda told: told["files"][0].update(path=None),
}


@pytest.mark.parametrize("tamper", HOSTILE.values(), ids=HOSTILE)
def test_a_record_that_names_what_must_be_no_path_is_refused(store: Store, tamper: Callable[[Any], None]) -> None:
    publish(store)
    path = next((store.root / ".provision/models").glob("*/*.json"))
    told = json.loads(path.read_text())
    tamper(told)
    path.write_text(json.dumps(told))
    before = sorted(store.root.parent.rglob("*"))
    with pytest.raises(StoreError) as caught:
        Store(store.root).publish(ModelRecord(REPO, COMMIT, ("main",), ()))
    assert caught.value.name == "record-invalid" and str(path) in caught.value.message
    assert sorted(store.root.parent.rglob("*")) == before


def test_a_file_may_be_called_as_another_s_scratch_would_be(store: Store) -> None:
    files = {"x.json": b"{}", ".x.json.new": b"new", "sub/.door": b"door"}
    record = publish(store, files)
    assert content(store.root / REPO) == files and store.is_whole(record)
    (store.root / REPO / "x.json").unlink()
    store.reopen(record)
    assert content(store.root / REPO) == files and not store.verify([record])
