/* checkasm.c - runs the checks at every level that this machine has; see checkasm.h.
 *
 *     checkasm [--isa LEVEL] [--seed N] [--rounds N] [--only KERNEL] [--bench]
 *
 * LEVEL (default: GWEN_ISA, else none) caps the levels.  Exit 1 when a kernel differs. */
#include "checkasm.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* --- random --------------------------------------------------------------------------------- */
uint32_t ca_random(struct checkasm *ca) { /* splitmix64 */
    uint64_t z = ca->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

size_t ca_range(struct checkasm *ca, size_t low, size_t high) {
    return low + ca_random(ca) % (high - low + 1);
}

enum ca_values ca_draw_values(struct checkasm *ca) {
    return (enum ca_values)(ca_random(ca) % CA_VALUES_COUNT);
}

/* Bits of a float. */
static uint32_t draw_f32(struct checkasm *ca, enum ca_values values) {
    static const uint32_t special[] = {
        0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 0x00000001, 0x80000001,
        0x007fffff, 0x807fffff, 0x00800000, 0x00000000, 0x80000000, 0x7f7fffff, 0xff7fffff,
        0x3f800000, 0x477fefff, 0x477ff000, 0x387fe000, 0x33000000, 0x33000001, 0x3f808000};
    const uint32_t r = ca_random(ca);
    if (values == CA_ANY) return r;
    if (values == CA_SPECIAL && r % 4 == 0)
        return special[(r >> 8) % (sizeof special / sizeof special[0])];
    float x = ((float)(r >> 8) - 0x1p23f) * 0x1p-22f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

void ca_fill_f32(struct checkasm *ca, float *x, size_t n, enum ca_values values) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = draw_f32(ca, values);
        memcpy(&x[i], &bits, sizeof bits);
    }
}

void ca_fill_bf16(struct checkasm *ca, struct gwen_bf16 *x, size_t n, enum ca_values values) {
    for (size_t i = 0; i < n; i++) x[i].bits = (uint16_t)(draw_f32(ca, values) >> 16);
}

void ca_fill_f16(struct checkasm *ca, struct gwen_f16 *x, size_t n, enum ca_values values) {
    static const uint16_t special[] = {0x7c00, 0xfc00, 0x7e00, 0xfc01, 0x0001, 0x8001,
                                       0x03ff, 0x0400, 0x0000, 0x8000, 0x7bff, 0x3c00};
    for (size_t i = 0; i < n; i++) {
        const uint32_t r = ca_random(ca);
        x[i].bits = (uint16_t)((r & 0x83ff) | (13 + (r >> 16) % 3) << 10); /* 0.25 to 2 */
        if (values == CA_ANY) x[i].bits = (uint16_t)r;
        if (values == CA_SPECIAL && r >> 30 == 0)
            x[i].bits = special[(r >> 16) % (sizeof special / sizeof special[0])];
    }
}

void ca_fill_bytes(struct checkasm *ca, void *x, size_t n) {
    for (size_t i = 0; i < n; i++) ((unsigned char *)x)[i] = (unsigned char)ca_random(ca);
}

/* --- buffers -------------------------------------------------------------------------------- */
static const unsigned char CANARY_BYTE = 0xa5;

/* Slots are mapped at the first use, each with an inaccessible page after it. */
static char *slot_end(int slot) {
    static char *ends[CA_SLOTS];
    if (ends[slot] == NULL) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = CA_SLOT_BYTES + CA_CANARY;
        const size_t body = (bytes + page - 1) / page * page;
        char *base =
            mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED || mprotect(base + body, page, PROT_NONE) != 0) {
            perror("checkasm: mmap");
            exit(1);
        }
        ends[slot] = base + body;
    }
    return ends[slot];
}

void *ca_buffer(int slot, size_t bytes) {
    if (bytes > CA_SLOT_BYTES) {
        fprintf(stderr, "checkasm: a buffer of %zu bytes\n", bytes);
        exit(1);
    }
    char *at = slot_end(slot) - bytes;
    memset(at - CA_CANARY, CANARY_BYTE, CA_CANARY);
    return at;
}

bool ca_canary_intact(int slot, size_t bytes) {
    const unsigned char *at = (const unsigned char *)slot_end(slot) - bytes - CA_CANARY;
    for (size_t i = 0; i < CA_CANARY; i++)
        if (at[i] != CANARY_BYTE) return false;
    return true;
}

/* --- reports -------------------------------------------------------------------------------- */
static struct checkasm *current; /* for the signal handler */

static void on_signal(int number) {
    char line[400];
    int n = snprintf(line, sizeof line, "FAIL %s %s: signal %d (%s)\n",
                     gwen_isa_name(current->k.isa), current->kernel, number, current->shape);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0) _exit(2);
    _exit(1);
}

void ca_shape(struct checkasm *ca, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(ca->shape, sizeof ca->shape, format, ap);
    va_end(ap);
}

void ca_fail(struct checkasm *ca, const char *format, ...) {
    if (ca->failed) return;
    ca->failed = true;
    ca->failures++;
    fprintf(stderr, "FAIL %s %s: ", gwen_isa_name(ca->k.isa), ca->kernel);
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, " (%s)\n", ca->shape);
}

void ca_same_f32(struct checkasm *ca, const float *got, const float *want, size_t n) {
    ca->compared += n;
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof got[i]) == 0) continue;
        if (got[i] != got[i] && want[i] != want[i]) continue;
        ca_fail(ca, "output %zu is %a, the reference has %a", i, (double)got[i], (double)want[i]);
        return;
    }
}

void ca_same_bytes(struct checkasm *ca, const void *got, const void *want, size_t bytes) {
    ca->compared += bytes;
    const unsigned char *a = got, *b = want;
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] == b[i]) continue;
        ca_fail(ca, "byte %zu is %02x, the reference has %02x", i, a[i], b[i]);
        return;
    }
}

/* --- benchmarks ----------------------------------------------------------------------------- */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Each measurement is long enough for the clock, and the best of several short ones counts:
 * other programs on the machine then disturb little. */
enum { BENCH_REPEATS = 40 };
static const double BENCH_SECONDS = 0.002;

void ca_bench_start(struct checkasm *ca) {
    ca->timer.calls = ca->timer.left = 1;
    ca->timer.repeats = 0;
    ca->timer.best = 1e9;
    ca->timer.start = now();
}

bool ca_bench_renew(struct checkasm *ca) {
    const double seconds = now() - ca->timer.start;
    const double each = seconds / (double)ca->timer.calls;
    if (seconds < BENCH_SECONDS / 2) {
        ca->timer.calls *= 2;
    } else {
        if (each < ca->timer.best) ca->timer.best = each;
        if (++ca->timer.repeats == BENCH_REPEATS) return false;
    }
    ca->timer.left = ca->timer.calls - 1;
    ca->timer.start = now();
    return true;
}

void ca_bench_report(struct checkasm *ca, double flops, double bytes, double peak) {
    const double seconds = ca->timer.best;
    printf("%-10s %-14s %-28s %11.1f ns", gwen_isa_name(ca->k.isa), ca->kernel, ca->shape,
           seconds * 1e9);
    if (flops > 0) printf(" %8.1f GF/s", flops / seconds * 1e-9);
    if (bytes > 0) printf(" %8.1f GB/s", bytes / seconds * 1e-9);
    if (peak > 0) printf(" %5.1f %% of peak", 100 * flops / seconds / peak);
    printf("\n");
}

static double measure_peak(double (*peak)(size_t n)) {
    double best = 0;
    for (int i = 0; peak != NULL && i < 20; i++) {
        const double start = now(), flops = peak(200000), rate = flops / (now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

/* --- all kernels of a level ----------------------------------------------------------------- */
struct entry {
    const char *name;
    size_t member; /* offset in struct gwen_kernels */
    void (*check)(struct checkasm *ca), (*bench)(struct checkasm *ca);
};
static const struct entry ENTRIES[] = {
#define GW_KERNEL(name, ret, params)                                                               \
    {#name, offsetof(struct gwen_kernels, name), check_##name, bench_##name},
#define GW_KERNEL_OF_CLASS GW_KERNEL
#include "kernels.def"
#undef GW_KERNEL_OF_CLASS
#undef GW_KERNEL
};

/* True where the level has the kernel and a lower one has not the same. */
static bool is_new(const struct gwen_kernels *k, const struct gwen_kernels *lower, size_t member) {
    static const char none[sizeof(void (*)(void))];
    const char *mine = (const char *)k + member;
    return memcmp(mine, none, sizeof none) != 0 &&
           memcmp(mine, (const char *)lower + member, sizeof none) != 0;
}

static void run_level(struct checkasm *ca, const struct gwen_kernels *lower, const char *only,
                      bool bench) {
    size_t n = 0;
    const size_t before = ca->failures;
    if (bench) {
        ca->peak_f32 = measure_peak(ca->k.peak_f32);
        ca->peak_dot = measure_peak(ca->k.peak_dot);
        printf("%-10s one core: %.1f GF/s float, %.1f GF/s bf16 dot products\n",
               gwen_isa_name(ca->k.isa), ca->peak_f32 * 1e-9, ca->peak_dot * 1e-9);
    }
    for (size_t i = 0; i < sizeof ENTRIES / sizeof ENTRIES[0]; i++) {
        const struct entry *e = &ENTRIES[i];
        if ((only != NULL && strcmp(only, e->name) != 0) || !is_new(&ca->k, lower, e->member))
            continue;
        ca->kernel = e->name;
        ca->failed = false;
        (bench ? e->bench : e->check)(ca);
        n++;
    }
    if (!bench)
        printf("checkasm: %-10s %2zu kernels, %zu differ\n", gwen_isa_name(ca->k.isa), n,
               ca->failures - before);
}

static void run(struct checkasm *ca, enum gwen_isa cap, const char *only, bool bench) {
    struct gwen_kernels lower = {.isa = GWEN_ISA_REF};
    if (!bench) {
        gwen_kernels_init(&ca->k, GWEN_ISA_REF);
        lower = ca->k;
        ca->kernel = "math";
        ca->failed = false;
        if (only == NULL) check_math(ca);
    }
    for (int isa = bench ? GWEN_ISA_REF : GWEN_ISA_REF + 1; isa < GWEN_ISA_COUNT; isa++) {
        if (isa > (int)cap || !gwen_isa_available((enum gwen_isa)isa)) continue;
        gwen_kernels_init(&ca->k, (enum gwen_isa)isa);
        run_level(ca, &lower, only, bench);
        lower = ca->k;
    }
}

static int usage(void) {
    fprintf(stderr, "usage: checkasm [--isa LEVEL] [--seed N] [--rounds N] [--only KERNEL] "
                    "[--bench]\n");
    return 2;
}

int main(int argc, char **argv) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct checkasm ca = {.state = (uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec << 30, .rounds = 300};
    const char *only = NULL, *level = getenv("GWEN_ISA");
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0) {
            bench = true;
            continue;
        }
        if (value == NULL) return usage();
        if (strcmp(argv[i], "--isa") == 0)
            level = value;
        else if (strcmp(argv[i], "--seed") == 0)
            ca.state = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--rounds") == 0)
            ca.rounds = atoi(value);
        else if (strcmp(argv[i], "--only") == 0)
            only = value;
        else
            return usage();
        i++;
    }
    enum gwen_isa cap = GWEN_ISA_COUNT;
    if (level != NULL && *level != '\0' && !gwen_isa_parse(level, &cap)) return usage();

    current = &ca;
    signal(SIGSEGV, on_signal);
    signal(SIGBUS, on_signal);
    signal(SIGILL, on_signal);
    if (!bench) printf("checkasm: seed %llu\n", (unsigned long long)ca.state);
    fflush(stdout);
    run(&ca, cap, only, bench);
    if (bench) return 0;
    printf("checkasm: %zu outputs compared, %zu failures\n", ca.compared, ca.failures);
    return ca.failures > 0 || ca.compared == 0;
}
