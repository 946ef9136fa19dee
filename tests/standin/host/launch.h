// What Python calls: one function that launches a kernel, one that tells its signature.
#pragma once

namespace hipct {

template <class T> constexpr const char* type_name() {
    using U = std::remove_cv_t<T>;
    if constexpr (std::is_same_v<U, bool>) return "bool";
    else if constexpr (std::is_same_v<U, float>) return "float32";
    else if constexpr (std::is_same_v<U, double>) return "float64";
    else if constexpr (std::is_same_v<U, float2>) return "complex64";
    else if constexpr (std::is_same_v<U, double2>) return "complex128";
    else if constexpr (std::is_integral_v<U> && std::is_signed_v<U>)
        return sizeof(U) == 1 ? "int8" : sizeof(U) == 2 ? "int16" : sizeof(U) == 4 ? "int32" : "int64";
    else if constexpr (std::is_integral_v<U>)
        return sizeof(U) == 1 ? "uint8" : sizeof(U) == 2 ? "uint16" : sizeof(U) == 4 ? "uint32" : "uint64";
    else return "unknown";
}
template <class T> static void append_type(char* text, size_t size) {
    if (*text) strncat(text, ",", size - strlen(text) - 1);
    if constexpr (std::is_pointer_v<T>) {
        strncat(text, "*", size - strlen(text) - 1);
        strncat(text, type_name<std::remove_pointer_t<T>>(), size - strlen(text) - 1);
    } else {
        strncat(text, type_name<T>(), size - strlen(text) - 1);
    }
}

template <class... A> static const char* signature(void (*)(A...)) {
    static char text[2048];
    if (!*text) (append_type<A>(text, sizeof text), ...);
    return text;
}

template <auto kernel, class... A, size_t... I>
static inline void apply(void (*)(A...), void** given, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<A>*>(given[I])...);
}
template <auto kernel, class... A> static void call(void** given) {
    apply<kernel>(static_cast<void (*)(A...)>(kernel), given, std::index_sequence_for<A...>{});
}
template <auto kernel, class... A> static constexpr auto caller(void (*)(A...)) {
    return &call<kernel, A...>;
}

static uint64_t common_divisor(uint64_t a, uint64_t b) { return b ? common_divisor(b, a % b) : a; }

static const char* launch(void (*kernel)(void**), const unsigned int* grid, const unsigned int* block,
                          unsigned int most, void** given, int requested, uint64_t seed) {
    const uint64_t wanted = (uint64_t)block[0] * block[1] * block[2];
    failed = false;
    if (wanted < 1 || wanted > MOST || block[2] > 64 || wanted > most) {
        snprintf(message, sizeof message, "%llu threads a block, and at most %u can be",
                 (unsigned long long)wanted, most < MOST ? most : MOST);
        return message;
    }
    find_shared();
    body = kernel;
    arguments = given;
    order = (Order)requested;
    generator = seed * 0x9e3779b97f4a7c15ull + 1;
    draw();
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    thread_count = (int)wanted;
    const uint64_t blocks = (uint64_t)grid[0] * grid[1] * grid[2];
    if (blocks == 0) return nullptr;
    uint64_t step = order == REVERSED ? blocks - 1 : 1, offset = order == REVERSED ? blocks - 1 : 0;
    if (order == SHUFFLED) {
        do step = 1 + draw() % blocks;
        while (common_divisor(step, blocks) != 1);
        offset = draw() % blocks;
    }
    for (uint64_t i = 0; i < blocks; ++i) {
        const uint64_t n = (uint64_t)(((unsigned __int128)i * step + offset) % blocks);
        blockIdx = {(unsigned int)(n % grid[0]), (unsigned int)(n / grid[0] % grid[1]),
                    (unsigned int)(n / ((uint64_t)grid[0] * grid[1]))};
        run_block();
        if (failed) {
            // Frames of threads that wait are abandoned with their fibres.
            fibre_count = idle_count = 0;
            return message;
        }
    }
    return nullptr;
}

static constexpr unsigned int bounds() { return MOST; }
static constexpr unsigned int bounds(int most, ...) { return (unsigned int)most; }

}  // namespace hipct

#define HIPCT_EXPORT(name, ...)                                                                    \
    extern "C" __attribute__((visibility("default"))) const char* hipct_launch_##name(             \
        const unsigned int* grid, const unsigned int* block, void** given, int order,              \
        uint64_t seed) {                                                                           \
        return hipct::launch(hipct::caller<&name>(&name), grid, block, hipct::bounds(__VA_ARGS__), \
                             given, order, seed);                                                  \
    }                                                                                              \
    extern "C" __attribute__((visibility("default"))) const char* hipct_signature_##name() {       \
        return hipct::signature(&name);                                                            \
    }
