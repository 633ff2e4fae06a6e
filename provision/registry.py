"""A container registry (OCI distribution specification 1.1): its token exchange, and the manifest behind a name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from provision.http import Reply, login_page, looks_like_html, refusal

_KINDS = ("docker.distribution.manifest.v2", "docker.distribution.manifest.list.v2", "oci.image.manifest.v1")
MANIFESTS = ", ".join(f"application/vnd.{kind}+json" for kind in (*_KINDS, "oci.image.index.v1"))
LIMIT = 4 << 20  # bytes of a manifest; the specification lets a registry refuse larger ones
SECONDS = 8.0  # for one small answer
HUB = "registry-1.docker.io"  # what a name without a host means


class Asker(Protocol):
    """Who asks one registry; what it is told to `authorise` goes to that registry alone."""

    def ask(self, url: str, headers: Mapping[str, str]) -> Reply: ...

    def authorise(self, header: str) -> None: ...


@dataclass(frozen=True)
class Name:
    """An image's name, taken apart as the engines do: the host that is asked, the repository there, the tag."""

    host: str
    repository: str
    tag: str

    @property
    def address(self) -> str:
        """Where its manifests are; a registry on this machine is asked without TLS, as Docker does."""
        local = urlsplit(f"//{self.host}").hostname in ("localhost", "127.0.0.1", "::1")
        return f"{'http' if local else 'https'}://{self.host}/v2/{self.repository}/manifests"


@dataclass(frozen=True)
class Manifest:
    """What a registry holds under a name: `content` parsed, `digest` of the very bytes, and the answer it came in."""

    content: dict[str, Any]
    digest: str
    reply: Reply


def parse_name(reference: str) -> Name:
    """Return the parts of `[host[:port]/]path[:tag]`; without a host it is Docker Hub's, without a tag `latest`."""
    first, slash, rest = reference.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (first, rest) if has_host else (HUB, reference)
    repository, _, tag = path.partition(":")
    official = "library/" if host == HUB and "/" not in repository else ""
    return Name(host, official + repository, tag or "latest")


def manifest(asker: Asker, url: str) -> Manifest:
    """Return the manifest at `url`, with an anonymous token where the registry wants one.

    Raises SourceError: the registry's refusal, `login-page`, `listing-cut`, or `digest-differs` where the bytes are not
    those of the digest that was asked for or announced.
    """
    reply = asker.ask(url, {"Accept": MANIFESTS})
    if reply.status == 401 and (where := token_address(reply.headers.get("www-authenticate", ""))):
        reply.close()
        asker.authorise(f"Bearer {_token(asker, where)}")
        reply = asker.ask(url, {"Accept": MANIFESTS})
    if reply.status != 200:
        raise refusal(reply)
    body = reply.read_all(LIMIT, SECONDS)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    asked = url.rpartition("/")[2]
    for announced in (reply.headers.get("docker-content-digest", ""), asked if ":" in asked else ""):
        if announced.startswith("sha256:") and announced != digest:
            raise reply.error("digest-differs", f"{reply.host} sent other bytes than those of {announced}")
    return Manifest(_object(body, reply, "a manifest"), digest, reply)


def digest(asker: Asker, name: Name) -> str:
    """Return the digest (`sha256:…`) behind a name now: of its index, where there is one for each architecture."""
    return manifest(asker, f"{name.address}/{name.tag}").digest


def token_address(challenge: str) -> str:
    """Return where a `WWW-Authenticate: Bearer` challenge says that a token is to be had; empty where it is none."""
    if not challenge.lower().startswith("bearer "):
        return ""
    parts = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = parts.get("realm", "")
    asked = [f"{name}={quote(parts[name], safe='')}" for name in ("service", "scope") if name in parts]
    return f"{realm}{'&' if '?' in realm else '?'}{'&'.join(asked)}" if realm else ""


def _token(asker: Asker, url: str) -> str:
    reply = asker.ask(url, {"Accept": "application/json"})
    if reply.status != 200:
        raise refusal(reply)
    found = _object(reply.read_all(LIMIT, SECONDS), reply, "a token")
    token = str(found.get("token") or found.get("access_token") or "")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise reply.error("listing-cut", f"{reply.host} did not send a token")
    return token


def _object(body: bytes, reply: Reply, what: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    if looks_like_html(body):
        raise login_page(reply)
    raise reply.error("listing-cut", f"{reply.host} did not send {what}")
