"""Tests run once more, with the kernels compiled for AddressSanitizer and its sibling for
undefined behaviour: whoever reads or writes one element beyond an array is stopped and named.

``python -m tests.standin.sanitised tests/core/test_kernels.py`` runs the host-run kernels of a test
file so; arguments go to pytest. Tests do the same with the fixture ``sanitised``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1"


@cache
def library() -> str | None:
    """The sanitizer's own library, to be loaded before Python; ``None`` where g++ has none."""
    try:
        said = subprocess.run(
            [os.environ.get("CXX", "g++"), "-print-file-name=libasan.so"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return said if Path(said).is_absolute() else None


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in the repository, every kernel under the sanitizers."""
    environment = os.environ | {
        "LD_PRELOAD": library() or "",
        "HIPCT_HOST_FLAGS": FLAGS,
        # Python itself keeps memory to its end; the stacks of fibres are told one by one.
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": os.pathsep.join(
            filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
        ),
    }
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run_tests(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The host-run tests among those that pytest's arguments choose."""
    # Nothing captured: the sanitizer's last words would go down with the process.
    options = ["-q", "-x", "-s", "-p", "no:cacheprovider", "-k", "host-run"]
    return run(["-m", "pytest", *options, *arguments])


if __name__ == "__main__":
    if library() is None:
        sys.exit("g++ has no AddressSanitizer here: install libasan")
    result = run_tests(*sys.argv[1:])
    sys.stdout.write(result.stdout)
    sys.exit(result.returncode)
