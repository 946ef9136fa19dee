// Loads and stores with cache hints, fences, and atomics on integers. Threads are fibres of one
// thread of the system and never interrupt one another, so plain operations are atomic here.
#pragma once

template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldca(const T* p) { return *p; }
template <class T> static inline T __ldcg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline T __ldlu(const T* p) { return *p; }
template <class T> static inline T __ldcv(const T* p) { return *p; }
template <class T> static inline void __stwb(T* p, T v) { *p = v; }
template <class T> static inline void __stcg(T* p, T v) { *p = v; }
template <class T> static inline void __stcs(T* p, T v) { *p = v; }
template <class T> static inline void __stwt(T* p, T v) { *p = v; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

#define HIPCT_ATOMIC(T, name, expression)                   \
    static inline T atomic##name(T* p, T v) {               \
        const T old = *p;                                   \
        *p = (expression);                                  \
        return old;                                         \
    }                                                       \
    static inline T atomic##name##_block(T* p, T v) { return atomic##name(p, v); }
#define HIPCT_ATOMICS(T)                                    \
    HIPCT_ATOMIC(T, Exch, v)                                \
    HIPCT_ATOMIC(T, Min, v < old ? v : old)                 \
    HIPCT_ATOMIC(T, Max, old < v ? v : old)                 \
    HIPCT_ATOMIC(T, And, old& v)                            \
    HIPCT_ATOMIC(T, Or, old | v)                            \
    HIPCT_ATOMIC(T, Xor, old ^ v)                           \
    static inline T atomicCAS(T* p, T expected, T v) {      \
        const T old = *p;                                   \
        if (old == expected) *p = v;                        \
        return old;                                         \
    }
HIPCT_ATOMICS(int)
HIPCT_ATOMICS(unsigned int)
HIPCT_ATOMICS(unsigned long long)
HIPCT_ATOMIC(int, Add, (int)((unsigned int)old + (unsigned int)v))
HIPCT_ATOMIC(unsigned int, Add, old + v)
HIPCT_ATOMIC(unsigned long long, Add, old + v)
HIPCT_ATOMIC(int, Sub, (int)((unsigned int)old - (unsigned int)v))
HIPCT_ATOMIC(unsigned int, Sub, old - v)
HIPCT_ATOMIC(unsigned int, Inc, old >= v ? 0u : old + 1u)
HIPCT_ATOMIC(unsigned int, Dec, old == 0u || old > v ? v : old - 1u)
HIPCT_ATOMIC(long long, Min, v < old ? v : old)
HIPCT_ATOMIC(long long, Max, old < v ? v : old)
#undef HIPCT_ATOMICS
#undef HIPCT_ATOMIC
