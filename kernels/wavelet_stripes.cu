// Formula:
//   out = S - R K, K = W(P S): the Fourier-wavelet filter of Muench, Trtik, Marone & Stampanoni,
//   Optics Express 17 (2009) 8567, as hipct.preparation.rings_wavelet reduces it: P (vectors x
//   angles) takes the damped frequencies of all bands out of a sinogram S, W keeps of each of these
//   rows what the high-pass band of its level holds across columns (level low-pass steps, one
//   high-pass step, and the same way back), R (angles x vectors) puts them back.
//   One step down: c[i] = sum_j f[j] x[2 i + 2 - taps + j], x continued by half-sample symmetry;
//   one step up: x[p] = sum_i f[p + taps - 2 - 2 i] c[i].
// Units and layout:
//   All float32, of any unit; P and the transposed R lie vector by vector, so that neighbouring
//   angles are neighbours in memory. widths[l] is the length of a row after l steps; filters holds
//   the low-pass and the high-pass filter of the synthesis.
// Launch geometry:
//   For 3000 angles x 2048 columns and 65 vectors: 0.8 + 0.8 GFLOP and, for W, 0.04; two readings
//   and one writing of the sinogram, 74 MB. Three launches for all slices of a batch. A library's
//   product would read and write one more sinogram to subtract, and choose its order of summation.
//   project_stripes: block 256, grid (ceil(columns / 128), ceil(angles / 512), slices * ceil(vectors
//   / (16 ROWS))); a thread sums ROWS vectors x 8 columns over 512 angles, 16 at a time through
//   shared memory (8256 + 1024 ROWS bytes): ROWS + 4 loads of shared memory for 8 ROWS products.
//   Blocks of angles give enough blocks for a few slices; their sums are added in their order.
//   keep_detail: block 256, one row of one slice, grid (vectors, slices). Its two buffers are in
//   global memory, where 10 KB stay in the first cache, so that rows of any length work.
//   subtract_stripes: block 256, grid (ceil(columns / 64), ceil(angles / 128), slices); a thread
//   has 8 angles x 4 columns, 16 vectors at a time through shared memory (12 KB): 6 loads for 32
//   products.
// Equal to:
//   hipct.preparation.rings_wavelet.remove_rings_wavelet, relative 1e-5 (of the largest value).
// Constants: ROWS (vectors of a thread of project_stripes, 1 to 5).

constexpr int CHUNK = 512;   // angles of a block of project_stripes
constexpr int DEPTH = 16;    // angles or vectors in shared memory at a time
constexpr int ACROSS = 128;  // columns of a block of project_stripes
constexpr int VECTORS = 16 * ROWS;
constexpr int TALL = 128, WIDE = 64;  // angles and columns of a block of subtract_stripes
constexpr int MOST_TAPS = 30;
constexpr int RESIDENT = ROWS < 5 ? 3 : 2;  // blocks whose registers fit a multiprocessor

extern "C" __global__ void __launch_bounds__(256, RESIDENT) project_stripes(
    const float* __restrict__ sinograms,  // (slices, angles, columns)
    const float* __restrict__ project,    // (vectors, angles)
    float* __restrict__ sums,             // (slices, (angles + 511) / 512, vectors, columns)
    int slices, int angles, int columns, int vectors)
{
    __shared__ __align__(16) float values[DEPTH][ACROSS];  // read in pairs
    __shared__ float shares[DEPTH][VECTORS + 1];
    const int tiles = (vectors + VECTORS - 1) / VECTORS;
    const int slice = blockIdx.z / tiles, first_vector = blockIdx.z % tiles * VECTORS;
    const int left = blockIdx.x * ACROSS, top = blockIdx.y * CHUNK;
    const int bottom = min(top + CHUNK, angles);
    const float* sinogram = sinograms + (size_t)slice * angles * columns;
    const int x = threadIdx.x % 16, y = threadIdx.x / 16;

    float sum[ROWS][8] = {};
    for (int start = top; start < bottom; start += DEPTH) {
#pragma unroll
        for (int i = threadIdx.x; i < DEPTH * ACROSS; i += 256) {
            const int angle = start + i / ACROSS, column = left + i % ACROSS;
            values[i / ACROSS][i % ACROSS] =
                angle < bottom && column < columns ? sinogram[(size_t)angle * columns + column] : 0.0f;
        }
#pragma unroll
        for (int i = threadIdx.x; i < DEPTH * VECTORS; i += 256) {
            const int angle = start + i % DEPTH, vector = first_vector + i / DEPTH;
            shares[i % DEPTH][i / DEPTH] =
                angle < bottom && vector < vectors ? project[(size_t)vector * angles + angle] : 0.0f;
        }
        __syncthreads();
#pragma unroll 2
        for (int k = 0; k < DEPTH; ++k) {
            float2 value[4];
#pragma unroll
            for (int i = 0; i < 4; ++i)
                value[i] = reinterpret_cast<const float2*>(values[k])[x + 16 * i];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const float share = shares[k][y * ROWS + r];
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    sum[r][2 * i] = fmaf(share, value[i].x, sum[r][2 * i]);
                    sum[r][2 * i + 1] = fmaf(share, value[i].y, sum[r][2 * i + 1]);
                }
            }
        }
        __syncthreads();
    }
    const size_t block = ((size_t)slice * gridDim.y + blockIdx.y) * vectors;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int vector = first_vector + y * ROWS + r;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const int column = left + 2 * x + 32 * (i / 2) + i % 2;
            if (vector < vectors && column < columns)
                sums[(block + vector) * columns + column] = sum[r][i];
        }
    }
}

// One step down: coefficients of samples, which are continued by half-sample symmetry.
__device__ void analyse(const float* row, int samples, const float* filter, int taps, float* band, int count)
{
    for (int i = threadIdx.x; i < count; i += 256) {
        const int first = 2 * i + 2 - taps;
        float sum = 0.0f;
        for (int j = 0; j < taps; ++j) {
            int place = first + j;
            while (place < 0 || place >= samples) place = place < 0 ? -1 - place : 2 * samples - 1 - place;
            sum = fmaf(filter[j], row[place], sum);
        }
        band[i] = sum;
    }
    __syncthreads();
}

// One step up: what a band contributes to the samples.
__device__ void synthesise(const float* band, int count, const float* filter, int taps, float* row, int samples)
{
    for (int p = threadIdx.x; p < samples; p += 256) {
        float sum = 0.0f;
        for (int j = p % 2; j < taps; j += 2) {
            const int i = (p + taps - 2 - j) / 2;
            if (i < count) sum = fmaf(filter[j], band[i], sum);
        }
        row[p] = sum;
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(256, 4) keep_detail(
    const float* __restrict__ sums,    // (slices, blocks, vectors, columns)
    const int* __restrict__ level_of,  // (vectors) level of each vector
    const int* __restrict__ widths,    // (levels + 1) length of a row from level to level
    const float* __restrict__ filters, // (2, taps)
    float* __restrict__ buffers,       // (slices, vectors, 2, width) work space
    float* __restrict__ kept,          // (slices, vectors, columns)
    unsigned int* __restrict__ broken, // (1) becomes 1 where a sum is not finite
    int slices, int blocks, int vectors, int columns, int levels, int taps, int padding, int width)
{
    __shared__ float filter[2][MOST_TAPS];
    const int vector = blockIdx.x, slice = blockIdx.y, level = level_of[vector];
    const size_t row = (size_t)slice * vectors + vector;
    float* here = buffers + row * 2 * width;
    float* there = here + width;
    if (threadIdx.x < 2 * taps) filter[threadIdx.x / taps][threadIdx.x % taps] = filters[threadIdx.x];
    for (int i = threadIdx.x; i < columns; i += 256) {
        float sum = 0.0f;
        for (int block = 0; block < blocks; ++block)
            sum += sums[(((size_t)slice * blocks + block) * vectors + vector) * columns + i];
        if ((__float_as_uint(sum) & 0x7F800000u) == 0x7F800000u) atomicOr(broken, 1u);
        here[padding + i] = sum;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < padding; i += 256) {
        here[i] = here[padding];
        here[padding + columns + i] = here[padding + columns - 1];
    }
    __syncthreads();
    for (int step = 0; step <= level; ++step) {
        analyse(here, widths[step], filter[step == level], taps, there, widths[step + 1]);
        float* other = here;
        here = there;
        there = other;
    }
    for (int step = level; step >= 0; --step) {
        synthesise(here, widths[step + 1], filter[step == level], taps, there, widths[step]);
        float* other = here;
        here = there;
        there = other;
    }
    for (int i = threadIdx.x; i < columns; i += 256) kept[row * columns + i] = here[padding + i];
}

extern "C" __global__ void __launch_bounds__(256) subtract_stripes(
    const float* sinograms,             // (slices, angles, columns)
    const float* __restrict__ restore,  // (vectors, angles)
    const float* __restrict__ kept,     // (slices, vectors, columns)
    float* out,                         // (slices, angles, columns) or the sinograms
    int slices, int angles, int columns, int vectors)
{
    __shared__ float4 shares[DEPTH][TALL / 4];
    __shared__ float stripes[DEPTH][WIDE];
    const int left = blockIdx.x * WIDE, top = blockIdx.y * TALL;
    const int x = threadIdx.x % 16, y = threadIdx.x / 16;
    const float* stripe = kept + (size_t)blockIdx.z * vectors * columns;
    float* flat = reinterpret_cast<float*>(&shares[0][0]);

    float sum[8][4] = {};
    for (int start = 0; start < vectors; start += DEPTH) {
#pragma unroll
        for (int i = threadIdx.x; i < DEPTH * TALL; i += 256) {
            const int vector = start + i / TALL, angle = top + i % TALL;
            flat[i] = vector < vectors && angle < angles ? restore[(size_t)vector * angles + angle] : 0.0f;
        }
#pragma unroll
        for (int i = threadIdx.x; i < DEPTH * WIDE; i += 256) {
            const int vector = start + i / WIDE, column = left + i % WIDE;
            stripes[i / WIDE][i % WIDE] =
                vector < vectors && column < columns ? stripe[(size_t)vector * columns + column] : 0.0f;
        }
        __syncthreads();
#pragma unroll 4
        for (int k = 0; k < DEPTH; ++k) {
            const float4 a = shares[k][2 * y], b = shares[k][2 * y + 1];
            const float share[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float value = stripes[k][x + 16 * j];
#pragma unroll
                for (int i = 0; i < 8; ++i) sum[i][j] = fmaf(share[i], value, sum[i][j]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int angle = top + 8 * y + i, column = left + x + 16 * j;
            if (angle < angles && column < columns) {
                const size_t place = ((size_t)blockIdx.z * angles + angle) * columns + column;
                out[place] = sinograms[place] - sum[i][j];
            }
        }
    }
}
