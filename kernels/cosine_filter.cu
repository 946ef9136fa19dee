// A product of cosine coefficients: image -> DCT-II -> times H -> inverse DCT, by real FFTs of the
// plain size. cuFFT's transforms stand between these three kernels:
//
//     cosine_arrange -> rfft2 -> cosine_multiply -> irfft2 -> cosine_restore
//
// Formula:
//     One axis of N samples x (Makhoul, IEEE Trans. ASSP 28 (1980) 27): reordered as v[n] = x[2n],
//     v[N-1-n] = x[2n+1], with V = FFT(v), w = exp(-i pi / 2N) and the DCT-II coefficients C,
//         w^k V[k] = (C[k] - i C[N-k]) / 2,
//     so that C[k] H[k] for all k is the same as
//         V'[k] = w^-k (H[k] Re(w^k V[k]) + i H[N-k] Im(w^k V[k])).
//     In two dimensions each axis has an imaginary unit of its own, i for rows and j for columns.
//     The pair V(k, l), V(R-k, l) of an ordinary transform, where i = j, holds the four real parts
//     of a + i b + j c + ij d: V(k, l) = (a - d) + i (b + c), V(R-k, l) = (a + d) + i (c - b).
//     They are turned by w_row^k and w_column^l, multiplied by H[k, l], H[R-k, l], H[k, C-l] and
//     H[R-k, C-l], turned back and put together again.
//     H[k, l] = (level - p[k] q[l] - q[k] p[l]) / (t[k] + t[l]): Paganin's filter (2002 and 2020),
//     an unsharp mask, or one times the other (hipct.phase.response).
//
// Units and layout:
//     Images (images, rows, columns), dimensionless; frequencies k of an axis of N samples are
//     k / 2N cycles a pixel. Spectra (images, rows, columns / 2 + 1) as rfft2 gives them. Factors
//     of an axis (5, N + 1): t (times 2 R C, the scale of the transforms), p, q, and cos and sin
//     of pi k / 2N.
//
// Launch geometry:
//     Blocks of 32 x 8 threads, no shared memory. These are passes over memory: what counts is
//     that a warp meets whole sectors and that each thread has several loads under way.
//     cosine_arrange, cosine_restore: a warp takes 32 neighbours of a row of the natural order and
//     so two runs of 16 of the reordered row, one of them backwards: all sectors are used on both
//     sides without a detour through shared memory. A thread takes ROWS rows, 8 apart.
//     Grid (columns / 32, rows / 8 ROWS, images).
//     cosine_multiply: a thread owns one pair (k, l), (R-k, l) with 0 <= k <= R/2, 0 <= l <= C/2,
//     works out its four responses once from the factors of the axes (no table of the size of an
//     image is stored or read) and walks over IMAGES images, the next pair loaded before the
//     present one is stored. Grid (spectrum columns / 32, (R/2 + 1) / 8, images / IMAGES).
//
// Equal to:
//     hipct.phase.paganin.paganin, and PaganinFilter.apply beside it, within 1e-5 of the largest
//     transmission (1e-6 is usual). No atomics: the same bits for any order of the threads.

#define ROWS 4
#define IMAGES 8

struct Axis {
    float term, p, q;
};

// Place of sample n of an axis in the reordered axis of N samples.
__device__ __forceinline__ int place(int n, int size) {
    return n & 1 ? size - 1 - (n >> 1) : n >> 1;
}

// Sample of the image that stands at n: before and beyond its ends it goes on as its edge or, at
// the far end, as its mirror image (the edge twice).
__device__ __forceinline__ int inside(int n, int size, int mirror) {
    if (n < 0) return 0;
    if (n < size) return n;
    return mirror ? 2 * size - 1 - n : size - 1;
}

__device__ __forceinline__ Axis axis(const float* __restrict__ factors, int size, int k) {
    return {__ldg(factors + k), __ldg(factors + size + 1 + k), __ldg(factors + 2 * (size + 1) + k)};
}

__device__ __forceinline__ float response(Axis row, Axis column, float level) {
    return (level - row.p * column.q - row.q * column.p) / (row.term + column.term);
}

// Continues images beyond their edges and reorders both axes; places without an image become 0.
extern "C" __global__ void __launch_bounds__(256) cosine_arrange(
    const float* __restrict__ images,  // (count, image_rows, image_columns) transmission
    float* __restrict__ arranged,      // (batch, rows, columns) reordered
    int count, int image_rows, int image_columns,
    int batch, int rows, int columns,
    int rows_before, int columns_before, int mirror)
{
    const int column = blockIdx.x * 32 + threadIdx.x;
    const int first = blockIdx.y * (8 * ROWS) + threadIdx.y;
    const int image = blockIdx.z;
    if (column >= columns || image >= batch) return;
    const float* from = images + (size_t)image * image_rows * image_columns
                      + inside(column - columns_before, image_columns, mirror);
    float* to = arranged + (size_t)image * rows * columns + place(column, columns);
    float values[ROWS];
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const int row = first + 8 * k;
        values[k] = 0.0f;
        if (row < rows && image < count)
            values[k] = __ldg(from + (size_t)inside(row - rows_before, image_rows, mirror)
                              * image_columns);
    }
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const int row = first + 8 * k;
        if (row < rows) to[(size_t)place(row, rows) * columns] = values[k];
    }
}

// Multiplies the cosine coefficients in the spectra, in place, and keeps each image's sum.
extern "C" __global__ void __launch_bounds__(256) cosine_multiply(
    float2* __restrict__ spectrum,             // (batch, rows, columns / 2 + 1)
    const float* __restrict__ row_factors,     // (5, rows + 1) t, p, q, cos, sin
    const float* __restrict__ column_factors,  // (5, columns + 1) the same
    float* __restrict__ sums,                  // (angles) zero frequency of each image
    int batch, int rows, int columns, int angles, int first_angle, float level)
{
    const int width = columns / 2 + 1;
    const int l = blockIdx.x * 32 + threadIdx.x;
    const int k = blockIdx.y * 8 + threadIdx.y;
    if (l >= width || k > rows / 2) return;
    const int partner = k ? rows - k : 0;

    const Axis row = axis(row_factors, rows, k), far_row = axis(row_factors, rows, rows - k);
    const Axis column = axis(column_factors, columns, l);
    const Axis far_column = axis(column_factors, columns, columns - l);
    const float h_a = response(row, column, level), h_b = response(far_row, column, level);
    const float h_c = response(row, far_column, level), h_d = response(far_row, far_column, level);
    const float cos_k = __ldg(row_factors + 3 * (rows + 1) + k);
    const float sin_k = __ldg(row_factors + 4 * (rows + 1) + k);
    const float cos_l = __ldg(column_factors + 3 * (columns + 1) + l);
    const float sin_l = __ldg(column_factors + 4 * (columns + 1) + l);

    const size_t step = (size_t)rows * width;
    int image = blockIdx.z * IMAGES;
    const int end = min(image + IMAGES, batch);
    float2* upper = spectrum + image * step + (size_t)k * width + l;
    float2* lower = spectrum + image * step + (size_t)partner * width + l;
    float2 next_v = *upper, next_u = *lower;
    for (; image < end; ++image) {
        const float2 v = next_v, u = next_u;
        if (image + 1 < end) {
            next_v = upper[step];
            next_u = lower[step];
        }
        const int angle = first_angle + image;
        if (k + l == 0 && angle < angles) sums[angle] = v.x;

        // a + i b + j c + ij d, twice that: the half and the transforms' scale are in the terms t.
        const float a = v.x + u.x, b = v.y - u.y, c = v.y + u.y, d = u.x - v.x;
        const float a1 = a * cos_k + b * sin_k, b1 = b * cos_k - a * sin_k;
        const float c1 = c * cos_k + d * sin_k, d1 = d * cos_k - c * sin_k;
        const float a2 = h_a * (a1 * cos_l + c1 * sin_l), c2 = h_c * (c1 * cos_l - a1 * sin_l);
        const float b2 = h_b * (b1 * cos_l + d1 * sin_l), d2 = h_d * (d1 * cos_l - b1 * sin_l);
        const float a3 = a2 * cos_l - c2 * sin_l, c3 = c2 * cos_l + a2 * sin_l;
        const float b3 = b2 * cos_l - d2 * sin_l, d3 = d2 * cos_l + b2 * sin_l;
        const float a4 = a3 * cos_k - b3 * sin_k, b4 = b3 * cos_k + a3 * sin_k;
        const float c4 = c3 * cos_k - d3 * sin_k, d4 = d3 * cos_k + c3 * sin_k;
        *upper = make_float2(a4 - d4, b4 + c4);
        if (partner != k) *lower = make_float2(a4 + d4, c4 - b4);
        upper += step;
        lower += step;
    }
}

// Puts both axes back into their natural order and cuts the images out.
extern "C" __global__ void __launch_bounds__(256) cosine_restore(
    const float* __restrict__ arranged,  // (batch, rows, columns) reordered
    float* __restrict__ images,          // (count, image_rows, image_columns) filtered
    int count, int image_rows, int image_columns,
    int batch, int rows, int columns,
    int rows_before, int columns_before)
{
    const int column = blockIdx.x * 32 + threadIdx.x;
    const int first = blockIdx.y * (8 * ROWS) + threadIdx.y;
    const int image = blockIdx.z;
    if (column >= image_columns || image >= count) return;
    const float* from = arranged + (size_t)image * rows * columns
                      + place(column + columns_before, columns);
    float* to = images + (size_t)image * image_rows * image_columns + column;
    float values[ROWS];
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const int row = first + 8 * k;
        if (row < image_rows)
            values[k] = __ldg(from + (size_t)place(row + rows_before, rows) * columns);
    }
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const int row = first + 8 * k;
        if (row < image_rows) to[(size_t)row * image_columns] = values[k];
    }
}
