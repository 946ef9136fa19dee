"""Nodes with a card often have NumPy, CuPy and pytest, and nothing else.

So the numerical floors import with NumPy alone, and their device code runs with NumPy and CuPy
alone: no SciPy, no numba. A fresh process in which no other package can be found stands for such a
node.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FLOORS = ("core", "preparation", "phase", "reconstruction")
ROOMS = ("disc", "quantise", "quantise_cuda", "reduce", "reduce_cuda", "window", "window_cuda")
MODULES = [
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for floor in FLOORS
    for path in sorted((REPOSITORY / "hipct" / floor).rglob("*.py"))
    if not path.stem.endswith("_numba") and path.stem != "__init__"
] + [f"hipct.volume.{room}" for room in ROOMS]

BARE = """
import sys
import numpy

class Bare:
    '''Finds the standard library, NumPy, hipct and what is named; the rest is not installed.'''

    def __init__(self, finders, names):
        self.finders, self.names = finders, sys.stdlib_module_names | set(names)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            for finder in self.finders:
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

def make_bare(*names):
    for name in list(sys.modules):
        if name.partition(".")[0] in ("scipy", "numba", "pytest"):
            del sys.modules[name]
    sys.meta_path[:] = [Bare(sys.meta_path[:], {"numpy", "hipct", *names})]
"""


def run_bare(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that knows ``make_bare``."""
    return subprocess.run(
        [sys.executable, "-c", BARE + code, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """Modules that do not import on a bare machine, with the reason."""
    code = """
import importlib, json
make_bare()
failures = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failures[name] = repr(error)
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(json.dumps([failures, sorted(foreign)]))
"""
    result = run_bare(code, *MODULES)
    assert result.returncode == 0, result.stderr
    failed, foreign = json.loads(result.stdout)
    assert "scipy" not in foreign
    assert "numba" not in foreign
    return failed


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_with_numpy_alone(failures, module):
    assert module not in failures, failures[module]


def test_a_bare_machine_has_nothing_else():
    """An import hook that hides nothing shows nothing."""
    result = run_bare("""
import importlib.util
make_bare()
assert importlib.util.find_spec("scipy") is None
import hipct.core.jit
assert not hipct.core.jit.has_numba()
import scipy
""")
    assert result.returncode == 1
    assert "No module named 'scipy'" in result.stderr
