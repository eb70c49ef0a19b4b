/* math.c - log, exp, sine, cosine and power in double from + - * / and integers alone.
 *
 * libm's functions differ by version and machine in the last bit; these do not.  They serve
 * tables and one log per row, so they are written to be short: plain Taylor series on reduced
 * arguments, no minimax tables. */
#include "ref/math.h"

static uint64_t bits_of(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static double of_bits(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* ln 2 and pi/2 in parts short enough that (integer) * (part) is exact. */
static const double LN2_HI = 0x1.62e42feep-1;       /* 32 bits */
static const double LN2_LO = 0x1.a39ef35793c76p-33; /* the rest */
static const double PIO2_1 = 0x1.921fb54p+0;        /* 27 bits */
static const double PIO2_2 = 0x1.10b4610p-30;       /* 26 bits */
static const double PIO2_3 = 0x1.a62633145c06ep-58; /* the rest, 53 bits */
static const double ROUND_MAGIC = 0x1.8p52;         /* adding it rounds to an integer */

/* Coefficients of sums of the form c0 + z (c1 + z (c2 + ...)). */
static double horner(double z, const double *c, int n) {
    double sum = c[n - 1];
    for (int i = n - 2; i >= 0; i--) sum = sum * z + c[i];
    return sum;
}

double gwen_log(double x) {
    /* log((1+s)/(1-s)) = 2 s + s (2 z/3 + 2 z^2/5 + ...), z = s^2 <= 0.0295 */
    static const double c[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11,
                               2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
    if (x != x) return x + x;
    if (x == 0) return -INFINITY;
    if (x < 0) return NAN;
    if (x > 0x1.fffffffffffffp1023) return x;
    int exponent = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        exponent = -54;
    }
    uint64_t u = bits_of(x);
    exponent += (int)(u >> 52) - 1023;
    double m = of_bits((u & 0xfffffffffffffu) | 0x3ff0000000000000u); /* 1 <= m < 2 */
    if (m > 0x1.6a09e667f3bcdp0) {                                    /* sqrt 2 */
        m *= 0.5;
        exponent++;
    }
    /* log(1+f) = f - (f^2/2 - s (f^2/2 + series)): the large term f is exact */
    double f = m - 1.0, s = f / (2.0 + f), z = s * s, half = 0.5 * f * f;
    double series = z * horner(z, c, (int)(sizeof c / sizeof c[0]));
    double k = exponent;
    return k * LN2_HI - ((half - (s * (half + series) + k * LN2_LO)) - f);
}

double gwen_exp_d(double x) {
    static const double c[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
                               1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                               1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
    if (x != x) return x + x;
    if (x > 709.8) return INFINITY;
    if (x < -745.2) return 0.0;
    double n = (x * 0x1.71547652b82fep0 + ROUND_MAGIC) - ROUND_MAGIC;
    double hi = x - n * LN2_HI, lo = n * LN2_LO, r = hi - lo;
    double low = (hi - r) - lo; /* what r lost */
    double p = 1.0 + (r + (low + r * r * horner(r, c, (int)(sizeof c / sizeof c[0]))));
    /* Two factors, so that neither overflows where the result does not. */
    int first = (int)n / 2, second = (int)n - first;
    p *= of_bits((uint64_t)(first + 1023) << 52);
    return p * of_bits((uint64_t)(second + 1023) << 52);
}

void gwen_sincos_d(double x, double *sine, double *cosine) {
    static const double sin_c[] = {
        -1.0 / 6,        1.0 / 120,        -1.0 / 5040,          1.0 / 362880,
        -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000};
    static const double cos_c[] = {
        1.0 / 24,        -1.0 / 720,         1.0 / 40320,          -1.0 / 3628800,
        1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000, -1.0 / 6402373705728000};
    if (!(x >= -1e7 && x <= 1e7)) {
        *sine = *cosine = NAN;
        return;
    }
    double n = (x * 0x1.45f306dc9c883p-1 + ROUND_MAGIC) - ROUND_MAGIC;
    /* r + low = x - n pi/2; the first difference is exact, the others keep their error */
    double a = x - n * PIO2_1, w = n * PIO2_2;
    double b = a - w;
    bool a_larger = (a < 0 ? -a : a) >= (w < 0 ? -w : w);
    double b_err = a_larger ? (a - b) - w : a - (b + w);
    double v = n * PIO2_3 - b_err;
    double r = b - v;
    double low = (b - r) - v;
    double z = r * r;
    double s = r + (low + r * z * horner(z, sin_c, (int)(sizeof sin_c / sizeof sin_c[0])));
    double half = 0.5 * z, one = 1.0 - half;
    double tail = z * z * horner(z, cos_c, (int)(sizeof cos_c / sizeof cos_c[0])) - r * low;
    double c = one + (((1.0 - one) - half) + tail);
    switch ((int64_t)n & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}

double gwen_pow_d(double x, double y) { return gwen_exp_d(y * gwen_log(x)); }
