"""Changes of other people's files: applied as one, taken back byte for byte, never a loss."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision.errors import MachineError, StepFailed
from provision.files import Changes, Edit, Edited, read_state
from provision.files.merge import merge

Picture = dict[str, tuple[str, int, int, int, bytes]]


def picture(root: Path) -> Picture:
    """Everything below `root`: kind, mode, owners, and a file's bytes or a link's target."""
    found: Picture = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        content = str(path.readlink()).encode() if kind == "link" else path.read_bytes() if kind == "file" else b""
        found[str(path.relative_to(root))] = (kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, content)
    return found


def edit(path: Path, data: bytes, tool: str = "pip", mode: int | None = None) -> Edit:
    return Edit(path, path.read_bytes() if path.exists() else None, data, tool, "user", mode)


def every(tool: str, scope: str) -> bool:
    return True


@pytest.fixture
def changes(tmp_path: Path) -> Changes:
    return Changes(tmp_path / "state" / "changes")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


MODES = [0o644, 0o600, 0o400, 0o755, 0o4755, 0o664, *([0o000] if os.geteuid() == 0 else [])]  # only root reads a 000 file
prior = st.none() | st.tuples(st.binary(max_size=200), st.sampled_from(MODES))
names = st.sampled_from(["a", "deep/er/b", "deep/c", ".hidden/d"])
layers = st.lists(st.dictionaries(names, st.binary(max_size=200), min_size=1), min_size=1, max_size=4)


@settings(deadline=None, max_examples=120)
@given(st.dictionaries(names, prior), layers)
@example({"a": (b"x", 0o644)}, [{"a": b""}, {"a": b"x"}])
def test_undo_after_any_layers_of_apply_is_the_identity(
    before: dict[str, tuple[bytes, int] | None], applied: list[dict[str, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, changes = Path(folder) / "home", Changes(Path(folder) / "state")
        home.mkdir()
        for name, state in before.items():
            if state:
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                (home / name).write_bytes(state[0])
                (home / name).chmod(state[1])
                os.utime(home / name, ns=(1, 1234567890123456789))
        first = picture(home)
        for layer in applied:
            changes.apply([edit(home / name, data) for name, data in layer.items()])
        changes.undo(every)
        assert picture(home) == first
        times = {name: (home / name).stat().st_mtime_ns for name, (kind, *_) in first.items() if kind == "file"}
        assert set(times.values()) <= {1234567890123456789}
        assert changes.drift() == ()
        assert sorted(path.name for path in (Path(folder) / "state").iterdir()) == ["lock"]


def test_the_same_edit_twice_is_one_layer(home: Path, changes: Changes) -> None:
    target = home / "pip.conf"
    assert changes.apply([edit(target, b"x")]) == (target,)
    assert changes.apply([edit(target, b"x")]) == ()
    assert changes.undo(every).restored == (target,)
    assert not target.exists()


def test_a_link_stays_a_link_and_what_it_leads_to_is_written_and_given_back(home: Path, changes: Changes) -> None:
    (home / "dotfiles").mkdir()
    real, link = home / "dotfiles" / "pip.conf", home / "pip.conf"
    real.write_bytes(b"mine")
    link.symlink_to("dotfiles/pip.conf")
    first = picture(home)
    changes.apply([edit(link, b"ours")])
    assert link.is_symlink() and real.read_bytes() == b"ours"
    changes.undo(every)
    assert picture(home) == first


def test_an_existing_file_keeps_mode_and_attributes_unless_a_mode_is_asked_for(home: Path, changes: Changes) -> None:
    plain, secret = home / "plain", home / "secret"
    for path in (plain, secret):
        path.write_bytes(b"old")
        path.chmod(0o640)
    os.setxattr(plain, "user.note", b"kept")
    changes.apply([edit(plain, b"new"), edit(secret, b"https://u:p@host", mode=0o600)])
    assert stat.S_IMODE(plain.stat().st_mode) == 0o640 and os.getxattr(plain, "user.note") == b"kept"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    changes.undo(every)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o640 and os.getxattr(plain, "user.note") == b"kept"


def test_a_failed_verification_takes_everything_back(home: Path, changes: Changes) -> None:
    (home / "a").write_bytes(b"old")
    first = picture(home)

    def verify() -> None:
        assert (home / "a").read_bytes() == b"new" and (home / "x" / "b").exists()
        raise StepFailed("pip does not read it")

    with pytest.raises(StepFailed, match="pip does not read it"):
        changes.apply([edit(home / "a", b"new"), edit(home / "x" / "b", b"new")], verify)
    assert picture(home) == first and changes.drift() == ()


def test_a_file_that_cannot_be_written_takes_the_others_back(home: Path, changes: Changes) -> None:
    (home / "a").write_bytes(b"old")
    (home / "wall").write_bytes(b"a file where a folder is needed")
    first = picture(home)
    with pytest.raises(MachineError, match="wall"):
        changes.apply([edit(home / "a", b"new"), Edit(home / "wall" / "b", None, b"new", "uv", "user")])
    assert picture(home) == first and changes.drift() == ()


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_refused_at_once(home: Path, changes: Changes, kind: str) -> None:
    (home / "x").mkdir() if kind == "folder" else os.mkfifo(home / "x")
    with pytest.raises(MachineError):
        changes.apply([Edit(home / "x", None, b"new", "pip", "user")])
    assert changes.drift() == ()


def test_a_plan_made_from_other_bytes_is_refused(home: Path, changes: Changes) -> None:
    (home / "a").write_bytes(b"now")
    with pytest.raises(StepFailed, match="changed while the plan was made"):
        changes.apply([Edit(home / "a", b"then", b"new", "pip", "user")])
    assert (home / "a").read_bytes() == b"now"


def test_two_settings_in_one_linked_file_are_refused(home: Path, changes: Changes) -> None:
    (home / "b").symlink_to("a")
    (home / "a").write_bytes(b"old")
    with pytest.raises(StepFailed, match="links to one file"):
        changes.apply([edit(home / "a", b"one"), edit(home / "b", b"other")])
    assert (home / "a").read_bytes() == b"old"


def test_a_foreign_edit_is_a_question_with_three_answers_and_nothing_is_touched_before(
    home: Path, changes: Changes
) -> None:
    (home / "a").write_bytes(b"1\n2\n3\n")
    changes.apply([edit(home / "a", b"1\nours\n3\n"), edit(home / "b", b"b")])
    (home / "a").write_bytes(b"1\nours\n3\ntheirs\n")
    with pytest.raises(StepFailed, match="somebody else") as caught:
        changes.undo(every)
    assert caught.value.name == "edited-since" and str(home / "a") in caught.value.context
    assert all(f"--edited {way.value}" in caught.value.hint for way in Edited)
    assert (home / "b").exists()
    assert {row.path.name: row.state for row in changes.drift()} == {"a": "edited", "b": "as applied"}


@pytest.mark.parametrize(
    ("way", "left", "aside"),
    [
        (Edited.MERGE, b"1\n2\n3\ntheirs\n", None),
        (Edited.RESTORE, b"1\n2\n3\n", b"1\nours\n3\ntheirs\n"),
        (Edited.KEEP, b"1\nours\n3\ntheirs\n", b"1\n2\n3\n"),
    ],
)
def test_each_answer_loses_nothing(home: Path, changes: Changes, way: Edited, left: bytes, aside: bytes | None) -> None:
    (home / "a").write_bytes(b"1\n2\n3\n")
    changes.apply([edit(home / "a", b"1\nours\n3\n"), edit(home / "b", b"b")])
    (home / "a").write_bytes(b"1\nours\n3\ntheirs\n")
    done = changes.undo(every, lambda _: way)
    assert (home / "a").read_bytes() == left and not (home / "b").exists()
    assert [path.read_bytes() for path in done.laid_aside] == ([] if aside is None else [aside])
    assert changes.drift() == ()


def test_lines_that_both_changed_are_not_merged(home: Path, changes: Changes) -> None:
    (home / "a").write_bytes(b"1\n2\n")
    changes.apply([edit(home / "a", b"1\nours\n")])
    (home / "a").write_bytes(b"1\nours, mended\n")
    with pytest.raises(StepFailed, match="no merge"):
        changes.undo(every, lambda _: Edited.MERGE)
    assert (home / "a").read_bytes() == b"1\nours, mended\n" and len(changes.drift()) == 1


def test_a_mode_changed_since_is_an_edit_too(home: Path, changes: Changes) -> None:
    (home / "a").write_bytes(b"old")
    changes.apply([edit(home / "a", b"new")])
    (home / "a").chmod(0o600)
    with pytest.raises(StepFailed):
        changes.undo(every)
    changes.undo(every, lambda _: Edited.MERGE)
    assert (home / "a").read_bytes() == b"old" and stat.S_IMODE((home / "a").stat().st_mode) == 0o600


def test_an_edit_between_two_layers_of_ours_is_found(home: Path, changes: Changes) -> None:
    (home / "a").write_bytes(b"1\n")
    changes.apply([edit(home / "a", b"1\nours\n")])
    (home / "a").write_bytes(b"theirs\n1\nours\n")
    changes.apply([edit(home / "a", b"theirs\n1\nours again\n")])
    with pytest.raises(StepFailed):
        changes.undo(every)
    changes.undo(every, lambda _: Edited.MERGE)
    assert (home / "a").read_bytes() == b"theirs\n1\n"


def test_a_file_of_ours_that_is_gone_is_not_brought_back_by_a_merge(home: Path, changes: Changes) -> None:
    changes.apply([edit(home / "deep" / "a", b"x")])
    (home / "deep" / "a").unlink()
    assert [row.state for row in changes.drift()] == ["gone"]
    changes.undo(every, lambda _: Edited.MERGE)
    assert picture(home) == {}


def test_one_tool_is_undone_alone_but_not_from_under_another(home: Path, changes: Changes) -> None:
    changes.apply([edit(home / "a", b"1", "pip"), edit(home / "deep" / "b", b"1", "uv")])
    changes.undo(lambda tool, _: tool == "uv")
    assert (home / "a").exists() and not (home / "deep").exists()
    changes.apply([edit(home / "a", b"2", "uv")])
    with pytest.raises(StepFailed, match="for uv afterwards") as caught:
        changes.undo(lambda tool, _: tool == "pip")
    assert "--tool uv,pip" in caught.value.hint
    changes.undo(every)
    assert picture(home) == {}


def test_a_folder_of_ours_with_somebody_elses_file_stays(home: Path, changes: Changes) -> None:
    changes.apply([edit(home / "deep" / "a", b"1")])
    (home / "deep" / "theirs").write_bytes(b"t")
    changes.undo(every)
    assert list(picture(home)) == ["deep", "deep/theirs"]


def test_a_damaged_record_is_said_and_nothing_is_touched(home: Path, changes: Changes, tmp_path: Path) -> None:
    (home / "a").write_bytes(b"old")
    changes.apply([edit(home / "a", b"new")])
    for blob in (tmp_path / "state" / "changes" / "000001").glob("?" * 64):
        blob.write_bytes(b"rot")
    with pytest.raises(MachineError, match="cannot be read") as caught:
        changes.undo(every)
    assert "damaged" in caught.value.context and (home / "a").read_bytes() == b"new"


def test_what_is_kept_is_for_its_owner_alone(home: Path, changes: Changes, tmp_path: Path) -> None:
    (home / "a").write_bytes(b"https://user:secret@host")
    changes.apply([edit(home / "a", b"new")])
    state = tmp_path / "state" / "changes"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (state / "000001").iterdir()} == {0o600}


def test_attributes_of_a_file_that_is_not_there_are_none(tmp_path: Path) -> None:
    assert read_state(tmp_path / "nothing") is None


lines = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=8).map(b"".join)


@given(lines, lines)
def test_merging_with_an_unchanged_side_is_the_other_side(base: bytes, side: bytes) -> None:
    assert merge(base, side, base) == side and merge(base, base, side) == side and merge(base, side, side) == side


@given(lines, lines, lines)
def test_merging_does_not_care_which_side_is_which(base: bytes, one: bytes, other: bytes) -> None:
    assert merge(base, one, other) == merge(base, other, one)


def test_what_somebody_added_right_behind_our_lines_is_kept_without_them() -> None:
    assert merge(b"1\nours\n", b"1\n", b"1\nours\ntheirs\n") == b"1\ntheirs\n"
    assert merge(b"1\nours\n2\n", b"1\n2\n", b"0\n1\nours\n2\n") == b"0\n1\n2\n"
    assert merge(b"1\n", b"1\na\n", b"1\nb\n") is None
