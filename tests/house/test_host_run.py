"""Kernels run on the host: what they compute is what a device would, and who misbehaves is named.

The judge of all kernels has to be judged first: every rule of ``tests/standin/host.h`` is broken
here once, and must be found out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

STANDIN = Path(__file__).resolve().parents[1] / "standin"
RULES = """
extern "C" __global__ void __launch_bounds__(256) turn_row(const float* in, float* out)
{
    __shared__ float row[256];
    row[threadIdx.x] = in[blockIdx.x * 256 + threadIdx.x];
#ifndef FORGOTTEN
    __syncthreads();
#endif
    out[blockIdx.x * 256 + threadIdx.x] = row[255 - threadIdx.x];
}
extern "C" __global__ void different_barriers(int n)
{
    if (threadIdx.x < n) __syncthreads();
    else __syncthreads();
}
extern "C" __global__ void ended_early(int n)
{
    if (threadIdx.x >= n) return;
    __syncthreads();
}
extern "C" __global__ void warps_apart(int n)
{
    if (threadIdx.x / 32 < n) __syncthreads();
}
extern "C" __global__ void warp_and_block(int n)
{
    if (threadIdx.x < n) __syncwarp();
    else __syncthreads();
}
extern "C" __global__ void whole_block_ended(int* out, int n)
{
    if (blockIdx.x >= n) return;
    __syncthreads();
    out[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}
extern "C" __global__ void short_warp(int* out, int n)
{
    const int i = threadIdx.x;
    if (i >= n) return;
    __syncwarp();
    out[i] = __shfl_sync(0xffffffffu, i, 0);
}
extern "C" __global__ void shuffle_from_nobody(int* out, int n)
{
    const int i = threadIdx.x;
    if (i >= n) return;
    out[i] = __shfl_sync(0xffffffffu, i, 31);
}
extern "C" __global__ void partial_mask(int* out) { out[threadIdx.x] = __shfl_sync(0xffffu, 1, 0); }
extern "C" __global__ void trapped(int n) { if (threadIdx.x == n) __trap(); }
extern "C" __global__ void who_comes_when(int* turn, int* out)
{
    out[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(turn, 1);
}
extern "C" __global__ void never_written(float* reals, int* wholes, short* halves)
{
    __shared__ float real[64];
    __shared__ int whole[64];
    __shared__ short half[64];
    const int i = blockIdx.x * 64 + threadIdx.x;
    reals[i] = real[threadIdx.x];
    wholes[i] = whole[threadIdx.x];
    halves[i] = half[threadIdx.x];
    real[threadIdx.x] = 0.0f;
    whole[threadIdx.x] = half[threadIdx.x] = 0;
}
template <int SIZE> __device__ float from_template(int i)
{
    __shared__ float hidden[SIZE];
    return hidden[i];
}
inline __device__ float from_inline(int i)
{
    __shared__ __align__(16) float hidden[64];
    return hidden[i];
}
extern "C" __global__ void never_written_in_helpers(float* out)
{
    out[threadIdx.x] = threadIdx.x < 32 ? from_template<64>(threadIdx.x) : from_inline(threadIdx.x);
}
extern "C" __global__ void write_beyond(float* out, int n) { out[n] = 1.0f; }
"""


def run(device, name, grid, block, *arguments, options=()):
    module = device.RawModule(code=RULES, options=options)
    module.get_function(name)((grid,), (block,), arguments)


def whole(number):
    return np.int32(number)


@pytest.fixture
def zeros(standin):
    return standin.zeros(256, np.int32)


@pytest.mark.parametrize("order", ["natural", "reversed", "shuffled"])
@pytest.mark.parametrize("options", [(), ("-DHIPCT_UCONTEXT=1",)], ids=["assembly", "ucontext"])
def test_threads_meet_at_barriers(standin, monkeypatch, order, options):
    monkeypatch.setenv("HIPCT_STANDIN_ORDER", order)
    values = np.random.default_rng(1).random((7, 256), dtype=np.float32)
    out = standin.empty((7, 256), np.float32)
    run(standin, "turn_row", 7, 256, standin.asarray(values), out, options=options)
    np.testing.assert_array_equal(out.get(), values[:, ::-1])


@pytest.mark.parametrize("order", ["natural", "reversed", "shuffled"])
def test_a_forgotten_barrier_shows(standin, monkeypatch, order):
    monkeypatch.setenv("HIPCT_STANDIN_ORDER", order)
    values = standin.ones((1, 256), np.float32)
    out = standin.empty_like(values)
    run(standin, "turn_row", 1, 256, values, out, options=("-DFORGOTTEN=1",))
    assert np.isnan(out.get()).any()


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("different_barriers", [whole(5)], r"waits at a barrier while thread \(\d+, 0, 0\) waits"),
        ("ended_early", [whole(100)], r"never reaches: it has ended"),
        ("warps_apart", [whole(1)], r"never reaches: it has ended"),
        ("warp_and_block", [whole(40)], r"waits at a barrier while thread"),
        ("trapped", [whole(77)], r"thread \(77, 0, 0\): __trap\(\)"),
    ],
)
def test_who_breaks_a_rule_is_named(standin, name, arguments, complaint):
    with pytest.raises(RuntimeError, match=complaint) as caught:
        run(standin, name, 3, 128, *arguments)
    assert "line" in str(caught.value)
    assert "seed" in str(caught.value)
    out = standin.zeros(256, np.int32)  # and those who come after it are not disturbed
    run(standin, "whole_block_ended", 4, 64, out, whole(4))
    assert out.get().sum() == 256


def test_a_block_may_end_as_a_whole_before_its_barriers(standin, zeros):
    run(standin, "whole_block_ended", 4, 64, zeros, whole(2))
    assert zeros.get().sum() == 128


def test_lanes_that_have_ended_miss_nothing_but_their_values(standin, zeros):
    run(standin, "short_warp", 1, 32, zeros, whole(20))
    run(standin, "short_warp", 1, 50, zeros, whole(50))
    with pytest.raises(RuntimeError, match="from lane 31, which has ended or lies beyond"):
        run(standin, "shuffle_from_nobody", 1, 32, zeros, whole(20))
    with pytest.raises(RuntimeError, match="from lane 31, which has ended or lies beyond"):
        run(standin, "shuffle_from_nobody", 1, 20, zeros, whole(20))
    with pytest.raises(RuntimeError, match="0x0000ffff: only full warps run here"):
        run(standin, "partial_mask", 1, 32, zeros)


def test_blocks_are_as_small_as_was_promised(standin, zeros):
    values = standin.zeros(512, np.float32)
    with pytest.raises(RuntimeError, match="288 threads a block, and at most 256 can be"):
        run(standin, "turn_row", 1, 288, values, values)
    with pytest.raises(RuntimeError, match="1025 threads a block, and at most 1024 can be"):
        run(standin, "trapped", 1, 1025, whole(-1))
    run(standin, "trapped", 1, 1024, whole(-1))


def turns(standin, order, monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_ORDER", order)
    out = standin.empty(6 * 70, np.int32)
    run(standin, "who_comes_when", 6, 70, standin.zeros(1, np.int32), out)
    return out.get()


def test_threads_and_blocks_come_in_any_order(standin, monkeypatch):
    inorder = np.arange(420)
    np.testing.assert_array_equal(turns(standin, "natural", monkeypatch), inorder)
    np.testing.assert_array_equal(turns(standin, "reversed", monkeypatch), inorder[::-1])
    one, other = (turns(standin, "shuffled", monkeypatch) for _ in range(2))
    np.testing.assert_array_equal(np.sort(one), inorder)
    assert (one != other).mean() > 0.9
    assert (one != inorder).mean() > 0.9


def test_an_order_can_be_had_again(standin, monkeypatch):
    seed = standin._raw.seeds.begin()
    one = turns(standin, "shuffled", monkeypatch)
    monkeypatch.setenv("HIPCT_STANDIN_SEED", str(seed))
    assert standin._raw.seeds.begin() == seed
    np.testing.assert_array_equal(turns(standin, "shuffled", monkeypatch), one)


def test_shared_memory_holds_garbage_when_a_block_starts(standin):
    reals = standin.zeros(5 * 64, np.float32)
    wholes, halves = standin.zeros(5 * 64, np.int32), standin.zeros(5 * 64, np.int16)
    run(standin, "never_written", 5, 64, reals, wholes, halves)
    assert np.isnan(reals.get()).all()
    assert np.isin(wholes.get(), [-1, 0x7FFF7FFF]).all()
    assert np.isin(halves.get(), [-1, 0x7FFF]).all()
    out = standin.zeros(64, np.float32)
    run(standin, "never_written_in_helpers", 1, 64, out)
    assert np.isnan(out.get()).all()


@pytest.mark.parametrize("beyond", [-1, 0], ids=["before", "behind"])
def test_who_writes_beyond_an_array_is_found_without_a_sanitizer(standin, beyond):
    out = standin.zeros(100, np.float32)
    if out._block._buffer is None:
        pytest.skip("AddressSanitizer watches the ends of arrays in this run")
    with pytest.raises(RuntimeError, match="write_beyond wrote before or behind argument 0"):
        run(standin, "write_beyond", 1, 1, out, whole(100 if beyond == 0 else -1))


def test_a_warning_of_the_compiler_is_one_of_pythons(standin):
    code = 'extern "C" __global__ void careless(int n) { int unused = n; }'
    with pytest.warns(UserWarning, match="unused variable"):
        standin.RawModule(code=code).get_function("careless")


@pytest.mark.parametrize(
    "body",
    [
        "float x; atomicAdd(&x, 1.0f);",
        "extern __shared__ float s[];",
        "cooperative_groups::sync();",
    ],
    ids=["float atomics", "dynamic shared memory", "cooperative groups"],
)
def test_what_the_house_does_without_does_not_compile(standin, body):
    code = f'extern "C" __global__ void k() {{ {body} }}'
    with pytest.raises(standin.cuda.compiler.CompileException, match="error"):
        standin.RawModule(code=code).get_function("k")


def test_processes_that_build_the_same_kernel_do_not_clash():
    code = f"""
import cupy, numpy
cupy.RawModule(code='extern "C" __global__ void k{os.getpid()}(int* a) {{ a[0] = 7; }}')\\
    .get_function("k{os.getpid()}")((1,), (1,), (cupy.zeros(1, numpy.int32),))
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(STANDIN)}
        )
        for _ in range(4)
    ]
    assert [process.wait() for process in running] == [0] * 4


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("innocent", "came to its end"),
        ("write_beyond", "heap-buffer-overflow"),
        ("read_beyond", "heap-buffer-overflow"),
        ("read_before", "heap-buffer-overflow"),
        ("shared_beyond", "out of bounds for type 'float [32]'"),
        ("local_beyond", "out of bounds for type 'float [4]'"),
        ("misaligned", "requires 16 byte alignment"),
    ],
)
def test_sanitizers_stop_who_leaves_an_array(sanitised, monkeypatch, name, complaint):
    monkeypatch.setenv("PYTHONPATH", str(STANDIN))
    result = sanitised.run([str(STANDIN / "offenders.py"), name])
    assert complaint in result.stdout
    assert (result.returncode == 0) == (name == "innocent"), result.stdout
