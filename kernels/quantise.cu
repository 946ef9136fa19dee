// Formula:
//   grey = rint(clip((v - low) * per_grey, 0, 65535)), ties to even; NaN becomes 0, and so does what
//   lies outside of the disc (2x - columns + 1)^2 + (2y - rows + 1)^2 <= reach.
//   A subtraction and a product that follows it are never contracted to one rounding, and the clip
//   comes before the only other rounding: the grey values are those of the CPU, bit for bit.
// Units and layout:
//   values in the unit of the volume, (slices, rows, columns); low in that unit, per_grey in grey
//   steps a unit. reach is floor(4 r^2), r the radius in pixels; 2^62 keeps every pixel.
//   counts: voxels inside of the disc below the window, above it, and NaN, added to what is there.
//   VALUE is float or double, the type that is computed in.
// Launch geometry:
//   Block 256 threads, grid (ceil(columns / 2048), rows, slices). A block takes 2048 columns of one
//   row, a thread every 256th of them: each load and store of a warp is one run of memory whatever
//   the number of columns (rows of an odd length start at any alignment, so wider loads would need
//   a second path), and 8 independent loads are in flight. The row decides once a block which of its
//   columns lie in the disc; those outside are not read, 1/7 of the traffic.
//   Counters are added up in shared memory (12 bytes) by the threads that have any, then by three
//   atomic additions of whole numbers a block, none where nothing was clipped.
// Equal to:
//   hipct.volume.quantise.quantise, grey values and counts exactly. (Counts of differences from
//   low below 1e-38, which the card takes for 0, excepted.)

#define THREADS 256
#define EACH 8

extern "C" __global__ void __launch_bounds__(THREADS) quantise(
    const VALUE* __restrict__ values,         // (slices, rows, columns) unit of the volume
    unsigned short* __restrict__ grey,        // (slices, rows, columns) grey values
    unsigned long long* __restrict__ counts,  // (3) voxels below, above, NaN
    int slices, int rows, int columns, long long reach, VALUE low, VALUE per_grey)
{
    __shared__ unsigned int clipped[3];
    if (threadIdx.x < 3) clipped[threadIdx.x] = 0;
    __syncthreads();

    const long long down = 2 * (long long)blockIdx.y - (rows - 1);
    const long long rest = reach - down * down;
    const int first = blockIdx.x * (THREADS * EACH) + threadIdx.x;
    const size_t row = ((size_t)blockIdx.z * rows + blockIdx.y) * columns;

    VALUE value[EACH];
    bool inside[EACH];
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int column = first + i * THREADS;
        const long long right = 2 * (long long)column - (columns - 1);
        inside[i] = column < columns && right * right <= rest;
        value[i] = inside[i] ? values[row + column] : low;
    }
    unsigned int below = 0, above = 0, nan = 0;
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int column = first + i * THREADS;
        VALUE step = (value[i] - low) * per_grey;
        below += step < 0;
        above += step > 65535;
        nan += step != step;
        // A comparison with NaN is false: it becomes 0 here.
        step = step > 0 ? step : 0;
        step = step < 65535 ? step : 65535;
        if (column < columns) grey[row + column] = inside[i] ? (unsigned short)rint(step) : 0;
    }
    if (below) atomicAdd(&clipped[0], below);
    if (above) atomicAdd(&clipped[1], above);
    if (nan) atomicAdd(&clipped[2], nan);
    __syncthreads();
    if (threadIdx.x < 3 && clipped[threadIdx.x])
        atomicAdd(&counts[threadIdx.x], (unsigned long long)clipped[threadIdx.x]);
}
