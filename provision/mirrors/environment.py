"""Tools that are set by variables alone, and the one owner of which variables those are.

A user's go into `provision/env.d/TOOL.sh` in the settings folder, read by a marked block in the shells' own files; fish
and PowerShell read files of their own. The system's go into /etc/profile.d, which login shells read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from provision.errors import StepFailed
from provision.files import Edit
from provision.machines.interface import Machine
from provision.mirrors.asking import ask
from provision.mirrors.interface import MARK, Place, Plan, encode, has_credentials, read_text
from provision.mirrors.shells import render

HOOK = "environment"  # whose the block in a shell's own file is: every tool's here
STORE = "store"  # what `provision export env --install` sets: the store's doors, and all else that a shell is handed
TOOLS = ("huggingface", "modelscope")
NAMES = (*TOOLS, STORE)
MIRRORED = ("pip", "uv", *TOOLS)  # the tools that variables can point somewhere
AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
BEGIN, END = "# >>> provision mirrors >>>", "# <<< provision mirrors <<<"


def variables(tool: str, url: str) -> dict[str, str]:
    """Return the variables that point `tool` at `url`; empty for a tool that is not set by variables."""
    url = url.rstrip("/")
    known = {
        "huggingface": {"HF_ENDPOINT": url},
        "modelscope": {"MODELSCOPE_ENDPOINT": url, "MODELSCOPE_DOMAIN": url.partition("://")[2]},
        "pip": {"PIP_INDEX_URL": url},
        "uv": {"UV_DEFAULT_INDEX": url},
    }
    return known.get(tool, {})


def plan(place: Place, tool: str, url: str) -> Plan:
    """Return the files that set the variables of `tool` for every shell that is here."""
    return plan_variables(place, tool, variables(tool, url))


def plan_variables(place: Place, tool: str, found: Mapping[str, str]) -> Plan:
    """Return the files that set these variables, under the name `tool`, for every shell that is here."""
    edits = [_script(place, tool, path, shell, found) for path, shell in _scripts(place, tool)]
    edits += [_hook(place, path) for path in _profiles(place)] if place.scope == "user" else []
    if place.scope == "user" and (powershell := place.config / "powershell").is_dir():
        edits.append(_powershell_hook(place, powershell / "profile.ps1"))
    notes = ["shells that are open do not see it: open a new one, or `. " + str(_scripts(place, tool)[0][0]) + "`"]
    for name, value in found.items():
        if place.environ.get(name, value).rstrip("/") != value:
            notes.append(f"{name} is set in this shell to something else, and tools started from it go by that")
    return Plan(tuple(edits), tuple(notes))


def ask_python(machine: Machine, place: Place, tool: str, question: str, without: Sequence[str]) -> str | None:
    """Return what our own Python prints to `question` in a shell that has read the file of `tool`; None without a shell."""
    file = str(_scripts(place, tool)[0][0])
    argv = ["sh", "-c", '. "$1" && exec "$2" -c "$3"', "sh", file, sys.executable, question]
    said = ask(machine, argv, without=without)
    return None if said is None else said.strip()


def _scripts(place: Place, tool: str) -> list[tuple[Path, str]]:
    if place.scope == "system":
        fish = place.root / "etc/fish/conf.d"
        found = [(place.root / f"etc/profile.d/provision-{tool}.sh", "sh")]
    else:
        fish = place.config / "fish" / "conf.d"
        found = [(place.config / f"provision/env.d/{tool}.sh", "sh")]
        if (place.config / "powershell").is_dir():
            found.append((place.config / f"provision/env.d/{tool}.ps1", "powershell"))
    wants_fish = fish.parent.is_dir() or (place.scope == "user" and place.environ.get("SHELL", "").endswith("/fish"))
    return [*found, *([(fish / f"provision-{tool}.fish", "fish")] if wants_fish else [])]


def _script(place: Place, tool: str, path: Path, shell: str, found: Mapping[str, str]) -> Edit:
    text = f"# {MARK}\n{render(shell, found)}"
    return place.edit(tool, path, read_text(path), text, [value for value in found.values() if has_credentials(value)])


def _profiles(place: Place) -> list[Path]:
    """The files that sh, bash and zsh read, those that are there; `.profile` is made where a login would read nothing."""
    zsh = Path(place.environ.get("ZDOTDIR") or place.home) / ".zshenv"
    logins = [place.home / name for name in (".bash_profile", ".bash_login", ".profile")]
    there = [path for path in (*logins, place.home / ".bashrc", zsh) if path.exists()]
    made = [] if any(path in there for path in logins) else [place.home / ".profile"]
    wants_zsh = place.environ.get("SHELL", "").endswith("/zsh") and zsh not in there
    return [*there, *made, *([zsh] if wants_zsh else [])]


def _hook(place: Place, path: Path) -> Edit:
    folder = _from_home(place, place.config / "provision" / "env.d")
    body = (
        f"for provision_tool in {' '.join(NAMES)}; do\n"
        f'  if [ -r "{folder}/$provision_tool.sh" ]; then . "{folder}/$provision_tool.sh"; fi\n'
        "done\n"
        "unset provision_tool\n"
    )
    return _block(place, path, body)


def _powershell_hook(place: Place, path: Path) -> Edit:
    folder = str(place.config / "provision" / "env.d").replace("'", "''")
    found = f"Get-ChildItem -Path '{folder}' -Filter *.ps1 -ErrorAction SilentlyContinue"
    body = f"{found} | ForEach-Object {{ . $_.FullName }}\n"
    return _block(place, path, body)


def _block(place: Place, path: Path, body: str) -> Edit:
    text = read_text(path)
    before = text or ""
    if BEGIN in before:
        start, _, rest = before.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not end:
            raise StepFailed(f"{path} has the beginning of our block and not its end", hint=f"remove the line {BEGIN}")
        changed = f"{start}{BEGIN}\n{body}{END}{after}"
    else:
        gap = "" if not before or before.endswith("\n") else "\n"
        changed = f"{before}{gap}{BEGIN}\n{body}{END}\n"
    return Edit(path, None if text is None else encode(text), encode(changed), HOOK, place.scope)


def _from_home(place: Place, path: Path) -> str:
    """The folder as a double-quoted word of sh, by $HOME where it is below it."""
    try:
        return "$HOME/" + _escaped(str(path.relative_to(place.home)))
    except ValueError:
        return _escaped(str(path))


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in '\\"$`' else letter for letter in text)
