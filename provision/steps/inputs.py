"""What a build reaches the network with: mirrors, proxies and private authorities, credentials kept apart from the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from urllib.parse import unquote, urlsplit

from provision.mirrors.veil import without_user


@dataclass(frozen=True)
class Inputs:
    """Addresses may carry `user:password@`: it goes into `secrets()`, and nowhere else.

    `torch_index` is a page that links to torch's wheels; `proxy` is scheme → address; `certificates` name → PEM file.
    """

    pip_index: str = ""
    torch_index: str = ""
    apt_mirror: str = ""
    proxy: Mapping[str, str] = field(default_factory=dict, repr=False)
    no_proxy: str = ""
    certificates: Mapping[str, Path] = field(default_factory=dict)

    def arguments(self) -> dict[str, str]:
        """Return the Dockerfile's ARGs of it, without credentials."""
        return {
            "PIP_INDEX": without_user(self.pip_index),
            "TORCH_INDEX": without_user(self.torch_index),
            "APT_MIRROR": without_user(self.apt_mirror),
        }

    def proxies(self) -> dict[str, str]:
        """Return the build's predefined proxy ARGs, which no history keeps; one with a password is left to `secrets`."""
        plain = {f"{scheme}_proxy": url for scheme, url in self.proxy.items() if without_user(url) == url}
        return {**plain, **({"no_proxy": self.no_proxy} if plain and self.no_proxy else {})}

    def secrets(self) -> dict[str, bytes]:
        """Return the files that instructions mount: `netrc` for mirrors, `proxy` to be sourced by a shell."""
        found = {}
        lines = [_netrc(url) for url in (self.pip_index, self.torch_index, self.apt_mirror) if without_user(url) != url]
        if lines:
            found["netrc"] = "".join(dict.fromkeys(lines)).encode()
        hidden = {scheme: url for scheme, url in self.proxy.items() if without_user(url) != url}
        if hidden:
            exports = [f"export {scheme}_proxy={quote(url)}\n" for scheme, url in hidden.items()]
            found["proxy"] = "".join([*exports, f"export no_proxy={quote(self.no_proxy)}\n"]).encode()
        return found


def _netrc(url: str) -> str:
    parts = urlsplit(url)
    return f"machine {parts.hostname} login {unquote(parts.username or '')} password {unquote(parts.password or '')}\n"
