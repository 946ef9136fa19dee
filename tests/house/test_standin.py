"""The stand-in for CuPy: what it lets pass exists in CuPy, and what CuPy refuses, it refuses."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.sparse

STANDIN = Path(__file__).resolve().parents[1] / "standin"
MODULES = (
    "cupy",
    "cupy.cuda",
    "cupy.cuda.compiler",
    "cupy.cuda.device",
    "cupy.cuda.memory",
    "cupy.cuda.pinned_memory",
    "cupy.cuda.runtime",
    "cupy.cuda.stream",
    "cupy.fft",
    "cupy.fft.config",
    "cupy.lib.stride_tricks",
    "cupyx",
    "cupyx.scipy.fft",
    "cupyx.scipy.ndimage",
    "cupyx.scipy.sparse",
)
LISTING = """
import importlib, inspect, json, sys
def parameters(thing):
    try:
        return list(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return None
found = {}
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for key in getattr(module, "__all__", vars(module)):
        thing = getattr(module, key)
        if key.startswith("_") or key == "annotations":
            continue
        found[f"{name}.{key}"] = parameters(thing) if callable(thing) else None
        if inspect.isclass(thing) and thing.__module__.startswith("cupy"):
            for part in vars(thing) if key == "ndarray" else dir(thing):
                if not part.startswith("_") and not hasattr(bytearray, part):
                    method = getattr(thing, part)
                    found[f"{name}.{key}.{part}"] = parameters(method) if callable(method) else None
print(json.dumps(found))
"""


def listing() -> dict[str, list[str] | None]:
    """Public names of the stand-in and their parameters, seen by a process that knows no other."""
    said = subprocess.run(
        [sys.executable, "-c", LISTING, *MODULES],
        env=os.environ | {"PYTHONPATH": str(STANDIN)},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return json.loads(said)


def real(name: str) -> object:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part)
        return thing
    raise AttributeError(name)


def test_every_name_and_parameter_exists_in_cupy():
    pytest.importorskip("cupy", reason="cupy is not installed: nothing to compare with")
    found = listing()
    assert len(found) > 300
    wrong = []
    for name, parameters in found.items():
        try:
            thing = real(name)
        except AttributeError:
            wrong.append(f"{name} does not exist")
            continue
        try:
            known = inspect.signature(thing).parameters
        except (TypeError, ValueError):
            # Compiled: the first lines of its documentation declare it, if anything does.
            text = getattr(thing, "__doc__", None) or ""
            head = text.partition("\n\n")[0]
            unknown = [p for p in parameters or () if "(" in head and not named(p, head)]
            declared = head.startswith(name.rpartition(".")[2] + "(") or ".ndarray." in name
            wrong += [f"{name} has no {p}: {head}" for p in unknown if declared]
            continue
        if any(p.kind is p.VAR_KEYWORD for p in known.values()) or parameters is None:
            continue
        wrong += [f"{name} has no parameter {p}" for p in parameters if p not in known]
    assert not wrong, "\n".join(wrong)


def named(parameter: str, head: str) -> bool:
    return parameter in ("self", "args", "kwargs") or parameter in head


def test_lengths_of_fast_transforms_are_cupys(standin):
    pytest.importorskip("cupyx", reason="cupy is not installed: nothing to compare with")
    fft = sys.modules["cupyx.scipy.fft"]
    lengths = [*range(1, 1200), 8191, 10_007]
    code = (
        "import cupyx.scipy.fft as fft, sys; "
        "print(*(fft.next_fast_len(int(n)) for n in sys.argv[1:]))"
    )
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, lengths)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert [fft.next_fast_len(length) for length in lengths] == list(map(int, said.split()))


@pytest.fixture
def values():
    return np.random.default_rng(5).random((4, 6), dtype=np.float32)


@pytest.fixture
def array(standin, values):
    return standin.asarray(values)


MIXED = {
    "conversion": lambda xp, x, v: np.asarray(x),
    "conversion in a list": lambda xp, x, v: np.array([x, x]),
    "a function of NumPy's": lambda xp, x, v: np.sum(x),
    "a ufunc of NumPy's": lambda xp, x, v: np.sqrt(x),
    "NumPy's concatenate": lambda xp, x, v: np.concatenate([x, x]),
    "plus on the left": lambda xp, x, v: v + x,
    "plus on the right": lambda xp, x, v: x + v,
    "in place": lambda xp, x, v: x.__iadd__(v),
    "into NumPy's": lambda xp, x, v: v.__iadd__(x),
    "comparison": lambda xp, x, v: x < v,
    "product": lambda xp, x, v: x @ v.T,
    "function": lambda xp, x, v: xp.sum(v),
    "ufunc": lambda xp, x, v: xp.add(x, v),
    "concatenate": lambda xp, x, v: xp.concatenate([x, v]),
    "where": lambda xp, x, v: xp.where(x > 0.5, x, v),
    "output": lambda xp, x, v: xp.sqrt(x, out=v),
    "output of a reduction": lambda xp, x, v: xp.sum(x, axis=0, out=v[0]),
    "index": lambda xp, x, v: x[np.array([0, 1])],
    "mask": lambda xp, x, v: x[v > 0.5],
    "taken": lambda xp, x, v: xp.take(x, np.array([0, 1]), axis=0),
    "value of an element": lambda xp, x, v: x.__setitem__(0, v[0]),
    "fill value": lambda xp, x, v: xp.full(3, v),
    "like": lambda xp, x, v: xp.zeros_like(v),
    "a list in a ufunc": lambda xp, x, v: xp.add(x, [1.0] * 6),
    "assigned a list": lambda xp, x, v: x.__setitem__(0, [1.0] * 6),
    "hash": lambda xp, x, v: {x},
}


@pytest.mark.parametrize("what", MIXED)
def test_host_and_device_do_not_mix(standin, array, values, what):
    with pytest.raises(TypeError):
        MIXED[what](standin, array, values)


UNKNOWN = {
    "where of a ufunc": lambda xp, x: xp.sqrt(x, where=x > 0),
    "where of a sum": lambda xp, x: xp.sum(x, where=x > 0),
    "initial": lambda xp, x: xp.max(x, initial=0),
    "mode of take": lambda xp, x: xp.take(x, x.argmax(), mode="clip"),
    "method of an array": lambda xp, x: x.mean(where=x > 0),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_parameters_that_cupy_lacks_are_refused(standin, array, what):
    with pytest.raises(TypeError):
        UNKNOWN[what](standin, array)


def test_ufuncs_accumulate_no_more_than_cupys(standin, array, values):
    np.testing.assert_array_equal(standin.add.accumulate(array).get(), np.cumsum(values, 0))
    with pytest.raises(NotImplementedError):
        standin.maximum.accumulate(array)
    with pytest.raises(NotImplementedError):
        standin.minimum.reduce(array)


def test_computing_is_numpys(standin, array, values):
    scale = np.float32(3)
    for ours, theirs in [
        (scale * array, scale * values),
        (2 - array, 2 - values),
        (array**2 / 7, values**2 / 7),
        (-array @ array.T, -values @ values.T),
        (array.max(axis=1, keepdims=True), values.max(axis=1, keepdims=True)),
        (standin.where(array > 0.5, array, 0.0), np.where(values > 0.5, values, 0.0)),
        (standin.moveaxis(array, 0, 1)[1:, ::2], values.T[1:, ::2]),
        (array.argsort(axis=1), values.argsort(axis=1)),
        (
            standin.pad(array, ((0, 0), (2, 1)), mode="edge"),
            np.pad(values, ((0, 0), (2, 1)), "edge"),
        ),
        (standin.take_along_axis(array, array.argsort(1), 1), np.sort(values, 1)),
        (array[standin.asarray([2, 0])], values[[2, 0]]),
        (standin.stack([array, array])[1], values),
        (array.astype(np.float64).sum(), values.astype(float).sum()),
        (standin.nanmedian(standin.full((0,), 1.0)), np.float64(np.nan)),
    ]:
        assert type(ours) is standin.ndarray
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours.get(), theirs)


def test_reductions_and_elements_stay_on_the_device(standin, array):
    standin._transfers.reset()
    for scalar in (
        array.sum(),
        array[0, 0],
        standin.any(array > 2),
        standin.allclose(array, array),
    ):
        assert type(scalar) is standin.ndarray
        assert scalar.shape == ()
    assert standin._transfers.to_host == 0


def test_what_goes_to_the_host_is_counted(standin, array, tmp_path):
    total = array.sum()
    count = standin._transfers
    count.reset()
    for bring in (
        float, int, bool, str, "{:.2f}".format, standin.asnumpy,
        lambda x: x.item(), lambda x: x.get(), lambda x: x.tolist(),
    ):  # fmt: skip
        before = count.to_host
        bring(total)
        assert count.to_host == before + 1
    before = count.to_host, count.waits
    array[array > 0.5]
    standin.nonzero(array)
    assert (count.to_host, count.waits) == (before[0], before[1] + 2)
    array[array > 0.5] = 0
    assert count.waits == before[1] + 2


def test_views_share_their_memory_and_copies_do_not(standin, array):
    view, copy = array[1:, ::2].T, array.copy()
    view[...] = 7
    assert (array[1:, ::2] == 7).all()
    assert not (copy[1:, ::2] == 7).any()
    assert standin.asarray(array) is array
    assert standin.ascontiguousarray(array) is array
    assert array.view(np.int32).dtype == np.int32
    array += 1
    assert (view == 8).all()


def test_new_memory_is_never_zero(standin):
    assert np.isnan(standin.empty((3, 5), np.float32).get()).all()
    assert np.isnan(standin.empty_like(standin.zeros(4, np.complex64)).get()).all()
    assert (standin.empty(7, np.uint16).get() == 0xA5A5).all()
    pinned = sys.modules["cupyx"].empty_pinned((2, 3), np.float32)
    assert isinstance(pinned, np.ndarray)
    assert np.isnan(pinned).all()


def test_an_element_has_one_writer(standin, array):
    array[standin.asarray([0, 2])] = array[:2]
    array[standin.asarray([0, 0])] = 1.0
    with pytest.raises(IndexError, match="written twice"):
        array[standin.asarray([1, 1])] = array[:2]
    with pytest.raises(IndexError, match="written twice"):
        standin.put_along_axis(array, standin.zeros((4, 2), int), array[:, :2], 1)
    with pytest.raises(IndexError):
        array[standin.asarray([4])]


def test_memory_is_accounted_and_limited(standin):
    pool = standin.get_default_memory_pool()
    before = pool.used_bytes()
    array = standin.zeros((1000, 1000), np.float32)
    assert pool.used_bytes() - before == 4_000_256  # blocks are multiples of 512 bytes
    view = array[10:]
    del array
    assert pool.used_bytes() - before == 4_000_256
    twice = view * 2
    assert pool.used_bytes() - before > 7_900_000
    pool.set_limit(size=pool.used_bytes() + 1000)
    try:
        with pytest.raises(standin.cuda.memory.OutOfMemoryError, match="limit set to"):
            standin.zeros(10_000)
    finally:
        pool.set_limit(size=0)
    del view, twice
    assert pool.used_bytes() == before
    free, total = standin.cuda.Device(0).mem_info
    pool.free_all_blocks()
    assert standin.cuda.runtime.memGetInfo() == (total - pool.total_bytes(), total)
    assert free < total - pool.total_bytes()


def test_a_device_of_any_size_and_number(standin, monkeypatch):
    runtime = standin.cuda.runtime
    monkeypatch.setenv("HIPCT_STANDIN_MEMORY", str(1 << 20))
    with pytest.raises(standin.cuda.memory.OutOfMemoryError):
        standin.zeros(1 << 20)
    monkeypatch.setenv("HIPCT_STANDIN_DEVICES", "2")
    assert runtime.getDeviceCount() == 2
    here = standin.zeros(3)
    with standin.cuda.Device(1):
        there = standin.zeros(3)
        with pytest.raises(ValueError, match="Array device must be same"):
            here + there
    assert (here.device.id, there.device.id, standin.cuda.Device().id) == (0, 1, 0)
    with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        standin.cuda.Device(2).use()
    monkeypatch.setenv("HIPCT_STANDIN_DEVICES", "0")
    assert not standin.is_available()
    with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorNoDevice"):
        standin.zeros(3)
    monkeypatch.setenv("HIPCT_STANDIN_DRIVER", "11040")
    assert runtime.driverGetVersion() == 11040
    with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorInsufficientDriver"):
        runtime.getDeviceCount()


def test_a_copy_that_does_not_block_ends_when_its_stream_is_waited_for(standin, array, values):
    stream, other = (standin.cuda.Stream(non_blocking=True) for _ in range(2))
    for wait in (
        stream.synchronize,
        standin.cuda.runtime.deviceSynchronize,
        lambda: stream.record().synchronize(),
        lambda: (other.wait_event(stream.record()), other.synchronize()),
        lambda: array.get(stream=stream),
    ):
        out = sys.modules["cupyx"].empty_pinned(values.shape, np.float32)
        with stream:
            assert standin.cuda.get_current_stream() is stream
            array.get(out=out, blocking=False)
        other.synchronize()
        standin.cuda.Stream.null.synchronize()  # does not wait for streams that do not block
        assert np.isnan(out).all()
        assert not stream.done
        wait()
        assert stream.done
        np.testing.assert_array_equal(out, values)


def test_pinned_memory_stays_as_it_is_until_it_is_copied(standin, values):
    pinned = sys.modules["cupyx"].empty_pinned(values.shape, np.float32)
    pinned[...] = values
    array = standin.empty(values.shape, np.float32)
    stream = standin.cuda.Stream()
    array.set(pinned, stream=stream)
    stream.synchronize()
    pinned[...] = 0
    array.set(pinned, stream=stream)
    pinned[0] = 1
    with pytest.raises(RuntimeError, match="before its copy up had ended"):
        stream.synchronize()


def test_events_tell_the_time_between_them(standin):
    begin, end, idle = (standin.cuda.Event() for _ in range(3))
    begin.record()
    end.record()
    assert 0 <= standin.cuda.get_elapsed_time(begin, end) < 1000
    with pytest.raises(RuntimeError, match="invalid resource handle"):
        standin.cuda.get_elapsed_time(begin, idle)


def test_transforms_are_scipys(standin, array, values):
    fft = sys.modules["cupyx.scipy.fft"]
    for name in ("fft", "rfft", "fft2", "rfft2", "fftn", "ifft", "dctn", "idctn", "dct"):
        ours = getattr(fft, name)(array)
        theirs = getattr(scipy.fft, name)(values)
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours.get(), theirs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(fft.irfft2(fft.rfft2(array), s=(4, 6)).get(), values, atol=1e-6)
    spectrum = fft.rfft(array, axis=0)
    np.testing.assert_allclose(
        fft.irfft(spectrum, n=4, axis=0, overwrite_x=True).get(), values, atol=1e-6
    )
    assert np.isnan(spectrum.get()).all()  # given away


def test_a_half_spectrum_of_no_real_array_is_refused(standin, array):
    fft = sys.modules["cupyx.scipy.fft"]
    spectrum = fft.rfft2(array)
    spectrum[1, 0] += 1
    with pytest.raises(ValueError, match=r"column 0 .* misses the symmetry"):
        fft.irfft2(spectrum, s=array.shape)
    spectrum[:, 0] = 0
    spectrum[:, 3] = 1j
    with pytest.raises(ValueError, match=r"column 3 .* misses the symmetry"):
        fft.irfft2(spectrum, s=array.shape)
    assert fft.irfft2(spectrum, s=(4, 7)).shape == (4, 7)  # an odd length has no such column


def test_sparse_products_and_correlations_are_scipys(standin, array, values):
    dense = np.float32([[0, 2, 0, 0], [1, 0, 0, 3]])
    matrix = sys.modules["cupyx.scipy.sparse"].csr_matrix(scipy.sparse.csr_matrix(dense))
    np.testing.assert_array_equal((matrix @ array).get(), dense @ values)
    with pytest.raises(TypeError):
        matrix @ values
    weights = np.float32([1, 2, 1])
    ndimage = sys.modules["cupyx.scipy.ndimage"]
    ours = ndimage.correlate1d(array, standin.asarray(weights), axis=0, mode="mirror")
    theirs = scipy.ndimage.correlate1d(values, weights, axis=0, mode="mirror")
    np.testing.assert_array_equal(ours.get(), theirs)


def test_kernels_take_the_types_they_declare_and_nothing_else(standin):
    code = 'extern "C" __global__ void k(float* a, int n, float f) { if (n < 0) a[0] = f; }'
    kernel = standin.RawModule(code=code).get_function("k")
    good = standin.zeros(4, np.float32), np.int32(4), np.float32(1)
    kernel((1,), (1,), good)
    for place, bad in [
        (0, standin.zeros(4)),
        (0, standin.zeros(8, np.float32)[::2]),
        (0, np.zeros(4, np.float32)),
        (1, 4),
        (1, np.int64(4)),
        (2, 1.0),
        (2, np.float64(1)),
    ]:
        with pytest.raises(TypeError, match=f"argument {place} of k"):
            kernel((1,), (1,), tuple(bad if k == place else a for k, a in enumerate(good)))
    with pytest.raises(TypeError, match="takes 3 arguments, not 2"):
        kernel((1,), (1,), good[:2])
    with pytest.raises(RuntimeError, match="named symbol not found"):
        standin.RawModule(code=code).get_function("other")


def test_cupy_itself_is_left_as_it_was(standin):
    import cupy

    assert cupy is standin
    assert Path(cupy.__file__).is_relative_to(STANDIN)
    assert not any(Path(folder).resolve() == STANDIN for folder in sys.path)


def test_after_the_fixture_cupy_is_cupy_again():
    cupy = pytest.importorskip("cupy")
    assert not Path(cupy.__file__).is_relative_to(STANDIN)
    assert cupy.ndarray.__module__ == "cupy"
