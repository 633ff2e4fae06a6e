"""apt: the addresses of the distribution's own archive in sources.list(5), one-line and deb822.

Only those are changed: a host of the distribution's own domain, or a mirror that the catalogue knows, serving the
distribution's own path. `Signed-By`, options, suites, foreign archives and what is commented out stay as they are. So
does a host named `security.…`: what a mirror lags behind must not be a security update.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from provision.errors import UsageError
from provision.facts.host import parse_os_release
from provision.machines.interface import Machine
from provision.mirrors.asking import ask
from provision.mirrors.catalogue import catalogue
from provision.mirrors.interface import Place, Plan, Scope, Verified, not_in_force, read_text, single

TOOL = "apt"
SCOPES: tuple[Scope, ...] = ("system",)
OVERRIDES = ("APT_CONFIG",)
_ONE_LINE = re.compile(r"^(\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?)(\S+)(\s.*)$", re.DOTALL)

_ASKED = re.compile(r"^'([^']+?)/dists/", re.MULTILINE)


def current(machine: Machine, place: Place) -> str:
    """See `Writer.current`: the root that the distribution's own archive is read from, where that is not its own host."""
    return next((root for root, is_own in _roots(place) if not is_own), "")


def default_root(machine: Machine, place: Place) -> str:
    """Return the distribution's own root, where its archive is read from there; else empty."""
    return next((root for root, is_own in _roots(place) if is_own), "")


def plan(place: Place, urls: Sequence[str]) -> Plan:
    """See `Writer.plan`. The address is a mirror's root; the archive's own path is kept behind it."""
    mirror, release = _root(urls), _release(place)
    hosts = _Own(release, mirror)
    edits = []
    for path in _files(place):
        text = read_text(path) or ""
        changed = _each_address(path, text, hosts.renewed)
        edits.append(place.edit(TOOL, path, text, changed, urls))
    if not hosts.met:
        known = f"{release.get('ID', 'this distribution')}'s own archive"
        raise UsageError(f"no source of apt here names {known}", hint="looked in /etc/apt/sources.list and sources.list.d")
    notes = [f"{host} stays: what a mirror lags behind must not be a security update" for host in sorted(hosts.spared)]
    if mirror.startswith("https:") and not (place.root / "etc/ssl/certs/ca-certificates.crt").exists():
        notes.append("there are no ca-certificates here, and apt cannot ask https without")
    return Plan(tuple(edits), tuple(notes))


def verify(machine: Machine, place: Place, urls: Sequence[str]) -> Verified:
    """See `Writer.verify`: `apt-get update --print-uris` names every file apt would ask for, and sends nothing."""
    folder = place.root / "etc" / "apt"
    options = [f"-oDir::Etc::sourcelist={folder}/sources.list", f"-oDir::Etc::sourceparts={folder}/sources.list.d"]
    said = ask(machine, ["apt-get", *options, "update", "--print-uris"], without=OVERRIDES)
    if said is None:
        return Verified(TOOL, "", "there is no apt here to ask")
    asked = sorted(set(_ASKED.findall(said)))
    mirror = _root(urls)
    if not any(f"{uri}/".startswith(f"{mirror}/") for uri in asked):
        raise not_in_force(TOOL, mirror, "\n".join(asked))
    return Verified(TOOL, "apt-get update --print-uris", " ".join(asked))


def _release(place: Place) -> dict[str, str]:
    told = read_text(place.root / "etc/os-release") or read_text(place.root / "usr/lib/os-release")
    return parse_os_release(told or "")


def _roots(place: Place) -> list[tuple[str, bool]]:
    """The roots that the archive is read from, each with whether it is the distribution's own host."""
    own = _Own(_release(place), "")
    found = []

    def note(uri: str) -> str:
        path = own.path_of(uri)
        if path is not None and not (urlsplit(uri).hostname or "").startswith("security."):
            found.append((uri.rstrip("/").removesuffix(path), own.is_own(uri)))
        return uri

    for file in _files(place):
        _each_address(file, read_text(file) or "", note)
    return found


class _Own:
    """Which addresses are the distribution's own archive, and where they shall lead."""

    def __init__(self, release: dict[str, str], mirror: str) -> None:
        name = release.get("ID", "")
        home = (urlsplit(release.get("HOME_URL", "")).hostname or "").removeprefix("www.")
        self._domain = home
        self._paths = tuple(f"/{name}{end}" for end in ("", "-security", "-ports")) if name else ()
        self._mirror = mirror
        known = (urlsplit(row.url).hostname for row in catalogue() if row.tool == TOOL)
        self._mirrors = {urlsplit(mirror).hostname, *known}
        self.met = False
        self.spared: set[str] = set()

    def renewed(self, uri: str) -> str:
        """Return the address to ask instead; `uri` itself where it is not ours to change."""
        host, is_own = (urlsplit(uri).hostname or "").lower(), self.is_own(uri)
        if not uri.startswith(("http://", "https://")) or not (is_own or host in self._mirrors):
            return uri
        if is_own and host.startswith("security."):
            self.spared.add(host)
            self.met = True
            return uri
        own_path = self.path_of(uri)
        if own_path is None:
            return uri
        self.met = True
        return f"{self._mirror}{own_path}{'/' if uri.endswith('/') else ''}"

    def is_own(self, uri: str) -> bool:
        """Whether the address is of the distribution's own domain."""
        host = (urlsplit(uri).hostname or "").lower()
        return bool(self._domain) and (host == self._domain or host.endswith(f".{self._domain}"))

    def path_of(self, uri: str) -> str | None:
        """Return the archive's own path, with which the address ends; None for any other archive."""
        path = urlsplit(uri).path.rstrip("/")
        return next((own for own in self._paths if path.endswith(own)), None)


def _root(urls: Sequence[str]) -> str:
    url = single(TOOL, urls)
    for path in ("/debian", "/ubuntu", "/ubuntu-ports"):
        url = url.removesuffix(path)
    return url


def _files(place: Place) -> Iterator[Path]:
    folder = place.root / "etc" / "apt"
    if (folder / "sources.list").is_file():
        yield folder / "sources.list"
    yield from sorted(
        path for end in ("list", "sources") for path in (folder / "sources.list.d").glob(f"*.{end}") if path.is_file()
    )


def _each_address(path: Path, text: str, renewed: Callable[[str], str]) -> str:
    """Return the file's text with each source's address as `renewed` gives it."""
    return _deb822(text, renewed) if path.suffix == ".sources" else _one_line(text, renewed)


def _one_line(text: str, renewed: Callable[[str], str]) -> str:
    def renew(line: str) -> str:
        match = _ONE_LINE.match(line)
        return f"{match[1]}{renewed(match[2])}{match[3]}" if match else line

    return "".join(renew(line) for line in text.splitlines(keepends=True))


def _deb822(text: str, renewed: Callable[[str], str]) -> str:
    """Renew the words of each stanza's `URIs` field, which may go over several lines."""
    lines, in_uris = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            lines.append(line)
            continue
        field, colon, _ = line.partition(":")
        if not line[:1].isspace():
            in_uris = bool(colon) and field.strip().lower() == "uris"
        start = len(field) + 1 if in_uris and not line[:1].isspace() else 0
        words = re.sub(r"\S+", lambda word: renewed(word[0]), line[start:]) if in_uris else line[start:]
        lines.append(line[:start] + words)
    return "".join(lines)
