// Slices out of the inverse transform: cropped, the gridding kernel taken out, cut to a circle.
//
// Formula:
//     out[s, y, x] = planes[s, (y - size/2) mod cells, (x - size/2) mod cells] level[y] level[x]
//     where the detector has been, (y - pivot_row)^2 + (x - pivot_column)^2 <= reach^2, else 0.
//
// Units and layout:
//     Attenuation, rows down and columns to the right; the pivot, where the axis stands, and the
//     reach are in pixels, and double: as long as the axis stands in the middle of the slice, both
//     sides of the comparison are exact.
//
// Launch geometry:
//     grid (size / 256, size / ROWS, slices), block 256. A thread makes one column of ROWS rows,
//     so that four loads are under way at a time; a warp reads and writes runs of 128 bytes.
//     Outside of the circle nothing is read.
//
// Equal to:
//     the last pass of hipct.reconstruction.fourier.FourierEngine on NumPy
//     (hipct.reconstruction.fourier_numba.unpack), within rounding.

#define ROWS 4

extern "C" __global__ void __launch_bounds__(256) unpack(
    const float* __restrict__ planes,  // (count, cells, cells)
    const float* __restrict__ level,   // (size)
    float* __restrict__ out,           // (slices, size, size)
    double pivot_row, double pivot_column, double reach, int count, int slices, int cells, int size)
{
    const int x = blockIdx.x * 256 + threadIdx.x;
    if (x >= size) return;
    const int column = x - size / 2 + (x < size / 2 ? cells : 0);
    const double right = x - pivot_column;
    const float level_x = level[x];
    const float* plane = planes + (size_t)blockIdx.z * cells * cells + column;
    float* slice = out + (size_t)blockIdx.z * size * size + x;
    float value[ROWS];
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const int y = blockIdx.y * ROWS + k;
        const int row = y - size / 2 + (y < size / 2 ? cells : 0);
        const double down = y - pivot_row;
        const bool seen = y < size && down * down + right * right <= reach * reach;
        value[k] = seen ? plane[(size_t)row * cells] * (level[y] * level_x) : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const int y = blockIdx.y * ROWS + k;
        if (y < size) slice[(size_t)y * size] = value[k];
    }
}
