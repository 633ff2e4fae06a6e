"""The compatibility matrix: rows that carry where they are known from, read from YAML and held to rules."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

import images
from provision.errors import SpecError, nearest

SCHEMA = "provision.matrix/v1"
MARKS = {
    "W": "measured from the wheel",
    "S": "its project's source or documentation",
    "I": "an issue",
    "D": "derived",
    "M": "from memory, not verified",
}


@dataclass(frozen=True)
class Row:
    """What every row carries: how surely it is known (a key of `MARKS`), and where from."""

    mark: str
    source: str


@dataclass(frozen=True)
class Floor(Row):
    """The oldest driver that runs toolkits of this major, under minor-version compatibility."""

    major: int
    driver: str


@dataclass(frozen=True)
class Toolkit(Row):
    """A toolkit, and the driver it shipped with: from there on nothing is missing."""

    toolkit: str
    driver: str


@dataclass(frozen=True)
class Default(Row):
    """The releases of torch that `auto` may choose for a variant, both ends included."""

    variant: str
    at_least: str
    at_most: str


@dataclass(frozen=True)
class Wheel(Row):
    """One torch wheel for Linux. `architectures` are compute capabilities with machine code in it, `ptx` those with PTX.

    `packaged`: the package index serves it under the bare version. `cuda_package` is the `cuda-toolkit` it pins, or empty.
    """

    torch: str
    tag: str
    pythons: tuple[str, ...]
    architectures: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    machines: tuple[str, ...] = ("x86_64",)
    packaged: bool = False
    cuda_package: str = ""

    @property
    def variant(self) -> str:
        return "cpu" if self.tag == "cpu" else "cuda"

    @property
    def toolkit(self) -> str:
        """The CUDA release it was built with (`12.6` of `cu126`), or empty."""
        return "" if self.tag == "cpu" else f"{self.tag[2:-1]}.{self.tag[-1]}"

    @property
    def label(self) -> str:
        """`2.13.0+cu126`, also for the wheel whose own name has no tag."""
        return f"{self.torch}+{self.tag}"

    @property
    def requirement(self) -> str:
        """The bare version is asked for with `===`: `==` also takes a `+cpu` wheel of it, and prefers that (PEP 440)."""
        return f"torch==={self.torch}" if self.packaged else f"torch=={self.label}"


@dataclass(frozen=True)
class Nvcc(Row):
    """The package that brings nvcc for a CUDA major, and the version that was tried."""

    major: int
    requirement: str
    version: str


@dataclass(frozen=True)
class TorchIndex(Row):
    """A place that keeps torch wheels by tag; `kind` is `index` or `find-links`."""

    url: str
    kind: str


@dataclass(frozen=True)
class Base(Row):
    """A base image: the Python it has or gets from its own packages, and the CUDA toolkit (with nvcc) in it, if any.

    `cuda` is the CUDA release of one that has only the libraries. `bootstrap` is the release to make the same base from,
    where no registry can be reached.
    """

    base: str
    python: str
    toolkit: str = ""
    bootstrap: str = ""
    cuda: str = ""

    @property
    def repository(self) -> str:
        """The name without its tag."""
        return self.base.partition(":")[0]


@dataclass(frozen=True)
class Peak(Row):
    """The most that the engine's folder grew by while an image of a variant was built, nothing of it being there before."""

    variant: str
    bytes: int


@dataclass(frozen=True)
class Matrix:
    """The whole table."""

    floors: tuple[Floor, ...]
    toolkits: tuple[Toolkit, ...]
    defaults: tuple[Default, ...]
    wheels: tuple[Wheel, ...]
    nvcc: tuple[Nvcc, ...]
    torch_indexes: tuple[TorchIndex, ...]
    bases: tuple[Base, ...]
    peaks: tuple[Peak, ...]

    def peak(self, variant: str) -> int:
        """Bytes of disk that a first build takes for a while."""
        return next(row.bytes for row in self.peaks if row.variant == variant)

    def floor(self, wheel: Wheel) -> Floor:
        """The floor of a CUDA wheel; `load_matrix` has made sure that there is one."""
        return next(row for row in self.floors if row.major == version(wheel.toolkit)[0])

    def shipped(self, wheel: Wheel) -> Toolkit:
        """The toolkit row of a CUDA wheel."""
        return next(row for row in self.toolkits if row.toolkit == wheel.toolkit)

    def default(self, variant: str) -> Default:
        return next(row for row in self.defaults if row.variant == variant)

    def nvcc_for(self, toolkit: str) -> Nvcc | None:
        """The nvcc package for a toolkit (any, where `toolkit` is empty), or None where the index has none."""
        return next((row for row in self.nvcc if not toolkit or row.major == version(toolkit)[0]), None)


def version(text: str) -> tuple[int, ...]:
    """Return `580.65.06` as (580, 65, 6), to compare by."""
    return tuple(int(part) for part in text.split("."))


_VERSION = re.compile(r"\d+(\.\d+)+")
RowType = TypeVar("RowType", bound=Row)


def load_matrix(path: Path | None = None) -> Matrix:
    """Read the matrix that ships with the package, or the file at `path`. Raises SpecError where it is not one."""
    name = str(path) if path else "images/matrix.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8") if path else images.matrix_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _bad(name, "it cannot be read", str(error)) from error
    return parse_matrix(data, name)


def parse_matrix(data: Any, name: str) -> Matrix:
    """Return the matrix from its plain data; `name` is for messages. Raises SpecError."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        raise _bad(name, f"its schema is not {SCHEMA}")
    matrix = Matrix(
        floors=_rows(name, data, "floors", Floor),
        toolkits=_rows(name, data, "toolkits", Toolkit),
        defaults=_rows(name, data, "defaults", Default),
        wheels=_rows(name, {"wheels": _per_release(name, data.get("wheels"))}, "wheels", Wheel),
        nvcc=_rows(name, data, "nvcc", Nvcc),
        torch_indexes=_rows(name, data, "torch_indexes", TorchIndex),
        bases=_rows(name, data, "bases", Base),
        peaks=_rows(name, data, "peaks", Peak),
    )
    _validate(name, matrix)
    return matrix


def _per_release(name: str, rows: Any) -> list[Any]:
    """Rows name several releases at once, to be read by people; each becomes a row of its own."""
    if not isinstance(rows, list) or not all(
        isinstance(row, Mapping) and isinstance(row.get("torch"), list) for row in rows
    ):
        raise _bad(name, "wheels: a list of rows was expected, each with `torch: [releases]`")
    return [{**row, "torch": release} for row in rows for release in row["torch"]]


def _rows(name: str, data: Mapping[str, Any], section: str, kind: type[RowType]) -> tuple[RowType, ...]:
    rows = data.get(section)
    if not isinstance(rows, list) or not rows:
        raise _bad(name, f"{section}: a list with rows was expected")
    return tuple(_row(f"{section}[{number}]", name, row, kind) for number, row in enumerate(rows))


def _row(at: str, name: str, row: Any, kind: type[RowType]) -> RowType:
    if not isinstance(row, Mapping):
        raise _bad(name, f"{at}: a mapping was expected")
    hints = typing.get_type_hints(kind)
    for key in row:
        if key not in hints:
            raise _bad(name, f"{at}: no key is called {key!r}", hint=f"nearest: {nearest(str(key), hints)}")
    for field in dataclasses.fields(kind):
        if field.name not in row and field.default is dataclasses.MISSING:
            raise _bad(name, f"{at}: {field.name} is missing")
    return kind(**{key: _value(f"{at}.{key}", name, hints[key], value) for key, value in row.items()})


def _value(at: str, name: str, hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise _bad(name, f"{at}: a list of quoted texts was expected, not {value!r}")
    if type(value) is not hint:
        raise _bad(name, f"{at}: {'a quoted text' if hint is str else hint.__name__} was expected, not {value!r}")
    return value


def _validate(name: str, matrix: Matrix) -> None:
    for row in (row for field in dataclasses.fields(matrix) for row in getattr(matrix, field.name)):
        if row.mark not in MARKS or not row.source.strip():
            raise _bad(name, f"{row}: its mark is none of {', '.join(MARKS)}, or its source is empty")
    limits = [text for row in matrix.defaults for text in (row.at_least, row.at_most)]
    drivers = [row.driver for row in matrix.floors] + [row.driver for row in matrix.toolkits]
    for text in limits + drivers:
        if not _VERSION.fullmatch(text):
            raise _bad(name, f"{text!r} is not a version")
    for variant in ("cpu", "cuda"):
        if sum(row.variant == variant for row in matrix.defaults) != 1:
            raise _bad(name, f"defaults: one row for {variant} was expected")
        if sum(row.variant == variant for row in matrix.peaks) != 1:
            raise _bad(name, f"peaks: one row for {variant} was expected")
    seen = set()
    for wheel in matrix.wheels:
        _validate_wheel(name, matrix, wheel)
        for machine in wheel.machines:
            if (wheel.label, machine) in seen:
                raise _bad(name, f"wheels: {wheel.label} is there twice for {machine}")
            seen.add((wheel.label, machine))
    packaged = [(wheel.torch, machine) for wheel in matrix.wheels if wheel.packaged for machine in wheel.machines]
    if len(packaged) != len(set(packaged)):
        raise _bad(name, "wheels: one release has two wheels under the bare version")


def _validate_wheel(name: str, matrix: Matrix, wheel: Wheel) -> None:
    if not re.fullmatch(r"cpu|cu\d{3}", wheel.tag):
        raise _bad(name, f"wheels: {wheel.tag!r} is not a wheel tag")
    versions = (wheel.torch, *wheel.pythons, *wheel.architectures, *wheel.ptx)
    if not wheel.pythons or not all(_VERSION.fullmatch(text) for text in versions):
        raise _bad(name, f"wheels: {wheel.label}: a release, Python or architecture in it is not a version")
    if wheel.variant == "cpu":
        return
    if not wheel.architectures:
        raise _bad(name, f"wheels: {wheel.label} names no architecture")
    if wheel.toolkit not in {row.toolkit for row in matrix.toolkits}:
        raise _bad(name, f"wheels: {wheel.label}: toolkits has no {wheel.toolkit}")
    if version(wheel.toolkit)[0] not in {row.major for row in matrix.floors}:
        raise _bad(name, f"wheels: {wheel.label}: floors has no major {version(wheel.toolkit)[0]}")


def _bad(name: str, what: str, context: str = "", hint: str = "") -> SpecError:
    return SpecError(f"{name}: {what}", context=context, hint=hint, reference="matrix-invalid")
