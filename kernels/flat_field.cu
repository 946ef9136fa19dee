// Formula: T = (P - D) / (R_b w_b + R_a w_a): projection P, dark D, references R (flats less dark, by
// machine current) of the groups of flats before and after in time, and their weights times the
// projection's current. A pixel is usable where T is finite and, unless keep, above 0; all others
// become the line between the nearest usable ones of their row, the nearest one before the first and
// behind the last, and 1 in a row without any. (Seibert, Boone & Lindfors, Proc. SPIE 3336, 1998.)
//
// Units and layout: raw counts of the type RAW, projections (angles, rows, columns), transmission
// likewise. NaN in the references marks dead pixels. found counts by row what was replaced: dead,
// NaN or infinite, at or below the dark level, in a row without a usable pixel.
//
// Launch geometry: a warp owns 32 x PIXELS columns of one row and walks over ANGLES angles, with dark
// and references in registers, loaded anew only where the group of flats changes: 12 bytes a pixel
// for ANGLES times the bytes of raw and transmission. BATCH x PIXELS loads are in flight in a thread.
// 8 warps make a block, on 8 rows; grid (columns / 64, rows / 8, angles / ANGLES). No shared memory.
// One vote asks whether a batch is clean. If not, the whole warp searches for neighbours beyond its
// columns, 32 at a time, and computes their transmission anew: any number of columns, no second pass,
// and a frame without light costs a walk of columns / 32 steps, not of columns. References and what
// is looked up so lie in the caches. Counters are integer atomics, one a warp.
//
// Equal to: hipct.preparation.flat.flat_field, to the last bit (the same operations in the same
// order, without contraction); the counters are equal.

#define WARPS 8
#define PIXELS 2
#define BATCH 4
#define ANGLES 32
#define FULL 0xffffffffu

struct Row {
    const RAW* raw;
    const float* dark;
    const float* before;
    const float* after;
    float2 weight;
};

__device__ __forceinline__ float ratio(RAW raw, float dark, float before, float after, float2 weight)
{
    // At the last group the one after is the same one, and its weight 0.
    const float reference = __fadd_rn(__fmul_rn(before, weight.x), __fmul_rn(after, weight.y));
    return __fdiv_rn(__fsub_rn((float)raw, dark), reference);
}

__device__ __forceinline__ float at(const Row& row, int column)
{
    return ratio(row.raw[column], row.dark[column], row.before[column], row.after[column], row.weight);
}

__device__ __forceinline__ bool finite(float value) { return fabsf(value) <= 3.402823466e38f; }

__device__ __forceinline__ bool usable(float value, int keep)
{
    return finite(value) && (keep || value > 0.0f);
}

// All lanes of a warp: mends the columns first + lane of those lanes that hold a broken one.
__device__ __forceinline__ void mend(
    const Row& row, int first, int columns, bool broken, int keep, float* out,
    unsigned long long* found)
{
    const int lane = threadIdx.x;
    const int column = first + lane;
    const bool inside = column < columns;
    const float value = inside ? at(row, column) : 0.0f;
    const unsigned int good = __ballot_sync(FULL, inside && !broken);
    const unsigned int below = good & ((1u << lane) - 1u);
    const unsigned int above = good >> lane >> 1;
    int left = below ? 31 - __clz((int)below) : 0;
    int right = above ? lane + __ffs((int)above) : 0;
    float from_left = __shfl_sync(FULL, value, left);
    float from_right = __shfl_sync(FULL, value, right);
    left += first;
    right += first;
    if (__any_sync(FULL, broken && !below)) {
        int outer = -1;
        float nearest = 0.0f;
        for (int start = first - 32; start >= 0; start -= 32) {
            const float there = at(row, start + lane);
            const unsigned int votes = __ballot_sync(FULL, usable(there, keep));
            if (votes) {
                const int pick = 31 - __clz((int)votes);
                outer = start + pick;
                nearest = __shfl_sync(FULL, there, pick);
                break;
            }
        }
        if (!below) left = outer, from_left = nearest;
    }
    if (__any_sync(FULL, broken && !above)) {
        int outer = columns;
        float nearest = 0.0f;
        for (int start = first + 32; start < columns; start += 32) {
            const bool there = start + lane < columns;
            const float next = there ? at(row, start + lane) : 0.0f;
            const unsigned int votes = __ballot_sync(FULL, there && usable(next, keep));
            if (votes) {
                const int pick = __ffs((int)votes) - 1;
                outer = start + pick;
                nearest = __shfl_sync(FULL, next, pick);
                break;
            }
        }
        if (!above) right = outer, from_right = nearest;
    }
    int kind = -1;
    if (broken) {
        const bool open_left = left < 0;
        const bool open_right = right >= columns;
        const float share = __fdiv_rn((float)(column - left), (float)(right - left));
        const float step = __fmul_rn(__fsub_rn(from_right, from_left), share);
        const float line = __fadd_rn(from_left, step);
        const float end = open_left ? (open_right ? 1.0f : from_right) : from_left;
        out[column] = open_left || open_right ? end : line;
        const bool dead = row.before[column] != row.before[column];
        kind = open_left && open_right ? 3 : dead ? 0 : finite(value) ? 2 : 1;
    }
    for (int each = 0; each < 4; ++each) {
        const unsigned int votes = __ballot_sync(FULL, kind == each);
        if (votes && lane == 0) atomicAdd(found + each, (unsigned long long)__popc(votes));
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, 4) flat_field(
    const RAW* __restrict__ projections,   // (angles, rows, columns) counts
    const float* __restrict__ dark,        // (rows, columns) counts
    const float* __restrict__ references,  // (groups, rows, columns) counts a unit of current
    const int* __restrict__ before,        // (angles) group of flats before
    const float2* __restrict__ weights,    // (angles) of that group and of the next one
    float* __restrict__ out,               // (angles, rows, columns) transmission
    unsigned long long* found,             // (rows, 4) grows: dead, not finite, not positive, empty
    int angles, int rows, int columns, int groups, int keep)
{
    const int lane = threadIdx.x;
    const int row = blockIdx.y * WARPS + threadIdx.y;
    const int first = blockIdx.x * (32 * PIXELS);
    const int begin = blockIdx.z * ANGLES;
    const int end = min(begin + ANGLES, angles);
    if (row >= rows) return;
    const size_t frame = (size_t)rows * columns;
    const size_t own = (size_t)row * columns + first + lane;
    bool inside[PIXELS];
    float level[PIXELS], earlier[PIXELS], later[PIXELS];
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        inside[k] = first + 32 * k + lane < columns;
        level[k] = inside[k] ? dark[own + 32 * k] : 0.0f;
    }
    const RAW* from = projections + begin * frame + own;
    float* to = out + begin * frame + own;
    int held = -1;
    for (int angle = begin; angle < end; angle += BATCH) {
        RAW raw[BATCH][PIXELS];
#pragma unroll
        for (int i = 0; i < BATCH; ++i) {
#pragma unroll
            for (int k = 0; k < PIXELS; ++k)
                raw[i][k] = inside[k] && angle + i < end ? from[32 * k] : (RAW)0;
            from += frame;
        }
        unsigned int broken = 0;
#pragma unroll
        for (int i = 0; i < BATCH; ++i) {
            if (angle + i >= end) break;
            const int group = before[angle + i];
            const float2 weight = weights[angle + i];
            if (group != held) {
                held = group;
                const float* now = references + group * frame + own;
                const float* next = now + (group + 1 < groups ? frame : 0);
#pragma unroll
                for (int k = 0; k < PIXELS; ++k) {
                    earlier[k] = inside[k] ? now[32 * k] : 1.0f;
                    later[k] = inside[k] ? next[32 * k] : 1.0f;
                }
            }
#pragma unroll
            for (int k = 0; k < PIXELS; ++k) {
                const float value = ratio(raw[i][k], level[k], earlier[k], later[k], weight);
                const bool good = usable(value, keep);
                if (inside[k] && good) to[32 * k] = value;
                if (inside[k] && !good) broken |= 1u << (i * PIXELS + k);
            }
            to += frame;
        }
        if (!__any_sync(FULL, broken)) continue;
#pragma unroll 1
        for (int place = 0; place < BATCH * PIXELS; ++place) {
            const bool mine = broken >> place & 1u;
            if (!__any_sync(FULL, mine)) continue;
            const int here = angle + place / PIXELS;
            const size_t start = (size_t)row * columns;
            const float* now = references + before[here] * frame + start;
            const Row whole = {
                projections + here * frame + start, dark + start, now,
                now + (before[here] + 1 < groups ? frame : 0), weights[here]};
            mend(whole, first + 32 * (place % PIXELS), columns, mine, keep,
                 out + here * frame + start, found + (size_t)row * 4);
        }
    }
}
