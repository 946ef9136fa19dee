"""CUDA's functions on the host: the values that the device's documentation promises."""

from __future__ import annotations

import numpy as np
import pytest

FLOAT, DOUBLE, INT, UINT, LONG, ULONG = (
    np.float32, np.float64, np.int32, np.uint32, np.int64, np.uint64,
)  # fmt: skip
C = {FLOAT: "float", DOUBLE: "double", INT: "int", UINT: "unsigned int"}
C |= {LONG: "long long", ULONG: "unsigned long long"}


def source(expressions, given, result):
    """One kernel for each expression of a, and of b, which is the array reversed."""
    return "".join(
        f"""
extern "C" __global__ void apply_{k}(const {C[given]}* in, {C[result]}* out, int n)
{{
    const int i = threadIdx.x + blockIdx.x * blockDim.x;
    if (i >= n) return;
    const {C[given]} a = in[i], b = in[n - 1 - i];
    (void)b;
    out[i] = {expression};
}}
"""
        for k, expression in enumerate(expressions)
    )


def evaluate(standin, expression, values, result, among=None):
    """``expression`` for every value, compiled together with those that it is ``among``."""
    values = np.asarray(values)
    among = list(among or [expression])
    code = source(among, values.dtype.type, result)
    kernel = standin.RawModule(code=code).get_function(f"apply_{among.index(expression)}")
    out = standin.empty(values.size, result)
    kernel((-(-values.size // 64),), (64,), (standin.asarray(values), out, INT(values.size)))
    return out.get()


REALS = np.concatenate(
    [np.linspace(-9.3, 9.1, 301), 2.0 ** np.arange(-30, 60), -(2.0 ** np.arange(50))]
)
WHOLES = np.array([0, 1, -1, 5, 1023, -(2**31), 2**31 - 1, 0x12345678], INT)
HUGE = np.array([0, 1, 3, 2**24 + 1, 2**53 + 1, 2**63 - 1, 2**64 - 1, 2**64 - 2**40], ULONG)


@pytest.mark.parametrize("real", [FLOAT, DOUBLE])
def test_sines_of_turns(standin, real):
    values = np.concatenate([REALS[:301], np.arange(-8, 8.25, 0.25)]).astype(real)
    suffix = "f" if real is FLOAT else ""
    turns = values.astype(np.longdouble)
    turns -= 2 * np.rint(turns / 2)
    # In an eighth of a turn the argument keeps all of its digits.
    expected = {"s": np.sin(np.pi * turns), "c": np.cos(np.pi * turns)}
    for which in "sc":
        call = f"[&] {{ {C[real]} s, c; sincospi{suffix}(a, &s, &c); return {which}; }}()"
        found = evaluate(standin, call, values, real)
        precision = 1e-7 if real is FLOAT else 2e-15
        np.testing.assert_allclose(found, expected[which].astype(real), rtol=0, atol=precision)
        exact = values * 2 == np.rint(values * 2)
        np.testing.assert_array_equal(found[exact], np.rint(expected[which][exact]).astype(real))


OF_REALS = {
    "rsqrtf(fabsf(a) + 1e-3f)": lambda a: 1 / np.sqrt(np.abs(a) + DOUBLE(FLOAT(1e-3))),
    "fmaf(a, 3.0f, 1e-7f)": lambda a: a * 3 + DOUBLE(FLOAT(1e-7)),
    "__saturatef(a)": lambda a: np.clip(a, 0, 1),
    "min(a, 1.5f)": lambda a: np.minimum(a, 1.5),
    "max(a, 1.5f)": lambda a: np.maximum(a, 1.5),
    "abs(a)": np.abs,
    "__ldg(&a)": lambda a: a,
    "__int_as_float(__float_as_int(a))": lambda a: a,
    "__uint_as_float(__float_as_uint(a) ^ 0x80000000u)": lambda a: -a,
    "__fdividef(a, 3.0f)": lambda a: a / 3,
    "make_float4(0.0f, a, 1.0f, 2.0f).y": lambda a: a,
}


@pytest.mark.parametrize("expression", OF_REALS)
def test_functions_of_reals(standin, expression):
    values = REALS.astype(FLOAT)
    found = evaluate(standin, expression, values, FLOAT, OF_REALS)
    expected = OF_REALS[expression](values.astype(DOUBLE))
    np.testing.assert_allclose(found, expected, rtol=1.2e-7)


def test_nan_loses_against_a_number(standin):
    values = np.array([np.nan, 1, np.nan, 2], FLOAT)
    expected = {
        "min(a, 5.0f)": [5, 1, 5, 2],
        "max(-1.0f, a)": [-1, 1, -1, 2],
        "__saturatef(a)": [0, 1, 0, 1],
        "isnan(a) + 2 * isfinite(a)": [1, 2, 1, 2],
    }
    for expression, wanted in expected.items():
        assert evaluate(standin, expression, values, FLOAT, expected).tolist() == wanted


MODES = {"rn": np.rint, "rd": np.floor, "ru": np.ceil, "rz": np.trunc}


@pytest.mark.parametrize("kind", [INT, UINT, LONG, ULONG])
def test_conversions_to_whole_numbers_saturate(standin, kind):
    name = {INT: "int", UINT: "uint", LONG: "ll", ULONG: "ull"}[kind]
    values = np.concatenate([REALS, [1e30, -1e30, 0.5, 1.5, -2.5]]).astype(FLOAT)
    beyond = np.array([np.inf, -np.inf, np.nan], FLOAT)
    limits = np.iinfo(kind)
    calls = {f"__float2{name}_{mode}(a)": rounded for mode, rounded in MODES.items()}
    for call, rounded in calls.items():
        wholes = map(int, rounded(values.astype(DOUBLE)))
        expected = [min(max(whole, limits.min), limits.max) for whole in wholes]
        assert evaluate(standin, call, values, kind, calls).tolist() == expected
        found = evaluate(standin, call, beyond, kind, calls)
        assert found.tolist() == [limits.max, limits.min, 0]


def test_conversions_of_huge_numbers_round_as_they_say(standin):
    calls = [f"__ull2float_{mode}(a)" for mode in ("rn", "rd", "ru")]
    nearest, below, above = (evaluate(standin, call, HUGE, FLOAT, calls) for call in calls)
    for k, whole in enumerate(map(int, HUGE)):
        assert nearest[k] == FLOAT(whole)
        assert int(below[k]) <= whole <= int(above[k])
        assert int(above[k]) - int(below[k]) <= np.spacing(below[k])
    exact = evaluate(standin, "__ull2double_rn(a)", HUGE, DOUBLE)
    assert exact.tolist() == [float(int(v)) for v in HUGE]


OF_WHOLES = {
    "__popc(a)": lambda a, b: (a & 0xFFFFFFFF).bit_count(),
    "__clz(a)": lambda a, b: 32 - (a & 0xFFFFFFFF).bit_length(),
    "__ffs(a)": lambda a, b: (a & -a).bit_length() if a else 0,
    "(int)__brev(a)": lambda a, b: signed(int(f"{a & 0xFFFFFFFF:032b}"[::-1], 2)),
    "__mulhi(a, b)": lambda a, b: (a * b) >> 32,
    "(int)__umulhi(a, b)": lambda a, b: signed((a % 2**32) * (b % 2**32) >> 32),
    "(int)__byte_perm(a, b, 0x4061)": lambda a, b: permuted(a, b, (1, 6, 0, 4)),
    "(int)__funnelshift_l(a, b, 5)": lambda a, b: signed((b << 32 | a % 2**32) << 5 >> 32),
    "min(a, b)": min,
    "max(a, 7u) == max((unsigned int)a, 7u)": lambda a, b: 1,
}


@pytest.mark.parametrize("expression", OF_WHOLES)
def test_functions_of_whole_numbers(standin, expression):
    found = evaluate(standin, expression, WHOLES, INT, OF_WHOLES)
    pairs = zip(WHOLES.tolist(), WHOLES[::-1].tolist())
    assert found.tolist() == [OF_WHOLES[expression](a, b) for a, b in pairs]


def signed(number):
    return (number + 2**31) % 2**32 - 2**31


def permuted(a, b, places):
    parts = (a % 2**32).to_bytes(4, "little") + (b % 2**32).to_bytes(4, "little")
    return int.from_bytes(bytes(parts[k] for k in places), "little", signed=True)


def test_long_products_keep_their_upper_half(standin):
    found = evaluate(standin, "__umul64hi(a, b)", HUGE, ULONG)
    assert found.tolist() == [int(a) * int(b) >> 64 for a, b in zip(HUGE, HUGE[::-1])]
    wholes = HUGE.view(LONG)
    found = evaluate(standin, "__mul64hi(a, b)", wholes, LONG)
    assert found.tolist() == [int(a) * int(b) >> 64 for a, b in zip(wholes, wholes[::-1])]


WARPS = """
extern "C" __global__ void warps(int* out)
{
    const int i = threadIdx.x, lane = i % 32;
    const unsigned int all = 0xffffffffu;
    int* mine = out + i * 10;
    mine[0] = __shfl_sync(all, i, 7);
    mine[1] = __shfl_sync(all, i, 3, 8);
    mine[2] = __shfl_up_sync(all, i, 2u);
    mine[3] = __shfl_down_sync(all, i, 2, 16);
    mine[4] = __shfl_xor_sync(all, i, 5);
    mine[5] = (int)__ballot_sync(all, lane % 3 == 0);
    mine[6] = __any_sync(all, i == 40) + 2 * __all_sync(all, i < 60);
    mine[7] = __syncthreads_count(i % 5 == 0);
    mine[8] = __syncthreads_or(i == 63) + 2 * __syncthreads_and(i != 63);
    mine[9] = (int)__shfl_sync(all, (double)i + 0.25, 31) + (int)__shfl_sync(all, 1ull << 40, 0);
}
"""
ATOMICS = """
extern "C" __global__ void atomics(int* ints, unsigned int* uints, unsigned long long* longs)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&ints[0], i);
    atomicSub(&ints[1], 1);
    atomicMax(&ints[2], i);
    atomicMin(&ints[3], -i);
    atomicOr(&uints[0], 1u << (i % 32));
    atomicAnd(&uints[1], ~(1u << (i % 16)));
    atomicXor(&uints[2], (unsigned int)i);
    atomicInc(&uints[3], 9u);
    atomicAdd(&longs[0], (unsigned long long)i << 32);
    atomicMax(&longs[1], 5ull * i);
    atomicCAS(&longs[2], 0ull, 77ull);
    atomicExch(&longs[3], 8ull);
}
"""


@pytest.mark.parametrize("order", ["natural", "reversed", "shuffled"])
def test_shuffles_and_votes(standin, monkeypatch, order):
    monkeypatch.setenv("HIPCT_STANDIN_ORDER", order)
    out = standin.empty((64, 10), INT)
    standin.RawModule(code=WARPS).get_function("warps")((1,), (64,), (out,))
    for i, row in enumerate(out.get().tolist()):
        warp, lane = i - i % 32, i % 32
        assert row == [
            warp + 7,
            i - i % 8 + 3,
            i - 2 if lane >= 2 else i,
            i + 2 if i % 16 < 14 else i,
            i ^ 5,
            signed(sum(1 << k for k in range(0, 32, 3))),
            (warp == 32) + 2 * (warp == 0),
            13,
            1,
            warp + 31,
        ]


def test_atomics_on_whole_numbers(standin):
    ints, uints = standin.zeros(4, INT), standin.asarray(np.array([0, 2**32 - 1, 0, 3], UINT))
    longs, n = standin.zeros(4, ULONG), 5 * 70
    standin.RawModule(code=ATOMICS).get_function("atomics")((5,), (70,), (ints, uints, longs))
    assert ints.get().tolist() == [n * (n - 1) // 2, -n, n - 1, 1 - n]
    xor = int(np.bitwise_xor.reduce(np.arange(n)))
    assert uints.get().tolist() == [2**32 - 1, 0xFFFF0000, xor, (3 + n) % 10]
    assert longs.get().tolist() == [(n * (n - 1) // 2) << 32, 5 * (n - 1), 77, 8]
