"""The very file that each tool needs, found at a mirror as the tool finds it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin

from provision.http import Reply, login_page, looks_like_html
from provision.mirrors import registries
from provision.mirrors.catalogue import Mirror
from provision.mirrors.measuring.wire import Wire
from provision.registry import manifest
from provision.sources.interface import ModelRef, RemoteFile, SourceError

Version = tuple[int, ...]


@dataclass(frozen=True)
class Needs:
    """What is to be fetched from here: the spec's model, the Resolution's wheel, this distribution's package lists."""

    project: str = "transformers"
    torch: str = ""  # 2.9.1
    wheel_tag: str = ""  # cu128
    python: str = ""  # 3.12
    platform: str = "x86_64"
    model: ModelRef = field(default_factory=lambda: ModelRef("Qwen/Qwen3-0.6B"))
    image: str = "library/debian"
    image_tag: str = "bookworm-slim"
    distribution: str = "debian"
    codename: str = "bookworm"
    node_package: str = "typescript"
    architecture: str = "amd64"


@dataclass(frozen=True)
class Artefact:
    """A file at a mirror. `version` compares with other mirrors' (empty: it does not); `label` is for people."""

    name: str
    url: str
    label: str = ""
    version: Version = ()
    size: int | None = None
    sha256: str | None = None


Finder = Callable[[Wire, Mirror, Needs], Artefact]
HREF = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
WHEEL = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-[^-]+)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl$"
)
INDEX_TYPES = ("text/html", "application/vnd.pypi.simple.v1+html")  # PEP 691; pip and uv read no other page
RELEASE_FILE = re.compile(r"^ ([0-9a-f]{64})\s+(\d+)\s+(\S+)$", re.MULTILINE)


def package(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """The newest wheel of a project in an index (PEP 503), with the hash that the index gives it."""
    return _newest(wire, f"{mirror.url}/{needs.project}/", needs.project, lambda wheel: True)


def torch(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """The torch wheel of the Resolution: in an index of its own below its tag, or in a plain listing."""
    base = mirror.url if mirror.url.endswith(needs.wheel_tag) else f"{mirror.url}/{needs.wheel_tag}"
    listing = f"{base}/torch/" if mirror.kind == "index" else f"{base}/"
    version = f"{needs.torch.partition('+')[0]}+{needs.wheel_tag}"
    python = "cp" + needs.python.replace(".", "")

    def fits(wheel: re.Match[str]) -> bool:
        return (
            wheel["version"] in (version, version.partition("+")[0])
            and wheel["python"] == python
            and needs.platform in wheel["platform"]
        )

    return _newest(wire, listing, "torch", fits)


def huggingface(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """The largest file of the model at the commit that its revision names."""
    repo = quote(needs.model.repo, safe="/")
    base = f"{mirror.url}/api/models/{repo}"
    found, reply = _json(wire, f"{base}/revision/{quote(needs.model.revision, safe='')}")
    commit = str(found.get("sha", "")) if isinstance(found, dict) else ""
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise reply.error("listing-cut", f"{reply.host} names no commit for {needs.model}")
    tree, reply = _json(wire, f"{base}/tree/{commit}?recursive=true&expand=false")
    files = [
        RemoteFile(str(entry["path"]), int(entry["size"]), (entry.get("lfs") or {}).get("oid"))
        for entry in (tree if isinstance(tree, list) else [])
        if isinstance(entry, dict) and entry.get("type") == "file"
    ]
    return _largest(files, reply, commit, lambda path: f"{mirror.url}/{repo}/resolve/{commit}/{quote(path, safe='/')}")


def modelscope(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """The largest file of the model at its revision."""
    repo = quote(needs.model.repo, safe="/")
    revision = "master" if needs.model.revision == "main" else needs.model.revision
    base = f"{mirror.url}/api/v1/models/{repo}/repo"
    found, reply = _json(wire, f"{base}/files?Revision={quote(revision)}&Recursive=True")
    entries = (found.get("Data") or {}).get("Files") if isinstance(found, dict) else None
    files = [
        RemoteFile(str(entry["Path"]), int(entry["Size"]), str(entry.get("Sha256") or "").lower() or None)
        for entry in entries or []
        if isinstance(entry, dict) and entry.get("Type") != "tree"
    ]
    return _largest(files, reply, "", lambda path: f"{base}?Revision={quote(revision)}&FilePath={quote(path)}")


def archive(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """The distribution's package list, with the hash and date of its signed release file."""
    base = f"{mirror.url}/{needs.distribution}/dists/{needs.codename}"
    text, reply = wire.text(f"{base}/InRelease")
    if "-----BEGIN PGP SIGNED MESSAGE-----" not in text[:200]:
        raise login_page(reply) if looks_like_html(text.encode()) else _cut(reply, "a signed release file")
    dated = re.search(r"^Date: (.+)$", text, re.MULTILINE)
    listed = {name: (digest, int(size)) for digest, size, name in RELEASE_FILE.findall(text)}
    for end in ("xz", "gz"):
        name = f"main/binary-{needs.architecture}/Packages.{end}"
        if name in listed:
            digest, size = listed[name]
            when = int(parsedate_to_datetime(dated[1]).timestamp()) if dated else 0
            return Artefact(name, f"{base}/{name}", dated[1] if dated else "", (when,) if when else (), size, digest)
    raise _cut(reply, f"a list of packages for {needs.architecture}")


def channel(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """conda's own list of the newest packages; the mirror alone says how old it is."""
    name = "pkgs/main/linux-64/current_repodata.json"
    return Artefact(name, f"{mirror.url}/{name}", "current_repodata.json")


def node_package(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """The newest version of a package, by the registry's own document of it (npm/registry, package-metadata.md)."""
    found, reply = _json(wire, f"{mirror.url}/{needs.node_package}")
    newest = str((found.get("dist-tags") or {}).get("latest", "")) if isinstance(found, dict) else ""
    address = (((found.get("versions") or {}).get(newest) or {}).get("dist") or {}).get("tarball") if newest else ""
    if not address:
        raise _cut(reply, f"the versions of {needs.node_package}")
    return Artefact(f"{needs.node_package}-{newest}.tgz", str(address), newest, version_of(newest))


def image(wire: Wire, mirror: Mirror, needs: Needs) -> Artefact:
    """The largest layer of an image, by its manifest (OCI distribution specification 1.1)."""
    registry = registries.parse(mirror.tool, mirror.url)
    base = f"{registry.scheme}://{registry.host}/v2/" + "/".join(part for part in (registry.path, needs.image) if part)
    found = manifest(wire, f"{base}/manifests/{needs.image_tag}")
    if "manifests" in found.content:
        rows = found.content["manifests"]
        fitting = [row for row in rows if row.get("platform", {}).get("architecture") == needs.architecture]
        if not fitting:
            raise found.reply.error("not-there", f"{found.reply.host} has no {needs.architecture} of {needs.image}")
        found = manifest(wire, f"{base}/manifests/{fitting[0]['digest']}")
    layers = found.content.get("layers") or []
    if not layers:
        raise _cut(found.reply, "a manifest with layers")
    layer = max(layers, key=lambda entry: int(entry["size"]))
    digest = str(layer["digest"])
    label = f"{needs.image}:{needs.image_tag}"
    return Artefact(digest, f"{base}/blobs/{digest}", label, (), int(layer["size"]), digest.removeprefix("sha256:"))


FINDERS: Mapping[str, Finder] = {
    "pip": package,
    "uv": package,
    "torch": torch,
    "huggingface": huggingface,
    "modelscope": modelscope,
    "apt": archive,
    "conda": channel,
    "npm": node_package,
    "docker": image,
    "buildkit": image,
    "podman": image,
    "containerd": image,
}


def version_of(text: str) -> Version:
    """Return the release numbers of a version (PEP 440), empty where it is a pre-release or none."""
    match = re.fullmatch(r"v?(\d+(?:\.\d+)*)(?:\.?post\d+)?(?:\+[\w.]+)?", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _newest(wire: Wire, url: str, project: str, fits: Callable[[re.Match[str]], bool]) -> Artefact:
    text, reply = wire.text(url, {"Accept": f"{INDEX_TYPES[1]}, {INDEX_TYPES[0]};q=0.1"})
    found = []
    for address in HREF.findall(text):
        target, fragment = urldefrag(urljoin(reply.url, html.unescape(address)))
        name = unquote(target.partition("?")[0].rpartition("/")[2])
        wheel = WHEEL.match(name)
        if wheel and wheel["name"].lower().replace("_", "-") == project and fits(wheel) and version_of(wheel["version"]):
            digest = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
            found.append(Artefact(name, target, wheel["version"], version_of(wheel["version"]), None, digest))
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found and kind not in INDEX_TYPES:
        raise reply.error("not-an-index", f"{reply.host} sends its listing as {kind or 'nothing'}: pip and uv skip it")
    if found:
        return max(found, key=lambda artefact: (artefact.version, artefact.name))
    if "<a" not in text.lower() or "password" in text.lower():
        raise login_page(reply)
    raise reply.error("not-there", f"{reply.host} lists no wheel of {project} that fits")


def _largest(files: list[RemoteFile], reply: Reply, label: str, address: Callable[[str], str]) -> Artefact:
    if not files:
        raise _cut(reply, "a list of files")
    file = max(files, key=lambda entry: entry.size)
    return Artefact(file.path, address(file.path), label[:12], (), file.size, file.sha256)


def _json(wire: Wire, url: str) -> tuple[Any, Reply]:
    text, reply = wire.text(url, {"Accept": "application/json"})
    return _parsed(text.encode(), reply), reply


def _parsed(body: bytes, reply: Reply) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise login_page(reply) if looks_like_html(body) else _cut(reply, "whole JSON") from None


def _cut(reply: Reply, what: str) -> SourceError:
    return reply.error("listing-cut", f"{reply.host} did not send {what}")
