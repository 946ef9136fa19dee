// Gridding: samples on lines through the origin of the frequency plane, spread onto its cells.
//
// Formula:
//     grid[v, u] += sum over lines k and frequencies m of
//                   w(u - m step_u[k]) w(v - m step_v[k]) c[k, m] spectra[k, m],
//     c[k, m] = response[m] weight[k] exp(2 pi i m turns[k]), and the product is conjugated for
//     lines that were turned by pi. w is the Kaiser-Bessel window of four cells (Beatty, Nishimura
//     and Pauly, IEEE Trans. Med. Imaging 24 (2005) 799), from a table with linear interpolation.
//     grid_tiles does it; merge_tiles adds up tiles that several blocks have shared.
//
// Units and layout:
//     Spectra (LANES, lines, samples), slices first, as cuFFT makes them; grid and rim as in
//     gridding.cuh. Places are fixed-point numbers of 64 bits with 40 binary places: m step is an
//     exact product, so that a sample lies in the same cell for every thread that asks, and within
//     1e-8 cells of the truth at 10 000 cells (float32 would be off by 5e-4). The phase ramp is in
//     turns with 64 binary places: it wraps by itself.
//     work: tile row, tile column, first line, line after the last, number of the part or -1.
//     tiles: tile row, tile column, first part, part after the last.
//     constants of a line: 1/step_u, 1/step_v (1e30 for 0), weight, -1 if turned else 1.
//
// Launch geometry:
//     grid_tiles: grid (items), a block is one warp: 20 KB of shared memory, of which 16 KB are
//     the sums of a tile of 16 x 16 cells for 8 slices. A sample touches 4 x 4 cells, and so one
//     cell of each of the 16 classes (v mod 4, u mod 4). A thread owns one class for half of the
//     slices: it takes every sample, no two threads ever add to the same cell, and no lane idles.
//     The sum of the cell at hand stays in registers; in shared memory, at places that only this
//     thread uses, lie those of its other 15 cells, to which it turns every fourth cell of the
//     line's way. That costs some 60 instructions of a warp for a sample of 8 slices, staging
//     included (counted in its PTX). A thread that owned a cell and gathered would spend
//     as much on looking for its samples.
//     Samples are staged 32 at a time, one a thread: place, taps, phase and the product with eight
//     spectra, read along m. Runs of m that reach the tile follow from 1/step_u and 1/step_v (a hair
//     too long: a sample that misses changes nothing) and are packed densely by a sum over the
//     warp. Tiles take lines [first, last) of a block of lines, the longest work first; where too
//     many lines meet (near the origin, where all of them do), lines are parted into fixed shares
//     with sums of their own.
//     merge_tiles: grid (tiles, LANES), 256 threads, one a cell; parts are added in their order.
//     No atomics: a cell's sum runs by line and frequency, whatever the number of slices.
//
// Equal to:
//     hipct.reconstruction.gridding.spread of the samples times GridPlan.factors, within 1e-5 of
//     the largest cell.

#include "gridding.cuh"

#define WARP 32
#define WIDTH 4
#define CLASSES 16        // cells that a sample touches, one of each class
#define BLOCKS 16         // 4 x 4 cells of a tile
#define NODES 512
#define FRACTION 40
#define PITCH 5           // float4 of a staged sample: 8 slices, and one to keep banks apart
#define TAPS (WARP + 1)   // staged taps of one class, likewise
#define REACH 0.05f       // samples by which a run may be too long: more than float32 rounds off

// The four taps of a sample at a fraction of a cell (hipct.reconstruction.kernel.kernel_table).
__device__ __forceinline__ float4 taps_at(const float4* __restrict__ table, long long place) {
    const float fraction =
        (float)((unsigned int)(place >> (FRACTION - 24)) & 0xffffffu) * (NODES / 16777216.0f);
    const int node = (int)fraction;
    const float rest = fraction - (float)node;
    const float4 value = __ldg(table + 2 * node), slope = __ldg(table + 2 * node + 1);
    return make_float4(fmaf(rest, slope.x, value.x), fmaf(rest, slope.y, value.y),
                       fmaf(rest, slope.z, value.z), fmaf(rest, slope.w, value.w));
}

// First and last frequency for which low <= step m <= high, from 1 / step.
__device__ __forceinline__ void narrow(float low, float high, float inverse, float& a, float& b) {
    a = fmaxf(a, fminf(low * inverse, high * inverse));
    b = fminf(b, fmaxf(low * inverse, high * inverse));
}

// Where the sum of a cell of a tile stands among all sums, which are ordered by pair of slices,
// block of 4 x 4 cells, thread, and slice of the pair.
__device__ __forceinline__ int place_of(int row, int column, int lane) {
    const int block = (row / WIDTH) * (TILE / WIDTH) + column / WIDTH;
    const int thread = (lane / 4) * CLASSES + (row % WIDTH) * WIDTH + column % WIDTH;
    return (((lane / 2 % 2) * BLOCKS + block) * WARP + thread) * 2 + lane % 2;
}

extern "C" __global__ void __launch_bounds__(WARP) grid_tiles(
    const float2* __restrict__ spectra,            // (8, lines, samples)
    const int* __restrict__ work,                  // (items, 5)
    const long long* __restrict__ steps,           // (lines, 2) cells along u and v, times 2^40
    const unsigned long long* __restrict__ turns,  // (lines) per sample, times 2^64
    const float* __restrict__ constants,           // (lines, 4)
    const float* __restrict__ response,            // (samples)
    const float* __restrict__ table,               // (512, 8) taps and their slopes
    float2* __restrict__ grid,                     // (8, cells, cells / 2 + 1)
    float2* __restrict__ rim_rows,                 // (8, 4, cells / 2 + 4)
    float2* __restrict__ rim_columns,              // (8, cells, 3)
    float2* __restrict__ partial,                  // (parts, 8, 16, 16)
    int lines, int samples, int cells, int items, int parts)
{
    __shared__ float4 sums[2 * BLOCKS * WARP];
    __shared__ float4 values[WARP * PITCH];
    __shared__ float taps[2 * WIDTH * TAPS];
    __shared__ int cell[WARP];
    __shared__ int begin[WARP], start[WARP];

    const int thread = threadIdx.x;
    const int row0 = work[5 * blockIdx.x] * TILE, column0 = work[5 * blockIdx.x + 1] * TILE;
    const int first = work[5 * blockIdx.x + 2], last = work[5 * blockIdx.x + 3];
    const int part = work[5 * blockIdx.x + 4];
    const int half = cells / 2;
    const int height = min(TILE, cells + 4 - row0), width = min(TILE, half + 4 - column0);
    float2* single = reinterpret_cast<float2*>(sums);

    // Sums go on from the grid's present values: half a warp takes a row of cells.
    for (int i = thread; i < TILE * TILE; i += WARP) {
        const int row = i / TILE, column = i % TILE;
        float2 present[LANES] = {};
        if (part < 0 && row < height && column < width) {
            const Cell at =
                cell_at(grid, rim_rows, rim_columns, cells, row0 + row, column0 + column);
#pragma unroll
            for (int lane = 0; lane < LANES; ++lane) present[lane] = at.first[lane * at.stride];
        }
#pragma unroll
        for (int lane = 0; lane < LANES; ++lane)
            single[place_of(row, column, lane)] = present[lane];
    }
    __syncwarp();

    // This thread's class, its slices, and the cell at hand.
    const int class_row = thread / WIDTH % WIDTH, class_column = thread % WIDTH;
    const int pair = thread / CLASSES;
    const float* tap_row = taps + (WIDTH + class_row) * TAPS;
    const float* tap_column = taps + class_column * TAPS;
    const float4* value = values + 2 * pair;
    float4* mine = sums + thread;
    const int own = (WIDTH - 1 - class_row) << 16 | (WIDTH - 1 - class_column);
    int here = 0;
    float4 a = mine[0], b = mine[BLOCKS * WARP];

    for (int group = first; group < last; group += WARP) {
        // Frequencies of 32 lines that reach the tile, and where their runs stand one by one.
        int count = 0;
        if (group + thread < last) {
            const float4 line = reinterpret_cast<const float4*>(constants)[group + thread];
            float low = 0.0f, high = (float)(samples - 1);
            narrow((float)(column0 - WIDTH + 1), (float)(column0 + TILE), line.x, low, high);
            narrow((float)(row0 - half - WIDTH + 1), (float)(row0 - half + TILE), line.y, low, high);
            if (low <= high + 2.0f * REACH) {
                begin[thread] = max(0, (int)floorf(low - REACH));
                count = min(samples - 1, (int)ceilf(high + REACH)) - begin[thread] + 1;
            }
        }
        int stop = count;
        for (int step = 1; step < WARP; step *= 2) {
            const int before = __shfl_up_sync(0xffffffffu, stop, step);
            if (thread >= step) stop += before;
        }
        start[thread] = stop - count;
        const int total = __shfl_sync(0xffffffffu, stop, WARP - 1);
        __syncwarp();

        for (int done = 0; done < total; done += WARP) {
            const int present = min(WARP, total - done);
            if (thread < present) {
                // The last line whose run begins at this sample or before it.
                int line = 0;
                for (int step = WARP / 2; step > 0; step /= 2)
                    if (start[line + step] <= done + thread) line += step;
                const int m = begin[line] + done + thread - start[line];
                line += group;

                const long long u = steps[2 * line] * m, v = steps[2 * line + 1] * m;
                const int column = (int)(u >> FRACTION), row = (int)(v >> FRACTION) + half;
                // Seen from the tile, and above 0 even where a run is too long.
                cell[thread] = (row - row0 + TILE) << 16 | (column - column0 + TILE);
                const float4* nodes = reinterpret_cast<const float4*>(table);
                const float4 along = taps_at(nodes, u), across = taps_at(nodes, v);
                // By class: tap i of a sample lies in the class (first cell + i) mod 4.
                taps[(column % WIDTH) * TAPS + thread] = along.x;
                taps[((column + 1) % WIDTH) * TAPS + thread] = along.y;
                taps[((column + 2) % WIDTH) * TAPS + thread] = along.z;
                taps[((column + 3) % WIDTH) * TAPS + thread] = along.w;
                taps[(WIDTH + row % WIDTH) * TAPS + thread] = across.x;
                taps[(WIDTH + (row + 1) % WIDTH) * TAPS + thread] = across.y;
                taps[(WIDTH + (row + 2) % WIDTH) * TAPS + thread] = across.z;
                taps[(WIDTH + (row + 3) % WIDTH) * TAPS + thread] = across.w;

                const float4 constant = reinterpret_cast<const float4*>(constants)[line];
                const unsigned long long turn = turns[line] * (unsigned long long)m;
                float sine, cosine;
                sincospif((float)(int)(turn >> 32) * (2.0f / 4294967296.0f), &sine, &cosine);
                const float level = response[m] * constant.z;
                cosine *= level;
                sine *= level;
                const float2* spectrum = spectra + (size_t)line * samples + m;
                const size_t slice = (size_t)lines * samples;
                float2 z[LANES];
#pragma unroll
                for (int lane = 0; lane < LANES; ++lane) z[lane] = __ldg(spectrum + lane * slice);
#pragma unroll
                for (int lane = 0; lane < LANES; lane += 2) {
                    const float2 p = z[lane], q = z[lane + 1];
                    values[thread * PITCH + lane / 2] = make_float4(
                        fmaf(p.x, cosine, -p.y * sine), constant.w * fmaf(p.x, sine, p.y * cosine),
                        fmaf(q.x, cosine, -q.y * sine), constant.w * fmaf(q.x, sine, q.y * cosine));
                }
            }
            __syncwarp();

            for (int i = 0; i < present; ++i) {
                // Block of 4 x 4 cells in which the sample meets this thread's class: row and column
                // at a time, in the halves of a word. Those of the tile are 4 .. 7 in both.
                const int met = (cell[i] + own) >> 2;
                const bool inside = (met & 0x3ffc3ffc) == 0x00040004;
                const int block = (met & 3) | (met >> 14 & 12);
                const float weight = inside ? tap_column[i] * tap_row[i] : 0.0f;
                if (inside && block != here) {
                    mine[here * WARP] = a;
                    mine[(BLOCKS + here) * WARP] = b;
                    here = block;
                    a = mine[here * WARP];
                    b = mine[(BLOCKS + here) * WARP];
                }
                const float4 p = value[i * PITCH], q = value[i * PITCH + 1];
                a.x = fmaf(weight, p.x, a.x);
                a.y = fmaf(weight, p.y, a.y);
                a.z = fmaf(weight, p.z, a.z);
                a.w = fmaf(weight, p.w, a.w);
                b.x = fmaf(weight, q.x, b.x);
                b.y = fmaf(weight, q.y, b.y);
                b.z = fmaf(weight, q.z, b.z);
                b.w = fmaf(weight, q.w, b.w);
            }
            __syncwarp();
        }
    }
    mine[here * WARP] = a;
    mine[(BLOCKS + here) * WARP] = b;
    __syncwarp();

    for (int i = thread; i < TILE * TILE; i += WARP) {
        const int row = i / TILE, column = i % TILE;
        if (part < 0 && (row >= height || column >= width)) continue;
        const Cell at =
            part < 0 ? cell_at(grid, rim_rows, rim_columns, cells, row0 + row, column0 + column)
                     : Cell{partial + (size_t)part * LANES * TILE * TILE + i, TILE * TILE};
#pragma unroll
        for (int lane = 0; lane < LANES; ++lane)
            at.first[lane * at.stride] = single[place_of(row, column, lane)];
    }
}

extern "C" __global__ void __launch_bounds__(TILE * TILE) merge_tiles(
    const float2* __restrict__ partial,   // (parts, 8, 16, 16)
    const int* __restrict__ tiles,        // (count, 4)
    float2* __restrict__ grid,            // (8, cells, cells / 2 + 1)
    float2* __restrict__ rim_rows,        // (8, 4, cells / 2 + 4)
    float2* __restrict__ rim_columns,     // (8, cells, 3)
    int cells, int parts, int count)
{
    const int row = tiles[4 * blockIdx.x] * TILE + threadIdx.x / TILE;
    const int column = tiles[4 * blockIdx.x + 1] * TILE + threadIdx.x % TILE;
    const int first = tiles[4 * blockIdx.x + 2], last = tiles[4 * blockIdx.x + 3];
    const int lane = blockIdx.y;
    if (row >= cells + 4 || column >= cells / 2 + 4) return;
    const Cell at = cell_at(grid, rim_rows, rim_columns, cells, row, column);
    float2* target = at.first + lane * at.stride;
    float2 total = *target;
#pragma unroll 4
    for (int part = first; part < last; ++part)
        total = sum(
            total, partial[((size_t)part * LANES + lane) * (TILE * TILE) + threadIdx.x]);
    *target = total;
}
