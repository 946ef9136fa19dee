// Formula:
//   counts[bin(v)] += 1 for every finite v inside of the disc
//   (2x - columns + 1)^2 + (2y - rows + 1)^2 <= reach, where the bin is the leading 22 bits of the
//   float32, turned so that bins rise with the value: all bits of a negative number inverted, the
//   sign bit of any other set.
// Units and layout:
//   bits are those of float32 values, (slices, rows, columns), of any unit; reach is floor(4 r^2),
//   r the radius in pixels; 2^62 keeps every pixel. Counts are added to what is there. 64 bits each:
//   a volume has more voxels than 32 bits count.
// Launch geometry:
//   Block 256 threads, grid (ceil(columns / 4096), rows, slices). A thread takes every 256th of 4096
//   columns of a row, so loads are runs of memory and 16 are in flight. There are too many bins for
//   shared memory (4 million, of which an organ fills some ten thousand): counts go to global memory
//   by whole-number additions, whose order does not matter. What serialises them is many equal
//   values, such as a background of 0, so a thread adds runs of one bin together, and a warp what
//   is left of the bin of its first lane: 1/512 of the additions on a constant slice.
// Equal to:
//   hipct.volume.window.GreyHistogram, its counts exactly.

#define THREADS 256
#define EACH 16
#define DROPPED_BITS 10

extern "C" __global__ void __launch_bounds__(THREADS) histogram(
    const unsigned int* __restrict__ bits,    // (slices, rows, columns) float32 values
    unsigned long long* __restrict__ counts,  // (4194304) values of each bin
    int slices, int rows, int columns, long long reach)
{
    const long long down = 2 * (long long)blockIdx.y - (rows - 1);
    const long long rest = reach - down * down;
    const int first = blockIdx.x * (THREADS * EACH) + threadIdx.x;
    const size_t row = ((size_t)blockIdx.z * rows + blockIdx.y) * columns;
    const unsigned int infinity = 0x7F800000u;

    unsigned int value[EACH];
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int column = first + i * THREADS;
        const long long right = 2 * (long long)column - (columns - 1);
        const bool inside = column < columns && right * right <= rest;
        value[i] = inside ? bits[row + column] : infinity;
    }
    unsigned int bin = 0, run = 0;
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        if ((value[i] & infinity) == infinity) continue;
        const unsigned int ordered = value[i] >> 31 ? ~value[i] : value[i] | 0x80000000u;
        const unsigned int next = ordered >> DROPPED_BITS;
        if (next != bin && run) {
            atomicAdd(&counts[bin], (unsigned long long)run);
            run = 0;
        }
        bin = next;
        ++run;
    }
    const unsigned int shared_bin = __shfl_sync(0xffffffffu, bin, 0);
    unsigned int together = bin == shared_bin ? run : 0;
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        together += __shfl_xor_sync(0xffffffffu, together, step);
    if (bin != shared_bin && run) atomicAdd(&counts[bin], (unsigned long long)run);
    if (threadIdx.x % 32 == 0 && together)
        atomicAdd(&counts[shared_bin], (unsigned long long)together);
}
