"""What an image is built of: its arguments, its fingerprint, and the room that is looked at before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provision.errors import BuildFailed, StepFailed
from provision.events import Event, Note, silent
from provision.facts.host import Disk
from provision.machines.building import Order
from provision.pins import Pin, Pins
from provision.steps.image import FINGERPRINT, Image, Recipe, resolution_label
from provision.steps.inputs import Inputs

PINS = Pins({}, "2.13.0", "cu130", "debian:x", "", (Pin("torch", "2.13.0", ("sha256:aa",), "torch"),))
RECIPE = Recipe(
    "debian:x", "cuda", "3.11", "580.65.06", True, PINS, Inputs(pip_index="https://u:p@h/simple"), {}, {"a": "b"}
)


class FakeEngine:
    """Knows one image, keeps what it is asked to build, and says what a builder would."""

    def __init__(self, here: dict[str, Any] | None = None) -> None:
        self.here = here
        self.orders: list[Order] = []

    def image(self, reference: str) -> dict[str, Any] | None:
        return self.here

    def build(self, order: Order, on_line: Any, on_fallback: Any) -> str:
        self.orders.append(order)
        on_fallback("no buildx")
        for line in (
            "#5 [torch 1/2] RUN --mount=type=cache,target=/c sh install",
            "#5 0.2 words",
            "#5 [torch 1/2] RUN again",
            "[2/3] STEP 1/4: COPY x y",
            "Step 3/9 : RUN make",
        ):
            on_line(line)
        return "sha256:x"


PEAK = 15_000_000_000


def image(engine: FakeEngine, recipe: Recipe | None = RECIPE, free: int | None = None) -> Image:
    disk = Disk("/var/lib/docker", free=free)
    return Image(engine, "x:latest", PEAK, lambda: recipe, lambda: disk)  # type: ignore[arg-type]


def test_the_fingerprint_moves_with_what_goes_in_and_not_with_credentials() -> None:
    assert RECIPE.fingerprint() == replace(RECIPE, labels={}).fingerprint()
    other = replace(RECIPE, inputs=Inputs(pip_index="https://u:changed@h/simple"))
    assert other.fingerprint() == RECIPE.fingerprint() and other.inputs.secrets() != RECIPE.inputs.secrets()
    elsewhere = replace(RECIPE, inputs=replace(RECIPE.inputs, torch_index="https://elsewhere.example/whl/cpu/torch/"))
    assert elsewhere.fingerprint() == RECIPE.fingerprint() and elsewhere.arguments() != RECIPE.arguments()
    moved = replace(PINS, pins=(Pin("torch", "2.13.0", ("sha256:bb",), "torch"),))
    for changed in ({"pins": moved}, {"variant": "cpu"}, {"base": "other"}, {"toolkit": False}):
        assert replace(RECIPE, **changed).fingerprint() != RECIPE.fingerprint()


def test_an_order_carries_the_lock_and_the_floor_and_hides_the_password() -> None:
    order = RECIPE.order("x:latest")
    assert order.target == "cuda" and order.arguments["DRIVER_FLOOR"] == "580.65.06"
    assert order.labels["io.provision.lock"] == PINS.digest and order.labels[FINGERPRINT] == RECIPE.fingerprint()
    assert "g++" in order.arguments["SYSTEM_PACKAGES"] and order.arguments["PIP_INDEX"] == "https://h/simple"
    assert order.secrets["netrc"] == b"machine h login u password p\n" and "password" not in repr(order)
    assert order.context["layers/torch.txt"] == b"torch==2.13.0 \\\n    --hash=sha256:aa\n"
    without = replace(RECIPE, variant="cpu", toolkit=False).arguments()
    assert "DRIVER_FLOOR" not in without and "g++" not in without["SYSTEM_PACKAGES"]


def test_as_wanted_by_its_label_alone() -> None:
    assert image(FakeEngine({"Config": {"Labels": {FINGERPRINT: RECIPE.fingerprint()}}})).diff() is None
    changed = image(FakeEngine({"Config": {"Labels": None}})).diff()
    assert changed and changed.summary == "rebuild x:latest"
    unpinned = image(FakeEngine(), recipe=None)
    planned = unpinned.diff()
    assert planned and planned.summary == "build x:latest" and "15.0 GB" in planned.details[0]
    with pytest.raises(StepFailed, match="nothing is pinned yet"):
        unpinned.apply(silent)


def test_a_first_build_that_cannot_fit_is_not_begun() -> None:
    engine = FakeEngine()
    with pytest.raises(StepFailed, match=r"takes up to 15\.0 GB, and /var/lib/docker has 9\.0 GB free") as caught:
        image(engine, free=9_000_000_000).apply(silent)
    assert caught.value.name == "disk-too-small" and "prune" in caught.value.hint and not engine.orders
    image(engine, free=PEAK).apply(silent)
    assert len(engine.orders) == 1


@pytest.mark.parametrize("field", ["pip_index", "torch_index"])
def test_a_mirror_that_no_build_can_reach_is_refused_before(field: str) -> None:
    engine = FakeEngine()
    inputs = Inputs(**{field: "http://me:hush@127.0.0.1:3141/simple"})  # type: ignore[arg-type]
    with pytest.raises(StepFailed, match=r"http://127\.0\.0\.1:3141/simple.*own loopback") as caught:
        image(engine, replace(RECIPE, inputs=inputs)).apply(silent)
    assert caught.value.name == "mirror-on-loopback" and not engine.orders


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("write /opt/venv/x: no space left on device", "the disk is full"),
        ("Temporary failure in name resolution", "mirrors.pip"),
        ("W: GPG error: noble InRelease: NO_PUBKEY 871920D1991BC93C", "ubuntu-keyring"),
        ("Hash mismatch for `idna==3.10`", "delete the lock's entry"),
        ("pg_config is required", "the installer's own"),
    ],
)
def test_a_failed_build_says_what_to_do(words: str, hint: str) -> None:
    class Failing(FakeEngine):
        def build(self, order: Order, on_line: Any, on_fallback: Any) -> str:
            raise BuildFailed("the image could not be built", context=words)

    with pytest.raises(BuildFailed) as caught:
        image(Failing()).apply(silent)
    assert hint in caught.value.hint


def test_instructions_are_told_once_and_a_fallback_with_its_reason() -> None:
    heard: list[Event] = []
    image(FakeEngine()).apply(heard.append)
    notes = [(event.level, event.text) for event in heard if isinstance(event, Note)]
    assert notes[0] == ("warn", "the classic builder, for want of BuildKit: no buildx")
    assert {("info", words) for words in ("[torch 1/2] RUN sh install", "COPY x y", "RUN make")} <= set(notes)
    assert ("detail", "#5 0.2 words") in notes


def test_the_label_says_the_resolution_in_one_line() -> None:
    told = resolution_label("2.13.0", "cu130", "13.0.3", "580.65.06", ["sm_75"])
    assert "\n" not in told and '"driver_floor":"580.65.06"' in told and '"sm_75"' in told
