// Rows of sinograms, continued to the length of their transform and weighted.
//
// Formula:
//     out[s, k, j] = sinograms[s, order[k], source[j]] lateral[j], and 0 for slices beyond the
//     last. source continues the rows beyond the detector; lateral blends the opposite projections
//     of a half-acquisition (hipct.reconstruction.half) or is 1, and 0 where zeros are padded.
//
// Units and layout:
//     Line integrals, slices first; columns counted from 0.
//
// Launch geometry:
//     grid (length / 256, lines), block 256. A thread makes one sample of one line for all slices:
//     source and lateral are read once, and eight loads are under way at a time. A warp reads and
//     writes runs of 128 bytes. It is bound by memory; 256 threads hide it at any register count.
//
// Equal to:
//     the method pad of hipct.reconstruction.geometry.Geometry, bit for bit.

#define LANES 8

extern "C" __global__ void __launch_bounds__(256) pad_rows(
    const float* __restrict__ sinograms,  // (slices, angles, columns)
    const int* __restrict__ order,        // (lines) projection of each line
    const int* __restrict__ source,       // (length) column of each sample
    const float* __restrict__ lateral,    // (length)
    float* __restrict__ out,              // (8, lines, length)
    int slices, int angles, int columns, int lines, int length)
{
    const int j = blockIdx.x * 256 + threadIdx.x;
    if (j >= length) return;
    const float* row = sinograms + (size_t)order[blockIdx.y] * columns + source[j];
    const float weight = lateral[j];
    float value[LANES];
#pragma unroll
    for (int s = 0; s < LANES; ++s)
        value[s] = s < slices ? row[(size_t)s * angles * columns] * weight : 0.0f;
    float* target = out + (size_t)blockIdx.y * length + j;
#pragma unroll
    for (int s = 0; s < LANES; ++s) target[(size_t)s * lines * length] = value[s];
}
