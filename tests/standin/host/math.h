// CUDA's mathematical functions and intrinsics that the C library lacks or spells otherwise.
// Macros where a C library of today or tomorrow declares the same name.
#pragma once

#define __fdividef(a, b) ((float)(a) / (float)(b))
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sincosf(x, s, c) sincosf(x, s, c)
#define rsqrtf(x) hipct::rsqrt_float(x)
#define rsqrt(x) hipct::rsqrt_any(x)
#define rcbrtf(x) ((float)(1.0 / cbrt((double)(x))))
#define rhypotf(x, y) ((float)(1.0 / hypot((double)(x), (double)(y))))
#define norm3df(x, y, z) hipct::norm3(x, y, z)
#define sinpif(x) hipct::turn_sine((float)(x))
#define cospif(x) hipct::turn_cosine((float)(x))
#define sinpi(x) hipct::turn_sine(x)
#define cospi(x) hipct::turn_cosine(x)
#define sincospif(x, s, c) hipct::turn_both((float)(x), s, c)
#define sincospi(x, s, c) hipct::turn_both((double)(x), s, c)

namespace hipct {
static inline float rsqrt_float(float x) { return (float)(1.0 / ::sqrt((double)x)); }
static inline float rsqrt_any(float x) { return rsqrt_float(x); }
static inline double rsqrt_any(double x) { return (double)(1.0L / ::sqrtl((long double)x)); }
static inline float norm3(float x, float y, float z) {
    return (float)::sqrt((double)x * x + (double)y * y + (double)z * z);
}

// sin and cos of pi x: x is reduced to an eighth of a turn exactly, the rest has digits to spare.
template <class Wide, class T> static inline void turn_wide(T x, T* s, T* c) {
    const T whole = x - 2 * (T)rint((double)(x / 2));
    const T quarter = (T)rint((double)(2 * whole));
    const Wide rest = (Wide)3.14159265358979323846264338327950288L * (Wide)(whole - quarter / 2);
    const Wide sine = std::is_same_v<Wide, double> ? (Wide)::sin((double)rest) : (Wide)::sinl(rest);
    const Wide cosine = std::is_same_v<Wide, double> ? (Wide)::cos((double)rest) : (Wide)::cosl(rest);
    switch ((int)quarter & 3) {
        case 0: *s = (T)sine, *c = (T)cosine; break;
        case 1: *s = (T)cosine, *c = (T)-sine; break;
        case 2: *s = (T)-sine, *c = (T)-cosine; break;
        default: *s = (T)-cosine, *c = (T)sine; break;
    }
}
static inline void turn_both(float x, float* s, float* c) {
    if (!isfinite(x)) { *s = *c = NAN; return; }
    turn_wide<double>(x, s, c);
}
static inline void turn_both(double x, double* s, double* c) {
    if (!isfinite(x)) { *s = *c = NAN; return; }
    turn_wide<long double>(x, s, c);
}
template <class T> static inline T turn_sine(T x) { T s, c; turn_both(x, &s, &c); return s; }
template <class T> static inline T turn_cosine(T x) { T s, c; turn_both(x, &s, &c); return c; }

// Conversions saturate and turn NaN into 0, as the device's do.
template <class To, class From> static inline To converted(From rounded) {
    constexpr int bits = 8 * (int)sizeof(To);
    constexpr bool with_sign = std::is_signed_v<To>;
    const From upper = ::ldexp(1.0, with_sign ? bits - 1 : bits);
    const From lower = with_sign ? -upper : 0;
    if (rounded != rounded) return 0;
    if (rounded >= upper) return with_sign ? (To)(((To)1 << (bits - 2)) - 1 + ((To)1 << (bits - 2))) : (To)~(To)0;
    if (rounded <= lower) return with_sign ? (To)((-((To)1 << (bits - 2))) * 2) : (To)0;
    return (To)rounded;
}
// Rounds a whole number to the nearest float (towards zero, down, up by the mode of the suffix).
template <class T, class I> static inline T down(I value) {
    T near = (T)value;
    return (long double)near > (long double)value ? (T)nextafter(near, (T)-INFINITY) : near;
}
template <class T, class I> static inline T up(I value) {
    T near = (T)value;
    return (long double)near < (long double)value ? (T)nextafter(near, (T)INFINITY) : near;
}
template <class To, class From> static inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To out;
    memcpy(&out, &value, sizeof out);
    return out;
}
}  // namespace hipct

#define HIPCT_ROUND(from, From, to, To)                                                           \
    static inline To __##from##2##to##_rn(From x) { return hipct::converted<To>(rint(x)); }       \
    static inline To __##from##2##to##_rd(From x) { return hipct::converted<To>(floor(x)); }      \
    static inline To __##from##2##to##_ru(From x) { return hipct::converted<To>(ceil(x)); }       \
    static inline To __##from##2##to##_rz(From x) { return hipct::converted<To>(trunc(x)); }
HIPCT_ROUND(float, float, int, int)
HIPCT_ROUND(float, float, uint, unsigned int)
HIPCT_ROUND(float, float, ll, long long)
HIPCT_ROUND(float, float, ull, unsigned long long)
HIPCT_ROUND(double, double, int, int)
HIPCT_ROUND(double, double, uint, unsigned int)
HIPCT_ROUND(double, double, ll, long long)
HIPCT_ROUND(double, double, ull, unsigned long long)
#undef HIPCT_ROUND

#define HIPCT_WIDEN(from, From, to, To)                                                           \
    static inline To __##from##2##to##_rn(From x) { return (To)x; }                               \
    static inline To __##from##2##to##_rd(From x) { return hipct::down<To>(x); }                  \
    static inline To __##from##2##to##_ru(From x) { return hipct::up<To>(x); }                    \
    static inline To __##from##2##to##_rz(From x) {                                               \
        return x < 0 ? hipct::up<To>(x) : hipct::down<To>(x);                                     \
    }
HIPCT_WIDEN(int, int, float, float)
HIPCT_WIDEN(uint, unsigned int, float, float)
HIPCT_WIDEN(ll, long long, float, float)
HIPCT_WIDEN(ull, unsigned long long, float, float)
HIPCT_WIDEN(ll, long long, double, double)
HIPCT_WIDEN(ull, unsigned long long, double, double)
HIPCT_WIDEN(double, double, float, float)
#undef HIPCT_WIDEN
static inline double __int2double_rn(int x) { return x; }
static inline double __uint2double_rn(unsigned int x) { return x; }

static inline int __float_as_int(float x) { return hipct::bits<int>(x); }
static inline unsigned int __float_as_uint(float x) { return hipct::bits<unsigned int>(x); }
static inline float __int_as_float(int x) { return hipct::bits<float>(x); }
static inline float __uint_as_float(unsigned int x) { return hipct::bits<float>(x); }
static inline long long __double_as_longlong(double x) { return hipct::bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return hipct::bits<double>(x); }

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __frsqrt_rn(float a) { return hipct::rsqrt_float(a); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

static inline int __popc(unsigned int x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned int)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned int __brev(unsigned int x) {
    unsigned int out = 0;
    for (int i = 0; i < 32; ++i) out |= (x >> i & 1u) << (31 - i);
    return out;
}
static inline int __mulhi(int a, int b) { return (int)(((long long)a * b) >> 32); }
static inline unsigned int __umulhi(unsigned int a, unsigned int b) {
    return (unsigned int)(((unsigned long long)a * b) >> 32);
}
static inline long long __mul64hi(long long a, long long b) {
    return (long long)(((__int128)a * b) >> 64);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline int __mul24(int a, int b) { return ((a << 8) >> 8) * ((b << 8) >> 8); }
static inline unsigned int __funnelshift_l(unsigned int low, unsigned int high, unsigned int by) {
    return (unsigned int)((((unsigned long long)high << 32 | low) << (by & 31)) >> 32);
}
static inline unsigned int __funnelshift_r(unsigned int low, unsigned int high, unsigned int by) {
    return (unsigned int)(((unsigned long long)high << 32 | low) >> (by & 31));
}
static inline unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector) {
    const unsigned long long both = (unsigned long long)y << 32 | x;
    unsigned int out = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned int pick = selector >> (4 * i);
        unsigned int byte = (unsigned int)(both >> (8 * (pick & 7))) & 255u;
        if (pick & 8) byte = byte & 128u ? 255u : 0u;
        out |= byte << (8 * i);
    }
    return out;
}

// min and max take mixed types as CUDA's overloads do; NaN loses, as in fminf.
#define HIPCT_LEAST(T)                                                  \
    static inline T min(T a, T b) { return b < a ? b : a; }             \
    static inline T max(T a, T b) { return a < b ? b : a; }
HIPCT_LEAST(int)
HIPCT_LEAST(unsigned int)
HIPCT_LEAST(long)
HIPCT_LEAST(unsigned long)
HIPCT_LEAST(long long)
HIPCT_LEAST(unsigned long long)
#undef HIPCT_LEAST
static inline unsigned int min(int a, unsigned int b) { return min((unsigned int)a, b); }
static inline unsigned int min(unsigned int a, int b) { return min(a, (unsigned int)b); }
static inline unsigned int max(int a, unsigned int b) { return max((unsigned int)a, b); }
static inline unsigned int max(unsigned int a, int b) { return max(a, (unsigned int)b); }
static inline float min(float a, float b) { return b < a || a != a ? b : a; }
static inline float max(float a, float b) { return a < b || a != a ? b : a; }
static inline double min(double a, double b) { return b < a || a != a ? b : a; }
static inline double max(double a, double b) { return a < b || a != a ? b : a; }
static inline double min(float a, double b) { return min((double)a, b); }
static inline double min(double a, float b) { return min(a, (double)b); }
static inline double max(float a, double b) { return max((double)a, b); }
static inline double max(double a, float b) { return max(a, (double)b); }
