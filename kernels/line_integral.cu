// Formula: mu t = -log(max(T, minimum)) (Lambert and Beer's law); NaN and infinite T give 0. What was
// replaced or raised is counted.
//
// Units and layout: T is a transmission, (angles, rows, columns) as projections lie; the output is a
// block of sinograms (wanted, total, columns): the wanted rows become the slices, and the angles are
// put behind first_angle others. Any array of values is one row of one angle.
//
// Launch geometry: 256 threads run along the columns of one row of one angle, each on VALUES columns
// 256 apart: reads and writes are whole lines of memory on both sides, because the transposition
// moves whole rows; no shared memory. The loads of a thread come before its stores, so that VALUES
// of them are in flight (32 KB a multiprocessor), and that an output which is the input may be
// given. Grid: (column blocks x angles, wanted rows). One integer atomic a warp, and only where
// something was replaced.
//
// Equal to: hipct.preparation.linearise.line_integral and hipct.preparation.linearise.sinograms, to
// 2e-7 relative (logf, of one unit in the last place); the count is equal.

#define THREADS 256
#define VALUES 4

extern "C" __global__ void __launch_bounds__(THREADS) line_integral(
    const float* transmission,    // (angles, rows, columns) I/I0
    float* out,                   // (wanted, total, columns) -log(I/I0)
    unsigned long long* clamped,  // (1) grows by the values that were replaced
    int angles, int rows, int first_row, int wanted, int first_angle, int total,
    long long columns, float minimum)
{
    const unsigned int across = (unsigned int)((columns + THREADS * VALUES - 1) / (THREADS * VALUES));
    const unsigned int angle = blockIdx.x / across;
    const long long first = (long long)(blockIdx.x % across) * (THREADS * VALUES) + threadIdx.x;
    const float* from = transmission + ((size_t)angle * rows + first_row + blockIdx.y) * columns;
    float* to = out + ((size_t)blockIdx.y * total + first_angle + angle) * columns;
    float value[VALUES];
#pragma unroll
    for (int k = 0; k < VALUES; ++k) {
        const long long column = first + k * THREADS;
        value[k] = column < columns ? from[column] : 1.0f;
    }
    int replaced = 0;
#pragma unroll
    for (int k = 0; k < VALUES; ++k) {
        const long long column = first + k * THREADS;
        const bool finite = fabsf(value[k]) <= 3.402823466e38f;
        replaced += !finite || value[k] < minimum;
        const float known = fmaxf(finite ? value[k] : 1.0f, minimum);
        if (column < columns) to[column] = -logf(known);
    }
    if (__any_sync(0xffffffffu, replaced)) {
        for (int step = 16; step; step /= 2) replaced += __shfl_xor_sync(0xffffffffu, replaced, step);
        if (threadIdx.x % 32 == 0) atomicAdd(clamped, (unsigned long long)replaced);
    }
}
