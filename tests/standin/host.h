// Runs plain CUDA C++ kernels on the CPU, for tests of their arithmetic, bounds and barriers.
//
// A translation unit is: this header, the .cu file, and one HIPCT_EXPORT for each kernel (see
// cupy/_host.py). Blocks run one after another, in any order. The threads of a block are fibres: a
// thread runs until it ends or waits at a barrier, then another one runs; a thread that never waits
// costs little more than a call. Blocks, warps and lanes run in their natural order, reversed, or
// shuffled by a seed (lanes anew after every barrier).
//
// What stops a launch with a message:
//   - threads of one block (or warp) that wait at different barriers;
//   - a __syncthreads() that some threads of the block never reach because they have ended. (Volta
//     and later let the others pass, but this house keeps barriers in uniform control flow.) A
//     __syncwarp(), vote or shuffle that lanes miss because they have ended is allowed, as in CUDA;
//   - a shuffle that reads a lane that has ended or lies beyond the block, or a partial mask;
//   - more than 1024 threads a block, or more than __launch_bounds__ promised; __trap().
//
// Shared memory is filled before every block: as floats NaN, as integers -1 or huge (not under
// AddressSanitizer, which watches its edges instead). Neither float
// atomics nor textures, dynamic shared memory, partial masks or cooperative groups exist here: what
// uses them does not compile. What remains different from a GPU: no contraction to fma, no races
// inside an instruction, and the C library's mathematical functions, which are as exact or more so.
#pragma once
#include <link.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define alignas(n) __attribute__((aligned(n)))
#define __builtin_align__(n) __attribute__((aligned(n)))
// Nothing else in a library of ours is thread-local, so shared memory can be found and filled as
// the library's block of such variables. AddressSanitizer guards only ordinary variables.
#if defined(__SANITIZE_ADDRESS__)
#define __shared__ static
#else
#define __shared__ static thread_local
#endif

#include "host/types.h"

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

#include "host/math.h"
#include "host/memory.h"
#include "host/fibres.h"
#include "host/warps.h"
#include "host/launch.h"
