"""The Hugging Face protocol, as huggingface_hub 2.4 asks for it. No transfer protocol of its own is advertised.

`X-Error-Code` tells a missing repository from a missing revision or file; `X-Repo-Commit` names the commit of each answer.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NoReturn
from urllib.parse import urlencode

from aiohttp import web

from provision.hub.catalogue import Catalogue, HubFile, HubModel, pick
from provision.hub.sending import send

PAGE = 1000  # entries of one page of a tree
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"  # what git holds of an LFS object
REPO = "{repo:[^/]+(?:/[^/]+)?}"


def routes(catalogue: Catalogue) -> list[web.RouteDef]:
    """Return the protocol's routes."""
    api = _Api(catalogue)
    return [
        web.get("/api/models", api.search),
        web.get(f"/api/models/{REPO}/revision/{{revision}}", api.info),
        web.get(f"/api/models/{REPO}/tree/{{revision}}", api.tree),
        web.get(f"/api/models/{REPO}/tree/{{revision}}/{{path:.+}}", api.tree),
        web.post(f"/api/models/{REPO}/paths-info/{{revision}}", api.paths_info),
        web.get(f"/api/models/{REPO}/refs", api.refs),
        web.get(f"/api/models/{REPO}", api.info),
        web.get(f"/{REPO}/resolve/{{revision}}/{{path:.+}}", api.resolve),
    ]


class _Api:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def search(self, request: web.Request) -> web.Response:
        """`/api/models?search=&limit=`: the models whose name holds the word."""
        word, limit = request.query.get("search", "").lower(), _number(request, "limit", PAGE)
        names = [repo for repo in self._catalogue.repos() if word in repo.lower()]
        return web.json_response([{"id": repo, "modelId": repo, "private": False} for repo in names[:limit]])

    async def info(self, request: web.Request) -> web.Response:
        model = await self._model(request)
        return web.json_response(_info(model, request.query.get("blobs", "").lower() in ("true", "1")))

    async def tree(self, request: web.Request) -> web.Response:
        """`/tree/{revision}[/{folder}]`: pages of entries, the next one named by `Link`."""
        model, folder = await self._model(request), request.match_info.get("path", "").strip("/")
        recursive = request.query.get("recursive", "").lower() in ("true", "1")
        found = listing(model, folder, recursive=recursive)
        if folder and not found:
            _refuse("EntryNotFound", f"{folder} is no folder of {model.repo}", model.commit)
        entries = [_entry(path, model) for path in found]
        at, size = _number(request, "cursor", 0), max(1, min(PAGE, _number(request, "limit", PAGE)))
        headers = {"X-Repo-Commit": model.commit}
        if at + size < len(entries):
            query = urlencode({**request.query, "cursor": at + size})
            headers["Link"] = f'<{request.url.origin()}{request.rel_url.raw_path}?{query}>; rel="next"'
        return web.json_response(entries[at : at + size], headers=headers)

    async def paths_info(self, request: web.Request) -> web.Response:
        """`/paths-info/{revision}`: the entries of the named paths that exist; a form or JSON names them."""
        model, paths = await self._model(request), await _paths(request)
        known = {*model.files, *_folders(model.files)}
        return web.json_response([_entry(path, model) for path in paths if path in known])

    async def refs(self, request: web.Request) -> web.Response:
        versions = await asyncio.to_thread(self._versions, request.match_info["repo"])
        named = {"main": versions[0].commit} | {
            name: model.commit for model in reversed(versions) for name in model.revisions if name != model.commit
        }
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit} for name, commit in named.items()]
        return web.json_response({"branches": branches, "tags": [], "converts": [], "pullRequests": []})

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        """`/{repo}/resolve/{revision}/{path}`: the file itself, with no redirect."""
        model, path = await self._model(request), request.match_info["path"]
        file = model.files.get(path)
        if file is None:
            _refuse("EntryNotFound", f"{model.repo} has no file {path}", model.commit)
        headers = {"X-Repo-Commit": model.commit}
        if file.blob_id is None:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        return await send(request, file, file.etag, headers)

    async def _model(self, request: web.Request) -> HubModel:
        versions = await asyncio.to_thread(self._versions, request.match_info["repo"])
        revision = request.match_info.get("revision", "main")
        model = pick(versions, revision)
        if model is None:
            _refuse("RevisionNotFound", f"{versions[0].repo} has no revision {revision}")
        return model

    def _versions(self, repo: str) -> list[HubModel]:
        versions = list(self._catalogue.versions(repo))
        if not versions:
            _refuse("RepoNotFound", f"this hub has no model {repo}")
        return versions


def listing(model: HubModel, folder: str, *, recursive: bool) -> list[str]:
    """Return the paths of files and folders below `folder` ("" is the top), sorted; only its own unless `recursive`."""
    start = f"{folder}/" if folder else ""
    paths = [path for path in {*model.files, *_folders(model.files)} if path.startswith(start)]
    return sorted(path for path in paths if recursive or "/" not in path[len(start) :])


def _folders(files: Mapping[str, HubFile]) -> set[str]:
    return {str(folder) for path in files for folder in PurePosixPath(path).parents if str(folder) != "."}


def _entry(path: str, model: HubModel) -> dict[str, Any]:
    file = model.files.get(path)
    if file is None:
        return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
    entry: dict[str, Any] = {"type": "file", "oid": _oid(file), "size": file.size, "path": path}
    if file.blob_id is None:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(_pointer(file))}
    return entry


def _info(model: HubModel, blobs: bool) -> dict[str, Any]:
    at = datetime.datetime.fromtimestamp(model.created, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {
        **{"_id": model.commit[:24], "id": model.repo, "modelId": model.repo, "author": model.repo.partition("/")[0]},
        **{"sha": model.commit, "lastModified": at, "createdAt": at, "private": False, "gated": False, "disabled": False},
        **{"tags": [], "downloads": 0, "likes": 0, "usedStorage": sum(file.size for file in model.files.values())},
        "siblings": [_sibling(model.files[path], blobs) for path in sorted(model.files)],
    }


def _sibling(file: HubFile, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        sibling |= {"size": file.size, "blobId": _oid(file)}
        if file.blob_id is None:
            sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(_pointer(file))}
    return sibling


def _oid(file: HubFile) -> str:
    """Return git's id of what the repository holds: the file, or the pointer to it."""
    if file.blob_id:
        return file.blob_id
    pointer = _pointer(file).encode()
    return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()


def _pointer(file: HubFile) -> str:
    return POINTER.format(file.sha256, file.size)


async def _paths(request: web.Request) -> list[str]:
    """Return the paths that a request's body names. Raises HTTPBadRequest where it names none rightly."""
    try:
        if request.content_type != "application/json":
            return [str(path) for path in (await request.post()).getall("paths", [])]
        paths = (await request.json())["paths"]
    except (ValueError, KeyError, TypeError, AssertionError):  # a form without its boundary is an assertion of aiohttp's
        paths = None
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise web.HTTPBadRequest(text='the body is to be {"paths": [...]}')
    return paths


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def _refuse(code: str, message: str, commit: str = "") -> NoReturn:
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in message)  # it repeats the client's own words
    headers = {"X-Error-Code": code, "X-Error-Message": printable}
    headers |= {"X-Repo-Commit": commit} if commit else {}
    raise web.HTTPNotFound(text=json.dumps({"error": message}), content_type="application/json", headers=headers)
