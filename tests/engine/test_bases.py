"""Bases from a registry: by digest, from a mirror, refused when tampered with, gone in the middle and taken up again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision import lock, pins
from provision.errors import MachineError, StepFailed
from provision.events import Event, Note, silent
from provision.files import locked
from provision.machines.engine import Engine
from provision.machines.local import LocalMachine
from provision.plan import converge
from provision.site import Site, steps, survey
from provision.spec import load
from provision.steps.base import Base, Bootstrapped, Pulled, Route
from tests.conftest import REAL_ENVIRON
from tests.engine.test_reaching import needed
from tests.fakes.registry import Registry, registry
from tests.fakes.token_registry import PROGRAM, token_registry
from tests.program import environ

NOWHERE = "127.0.0.1:1/nothing/here:latest"


@pytest.fixture
def served(engine: Engine) -> Iterator[Registry]:
    """A registry with an image that the engine has not."""
    with registry("team/base") as found:
        yield found
        if engine.image(found.reference):
            engine._client.images.remove(found.reference, force=True)


def test_a_base_is_pulled_by_the_locks_digest_and_known_again(engine: Engine, served: Registry) -> None:
    base = Base(engine, [Pulled(engine, served.reference, lambda: served.digest)])
    change = base.diff()
    assert change and served.digest in change.summary and base.digest == ""
    base.apply(silent)
    assert base.diff() is None and (base.tag, base.digest) == (served.reference, served.digest)
    assert any(path.endswith(f"/manifests/{served.digest}") for path in served.asked)
    moved = Base(engine, [Pulled(engine, served.reference, lambda: "sha256:" + "0" * 64)])
    assert moved.diff() is not None
    with pytest.raises(MachineError, match="could not be pulled"):
        moved.apply(silent)


def test_bytes_that_are_not_the_digests_are_refused(engine: Engine, served: Registry) -> None:
    served.fault = "tampered"
    with pytest.raises(MachineError) as caught:
        Base(engine, [Pulled(engine, served.reference)]).apply(silent)
    assert caught.value.context and engine.image(served.reference) is None


def test_a_registry_that_goes_away_in_the_middle_is_an_error_and_the_next_run_goes_on(
    engine: Engine, served: Registry
) -> None:
    served.fault = "cut"
    base = Base(engine, [Pulled(engine, served.reference)])
    with pytest.raises(MachineError, match="could not be pulled"):
        base.apply(silent)
    assert engine.image(served.reference) is None
    served.fault = ""
    base.apply(silent)
    assert base.diff() is None


def test_where_the_first_registry_is_silent_the_mirror_serves_and_the_reason_is_told(
    engine: Engine, served: Registry
) -> None:
    heard: list[Event] = []
    base = Base(engine, [Pulled(engine, NOWHERE), Pulled(engine, served.reference)])
    base.apply(heard.append)
    assert base.tag == served.reference
    [note] = [event for event in heard if isinstance(event, Note)]
    assert note.level == "warn" and NOWHERE in note.text and "refused" in note.text


def test_no_way_at_all_names_every_way_that_was_tried(engine: Engine) -> None:
    machine = LocalMachine({"PATH": "/nowhere"})
    routes: list[Route] = [Pulled(engine, NOWHERE), Bootstrapped(machine, engine, "no-such-suite", None)]
    with pytest.raises(StepFailed, match="no base image could be had") as caught:
        Base(engine, routes).apply(silent)
    assert "could not be pulled" in caught.value.context and "mmdebstrap" in caught.value.hint


def test_a_base_of_another_recipe_is_made_anew(engine: Engine, first: dict[str, Any]) -> None:
    machine = LocalMachine(REAL_ENVIRON)
    assert Bootstrapped(machine, engine, "bookworm", None).is_here()
    engine._client.images.get("provision-base:bookworm").tag("provision-base", "other")
    try:
        assert not Bootstrapped(machine, engine, "other", None).is_here()
    finally:
        engine._client.images.remove("provision-base:other")


def test_nvidias_own_image_comes_by_digest_through_the_mirror_that_was_set_and_is_pinned(
    engine: Engine, tmp_path: Path
) -> None:
    needed(PROGRAM, "docker-registry")
    tag = "nvidia/cuda:13.0.1-devel-ubuntu24.04"
    with token_registry(tmp_path) as real:
        pushed = real.put(*tag.split(":"))
        flags = {"engine": "docker", "gpu": "none", "image.variant": "cuda", "image.base": "nvidia/cuda"}
        spec = load(profile="smoke", flags={**flags, "mirrors.docker": f"http://{real.host}"})
        site = survey(spec, environ(tmp_path))
        assert site.resolution.base == tag
        heard: list[Event] = []
        real.granted.clear()
        converge([step for step in steps(site) if step.name in ("base", "lock")], heard.append)
        engine._client.images.remove(f"{real.host}/{tag}", force=True)
    assert real.granted[0] == "repository:nvidia/cuda:pull"
    assert any(isinstance(event, Note) and f"{real.host}/{tag} is {pushed}" in event.text for event in heard)
    [pinned] = pins.relatives(lock.load(site.lock), "")
    assert (pinned.base, pinned.base_digest) == (tag, pushed)
    _refuses_another(site, pushed)


def test_a_build_waits_for_another_of_ours(engine: Engine, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "provision", "image", "base", "--profile=smoke", "--gpu=none"]
    with locked(tmp_path / "up.lock", lambda: None):
        waiting = subprocess.Popen(argv, env=environ(tmp_path), stderr=subprocess.PIPE, text=True)
        assert waiting.stderr and "another provision is at work here" in waiting.stderr.readline()
        waiting.terminate()
        assert waiting.wait(60) == 130


@pytest.mark.usefixtures("first")
def test_a_base_that_was_made_here_does_not_stand_for_one_that_the_lock_pins(engine: Engine, tmp_path: Path) -> None:
    site = survey(load(profile="smoke", flags={"engine": "docker", "gpu": "none"}), environ(tmp_path))
    digest = f"sha256:{'7' * 64}"
    name = pins.kind_of_place(site.resolution, "x86_64")
    pinned = pins.Pins({}, site.resolution.torch, site.resolution.wheel_tag, site.resolution.base, digest, ())
    assert engine.image(f"provision-base:{site.resolution.bootstrap}") is not None
    lock.save(site.lock, "resolution", {name: pins.to_plain(pinned)})
    _refuses_another(site, digest)


def _refuses_another(site: Site, digest: str) -> None:
    """The base that the lock pins is not here, and its registry is gone: nothing else is taken for it."""
    [base] = [step for step in steps(site) if step.name == "base"]
    change = base.diff()
    assert change and digest in change.summary
    with pytest.raises(StepFailed) as caught:
        base.apply(silent)
    assert f"{site.resolution.base}@{digest}" in caught.value.context and "to pin anew" in caught.value.hint
