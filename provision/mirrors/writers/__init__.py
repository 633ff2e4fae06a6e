"""One module per tool: where its settings are, how an address gets into them, and how the tool itself is asked."""

from __future__ import annotations

from provision.errors import UnknownName, UsageError
from provision.mirrors.interface import Scope, Writer


def writers() -> dict[str, Writer]:
    """Return every tool's writer, by its name."""
    from provision.mirrors.writers import (
        apt,
        buildkit,
        conda,
        containerd,
        docker,
        huggingface,
        modelscope,
        npm,
        pip,
        podman,
        uv,
    )

    found: tuple[Writer, ...] = (
        pip, uv, conda, apt, docker, buildkit, podman, containerd, huggingface, modelscope, npm
    )  # fmt: skip
    return {writer.TOOL: writer for writer in found}


def writer_for(tool: str, scope: Scope) -> Writer:
    """Return the tool's writer. Raises UnknownName, or UsageError where the tool has no settings of that scope."""
    known = writers()
    if tool == "torch":
        hint = "in provision.yaml: `mirrors: {torch: https://…}`; or pip install --index-url"
        raise UsageError("torch's index is a choice of each install, not a setting of a tool", hint=hint)
    if tool not in known:
        raise UnknownName("tool", tool, known)
    if scope not in known[tool].SCOPES:
        other = known[tool].SCOPES[0]
        raise UsageError(f"{tool} has no settings of the {scope}'s own", hint=f"--scope {other}")
    return known[tool]
