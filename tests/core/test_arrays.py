"""The array namespace follows the arrays."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import scipy.fft

from hipct.core.arrays import fft_module, namespace
from hipct.core.errors import InputError


class DeviceArray:
    """Stands for a CuPy array: only the module of its type counts."""


DeviceArray.__module__ = "cupy._core.core"


@pytest.fixture
def device(monkeypatch):
    """A stand-in for cupy, so that the choice is tested on machines without it."""
    cupy, cupyx = ModuleType("cupy"), ModuleType("cupyx")
    cupyx.scipy = ModuleType("cupyx.scipy")
    cupyx.scipy.fft = ModuleType("cupyx.scipy.fft")
    for module in (cupy, cupyx, cupyx.scipy, cupyx.scipy.fft):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return cupy


def test_numpy_for_host_arrays_lists_and_nothing():
    assert namespace(np.zeros(2), None, [1.0]) is np
    assert namespace() is np


def test_cupy_for_device_arrays(device):
    assert namespace(DeviceArray(), None) is device
    assert fft_module(device).__name__ == "cupyx.scipy.fft"


def test_mixed_arrays_are_refused(device):
    with pytest.raises(InputError, match=r"cupy\.asarray or cupy\.asnumpy"):
        namespace(np.zeros(2), DeviceArray())


def test_the_fft_keeps_float32():
    fft = fft_module(np)
    assert fft is scipy.fft
    assert fft.rfft(np.ones(8, np.float32)).dtype == np.complex64
