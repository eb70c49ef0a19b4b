/* test_arena.c - alignment, limits, reset and reuse of the bump allocator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"

static void alignment_and_contents(void **state) {
    (void)state;
    struct gw_arena a;
    gw_arena_init(&a, 0);
    unsigned char *kept[200];
    for (size_t i = 0; i < GW_ARRAY_LEN(kept); i++) {
        size_t align = (size_t)1 << (i % 13), size = i * 7 % 300;
        kept[i] = gw_arena_alloc(&a, size, align);
        assert_non_null(kept[i]);
        assert_int_equal((uintptr_t)kept[i] % align, 0);
        memset(kept[i], (int)i, size);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(kept); i++) /* nothing overlaps */
        for (size_t j = 0; j < i * 7 % 300; j++) assert_int_equal(kept[i][j], (unsigned char)i);
    gw_arena_free(&a);
    assert_int_equal(a.taken, 0);
}

static void zero_sizes_are_distinct(void **state) {
    (void)state;
    struct gw_arena a;
    gw_arena_init(&a, 0);
    void *p = gw_arena_alloc(&a, 0, 1), *q = gw_arena_alloc(&a, 0, 1);
    assert_non_null(p);
    assert_non_null(q);
    assert_ptr_not_equal(p, q);
    gw_arena_free(&a);
}

static void bad_requests(void **state) {
    (void)state;
    struct gw_arena a;
    gw_arena_init(&a, 0);
    assert_null(gw_arena_alloc(&a, 1, 0));
    assert_null(gw_arena_alloc(&a, 1, 3));
    assert_null(gw_arena_alloc(&a, 1, 8192));
    assert_null(gw_arena_alloc(&a, SIZE_MAX, 1));
    assert_null(gw_arena_alloc(&a, SIZE_MAX, 4096));
    assert_null(gw_arena_calloc(&a, SIZE_MAX / 2, 3));
    assert_null(gw_arena_strndup(&a, "", SIZE_MAX));
    assert_non_null(gw_arena_alloc(&a, 1, 1)); /* and it still works */
    gw_arena_free(&a);
}

static void limit_holds(void **state) {
    (void)state;
    enum { LIMIT = 20000 };
    struct gw_arena a;
    gw_arena_init(&a, LIMIT);
    assert_null(gw_arena_alloc(&a, LIMIT, 1)); /* the header needs room too */
    size_t got = 0;
    while (gw_arena_alloc(&a, 100, 1) != NULL) got += 100;
    assert_true(a.taken <= LIMIT);
    assert_true(got > LIMIT * 9 / 10); /* the limit is made use of */
    gw_arena_reset(&a);
    size_t again = 0;
    while (gw_arena_alloc(&a, 100, 1) != NULL) again += 100;
    assert_int_equal(again, got);
    gw_arena_free(&a);
    assert_non_null(gw_arena_alloc(&a, LIMIT / 2, 1)); /* free keeps the limit, gives the room */
    assert_null(gw_arena_alloc(&a, LIMIT / 2, 1));
    gw_arena_free(&a);
}

static void reset_reuses_chunks(void **state) {
    (void)state;
    struct gw_arena a;
    gw_arena_init(&a, 0);
    size_t taken = 0;
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < 1000; i++) {
            unsigned char *p = gw_arena_calloc(&a, i, 3);
            assert_non_null(p);
            for (size_t j = 0; j < i * 3; j++) assert_int_equal(p[j], 0);
            memset(p, 0xee, i * 3);
        }
        if (round == 0) taken = a.taken;
        assert_int_equal(a.taken, taken);
        gw_arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    gw_arena_free(&a);
}

/* A large request amid small ones does not lose the chunks that a reset kept. */
static void large_after_reset(void **state) {
    (void)state;
    struct gw_arena a;
    gw_arena_init(&a, 0);
    for (int i = 0; i < 4; i++) assert_non_null(gw_arena_alloc(&a, 3000, 8));
    gw_arena_reset(&a);
    unsigned char *big = gw_arena_alloc(&a, 3 << 20, 64);
    assert_non_null(big);
    memset(big, 1, 3 << 20);
    size_t taken = a.taken;
    for (int i = 0; i < 2; i++) assert_non_null(gw_arena_alloc(&a, 3000, 8));
    assert_int_equal(a.taken, taken);
    gw_arena_free(&a);
}

static void strings(void **state) {
    (void)state;
    struct gw_arena a;
    gw_arena_init(&a, 0);
    char *s = gw_arena_strndup(&a, "a\0bcd", 3);
    assert_memory_equal(s, "a\0b", 4);
    assert_string_equal(gw_arena_strndup(&a, NULL, 0), "");
    gw_arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment_and_contents),
        cmocka_unit_test(zero_sizes_are_distinct),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(limit_holds),
        cmocka_unit_test(reset_reuses_chunks),
        cmocka_unit_test(large_after_reset),
        cmocka_unit_test(strings),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
