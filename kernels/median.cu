// Formula: the median over frames of (frame - dark) * factor, pixel by pixel, without the values that
// are not finite; the mean of the two middle ones of an even number; NaN where there is none.
//
// Units and layout: raw counts of the type RAW, (count, pixels), the pixels being rows x columns; the
// factors are one over the machine current of each frame.
//
// Launch geometry: a thread owns a pixel; 256 threads a block, one dimension of blocks. Floats, their
// bits turned so that they order as unsigned integers, are selected digit by digit: 32 times the
// thread counts the values below a candidate. So it needs no memory of its own and takes any number
// of frames, and the values of a block (20 KB for 40 frames of 2 bytes) are read once and then lie in
// the first cache. Sorting whole frames would write and read them many times.
//
// Equal to: hipct.preparation.reduction.reduce_frames with the reduction "median", to the last bit.

#define THREADS 256

__device__ __forceinline__ bool finite(float value) { return fabsf(value) <= 3.402823466e38f; }

// Negative numbers turned over, others moved above them.
__device__ __forceinline__ unsigned int rank_of(float value)
{
    const unsigned int bits = __float_as_uint(value);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float value_of(unsigned int rank)
{
    return __uint_as_float(rank >> 31 ? rank & 0x7fffffffu : ~rank);
}

extern "C" __global__ void __launch_bounds__(THREADS) median(
    const RAW* __restrict__ frames,     // (count, pixels) counts
    const float* __restrict__ dark,     // (pixels) counts
    const float* __restrict__ factors,  // (count) one over the current
    float* __restrict__ out,            // (pixels)
    int count, long long pixels)
{
    const long long pixel = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (pixel >= pixels) return;
    const RAW* own = frames + pixel;
    const float level = dark[pixel];
    int known = 0;
    for (int k = 0; k < count; ++k)
        known += finite(__fmul_rn(__fsub_rn((float)own[k * (size_t)pixels], level), factors[k]));
    if (known == 0) {
        out[pixel] = __int_as_float(0x7fc00000);
        return;
    }
    // The largest rank with at most `middle` values below it is that of the lower middle one.
    const int middle = (known - 1) / 2;
    unsigned int found = 0;
    for (int digit = 31; digit >= 0; --digit) {
        const unsigned int candidate = found | 1u << digit;
        int below = 0;
#pragma unroll 4
        for (int k = 0; k < count; ++k) {
            const float value = __fmul_rn(__fsub_rn((float)own[k * (size_t)pixels], level), factors[k]);
            below += finite(value) && rank_of(value) < candidate;
        }
        if (below <= middle) found = candidate;
    }
    unsigned int next = 0xffffffffu;
    int up_to = 0;
    for (int k = 0; k < count; ++k) {
        const float value = __fmul_rn(__fsub_rn((float)own[k * (size_t)pixels], level), factors[k]);
        const unsigned int rank = rank_of(value);
        if (!finite(value)) continue;
        up_to += rank <= found;
        if (rank > found) next = min(next, rank);
    }
    if (up_to > known / 2) next = found;
    out[pixel] = __fmul_rn(__fadd_rn(value_of(found), value_of(next)), 0.5f);
}
