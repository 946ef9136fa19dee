// Formula:
//   Every column of every sinogram is sorted along its angles, equal values by their angle: steps 1
//   and 2 of algorithm 3 of Vo, Atwood & Drakopoulos, Optics Express 26 (2018) 28396.
//   A float becomes a key of 32 bits that rises with it (all bits of a negative number inverted,
//   the sign bit of any other set; -0 counts as 0). A column is sorted twice by words of 32 bits
//   that are all different: lower half of the key << 16 | angle, then upper half << 16 | place in
//   the first order. So equal values keep the order of their angles.
// Units and layout:
//   bits: the sinograms' float32 values, of any unit; work space lies column by column, so that
//   neighbouring ranks are neighbours in memory. origin is the angle of each rank.
// Launch geometry:
//   turn_keys: block 32 x 8, grid (ceil(columns / 32), ceil(angles / 32), slices); a transposition
//   of 32 x 32 values through shared memory. Without it a block that sorts one column would fetch
//   sectors of 8 columns for each value (0.2 GB a slice of 3000 x 2048 instead of 0.05).
//   sort_columns: a block sorts one tile, up to 1024 GROUPS angles of one column; block
//   32 GROUPS, grid (tiles, columns, slices). Every lane keeps 32 keys in registers. Sorted runs
//   of 32 are made there by Batcher's network and merged by bitonic stages: strides below 32 within
//   a lane; strides below 1024 within a lane too after a transposition of the warp's 1024 keys
//   through shared memory, whose rows of 33 words keep lanes apart in different banks; strides
//   above in shared memory, all groups at once. The second half of a run is read mirrored, so all
//   runs rise and padding at the end never moves. Shared memory 6400 GROUPS bytes.
//   Count for 3000 angles (3 groups): 150 minima or maxima and 80 accesses of shared memory a value
//   for both sorts; for 6000 angles 176 and 92. At 64 lanes of integers and 32 banks a cycle that is
//   80 cycles a warp of values on both sides. Keys of 64 bits would take 6 instructions a comparison
//   instead of 2 and twice the registers: 234 and 80. A radix sort in shared memory by 4 bits a
//   pass: about 140 and 110, with conflicts in its scattered stores; a merge sort 165 and 120. All
//   counted, not measured.
//   merge_tiles: for columns of several tiles (more than 7168 angles), a thread finds the rank
//   of one sorted value by bisection in the other tiles, block 256,
//   grid (ceil(angles / 256), columns, slices). It reads what its neighbours read.
// Equal to:
//   hipct.preparation.rings_sorting.remove_rings_sorting with median_ranks.cu, exactly.
// Constants: GROUPS (1 to 7), ANGLE (unsigned short, or unsigned int beyond 65536 angles).

constexpr unsigned int SIGN = 0x80000000u, ALL = 0xFFFFFFFFu, INFINITY_BITS = 0x7F800000u;
constexpr int LANES = 32, KEYS = 32, GROUP = LANES * KEYS;
constexpr int ROW = KEYS + 1;        // words of a lane's row in shared memory: all banks differ
constexpr int HALF_ROW = KEYS + 2;   // the same for rows of 16-bit numbers
constexpr int SLOTS = LANES * ROW;   // of a group
constexpr int RESIDENT = GROUPS == 1 ? 16 : 32 / GROUPS;  // blocks at 64 registers a thread

__device__ __forceinline__ void order(unsigned int& low, unsigned int& high)
{
    const unsigned int smaller = min(low, high);
    high = max(low, high);
    low = smaller;
}

// Stage of Batcher's odd-even merge of runs of RUN keys: partners STRIDE apart.
template <int RUN, int STRIDE>
__device__ __forceinline__ void odd_even(unsigned int (&key)[KEYS])
{
#pragma unroll
    for (int i = 0; i < KEYS; ++i) {
        const bool first = STRIDE == RUN ? (i & RUN) == 0
                                         : (i & STRIDE) != 0 && i % (2 * RUN) + STRIDE < 2 * RUN;
        if (first) order(key[i], key[i + STRIDE]);
    }
    if constexpr (STRIDE > 1) odd_even<RUN, STRIDE / 2>(key);
}

// Sorts the keys of a lane.
template <int RUN = 1>
__device__ __forceinline__ void sort_lane(unsigned int (&key)[KEYS])
{
    odd_even<RUN, RUN>(key);
    if constexpr (2 * RUN < KEYS) sort_lane<2 * RUN>(key);
}

// Bitonic stages with partners STRIDE, STRIDE / 2, ..., 1 apart.
template <int STRIDE>
__device__ __forceinline__ void merge(unsigned int (&key)[KEYS])
{
#pragma unroll
    for (int i = 0; i < KEYS; ++i)
        if ((i & STRIDE) == 0) order(key[i], key[i + STRIDE]);
    if constexpr (STRIDE > 1) merge<STRIDE / 2>(key);
}

// The two ways in which a warp holds its group: a lane has 32 neighbours, or every 32nd key.
__device__ __forceinline__ void put_rows(const unsigned int (&key)[KEYS], unsigned int* slots, int lane)
{
#pragma unroll
    for (int i = 0; i < KEYS; ++i) slots[lane * ROW + i] = key[i];
}

__device__ __forceinline__ void get_rows(unsigned int (&key)[KEYS], const unsigned int* slots, int lane)
{
#pragma unroll
    for (int i = 0; i < KEYS; ++i) key[i] = slots[lane * ROW + i];
}

// Sorted runs of LENGTH lanes are merged in pairs.
template <int LENGTH>
__device__ __forceinline__ void merge_lanes(unsigned int (&key)[KEYS], unsigned int* slots, int lane)
{
    put_rows(key, slots, lane);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < KEYS; ++i)  // the second run of a pair backwards
        key[i] = (i & LENGTH) ? slots[(i ^ (LENGTH - 1)) * ROW + (KEYS - 1 - lane)] : slots[i * ROW + lane];
    __syncwarp();
    merge<LENGTH>(key);
#pragma unroll
    for (int i = 0; i < KEYS; ++i) slots[i * ROW + lane] = key[i];
    __syncwarp();
    get_rows(key, slots, lane);
    merge<KEYS / 2>(key);
    if constexpr (2 * LENGTH < LANES) merge_lanes<2 * LENGTH>(key, slots, lane);
}

template <int STRIDE>
__device__ __forceinline__ void order_groups(unsigned int (&key)[GROUPS])
{
#pragma unroll
    for (int g = 0; g < GROUPS; ++g)
        if ((g & STRIDE) == 0 && g + STRIDE < GROUPS) order(key[g], key[g + STRIDE]);
}

// Stages between groups, of runs of LENGTH groups that become runs of 2 LENGTH. A group beyond the
// last would hold padding only, which never moves.
template <int LENGTH>
__device__ __forceinline__ void merge_groups(unsigned int* slots)
{
    for (int i = threadIdx.x; i < GROUP / 2; i += LANES * GROUPS) {
        const int j = GROUP - 1 - i;
        const int near_slot = i + i / KEYS, far_slot = j + j / KEYS;
        unsigned int near_keys[GROUPS], far_keys[GROUPS];
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            near_keys[g] = slots[g * SLOTS + near_slot];
            far_keys[g] = slots[g * SLOTS + far_slot];
        }
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            const int partner = g ^ (2 * LENGTH - 1);
            if (g < partner && partner < GROUPS) {
                order(near_keys[g], far_keys[partner]);
                order(far_keys[g], near_keys[partner]);
            }
        }
        if constexpr (LENGTH >= 4) {
            order_groups<2>(near_keys);
            order_groups<2>(far_keys);
        }
        if constexpr (LENGTH >= 2) {
            order_groups<1>(near_keys);
            order_groups<1>(far_keys);
        }
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            slots[g * SLOTS + near_slot] = near_keys[g];
            slots[g * SLOTS + far_slot] = far_keys[g];
        }
    }
}

// Sorts the keys of a block: lane after lane, 32 neighbours each.
__device__ __forceinline__ void sort_block(unsigned int (&key)[KEYS], unsigned int* slots)
{
    const int lane = threadIdx.x % LANES;
    unsigned int* own = slots + threadIdx.x / LANES * SLOTS;
    sort_lane(key);
    merge_lanes<1>(key, own, lane);
#pragma unroll 1
    for (int length = 1; length < GROUPS; length *= 2) {
        put_rows(key, own, lane);
        __syncthreads();
        if (length == 1) merge_groups<1>(slots);
        if (length == 2) merge_groups<2>(slots);
        if (length == 4) merge_groups<4>(slots);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < KEYS; ++i) key[i] = own[i * ROW + lane];
        merge<KEYS / 2>(key);
#pragma unroll
        for (int i = 0; i < KEYS; ++i) own[i * ROW + lane] = key[i];
        __syncwarp();
        get_rows(key, own, lane);
        merge<KEYS / 2>(key);
    }
}

extern "C" __global__ void __launch_bounds__(256) turn_keys(
    const unsigned int* __restrict__ bits,  // (slices, angles, columns) float32 values
    unsigned int* __restrict__ keys,        // (slices, columns, angles)
    unsigned int* __restrict__ broken,      // (1) becomes 1 where a value is not finite
    int slices, int angles, int columns)
{
    __shared__ unsigned int tile[32][33];
    const size_t slice = (size_t)blockIdx.z * angles * columns;
    const int left = blockIdx.x * 32, top = blockIdx.y * 32;
    const int x = threadIdx.x, y = threadIdx.y;
    bool finite = true;
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
        const int angle = top + y + i, column = left + x;
        if (angle < angles && column < columns) {
            unsigned int value = bits[slice + (size_t)angle * columns + column];
            finite = finite && (value & ~SIGN) < INFINITY_BITS;
            if (value == SIGN) value = 0;
            tile[y + i][x] = value ^ (value >= SIGN ? ALL : SIGN);
        }
    }
    if (!finite) atomicOr(broken, 1u);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
        const int angle = top + x, column = left + y + i;
        if (angle < angles && column < columns)
            keys[slice + (size_t)column * angles + angle] = tile[x][y + i];
    }
}

extern "C" __global__ void __launch_bounds__(32 * GROUPS, RESIDENT) sort_columns(
    unsigned int* __restrict__ keys,  // (slices, columns, angles) by angle; afterwards by rank in the tile
    ANGLE* __restrict__ origin,       // (slices, columns, angles) angle of each rank
    int slices, int columns, int angles, int tile)
{
    __shared__ unsigned int slots[GROUPS * SLOTS];
    __shared__ unsigned short places[GROUPS * LANES * HALF_ROW];
    const int first = blockIdx.x * tile, count = min(tile, angles - first);
    const size_t column = ((size_t)blockIdx.z * columns + blockIdx.y) * angles + first;
    unsigned int* values = keys + column;
    const int lane = threadIdx.x % LANES, start = threadIdx.x / LANES * GROUP;
    unsigned int* own = slots + threadIdx.x / LANES * SLOTS;
    unsigned short* own_places = places + threadIdx.x / LANES * (LANES * HALF_ROW);

    unsigned int key[KEYS];
#pragma unroll
    for (int i = 0; i < KEYS; ++i) {
        const int angle = start + i * LANES + lane;
        key[i] = angle < count ? values[angle] << 16 | angle : ALL;
    }
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
        sort_block(key, slots);
        if (half) {  // from the places in the first order to angles
#pragma unroll
            for (int i = 0; i < KEYS; ++i) {
                const int place = key[i] & 0xFFFFu;
                if (start + lane * KEYS + i < count) key[i] = places[place + place / KEYS * 2];
            }
        }
        __syncwarp();
#pragma unroll 8
        for (int i = 0; i < KEYS; ++i) {  // values by angle, for whoever sorted them
            const int angle = start + i * LANES + lane;
            if (angle < count) own[i * ROW + lane] = values[angle];
        }
        __syncthreads();
        if (half == 0) {
#pragma unroll
            for (int i = 0; i < KEYS; ++i) {
                const int place = start + lane * KEYS + i;
                if (place < count) {
                    const int angle = key[i] & 0xFFFFu;
                    own_places[lane * HALF_ROW + i] = (unsigned short)angle;
                    key[i] = (slots[angle + angle / KEYS] & 0xFFFF0000u) | place;
                }
            }
            __syncthreads();
        }
    }
#pragma unroll
    for (int i = 0; i < KEYS; ++i) own_places[lane * HALF_ROW + i] = (unsigned short)key[i];
    __syncwarp();
#pragma unroll 8
    for (int i = 0; i < KEYS; ++i) {
        const int rank = start + i * LANES + lane;
        if (rank < count) {
            const int angle = own_places[i * HALF_ROW + lane];
            origin[column + rank] = (ANGLE)(first + angle);
            values[rank] = slots[angle + angle / KEYS];
        }
    }
}

// How many of the rising keys are below a value, or not above it.
__device__ __forceinline__ int count_before(const unsigned int* keys, int count, unsigned int value, bool equal)
{
    int low = 0;
    for (int left = count; left > 0;) {
        const int half = left / 2;
        const unsigned int here = keys[low + half];
        if (here < value || (equal && here == value)) {
            low += half + 1;
            left -= half + 1;
        } else {
            left = half;
        }
    }
    return low;
}

extern "C" __global__ void __launch_bounds__(256) merge_tiles(
    const unsigned int* __restrict__ keys,  // (slices, columns, angles) tiles, each sorted
    const ANGLE* __restrict__ origin,       // (slices, columns, angles) angle of each of them
    unsigned int* __restrict__ merged,      // (slices, columns, angles) sorted
    ANGLE* __restrict__ merged_origin,      // (slices, columns, angles)
    int slices, int columns, int angles, int tile)
{
    const int place = blockIdx.x * 256 + threadIdx.x;
    if (place >= angles) return;
    const size_t column = ((size_t)blockIdx.z * columns + blockIdx.y) * angles;
    const unsigned int value = keys[column + place];
    int rank = place % tile;
    for (int first = 0; first < angles; first += tile)
        if (place < first || place >= first + tile)  // of equal values the earlier tile's come first
            rank += count_before(keys + column + first, min(tile, angles - first), value, first < place);
    merged[column + rank] = value;
    merged_origin[column + rank] = origin[column + place];
}
