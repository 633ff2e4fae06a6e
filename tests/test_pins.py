"""What the lock pins: layers by what leads to a package, hashes, and an adding that moves nothing before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision import lock, pins
from provision.errors import UsageError
from provision.matrix import load_matrix
from provision.pins import LAYERS, Pin, Pins
from provision.resolve import Resolution, Wanted, resolve
from tests.fakes.facts import gpu, machine

ASKED = {
    "tools": ("uv",),
    "toolkit": ("cuda-toolkit[nvcc]==13.0.3",),
    "torch": ("torch===2.13.0",),
    "libraries": ("numpy",),
}
COMPILED = """\
cuda-toolkit==13.0.3.0 \\
    --hash=sha256:aa
    # via torch, -r x.in
filelock==4.2.12 \\
    --hash=sha256:bb \\
    --hash=sha256:bc
    # via torch, huggingface-hub
Nvidia_NVCC==13.0.88 --hash=sha256:cc  # via cuda-toolkit
numpy==2.4.6 \\
    --hash=sha256:dd
    # via -r x.in, einops
torch==2.13.0 \\
    --hash=sha256:ee
    # via -r x.in
uv==0.13.9 \\
    --hash=sha256:ff
    # via -r x.in
"""


def entry(**more: tuple[str, ...]) -> Pins:
    asked = {**ASKED, **more}
    return Pins(asked, "2.13.0", "cu130", "debian:bookworm-slim", "", pins.parse_compiled(COMPILED, asked))


def test_each_package_stands_in_the_first_layer_that_leads_to_it() -> None:
    found = {pin.name: pin for pin in entry().pins}
    assert {name: pin.layer for name, pin in found.items()} == {
        "cuda-toolkit": "toolkit",
        "nvidia-nvcc": "toolkit",
        "torch": "torch",
        "filelock": "torch",
        "numpy": "libraries",
        "uv": "tools",
    }
    assert found["filelock"].hashes == ("sha256:bb", "sha256:bc")


def test_requirements_are_exact_and_carry_every_hash() -> None:
    assert entry().requirements(["torch"]) == (
        "filelock==4.2.12 \\\n    --hash=sha256:bb \\\n    --hash=sha256:bc\ntorch==2.13.0 \\\n    --hash=sha256:ee\n"
    )
    assert entry().requirements(["packages"]) == ""


def test_a_package_more_leaves_every_earlier_layer_as_it_was() -> None:
    compiled = COMPILED + "einops==0.8.2 \\\n    --hash=sha256:99\n    # via -r x.in\n"
    asked = {**ASKED, "packages": ("einops",)}
    more = Pins(asked, "2.13.0", "cu130", "", "", pins.parse_compiled(compiled, asked))
    for layer in LAYERS[:-1]:
        assert more.requirements([layer]) == entry().requirements([layer])
    assert more.requirements(["packages"]).startswith("einops==0.8.2")


def test_the_lock_gives_back_what_was_put_in(tmp_path: Path) -> None:
    path = tmp_path / "provision.lock"
    lock.save(path, "resolution", {"cp311-x86_64-cuda": pins.to_plain(entry())})
    sections = lock.load(path)
    assert pins.find(sections, "cp311-x86_64-cuda") == entry() and pins.find(sections, "cp312-x86_64-cuda") is None
    found = pins.find(sections, "cp311-x86_64-cuda")
    assert found and found.digest == entry().digest != entry(packages=("einops",)).digest


def test_a_new_entry_prefers_its_relatives_versions_but_what_is_asked_for_exactly() -> None:
    sections = {"resolution": {"b": pins.to_plain(entry()), "a": pins.to_plain(entry())}}
    assert len(pins.relatives(sections, "b")) == 2
    preferred = pins.preferences(pins.relatives(sections, "b"), ASKED)
    assert "filelock==4.2.12\n" in preferred and "torch" not in preferred and "cuda-toolkit" not in preferred


@pytest.mark.parametrize("broken", [{}, {"packages": {"x": 1}}, [], {"asked": {}, "packages": {}}])
def test_a_broken_entry_is_refused_with_what_to_do(broken: object) -> None:
    with pytest.raises(UsageError, match="not one of this program") as caught:
        pins.find({"resolution": {"x": broken}}, "x")
    assert caught.value.name == "lock-invalid" and "pin anew" in caught.value.hint


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, st.sampled_from(LAYERS)), unique_by=lambda each: each[0]))
def test_any_entry_survives_the_lock(rows: list[tuple[str, str]]) -> None:
    chosen = tuple(sorted((Pin(name, "1.0", ("sha256:00",), layer) for name, layer in rows), key=lambda pin: pin.name))
    put = Pins({}, "2.13.0", "cpu", "", "", chosen)
    assert pins.find({"resolution": {"x": pins.to_plain(put)}}, "x") == put
    assert sum(put.requirements([layer]).count("==") for layer in LAYERS) == len(rows)


def locked(driver: str, entries: dict[str, tuple[str, str]], python: str = "3.11") -> Resolution:
    """What a machine with an H100 answers under a lock with these entries: name → torch and wheel tag."""
    facts, matrix = machine(driver=driver, gpus=[gpu("9.0")], pythons=[python]), load_matrix()
    plain = {name: pins.to_plain(replace(entry(), torch=torch, wheel_tag=tag)) for name, (torch, tag) in entries.items()}

    def again(torch: str, wheel_tag: str) -> Resolution:
        return resolve(facts, Wanted(torch=torch, wheel_tag=wheel_tag, toolkit=False), matrix)

    free = resolve(facts, Wanted(toolkit=False), matrix)
    return pins.as_locked({"resolution": plain}, "x86_64", free, again, "provision.lock")


def test_what_a_lock_pins_is_what_auto_means() -> None:
    assert locked("595.58.03", {}).torch_requirement == "torch===2.13.0"
    pinned = locked("595.58.03", {"cp311-x86_64-cuda": ("2.12.1", "cu126")})
    assert pinned.torch_requirement == "torch==2.12.1+cu126"
    assert (pinned.reasons[0].rule, pinned.reasons[0].because) == ("lock", "provision.lock pins it; without it: 2.13.0")
    assert locked("595.58.03", {"cp311-x86_64-cpu": ("2.12.1", "cpu")}).torch == "2.13.0"  # of another variant


def test_an_older_machine_keeps_its_own_entry_beside_one_that_it_cannot_run() -> None:
    server = {"cp311-x86_64-cuda-nvcc": ("2.13.0", "cu130")}
    assert locked("535.54.03", server, "3.12").torch_requirement == "torch==2.13.0+cu126"
    both = {**server, "cp312-x86_64-cuda": ("2.12.1", "cu126")}
    assert locked("535.54.03", both, "3.12").torch_requirement == "torch==2.12.1+cu126"


def test_an_entry_of_this_very_place_that_does_not_run_here_is_refused_by_name() -> None:
    refused = locked("535.54.03", {"cp311-x86_64-cuda": ("2.13.0", "cu130")})
    assert not refused.ok and refused.reasons[0].rule == "lock"
    assert "cp311-x86_64-cuda of provision.lock" in refused.nearest[0].text
    assert (refused.nearest[0].torch, refused.nearest[0].wheel_tag) == ("2.13.0", "cu126")
