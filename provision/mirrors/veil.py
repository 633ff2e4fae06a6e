"""Credentials kept from eyes: whatever of a settings file or a tool's own words is shown goes through here."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from provision.facts.plain import mask

_NAMES = r"""[\w.-]*(?:password|passwd|secret|token|api[_-]?key|credential)s?["']?|["']?auth["']?"""
_SECRET = re.compile(rf"""((?:{_NAMES})\s*[:=]\s*)(["']?)[^"'\s,}}]+""", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/\s\"']*@")


def veil(text: str) -> str:
    """Return `text` with every credential in it replaced by `***`: in addresses, and behind names that speak of secrets."""
    return _SECRET.sub(r"\1\2***", _USER.sub("***@", mask(text)))


def without_user(url: str) -> str:
    """Return an address without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url
