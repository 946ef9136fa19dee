// The half of the frequency plane that slices are gridded onto: (LANES, cells, cells / 2 + 1).
//
// Row v mod cells and column u hold the cell (u, v), u = 0 .. cells / 2: the order and the shape
// that the inverse transform takes, so that nothing has to be moved before it. Taps also reach
// cells beyond its edges, the rim, which fold_grid adds where they belong afterwards:
//
//     rim_rows     (LANES, 4, cells / 2 + 4)  v = -cells/2 - 1, then cells/2 .. cells/2 + 2;
//                                             u = -1 .. cells/2 + 2
//     rim_columns  (LANES, cells, 3)          u = -1, then cells/2 + 1, cells/2 + 2; v mod cells
//
// A place on the grid with its rim is given as row = v + cells/2 + 1 and column = u + 1, both
// counted from 0, as in hipct.reconstruction.gridding.

#pragma once

#define LANES 8
#define TILE 16

// Where a cell lies in memory: in the first slice, and how far apart the slices are.
struct Cell {
    float2* first;
    size_t stride;
};

// The cell at a row and a column of the grid with its rim.
__device__ __forceinline__ Cell cell_at(
    float2* grid, float2* rim_rows, float2* rim_columns, int cells, int row, int column)
{
    const int half = cells / 2;
    const int v = row - 1 - half, u = column - 1;
    if (v < -half || v >= half) {
        const int place = (v < 0 ? 0 : v - half + 1) * (half + 4) + column;
        return {rim_rows + place, (size_t)4 * (half + 4)};
    }
    const size_t line = v < 0 ? v + cells : v;
    if (u < 0 || u > half)
        return {rim_columns + line * 3 + (u < 0 ? 0 : u - half), (size_t)cells * 3};
    return {grid + line * (half + 1) + u, (size_t)cells * (half + 1)};
}

__device__ __forceinline__ float2 sum(float2 a, float2 b) {
    return make_float2(a.x + b.x, a.y + b.y);
}

__device__ __forceinline__ float2 conjugate(float2 a) { return make_float2(a.x, -a.y); }
