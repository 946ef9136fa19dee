// Formula:
//   reduced = mean of 2 x 2 x 2 voxels, rounded to nearest, ties to even:
//   (s + 3 + (s / 8 mod 2)) / 8 of their sum s, in whole numbers. At the end of an axis of odd
//   length the last voxel is taken twice: the sum is then a multiple of the true one and the mean
//   is that of the voxels that exist, exactly.
// Units and layout:
//   VOXEL is unsigned char or unsigned short: grey values, (depth, rows, columns) in, half of each,
//   rounded up, out.
// Launch geometry:
//   Block 256 threads, grid (ceil(columns / 2048), ceil(rows / 2), ceil(depth / 2)). A block makes
//   1024 voxels of one row of the result, a thread every 256th of them: 32 independent loads in
//   flight, each row of the block read by whole cache lines (both voxels of a pair lie in the line
//   that the first one fetched), stores one run of memory. Voxels are loaded one by one because rows
//   of odd length start at any alignment: 9 requests of a warp for 576 bytes of traffic, which is
//   several times what memory delivers in that time.
//   Several levels of a slab are several launches, not one. The second launch reads again the eighth
//   that the first has written: 1.29 block sizes of traffic against 1.14, which a fused kernel would
//   pay for with shared memory, barriers and a path for every parity of every level.
// Equal to:
//   hipct.volume.reduce.reduce_block, exactly.

#define THREADS 256
#define EACH 4

extern "C" __global__ void __launch_bounds__(THREADS) reduce(
    const VOXEL* __restrict__ block,  // (depth, rows, columns) grey values
    VOXEL* __restrict__ reduced,      // ((depth + 1) / 2, (rows + 1) / 2, (columns + 1) / 2) means
    int depth, int rows, int columns)
{
    const int half_rows = (rows + 1) / 2, half_columns = (columns + 1) / 2;
    const int y0 = 2 * blockIdx.y, y1 = min(y0 + 1, rows - 1);
    const int z0 = 2 * blockIdx.z, z1 = min(z0 + 1, depth - 1);
    const VOXEL* __restrict__ line[4] = {
        block + ((size_t)z0 * rows + y0) * columns,
        block + ((size_t)z0 * rows + y1) * columns,
        block + ((size_t)z1 * rows + y0) * columns,
        block + ((size_t)z1 * rows + y1) * columns,
    };
    VOXEL* __restrict__ target = reduced + ((size_t)blockIdx.z * half_rows + blockIdx.y) * half_columns;
    const int first = blockIdx.x * (THREADS * EACH) + threadIdx.x;

    unsigned int total[EACH];
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        // A thread beyond the row reads the last voxel and writes nothing.
        const int x0 = min(2 * (first + i * THREADS), columns - 1);
        const int x1 = min(x0 + 1, columns - 1);
        total[i] = 0;
#pragma unroll
        for (int k = 0; k < 4; ++k)
            total[i] += (unsigned int)line[k][x0] + (unsigned int)line[k][x1];
    }
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int x = first + i * THREADS;
        if (x < half_columns)
            target[x] = (VOXEL)((total[i] + 3u + ((total[i] >> 3) & 1u)) >> 3);
    }
}
