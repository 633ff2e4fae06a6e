"""Which token goes to which hub: a tool's own variable to the tool's own hub, a line of `~/.netrc` to the host it names."""

from __future__ import annotations

import contextlib
import netrc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Account:
    """A public hub's `hosts`, and the `variable` in which its own client takes a token for them."""

    hosts: tuple[str, ...]
    variable: str

    def is_at(self, address: str) -> bool:
        """Whether `address` is the hub itself and no mirror, over TLS."""
        parts = urlsplit(address)
        return parts.scheme == "https" and parts.hostname in self.hosts

    def how(self, address: str) -> str:
        """Return what a person does to pass a token to `address`."""
        if self.is_at(address):
            return f"export {self.variable}=…"
        return f"a line in ~/.netrc: machine {urlsplit(address).hostname} login token password …"


HUGGINGFACE = Account(("huggingface.co",), "HF_TOKEN")
MODELSCOPE = Account(("www.modelscope.cn", "modelscope.cn", "www.modelscope.ai", "modelscope.ai"), "MODELSCOPE_API_TOKEN")


def token_for(account: Account, address: str, environ: Mapping[str, str]) -> str | None:
    """Return the token that `environ`'s owner has for the hub at `address`, or None."""
    if not account.is_at(address):
        return _of_netrc(urlsplit(address).hostname or "", environ)
    return environ.get(account.variable, "").strip() or (_logged_in(environ) if account is HUGGINGFACE else None)


def _logged_in(environ: Mapping[str, str]) -> str | None:
    """Return what `hf auth login` wrote, where huggingface_hub keeps it."""
    home = environ.get("HF_HOME") or str(_home(environ) / ".cache/huggingface")
    path = Path(environ.get("HF_TOKEN_PATH") or Path(home) / "token")
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _of_netrc(host: str, environ: Mapping[str, str]) -> str | None:
    """Return the password that the netrc file (`NETRC`, else `~/.netrc`) has for this very host, never its default."""
    with contextlib.suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
        hosts = netrc.netrc(environ.get("NETRC") or _home(environ) / ".netrc").hosts
        return hosts[host][2] or None if host in hosts else None
    return None


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME", "~")).expanduser()
