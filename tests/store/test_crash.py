"""`kill -9` at any instant: what stands behind a door is always one whole model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from provision.store import Store
from tests.store.samples import COMMIT, FILES, LATER, REPO, content, publish, sha256

PROGRAM = """
import os, sys, itertools
from provision.store import Store
from tests.store.samples import publish
store = Store(sys.argv[1])
print("ready", flush=True)
for turn in itertools.count():
    text = str(turn).encode()
    files = {f"file-{index}": text + b"-" + str(index).encode() for index in range(8)}
    publish(store, files, commit=("%040x" % turn))
"""
# the process dies at the n-th call of anything that changes the disk
DIES_AT = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[2])
def counted(real):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call
for name in ("replace", "link", "fsync", "mkdir", "rename", "symlink", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
from provision.store import Store
from tests.store.samples import publish, FILES, LATER
publish(Store(sys.argv[1]), {**FILES, "config.json": b"new"}, commit=LATER)
print(left, flush=True)
"""
NEW = {**FILES, "config.json": b"new"}


def assert_sound(store: Store, *allowed: dict[str, bytes]) -> None:
    """Each door is whole, every blob is what its name says, and every record is of files that are here."""
    assert content(store.root / REPO) in allowed
    for snapshot in (store.root / ".hf/hub/models--org--model/snapshots").iterdir():
        assert content(snapshot) in allowed
    current = (store.root / ".hf/hub/models--org--model/refs/main").read_text()
    assert (store.root / f".hf/hub/models--org--model/snapshots/{current}").is_dir()
    for folder in ("snapshots", "refs"):
        assert not [path for path in (store.root / ".hf/hub/models--org--model" / folder).iterdir() if path.name[0] == "."]
    assert {path.name for path in (store.root / ".modelscope/models/org--model/snapshots").iterdir()} <= {
        *("main", "master", COMMIT, LATER)
    }
    for blob in (store.root / ".provision/blobs").iterdir():
        assert sha256(blob.read_bytes()) == blob.name
    for record in (store.root / ".provision/models").glob("*/*.json"):
        json.loads(record.read_text())


@pytest.mark.parametrize("step", range(1, 81))
def test_killed_at_each_step(tmp_path: Path, step: int) -> None:
    store = Store(tmp_path / "store")
    publish(store)
    argv = [sys.executable, "-c", DIES_AT, str(store.root), str(step)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        assert step > 20 and content(store.root / REPO) == NEW  # it was done before; how many steps there are is Python's
        return
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert_sound(store, FILES, NEW)
    record = publish(store, NEW, commit=LATER)  # the next run goes on from there
    assert store.is_whole(record) and not store.verify(store.models())
    assert content(store.root / REPO) == NEW
    kinds = {one.kind for one in store.gc(days=0)}
    assert kinds <= {"commit", "tree", "blob", "part", "leftover"}
    assert_sound(store, NEW)


def test_a_reader_never_sees_half_a_model(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    argv = [sys.executable, "-c", PROGRAM, str(store.root)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
        link, seen, deadline = store.root / REPO, set(), time.monotonic() + 20
        while len(seen) < 20 and time.monotonic() < deadline:
            if link.is_symlink():
                whole = content(link.resolve())
                turns = {data.split(b"-")[0] for data in whole.values()}
                assert len(whole) == 8 and len(turns) == 1
                seen |= turns
        os.kill(writer.pid, signal.SIGKILL)
    assert len(seen) == 20


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    names = [f"org/model-{index}" for index in range(8)]
    threads = [threading.Thread(target=publish, args=(Store(store.root),), kwargs={"repo": name}) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.repo for record in store.models()] == names
    assert all(store.is_whole(record) for record in store.models())
