"""What users' checks ask for, each a fact of its own: commands, files, ports, pages, modules, packages, accounts.

Runs through `loader`; standard library only. A thing that cannot be looked at says why under `unseen`, and is not absent.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

from checks.probes.loader import KEPT, Stage, hear


def main(params: dict[str, Any]) -> None:
    for asked in params["asked"]:
        with Stage(asked["id"], asked["options"]["timeout"] + 30.0) as fact:
            LOOKS[asked["kind"]](asked["subject"], asked["options"], fact)


def command(argv: list[str], options: dict[str, Any], fact: dict[str, Any]) -> None:
    """As a shell has it: 127 where there is no such program, 126 where it may not be run."""
    try:
        told = hear(argv, options["timeout"], dict(os.environ, **options.get("env", {})))
    except OSError as error:
        fact.update(exit_code=127 if isinstance(error, FileNotFoundError) else 126, stdout="", stderr=str(error))
        return
    if told["late"]:
        fact["late"] = options["timeout"]
    fact.update(exit_code=told["code"], stdout=told["out"], stderr=told["err"])


def text(data: bytes) -> str:
    return data[:KEPT].decode("utf-8", "replace")


def file(path: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    path = os.path.expanduser(path)
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        fact["exists"] = False
        return
    except OSError as error:
        fact["unseen"] = str(error)
        return
    if stat.S_ISLNK(found.st_mode):
        fact["linked_to"] = os.readlink(path)
    fact.update(exists=True, kind=kind(found.st_mode), mode="%04o" % stat.S_IMODE(found.st_mode), size=found.st_size)
    fact.update(uid=found.st_uid, gid=found.st_gid, owner=owner(found.st_uid), group=group_name(found.st_gid))
    fact.update(permissions=stat.filemode(found.st_mode), executable=os.access(path, os.X_OK))
    if options.get("read") and os.path.isfile(path):
        read(path, options["read"], fact)


def read(path: str, wanted: list[str], fact: dict[str, Any]) -> None:
    import hashlib

    try:
        with open(path, "rb") as opened:
            data = opened.read(KEPT)
            fact["contents"] = text(data)
            sums = {name: hashlib.new(name, data) for name in wanted if name != "contents"}
            while sums and data:
                data = opened.read(KEPT)
                for digest in sums.values():
                    digest.update(data)
    except OSError as error:
        fact["unseen"] = str(error)
        return
    fact.update((name, digest.hexdigest()) for name, digest in sums.items())


def kind(mode: int) -> str:
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "symlink"), (stat.S_ISSOCK, "socket"))
    return next((name for test, name in kinds if test(mode)), "other")


def owner(uid: int) -> str | None:
    return next((line[0] for line in table("/etc/passwd") if line[2:3] == [str(uid)]), None)


def group_name(gid: int) -> str | None:
    return next((line[0] for line in table("/etc/group") if line[2:3] == [str(gid)]), None)


def table(path: str) -> list[list[str]]:
    """passwd(5) and group(5): local accounts alone, as goss has it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as opened:
            return [line.rstrip("\n").split(":") for line in opened]
    except OSError:
        return []


def port(subject: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    """From /proc/net (proc(5)): state 0A listens; UDP has no such state, being bound is enough."""
    protocol, _, number = subject.rpartition(":")
    addresses: list[str] = []
    for name in (protocol,) if protocol.endswith("6") else (protocol, protocol + "6"):
        try:
            with open("/proc/net/" + name) as opened:
                lines = [line.split() for line in opened.readlines()[1:]]
        except OSError as error:
            if name == protocol:
                fact["unseen"] = str(error)
            continue
        for line in lines:
            local, _, hexadecimal = line[1].rpartition(":")
            if int(hexadecimal, 16) == int(number) and line[3] == ("07" if protocol.startswith("udp") else "0A"):
                addresses.append(address_of(local))
    if addresses or "unseen" not in fact:
        fact.update(listening=bool(addresses), addresses=sorted(set(addresses)))


def address_of(hexadecimal: str) -> str:
    """Four bytes a word, each in the machine's own order."""
    import socket

    words = [hexadecimal[at : at + 8] for at in range(0, len(hexadecimal), 8)]
    data = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def http(url: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    import ssl
    import urllib.error
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    context = ssl._create_unverified_context() if options.get("insecure") else ssl.create_default_context()
    handlers = [urllib.request.HTTPSHandler(context=context)] + ([] if options.get("follow", True) else [Stay()])
    body = options["request_body"].encode() if options.get("request_body") else None
    request = urllib.request.Request(url, body, options.get("request_headers", {}), method=options.get("method"))
    try:
        reply = urllib.request.build_opener(*handlers).open(request, timeout=options["timeout"])
    except urllib.error.HTTPError as error:
        reply = error
    except (urllib.error.URLError, OSError) as error:
        fact.update(status=0, body="", headers=[], error=str(getattr(error, "reason", error)))
        return
    with reply:
        headers = ["%s: %s" % pair for pair in reply.headers.items()]
        fact.update(status=reply.getcode(), body=text(reply.read(KEPT)), headers=headers)


def address(subject: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    import socket

    host, _, number = subject.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(number)), options["timeout"]).close()
        fact["reachable"] = True
    except OSError as error:
        fact.update(reachable=False, error=str(error))


def module(name: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    """In a python of its own, so that a crash or a flood of words there is that module's alone."""
    source = (
        "import importlib, sys; found = importlib.import_module(sys.argv[1]);"
        "print(); print(getattr(found, '__version__', None) or ''); print(getattr(found, '__file__', None) or '')"
    )
    told: dict[str, Any] = {}
    command([sys.executable, "-c", source, name], options, told)
    fact.update((key, told[key]) for key in ("late",) if key in told)
    fact.update(works=told["exit_code"] == 0, error=told["stderr"][-2000:] if told["exit_code"] else "")
    if fact["works"]:
        version, path = told["stdout"].splitlines()[-2:]
        fact.update(version=version or None, path=path or None)


def package(name: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    """A Python distribution of this python."""
    import importlib.metadata as metadata

    try:
        fact.update(version=metadata.version(name), installed=True)
    except metadata.PackageNotFoundError:
        fact["installed"] = False


def system_package(name: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    """By the first package manager that is there: dpkg, rpm, apk."""
    asks = (
        ["dpkg-query", "-W", "-f=${db:Status-Abbrev}\t${Version}\n", name],
        ["rpm", "-q", "--qf", "ii \t%{VERSION}-%{RELEASE}\n", name],
        ["apk", "info", "-v", name],
    )
    import shutil

    ask = next((argv for argv in asks if shutil.which(argv[0])), None)
    if ask is None:
        fact["unseen"] = "there is neither dpkg nor rpm nor apk here"
        return
    told: dict[str, Any] = {}
    command(ask, {"timeout": 30}, told)
    lines = [line.split("\t") for line in told["stdout"].splitlines() if line.startswith("ii ")]
    if ask[0] == "apk":
        lines = [["", line[len(name) + 1 :]] for line in told["stdout"].splitlines() if line.startswith(name + "-")]
    versions = [line[1] for line in lines if len(line) > 1] if told["exit_code"] == 0 else []
    fact.update(installed=bool(versions), versions=versions)
    if versions:
        fact["version"] = versions[0]


def user(name: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    line = next((line for line in table("/etc/passwd") if line[0] == name and len(line) > 6), None)
    fact["exists"] = line is not None
    if line:
        main_group = group_name(int(line[3]))
        others = [row[0] for row in table("/etc/group") if len(row) > 3 and name in row[3].split(",")]
        fact.update(uid=int(line[2]), gid=int(line[3]), home=line[5], shell=line[6])
        fact["groups"] = sorted(set(others + ([main_group] if main_group else [])))


def group(name: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    line = next((line for line in table("/etc/group") if line[0] == name), None)
    fact["exists"] = line is not None
    if line:
        fact["gid"] = int(line[2])


def process(name: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    """By the kernel's name for it, which is cut at 15 letters (proc(5), comm)."""
    count = 0
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % number) as opened:
                count += opened.read().rstrip("\n") == name[:15]
        except OSError:
            continue  # it ended meanwhile
    fact.update(running=count > 0, count=count)


def variable(name: str, options: dict[str, Any], fact: dict[str, Any]) -> None:
    fact.update(exists=name in os.environ, value=os.environ.get(name))


LOOKS = {
    look.__name__: look
    for look in (command, file, port, http, address, module, package, system_package, user, group, process, variable)
}
