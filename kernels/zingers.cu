// Formula: a value that exceeds the median m of its 3 x 3 neighbours (itself among them) by more than
// the threshold becomes m; all others stay. The median of nine is the median of (largest of the three
// minima, median of the three medians, smallest of the three maxima) of the window's rows.
//
// Units and layout: finite transmissions (angles, rows, columns); the threshold is a transmission;
// beyond the borders the outermost values are repeated. found counts by row what was replaced.
//
// Launch geometry: a thread owns a column and walks down ROWS rows of one angle. It sorts the three
// values of every row once and keeps those of three rows in registers, so that a value costs three
// loads (two of them from the first cache, of lines that its neighbours in the block load), one sort
// and one merge of sorted rows, about 20 minima and maxima. The loads of BATCH rows are in flight.
// 256 threads, so that the two columns beside a block are few beside its own; grid (column blocks x
// angles, rows / ROWS): of ROWS + 2 rows that are read, 2 are read twice. No shared memory. The
// counter is one integer atomic a warp, and only where there is a zinger.
//
// Equal to: hipct.preparation.zingers.remove_zingers, to the last bit; the counter is equal.

#define THREADS 256
#define ROWS 32
#define BATCH 4

struct Three {
    float low, middle, high;
};

__device__ __forceinline__ float median(float a, float b, float c)
{
    return fmaxf(fminf(a, b), fminf(fmaxf(a, b), c));
}

__device__ __forceinline__ Three sorted(float a, float b, float c)
{
    return {fminf(fminf(a, b), c), median(a, b, c), fmaxf(fmaxf(a, b), c)};
}

extern "C" __global__ void __launch_bounds__(THREADS) zingers(
    const float* __restrict__ transmission,  // (angles, rows, columns)
    float* __restrict__ out,                 // (angles, rows, columns)
    unsigned long long* found,               // (rows) grows by the values that were replaced
    int angles, int rows, int columns, float threshold)
{
    const unsigned int across = (unsigned int)(columns + THREADS - 1) / THREADS;
    const unsigned int angle = blockIdx.x / across;
    const int own = (int)(blockIdx.x % across) * THREADS + threadIdx.x;
    // Threads beyond the border stay for the votes.
    const int column = min(own, columns - 1);
    const int left = max(column - 1, 0);
    const int right = min(column + 1, columns - 1);
    const int first = blockIdx.y * ROWS;
    const int last = min(first + ROWS, rows);
    const size_t frame = (size_t)angle * rows * columns;
    const float* from = transmission + frame;
    float* to = out + frame + (size_t)first * columns + own;

    const float* line = from + (size_t)max(first - 1, 0) * columns;
    Three above = sorted(line[left], line[column], line[right]);
    line = from + (size_t)first * columns;
    float centre = line[column];
    Three here = sorted(line[left], centre, line[right]);
    for (int row = first; row < last; row += BATCH) {
        float next[BATCH][3];
#pragma unroll
        for (int i = 0; i < BATCH; ++i) {
            line = from + (size_t)min(row + 1 + i, rows - 1) * columns;
            next[i][0] = line[left];
            next[i][1] = line[column];
            next[i][2] = line[right];
        }
#pragma unroll
        for (int i = 0; i < BATCH; ++i) {
            if (row + i >= last) break;
            const Three below = sorted(next[i][0], next[i][1], next[i][2]);
            const float typical = median(
                fmaxf(fmaxf(above.low, here.low), below.low),
                median(above.middle, here.middle, below.middle),
                fminf(fminf(above.high, here.high), below.high));
            const bool bright = own < columns && centre > typical + threshold;
            if (own < columns) *to = bright ? typical : centre;
            const unsigned int votes = __ballot_sync(0xffffffffu, bright);
            if (votes && threadIdx.x % 32 == 0)
                atomicAdd(found + row + i, (unsigned long long)__popc(votes));
            above = here;
            here = below;
            centre = next[i][1];
            to += columns;
        }
    }
}
