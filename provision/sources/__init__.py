"""Hubs: where models come from. One registry of kinds; `parse_source` reads what `--source KIND=URL` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from provision.errors import UnknownName, UsageError
from provision.sources.interface import Source
from provision.sources.tokens import HUGGINGFACE, MODELSCOPE, token_for

__all__ = ["KINDS", "parse_source"]


def _huggingface(address: str, environ: Mapping[str, str]) -> Source:
    from provision.sources.huggingface import HuggingFaceSource
    from provision.wire import Transport

    return HuggingFaceSource(address, token_for(HUGGINGFACE, address, environ), Transport.from_environ(environ))


def _modelscope(address: str, environ: Mapping[str, str]) -> Source:
    from provision.sources.modelscope import ModelScopeSource
    from provision.wire import Transport

    return ModelScopeSource(address, token_for(MODELSCOPE, address, environ), Transport.from_environ(environ))


def _directory(address: str, environ: Mapping[str, str]) -> Source:
    from provision.sources.directory import DirectorySource

    return DirectorySource(address)


KINDS: Mapping[str, Callable[[str, Mapping[str, str]], Source]] = {
    "hf": _huggingface,
    "modelscope": _modelscope,
    "dir": _directory,
}


def parse_source(text: str, environ: Mapping[str, str]) -> Source:
    """Return the source that `KIND=ADDRESS` names: `hf=https://hf-mirror.com`, `dir=/mnt/models`.

    A token of the environment goes to the hub it was made for and to no mirror, one of `~/.netrc` to the host it is for;
    proxies and certificate authorities are taken from `environ` too. Raises UsageError or UnknownName.
    """
    kind, mark, address = text.partition("=")
    if not mark or not address:
        raise UsageError(f"--source {text!r} is not KIND=ADDRESS", hint="for example: --source hf=https://hf-mirror.com")
    if kind not in KINDS:
        raise UnknownName("source kind", kind, KINDS)
    if kind != "dir" and not _is_plain(address):
        raise UsageError(
            f"the address of --source {kind}=… is not an http(s) one without a user name",
            hint=f"for example: --source {kind}=https://hub.example",
        )
    return KINDS[kind](address, environ)


def _is_plain(address: str) -> bool:
    """Whether it is an address of HTTP without a user."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:  # a port or an address in brackets that is none
        return False
