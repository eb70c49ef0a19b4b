/* test_sampler.c - draws against the exact distribution, worked out here in double: a chi-squared
 * test of temperature, top-k, top-p, min-p and repetition penalty, alone and together.
 *
 * The random numbers are the engine's own (base/rng.h), so every run draws the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/sampler.h"
#include "unit/level.h"

enum { VOCAB = 203, N_BLOCKS = (VOCAB + GW_VOCAB_BLOCK - 1) / GW_VOCAB_BLOCK, N_DRAWS = 60000 };

/* One row of a head, made by hand. */
struct row {
    struct gw_model model;
    struct gw_head head;
    double logits[VOCAB]; /* before the temperature */
    float z[VOCAB], block_max[N_BLOCKS], block_sum[N_BLOCKS], block_weight[N_BLOCKS], max;
    double sum, log_sum_exp;
    uint64_t seen[(VOCAB + 63) / 64];
    void *scratch;
};

static double uniform(uint64_t what, uint64_t position) {
    const struct gw_rng_key key = {
        .seed = 12, .stream = GW_STREAM_INIT, .prompt_key = what, .position = position};
    return gw_rng_uniform(&key);
}

static void fill_statistics(struct row *r) {
    r->max = -INFINITY;
    for (size_t b = 0; b < N_BLOCKS; b++) {
        size_t begin = b * GW_VOCAB_BLOCK, end = GW_MIN(begin + GW_VOCAB_BLOCK, (size_t)VOCAB);
        double sum = 0;
        r->block_max[b] = -INFINITY;
        for (size_t i = begin; i < end; i++) r->block_max[b] = fmaxf(r->block_max[b], r->z[i]);
        for (size_t i = begin; i < end; i++) sum += exp((double)r->z[i] - (double)r->block_max[b]);
        r->block_sum[b] = (float)sum;
        r->max = fmaxf(r->max, r->block_max[b]);
    }
    r->sum = 0;
    for (size_t b = 0; b < N_BLOCKS; b++) {
        r->block_weight[b] = (float)exp((double)r->block_max[b] - (double)r->max);
        r->sum += (double)r->block_sum[b] * (double)r->block_weight[b];
    }
    r->log_sum_exp = (double)r->max + log(r->sum);
}

static struct row *make_row(double temperature) {
    struct row *r = calloc(1, sizeof *r);
    gwen_kernels_init(&r->model.kern, test_level());
    r->model.cfg.vocab_size = VOCAB;
    for (size_t i = 0; i < VOCAB; i++) {
        r->logits[i] = (double)(float)(-3 * log(1e-9 + uniform(1, i)) - 5);
        /* a few equal ones, so that top-k meets ties */
        if (i % 17 == 3) r->logits[i] = 4.5;
        if (i % 5 == 2) r->seen[i / 64] |= UINT64_C(1) << (i % 64);
        r->z[i] = (float)r->logits[i] / (temperature > 0 ? (float)temperature : 1.0f);
    }
    fill_statistics(r);
    r->head = (struct gw_head){.model = &r->model,
                               .max_rows = 1,
                               .n_blocks = N_BLOCKS,
                               .z_stride = VOCAB,
                               .keep = true,
                               .z = r->z,
                               .block_max = r->block_max,
                               .block_sum = r->block_sum,
                               .block_weight = r->block_weight,
                               .max = &r->max,
                               .sum = &r->sum,
                               .log_sum_exp = &r->log_sum_exp};
    r->scratch = aligned_alloc(64, gw_round_up(gw_sampler_scratch_bytes(VOCAB), 64));
    return r;
}

static void free_row(struct row *r) {
    free(r->scratch);
    free(r);
}

/* --- the exact distribution: sort, then one filter after the other on probabilities --------- */

static const double *sort_by;

static int descending(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    if (sort_by[x] != sort_by[y]) return sort_by[x] > sort_by[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

static void normalise(double *p) {
    double sum = 0;
    for (size_t i = 0; i < VOCAB; i++) sum += p[i];
    for (size_t i = 0; i < VOCAB; i++) p[i] /= sum;
}

static void exact(const struct row *r, const struct gw_sampling *s, double *p) {
    size_t order[VOCAB];
    double l[VOCAB], most = -INFINITY, cumulative = 0;
    for (size_t i = 0; i < VOCAB; i++) {
        bool seen = r->seen[i / 64] >> (i % 64) & 1;
        l[i] = r->logits[i];
        if (seen) l[i] = l[i] > 0 ? l[i] / s->repetition_penalty : l[i] * s->repetition_penalty;
        l[i] /= s->temperature;
        most = fmax(most, l[i]);
        order[i] = i;
    }
    for (size_t i = 0; i < VOCAB; i++) p[i] = exp(l[i] - most);
    normalise(p);
    sort_by = l;
    qsort(order, VOCAB, sizeof order[0], descending);
    if (s->top_k > 0 && s->top_k < VOCAB) {
        double kth = l[order[s->top_k - 1]];
        for (size_t i = 0; i < VOCAB; i++)
            if (l[i] < kth) p[i] = 0;
        normalise(p);
    }
    if (s->top_p < 1) {
        double q[VOCAB];
        memcpy(q, p, sizeof q);
        for (size_t i = 0; i < VOCAB; i++) {
            if (i > 0 && cumulative >= s->top_p) p[order[i]] = 0;
            cumulative += q[order[i]];
        }
        normalise(p);
    }
    double largest = p[order[0]];
    for (size_t i = 0; i < VOCAB; i++)
        if (p[i] < s->min_p * largest) p[i] = 0;
    normalise(p);
}

/* --- the test ------------------------------------------------------------------------------- */

/* How many standard deviations chi-squared is above its mean, by Wilson and Hilferty. */
static double chi_squared_z(const size_t *count, const double *p, size_t n, size_t total) {
    double x = 0, rest_p = 0, rest_count = 0, bins = 0;
    for (size_t i = 0; i < n; i++) {
        double expected = p[i] * (double)total, diff = (double)count[i] - expected;
        if (expected < 8) { /* too rare for a bin of its own */
            rest_p += p[i];
            rest_count += (double)count[i];
            continue;
        }
        x += diff * diff / expected;
        bins++;
    }
    if (rest_p * (double)total >= 1) {
        double expected = rest_p * (double)total;
        x += (rest_count - expected) * (rest_count - expected) / expected;
        bins++;
    }
    if (bins < 2) return 0;
    double k = bins - 1;
    return (cbrt(x / k) - (1 - 2 / (9 * k))) / sqrt(2 / (9 * k));
}

static void check_draws(const struct gw_sampling *s, uint64_t what) {
    struct row *r = make_row(s->temperature);
    struct gwen_err err;
    double p[VOCAB];
    size_t count[VOCAB] = {0};
    assert_int_equal(gw_sampling_check(s, &err), GWEN_OK);
    exact(r, s, p);
    for (size_t i = 0; i < N_DRAWS; i++) {
        float logprob;
        int32_t id =
            gw_sample(&r->head, 0, s, uniform(100 + what, i), r->seen, r->scratch, &logprob);
        assert_in_range(id, 0, VOCAB - 1);
        assert_true(p[id] > 0);
        /* always of log_softmax(logits / temperature), whatever the filters */
        assert_true(fabs((double)logprob - ((double)r->z[id] - r->log_sum_exp)) < 1e-5);
        count[id]++;
    }
    double z = chi_squared_z(count, p, VOCAB, N_DRAWS);
    if (!(z < 4)) fail_msg("case %d: chi-squared is %.1f deviations too large", (int)what, z);
    free_row(r);
}

static void draws_follow_the_distribution(void **state) {
    static const struct gw_sampling cases[] = {
        {1.0, 0, 1.0, 0.0, 1.0},   {0.5, 0, 1.0, 0.0, 1.0},    {1.7, 0, 1.0, 0.0, 1.0},
        {1.0, 1, 1.0, 0.0, 1.0},   {1.0, 5, 1.0, 0.0, 1.0},    {0.8, 20, 1.0, 0.0, 1.0},
        {1.0, 0, 0.3, 0.0, 1.0},   {0.9, 0, 0.95, 0.0, 1.0},   {1.0, 0, 1e-6, 0.0, 1.0},
        {1.0, 0, 1.0, 0.1, 1.0},   {1.3, 0, 1.0, 0.02, 1.0},   {1.0, 0, 1.0, 1.0, 1.0},
        {1.0, 0, 1.0, 0.0, 1.5},   {0.7, 0, 1.0, 0.0, 0.6},    {0.8, 40, 0.9, 0.0, 1.0},
        {1.2, 30, 0.9, 0.05, 1.0}, {0.9, 50, 0.92, 0.01, 1.3}, {1.0, 500, 1.0, 0.0, 1.0},
    };
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) check_draws(&cases[i], i);
}

/* The chi-squared test itself sees a wrong distribution. */
static void a_wrong_distribution_is_noticed(void **state) {
    (void)state;
    const struct gw_sampling drawn = {1.0, 0, 1.0, 0.0, 1.0}, other = {1.05, 0, 1.0, 0.0, 1.0};
    struct row *r = make_row(1.0);
    double p[VOCAB];
    size_t count[VOCAB] = {0};
    exact(r, &other, p);
    for (size_t i = 0; i < N_DRAWS; i++) {
        float logprob;
        count[gw_sample(&r->head, 0, &drawn, uniform(7, i), NULL, r->scratch, &logprob)]++;
    }
    assert_true(chi_squared_z(count, p, VOCAB, N_DRAWS) > 10);
    free_row(r);
}

static void greedy_takes_the_first_largest(void **state) {
    (void)state;
    const struct gw_sampling s = {0, 0, 1.0, 0.0, 1.0}, penalised = {0, 0, 1.0, 0.0, 50.0};
    struct row *r = make_row(0);
    float logprob;
    for (size_t i = 0; i < VOCAB; i++) r->z[i] = (float)(i % 7);
    fill_statistics(r);
    assert_int_equal(gw_sample(&r->head, 0, &s, 0.99, NULL, r->scratch, &logprob), 6);
    assert_true(fabs((double)logprob - (6 - r->log_sum_exp)) < 1e-5);
    memset(r->seen, 0, sizeof r->seen);
    gw_seen_add(r->seen, 6);
    assert_int_equal(gw_sample(&r->head, 0, &penalised, 0, r->seen, r->scratch, &logprob), 13);
    free_row(r);
}

static void the_ends_of_u_are_tokens(void **state) {
    static const struct gw_sampling cases[] = {{1, 0, 1, 0, 1}, {1, 9, 0.8, 0, 1}, {1, 0, 1, 0, 2}};
    static const double us[] = {0, 0x1p-53, 0.5, 1 - 0x1p-53};
    (void)state;
    struct row *r = make_row(1);
    for (size_t c = 0; c < GW_ARRAY_LEN(cases); c++)
        for (size_t i = 0; i < GW_ARRAY_LEN(us); i++) {
            float logprob = NAN;
            int32_t id = gw_sample(&r->head, 0, &cases[c], us[i], r->seen, r->scratch, &logprob);
            assert_in_range(id, 0, VOCAB - 1);
            assert_true(logprob <= 0);
        }
    free_row(r);
}

static void logits_that_are_not_finite_are_refused(void **state) {
    static const float bad[] = {NAN, INFINITY};
    (void)state;
    struct row *r = make_row(1);
    const struct gw_sampling s = GW_SAMPLING_INIT;
    float logprob;
    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        r->max = isnan(bad[i]) ? r->max : bad[i];
        r->sum = isnan(bad[i]) ? NAN : r->sum;
        assert_int_equal(gw_sample(&r->head, 0, &s, 0.5, NULL, r->scratch, &logprob), -1);
    }
    free_row(r);
}

static void options_out_of_range_are_named(void **state) {
    static const struct {
        struct gw_sampling s;
        const char *name;
    } cases[] = {{{-1, 0, 1, 0, 1}, "temperature"},
                 {{NAN, 0, 1, 0, 1}, "temperature"},
                 {{1e-5, 0, 1, 0, 1}, "temperature"},
                 {{1, 0, 0, 0, 1}, "top-p"},
                 {{1, 0, 1.1, 0, 1}, "top-p"},
                 {{1, 0, 1, -0.1, 1}, "min-p"},
                 {{1, 0, 1, NAN, 1}, "min-p"},
                 {{1, 0, 1, 0, 0}, "repetition-penalty"},
                 {{1, 0, 1, 0, INFINITY}, "repetition-penalty"}};
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gwen_err err = {0};
        assert_int_equal(gw_sampling_check(&cases[i].s, &err), GWEN_ERR_ARGUMENT);
        assert_non_null(strstr(err.message, cases[i].name));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(a_wrong_distribution_is_noticed),
        cmocka_unit_test(greedy_takes_the_first_largest),
        cmocka_unit_test(the_ends_of_u_are_tokens),
        cmocka_unit_test(logits_that_are_not_finite_are_refused),
        cmocka_unit_test(options_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
