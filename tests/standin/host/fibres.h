// The threads of a block as fibres, and the scheduler that runs them from barrier to barrier.
#pragma once
#include "shared.h"
#include "switch.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace hipct {

constexpr size_t STACK = 256 << 10, PAGE = 64 << 10;
constexpr int MOST = 1024, WARP = 32;

enum State : unsigned char { FRESH, READY, AT_WARP, AT_BLOCK, ENDED };
enum Order : int { NATURAL, REVERSED, SHUFFLED };

struct Fibre {
    Context context;
    char* stack;
    size_t size;
    void* fake;  // what AddressSanitizer keeps of a stack that waits
};

struct Thread {
    State state;
    int line;          // of the barrier that it waits at
    int fibre;         // that holds its frames while it waits
    unsigned int votes;
    uint64_t meeting;  // number of its warp's last shuffle or vote
    uint3 index;
};

static Fibre fibres[MOST], scheduler;
static Thread threads[MOST];
static int idle[MOST], idle_count, fibre_count;
static int thread_count, current, running;
static bool failed;
static char message[400];
static void (*body)(void**);
static void** arguments;
static Order order;
static uint64_t generator;
static uint64_t first_meeting;  // of this block: numbers are never used twice

static inline unsigned int draw() {
    generator = generator * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned int)(generator >> 33);
}

static inline void switch_stacks(Fibre& from, Fibre& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake, to.stack, to.size);
    swap(from.context, to.context);
    __sanitizer_finish_switch_fiber(from.fake, nullptr, nullptr);
#else
    swap(from.context, to.context);
#endif
}

static void worker() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, (const void**)&scheduler.stack, &scheduler.size);
#endif
    for (;;) {
        body(arguments);
        threads[current].state = ENDED;
        idle[idle_count++] = running;
        switch_stacks(fibres[running], scheduler);
    }
}

static int new_fibre() {
    Fibre& fibre = fibres[fibre_count];
    if (!fibre.stack) {
        // A page without access stops a thread that overruns its stack.
        char* room = (char*)mmap(nullptr, STACK + PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED || mprotect(room, PAGE, PROT_NONE)) abort();
        fibre.stack = room + PAGE;
        // Tops that are staggered do not fall into the same few sets of the cache.
        fibre.size = STACK - (size_t)(fibre_count % 32) * 448;
    }
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(fibre.stack, fibre.size);
#endif
    prepare(fibre.context, fibre.stack, fibre.size, worker);
    return fibre_count++;
}

static inline void resume(int thread) {
    Thread& t = threads[thread];
    running = t.state == READY ? t.fibre : idle_count ? idle[--idle_count] : new_fibre();
    current = thread;
    threadIdx = t.index;
    switch_stacks(scheduler, fibres[running]);
}

// Called by a thread: waits until its warp or its block has arrived.
__attribute__((noinline)) static void wait(State where, int line) {
    Thread& t = threads[current];
    t.state = where;
    t.line = line;
    t.fibre = running;
    switch_stacks(fibres[running], scheduler);
}

static void complain(int line, const char* format, ...) {
    if (failed) return;
    failed = true;
    int length = snprintf(message, sizeof message,
                          "line %d, block (%u, %u, %u), thread (%u, %u, %u): ", line, blockIdx.x,
                          blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    va_list words;
    va_start(words, format);
    vsnprintf(message + length, sizeof message - (size_t)length, format, words);
    va_end(words);
}

// Called by a thread: ends the launch. Its frames are abandoned, and so are those of all others.
#define HIPCT_STOP(...)                                                          \
    do {                                                                         \
        ::hipct::complain(__VA_ARGS__);                                          \
        ::hipct::switch_stacks(::hipct::fibres[::hipct::running], ::hipct::scheduler); \
    } while (0)

// Whether the threads of a range that have not ended all wait at one and the same barrier.
static bool agree(int begin, int end, State where) {
    int first = -1;
    for (int i = begin; i < end; ++i) {
        if (threads[i].state == ENDED) continue;
        if (first < 0) first = i;
        if (threads[i].line == threads[first].line && threads[i].state == where) continue;
        threadIdx = threads[i].index;
        complain(threads[i].line,
                 "waits at a barrier while thread (%u, %u, %u) waits at another one in line %d",
                 threads[first].index.x, threads[first].index.y, threads[first].index.z,
                 threads[first].line);
        return false;
    }
    return true;
}

// Runs the threads of a warp to the next barrier of the block; true once they are there or ended.
static bool run_warp(int warp) {
    const int begin = warp * WARP;
    const int end = begin + WARP < thread_count ? begin + WARP : thread_count;
    for (;;) {
        unsigned int step = order == REVERSED ? WARP - 1 : 1, offset = order == REVERSED ? WARP - 1 : 0;
        if (order == SHUFFLED) {
            const unsigned int random = draw();
            step = random % WARP | 1u;
            offset = random / WARP % WARP;
        }
        for (unsigned int i = 0; i < WARP; ++i) {
            const int thread = begin + (int)((i * step + offset) % WARP);
            if (thread >= end || threads[thread].state >= AT_WARP) continue;
            resume(thread);
            if (failed) return true;
        }
        bool waits = false;
        for (int i = begin; i < end; ++i) waits |= threads[i].state == AT_WARP;
        if (!waits) return true;
        if (!agree(begin, end, AT_WARP)) return true;
        for (int i = begin; i < end; ++i)
            if (threads[i].state == AT_WARP) threads[i].state = READY;
        if (order == SHUFFLED && draw() % 8 == 0) return false;
    }
}

// Runs all warps of the block to its next barrier; true once all threads have ended.
static bool run_phase() {
    const int warps = (thread_count + WARP - 1) / WARP;
    int turn[MOST / WARP];
    for (int i = 0; i < warps; ++i) turn[i] = order == REVERSED ? warps - 1 - i : i;
    for (int i = warps - 1; order == SHUFFLED && i > 0; --i) std::swap(turn[i], turn[draw() % (i + 1)]);
    for (int left = warps; left;) {
        int kept = 0;
        for (int i = 0; i < left; ++i) {
            if (!run_warp(turn[i])) turn[kept++] = turn[i];
            if (failed) return true;
        }
        left = kept;
    }
    int waiting = -1, ended = -1;
    for (int i = 0; i < thread_count; ++i) (threads[i].state == ENDED ? ended : waiting) = i;
    if (waiting < 0) return true;
    if (ended >= 0) {
        threadIdx = threads[waiting].index;
        const uint3 other = threads[ended].index;
        complain(threads[waiting].line,
                 "waits at a barrier of the block that thread (%u, %u, %u) never reaches: it has ended",
                 other.x, other.y, other.z);
        return true;
    }
    if (!agree(0, thread_count, AT_BLOCK)) return true;
    for (int i = 0; i < thread_count; ++i) threads[i].state = READY;
    return false;
}

static void run_block() {
    poison_shared(draw());
    first_meeting += 1ull << 32;
    for (int i = 0; i < thread_count; ++i) {
        const unsigned int n = (unsigned int)i, across = blockDim.x * blockDim.y;
        threads[i] = {FRESH, 0, 0, 0, first_meeting,
                      {n % blockDim.x, n / blockDim.x % blockDim.y, n / across}};
    }
    while (!run_phase()) {}
}

}  // namespace hipct
