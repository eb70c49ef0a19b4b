/* check_math.c - the reference's own functions against libm, which is precise if not the same
 * everywhere. */
#include "checkasm.h"
#include "ref/math.h"

#include <stdio.h>

/* |got - want| in units of the last place of `want` as a double; the floor keeps results near 0,
 * where only the absolute error counts, from dominating. */
static double ulps(double got, double want, double floor) {
    double unit = nextafter(fabs(want), INFINITY) - fabs(want);
    if (unit < floor) unit = floor;
    return fabs(got - want) / unit;
}

static void expect(struct checkasm *ca, const char *what, double x, double error, double limit) {
    ca->compared++;
    ca_shape(ca, "%s of %a", what, x);
    if (!(error <= limit)) ca_fail(ca, "%.3f ulp off, %.3f allowed", error, limit);
}

static double uniform(struct checkasm *ca, double low, double high) {
    return low + (high - low) * (ca_random(ca) * 0x1p-32);
}

static void check_float_exp(struct checkasm *ca) {
    for (uint32_t i = 0; i < 400000; i++) {
        const float x = (float)uniform(ca, -87.3, 88.7), y = gwen_exp(x);
        const double want = exp((double)x);
        int exponent;
        frexp(want, &exponent);
        expect(ca, "float exp", (double)x, fabs((double)y - want) / ldexp(1.0, exponent - 24),
               1.03);
    }
    static const struct {
        float x, y;
    } exact[] = {{0.0f, 1.0f},
                 {-0.0f, 1.0f},
                 {-INFINITY, 0.0f},
                 {INFINITY, INFINITY},
                 {-0x1.5d58a0p+6f, 0.0f}, /* 2^-126 (1 - 3e-6): would be denormal */
                 {-1e30f, 0.0f},
                 {0x1.62e430p+6f, INFINITY}, /* just above ln 2^128 */
                 {1e30f, INFINITY}};
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        const float y = gwen_exp(exact[i].x);
        expect(ca, "float exp", (double)exact[i].x, y == exact[i].y && !signbit(y) ? 0 : 1e9, 0);
    }
    expect(ca, "float exp", NAN, isnan(gwen_exp(NAN)) ? 0 : 1e9, 0);
    /* The largest and smallest arguments with a normal result. */
    expect(ca, "float exp", 0x1.62e42ep+6, gwen_exp(0x1.62e42ep+6f) < INFINITY ? 0 : 1e9, 0);
    expect(ca, "float exp", -0x1.5d589ep+6, gwen_exp(-0x1.5d589ep+6f) >= 0x1p-126f ? 0 : 1e9, 0);
}

static void check_doubles(struct checkasm *ca) {
    for (int i = 0; i < 100000; i++) {
        const double span = i % 2 == 0 ? 1.0 : 700.0;
        const double a = uniform(ca, -span, span), x = exp(a);
        if (x != 1) expect(ca, "log", x, ulps(gwen_log(x), log(x), 0), 1.5);
        expect(ca, "exp", a, ulps(gwen_exp_d(a), exp(a), 0), 1.5);

        const double range = i % 3 == 0 ? 1e7 : i % 3 == 1 ? 1000.0 : 4.0;
        double angle = uniform(ca, -range, range), s, c;
        if (i % 5 == 0) angle = rint(angle) * 1.5707963267948966;
        if (angle < -1e7 || angle > 1e7) continue;
        gwen_sincos_d(angle, &s, &c);
        expect(ca, "sin", angle, ulps(s, sin(angle), 1e-19), 1.5);
        expect(ca, "cos", angle, ulps(c, cos(angle), 1e-19), 1.5);

        const double base = uniform(ca, 1.0, 1e6), power = uniform(ca, -1.0, 1.0);
        const double want = pow(base, power), error = fabs(gwen_pow_d(base, power) / want - 1);
        expect(ca, "pow", base, error / 0x1p-52, 2.0 + fabs(log(want)));
    }
}

static void check_double_edges(struct checkasm *ca) {
    double s = 0, c = 0;
    gwen_sincos_d(2e7, &s, &c);
    expect(ca, "sincos", 2e7, isnan(s) && isnan(c) ? 0 : 1e9, 0);
    gwen_sincos_d(0.0, &s, &c);
    expect(ca, "sincos", 0, s == 0 && c == 1 ? 0 : 1e9, 0);
    expect(ca, "log", 0, gwen_log(0.0) == -INFINITY ? 0 : 1e9, 0);
    expect(ca, "log", 1, gwen_log(1.0) == 0 ? 0 : 1e9, 0);
    expect(ca, "log", -1, isnan(gwen_log(-1.0)) ? 0 : 1e9, 0);
    expect(ca, "log", INFINITY, gwen_log(INFINITY) == INFINITY ? 0 : 1e9, 0);
    expect(ca, "log", 0x1p-1074, ulps(gwen_log(0x1p-1074), log(0x1p-1074), 0), 1.5);
    expect(ca, "exp", -INFINITY, gwen_exp_d(-INFINITY) == 0 ? 0 : 1e9, 0);
    expect(ca, "exp", INFINITY, gwen_exp_d(INFINITY) == INFINITY ? 0 : 1e9, 0);
    expect(ca, "exp", 709.7, ulps(gwen_exp_d(709.7), exp(709.7), 0), 1.5);
    expect(ca, "exp", -740, ulps(gwen_exp_d(-740.0), exp(-740.0), 0), 1.5);
    expect(ca, "exp", 0, gwen_exp_d(0.0) == 1 ? 0 : 1e9, 0);
}

/* The value of a half by its definition. */
static double half_value(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    const double magnitude = exponent == 0    ? ldexp(fraction, -24)
                             : exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                                              : ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

/* All halves; then that a float between two neighbours goes to the nearer, a tie to the even. */
static void check_halves(struct checkasm *ca) {
    for (uint32_t h = 0; h < 0x10000; h++) {
        const struct gwen_f16 half = {(uint16_t)h};
        const double want = half_value(half.bits);
        const float got = gwen_f16_to_float(half);
        const bool same =
            isnan(want) ? isnan(got) : (double)got == want && !signbit(got) == !signbit(want);
        expect(ca, "half to float", (double)h, same ? 0 : 1e9, 0);
        if (isnan(want)) continue;
        expect(ca, "float to half", want, gwen_float_to_f16(got).bits == h ? 0 : 1e9, 0);
        if ((h & 0x7fff) >= 0x7bff) continue;
        const float next = gwen_f16_to_float((struct gwen_f16){(uint16_t)(h + 1)});
        const float middle = 0.5f * (got + next), below = nextafterf(middle, got),
                    above = nextafterf(middle, next);
        const uint32_t even = h + (h & 1);
        const bool rounds = gwen_float_to_f16(middle).bits == even &&
                            gwen_float_to_f16(below).bits == h &&
                            gwen_float_to_f16(above).bits == h + 1;
        expect(ca, "rounding to half", (double)middle, rounds ? 0 : 1e9, 0);
    }
    expect(ca, "float to half", 65520, gwen_float_to_f16(65520.0f).bits == 0x7c00 ? 0 : 1e9, 0);
    expect(ca, "float to half", 65519, gwen_float_to_f16(65519.996f).bits == 0x7bff ? 0 : 1e9, 0);
}

void check_math(struct checkasm *ca) {
    check_float_exp(ca);
    check_doubles(ca);
    check_double_edges(ca);
    check_halves(ca);
    printf("checkasm: %-10s arithmetic, %zu failures\n", "ref", ca->failures);
}
