"""Nodes with a card often have NumPy, CuPy and pytest, and nothing else.

So the numerical floors import with NumPy alone, and their device code runs with NumPy and CuPy
alone: no SciPy, no numba. A fresh process in which no other package can be found stands for such a
node.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hipct.core.arrays import Array

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


def test_tests_of_devices_are_collected_on_a_bare_machine(monkeypatch):
    """As the page of the GPU says: with NumPy, CuPy and pytest."""
    page = (REPOSITORY / "docs" / "gpu.md").read_text(encoding="utf-8")
    (command,) = (line for line in page.splitlines() if line.startswith("pytest "))
    code = """
make_bare(
    "pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "cupy", "hypothesis",
    "_hypothesis_globals", "sortedcontainers", "tests", "benchmarks"
)
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1].split()]))
"""
    # Plugins are found among the packages that this machine has.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = run_bare(code, command.removeprefix("pytest "))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    rooms = ("preparation", "phase", "reconstruction")
    files = [path for room in rooms for path in (REPOSITORY / "tests" / room).glob("*_device.py")]
    assert len(files) >= 6
    for file in (*map(Path, ("core/test_device.py", "core/test_kernels.py")), *files):
        assert f"{file.name}::" in result.stdout, file.name
    assert "volume/test_quantise.py::" in result.stdout
    assert "scipy is not on this bare node" in result.stdout


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


def chain(xp: ModuleType, given: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Every stage from counts to a pyramid, on the results (or on given ones) of those before."""
    from hipct.phase import paganin
    from hipct.preparation.flat import flat_field
    from hipct.preparation.linearise import sinograms
    from hipct.preparation.rings import remove_rings
    from hipct.reconstruction import fbp
    from hipct.volume.quantise import quantise
    from hipct.volume.reduce import reduce_levels
    from hipct.volume.window import window_from_samples

    rng = np.random.default_rng(0)
    rows, columns = 5, 48
    angles = np.linspace(0, np.pi, 60, endpoint=False)
    # A cylinder beside the axis, before a beam with noise and one weak column.
    distance = np.arange(columns) - (columns - 1) / 2 - 6 * np.cos(angles)[:, np.newaxis]
    thickness = 2 * np.sqrt(np.maximum(14**2 - distance**2, 0))
    beam = rng.uniform(20_000, 30_000, (rows, columns))
    beam[:, 17] *= 0.1
    dark = 100
    counts = rng.poisson(beam * np.exp(-0.02 * thickness)[:, np.newaxis]) + dark
    frames = (
        counts,
        rng.poisson(beam, (5, rows, columns)) + dark,
        np.full((5, rows, columns), dark),
    )

    stages = {"flat": flat_field(*(xp.asarray(each.astype(np.uint16)) for each in frames))}

    def before(name: str) -> Array:
        return stages[name] if given is None else xp.asarray(given[name])

    stages["phase"] = paganin(
        before("flat"), pixel_size_um=20.0, distance_m=3.5, energy_kev=90.0, delta_beta=150.0
    )
    stages["lines"] = xp.empty((rows, len(angles), columns), xp.float32)
    sinograms(before("phase"), stages["lines"])
    stages["wavelet"] = remove_rings(before("lines"), "wavelet", levels=2)
    stages["sorting"] = remove_rings(before("lines"), "sorting", size_px=5)
    stages["direct"] = fbp(before("sorting"), angles, engine="direct")
    stages["slices"] = fbp(before("sorting"), angles)
    window = window_from_samples(before("slices"))
    stages["grey"] = quantise(before("slices"), window, radius_px=columns / 2)
    levels = reduce_levels(before("grey"), 2)
    stages |= {"half": levels[0], "quarter": levels[1]}
    return {name: array if xp is np else array.get() for name, array in stages.items()}


def test_the_device_chain_runs_with_numpy_and_cupy_alone(tmp_path, standin):
    """hipct finds NumPy and CuPy; the stand-in for CuPy may use what it likes."""
    code = """
import builtins, importlib.util, runpy
import numpy as np
sys.path.insert(0, "tests/standin")
import cupy

chain = runpy.run_path("tests/house/test_bare.py")["chain"]

known = sys.stdlib_module_names | {"numpy", "cupy", "cupyx", "hipct"}
ordinary, ordinary_spec = builtins.__import__, importlib.util.find_spec

def bare(name, globals=None, locals=None, fromlist=(), level=0):
    asks = (globals or {}).get("__name__", "").partition(".")[0]
    if level == 0 and asks == "hipct" and name.partition(".")[0] not in known:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return ordinary(name, globals, locals, fromlist, level)

builtins.__import__ = bare
importlib.util.find_spec = lambda name, package=None: (
    ordinary_spec(name, package) if name.partition(".")[0] in known else None
)
with np.load(sys.argv[1]) as given:
    np.savez(sys.argv[2], **chain(cupy, given))
"""
    expected, found = tmp_path / "expected.npz", tmp_path / "found.npz"
    np.savez(expected, **chain(np))
    result = run_bare(code, str(expected), str(found))
    assert result.returncode == 0, result.stderr
    with np.load(expected) as wanted, np.load(found) as stages:
        assert set(stages) == set(wanted)
        for name, array in wanted.items():
            assert stages[name].dtype == array.dtype
            error = np.abs(stages[name].astype(float) - array.astype(float)).max()
            limit = 0 if array.dtype == np.uint16 else 1e-5 * np.abs(array).max()
            assert error <= limit, (name, error, limit)
