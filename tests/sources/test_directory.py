from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.sources.directory import DirectorySource
from provision.sources.interface import ModelRef, SourceError
from tests.fakes.faulty_hub import sha256

REF = ModelRef("org/model")


@pytest.mark.parametrize("nested", [True, False])
def test_a_folder_is_a_hub_or_one_model(nested: bool, tmp_path: Path) -> None:
    root = tmp_path / REF.repo if nested else tmp_path
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.json").write_bytes(b"abc")
    (root / "b.json").write_bytes(b"{}")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"no")
    source = DirectorySource(tmp_path)
    manifest = source.manifest(REF)
    found = [(file.path, file.size, file.sha256) for file in manifest.files]
    assert found == [("b.json", 2, sha256(b"{}")), ("sub/a.json", 3, sha256(b"abc"))]
    stream, view = source.open(manifest, manifest.files[1], 1, 1), memoryview(bytearray(10))
    assert (stream.total, stream.readinto(view), bytes(view[:1]), stream.readinto(view)) == (3, 1, b"b", 0)
    stream.close()


def test_the_commit_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    before = DirectorySource(tmp_path).manifest(REF).commit
    (tmp_path / "a").write_bytes(b"2")
    assert DirectorySource(tmp_path).manifest(REF).commit != before


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        DirectorySource(tmp_path / "gone").manifest(REF)
    assert caught.value.name == "repo-not-found"


def test_a_folder_of_models_is_not_a_model_of_any_name(tmp_path: Path) -> None:
    (tmp_path / REF.repo).mkdir(parents=True)
    (tmp_path / REF.repo / "a.json").write_bytes(b"abc")
    with pytest.raises(SourceError) as caught:
        DirectorySource(tmp_path).manifest(ModelRef("org/modle"))
    assert caught.value.name == "repo-not-found"


@pytest.mark.parametrize("kind", ["fifo", "dangling"])
def test_what_is_no_regular_file_is_told_and_not_opened(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"abc")
    if kind == "fifo":
        os.mkfifo(tmp_path / "pipe")
    else:
        (tmp_path / "pipe").symlink_to("nowhere")
    with pytest.raises(SourceError) as caught:
        DirectorySource(tmp_path).manifest(REF)
    assert caught.value.name == "file-unreadable" and "pipe" in caught.value.message
