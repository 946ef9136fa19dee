// Barriers, shuffles and votes, by which the threads of a block or warp meet.
#pragma once

namespace hipct {

// Each lane puts its value, all meet, and each may read what the others put. The next operation
// uses the other half, so that one meeting for each operation is enough.
struct Exchange {
    uint64_t value[WARP];
    uint64_t meeting[WARP];  // number of the meeting that the value belongs to
};
static Exchange exchange[MOST / WARP][2];

static inline void full(unsigned int mask, int line) {
    if (mask != 0xffffffffu) HIPCT_STOP(line, "a mask of 0x%08x: only full warps run here", mask);
}

static inline const Exchange& meet(uint64_t value, int line) {
    const int thread = current;
    const uint64_t meeting = ++threads[thread].meeting;
    Exchange& half = exchange[thread / WARP][meeting % 2];
    half.value[thread % WARP] = value;
    half.meeting[thread % WARP] = meeting;
    wait(AT_WARP, line);
    return half;
}

enum Shuffle { INDEX, UP, DOWN, XOR };

template <class T>
static inline T shuffle(Shuffle kind, int line, unsigned int mask, T value, int by, int width = WARP) {
    static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                  "shuffles carry int, unsigned int, long long, unsigned long long, float, double");
    full(mask, line);
    uint64_t raw = 0;
    memcpy(&raw, &value, sizeof value);
    const Exchange& half = meet(raw, line);
    const int lane = current % WARP, first = lane & -width;
    int source = by;
    switch (kind) {
        case INDEX: source = first + (by & (width - 1)); break;
        case UP: source = lane - by < first ? lane : lane - by; break;
        case DOWN: source = lane + by >= first + width ? lane : lane + by; break;
        case XOR: source = (lane ^ by) >= first + width ? lane : lane ^ by; break;
    }
    if (half.meeting[source % WARP] != threads[current].meeting)
        HIPCT_STOP(line, "a shuffle from lane %d, which has ended or lies beyond the block", source);
    T out;
    memcpy(&out, &half.value[source], sizeof out);
    return out;
}

static inline unsigned int ballot(int line, unsigned int mask, bool vote, bool absent = false) {
    full(mask, line);
    const Exchange& half = meet(vote, line);
    unsigned int votes = 0;
    for (int lane = 0; lane < WARP; ++lane) {
        const bool here = half.meeting[lane] == threads[current].meeting;
        votes |= (unsigned int)(here ? half.value[lane] : absent) << lane;
    }
    return votes;
}

// Votes of a block: two meetings, between which all add and after which all have read.
static int tally[3];  // threads whose vote was not 0, of the votes before, now, and next
static inline int count_block(int line, bool vote) {
    const unsigned int now = (unsigned int)(++threads[current].votes % 3);
    tally[(now + 1) % 3] = 0;
    tally[now] += vote;
    wait(AT_BLOCK, line);
    return tally[now];
}

}  // namespace hipct

#define __syncthreads() ::hipct::wait(::hipct::AT_BLOCK, __LINE__)
#define __syncthreads_count(vote) ::hipct::count_block(__LINE__, (vote) != 0)
#define __syncthreads_or(vote) (::hipct::count_block(__LINE__, (vote) != 0) > 0 ? 1 : 0)
#define __syncthreads_and(vote) (::hipct::count_block(__LINE__, (vote) == 0) == 0 ? 1 : 0)
#define __syncwarp(...) \
    (::hipct::full(::hipct::mask_of(__VA_ARGS__), __LINE__), ::hipct::wait(::hipct::AT_WARP, __LINE__))
#define __shfl_sync(...) ::hipct::shuffle(::hipct::INDEX, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) ::hipct::shuffle(::hipct::UP, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) ::hipct::shuffle(::hipct::DOWN, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) ::hipct::shuffle(::hipct::XOR, __LINE__, __VA_ARGS__)
#define __ballot_sync(mask, vote) ::hipct::ballot(__LINE__, mask, (vote) != 0)
#define __any_sync(mask, vote) (::hipct::ballot(__LINE__, mask, (vote) != 0) != 0u ? 1 : 0)
#define __all_sync(mask, vote) (~::hipct::ballot(__LINE__, mask, (vote) != 0, true) == 0u ? 1 : 0)
#define __trap() HIPCT_STOP(__LINE__, "__trap()")

namespace hipct {
static inline unsigned int mask_of(unsigned int mask = 0xffffffffu) { return mask; }
}  // namespace hipct
