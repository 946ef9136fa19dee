// Formula:
//   out[a, c] = median over |d| <= size / 2 of ranked[c + d, r], a = origin[c, r], columns beyond
//   the borders mirrored with the edge repeated: steps 3 and 4 of algorithm 3 of Vo, Atwood &
//   Drakopoulos, Optics Express 26 (2018) 28396.
// Units and layout:
//   keys are float32 values of any unit as sort_columns.cu orders them (32 bits that rise with the
//   value), column by column, ranks beside each other. out takes the values' own bits, in the
//   layout of the sinograms. Keys instead of floats: no value is rounded or flushed to zero, and a
//   NaN, which the caller refuses afterwards, is a number like any other.
// Launch geometry:
//   Block 128 ranks, grid (ceil(angles / 128), ceil(columns / strip), slices); a thread slides along
//   the columns of its strip at one rank, so that loads of neighbouring ranks are runs of memory.
//   Writes go where the angle is, 4 bytes in a sector each; blocks of one strip are neighbours in
//   the grid and write the sectors' other columns soon after, so they meet in the second cache
//   (1.5 MB for 128 columns of 3000 angles). No shared memory.
//   median_ranks: SIZE sorted keys stay in registers; one sweep of 4 instructions a key takes the
//   oldest out and the new one in: 84 for 21 columns. The next column is loaded meanwhile.
//   running_median: any width. The median of the next window is the same key, or the nearest one
//   above or below, which one look through the window finds: no memory that grows with the width.
// Equal to:
//   hipct.preparation.rings_sorting.remove_rings_sorting with sort_columns.cu, exactly.
// Constants: SIZE (odd width of median_ranks), ANGLE (type of origin).

constexpr unsigned int SIGN = 0x80000000u, ALL = 0xFFFFFFFFu;

__device__ __forceinline__ int reflect(int column, int columns)
{
    if (column < 0) return -1 - column;
    return column < columns ? column : 2 * columns - 1 - column;
}

__device__ __forceinline__ unsigned int float_bits(unsigned int key)
{
    return key ^ (key >= SIGN ? SIGN : ALL);
}

extern "C" __global__ void __launch_bounds__(128) median_ranks(
    const unsigned int* __restrict__ keys,  // (slices, columns, angles) sorted along the angles
    const ANGLE* __restrict__ origin,       // (slices, columns, angles) angle of each rank
    unsigned int* __restrict__ out,         // (slices, angles, columns) float32 values
    int slices, int columns, int angles, int strip)
{
    const int rank = blockIdx.x * 128 + threadIdx.x;
    if (rank >= angles) return;
    const size_t slice = (size_t)blockIdx.z * columns * angles;
    const unsigned int* ranked = keys + slice + rank;
    const ANGLE* homes = origin + slice + rank;
    const int first = blockIdx.y * strip, last = min(first + strip, columns);

    unsigned int window[SIZE];
#pragma unroll
    for (int k = 0; k < SIZE; ++k) window[k] = ALL;
#pragma unroll 1
    for (int near = first - SIZE / 2; near <= first + SIZE / 2; ++near) {
        unsigned int carry = ranked[(size_t)reflect(near, columns) * angles];
#pragma unroll
        for (int k = 0; k < SIZE; ++k) {
            const unsigned int low = min(window[k], carry);
            carry = max(window[k], carry);
            window[k] = low;
        }
    }
#pragma unroll 1
    for (int column = first; column < last; ++column) {
        const int next = min(column + 1, columns - 1);
        const unsigned int gone = ranked[(size_t)reflect(next - 1 - SIZE / 2, columns) * angles];
        unsigned int carry = ranked[(size_t)reflect(next + SIZE / 2, columns) * angles];
        const int angle = (int)homes[(size_t)column * angles];
        out[slice + (size_t)angle * columns + column] = float_bits(window[SIZE / 2]);
#pragma unroll
        for (int k = 0; k < SIZE - 1; ++k) {
            const unsigned int kept = window[k] < gone ? window[k] : window[k + 1];
            window[k] = min(kept, carry);
            carry = max(kept, carry);
        }
        window[SIZE - 1] = carry;
    }
}

// A window of one rank, and its keys below and equal to a key.
struct Window {
    const unsigned int* ranked;
    int angles, columns, half;

    __device__ unsigned int operator()(int column) const
    {
        return ranked[(size_t)reflect(column, columns) * angles];
    }

    __device__ int below(int column, unsigned int key) const
    {
        int count = 0;
        for (int near = column - half; near <= column + half; ++near) count += (*this)(near) < key;
        return count;
    }

    __device__ int equal(int column, unsigned int key) const
    {
        int count = 0;
        for (int near = column - half; near <= column + half; ++near) count += (*this)(near) == key;
        return count;
    }

    __device__ unsigned int above(int column, unsigned int key) const
    {
        unsigned int nearest = ALL;
        for (int near = column - half; near <= column + half; ++near) {
            const unsigned int here = (*this)(near);
            if (here > key) nearest = min(nearest, here);
        }
        return nearest;
    }

    __device__ unsigned int beneath(int column, unsigned int key) const
    {
        unsigned int nearest = 0;
        for (int near = column - half; near <= column + half; ++near) {
            const unsigned int here = (*this)(near);
            if (here < key) nearest = max(nearest, here);
        }
        return nearest;
    }
};

extern "C" __global__ void __launch_bounds__(128) running_median(
    const unsigned int* __restrict__ keys,  // (slices, columns, angles) sorted along the angles
    const ANGLE* __restrict__ origin,       // (slices, columns, angles) angle of each rank
    unsigned int* __restrict__ out,         // (slices, angles, columns) float32 values
    int slices, int columns, int angles, int strip, int half)
{
    const int rank = blockIdx.x * 128 + threadIdx.x;
    if (rank >= angles) return;
    const size_t slice = (size_t)blockIdx.z * columns * angles;
    const Window window{keys + slice + rank, angles, columns, half};
    const int first = blockIdx.y * strip, last = min(first + strip, columns);

    // The median is the largest key with at most half of the others below it.
    unsigned int median = 0;
    for (unsigned int bit = SIGN; bit; bit >>= 1)
        if (window.below(first, median | bit) <= half) median |= bit;
    int below = window.below(first, median), equal = window.equal(first, median);
    for (int column = first;; ++column) {
        const int angle = (int)origin[slice + (size_t)column * angles + rank];
        out[slice + (size_t)angle * columns + column] = float_bits(median);
        if (column + 1 == last) return;
        const unsigned int gone = window(column - half), fresh = window(column + 1 + half);
        below += (int)(fresh < median) - (int)(gone < median);
        equal += (int)(fresh == median) - (int)(gone == median);
        if (below > half) {
            median = window.beneath(column + 1, median);
            equal = window.equal(column + 1, median);
            below -= equal;
        } else if (below + equal <= half) {
            median = window.above(column + 1, median);
            below += equal;
            equal = window.equal(column + 1, median);
        }
    }
}
