/* test_checksum.c - a file's sum is that of its bytes, and no changed bit goes unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checksum.h"
#include "base/file.h"
#include "unit/scratch.h"

/* They stand in files: they may never change. */
static void known_sums(void **state) {
    (void)state;
    char bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7);
    assert_true(gw_checksum("", 0) == 0);
    assert_true(gw_checksum("gwen", 4) == 0x460dfe3f68d6a78c);
    assert_true(gw_checksum(bytes, sizeof bytes) == 0x3fa8123b573d6147);
}

static void every_bit_counts(void **state) {
    (void)state;
    for (size_t len = 1; len < 200; len += 9) {
        unsigned char bytes[200];
        for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)(i * 31);
        const uint64_t sum = gw_checksum(bytes, len);
        assert_true(gw_checksum(bytes, len - 1) != sum);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_true(gw_checksum(bytes, len) != sum);
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
}

/* Of all of it, and of a beginning; pieces are of a MiB. */
static void files(void **state) {
    (void)state;
    const size_t size = (2 << 20) + 12345;
    char *bytes = malloc(size);
    struct gwen_err err;
    uint64_t n, sum;
    for (size_t i = 0; i < size; i++) bytes[i] = (char)(i * i >> 7);
    const char *path = scratch_write("file", bytes, size);
    static const size_t lengths[] = {0, 1, 64, 1 << 20, (1 << 20) + 1, 2 << 20, (2 << 20) + 12345};
    for (size_t i = 0; i < GW_ARRAY_LEN(lengths); i++) {
        assert_int_equal(gw_file_checksum(path, lengths[i], &n, &sum, &err), GWEN_OK);
        assert_true(n == lengths[i] && sum == gw_checksum(bytes, lengths[i]));
    }
    assert_int_equal(gw_file_checksum(path, UINT64_MAX, &n, &sum, &err), GWEN_OK);
    assert_true(n == size && sum == gw_checksum(bytes, size));
    assert_int_equal(gw_file_checksum(scratch_path("none"), 1, &n, &sum, &err), GWEN_ERR_IO);
    assert_int_equal(mkfifo(scratch_path("fifo"), 0666), 0);
    assert_int_equal(gw_file_checksum(scratch_path("fifo"), 1, &n, &sum, &err), GWEN_ERR_IO);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sums),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
