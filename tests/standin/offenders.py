"""Kernels that break the rules, one for each argument, and one that keeps them.

Run under the sanitizers by ``tests/house/test_host_run.py``, each in a process of its own, since
the first offence ends it. Needs ``tests/standin`` in PYTHONPATH.
"""

from __future__ import annotations

import sys

import cupy
import numpy as np

SOURCE = """
extern "C" __global__ void write_beyond(const float* in, float* out, int n)
{
    const int i = threadIdx.x;
    if (i <= n) out[i] = (float)i;
}
extern "C" __global__ void read_beyond(const float* in, float* out, int n)
{
    const int i = threadIdx.x;
    if (i < n) out[i] = in[i + 1];
}
extern "C" __global__ void read_before(const float* in, float* out, int n)
{
    const int i = threadIdx.x;
    if (i < n) out[i] = in[i - 1];
}
extern "C" __global__ void shared_beyond(const float* in, float* out, int n)
{
    __shared__ float row[32];
    row[threadIdx.x + (n > 3 ? 1 : 0)] = in[0];
    __syncthreads();
    if (threadIdx.x < n) out[threadIdx.x] = row[threadIdx.x];
}
extern "C" __global__ void misaligned(const float* in, float* out, int n)
{
    const float4 v = *(const float4*)(in + 1);
    out[0] = v.x;
}
extern "C" __global__ void local_beyond(const float* in, float* out, int n)
{
    float mine[4] = {0, 0, 0, 0};
    for (int i = 0; i <= n - 7; ++i) mine[i] = in[i];
    out[0] = mine[0] + mine[3];
}
extern "C" __global__ void innocent(const float* in, float* out, int n)
{
    __shared__ float row[32];
    const int i = threadIdx.x;
    row[i] = i < n ? in[i] : 0.0f;
    for (int k = 0; k < 50; ++k) {
        __syncthreads();
        const float v = __shfl_xor_sync(0xffffffffu, row[31 - i], 5);
        __syncthreads();
        row[i] = v;
    }
    if (i < n) out[i] = row[i];
}
"""

if __name__ == "__main__":
    kernel = cupy.RawModule(code=SOURCE).get_function(sys.argv[1])
    data = cupy.asarray(np.arange(11, dtype=np.float32))
    kernel((3,), (32,), (data, cupy.empty_like(data), np.int32(11)))
    sys.stdout.write("came to its end\n")
