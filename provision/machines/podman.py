"""What Podman's engine has of its own, though it speaks Docker's API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

SECRETS = 4  # the first release that takes a build's secrets over its API: containers/podman, pull request 12414
TAR = {"Content-Type": "application/x-tar"}


def is_podman(info: Mapping[str, Any], version: Mapping[str, Any]) -> bool:
    """Whether these answers of an engine (`info`, `version`) are Podman's."""
    names = [str(part.get("Name", "")) for part in version.get("Components") or ()]
    return any("podman" in name.lower() for name in names) or "BuildahVersion" in info


def post(api: Any, path: str, asked: Mapping[str, str | Sequence[str]], archive: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Send a tar to `path` of the API, and yield the answer's lines. Raises docker's APIError where it is refused."""
    from docker.errors import create_api_error_from_http_exception
    from requests.exceptions import HTTPError

    address = f"{api.base_url}/{path}"
    answer = api.post(address, params=asked, data=archive, headers=TAR, stream=True, timeout=api.timeout)
    try:
        answer.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)
    return (json.loads(line) for line in answer.iter_lines() if line)


def bring_in(api: Any, archive: Path, tag: str, labels: Mapping[str, str]) -> None:
    """Make an image of a root file system's tar. By Docker's way, Podman keeps a copy of the tar in its /var/tmp for ever.

    The name is told whole, as Docker's way would complete it. Raises docker's APIError.
    """
    changes = [f"LABEL {key}={value}" for key, value in labels.items()]
    with archive.open("rb") as file:
        path = f"v{SECRETS}.0.0/libpod/images/import"
        list(post(api, path, {"reference": f"docker.io/library/{tag}", "changes": changes}, file))
