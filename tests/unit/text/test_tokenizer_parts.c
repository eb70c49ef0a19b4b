/* test_tokenizer_parts.c - the tokenizer's parts by themselves: regular expressions, Unicode,
 * finding added tokens, merging, walking JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer/impl.h"
#include "text/tokenizer/matcher.h"
#include "text/tokenizer/scan.h"
#include "text/tokenizer/unicode.h"

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* --- regular expressions -------------------------------------------------------------------- */

/* A text split at the matches, as Split with Isolated does: what the tokenizers library gives. */
static const struct {
    const char *pattern, *text;
    size_t len;
    const char *pieces; /* with '|' between them */
} splits[] = {
    {"\\h+|\\v", "fG0\013\n", 5, "f|G|0|\013|\n"},
    {"[\\h]+", "xyzF0", 5, "xyz|F0"},
    {"(?m:.)+", "a\nb", 3, "a\nb"},
    {".+", "a\nb", 3, "a|\n|b"},
    {"a(?i)b|c", "aBCac", 5, "aB|C|ac"},
    {"x{,2}", "xxxxx", 5, "xx|xx|x"},
    {"a{2}+", "aaaaa", 5, "aaaa|a"},
    {"a{2}?", "aaa", 3, "aa|a"},
    {"^a|b$", "a\na\nb\nb", 7, "a|\n|a|\n|b|\n|b"},
    {"\\s", "a\341\240\216b\302\205c\302\240", 10, "a\341\240\216b|\302\205|c|\302\240"},
    {"\\w+", "\302\262a_\342\200\277\314\201-\342\200\215", 13,
     "\302\262a_\342\200\277\314\201|-\342\200\215"},
    {"[\\w]+", "\302\262a_", 4, "\302\262|a_"},
    {"\\p{Han}", "\343\200\201\344\270\255\343\200\261\360\261\215\220", 13,
     "\343\200\201|\344\270\255|\343\200\261|\360\261\215\220"},
    {"\\p{L}+", "a\360\261\215\220\352\237\213\340\242\227", 11,
     "a\360\261\215\220\352\237\213|\340\242\227"},
    {"\\P{L}", "a\340\242\227", 4, "a|\340\242\227"},
    {"\\p{^L}+", "a12b", 4, "a|12|b"},
    {"[\\p{L}&&[^a-c]]+", "abdxc", 5, "ab|dx|c"},
    {"[^a&&b]+", "abc", 3, "abc"},
    {"[a[^b]]+", "abcb", 4, "a|b|c|b"},
    {"[]a]+", "a]b", 3, "a]|b"},
    {"[a-c-e]+", "b-de", 4, "b-|d|e"},
    {"(?i:'s)", "'s'S'\305\277's", 9, "'s|'S|'\305\277|'s"},
    {"\\b", "ab \302\262c", 6, "ab| |\302\262c"},
    {"\\R", "a\015\n\342\200\250b\n", 8, "a|\015\n|\342\200\250|b|\n"},
    {"(?>a|ab)c", "abcac", 5, "abc|ac"},
    {"a++b|a*+", "aaab", 4, "aaab"},
    {"(?<=a|bc)d", "adbcdd", 6, "a|d|bc|d|d"},
    {"(?<!\\s)x", "x x", 3, "x| x"},
    {"[[:punct:]]+", "a$!\342\226\201\360\237\231\202", 10, "a|$!\342\226\201\360\237\231\202"},
    {"\\p{punct}+", "a$!\342\226\201", 6, "a$|!|\342\226\201"},
    {"[[:^alpha:]]+", "a1 b", 4, "a|1 |b"},
    {"\\u4e2d|\\x{e9}|\\0", "\344\270\255\303\251\000", 6, "\344\270\255|\303\251|\000"},
    {"(?<name>a)(?'n'b)(?#x)c", "abcabd", 6, "abc|abd"},
    {"", "\303\251a", 3, "\303\251|a"},
    {"a*", "baac", 4, "b|aa|c"},
    {"\\p{Mn}+|\\p{Mc}+", "\360\221\234\236\314\201", 6, "\360\221\234\236|\314\201"},
    {"\\p{Cn}+", "\340\242\227\315\270", 5, "\340\242\227|\315\270"},
    {"{|a{,}|}", "a{,}{", 5, "a{,}|{"},
    {"[^\\S\\n]+", "a \n\011", 4, "a| |\n|\011"},
    {"\\A.|.\\z", "ab\nc", 4, "a|b\n|c"},
    {"(?i-m:K)", "k\342\204\252K", 5, "k|\342\204\252|K"},
    {"[\\d\\-\\]]+", "1-]a", 4, "1-]|a"},
};

/* Appends a piece, NUL included. */
static void put_piece(struct gw_str *out, const char *text, size_t start, size_t end) {
    if (start == end) return;
    if (out->len > 0) gw_str_putc(out, '|');
    gw_str_put(out, text + start, end - start);
}

static void check_split(const char *pattern, const char *text, size_t len, const char *wanted) {
    struct gw_regex *re;
    struct gw_regex_run *run;
    struct gw_regex_iter it;
    struct gwen_err err;
    struct gw_str out = {0};
    size_t last = 0;
    bool found;
    if (gw_regex_compile(pattern, strlen(pattern), "test", &re, &err) != GWEN_OK)
        fail_msg("%s: %s", pattern, err.message);
    assert_int_equal(gw_regex_run_new(&run, &err), GWEN_OK);
    gw_regex_begin(&it, re, text, len);
    for (;;) {
        assert_int_equal(gw_regex_next(&it, run, &found, &err), GWEN_OK);
        put_piece(&out, text, last, found ? it.start : len);
        if (!found) break;
        put_piece(&out, text, it.start, it.end);
        last = it.end;
    }
    /* a piece with a NUL: the pieces must still be as long as the text and its bars */
    size_t bars = 0;
    for (size_t i = 0; i < out.len; i++) bars += out.data[i] == '|';
    assert_int_equal(out.len, len + bars);
    if (strcmp(out.data, wanted) != 0) fail_msg("%s: %s, not %s", pattern, out.data, wanted);
    gw_str_free(&out);
    gw_regex_run_free(run);
    gw_regex_free(re);
}

static void regex_splits(void **state) {
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(splits); i++)
        check_split(splits[i].pattern, splits[i].text, splits[i].len, splits[i].pieces);
}

/* Patterns of well-known tokenizers must load; what can't be done exactly must not. */
static void regex_accepts(void **state) {
    (void)state;
    static const char *const accepted[] = {
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
        "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
        "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
        "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*"
        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        "[!\"#$%&'()*+,\\-./"
        ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+",
        " ?[^(\\s|[.,!?\xE2\x80\xA6\xE3\x80\x82])]+",
        "\\d{1,3}(?=(?:\\d{3})*\\b)",
    };
    static const char *const refused[] = {
        "(",
        ")",
        "a)",
        "[a",
        "[",
        "a\\",
        "\\",
        "*a",
        "a**",
        "(a*)*",
        "(a|)+",
        "(?=a)*",
        "a{3,1}",
        "\\1",
        "(a)\\1",
        "\\k<n>",
        "\\X",
        "\\G",
        "\\K",
        "\\p{IsL}",
        "\\p{X",
        "\\pL",
        "\\x{110000}",
        "\\xff",
        "\\ud800",
        "(?x:a)",
        "(?s:a)",
        "(?P<n>a)",
        "(?~a)",
        "(?<1>a)",
        "[z-a]",
        "[a-\\d]",
        "[\\w-a]",
        "[&&a]",
        "(?i:ss)",
        "(?i:STop)",
        "(?i:\xC3\xA9)",
        "(?i:\\w)",
        "(?<=a+)b",
        "[[:upper:]]",
        "(?i:[\xC3\xA0-\xC3\xBF])",
        "[\\X]",
        "a{99999999}",
        "(?i",
        "(?#",
        "\\u12",
    };
    struct gw_regex *re;
    struct gwen_err err;
    for (size_t i = 0; i < GW_ARRAY_LEN(accepted); i++) {
        if (gw_regex_compile(accepted[i], strlen(accepted[i]), "test", &re, &err) != GWEN_OK)
            fail_msg("%s: %s", accepted[i], err.message);
        gw_regex_free(re);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(refused); i++) {
        err.message[0] = 0;
        enum gwen_status status =
            gw_regex_compile(refused[i], strlen(refused[i]), "test", &re, &err);
        if (status != GWEN_ERR_UNSUPPORTED || strncmp(err.message, "test: ", 6) != 0)
            fail_msg("%s: status %d, %s", refused[i], status, err.message);
        assert_null(re);
    }
}

/* A pattern that would run for ages ends in an error. */
static void regex_limits(void **state) {
    (void)state;
    struct gw_regex *re;
    struct gw_regex_run *run;
    struct gwen_err err;
    static const char hostile[] = "(?:a|a?a|aa?)+$";
    char *text = malloc(5001);
    bool found;
    assert_non_null(text);
    memset(text, 'a', 5000);
    text[4999] = 'b';
    text[5000] = 0;
    assert_int_equal(gw_regex_compile("(?:x+x+)+y", 10, "test", &re, &err), GWEN_OK);
    gw_regex_free(re);
    assert_int_equal(gw_regex_compile(hostile, strlen(hostile), "test", &re, &err), GWEN_OK);
    assert_int_equal(gw_regex_run_new(&run, &err), GWEN_OK);
    assert_int_equal(gw_regex_test(re, run, text, 5000, &found, &err), GWEN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "fails on this text (5000 bytes)"));
    gw_regex_free(re);
    /* ... and so does one of which every match takes little less than it may */
    assert_int_equal(gw_regex_compile("(?:a|a?a){12}(?=.*c)|.", 22, "test", &re, &err), GWEN_OK);
    struct gw_regex_iter it;
    enum gwen_status status = GWEN_OK;
    gw_regex_begin(&it, re, text, 5000);
    for (found = true; found && status == GWEN_OK;) status = gw_regex_next(&it, run, &found, &err);
    assert_int_equal(status, GWEN_ERR_UNSUPPORTED);
    gw_regex_free(re);
    /* deep recursion needs more than the first stack, and gets it */
    assert_int_equal(gw_regex_compile("(?:a|b)+", 8, "test", &re, &err), GWEN_OK);
    assert_int_equal(gw_regex_test(re, run, text, 5000, &found, &err), GWEN_OK);
    assert_true(found);
    gw_regex_free(re);
    gw_regex_run_free(run);
    free(text);
    char *deep = malloc(5000);
    assert_non_null(deep);
    memset(deep, '(', 5000);
    assert_int_equal(gw_regex_compile(deep, 5000, "test", &re, &err), GWEN_ERR_UNSUPPORTED);
    memset(deep, '[', 5000);
    assert_int_equal(gw_regex_compile(deep, 5000, "test", &re, &err), GWEN_ERR_UNSUPPORTED);
    free(deep);
}

/* --- Unicode -------------------------------------------------------------------------------- */

static void check_form(enum gw_uni_form form, const char *text, const char *wanted) {
    struct gw_str out = {0};
    assert_true(gw_uni_normalize(form, text, strlen(text), &out));
    gw_str_putc(&out, 0);
    if (strcmp(out.data, wanted) != 0) fail_msg("%s became %s, not %s", text, out.data, wanted);
    gw_str_free(&out);
}

static void normal_forms(void **state) {
    (void)state;
    check_form(GW_NFC, "", "");
    check_form(GW_NFC, "abc e\xCC\x81x", "abc \xC3\xA9x");
    check_form(GW_NFD, "abc \xC3\xA9x", "abc e\xCC\x81x");
    check_form(GW_NFKC, "\xEF\xAC\x81\xC2\xBD",
               "fi1\xE2\x81\x84"
               "2");
    check_form(GW_NFKD, "\xE2\x84\xAB", "A\xCC\x8A");
    /* marks are put in order, the first of a class first; blocked ones do not compose */
    check_form(GW_NFC, "a\xCC\x81\xCC\xA3", "\xE1\xBA\xA1\xCC\x81");
    check_form(GW_NFC, "a\xCC\x95\xCC\x80", "\xC3\xA0\xCC\x95");
    check_form(GW_NFC, "a\xCC\x80\xCC\x81", "\xC3\xA0\xCC\x81");
    check_form(GW_NFC, "a\xCC\xB4x\xCC\x81", "a\xCC\xB4x\xCC\x81");
    /* Hangul: L V, LV T; U+11A7 is no T */
    check_form(GW_NFC, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81");
    check_form(GW_NFC, "\xEA\xB0\x80\xE1\x86\xA7", "\xEA\xB0\x80\xE1\x86\xA7");
    check_form(GW_NFD, "\xEA\xB0\x81", "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");
    /* composition exclusions decompose even in NFC */
    check_form(GW_NFC, "\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC");
    /* assigned after Unicode 9: not moved, not decomposed, a barrier */
    check_form(GW_NFC, "a\xE1\xB7\xB9\xCC\xA3", "a\xE1\xB7\xB9\xCC\xA3");
    check_form(GW_NFKC, "\xE3\x8B\xBF", "\xE3\x8B\xBF");
    check_form(GW_NFD, "\xF0\x91\xA4\xB8", "\xF0\x91\xA4\xB8");
    check_form(GW_NFC, "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0", "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0");
}

static void characters(void **state) {
    (void)state;
    static const struct {
        uint32_t c;
        const char *lower;
    } lowers[] = {{'A', "a"},
                  {'a', "a"},
                  {0xC9, "\xC3\xA9"},
                  {0x130, "i\xCC\x87"},
                  {0x3A3, "\xCF\x83"},
                  {0x1C89, "\xE1\xB2\x8A"},
                  {0xA7DC, "\xC6\x9B"},
                  {0x10D50, "\xF0\x90\xB5\xB0"},
                  {0x16EA0, "\xF0\x96\xBA\xBB"},
                  {0x4E2D, "\xE4\xB8\xAD"}};
    for (size_t i = 0; i < GW_ARRAY_LEN(lowers); i++) {
        struct gw_str s = {0};
        gw_uni_put_lower(&s, lowers[i].c);
        assert_string_equal(s.data, lowers[i].lower);
        gw_str_free(&s);
    }
    size_t spaces = 0;
    for (uint32_t c = 0; c < 0x110000; c++) spaces += gw_uni_is_space(c);
    assert_int_equal(spaces, 25);
    static const uint32_t numbers[] = {'7', 0xB2, 0xBD, 0x0663, 0x2167, 0x3007, 0x10D40, 0x11DE0};
    for (size_t i = 0; i < GW_ARRAY_LEN(numbers); i++) assert_true(gw_uni_is_numeric(numbers[i]));
    assert_false(gw_uni_is_numeric('a'));
    assert_false(gw_uni_is_numeric(0x4E00));
    assert_true(gw_uni_is_cased(0x10D50) && gw_uni_is_cased(0xE9) && !gw_uni_is_cased(0x2019));
}

static void byte_letters(void **state) {
    (void)state;
    bool seen[0x144] = {false};
    for (unsigned b = 0; b < 256; b++) {
        uint32_t c = gw_byte_to_letter((uint8_t)b);
        assert_true(c < 0x144 && !seen[c]);
        seen[c] = true;
        assert_int_equal(gw_letter_to_byte(c), b);
    }
    assert_int_equal(gw_byte_to_letter(' '), 0x120);
    assert_int_equal(gw_byte_to_letter(0xAD), 0x143);
    assert_int_equal(gw_letter_to_byte(0x144), -1);
    assert_int_equal(gw_letter_to_byte(' '), -1);
}

/* --- finding many strings ------------------------------------------------------------------- */

enum { MAX_STRINGS = 8 };

struct strings {
    char v[MAX_STRINGS][8];
    size_t n;
};

/* The leftmost, then longest string in text[from..), by trying all. */
static bool find_slowly(const struct strings *s, const char *text, size_t from, size_t *start,
                        size_t *end) {
    for (*start = from; text[*start] != 0; ++*start) {
        size_t longest = 0;
        for (size_t i = 0; i < s->n; i++) {
            size_t len = strlen(s->v[i]);
            if (len > longest && strncmp(text + *start, s->v[i], len) == 0) longest = len;
        }
        *end = *start + longest;
        if (longest > 0) return true;
    }
    return false;
}

static void random_letters(char *s, size_t len, uint32_t *random) {
    for (size_t i = 0; i < len; i++) s[i] = (char)('a' + next_random(random) % 3);
    s[len] = 0;
}

static void matcher(void **state) {
    (void)state;
    uint32_t random = 7;
    for (int round = 0; round < 3000; round++) {
        struct strings s = {.n = 1 + next_random(&random) % MAX_STRINGS};
        struct gw_matcher *m;
        struct gwen_err err;
        char text[41];
        assert_int_equal(gw_matcher_new(&m, &err), GWEN_OK);
        for (size_t i = 0; i < s.n; i++) {
            random_letters(s.v[i], 1 + next_random(&random) % 6, &random);
            assert_int_equal(gw_matcher_add(m, s.v[i], strlen(s.v[i]), (uint32_t)i, &err), GWEN_OK);
        }
        assert_int_equal(gw_matcher_finish(m, &err), GWEN_OK);
        random_letters(text, 40, &random);
        for (size_t from = 0;;) {
            size_t a, b, start, end;
            uint32_t value;
            bool wanted = find_slowly(&s, text, from, &a, &b);
            assert_int_equal(gw_matcher_find(m, text, 40, from, &start, &end, &value), wanted);
            if (!wanted) break;
            assert_int_equal(start, a);
            assert_int_equal(end, b);
            assert_int_equal(strlen(s.v[value]), b - a);
            from = b;
        }
        gw_matcher_free(m);
    }
}

/* --- merging -------------------------------------------------------------------------------- */

struct rule {
    uint32_t left, right, id;
};

/* The library's rule, slowly: always the pair of the lowest rank, the leftmost of those. */
static size_t merge_slowly(const struct rule *rules, size_t n_rules, int32_t *ids, size_t n) {
    for (;;) {
        size_t best = n_rules, at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t r = 0; r < best; r++)
                if (rules[r].left == (uint32_t)ids[i] && rules[r].right == (uint32_t)ids[i + 1]) {
                    best = r;
                    at = i;
                }
        if (best == n_rules) return n;
        ids[at] = (int32_t)rules[best].id;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

/* A tokenizer with the letters a, b, c and random merges that each give a new token. */
static struct gw_tokenizer *random_model(uint32_t *random, struct rule *rules, size_t n_rules) {
    char tokens[64][600] = {"a", "b", "c"};
    struct gw_str s = {0}, list = {0};
    struct gw_tokenizer *t;
    struct gwen_err err;
    size_t n = 3;
    gw_str_puts(&s, "{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"c\":2");
    for (size_t r = 0; r < n_rules;) {
        uint32_t left = next_random(random) % (uint32_t)n,
                 right = next_random(random) % (uint32_t)n;
        if (strlen(tokens[left]) + strlen(tokens[right]) > 12) continue;
        snprintf(tokens[n], sizeof tokens[n], "%.20s%.20s", tokens[left], tokens[right]);
        bool known = false;
        for (size_t i = 0; i < n; i++) known = known || strcmp(tokens[i], tokens[n]) == 0;
        if (known) continue;
        rules[r] = (struct rule){left, right, (uint32_t)n};
        gw_str_printf(&s, ",\"%s\":%zu", tokens[n], n);
        gw_str_printf(&list, "%s[\"%s\",\"%s\"]", r > 0 ? "," : "", tokens[left], tokens[right]);
        n++;
        r++;
    }
    gw_str_printf(&s, "},\"merges\":[%s]}}", list.data);
    assert_int_equal(gw_tokenizer_load_memory(s.data, s.len, "random", &t, &err), GWEN_OK);
    gw_str_free(&s);
    gw_str_free(&list);
    return t;
}

static void merging(void **state) {
    (void)state;
    enum { RULES = 20, LEN = 60 };
    uint32_t random = 11;
    for (int round = 0; round < 300; round++) {
        struct rule rules[RULES];
        struct gw_tokenizer *t = random_model(&random, rules, RULES);
        for (int k = 0; k < 5; k++) {
            char text[LEN + 1];
            int32_t slow[LEN];
            struct gw_ids ids = {0};
            struct gwen_err err;
            random_letters(text, LEN, &random);
            for (int i = 0; i < LEN; i++) slow[i] = text[i] - 'a';
            size_t n = merge_slowly(rules, RULES, slow, LEN);
            assert_int_equal(gw_tokenizer_encode(t, text, LEN, 0, &ids, &err), GWEN_OK);
            assert_int_equal(ids.len, n);
            assert_memory_equal(ids.data, slow, n * sizeof *slow);
            gw_ids_free(&ids);
        }
        gw_tokenizer_free(t);
    }
}

/* --- tables and JSON ------------------------------------------------------------------------ */

static void string_map(void **state) {
    (void)state;
    struct gw_string_map m = {0};
    const struct gw_string_entry *known;
    char name[32];
    for (uint32_t i = 0; i < 5000; i++) {
        int n = snprintf(name, sizeof name, "token %u", i * i);
        gw_str_put(&m.bytes, name, (size_t)n);
        assert_true(gw_string_map_add_tail(&m, (size_t)n, i, &known));
        assert_null(known);
    }
    size_t bytes = m.bytes.len;
    gw_str_puts(&m.bytes, "token 49");
    assert_true(gw_string_map_add_tail(&m, 8, 99, &known));
    assert_int_equal(known->value, 7);
    assert_int_equal(m.bytes.len, bytes);
    assert_true(gw_string_map_add_tail(&m, 0, 5000, &known)); /* the empty string is one too */
    assert_int_equal(gw_string_map_get(&m, "", 0), 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        int n = snprintf(name, sizeof name, "token %u", i * i);
        assert_int_equal(gw_string_map_get(&m, name, (size_t)n), i);
        assert_int_equal(gw_string_map_get(&m, name, (size_t)n - 1) == i, false);
    }
    gw_string_map_free(&m);
}

static void scanning(void **state) {
    (void)state;
    static const char *const good[] = {"{}",   " [1, -2.5e3 ,\"\\u00e9\\ud83d\\ude42\"] ",
                                       "null", "{\"a\":[[],{}],\"b\":true}",
                                       "0",    "-0.0e-1"};
    static const char *const bad[] = {
        "",    "{",  "[1,]",       "{\"a\"}",   "{\"a\":}", "{a:1}",       "[1 2]",
        "01",  "1.", "-",          "1e",        "\"\\x\"",  "\"\\ud800\"", "\"",
        "tru", "[}", "{\"a\":1,}", "\"\\u12\"", "nul",      "+1",          "[,1]"};
    struct gw_slice slice;
    struct gwen_err err;
    for (size_t i = 0; i < GW_ARRAY_LEN(good); i++) {
        struct gw_scan s = {good[i], strlen(good[i]), 0, "f", &err};
        assert_int_equal(gw_scan_skip(&s, &slice), GWEN_OK);
        assert_int_equal(gw_scan_end(&s), GWEN_OK);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        struct gw_scan s = {bad[i], strlen(bad[i]), 0, "f", &err};
        enum gwen_status status = gw_scan_skip(&s, &slice);
        if (status == GWEN_OK) status = gw_scan_end(&s);
        if (status != GWEN_ERR_FORMAT) fail_msg("%s is taken", bad[i]);
        assert_memory_equal(err.message, "f:1:", 4);
    }
    struct gw_str out = {0};
    static const char text[] = "\"a\\u0000\\n\\/\\ud83d\\ude42\"";
    struct gw_scan s = {text, sizeof text - 1, 0, "f", &err};
    assert_int_equal(gw_scan_string(&s, &out), GWEN_OK);
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, "a\0\n/\xF0\x9F\x99\x82", 8);
    gw_str_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regex_splits), cmocka_unit_test(regex_accepts),
        cmocka_unit_test(regex_limits), cmocka_unit_test(normal_forms),
        cmocka_unit_test(characters),   cmocka_unit_test(byte_letters),
        cmocka_unit_test(matcher),      cmocka_unit_test(merging),
        cmocka_unit_test(string_map),   cmocka_unit_test(scanning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
