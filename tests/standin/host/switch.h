// Switching stacks: a few instructions where we have them, ucontext elsewhere.
#pragma once

#if defined(HIPCT_UCONTEXT) || !(defined(__x86_64__) || defined(__aarch64__))
#include <ucontext.h>
namespace hipct {
using Context = ucontext_t;
static inline void swap(Context& from, Context& to) { swapcontext(&from, &to); }
static inline void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = size;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}
}  // namespace hipct

#else
extern "C" __attribute__((visibility("hidden"))) void hipct_swap(void** from, void* to);

#if defined(__x86_64__)
asm(R"(
.pushsection .text
.p2align 4
.hidden hipct_swap
.globl hipct_swap
.type hipct_swap, @function
hipct_swap:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size hipct_swap, .-hipct_swap
.popsection
)");
namespace hipct {
constexpr int SAVED = 8, RETURN = 6;  // words of a new stack; the one that holds the entry
}
#else
asm(R"(
.pushsection .text
.p2align 4
.hidden hipct_swap
.globl hipct_swap
.type hipct_swap, %function
hipct_swap:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size hipct_swap, .-hipct_swap
.popsection
)");
namespace hipct {
constexpr int SAVED = 20, RETURN = 11;
}
#endif

namespace hipct {
using Context = void*;
static inline void swap(Context& from, Context& to) { hipct_swap(&from, to); }
static inline void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
    void** top = (void**)(((uintptr_t)stack + size) & ~(uintptr_t)15) - SAVED;
    memset(top, 0, SAVED * sizeof(void*));
    top[RETURN] = (void*)entry;
    context = top;
}
}  // namespace hipct
#endif
