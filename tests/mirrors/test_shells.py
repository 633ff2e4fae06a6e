"""Variables in each shell's own words: what a real shell reads is what was meant."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.mirrors.shells import render, shell_of

values = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=30)


@settings(max_examples=25, deadline=None)
@given(values)
def test_posix_shells_read_back_any_value(value: str) -> None:
    for shell in ("sh", "bash"):
        script = render(shell, {"PROVISION_TEST": value}) + 'printf %s "$PROVISION_TEST"\n'
        done = subprocess.run([shell, "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
        assert done.stdout == value.encode()


@pytest.mark.parametrize(("shell", "program"), [("fish", "fish"), ("powershell", "pwsh"), ("zsh", "zsh")])
def test_other_shells_read_back_where_they_are(shell: str, program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not on this machine")
    value = 'it\'s $HOME `x` \\ "q" ‘y’'
    ending = {"powershell": "[Console]::Write($env:PROVISION_TEST)"}.get(shell, 'printf %s "$PROVISION_TEST"')
    done = subprocess.run(
        [program, "-c", render(shell, {"PROVISION_TEST": value}) + ending], capture_output=True, check=True
    )
    assert done.stdout.decode() == value


def test_fish_and_powershell_by_their_own_rules_of_quoting() -> None:
    assert render("fish", {"A": "it's \\ $x"}) == "set -gx A 'it\\'s \\\\ $x'\n"
    assert render("powershell", {"A": "it's ‘$x’"}) == "$env:A = 'it''s ‘‘$x’’'\n"


@pytest.mark.parametrize("name", ["A B", "1A", "A;rm", ""])
def test_what_is_no_name_of_a_variable_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        render("sh", {name: "x"})


def test_the_shell_is_the_users_own() -> None:
    found = [shell_of({"SHELL": path}) for path in ("/usr/bin/fish", "/bin/zsh", "/usr/bin/pwsh", "/bin/tcsh")]
    assert [*found, shell_of({})] == ["fish", "zsh", "powershell", "sh", "sh"]
