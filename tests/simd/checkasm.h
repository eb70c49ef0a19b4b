/* checkasm.h - the harness that compares every kernel of every instruction set with its
 * reference on random shapes and values.
 *
 * For each kernel of simd/kernels.def there are a check_<name> and a bench_<name>; one that is
 * missing does not link.  A check draws a shape, fills buffers that end at an unreadable page,
 * runs the kernel and its reference on copies and compares everything, the surroundings of the
 * output included. */
#ifndef CHECKASM_H
#define CHECKASM_H

#include "gwen_simd.h"

/* How the next values are drawn. */
enum ca_values {
    CA_PLAIN,   /* between -2 and 2 */
    CA_ANY,     /* any bits */
    CA_SPECIAL, /* plain ones among infinities, NaNs, denormals, zeros of both signs */
    CA_VALUES_COUNT
};

struct checkasm {
    struct gwen_kernels k; /* the level under test */
    const char *kernel;    /* the kernel under test */
    char shape[160];       /* what it is called with, for the report */
    uint64_t state;        /* of the generator */
    int rounds;
    size_t compared, failures; /* outputs compared; kernels that differed */
    bool failed;               /* the kernel under test has differed already */
    double peak_f32, peak_dot; /* flop/s of this level on one core; benchmarks only */
    struct {
        size_t calls, left;
        int repeats;
        double start, best; /* seconds; best per call */
    } timer;
};

#define GW_KERNEL(name, ret, params)                                                               \
    void check_##name(struct checkasm *ca);                                                        \
    void bench_##name(struct checkasm *ca);
#define GW_KERNEL_OF_CLASS GW_KERNEL
#include "kernels.def"
#undef GW_KERNEL_OF_CLASS
#undef GW_KERNEL

/* The reference's own arithmetic (simd/ref/math.h) against libm. */
void check_math(struct checkasm *ca);

/* --- random --------------------------------------------------------------------------------- */
uint32_t ca_random(struct checkasm *ca);
size_t ca_range(struct checkasm *ca, size_t low, size_t high); /* low..high, both possible */
enum ca_values ca_draw_values(struct checkasm *ca);
void ca_fill_f32(struct checkasm *ca, float *x, size_t n, enum ca_values values);
void ca_fill_bf16(struct checkasm *ca, struct gwen_bf16 *x, size_t n, enum ca_values values);
void ca_fill_f16(struct checkasm *ca, struct gwen_f16 *x, size_t n, enum ca_values values);
void ca_fill_bytes(struct checkasm *ca, void *x, size_t n);

/* --- buffers -------------------------------------------------------------------------------- */
enum { CA_SLOTS = 12, CA_SLOT_BYTES = 1 << 20, CA_CANARY = 256 };
/* `bytes` bytes that end where an inaccessible page begins; CA_CANARY bytes before them hold a
 * pattern.  Each slot holds one buffer; the content is that of the last use. */
void *ca_buffer(int slot, size_t bytes);
/* The bytes before the buffer are as they were. */
bool ca_canary_intact(int slot, size_t bytes);

/* --- reports -------------------------------------------------------------------------------- */
/* Says what the kernel is about to be called with. */
void ca_shape(struct checkasm *ca, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fails the kernel, once. */
void ca_fail(struct checkasm *ca, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Compares n outputs with the reference's: the same bits, or both NaN. */
void ca_same_f32(struct checkasm *ca, const float *got, const float *want, size_t n);
void ca_same_bytes(struct checkasm *ca, const void *got, const void *want, size_t bytes);

/* --- benchmarks ----------------------------------------------------------------------------- */
/* ca_bench_start(ca); while (ca_bench_running(ca)) one call; ca_bench_report(...). */
void ca_bench_start(struct checkasm *ca);
bool ca_bench_renew(struct checkasm *ca);
static inline bool ca_bench_running(struct checkasm *ca) {
    return ca->timer.left-- > 0 || ca_bench_renew(ca);
}
/* One call did `flops` and moved `bytes`; either may be 0.  `peak` in flop/s or 0. */
void ca_bench_report(struct checkasm *ca, double flops, double bytes, double peak);

#endif
