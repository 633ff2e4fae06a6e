"""Wheels that are packages in name alone."""

from __future__ import annotations

import zipfile
from pathlib import Path


def torch_wheel(folder: Path, version: str) -> None:
    """A package that calls itself torch."""
    told = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    info = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("torch.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", told)
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", f"torch.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
