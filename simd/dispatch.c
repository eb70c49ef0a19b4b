/* dispatch.c - which instruction sets this processor and operating system have, and the table
 * of kernels for them.
 *
 * The reference fills the table first; each level that is available and not above the caller's
 * cap then replaces what it does faster, in ascending order. */
#include "dispatch.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

static const char *const NAMES[GWEN_ISA_COUNT] = {
    [GWEN_ISA_REF] = "ref",           [GWEN_ISA_AVX2] = "avx2",
    [GWEN_ISA_AVX512] = "avx512",     [GWEN_ISA_AVX512BF16] = "avx512bf16",
    [GWEN_ISA_NEON] = "neon",         [GWEN_ISA_NEONFP16] = "neonfp16",
    [GWEN_ISA_NEONBF16] = "neonbf16",
};

const char *gwen_isa_name(enum gwen_isa isa) {
    return (unsigned)isa < GWEN_ISA_COUNT ? NAMES[isa] : "unknown";
}

bool gwen_isa_parse(const char *name, enum gwen_isa *isa) {
    for (int i = 0; i < GWEN_ISA_COUNT; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *isa = (enum gwen_isa)i;
            return true;
        }
    }
    return false;
}

/* --- what the processor has ----------------------------------------------------------------- */
#if defined(__x86_64__)
/* The register state that the operating system saves: without it an instruction set that CPUID
 * reports still faults or loses its registers. */
static uint64_t saved_state(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_avx2(void) {
    const uint64_t ymm = 0x6; /* XMM, YMM */
    const unsigned need1 = bit_FMA | bit_F16C | bit_AVX;
    unsigned a, b, c, d;
    if ((saved_state() & ymm) != ymm) return false;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & need1) != need1) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

static bool has_avx512(void) {
    const uint64_t zmm = 0xe6; /* XMM, YMM, mask registers, both halves of ZMM */
    const unsigned need = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    unsigned a, b, c, d;
    if (!has_avx2() || (saved_state() & zmm) != zmm) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & need) == need;
}

static bool has_avx512bf16(void) {
    const unsigned bf16 = 1u << 5; /* leaf 7, subleaf 1, EAX */
    unsigned a, b, c, d;
    if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1) return false;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bf16);
}
#elif defined(__aarch64__)
/* Bits of the kernel's interface (asm/hwcap.h), named here because older headers lack some. */
enum { CAP_ASIMD = 1 << 1, CAP_FPHP = 1 << 9, CAP_ASIMDHP = 1 << 10, CAP_ASIMDFHM = 1 << 23 };
enum { CAP2_BF16 = 1 << 14 };

static bool has_neon(void) { return (getauxval(AT_HWCAP) & CAP_ASIMD) != 0; }

static bool has_neonfp16(void) {
    const unsigned long need = CAP_ASIMD | CAP_FPHP | CAP_ASIMDHP | CAP_ASIMDFHM;
    return (getauxval(AT_HWCAP) & need) == need;
}

static bool has_neonbf16(void) { return has_neonfp16() && (getauxval(AT_HWCAP2) & CAP2_BF16) != 0; }
#endif

static bool always(void) { return true; }

/* --- the levels of this build, ascending ---------------------------------------------------- */
static const struct level {
    enum gwen_isa isa;
    bool (*available)(void);
    void (*init)(struct gwen_kernels *k);
} LEVELS[] = {
    {GWEN_ISA_REF, always, gwen_init_ref},
#if defined(__x86_64__)
    {GWEN_ISA_AVX2, has_avx2, gwen_init_avx2},
    {GWEN_ISA_AVX512, has_avx512, gwen_init_avx512},
    {GWEN_ISA_AVX512BF16, has_avx512bf16, gwen_init_avx512bf16},
#elif defined(__aarch64__)
    {GWEN_ISA_NEON, has_neon, gwen_init_neon},
    {GWEN_ISA_NEONFP16, has_neonfp16, gwen_init_neon}, /* nothing faster: simd/KERNELS.md */
    {GWEN_ISA_NEONBF16, has_neonbf16, gwen_init_neonbf16},
#endif
};
enum { N_LEVELS = sizeof LEVELS / sizeof LEVELS[0] };

bool gwen_isa_available(enum gwen_isa isa) {
    for (size_t i = 0; i < N_LEVELS; i++)
        if (LEVELS[i].isa == isa) return LEVELS[i].available();
    return false;
}

enum gwen_isa gwen_isa_detect(void) {
    enum gwen_isa best = GWEN_ISA_REF;
    for (size_t i = 0; i < N_LEVELS; i++)
        if (gwen_isa_available(LEVELS[i].isa)) best = LEVELS[i].isa;
    return best;
}

void gwen_kernels_init(struct gwen_kernels *k, enum gwen_isa cap) {
    memset(k, 0, sizeof *k);
    for (size_t i = 0; i < N_LEVELS; i++) {
        if (LEVELS[i].isa > cap || !gwen_isa_available(LEVELS[i].isa)) continue;
        LEVELS[i].init(k);
        k->isa = LEVELS[i].isa;
    }
}
