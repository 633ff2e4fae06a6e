from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

import images
from provision.errors import SpecError
from provision.matrix import MARKS, load_matrix, parse_matrix, version

DATA: dict[str, Any] = yaml.safe_load(images.matrix_text())


def test_the_matrix_of_the_package_loads_and_every_row_says_where_it_is_from() -> None:
    matrix = load_matrix()
    assert len(matrix.wheels) > 40
    assert all(row.mark in MARKS and row.source for row in (*matrix.wheels, *matrix.bases, *matrix.floors))


def test_a_wheel_knows_its_toolkit_its_requirement_and_its_variant() -> None:
    wheels = {wheel.label: wheel for wheel in load_matrix().wheels}
    plain, tagged, cpu = wheels["2.13.0+cu130"], wheels["2.13.0+cu126"], wheels["2.13.0+cpu"]
    assert (plain.toolkit, plain.requirement, plain.variant) == ("13.0", "torch===2.13.0", "cuda")
    assert (tagged.toolkit, tagged.requirement) == ("12.6", "torch==2.13.0+cu126")
    assert (cpu.toolkit, cpu.requirement, cpu.variant) == ("", "torch==2.13.0+cpu", "cpu")


def test_a_newer_release_never_has_an_older_default_wheel() -> None:
    packaged = sorted((version(wheel.torch), version(wheel.toolkit)) for wheel in load_matrix().wheels if wheel.packaged)
    assert [toolkit for _, toolkit in packaged] == sorted(toolkit for _, toolkit in packaged)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The matrix with the value at a dotted path replaced, or taken away where `value` is ...; numbers index lists."""
    data: Any = copy.deepcopy(DATA)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at = data
    for part in parents:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return data  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("schema", "provision.matrix/v2", "schema"),
        ("floors", [], "floors: a list with rows"),
        ("floors.0.major", "11", "floors[0].major: int was expected, not '11'"),
        ("floors.0.driver", "new", "'new' is not a version"),
        ("floors", [{"major": 11, "driver": "450.80.02", "mark": "S", "source": "x"}], "floors has no major 12"),
        ("toolkits.0.driver", 520.61, "toolkits[0].driver: a quoted text was expected, not 520.61"),
        ("toolkits", [{"toolkit": "13.0", "driver": "580.65.06", "mark": "S", "source": "x"}], "toolkits has no 12.1"),
        ("wheels.0.arch", ["8.0"], "wheels[0]: no key is called 'arch'"),
        ("wheels.0.source", ..., "wheels[0]: source is missing"),
        ("wheels.0.source", " ", "its source is empty"),
        ("wheels.0.mark", "X", "mark"),
        ("wheels.0.tag", "cuda12", "'cuda12' is not a wheel tag"),
        ("wheels.0.pythons", [], "is not a version"),
        ("wheels.0.architectures", ["sm_80"], "is not a version"),
        ("wheels.0.architectures", [], "names no architecture"),
        ("wheels.0.architectures", [8.0], "a list of quoted texts was expected"),
        ("wheels.0.torch", "2.4.1", "torch: [releases]"),
        ("wheels.0.torch", ["2.4.1", "2.4.1"], "2.4.1+cu121 is there twice"),
        ("wheels.1.packaged", True, "two wheels under the bare version"),
        ("wheels.1", "cu124", "wheels: a list of rows"),
        ("bases.0", "debian", "bases[0]: a mapping was expected"),
        ("defaults.0.variant", "rocm", "defaults: one row for cpu"),
        ("peaks.0.variant", "rocm", "peaks: one row for cpu"),
    ],
)
def test_a_wrong_matrix_is_refused_with_the_place(path: str, value: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_matrix(changed(path, value), "mine.yaml")
    assert words in caught.value.message and caught.value.message.startswith("mine.yaml: ")
    assert caught.value.name == "matrix-invalid"


def test_a_file_that_is_no_matrix_is_refused(tmp_path: Path) -> None:
    for content in (b"a: [", b"\xff\xfe", b"- 1\n"):
        (tmp_path / "matrix.yaml").write_bytes(content)
        with pytest.raises(SpecError, match=r"matrix\.yaml"):
            load_matrix(tmp_path / "matrix.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        load_matrix(tmp_path / "absent.yaml")


def test_a_matrix_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(yaml.safe_dump(DATA))
    assert load_matrix(tmp_path / "matrix.yaml") == load_matrix()
