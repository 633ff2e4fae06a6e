"""How the machine is set to reach the network. Nothing is sent: mirrors are measured elsewhere, and only when asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from provision.machines.interface import Machine

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class NetworkFacts:
    """Proxies by scheme (credentials masked when serialised), the hosts that go round them, and the name servers.

    `nameservers` is None where /etc/resolv.conf cannot be read.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    no_proxy: tuple[str, ...] = ()
    nameservers: tuple[str, ...] | None = None


def probe(machine: Machine, environment: Mapping[str, str]) -> NetworkFacts:
    """Return what `environment` and /etc/resolv.conf say."""
    resolv = machine.read("/etc/resolv.conf")
    return NetworkFacts(
        proxies=parse_proxies(environment),
        no_proxy=tuple(part.strip() for part in _either(environment, "no_proxy").split(",") if part.strip()),
        nameservers=None if resolv is None else parse_nameservers(resolv.decode("utf-8", "replace")),
    )


def parse_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return scheme → proxy. The lower-case variable wins, as curl and Python's urllib have it."""
    found = {scheme: _either(environment, f"{scheme}_proxy") for scheme in ("http", "https", "all")}
    return {scheme: proxy for scheme, proxy in found.items() if proxy}


def parse_nameservers(resolv: str) -> tuple[str, ...]:
    """Return the name servers in their order (resolv.conf(5))."""
    return tuple(re.findall(r"^\s*nameserver\s+(\S+)", resolv, re.MULTILINE))


def _either(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper(), "")


def is_loopback(url: str) -> bool:
    """Whether the address, or `host:port`, is of this machine alone: what is there is not there for a container."""
    return urlsplit(url if "://" in url else f"http://{url}").hostname in LOOPBACK
