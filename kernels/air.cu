// Formula: T = P / L, with the air level L of a row of a frame: the line through the means of its
// outermost `left` and `right` columns, or the one mean where only one side sees air. Values that are
// not finite are left out of the means. A row whose level is not above 0 everywhere becomes 1.
//
// Units and layout: counts less dark, or transmission, (angles, rows, columns), seen here as lines
// (lines, columns). lost counts the lines without a level.
//
// Launch geometry: a warp owns a line: its lanes add up the air columns, meet by shuffles, and divide
// the line, reading and writing whole lines of memory; the output may be the input, because the means
// are known before anything is written. 8 warps a block, one dimension of blocks, no shared memory.
// BATCH loads of a lane are in flight. Sums are in double precision, one of them a side and lane, so
// that thousands of counts near 65535 add up without loss, as in NumPy.
//
// Equal to: hipct.preparation.air.air_normalise, to 2e-7 relative (the order of the sums of the means
// differs, in the last place of a double); the counter is equal.

#define WARPS 8
#define BATCH 4
#define FULL 0xffffffffu

__device__ __forceinline__ bool finite(float value) { return fabsf(value) <= 3.402823466e38f; }

// Mean of the finite ones of count values, the same in all lanes; NaN without any.
__device__ __forceinline__ float mean(const float* values, int count)
{
    double total = 0.0;
    int number = 0;
    for (int i = threadIdx.x; i < count; i += 32) {
        const float value = values[i];
        if (finite(value)) {
            total += (double)value;
            ++number;
        }
    }
    for (int step = 16; step; step /= 2) {
        total += __shfl_xor_sync(FULL, total, step);
        number += __shfl_xor_sync(FULL, number, step);
    }
    return number ? (float)(total / (double)number) : __int_as_float(0x7fc00000);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS) air(
    const float* values,       // (lines, columns)
    float* out,                // (lines, columns) transmission
    unsigned long long* lost,  // (1) grows by the lines without a level
    long long lines, int columns, int left, int right)
{
    const long long place = (long long)blockIdx.x * WARPS + threadIdx.y;
    if (place >= lines) return;
    const float* line = values + (size_t)place * columns;
    float* to = out + (size_t)place * columns;
    float on_left = left ? mean(line, left) : 0.0f;
    const float on_right = right ? mean(line + columns - right, right) : on_left;
    if (!left) on_left = on_right;
    __syncwarp();
    const float rise = __fsub_rn(on_right, on_left);
    const float middle = left && right ? 0.5f * (float)(left - 1) : 0.0f;
    const float span = left && right ? (float)(columns - 1) - 0.5f * (float)(right - 1) - middle : 1.0f;
    // Rounding keeps the order of numbers, so that the level of a line is least at one of its ends.
    const float at_first = __fadd_rn(on_left, __fmul_rn(rise, __fdiv_rn(-middle, span)));
    const float at_last =
        __fadd_rn(on_left, __fmul_rn(rise, __fdiv_rn((float)(columns - 1) - middle, span)));
    const bool known = at_first > 0.0f && at_last > 0.0f;
    if (!known && threadIdx.x == 0) atomicAdd(lost, 1ull);
    for (int first = threadIdx.x; first < columns; first += 32 * BATCH) {
        float value[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k)
            value[k] = first + 32 * k < columns ? line[first + 32 * k] : 0.0f;
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const int column = first + 32 * k;
            const float share = __fdiv_rn((float)column - middle, span);
            const float level = __fadd_rn(on_left, __fmul_rn(rise, share));
            if (column < columns) to[column] = known ? __fdiv_rn(value[k], level) : 1.0f;
        }
    }
}
