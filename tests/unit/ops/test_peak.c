/* test_peak.c - the measured limits are of a possible size and respect their memory budget; how
 * fast the machine is no test can say. */
#include "ops/peak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct gwen_kernels kern;

static void test_flops(void **state) {
    struct gw_pool *pool = *state;
    assert_true(gw_peak_flops(&(struct gw_arith){&kern, GW_PANEL_F32}, pool, 0.02) > 1e6);
    const double dot = gw_peak_flops(&(struct gw_arith){&kern, GW_PANEL_BF16X2}, pool, 0.02);
    if (kern.dot_class == GWEN_DOT_NONE)
        assert_true(dot == 0);
    else
        assert_true(dot > 1e6);
}

static void test_read(void **state) {
    struct gw_pool *pool = *state;
    struct gwen_err err;
    static const enum gw_panel_format formats[] = {GW_PANEL_F32, GW_PANEL_F16, GW_PANEL_BF16X2};
    for (size_t i = 0; i < GW_ARRAY_LEN(formats); i++) {
        struct gw_read_peak peak;
        const size_t budget = (size_t)24 << 20;
        assert_int_equal(
            gw_peak_read(&(struct gw_arith){&kern, formats[i]}, pool, budget, 0.02, &peak, &err),
            GWEN_OK);
        assert_true(peak.bytes_s > 1e6);
        assert_in_range(peak.bytes, (size_t)15 << 20, budget);
        assert_true(strlen(peak.pattern) > 0);
    }
}

static void test_too_little_memory(void **state) {
    struct gw_pool *pool = *state;
    struct gw_read_peak peak;
    struct gwen_err err;
    assert_int_equal(gw_peak_read(&(struct gw_arith){&kern, GW_PANEL_F32}, pool, (size_t)8 << 20,
                                  0.02, &peak, &err),
                     GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "bandwidth"));
}

static int setup(void **state) {
    struct gw_pool *pool = NULL;
    struct gwen_err err;
    if (gw_pool_create(2, &pool, &err) != GWEN_OK) return -1;
    *state = pool;
    return 0;
}

static int teardown(void **state) {
    gw_pool_free(*state);
    return 0;
}

int main(void) {
    const char *level = getenv("GWEN_ISA");
    enum gwen_isa cap = GWEN_ISA_COUNT;
    if (level != NULL && *level != '\0' && !gwen_isa_parse(level, &cap)) return 2;
    gwen_kernels_init(&kern, cap);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flops), cmocka_unit_test(test_read),
                                       cmocka_unit_test(test_too_little_memory)};
    return cmocka_run_group_tests_name("peak", tests, setup, teardown);
}
