"""What a person sees when something is missing, wrong or stopped."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from hipct.cli import main as program
from hipct.core.errors import OutputError


def run(*words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """The command in a process of its own: exit code, output, errors."""
    done = subprocess.run(
        [sys.executable, "-m", "hipct", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(program.__file__).parents[2])},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line with a command that raises; gives exit code and standard error."""

    def call(error: BaseException, words: list[str]) -> tuple[int, str]:
        @click.command()
        @click.argument("words", nargs=-1)
        def command(words: tuple[str, ...]) -> None:
            raise error

        monkeypatch.setattr(program.LazyGroup, "get_command", lambda *_: command)
        with pytest.raises(SystemExit) as ended:
            program.main(words)
        captured = capsys.readouterr()
        assert captured.out == ""
        return ended.value.code, captured.err

    return call


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OutputError("a.zarr exists already."), "hipct: a.zarr exists already."),
        (OutputError("two\n  lines."), "hipct: two lines."),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/c/0"),
            "hipct: the disk that holds out/c/0 is full; make room and run the same command again.",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "hipct: the disk is full; make room and run the same command again.",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "hipct: x: Permission denied."),
        (
            MemoryError(),
            "hipct: the memory of this machine is exhausted; give a smaller --memory.",
        ),
    ],
)
def test_a_failure_is_one_sentence_and_exit_code_2(
    failing: Callable[..., tuple[int, str]], error: Exception, sentence: str
) -> None:
    assert failing(error, ["plan", "x"]) == (2, f"{sentence}\n")


def test_a_stopped_run_says_that_it_can_go_on(failing: Callable[..., tuple[int, str]]) -> None:
    code, err = failing(KeyboardInterrupt(), ["reconstruct", "x"])
    assert code == 130
    assert err.strip() == (
        "hipct: stopped; run the same command again and it goes on where it stood."
    )
    code, err = failing(KeyboardInterrupt(), ["import", "x"])
    assert (code, err.strip()) == (130, "hipct: stopped.")


def test_a_bug_is_not_dressed_up_as_a_sentence(failing: Callable[..., tuple[int, str]]) -> None:
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError(), ["plan", "x"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pln"], "hipct: No such command 'pln'. See 'hipct --help'."),
        (["plan"], "hipct: Missing argument 'SOURCE...'. See 'hipct plan --help'."),
        (["plan", "none.h5"], "hipct: none.h5 does not exist; check the path."),
        (
            ["plan", "none.h5", "--set", "axis.valu=3"],
            "hipct: axis.valu is not a setting; did you mean axis.value?",
        ),
        (
            ["reconstruct", "none.h5", "-o", "o.ome.zarr", "--memory", "lots"],
            "hipct: compute.memory is 'lots'; allowed is a number of bytes above 0, or one with a "
            "unit such as 8GB (1e9), 16GiB (2**30), 500MB, or null (80 % of what is free).",
        ),
        (
            ["reconstruct", "none.h5", "-o", "o.ome.zarr", "--config", "bm99"],
            "hipct: 'bm99' is neither a .yaml, .yml or .toml file nor a preset; the presets are "
            "bm05, bm18.",
        ),
        (
            ["reconstruct", "none.h5", "-o", "o.ome.zarr"],
            "hipct: none.h5 does not exist; check the path.",
        ),
        (["config", "bm99"], "hipct: 'bm99' is no preset; the presets are bm05, bm18."),
        (
            ["config", "bm05", "--docs"],
            "hipct: Give either a preset or --docs. See 'hipct config --help'.",
        ),
    ],
)
def test_bad_words_leave_nothing_behind(words: list[str], sentence: str, tmp_path: Path) -> None:
    assert run(*words, cwd=tmp_path) == (2, "", f"{sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_failure_to_shout_about(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hipct config --docs | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "# Configuration\n"
    assert done.stderr == ""


def test_ctrl_c_ends_the_command_with_one_line(tmp_path: Path) -> None:
    wait = tmp_path / "wait.py"
    wait.write_text(
        "import contextlib, signal, time\n"
        # Whatever runs the tests in the background may have it ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import hipct.acquisition.open_any as opening\n"
        "import hipct.pipeline.run as run\n"
        "from hipct.cli.main import main\n"
        "def reconstruct(*_, **__):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "run.reconstruct = reconstruct\n"
        "opening.open_any = lambda *_, **__: contextlib.nullcontext()\n"
        "main(['reconstruct', 'scan.h5', '-o', 'o.ome.zarr'])\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        [sys.executable, str(wait)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(program.__file__).parents[2])},
    ) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == (
        "hipct: stopped; run the same command again and it goes on where it stood."
    )


def test_auto_says_once_why_it_takes_the_cpu(tmp_path: Path, scan_file: Path) -> None:
    standin = Path(__file__).resolve().parents[1] / "standin"
    paths = f"{standin}{os.pathsep}{Path(program.__file__).parents[2]}"
    words = ["axis", str(scan_file), "--set", "phase.method=none", "--sweep", "axis.tif"]
    done = subprocess.run(
        [sys.executable, "-m", "hipct", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "HIPCT_STANDIN_DRIVER": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Computing on the CPU. No NVIDIA driver answers") == 1
