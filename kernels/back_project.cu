// Direct back-projection of filtered rows onto a window of slices, by linear interpolation.
//
// Formula:
//     sums[s, y, x] += sum_k q[s, k](axis + X cos a_k + Y sin a_k)   (Kak and Slaney, section 3.3)
//     X, Y: the pixel relative to the pivot, where the axis stands in the slice. q[s, k] is the
//     periodic row k of slice s, linear between its samples. After the last angles, pixels further
//     from the axis than `reach` become 0.
//
// Units and layout:
//     Rows and slices in C order, slices first; sample j of a row at the detector column j (or
//     j - length). Of the rows, the first `slices` lanes and `angles` lines are used. Places in
//     pixels. The window is rows x columns pixels of the slice, from (first_row, first_column); the
//     pivot is counted from the first pixel of the slice. One call adds some angles: `begin` sets the sums to 0 first, `end` is the last
//     call. A tile that lies outside of `reach` is written by the last call alone.
//
// Launch geometry:
//     block (32, 8), grid (tiles along x, tiles along y, slices / SLICES). A block owns a tile of
//     32 x 32 pixels of SLICES slices (1, 2 or 4), a thread 4 pixels of it, 8 rows apart; their
//     4 SLICES sums stay in registers while all angles pass by.
//     Tiles are those of the whole slice wherever the window begins, so that a pixel has the same
//     bits in every window. The sum of a pixel runs over the angles one by one in their order, and
//     no arithmetic depends on SLICES: the same bits for any cut into calls.
//     Places: for each angle and block, the position of the tile's middle is worked out in double
//     and split into a column and a fraction; float32 counts from there, at most 22.5 columns, and
//     is exact to 2e-6 columns at any size of slice. One thread does one of 256 angles.
//     Rows: a tile meets at most 31 (|cos| + |sin|) < 44 cells between samples. They are staged in
//     shared memory, ANGLES angles at a time, as the mean and the difference of the two samples of
//     the cell, so that one 8-byte load and two instructions make an update:
//         value = mean + (position - middle of the cell) difference.
//     The 16 threads of a half-warp, neighbours along x, meet at most 16 neighbouring cells: no
//     bank conflict. Reading the rows through L1 instead takes two loads and their tags per update.
//     Shared memory: 4 KiB of places and 12 KiB of cells (32 / SLICES angles, SLICES slices, 48
//     cells of 8 bytes). There is one buffer: while a block waits for its rows, the 4 others that a
//     multiprocessor holds are adding, hence at most 48 registers (64 where it holds 4 blocks).
//     Count, an update being one pixel, angle and slice: a pixel and angle cost 6 instructions for
//     place, cell and fraction (the cell by adding 1.5 2^23, which rounds at full rate where a
//     conversion runs at a quarter of it or less), shared by the slices; an update 1 load, 1 fmaf
//     and 1 addition; staging some 15 instructions for each of 48 cells in 1024 updates. That is
//     5.2 instructions an update with 4 slices and 10 with one, and a multiprocessor issues for 128
//     threads a cycle: 25 and 13 updates. Shared memory gives it 128 bytes a cycle: 16 updates, 14
//     with the staging. 132 multiprocessors at 1.8 GHz so have a ceiling of 3.4e12 updates/s, set
//     by shared memory; with one slice 3.0e12, by issue. Eight slices would need fewer
//     instructions, which are not what is short, and 80 registers.
//     Rows cross L2 once a tile: 0.2 bytes an update. Sums cross memory once a call: 8 bytes a
//     pixel against all angles of the call.
//
// Equal to:
//     hipct.reconstruction.direct._back_project with a pixel's reach, within 1e-5 of the largest
//     value.

#ifndef SLICES
#define SLICES 4
#endif
#define TILE 32
#define THREAD_ROWS 8
#define PIXELS (TILE / THREAD_ROWS)
#define THREADS (TILE * THREAD_ROWS)
#define CELLS 48
#define ANGLES (32 / SLICES)
#define GROUP THREADS
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define BLOCKS 4  // all that a multiprocessor holds
#else
#define BLOCKS 5
#endif

#define ROUNDING 12582912.0f      // 1.5 2^23: adding it rounds to a whole number, in the low bits
#define ROUNDING_BITS 0x4B400000  // its bits

// How an angle meets the tile: its middle is at the column `cell` + 24 + 0.5 + `rest`.
struct __align__(16) Place {
    float cosine, sine, rest;
    int cell;
};

__device__ __forceinline__ double nearest_to_zero(double first, double last) {
    return first > 0.0 ? first : last < 0.0 ? last : 0.0;
}

__device__ __forceinline__ int within(int i, int count) {
    return min(max(i, 0), count - 1);
}

__device__ __forceinline__ int wrapped(int j, int length) {
    while (j >= length) j -= length;
    return j;
}

extern "C" __global__ void __launch_bounds__(256, BLOCKS) back_project(
    const float* __restrict__ filtered,   // (lanes, lines, length) weighted rows
    const double* __restrict__ cosines,   // (angles)
    const double* __restrict__ sines,     // (angles)
    float* __restrict__ sums,             // (slices, rows, columns) the window
    int slices, int angles, int lanes, int lines, int length,
    int rows, int columns, int first_row, int first_column,
    double pivot_row, double pivot_column, double axis, double reach,
    int begin, int end)
{
    __shared__ float2 cells[ANGLES][SLICES][CELLS];
    __shared__ Place places[GROUP];

    const int thread = threadIdx.y * TILE + threadIdx.x;
    const int tile_row = (first_row / TILE + blockIdx.y) * TILE;
    const int tile_column = (first_column / TILE + blockIdx.x) * TILE;
    const int first_slice = blockIdx.z * SLICES;
    const double left = tile_column - pivot_column, top = tile_row - pivot_row;
    const double near_x = nearest_to_zero(left, left + (TILE - 1));
    const double near_y = nearest_to_zero(top, top + (TILE - 1));
    const bool met = near_x * near_x + near_y * near_y <= reach * reach;
    if (!met && !end) return;

    // What this thread owns: its column of the window and its rows, both perhaps outside.
    const int column = tile_column + threadIdx.x - first_column;
    const int row = tile_row + threadIdx.y - first_row;
    const size_t plane = (size_t)rows * columns;

    float sum[PIXELS][SLICES] = {};
    if (!begin && met) {
        // Whoever has no pixel there takes that of a neighbour, and drops it in the end.
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) {
            const int i = within(row + p * THREAD_ROWS, rows), j = within(column, columns);
            const float* from = sums + first_slice * plane + (size_t)i * columns + j;
#pragma unroll
            for (int s = 0; s < SLICES; ++s) {
                sum[p][s] = *from;
                if (first_slice + s + 1 < slices) from += plane;
            }
        }
    }

    const float x = threadIdx.x - 0.5f * (TILE - 1);
    const float y = threadIdx.y - 0.5f * (TILE - 1);
    for (int group = 0; met && group < angles; group += GROUP) {
        const int grouped = min(GROUP, angles - group);
        if (thread < grouped) {
            const double cosine = cosines[group + thread], sine = sines[group + thread];
            const double middle = axis + (left + 0.5 * (TILE - 1)) * cosine
                                       + (top + 0.5 * (TILE - 1)) * sine;
            const double whole = floor(middle);
            const int cell = ((int)whole - CELLS / 2) % length;
            places[thread] = {(float)cosine, (float)sine, (float)(middle - whole - 0.5),
                              cell < 0 ? cell + length : cell};
        }
        __syncthreads();
        for (int first = 0; first < grouped; first += ANGLES) {
            const int count = min(ANGLES, grouped - first);
#pragma unroll 4
            for (int item = thread; item < ANGLES * SLICES * CELLS; item += THREADS) {
                const int k = item / (SLICES * CELLS), s = item / CELLS % SLICES;
                if (k >= count) break;
                const int j = wrapped(places[first + k].cell + item % CELLS, length);
                const int slice = min(first_slice + s, slices - 1);
                const float* q = filtered + ((size_t)slice * lines + group + first + k) * length;
                const float before = __ldg(q + j), after = __ldg(q + (j + 1 < length ? j + 1 : 0));
                cells[k][s][item % CELLS] = {0.5f * (before + after), after - before};
            }
            __syncthreads();
#pragma unroll 1
            for (int k = 0; k < count; ++k) {
                const Place place = places[first + k];
                const float start = fmaf(y, place.sine, fmaf(x, place.cosine, place.rest));
#pragma unroll
                for (int p = 0; p < PIXELS; ++p) {
                    const float position =
                        p ? fmaf((float)(p * THREAD_ROWS), place.sine, start) : start;
                    const float rounded = position + ROUNDING;
                    const float rest = position - (rounded - ROUNDING);
                    const int cell = __float_as_int(rounded) - (ROUNDING_BITS - CELLS / 2);
#pragma unroll
                    for (int s = 0; s < SLICES; ++s) {
                        const float2 both = cells[k][s][cell];
                        sum[p][s] += fmaf(rest, both.y, both.x);
                    }
                }
            }
            __syncthreads();
        }
    }

    if (column < 0 || column >= columns) return;
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
        const int i = row + p * THREAD_ROWS;
        if (i < 0 || i >= rows) continue;
        const double from_x = left + threadIdx.x, from_y = top + threadIdx.y + p * THREAD_ROWS;
        const bool seen = !end || from_x * from_x + from_y * from_y <= reach * reach;
        float* to = sums + first_slice * plane + (size_t)i * columns + column;
#pragma unroll
        for (int s = 0; s < SLICES; ++s) {
            if (first_slice + s < slices) *to = seen ? sum[p][s] : 0.0f;
            to += plane;
        }
    }
}
