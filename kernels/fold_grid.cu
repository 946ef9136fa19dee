// The rim of the frequency grid added where periodicity and symmetry put it, in place.
//
// Formula:
//     v is periodic in the number of cells; a cell at u < 0, or beyond u = cells/2, is the complex
//     conjugate of the cell mirrored at the origin (the slice is real). Then, for u = 0 and
//     u = cells/2, X[v] becomes X[v] + conj X[-v]: these two columns are their own mirror images,
//     and the inverse transform to real numbers reads them as such, and all others twice.
//
// Units and layout:
//     Grid and rim as in gridding.cuh; only the grid changes.
//
// Launch geometry:
//     grid (5 cells + 4 (cells/2 + 1) in blocks of 256, LANES): a thread owns one of the cells
//     that change: the columns 0, 1, cells/2 - 2, cells/2 - 1, cells/2, then what remains of the
//     four rows around v = cells/2. Every cell is written by one thread, which reads no cell of
//     the grid that another one writes: of a column's two mirrored cells one thread does both. In
//     place, because the grid is the largest array; these edges are a thousandth of it.
//
// Equal to:
//     hipct.reconstruction.gridding.fold_margins and the doubling of two columns that follows it
//     in hipct.reconstruction.fourier (after the transform along v, where only the real part of
//     these columns counts); the same sums, exactly.

#include "gridding.cuh"

// All that lies at a row of the grid and a column of the grid with its rim.
__device__ float2 whole(
    const float2* grid, const float2* rim_rows, const float2* rim_columns, int cells, int lane,
    int row, int column)
{
    const int half = cells / 2, u = column - 1;
    const size_t line = (size_t)lane * cells + row;
    float2 value = u < 0 || u > half ? rim_columns[line * 3 + (u < 0 ? 0 : u - half)]
                                     : grid[line * (half + 1) + u];
    const int rim = row - (half - 1);
    if (0 <= rim && rim < 4)
        value = sum(value, rim_rows[((size_t)lane * 4 + rim) * (half + 4) + column]);
    return value;
}

extern "C" __global__ void __launch_bounds__(256) fold_grid(
    float2* __restrict__ grid,               // (8, cells, cells / 2 + 1)
    const float2* __restrict__ rim_rows,     // (8, 4, cells / 2 + 4)
    const float2* __restrict__ rim_columns,  // (8, cells, 3)
    int cells)
{
    const int half = cells / 2, lane = blockIdx.y;
    int i = blockIdx.x * 256 + threadIdx.x;
    int row, u;
    if (i < 5 * cells) {
        row = i / 5;
        u = i % 5;
        if (u > 1) u += half - 4;
    } else {
        i -= 5 * cells;
        row = half - 1 + i / (half + 1);
        u = i % (half + 1);
        if (row > half + 2 || u < 2 || u > half - 3) return;
    }
    const int mirror = row == 0 ? 0 : cells - row;
    float2* place = grid + ((size_t)lane * cells + row) * (half + 1) + u;
    float2 value = whole(grid, rim_rows, rim_columns, cells, lane, row, u + 1);
    if (u == 0 || u == half) {
        if (row > mirror) return;
        const float2 other = whole(grid, rim_rows, rim_columns, cells, lane, mirror, u + 1);
        *place = sum(value, conjugate(other));
        grid[((size_t)lane * cells + mirror) * (half + 1) + u] = sum(other, conjugate(value));
        return;
    }
    // Cells -1, cells/2 + 1 and cells/2 + 2 mirrored are 1, cells/2 - 1 and cells/2 - 2.
    const int beyond = u == 1 ? 0 : u >= half - 2 ? 2 * half - u + 1 : -1;
    if (beyond >= 0)
        value = sum(
            value, conjugate(whole(grid, rim_rows, rim_columns, cells, lane, mirror, beyond)));
    *place = value;
}
