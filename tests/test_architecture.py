"""The house's arrows: who may import whom, who may start processes, and what stays out of the import path."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEVELS = (  # each may import its own level and those above it in this list
    {"errors", "findings", "events"},
    {"spec", "machines", "files", "embedded"},
    {"facts", "matrix", "resolve", "mirrors", "sources", "http", "wire", "lock", "pins", "registry"},
    {"download", "store", "hub", "checks"},
    {"steps"},
    {"plan", "site", "prove", "looking", "bundle", "arrivals", "inside", "inventory", "export", "surroundings"},
    {"cli", "__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
PROCESS_STARTERS = {"subprocess", "docker", "pty", "multiprocessing"}


def sources() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "provision").rglob("*.py")):
        if path != ROOT / "provision" / "__init__.py":
            yield path.relative_to(ROOT / "provision").parts[0].removesuffix(".py"), path
    for path in sorted((ROOT / "checks").rglob("*.py")):
        yield "checks", path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "checks":
        return "checks"
    return parts[1] if parts[0] == "provision" and len(parts) > 1 else None


@pytest.mark.parametrize(("room", "path"), [*sources()], ids=lambda value: str(value)[-40:])
def test_arrows_only_go_down(room: str, path: Path) -> None:
    reached = {found for found in map(room_of, imports(path)) if found in LEVEL or found == "formats"}
    if room == "formats":
        assert reached <= {"findings", "errors", "formats"}
        return
    assert room in LEVEL, f"{room} has no level yet: add it to LEVELS"
    reached -= {"formats"} if room == "cli" else set()
    wrong = {found for found in reached if found == "formats" or LEVEL[found] > LEVEL[room]}
    assert not wrong


@pytest.mark.parametrize(("room", "path"), [*sources()], ids=lambda value: str(value)[-40:])
def test_only_machines_start_processes_or_talk_to_an_engine(room: str, path: Path) -> None:
    if room != "machines" and "probes" not in path.parts:
        assert not {name.split(".")[0] for name in imports(path)} & PROCESS_STARTERS


@pytest.mark.parametrize(("room", "path"), [*sources()], ids=lambda value: str(value)[-40:])
def test_nothing_imports_torch_and_nothing_below_the_cli_reads_the_environment(room: str, path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"torch", "accelerate"} or "probes" in path.parts
    if room != "cli" and "probes" not in path.parts:
        assert "os.environ" not in _code(path)


def _code(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant("")
    return ast.unparse(tree)


def test_thinking_stands_on_the_standard_library_alone() -> None:
    roots = {name.split(".")[0] for name in imports(ROOT / "checks" / "thinking.py")}
    assert roots <= set(sys.stdlib_module_names)


def test_help_imports_nothing_heavy() -> None:
    heavy = ("docker", "rich", "huggingface_hub", "modelscope", "aiohttp", "yaml", "urllib3", "provision.site")
    source = (
        "import sys; from provision.cli import main; main(['--help']);"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
