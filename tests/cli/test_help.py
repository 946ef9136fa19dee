"""The page of help, the help of every command, and the time that it takes."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

import hipct
from hipct.cli.main import SECTIONS, cli, main

COMMANDS = {name: text for commands in SECTIONS.values() for name, text in commands.items()}

PAGE = """\
Usage: hipct [OPTIONS] COMMAND [ARGS]...

  HiP-CT from raw projections to a browsable organ volume.

  Two lines that make a volume from a scan, and show it:
    hipct reconstruct scan.h5 -o organ.ome.zarr --set scan.energy_kev=88
    hipct view organ.ome.zarr
"""


def help_of(*words: str) -> str:
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="hipct", terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_page_begins_with_two_examples_and_lists_the_commands_in_the_order_of_the_work() -> (
    None
):
    page = help_of()
    assert page.startswith(PAGE)
    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", page, flags=re.MULTILINE)
    assert listed == [
        "demo",
        "simulate",
        "import",
        "inspect",
        "axis",
        "plan",
        "reconstruct",
        "pyramid",
        "check",
        "report",
        "view",
        "snapshot",
        "serve",
        "export",
        "submit",
        "status",
        "retry",
        "cancel",
        "atlas",
        "register",
        "config",
    ]
    for line in (
        "A first look:",
        "The scan:",
        "The volume:",
        "The cluster:",
        "The atlas:",
        "The settings:",
    ):
        assert f"\n{line}\n" in page


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_says_of_a_command_what_its_own_help_says_first(name: str) -> None:
    text = help_of(name)
    assert text.startswith(f"Usage: hipct {name} ")
    first = text.split("\n\n")[1].strip()
    assert first == f"{COMMANDS[name]}."


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_is_explained(name: str) -> None:
    command = cli.get_command(None, name)
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name
        else:
            assert (parameter.metavar or parameter.name.upper()) in help_of(name)
    assert max(map(len, help_of(name).splitlines())) <= 100


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.output == f"hipct, version {hipct.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, runpy\n"
        "sys.argv = ['hipct', '--help']\n"
        "try:\n"
        "    runpy.run_module('hipct', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print(sorted({m.split('.')[0] for m in sys.modules}\n"
        "             & {'numpy', 'scipy', 'numba', 'zarr', 'dask', 'pydantic', 'h5py', 'rich'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_comes_at_once(record_property: pytest.RecordProperty) -> None:
    """Below 0.3 s on an idle machine; a busy one is given ten times as long."""
    took = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hipct", "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - start)
    record_property("seconds", min(took))
    assert min(took) < 3


def test_the_bare_command_shows_the_page_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.err) == (0, "")
    assert captured.out.startswith(PAGE)
