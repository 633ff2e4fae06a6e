"""Measure what a torch wheel can tell without a GPU, and hold images/matrix.yaml to it.

    python tools/measure_matrix.py torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl …           # compare
    python tools/measure_matrix.py --write torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl …   # and correct the rows

Reads wheel files alone; nothing is fetched, imported or run. A table that shrank (a row, a Python or an architecture gone)
is not written: take it out by hand, knowing why. Exit 0: as measured (or written), 1: the table differs or would shrink.
"""

from __future__ import annotations

import argparse
import re
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from provision.errors import SpecError  # noqa: E402
from provision.matrix import Matrix, Wheel, load_matrix, parse_matrix, version  # noqa: E402

# What torch.cuda.get_arch_list() answers: a literal of libtorch_python.so (torch/csrc/cuda/Module.cpp, getArchFlags).
_ARCHITECTURES = re.compile(rb"(?:(?:sm|compute)_\d{2,3}[af]? )+(?:sm|compute)_\d{2,3}[af]?")
_NAME = re.compile(
    r"torch-(?P<torch>\d[^+-]*)(\+(?P<tag>[^-]+))?(-\d+)?-cp(?P<python>\d+)-cp\d+-\w*linux\w*?_(?P<machine>x86_64|aarch64)\.whl"
)
_SECTION = re.compile(r"(?<=^wheels:\n)(?:[ ].*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """What one wheel file says of itself. `packaged`: it goes by the bare version, as in the package index."""

    filename: str
    torch: str
    tag: str
    python: str
    machine: str
    packaged: bool
    architectures: tuple[str, ...]
    ptx: tuple[str, ...]
    cuda_package: str

    @property
    def label(self) -> str:
        return f"{self.torch}+{self.tag}"


def measure(path: Path) -> Measured:
    """Return what the wheel at `path` says. Raises ValueError where it is not a torch wheel for Linux."""
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise ValueError(f"{path.name} is not the name of a torch wheel for Linux")
    try:
        with zipfile.ZipFile(path) as wheel:
            cuda = re.search(r"^cuda.*= '([\d.]+)'", wheel.read("torch/version.py").decode(), re.MULTILINE)
            flags = _ARCHITECTURES.search(wheel.read("torch/lib/libtorch_python.so")) if cuda else None
            (metadata,) = [member for member in wheel.namelist() if member.endswith(".dist-info/METADATA")]
            pinned = re.search(
                r"^Requires-Dist: cuda-toolkit\[.*?\]\s*==([\d.]+)", wheel.read(metadata).decode(), re.MULTILINE
            )
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path.name} is not a whole torch wheel: {error}") from error
    if cuda and not flags:
        raise ValueError(f"{path.name} is built with CUDA {cuda.group(1)} and names no architecture")
    names = flags.group().decode().split() if flags else []
    return Measured(
        filename=path.name,
        torch=name["torch"],
        tag=f"cu{cuda.group(1).replace('.', '')}" if cuda else "cpu",
        python=f"{name['python'][0]}.{name['python'][1:]}",
        machine=name["machine"],
        packaged=name["tag"] is None,
        architectures=tuple(_capability(each) for each in names if each.startswith("sm_")),
        ptx=tuple(_capability(each) for each in names if each.startswith("compute_")),
        cuda_package=pinned.group(1) if pinned else "",
    )


def _capability(flag: str) -> str:
    digits = re.sub(r"\D", "", flag)
    return f"{digits[:-1]}.{digits[-1]}"


def differences(measured: Measured, matrix: Matrix) -> list[str]:
    """Return what the table says otherwise, a sentence each."""
    of_machine = (row for row in matrix.wheels if measured.machine in row.machines)
    row = next((row for row in of_machine if row.label == measured.label), None)
    if row is None:
        return [f"{measured.label}: the table has no such row for {measured.machine}"]
    said = {
        "architectures": (row.architectures, measured.architectures),
        "ptx": (row.ptx, measured.ptx),
        "packaged": (
            row.packaged,
            row.packaged or measured.packaged,
        ),  # a tag in the name says nothing of the package index
        "cuda_package": (row.cuda_package, measured.cuda_package),
    }
    found = [
        f"{measured.label}: {key} is {table}, the wheel has {wheel}"
        for key, (table, wheel) in said.items()
        if table != wheel
    ]
    if measured.python not in row.pythons:
        found.append(f"{measured.label}: Python {measured.python} is missing")
    return found


def corrected(data: dict[str, Any], measured: Iterable[Measured]) -> dict[str, Any]:
    """Return the matrix's plain data with every measured release in a row of its own that says what was measured."""
    rows = [dict(row) for row in data["wheels"]]
    for each in measured:
        old = next((row for row in rows if _is_of(row, each)), None)
        new = _row(each, old or {"machines": [each.machine]})
        if old is None:
            rows.append(new)
            continue
        others = [release for release in old["torch"] if release != each.torch]
        rest = [{**old, "torch": others}] if others else []
        at = rows.index(old)
        rows[at : at + 1] = [*rest, new]
    return {**data, "wheels": rows}


def _is_of(row: dict[str, Any], measured: Measured) -> bool:
    machines = row.get("machines", ["x86_64"])
    return row["tag"] == measured.tag and measured.torch in row["torch"] and measured.machine in machines


def _row(measured: Measured, old: dict[str, Any]) -> dict[str, Any]:
    plain = {
        "torch": [measured.torch],
        "tag": measured.tag,
        "packaged": old.get("packaged", False) or measured.packaged,
        "cuda_package": measured.cuda_package,
        "machines": old.get("machines", ["x86_64"]),
        "pythons": sorted({*old.get("pythons", []), measured.python}, key=version),
        "architectures": list(measured.architectures),
        "ptx": list(measured.ptx),
        "mark": "W",
        "source": f"measured on {measured.filename}",
    }
    return {key: value for key, value in plain.items() if value and not (key == "machines" and value == ["x86_64"])}


def shrunk(before: Matrix, after: Matrix) -> list[str]:
    """Return what the old table has and the new one has not."""

    def claims(wheels: Iterable[Wheel]) -> set[tuple[str, ...]]:
        kinds = ("pythons", "architectures", "ptx")
        listed = {(kind, value, wheel) for wheel in wheels for kind in kinds for value in getattr(wheel, kind)}
        pinned = {("cuda_package", "some", wheel) for wheel in wheels if wheel.cuda_package}
        return {(wheel.label, machine, kind, value) for kind, value, wheel in listed | pinned for machine in wheel.machines}

    return [" ".join(claim) for claim in sorted(claims(before.wheels) - claims(after.wheels))]


def render(text: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the file's text with its section `wheels` written anew; everything else, remarks too, stays as it is."""
    written = "".join(_written(row) for row in rows)
    return _SECTION.sub(lambda _: written, text, count=1)


def _written(row: dict[str, Any]) -> str:
    lines = [f"{key}: {_scalar(key, value)}" for key, value in row.items()]
    return "  - " + "\n    ".join(lines) + "\n"


def _scalar(key: str, value: Any) -> str:
    if isinstance(value, list):
        quoted = (f'"{item}"' if key != "machines" else item for item in value)
        return f"[{', '.join(quoted)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if key in ("source", "cuda_package") else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, and with --write correct. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Measure torch wheels and hold the compatibility matrix to them.")
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL")
    parser.add_argument("--matrix", type=Path, default=ROOT / "images" / "matrix.yaml")
    parser.add_argument("--write", action="store_true", help="correct the rows of these wheels")
    arguments = parser.parse_args(argv)
    try:
        measured = [measure(path) for path in arguments.wheels]
        matrix = load_matrix(arguments.matrix)
    except (OSError, ValueError, SpecError) as error:
        print(error, file=sys.stderr)
        return 2
    found = [line for each in measured for line in differences(each, matrix)]
    print("\n".join(found) or f"as measured: {', '.join(each.label for each in measured)}")
    return _write(arguments.matrix, measured, matrix) if arguments.write else int(bool(found))


def _write(path: Path, measured: Sequence[Measured], matrix: Matrix) -> int:
    text = path.read_text(encoding="utf-8")
    data = corrected(yaml.safe_load(text), measured)
    new = render(text, data["wheels"])
    gone = shrunk(matrix, parse_matrix(yaml.safe_load(new), str(path)))
    if gone:
        print("not written, the table would lose:", *gone, sep="\n  ", file=sys.stderr)
        return 1
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
