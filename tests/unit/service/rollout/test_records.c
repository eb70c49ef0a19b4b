/* test_records.c - rows of JSONL, JSON arrays and CSV, gzipped or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "service/rollout/records.h"
#include "unit/scratch.h"

enum { MAX_BYTES = 64 };

/* Appends "LINE:ROW;" for each row, then the error's message if there was one. */
static void put_rows(const char *path, struct gw_str *s) {
    struct gw_records *r;
    struct gw_row row;
    struct gwen_err err;
    bool more = true;
    assert_int_equal(gw_records_open(path, MAX_BYTES, &r, &err), GWEN_OK);
    while (more) {
        if (gw_records_next(r, &row, &more, &err) != GWEN_OK) {
            const char *base = strrchr(err.message, '/');
            gw_str_puts(s, base != NULL ? base + 1 : err.message);
            break;
        }
        if (!more) break;
        gw_str_printf(s, "%u:", (unsigned)row.line);
        gw_str_put_row(s, row.obj);
        gw_str_putc(s, ';');
        json_decref(row.obj);
    }
    gw_records_close(r);
    gw_str_puts(s, "");
}

static const char *zip(const char *name, const char *text, size_t len) {
    const char *path = scratch_path(name);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, text, (unsigned)len), len);
    assert_int_equal(gzclose(f), Z_OK);
    return path;
}

static void forms(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *want;
    } cases[] = {
        {"a.jsonl", "{\"a\":1}\n\n \t\r\n{\"a\":2}", "1:{\"a\":1};4:{\"a\":2};"},
        {"a.jsonl", "\xEF\xBB\xBF\n{\"a\":1}\n", "2:{\"a\":1};"},
        {"a.jsonl", "", ""},
        {"a.jsonl", "\n\n", ""},
        {"a.json", "[]", ""},
        {"a.json", "\xEF\xBB\xBF\n [{\"a\":\"]}\\\"\"},\n\n{\"b\":[{}]} ] \n",
         "2:{\"a\":\"]}\\\"\"};4:{\"b\":[{}]};"},
        {"a.json", "[{\"a\":1}", "a.json:1: the file ends in this element"},
        {"a.json", "[{\"a\":1},]", "1:{\"a\":1};a.json:1: an element of the array is missing"},
        {"a.json", "[,{}]", "a.json:1: an element of the array is missing"},
        {"a.json", "[{}]\n{}", "1:{};a.json:2: something stands after the array's end"},
        {"a.json", "[{}\n{}]", "a.json:1:1: end of file expected near"},
        {"a.json", "[3]", "a.json:1:1: "},
        {"a.json", "[{\"a\":\"0123456789012345678901234567890123456789012345678901234567\"}]",
         "a.json:1: row longer than 64 bytes"},
        {"a.csv", "a,b\r\n1,\"x,\"\"y\"\"\n\"\r\n\r\n,\"\"\n",
         "2:{\"a\":\"1\",\"b\":\"x,\\\"y\\\"\\n\"};5:{\"a\":null,\"b\":\"\"};"},
        {"a.CSV",
         "\xEF\xBB\xBF"
         "a\nx",
         "2:{\"a\":\"x\"};"},
        {"a.csv", ",b\n0,c\n", "2:{\"\":\"0\",\"b\":\"c\"};"},
        {"a.csv", "a,b\n", ""},
        {"a.csv", "", ""},
        {"a.csv", "a,b\n1,2,3\n", "a.csv:2: 3 fields, but the header has 2"},
        {"a.csv", "a,b\n1\n", "a.csv:2: 1 fields, but the header has 2"},
        {"a.csv", "a,a\n", "a.csv:1: two columns are called \"a\""},
        {"a.csv", "a\n\"x\n", "a.csv:2: a quote of this row is not closed"},
        {"a.csv", "a\n\"x\"y\n", "a.csv:2: expected a comma after a quoted field"},
        {"a.csv", "a\nx\"y\n", "a.csv:2: a quote inside of a field"},
        {"a.csv", "a\n\xFF\n", "a.csv:2: column \"a\" is not UTF-8"},
        {"a.csv", "a\n0123456789012345678901234567890123456789012345678901234567890123456789\n",
         "a.csv:2: row longer than 64 bytes"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_str s = {0}, z = {0};
        char name[16];
        put_rows(scratch_puts(cases[i].name, cases[i].text), &s);
        const char *got = s.data != NULL ? s.data : "";
        if (strncmp(got, cases[i].want, strlen(cases[i].want)) != 0 ||
            (strchr(cases[i].want, ' ') == NULL && strcmp(got, cases[i].want) != 0))
            fail_msg("case %zu: %s, not %s", i, got, cases[i].want);
        snprintf(name, sizeof name, "%s.gz", cases[i].name);
        put_rows(zip(name, cases[i].text, strlen(cases[i].text)), &z);
        const char *zipped = z.data != NULL ? z.data : "";
        if (strchr(cases[i].want, ' ') == NULL && strcmp(got, zipped) != 0)
            fail_msg("case %zu: zipped %s, not %s", i, zipped, got);
        gw_str_free(&s);
        gw_str_free(&z);
    }
}

static void zipped(void **state) {
    (void)state;
    static const char row[] = "{\"a\":1}\n";
    struct gw_str bytes = {0}, s = {0};
    struct gwen_err err;
    const char *path = zip("one.gz", row, sizeof row - 1);
    assert_int_equal(gw_file_read(path, 1 << 20, &bytes, &err), GWEN_OK);
    const size_t len = bytes.len;
    /* two members are one text */
    gw_str_put(&bytes, bytes.data, len);
    put_rows(scratch_write("two.gz", bytes.data, bytes.len), &s);
    assert_string_equal(s.data, "1:{\"a\":1};2:{\"a\":1};");
    /* cut anywhere, it is never taken for whole */
    for (size_t cut = 2; cut < len; cut++) {
        gw_str_clear(&s);
        put_rows(scratch_write("cut.gz", bytes.data, cut), &s);
        assert_non_null(strstr(s.data, "cut.gz: the gzip file is cut off"));
    }
    /* and neither with a bit changed */
    bytes.data[len - 6] ^= 1;
    gw_str_clear(&s);
    put_rows(scratch_write("bad.gz", bytes.data, len), &s);
    assert_non_null(strstr(s.data, "bad.gz: damaged gzip"));
    /* a line that has no end is refused before it fills the memory */
    static char zeros[1 << 20];
    gw_str_clear(&s);
    put_rows(zip("bomb.gz", zeros, sizeof zeros), &s);
    assert_non_null(strstr(s.data, "longer than 64 bytes"));
    gw_str_free(&bytes);
    gw_str_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(zipped),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
