from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import yaml

import images
from provision.matrix import load_matrix
from tools import measure_matrix
from tools.measure_matrix import Measured, measure

TORCH_213 = "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"
NAME_213 = "torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl"


def wheel(folder: Path, name: str, *, cuda: str = "13.0", flags: str = TORCH_213, pinned: str = "13.0.3") -> Path:
    """A wheel file with what is measured in it, and nothing else."""
    path = folder / name
    version = name.split("-")[1].split("+")[0]
    value = f"'{cuda}'" if cuda else "None"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "torch/version.py", f"__version__ = '{version}'\ncuda: Optional[str] = {value}\nhip: Optional[str] = None\n"
        )
        file.writestr("torch/lib/libtorch_python.so", b"\x7fELF\0sm_none\0" + flags.encode() + b"\0more\0")
        requirement = f"Requires-Dist: cuda-toolkit[cudart,nvrtc]=={pinned}; platform_system == 'Linux'\n" if pinned else ""
        file.writestr(f"torch-{version}.dist-info/METADATA", f"Metadata-Version: 2.4\nName: torch\n{requirement}")
    return path


def own_matrix(folder: Path) -> Path:
    path = folder / "matrix.yaml"
    path.write_text(images.matrix_text(), encoding="utf-8")
    return path


def test_a_wheel_says_what_it_runs_on(tmp_path: Path) -> None:
    assert measure(wheel(tmp_path, NAME_213, flags=TORCH_213 + " compute_120")) == Measured(
        filename=NAME_213,
        torch="2.13.0",
        tag="cu130",
        python="3.12",
        machine="x86_64",
        packaged=True,
        architectures=("7.5", "8.0", "8.6", "9.0", "10.0", "12.0"),
        ptx=("12.0",),
        cuda_package="13.0.3",
    )


def test_a_cpu_wheel_and_a_wheel_with_a_build_number_are_known(tmp_path: Path) -> None:
    cpu = measure(wheel(tmp_path, "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", cuda="", flags="", pinned=""))
    assert (cpu.tag, cpu.architectures, cpu.packaged) == ("cpu", (), False)
    again = measure(wheel(tmp_path, "torch-2.10.0-3-cp312-cp312-manylinux_2_28_x86_64.whl", cuda="12.8", pinned=""))
    assert (again.torch, again.tag, again.packaged, again.cuda_package) == ("2.10.0", "cu128", True, "")


@pytest.mark.parametrize("name", ["torchvision-0.28.0-cp312-cp312-manylinux_2_28_x86_64.whl", "torch-2.13.0.tar.gz"])
def test_what_is_no_torch_wheel_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(b"")
    assert measure_matrix.main([str(tmp_path / name)]) == 2
    assert "is not the name of a torch wheel" in capsys.readouterr().err


def test_a_broken_wheel_or_one_without_architectures_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME_213).write_bytes(b"PK\x03\x04half")
    with pytest.raises(ValueError, match="not a whole torch wheel"):
        measure(tmp_path / NAME_213)
    with pytest.raises(ValueError, match="names no architecture"):
        measure(wheel(tmp_path, NAME_213, flags="nothing"))


def test_a_table_that_is_right_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_matrix(tmp_path)
    assert measure_matrix.main([str(wheel(tmp_path, NAME_213)), "--matrix", str(path)]) == 0
    assert "as measured: 2.13.0+cu130" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == images.matrix_text()


def test_writing_the_rows_again_changes_no_byte() -> None:
    text = images.matrix_text()
    assert measure_matrix.render(text, yaml.safe_load(text)["wheels"]) == text


def test_a_difference_is_told_and_corrected_in_a_row_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_matrix(tmp_path)
    file = str(wheel(tmp_path, NAME_213, flags=TORCH_213 + " sm_121"))
    assert measure_matrix.main([file, "--matrix", str(path)]) == 1
    assert "2.13.0+cu130: architectures is" in capsys.readouterr().out
    assert measure_matrix.main([file, "--matrix", str(path), "--write"]) == 0
    rows = {row.label: row for row in load_matrix(path).wheels if "x86_64" in row.machines}
    assert rows["2.13.0+cu130"].architectures[-1] == "12.1"
    assert (rows["2.13.0+cu130"].mark, rows["2.13.0+cu130"].source) == ("W", f"measured on {NAME_213}")
    assert rows["2.14.0+cu130"].architectures[-1] == "12.0"
    assert len(load_matrix(path).wheels) == len(load_matrix().wheels)
    assert path.read_text(encoding="utf-8").splitlines()[0] == images.matrix_text().splitlines()[0]


def test_a_release_nobody_knew_becomes_a_row(tmp_path: Path) -> None:
    path = own_matrix(tmp_path)
    file = wheel(tmp_path, "torch-2.16.0+cu132-cp314-cp314-manylinux_2_28_x86_64.whl", cuda="13.2", pinned="13.2.2")
    assert measure_matrix.main([str(file), "--matrix", str(path), "--write"]) == 0
    (row,) = [row for row in load_matrix(path).wheels if row.label == "2.16.0+cu132"]
    assert (row.pythons, row.packaged, row.cuda_package) == (("3.14",), False, "13.2.2")


def test_a_table_that_would_shrink_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_matrix(tmp_path)
    file = str(wheel(tmp_path, NAME_213, flags="sm_80 sm_90"))
    assert measure_matrix.main([file, "--matrix", str(path), "--write"]) == 1
    assert "2.13.0+cu130 x86_64 architectures 7.5" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == images.matrix_text()


def test_a_wheel_of_the_torch_index_does_not_take_the_package_indexs_away(tmp_path: Path) -> None:
    path = own_matrix(tmp_path)
    file = str(wheel(tmp_path, "torch-2.13.0+cu130-cp312-cp312-manylinux_2_28_x86_64.whl"))
    assert measure_matrix.main([file, "--matrix", str(path)]) == 0
    assert measure_matrix.main([file, "--matrix", str(path), "--write"]) == 0
    assert load_matrix(path).wheels != load_matrix().wheels  # it says what it was measured on
    packaged, before = ({row.label for row in of.wheels if row.packaged} for of in (load_matrix(path), load_matrix()))
    assert packaged == before


def test_a_toolkit_that_is_pinned_no_more_is_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_matrix(tmp_path)
    assert measure_matrix.main([str(wheel(tmp_path, NAME_213, pinned="")), "--matrix", str(path), "--write"]) == 1
    assert "2.13.0+cu130 x86_64 cuda_package" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == images.matrix_text()


def test_another_machines_wheel_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = own_matrix(tmp_path)
    name = "torch-2.12.0-cp312-cp312-manylinux_2_28_{}.whl"
    for machine, flags in (("aarch64", "sm_80 sm_90 sm_100 sm_110 sm_120 sm_121"), ("x86_64", TORCH_213 + " sm_121")):
        file = wheel(tmp_path, name.format(machine), flags=flags, pinned="13.0.2")
        assert measure_matrix.main([str(file), "--matrix", str(path), "--write"]) == 0
    found = {row.machines: row.architectures for row in load_matrix(path).wheels if row.label == "2.12.0+cu130"}
    assert {machines: codes[-3:] for machines, codes in found.items()} == {
        ("aarch64",): ("11.0", "12.0", "12.1"),
        ("x86_64",): ("10.0", "12.0", "12.1"),
    }
