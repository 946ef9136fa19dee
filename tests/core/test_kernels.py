"""The launcher: what a kernel's signature says is held, before anything is launched."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core import kernels
from hipct.core.errors import DeviceError, InputError

SCALE = """
// out = factor x + offset, for every element of a plane that is not cut off.
extern "C" __global__ void __launch_bounds__(64) scale(
    const float* __restrict__ in,  // (rows, columns / 2 + EXTRA) input
    TYPE* __restrict__ out,        // (rows, columns / 2 + EXTRA) output
    float factor, long long offset,
    int rows, unsigned int columns)
{
    const int width = columns / 2 + EXTRA;
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * width) out[i] = (TYPE)(factor * in[i] + offset);
}
extern "C" __global__ void conjugate(
    float2* __restrict__ values,  // (n) in place
    int n)
{
    if (threadIdx.x < n) values[threadIdx.x].y = -values[threadIdx.x].y;
}
"""
BLOCK_SUMS = """
#include "pairs.cuh"
extern "C" __global__ void __launch_bounds__(256) block_sums(
    const int* __restrict__ in,            // (n) numbers
    unsigned long long* __restrict__ sum,  // (1) of all of them
    int* __restrict__ most,                // (1) the largest
    int n)
{
    __shared__ int warps[8];
    const int i = blockIdx.x * 256 + threadIdx.x;
    int part = i < n ? in[i] : 0;
    for (int step = 16; step > 0; step /= 2) part += __shfl_down_sync(0xffffffffu, part, step);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = part;
    __syncthreads();
    if (threadIdx.x == 0) {
        int total = 0;
        for (int w = 0; w < 8; ++w) total += warps[w];
        atomicAdd(sum, (unsigned long long)total);
    }
    if (i < n) atomicMax(most, larger(in[i], 0));
}
"""
PAIRS = "__device__ __forceinline__ int larger(int a, int b) { return a > b ? a : b; }\n"
WRONG = {
    "broken": "int n) { n = no_such_thing; }",
    "shapeless": "const float* x,  // values\nint n) {}",
    "strange": "const half* x,  // (n) values\nint n) {}",
    "endless": "int n,",
    "curious": "int* x,  // (n << 1) values\nint n) {}",
}
ROWS, COLUMNS = 5, 14
SHAPE = (ROWS, COLUMNS // 2 + 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Kernels of this file alone, in place of the house's; nothing of them is remembered."""
    wrong = {name: f'extern "C" __global__ void {name}(\n{rest}' for name, rest in WRONG.items()}
    for name, text in (wrong | {"scale": SCALE, "block_sums": BLOCK_SUMS}).items():
        (tmp_path / f"{name}.cu").write_text(text, encoding="utf-8")
    (tmp_path / "pairs.cuh").write_text(PAIRS, encoding="utf-8")
    monkeypatch.setattr(kernels, "kernel_folder", lambda: tmp_path)
    caches = (kernels._load, kernels._module)
    for known in caches:
        known.cache_clear()
    yield tmp_path
    for known in caches:
        known.cache_clear()


@pytest.fixture
def scale(device, folder):
    return kernels.load(device, "scale", EXTRA=1, TYPE="unsigned short")


def arguments(xp, **changed):
    """Arguments that fit, but for those that are changed; ``None`` leaves one out."""
    given = {
        "in": xp.ones(SHAPE, np.float32),
        "out": xp.zeros(SHAPE, np.uint16),
        "factor": 2.5,
        "offset": 3,
        "rows": ROWS,
        "columns": COLUMNS,
    }
    return {name: value for name, value in (given | changed).items() if value is not None}


def test_scalars_of_any_python_or_numpy_type_become_the_kernels_own(device, scale, fetch):
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    expected = (values * np.float32(1.5) + 7).astype(np.uint16)
    for factor in (1.5, np.float64(1.5), np.float32(1.5)):
        for rows, columns in ((ROWS, np.uint8(COLUMNS)), (np.int64(ROWS), COLUMNS)):
            given = arguments(device, factor=factor, rows=rows, columns=columns, offset=np.int16(7))
            given["in"] = device.asarray(values)
            scale((1,), (64,), **given)
            np.testing.assert_array_equal(fetch(given["out"]), expected)


def test_a_whole_number_will_do_for_a_float(device, scale, fetch):
    given = arguments(device, factor=2)
    scale((1,), (64,), **given)
    assert (fetch(given["out"]) == 5).all()


def test_complex_numbers_are_pairs(device, folder, fetch):
    values = np.array([1 + 2j, -3j], np.complex64)
    on_device = device.asarray(values)
    kernels.load(device, "scale", "conjugate", EXTRA=0, TYPE="float")(
        (1,), (32,), values=on_device, n=2
    )
    np.testing.assert_array_equal(fetch(on_device), values.conj())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"offset": None}, "takes in, out, factor, offset, rows, columns, and was given"),
        ({"colour": 1}, "takes in, out, .* and was given .*colour"),
        ({"in": lambda xp: xp.ones(SHAPE)}, "takes float32 as in, not float64"),
        ({"out": lambda xp: xp.zeros(SHAPE, np.int16)}, "takes uint16 as out, not int16"),
        (
            {"in": lambda xp: xp.ones((ROWS, 2 * SHAPE[1]), np.float32)[:, ::2]},
            "takes in as one C-contiguous run of memory",
        ),
        (
            {"in": lambda xp: xp.ones((2 * ROWS, SHAPE[1]), np.float32)[::2]},
            "takes in as one C-contiguous run of memory",
        ),
        (
            {"out": lambda xp: xp.zeros((ROWS, 9), np.uint16)},
            r"takes out of shape \(rows, columns / 2 \+ EXTRA\) = \(5, 8\), not \(5, 9\)",
        ),
        ({"columns": 16}, r"= \(5, 9\), not \(5, 8\)"),
        (
            {"in": lambda xp: np.ones(SHAPE, np.float32)},
            "takes an array of cupy as in, not ndarray",
        ),
        ({"in": lambda xp: [1.0]}, "takes an array of cupy as in, not list"),
        ({"in": 3}, "takes an array of cupy as in, not int"),
        ({"rows": 2**31}, "has rows=2147483648, beyond int32"),
        ({"columns": -1}, "has columns=-1, beyond uint32"),
        ({"offset": 2**63}, "beyond int64"),
        ({"rows": 5.0}, "takes a int32 as rows, not 5.0"),
        ({"rows": True}, "takes a int32 as rows, not True"),
        ({"rows": lambda xp: xp.asarray(5)}, "takes a int32 as rows"),
        ({"factor": "2"}, "takes a float32 as factor, not '2'"),
        ({"factor": True}, "takes a float32 as factor, not True"),
        ({"factor": 1j}, "takes a float32 as factor, not 1j"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused(device, scale, change, complaint):
    changed = {k: v(device) if callable(v) else v for k, v in change.items()}
    given = arguments(device, **changed)
    with pytest.raises(InputError, match=complaint) as caught:
        scale((1,), (64,), **given)
    assert str(caught.value).startswith("The kernel scale (scale.cu) ")
    assert (given["out"].get() == 0).all() if change.keys() != {"out"} else True


@pytest.mark.parametrize(
    ("grid", "block", "complaint"),
    [
        ((1,), (2048,), "cannot have blocks of"),
        ((1,), (32, 33), "cannot have blocks of"),
        ((1,), (0,), "cannot have blocks of"),
        ((1, 65536), (64,), "cannot have a grid of"),
        ((2**31,), (64,), "cannot have a grid of"),
        ((-1,), (64,), "cannot have a grid of"),
        ((), (64,), "is launched on a grid"),
        ((1, 1, 1, 1), (64,), "is launched on a grid"),
    ],
)
def test_a_geometry_that_no_device_has_is_refused(device, scale, grid, block, complaint):
    with pytest.raises(InputError, match=complaint):
        scale(grid, block, **arguments(device))


def test_an_empty_grid_launches_nothing(device, scale):
    given = arguments(device, rows=0)
    given["in"], given["out"] = (given[name][:0] for name in ("in", "out"))
    scale((0,), (64,), **given)
    scale((3, 0), (64,), **given)


@pytest.mark.parametrize("order", ["natural", "reversed", "shuffled"])
@pytest.mark.parametrize("n", [1, 31, 256, 5000])
def test_shared_memory_barriers_shuffles_and_atomics(device, folder, monkeypatch, order, n):
    monkeypatch.setenv("HIPCT_STANDIN_ORDER", order)
    values = np.random.default_rng().integers(0, 10_000, n, dtype=np.int32)
    total, most = device.zeros(1, np.uint64), device.zeros(1, np.int32)
    block_sums = kernels.load(device, "block_sums")
    block_sums((-(-n // 256),), (256,), **{"in": device.asarray(values)}, sum=total, most=most, n=n)
    assert int(total[0]) == values.sum()
    assert int(most[0]) == values.max()


def test_a_kernel_is_compiled_once_for_each_set_of_constants(device, folder):
    first = kernels.load(device, "scale", EXTRA=1, TYPE="float")
    assert kernels.load(device, "scale", TYPE="float", EXTRA=1) is first
    other = kernels.load(device, "scale", EXTRA=2, TYPE="float")
    given = {name: value for name, value in arguments(device).items() if name != "out"}
    with pytest.raises(InputError, match=r"= \(5, 9\)"):
        other((1,), (64,), **given, out=device.zeros(SHAPE, np.float32))
    first((1,), (64,), **given, out=device.zeros(SHAPE, np.float32))


def test_a_header_that_has_changed_is_compiled_anew(device, folder):
    def most(values):
        found = device.zeros(1, np.int32)
        arguments = {"in": device.asarray(values), "sum": device.zeros(1, np.uint64)}
        kernels.load(device, "block_sums")((1,), (256,), **arguments, most=found, n=values.size)
        return int(found[0])

    values = np.arange(1, 9, dtype=np.int32)
    code = kernels._source("block_sums")
    assert most(values) == 8
    (folder / "pairs.cuh").write_text(PAIRS.replace("a : b", "2 * a : b"), encoding="utf-8")
    for known in (kernels._load, kernels._module):
        known.cache_clear()
    # CuPy looks for what it has compiled by source and options, whatever the headers hold.
    assert kernels._source("block_sums") != code
    assert most(values) == 16


def test_a_kernel_that_does_not_compile_says_why_and_what_to_do(device, folder):
    with pytest.raises(DeviceError, match="no_such_thing") as caught:
        kernels.load(device, "broken")
    message = str(caught.value)
    assert message.startswith("The kernel broken (broken.cu) does not compile for this device")
    assert "\n" not in message
    assert "--backend numpy" in message


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("shapeless", "does not say the shape of x"),
        ("strange", "has x of the unknown type 'half'"),
        ("endless", "parameters of the kernel endless do not end"),
    ],
)
def test_a_signature_that_cannot_be_read_is_an_error(device, folder, name, complaint):
    with pytest.raises(InputError, match=complaint):
        kernels.load(device, name)


def test_a_constant_of_an_unknown_type_is_an_error(device, folder):
    with pytest.raises(InputError, match="has out of the unknown type 'colour'"):
        kernels.load(device, "scale", EXTRA=1, TYPE="colour")


def test_a_kernel_that_its_file_lacks_is_an_error(device, folder):
    with pytest.raises(InputError, match="no kernel missing"):
        kernels.load(device, "scale", "missing")


def test_a_shape_that_cannot_be_worked_out_is_an_error(device, folder):
    kernel = kernels.load(device, "curious")
    with pytest.raises(InputError, match=r"The shape 'n << 1' .* cannot be worked out"):
        kernel((1,), (32,), x=device.zeros(8, np.int32), n=4)


def test_signatures_are_read_without_a_compiler():
    assert kernels.kernel_names(SCALE) == ["scale", "conjugate"]
    read = kernels.signature(SCALE, "scale", {"TYPE": "double"})
    assert [p.name for p in read] == ["in", "out", "factor", "offset", "rows", "columns"]
    assert [p.dtype.name for p in read] == [
        "float32", "float64", "float32", "int64", "int32", "uint32",
    ]  # fmt: skip
    assert [p.shape for p in read[:3]] == [("rows", "columns / 2 + EXTRA")] * 2 + [None]
    assert [p.written for p in read[:2]] == [False, True]


def test_the_house_finds_its_own_kernels():
    folder = kernels.kernel_folder()
    assert folder.name == "kernels"
    for path in sorted(folder.glob("*.cu")):
        assert kernels.kernel_names(path.read_text(encoding="utf-8")), path.name
