"""The tests of the kernels once more, under the compiler's sanitizers.

The stand-in runs the kernels of ``kernels/`` on the CPU; here they are compiled so that every
access beyond an array or a shared array, every misaligned one, and every shift or conversion that
C++ does not define ends the process. The interpreter is not compiled so, and gets the sanitizer's
library from the loader.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = {
    "preparation": ["tests/preparation"],
    "phase": ["tests/phase"],
    "reconstruction": ["tests/reconstruction"],
    "volume": ["tests/volume/test_quantise.py", "tests/volume/test_reduce.py"],
}
LONGEST_S = 300
"""A room takes some 10 s; what takes so long hangs."""


@functools.cache
def sanitized() -> dict[str, str]:
    """Environment of a process whose kernels are watched."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("no C++ compiler to run kernels on the host with: install g++")
    command = [compiler, "-print-file-name=libasan.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip("g++ came without AddressSanitizer (libasan)")
    return {
        **os.environ,
        "LD_PRELOAD": library,
        # The interpreter keeps what it allocates until it ends.
        "ASAN_OPTIONS": "detect_leaks=0",
        "HIPCT_HOST_FLAGS": "-fsanitize=address,undefined -fno-sanitize-recover=all",
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizers on."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=sanitized(),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )


@pytest.mark.parametrize("room", ROOMS)
def test_no_kernel_leaves_its_arrays(room):
    options = ["-q", "-x", "-k", "host-run", "-p", "no:cacheprovider", "-p", "no:xdist"]
    result = run("-m", "pytest", *options, *ROOMS[room])
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert " passed" in result.stdout


WRONG = {
    "beyond an array": ("out[threadIdx.x + n] = 1.0f;", "heap-buffer-overflow"),
    "before an array": ("out[(int)threadIdx.x - n] = 1.0f;", "heap-buffer-overflow"),
    "beyond a shared array": (
        "__shared__ float tile[32]; tile[threadIdx.x + n] = 1.0f; __syncthreads();"
        "out[threadIdx.x] = tile[threadIdx.x];",
        "out of bounds",
    ),
    "misaligned": ("*(float2*)(out + n) = make_float2(1.0f, 2.0f);", "misaligned address"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_kernel_is_found_out(fault):
    """Sanitizers that find nothing show nothing."""
    body, complaint = WRONG[fault]
    code = f"""
import sys
sys.path.insert(0, "tests/standin")
import cupy
source = '''
extern "C" __global__ void __launch_bounds__(32) wrong(float* out, int n) {{ {body} }}
'''
kernel = cupy.RawModule(code=source, options=("--std=c++17",)).get_function("wrong")
out = cupy.zeros(32, cupy.float32)
kernel((1,), (32,), (out, cupy.int32(int(sys.argv[1]))))
print("ran")
"""
    assert run("-c", code, "0").stdout.strip() == "ran"
    result = run("-c", code, "1")
    assert result.returncode != 0
    assert complaint in result.stderr
