"""Pythons on the machine, how pip is set there, the torch wheels that lie in its folders, and uv."""

from __future__ import annotations

import ast
import configparser
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum

from provision.machines.interface import Completed, Machine

GLIBC = (2, 28)  # the wheels' own platform, manylinux_2_28
NAMES = ("python3", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14")

_PROBE = b"""
import json, platform, sys, sysconfig
from importlib.util import find_spec
from importlib.metadata import PackageNotFoundError, version
try:
    torch = version("torch")
except PackageNotFoundError:
    torch = ""
print(json.dumps({
    "version": platform.python_version(), "executable": sys.executable, "prefix": sys.prefix,
    "in_venv": sys.prefix != sys.base_prefix, "implementation": platform.python_implementation(),
    "machine": platform.machine(), "libc": " ".join(platform.libc_ver()),
    "abi": sysconfig.get_config_var("SOABI") or "",
    "venv": find_spec("venv") is not None and find_spec("ensurepip") is not None,
    "pip": find_spec("pip") is not None, "torch": torch,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """One Python. `venv` is whether it can make an environment with pip in it (Debian splits ensurepip off); `torch` the
    version installed there, or empty; `libc` as `glibc 2.36`, `abi` as `cpython-312-x86_64-linux-gnu`."""

    name: str
    version: str
    executable: str
    prefix: str = ""
    in_venv: bool = False
    implementation: str = "CPython"
    machine: str = ""
    libc: str = ""
    abi: str = ""
    venv: bool = False
    pip: bool = False
    torch: str = ""

    @property
    def minor(self) -> str:
        """`3.12` of `3.12.4`; `3.14t` of a free-threaded one, which takes none of the other's wheels (PEP 703)."""
        free_threaded = re.match(r"cpython-\d+t", self.abi)
        return ".".join(self.version.split(".")[:2]) + ("t" if free_threaded else "")

    @property
    def refuses_wheels(self) -> str:
        """Why it takes no wheel for Linux (PEP 600), or an empty string; what is not known refuses none."""
        if "-musl" in self.abi or self.libc.startswith("musl"):
            return "built for musl, and there are wheels for glibc alone"
        if re.search(r"-(i386|i686|arm)-linux|-linux-gnueabi", self.abi):
            return "of 32 bits"
        glibc = re.fullmatch(r"glibc (\d+)\.(\d+)", self.libc)
        if glibc and (int(glibc[1]), int(glibc[2])) < GLIBC:
            return f"{self.libc}, older than the {'.'.join(map(str, GLIBC))} that the wheels are built for"
        return ""


class PipState(str, Enum):
    READ = "read"  # by pip itself
    FILES = "files"  # there is no pip to ask; its files and variables were read in its order
    FAILED = "failed"


@dataclass(frozen=True)
class PipSettings:
    """pip's effective settings for `install`; lists in pip's own order. Credentials are masked when serialised."""

    state: PipState
    detail: str = ""
    index_url: str = ""
    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = ()
    cert: str = ""
    constraints: tuple[str, ...] = ()
    proxy: str = field(default="", repr=False)
    trusted_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class TorchWheel:
    """A torch wheel in a folder that pip looks into. `tag` is its local version (`cpu`, `cu126`), or empty."""

    folder: str
    filename: str
    version: str
    tag: str
    python: str  # 3.11
    machine: str  # x86_64


@dataclass(frozen=True)
class Uv:
    """uv, where it is."""

    path: str
    version: str


@dataclass(frozen=True)
class PythonFacts:
    """Every Python that answered, `python3` (or the one that was named) first."""

    interpreters: tuple[Interpreter, ...] = ()
    pip: PipSettings = field(default_factory=lambda: PipSettings(PipState.FAILED, "not looked at"))
    torch_wheels: tuple[TorchWheel, ...] = ()
    uv: Uv | None = None


def probe(machine: Machine, environment: Mapping[str, str], *, python: str = "", uv: str = "") -> PythonFacts:
    """Ask every Python on PATH, and `python` first where it is given; uv on PATH, else at the path `uv`."""
    names = tuple(dict.fromkeys(filter(None, (python, *NAMES))))
    with ThreadPoolExecutor(max_workers=len(names) + 2) as pool:
        settings = pool.submit(probe_pip, machine, environment, names[0])
        tool = pool.submit(_probe_uv, machine, uv)
        found = list(pool.map(lambda name: _probe_interpreter(machine, name), names))
    pip = settings.result()
    return PythonFacts(
        interpreters=tuple(_unique(interpreter for interpreter in found if interpreter)),
        pip=pip,
        torch_wheels=tuple(_list_wheels(machine, pip.find_links, environment.get("HOME", ""))),
        uv=tool.result(),
    )


def _probe_interpreter(machine: Machine, name: str) -> Interpreter | None:
    answer = machine.run([name, "-I", "-"], stdin=_PROBE, timeout=10)
    return parse_interpreter(name, answer.text) if answer.ok else None


def parse_interpreter(name: str, text: str) -> Interpreter | None:
    """Return the interpreter from the probe's JSON line, or None where something else was printed."""
    try:
        said = json.loads(text.strip().splitlines()[-1])
        return Interpreter(name=name, **said)
    except (ValueError, IndexError, TypeError):
        return None


def _unique(found: Iterable[Interpreter]) -> Iterator[Interpreter]:
    seen = set()
    for interpreter in found:
        if (interpreter.prefix, interpreter.version) not in seen:
            seen.add((interpreter.prefix, interpreter.version))
            yield interpreter


def _probe_uv(machine: Machine, given: str) -> Uv | None:
    for path in filter(None, (given, "uv")):
        version = re.match(r"uv (\S+)", machine.run([path, "--version"], timeout=10).text)
        if version:
            return Uv(path, version.group(1))
    return None


def probe_pip(machine: Machine, environment: Mapping[str, str], python: str) -> PipSettings:
    """Ask `python`'s pip for its settings; where it has no pip, read what pip would read."""
    answer = machine.run([python, "-m", "pip", "config", "list"], timeout=20, env={"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    if answer.ok:
        words = [python, "-m", "pip", "config", "get"]
        return parse_pip(in_force(answer.text, lambda key: machine.run([*words, key], timeout=20).text), PipState.READ)
    if _has_no_pip(answer):
        return parse_pip(_read_files(machine, environment), PipState.FILES, "there is no pip here to ask")
    return PipSettings(PipState.FAILED, answer.error_text.strip() or answer.outcome.value)


def _has_no_pip(answer: Completed) -> bool:
    return answer.returncode is None or "No module named pip" in answer.error_text


def _read_files(machine: Machine, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in pip's order: global, user, PIP_CONFIG_FILE, variables (pip's documentation, "Configuration")."""
    home = environment.get("HOME", "")
    config_home = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    files = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", f"{home}/.pip/pip.conf", f"{config_home}/pip/pip.conf")
    settings: dict[str, str] = {}
    for path in (*files, environment.get("PIP_CONFIG_FILE", "")):
        content = machine.read(path) if path else None
        settings.update(parse_pip_conf((content or b"").decode("utf-8", "replace")))
    variables = {
        name[4:].lower().replace("_", "-"): value for name, value in environment.items() if name.startswith("PIP_")
    }
    return {**settings, **{f":env:.{name}": value for name, value in variables.items()}}


def parse_pip_conf(text: str) -> dict[str, str]:
    """Return `section.key` → value of a pip.conf; a file pip could not read either gives nothing."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {f"{section}.{key}": value for section in parser.sections() for key, value in parser.items(section)}


def in_force(text: str, get: Callable[[str], str]) -> dict[str, str]:
    """Return the settings of `pip config list`. A pip that lists each file by itself (26.3, in no telling order) says some
    twice: `get` then asks `pip config get` for the one in force."""
    found = parse_config_list(text)
    values: dict[str, set[str]] = {}
    for line in text.splitlines():
        values.setdefault(line.partition("=")[0], set()).add(line)
    twice = [key for key, lines in values.items() if key in found and len(lines) > 1]
    return {**found, **{key: get(key).strip("\r\n") for key in twice}}


def parse_config_list(text: str) -> dict[str, str]:
    """Return `section.key` → value from `pip config list`, which prints Python literals; variables are under `:env:`."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(\S+?)=(['\"].*['\"])", line.strip())
        if match:
            found[match[1]] = str(ast.literal_eval(match[2]))
    return found


def parse_pip(settings: Mapping[str, str], state: PipState, detail: str = "") -> PipSettings:
    """Return what `pip install` would use: a variable wins over [install], which wins over [global]."""

    def of(name: str) -> str:
        return next((settings[key] for at in (":env:", "install", "global") if (key := f"{at}.{name}") in settings), "")

    return PipSettings(
        state=state,
        detail=detail,
        index_url=of("index-url"),
        extra_index_urls=tuple(of("extra-index-url").split()),
        find_links=tuple(of("find-links").split()),
        cert=of("cert"),
        constraints=tuple(of("constraint").split()),
        proxy=of("proxy"),
        trusted_hosts=tuple(of("trusted-host").split()),
    )


def _list_wheels(machine: Machine, find_links: Iterable[str], home: str) -> Iterator[TorchWheel]:
    for link in find_links:
        folder = local_folder(link, home)
        if folder:
            listing = machine.run(["ls", "-1", "--", folder], timeout=10)
            yield from parse_wheels(folder, listing.text if listing.ok else "")


def local_folder(link: str, home: str) -> str:
    """Return the folder a find-links entry means, or empty where it is a page elsewhere."""
    path = link[len("file://") :] if link.startswith("file://") else link
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return path if path.startswith("/") else ""


_WHEEL = re.compile(
    r"torch-(?P<version>\d[^+-]*)(\+(?P<tag>[^-]+))?(-\d+)?-cp(?P<python>\d+)-cp\d+t?-(?P<platform>[^-]+)\.whl"
)


def parse_wheels(folder: str, listing: str) -> Iterator[TorchWheel]:
    """Yield the torch wheels for Linux among the file names, one a line (names as PEP 427 has them)."""
    for name in listing.splitlines():
        match = _WHEEL.fullmatch(name.strip())
        machine = re.search(r"linux\w*?_(x86_64|aarch64)$", match["platform"]) if match else None
        if match and machine and not name.split("-")[-2].endswith("t"):
            digits = match["python"]
            yield TorchWheel(
                folder, name, match["version"], match["tag"] or "", f"{digits[0]}.{digits[1:]}", machine.group(1)
            )
