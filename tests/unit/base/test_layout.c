/* test_layout.c - one function counts and hands out: the same bytes, aligned, and never past the
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/layout.h"

struct things {
    char *names;
    double *weights;
    int32_t *none;
    float *rows;
    char *page;
};

static void lay_out(struct gw_layout *l, size_t n, struct things *t) {
    t->names = gw_layout_take(l, n, sizeof *t->names);
    t->weights = gw_layout_take(l, 2 * n, sizeof *t->weights);
    t->none = gw_layout_take(l, 0, sizeof *t->none);
    t->rows = gw_layout_take(l, n, 3 * sizeof *t->rows);
    gw_layout_align(l, 4096);
    t->page = gw_layout_take(l, 1, 100);
}

static void counts_alone(void **state) {
    (void)state;
    struct gw_layout plan = {0};
    struct things t;
    lay_out(&plan, 5, &t);
    assert_true(plan.used == 4096 + 128);
    assert_null(t.names);
    assert_null(t.weights);
    assert_null(t.none);
    assert_null(t.rows);
    assert_null(t.page);
}

static void hands_out_what_it_counted(void **state) {
    (void)state;
    for (size_t n = 0; n < 200; n += 7) {
        struct gwen_err err;
        struct gw_layout plan = {0}, l;
        struct gw_mem memory;
        struct things t;
        lay_out(&plan, n, &t);
        assert_int_equal(gw_layout_map(&l, plan.used, &memory, &err), GWEN_OK);
        lay_out(&l, n, &t);
        assert_int_equal(gw_layout_end(&l, "things", &err), GWEN_OK);
        const char *const at[] = {t.names, (char *)t.weights, (char *)t.none, (char *)t.rows,
                                  t.page};
        const size_t bytes[] = {n, 16 * n, 0, 12 * n, 100};
        for (size_t i = 0; i < GW_ARRAY_LEN(at); i++) {
            assert_true(at[i] >= (char *)memory.data);
            assert_true(at[i] + bytes[i] <= (char *)memory.data + memory.bytes);
            assert_true((uintptr_t)at[i] % GW_LAYOUT_ALIGN == 0);
            if (i > 0) assert_true(at[i] >= at[i - 1] + bytes[i - 1]);
        }
        assert_true((uintptr_t)t.page % 4096 == 0);
        gw_mem_unmap(&memory);
    }
}

/* What a plan that was kept by hand would come to: the error names it, and nothing is handed out
 * that is not there. */
static void plan_and_use_apart(void **state) {
    (void)state;
    _Alignas(64) char room[4096 + 128];
    const size_t planned[] = {0, 64, 4096, 4096 + 64, 4096 + 127};
    struct gwen_err err;
    struct things t;
    for (size_t i = 0; i < GW_ARRAY_LEN(planned); i++) {
        struct gw_layout l = gw_layout_over(room, planned[i]);
        lay_out(&l, 5, &t);
        assert_null(t.page);
        assert_int_equal(gw_layout_end(&l, "things", &err), GWEN_ERR_INTERNAL);
        assert_non_null(strstr(err.message, "things: "));
        assert_int_equal(gw_layout_end(&l, "things", NULL), GWEN_ERR_INTERNAL);
    }
    struct gw_layout less = gw_layout_over(room, sizeof room);
    lay_out(&less, 5, &t);
    assert_int_equal(gw_layout_end(&less, "things", &err), GWEN_OK);
    less.used -= 64;
    assert_int_equal(gw_layout_end(&less, "things", &err), GWEN_ERR_INTERNAL);
}

/* Sizes that no size_t holds stay refused, whatever is taken after them. */
static void too_large(void **state) {
    (void)state;
    const size_t most = SIZE_MAX;
    const size_t n[][2] = {{most, 1},         {most, 2},       {1, most},
                           {most / 2 + 1, 2}, {2, most},       {most / 8 + 1, 8},
                           {most - 63, 1},    {most - 100, 1}, {1, most - 64}};
    for (size_t i = 0; i < GW_ARRAY_LEN(n); i++) {
        struct gw_layout plan = {0}, l;
        struct gw_mem memory;
        struct gwen_err err;
        assert_null(gw_layout_take(&plan, 1, 64));
        assert_null(gw_layout_take(&plan, n[i][0], n[i][1]));
        assert_true(plan.used == SIZE_MAX);
        assert_null(gw_layout_take(&plan, 1, 1));
        gw_layout_align(&plan, 4096);
        assert_null(gw_layout_take(&plan, 0, 1));
        assert_true(plan.used == SIZE_MAX);
        assert_int_equal(gw_layout_map(&l, plan.used, &memory, &err), GWEN_ERR_NOMEM);
        assert_null(l.base);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_alone),
        cmocka_unit_test(hands_out_what_it_counted),
        cmocka_unit_test(plan_and_use_apart),
        cmocka_unit_test(too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
