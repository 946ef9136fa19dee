// CUDA's vector types, with CUDA's alignment: a float4 at an address that is no multiple of 16 is
// an error on the device, and is found here by the undefined-behaviour sanitizer.
#pragma once

#define HIPCT_VECTORS(T, name, a2, a4)                                                       \
    struct name##1 { T x; };                                                                 \
    struct __attribute__((aligned(a2))) name##2 { T x, y; };                                 \
    struct name##3 { T x, y, z; };                                                           \
    struct __attribute__((aligned(a4))) name##4 { T x, y, z, w; };                           \
    static inline name##1 make_##name##1(T x) { return {x}; }                                \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                        \
    static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

HIPCT_VECTORS(signed char, char, 2, 4)
HIPCT_VECTORS(unsigned char, uchar, 2, 4)
HIPCT_VECTORS(short, short, 4, 8)
HIPCT_VECTORS(unsigned short, ushort, 4, 8)
HIPCT_VECTORS(int, int, 8, 16)
HIPCT_VECTORS(unsigned int, uint, 8, 16)
HIPCT_VECTORS(long long, longlong, 16, 16)
HIPCT_VECTORS(unsigned long long, ulonglong, 16, 16)
HIPCT_VECTORS(float, float, 8, 16)
HIPCT_VECTORS(double, double, 16, 16)
#undef HIPCT_VECTORS

struct dim3 {
    unsigned int x = 1, y = 1, z = 1;
};
