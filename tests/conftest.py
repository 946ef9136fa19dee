"""Fixtures that every room shares.

``xp`` and ``device`` run a test on what computes: NumPy, the kernels on the host (a strict stand-in
for CuPy, see ``standin/``), and CuPy where a device answers. Needs NumPy and pytest alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
STANDIN = REPOSITORY / "tests" / "standin"
DEVICES = ("host-run kernels", "cupy")
PARTS = ("cupy", "cupyx", "cupyx.scipy.fft", "cupyx.scipy.ndimage", "cupyx.scipy.sparse")

# Importing the stand-in a second time, for its doctests, would make two of it.
collect_ignore = ["standin"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans beside the checkout; the test is skipped where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real scans: the folder ../shared/data is not beside this checkout")
    return folder


@pytest.fixture(params=("numpy", *DEVICES))
def xp(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The array namespace: NumPy, the stand-in for CuPy, CuPy."""
    if request.param == "numpy":
        yield np
    else:
        yield from _device(request.param, request.node)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The array namespace of a device: the stand-in for CuPy, CuPy."""
    yield from _device(request.param, request.node)


@pytest.fixture
def standin(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The stand-in for CuPy, under CuPy's name while the test runs."""
    yield from _device("host-run kernels", request.node)


@pytest.fixture(scope="session")
def sanitised() -> ModuleType:
    """Runs tests again with their kernels under AddressSanitizer: ``sanitised.run_tests(path)``."""
    specification = importlib.util.spec_from_file_location("sanitised", STANDIN / "sanitised.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    if module.library() is None:
        pytest.skip("no AddressSanitizer to watch kernels with: install g++ and libasan")
    return module


@pytest.fixture
def fetch() -> Any:
    """Brings an array of any namespace to the host: ``fetch(array)``."""
    return lambda array: array if isinstance(array, (np.ndarray, np.generic)) else array.get()


def _device(name: str, test: pytest.Item) -> Iterator[ModuleType]:
    if name == "cupy":
        yield _real_cupy()
        return
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no C++ compiler to run kernels on the host with: install g++")
    modules = _standin()
    kept = _remove()
    sys.modules.update(modules)
    modules["cupy"]._transfers.reset()
    # Shown where the test fails: the order of threads is another one in every run.
    seed = modules["cupy"]._raw.seeds.begin()
    test.add_report_section("setup", "seed", f"repeat with HIPCT_STANDIN_SEED={seed}")
    try:
        yield modules["cupy"]
    finally:
        _remove()
        sys.modules.update(kept)


def _remove() -> dict[str, ModuleType]:
    """Take every module of CuPy's names out of the interpreter's list."""
    names = [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]
    return {name: sys.modules.pop(name) for name in names}


@cache
def _standin() -> dict[str, ModuleType]:
    """The modules of the stand-in, imported once for the process."""
    kept = _remove()
    sys.path.insert(0, str(STANDIN))
    try:
        for part in PARTS:
            importlib.import_module(part)
        return _remove()
    finally:
        sys.path.remove(str(STANDIN))
        sys.modules.update(kept)


def _real_cupy() -> ModuleType:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError:
        pytest.skip("no CUDA device answers: cupy is not installed")
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no CUDA device answers: {error}")
    return cupy
