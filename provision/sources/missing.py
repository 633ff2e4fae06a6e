"""What to say when a hub does not give a repository: gated, unknown, or known under another name."""

from __future__ import annotations

from collections.abc import Sequence

from provision.errors import nearest
from provision.http import Reply, origin
from provision.sources.interface import SourceError


def gated(reply: Reply, page: str, how: str, token_given: bool) -> SourceError:
    """Return the error for 401/403: which page to visit, and `how` to pass a token."""
    if token_given:
        hint = f"accept the terms at {page} with the account that the token belongs to, and see that it may read"
    else:
        hint = f"accept the terms at {page}, then pass a token of that account: {how}"
    return reply.error("repo-gated", f"{reply.host} gives this repository only to those who accepted its terms", hint=hint)


def not_allowed(reply: Reply, page: str, how: str) -> SourceError:
    """Return the error for 401/403 without a word on why: the repository may be private, gated, or not there."""
    return reply.error(
        "not-allowed",
        f"{reply.host} refuses: the repository is private, gated or not there, or the token is not valid",
        hint=f"look at {page} in a browser; pass a token with: {how}",
    )


def missing(reply: Reply, kind: str, name: str, known: Sequence[str]) -> SourceError:
    """Return the error for a repository, revision or file (`kind`) that is not there, with the nearest `known` name."""
    near = nearest(name, known)
    if near:
        hint = f"did you mean {near!r}?"
    else:
        hint = f"there are: {', '.join(known[:10])}" if known else ""
    return reply.error(f"{kind}-not-found", f"{reply.host} has no {kind} {name!r}", hint=hint)


def strayed(reply: Reply, endpoint: str) -> bool:
    """Whether a refusal comes from another host than the hub: the one its redirect led to."""
    return reply.status in (400, 401, 403, 404, 410) and origin(reply.url) != origin(endpoint)


def link_refused(reply: Reply) -> SourceError:
    """Return the error for a redirect's target that refuses: a signature ran out, or the host is closed to this place."""
    return reply.error(
        "link-refused",
        f"{reply.host}, where the hub's redirect leads, answers {reply.status}",
        retriable=True,
        hint="its signature ran out under way, or this host serves no one here: run again, or use another source",
    )
