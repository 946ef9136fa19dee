"""The device of a run: found, or refused in one sentence; its streams, its memory."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import hipct.core.kernels
from hipct.core.device import HOST, Device, device_budget, gpu_count, open_device
from hipct.core.errors import DeviceError, MissingExtra


@pytest.fixture(autouse=True)
def one_build_of_cupy(monkeypatch):
    """Whatever this environment has installed, one build of CuPy is listed."""
    install(monkeypatch, "cupy-cuda12x")


def install(monkeypatch, *names):
    listed = [SimpleNamespace(metadata={"Name": name}) for name in ("numpy", *names)]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: listed)


def refused(error=DeviceError):
    """The sentence with which cupy is refused; auto takes the CPU for the same reason."""
    with pytest.raises(error) as caught:
        open_device("cupy")
    device, reason = open_device("auto")
    assert device is HOST
    assert reason.startswith("Computing on the CPU. ")
    assert "--backend numpy" not in reason
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_a_gpu_that_answers_is_taken(standin):
    for backend in ("auto", "cupy"):
        device, reason = open_device(backend)
        assert reason is None
        assert (device.on_gpu, device.xp, device.index) == (True, standin, 0)
    assert open_device("numpy") == (HOST, None)
    assert HOST.name == "CPU"
    assert gpu_count() == 1


@pytest.mark.usefixtures("standin")
def test_no_driver(monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_DRIVER", "0")
    assert "No NVIDIA driver answers" in refused()


@pytest.mark.usefixtures("standin")
def test_a_driver_older_than_the_runtime(monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_DRIVER", "11040")
    sentence = refused()
    assert "supports CUDA 11.4, and CuPy was built for CUDA 12.9" in sentence
    assert "update the driver, or compute on the CPU" in sentence


def test_a_driver_of_the_cuda_before(monkeypatch, standin):
    runtime = standin.cuda.runtime
    monkeypatch.setattr(sys.modules[runtime.device_count.__module__], "RUNTIME", 13000)
    monkeypatch.setattr(runtime, "RUNTIME", 13000)
    monkeypatch.setenv("HIPCT_STANDIN_DRIVER", "12080")
    sentence = refused()
    assert "supports CUDA 12.8, and CuPy was built for CUDA 13.0; update the driver" in sentence
    assert "for the older CUDA in its place (pip install 'hipct[gpu]')" in sentence


@pytest.mark.parametrize("version", ["13.6.0", "9.0.0b1"])
def test_a_cupy_that_is_too_old(monkeypatch, standin, version):
    monkeypatch.setattr(standin, "__version__", version)
    assert f"CuPy {version} is installed, and hipct needs 14 or newer; update it" in refused()


@pytest.mark.usefixtures("standin")
def test_a_driver_that_shows_no_gpu(monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_DEVICES", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    sentence = refused()
    assert "shows no GPU" in sentence
    assert "CUDA_VISIBLE_DEVICES is ''" in sentence


@pytest.mark.usefixtures("standin")
def test_a_gpu_number_that_is_not_there():
    with pytest.raises(DeviceError, match="GPU 1 was asked for; this process sees 1"):
        open_device("cupy", 1)


def test_cupy_missing(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cupy", None)
    install(monkeypatch)
    assert "pip install 'hipct[gpu]'" in refused(MissingExtra)


@pytest.mark.usefixtures("standin")
def test_two_builds_of_cupy(monkeypatch):
    install(monkeypatch, "cupy-cuda12x", "cupy-cuda13x", "cupyx-unrelated")
    sentence = refused()
    assert "2 builds of CuPy are installed (cupy-cuda12x, cupy-cuda13x)" in sentence
    assert "pip uninstall cupy-cuda12x cupy-cuda13x" in sentence


def test_a_compiler_that_fails(monkeypatch, standin):
    class Broken:
        def __init__(self, **_):
            pass

        def get_function(self, name):
            raise RuntimeError("CuPy failed to load libnvrtc.so.12: OSError: no such file")

    monkeypatch.setattr(standin, "RawModule", Broken)
    hipct.core.kernels._load.cache_clear()
    hipct.core.kernels._module.cache_clear()
    try:
        sentence = refused()
    finally:
        hipct.core.kernels._load.cache_clear()
        hipct.core.kernels._module.cache_clear()
    assert "does not compile for this device (CuPy failed to load libnvrtc" in sentence


def test_headers_that_are_missing_are_told_at_once(monkeypatch, standin):
    def broken(*_):
        raise RuntimeError('error: cannot open source file "cuda_fp16.h"')

    monkeypatch.setattr(standin, "isfinite", broken)
    sentence = refused()
    assert 'CuPy cannot compute on this device (error: cannot open source file "cuda_fp16.h")' in (
        sentence
    )
    assert "pip install 'hipct[gpu]'" in sentence


def test_a_gpu_that_somebody_else_holds(monkeypatch, standin):
    def busy(_):
        raise standin.cuda.runtime.CUDARuntimeError(46)

    monkeypatch.setattr(standin.cuda.Device, "__enter__", busy)
    assert "The GPU cannot be used (cudaError 46)" in refused()


def test_the_budget_is_a_share_of_what_is_free_and_holds(monkeypatch, standin):
    monkeypatch.setenv("HIPCT_STANDIN_MEMORY", str(1_000_000_000))
    device, _ = open_device("cupy")
    free = device.free_bytes()
    assert device_budget(device, None) == int(0.8 * free)
    with pytest.raises(DeviceError, match=r"is 2\.0 GB, and .* has .* free"):
        device_budget(device, 2_000_000_000)
    taken = standin.get_default_memory_pool().used_bytes()  # what other tests keep
    device.set_budget(taken + 1_000_000)
    try:
        with device.lane("read"):
            kept = device.xp.zeros(200_000, np.float32)
            with pytest.raises(MemoryError):
                device.xp.zeros(200_000, np.float32)
        assert kept.nbytes <= device.peak_bytes
    finally:
        standin.get_default_memory_pool().set_limit(size=0)


def test_what_goes_up_comes_down(device):
    gpu = Device(device)
    array = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    with gpu.lane("read"):
        there = gpu.upload(array[:, ::2])
        np.testing.assert_array_equal(gpu.download(there), array[:, ::2])
        back = gpu.host_array((2, 5), np.uint16)
        assert gpu.download(there[1], back) is back
    np.testing.assert_array_equal(back, array[1, ::2])


def test_a_copy_down_that_is_not_waited_for_is_there_in_the_end(device):
    gpu = Device(device)
    array = np.arange(60, dtype=np.float32).reshape(3, 20)
    back = gpu.host_array((3, 20), np.float32)
    with gpu.lane("lower"):
        there = gpu.upload(array)
        for row in range(3):
            gpu.download(there[row], back[row], wait=False)
        gpu.finish()
        np.testing.assert_array_equal(back, array)


def test_pinned_memory_is_of_the_device_and_kept_for_its_size_alone(monkeypatch, standin):
    monkeypatch.setenv("HIPCT_STANDIN_DEVICES", "2")
    pinned, pin = [], standin.cuda.PinnedMemory

    def counted(size, flags):
        pinned.append((size, standin.cuda.Device().id))
        return pin(size, flags)

    monkeypatch.setattr(standin.cuda, "PinnedMemory", counted)
    gpu = Device(standin, 1)
    part = gpu.host_array((4, 5), np.uint16)[2:, 1]
    first = gpu.host_array((4, 5), np.uint16)
    assert not np.may_share_memory(part, first)  # a view keeps its memory
    del part
    second = gpu.host_array((5, 4), np.int16)
    assert pinned == [(40, 1), (40, 1)]
    del first, second
    gpu.host_array((3, 5), np.uint16)  # what is idle goes
    gpu.host_array((4, 5), np.uint16)
    gpu.host_array((3, 5), np.uint16)
    assert pinned[2:] == [(30, 1), (40, 1)]
    assert gpu.host_array((0, 5), np.uint16).shape == (0, 5)


def test_pinned_memory_that_is_short_is_asked_for_once_more(monkeypatch, standin):
    gpu, pin, asked = Device(standin), standin.cuda.PinnedMemory, []

    def short(size, flags):
        asked.append(size)
        if len(asked) == 2:
            raise standin.cuda.runtime.CUDARuntimeError(2)
        return pin(size, flags)

    monkeypatch.setattr(standin.cuda, "PinnedMemory", short)
    kept = [gpu.host_array((7,), np.uint8) for _ in range(2)]
    assert asked == [7, 7, 7]
    assert all(array.shape == (7,) for array in kept)


def test_on_the_cpu_nothing_is_copied():
    array = np.arange(6)
    with HOST.lane("read"):
        assert HOST.upload(array) is array
        assert HOST.download(array) is array


def test_every_lane_has_a_stream_of_its_own_and_keeps_it(device):
    gpu = Device(device)
    seen = []

    def work(lane):
        with gpu.lane(lane):
            seen.append((lane, device.cuda.get_current_stream().ptr))

    for lane in ("read", "prepare", "read"):
        thread = threading.Thread(target=work, args=(lane,))
        thread.start()
        thread.join()
    streams = dict(seen)
    assert len(seen) == 3
    assert len(set(streams.values())) == 2
    assert seen[0] == seen[2]


def test_work_is_halved_until_it_fits(device):
    gpu = Device(device)
    done, tried = [], []

    def work(part):
        tried.append(part.stop - part.start)
        if part.stop - part.start > 3:
            raise device.cuda.memory.OutOfMemoryError(1, 2, 3)
        done.extend(range(part.start, part.stop))

    most, note = gpu.halving(work, slice(5, 19), 14, "slices")
    assert done == list(range(5, 19))
    assert tried[:2] == [14, 7]
    assert most == 3
    assert "with 14 slices at a time; the run goes on with 3." in note
    assert gpu.halving(work, slice(0, 3), most, "slices") == (3, None)


def test_plans_that_cupy_keeps_make_room(monkeypatch, standin):
    """They hold their work areas, for every thread that has ever made a transform."""
    kept = [None]
    monkeypatch.setattr(standin.fft.config, "clear_plan_cache", kept.clear)

    def work(part):
        if kept:
            raise standin.cuda.memory.OutOfMemoryError(1, 2, 3)

    assert Device(standin).halving(work, slice(0, 4), 4, "slices")[0] == 2


def test_one_item_that_does_not_fit_is_an_error(device):
    def work(part):
        raise device.cuda.memory.OutOfMemoryError(1, 2, 3)

    with pytest.raises(DeviceError, match="one of the slices alone; give the run more"):
        Device(device).halving(work, slice(0, 4), 4, "slices")


def test_the_cpu_halves_nothing():
    def work(part):
        raise MemoryError

    with pytest.raises(MemoryError):
        HOST.halving(work, slice(0, 4), 4, "slices")
