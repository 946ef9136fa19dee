// Direct back-projection of filtered rows onto one plane of any tilt through the volume.
//
// Formula:
//     sums[i, j] += sum_k (1 - f) q[s, k](axis + X cos a_k + Y sin a_k) + f q[s + 1, k](same)
//     (X, Y, Z) = first pixel + i row_step + j column_step, s = floor(Z), f = Z - s. As back-
//     projection is linear, this is the volume interpolated linearly between its slices, with no
//     interpolation within them: q[s, k] is the periodic row k of slice s, linear between its
//     samples.
//
// Units and layout:
//     Rows in C order, slices first; sample j of a row at the detector column j (or j - length).
//     Places and steps in voxels, Z from the plane's first slice, X and Y from the rotation axis.
//     Of the rows, the first `slices` lanes and `angles` lines are used. They are of the slices
//     first_slice .. first_slice + slices - 1 of all that the plane meets, `met` in number; a call
//     serves the pixels between its slices and leaves the others as they are. So a pixel beyond
//     all slices by more than `slack`, or further than `reach` from the axis, stays 0 if it was.
//     One call adds some angles.
//
// Launch geometry:
//     block (16, 16), grid (tiles along the rows, tiles down them). A thread owns one pixel: its
//     slices and its fraction stay in registers while all angles pass by. The rows are read through
//     L1, not staged: with steps of any length, and slices that change from pixel to pixel, a
//     tile has no bounded span of them, and the warp's 16 x 2 pixels meet one or two cache lines.
//     A warp of 32 x 1 would meet more. Four loads an angle are independent, and two angles are
//     under way at a time.
//     Places: for each angle and block, the position of the tile's middle is worked out in double
//     and split into a column and a fraction, by one thread for one of 256 angles; float32 counts
//     from there and is exact to 1e-6 columns for steps of one voxel.
//     A tile without a pixel to serve ends at once. Shared memory: 4 KiB of places.
//     Count: 26 instructions and 4 loads a pixel and angle, of about 2 cycles in L1 each for a
//     warp: 132 multiprocessors at 1.8 GHz have a ceiling near 9e11 pixels and angles a second, by
//     loads and by issue alike: 512 x 512 pixels of 3000 angles in the order of 1 ms.
//
// Equal to:
//     hipct.reconstruction.planes.back_project_plane on NumPy, within 1e-5 of the largest value.

#define TILE 16
#define GROUP (TILE * TILE)
#define ROUNDING 12582912.0f      // 1.5 2^23: adding it rounds to a whole number, in the low bits
#define ROUNDING_BITS 0x4B400000  // its bits

// How an angle meets the tile: its middle is at the column `cell` + 0.5 + `rest`, and a pixel
// further along the plane's rows or down them is so many columns further.
struct Place {
    float along_row, down, rest;
    int cell;
};

extern "C" __global__ void __launch_bounds__(256) back_project_plane(
    const float* __restrict__ filtered,   // (lanes, lines, length) weighted rows
    const double* __restrict__ cosines,   // (angles)
    const double* __restrict__ sines,     // (angles)
    float* __restrict__ sums,             // (rows, columns) the plane
    int slices, int angles, int lanes, int lines, int length, int rows, int columns,
    int first_slice, int met, double slack,
    double z, double y, double x,
    double row_step_z, double row_step_y, double row_step_x,
    double column_step_z, double column_step_y, double column_step_x,
    double axis, double reach)
{
    __shared__ Place places[GROUP];
    __shared__ int served;

    const int thread = threadIdx.y * TILE + threadIdx.x;
    const int i = blockIdx.y * TILE + threadIdx.y, j = blockIdx.x * TILE + threadIdx.x;
    const double from_z = z + i * row_step_z + j * column_step_z;
    const double from_y = y + i * row_step_y + j * column_step_y;
    const double from_x = x + i * row_step_x + j * column_step_x;
    const double lower = min(max(floor(from_z), 0.0), max(met - 2.0, 0.0));
    const int slice = (int)lower - first_slice;
    const int next = min(slice + 1, slices - 1);
    const float up = (float)min(max(from_z - lower, 0.0), 1.0);
    const bool mine = i < rows && j < columns
        && from_z >= -slack && from_z <= met - 1 + slack
        && from_x * from_x + from_y * from_y <= reach * reach
        && slice >= 0 && (slice < slices - 1 || met == 1);

    if (thread == 0) served = 0;
    __syncthreads();
    if (mine) atomicOr(&served, 1);
    __syncthreads();
    if (!served) return;

    const size_t stride = (size_t)lines * length;
    const float* lower_rows = filtered + (mine ? slice : 0) * stride;
    const float* upper_rows = filtered + (mine ? next : 0) * stride;
    const float right = threadIdx.x - 0.5f * (TILE - 1), below = threadIdx.y - 0.5f * (TILE - 1);
    float sum = mine ? sums[(size_t)i * columns + j] : 0.0f;
    for (int group = 0; group < angles; group += GROUP) {
        const int grouped = min(GROUP, angles - group);
        if (thread < grouped) {
            const double cosine = cosines[group + thread], sine = sines[group + thread];
            const double middle_i = blockIdx.y * TILE + 0.5 * (TILE - 1);
            const double middle_j = blockIdx.x * TILE + 0.5 * (TILE - 1);
            const double along_row = column_step_x * cosine + column_step_y * sine;
            const double down = row_step_x * cosine + row_step_y * sine;
            const double middle =
                axis + x * cosine + y * sine + middle_i * down + middle_j * along_row;
            const double whole = floor(middle);
            places[thread] = {(float)along_row, (float)down, (float)(middle - whole - 0.5),
                              (int)whole};
        }
        __syncthreads();
        if (mine) {
#pragma unroll 2
            for (int k = 0; k < grouped; ++k) {
                const Place place = places[k];
                const float position =
                    fmaf(below, place.down, fmaf(right, place.along_row, place.rest));
                const float rounded = position + ROUNDING;
                const float rest = position - (rounded - ROUNDING);
                int cell = place.cell + (__float_as_int(rounded) - ROUNDING_BITS);
                cell += cell < 0 ? length : 0;
                const int after = cell + 1 < length ? cell + 1 : 0;
                const size_t row = (size_t)(group + k) * length;
                const float near = 0.5f - rest, far = 0.5f + rest;
                const float a = fmaf(far, __ldg(lower_rows + row + after),
                                     near * __ldg(lower_rows + row + cell));
                const float b = fmaf(far, __ldg(upper_rows + row + after),
                                     near * __ldg(upper_rows + row + cell));
                sum += fmaf(up, b - a, a);
            }
        }
        __syncthreads();
    }
    if (mine) sums[(size_t)i * columns + j] = sum;
}
