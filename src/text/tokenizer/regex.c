/* regex.c - compiling and matching by PCRE2 (see regex.h).
 *
 * Matching runs the just-in-time code where PCRE2 has it.  It starts on the machine stack and gets
 * a larger one only if a pattern asks for it; a pattern that wants still more goes to the
 * interpreter, whose memory and steps are limited, so that a hostile pattern ends in an error.
 * Atomic groups are interpreted at once: the code that PCRE2 10.42 makes for repeated ones,
 * (?>[^a]+.*+|b){1,2}c for example, goes back into them. */
#include "text/tokenizer/regex.h"

#include "text/tokenizer/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum {
    GW_REGEX_MAX_PATTERN = 1 << 16, /* bytes */
    GW_REGEX_JIT_STACK = 8 << 20,   /* bytes at most */
    GW_REGEX_HEAP_KIB = 256 << 10,  /* for the interpreter */
    /* Of all matches in a text together: these, and some for each of its bytes. */
    GW_REGEX_STEPS = 4 * 1000 * 1000,
    GW_REGEX_BYTE_STEPS = 1024,
    GW_REGEX_FIRST_STEPS = 256 /* a match is tried with so many, then with four times as many ... */
};

struct gw_regex {
    pcre2_code *code;
    bool jit;
    char *where;
};

struct gw_regex_run {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* --- compiling ------------------------------------------------------------------------------ */

static enum gwen_status compile(const char *pattern, size_t len, uint32_t options, bool jit,
                                const char *where, struct gw_regex **out, struct gwen_err *err) {
    int code;
    PCRE2_SIZE at;
    struct gw_regex *re = calloc(1, sizeof *re);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (re != NULL) re->where = strdup(where);
    if (re == NULL || context == NULL || re->where == NULL) {
        pcre2_compile_context_free(context);
        gw_regex_free(re);
        return gw_nomem(err, sizeof *re, where);
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    re->code = pcre2_compile((PCRE2_SPTR)pattern, len, options | PCRE2_UTF | PCRE2_NO_UTF_CHECK,
                             &code, &at, context);
    pcre2_compile_context_free(context);
    if (re->code == NULL) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        gw_regex_free(re);
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "%s: regular expression not understood: %s",
                       where, (const char *)message);
    }
    re->jit = jit && pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE) == 0;
    *out = re;
    return GWEN_OK;
}

enum gwen_status gw_regex_compile(const char *pattern, size_t len, const char *where,
                                  struct gw_regex **out, struct gwen_err *err) {
    *out = NULL;
    if (len > GW_REGEX_MAX_PATTERN)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "%s: a regular expression of %zu bytes; at most %d are supported", where,
                       len, GW_REGEX_MAX_PATTERN);
    struct gw_str translated = {0};
    bool atomic;
    enum gwen_status status = gw_regex_translate(pattern, len, where, &translated, &atomic, err);
    if (status == GWEN_OK)
        status = compile(translated.data != NULL ? translated.data : "", translated.len,
                         PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C, !atomic,
                         where, out, err);
    gw_str_free(&translated);
    return status;
}

enum gwen_status gw_regex_compile_literal(const char *text, size_t len, const char *where,
                                          struct gw_regex **out, struct gwen_err *err) {
    *out = NULL;
    if (len > GW_REGEX_MAX_PATTERN)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "%s: a pattern of %zu bytes; at most %d are "
                       "supported",
                       where, len, GW_REGEX_MAX_PATTERN);
    return compile(text, len, PCRE2_LITERAL, true, where, out, err);
}

enum gwen_status gw_regex_compile_rust_word(bool runs, struct gw_regex **out,
                                            struct gwen_err *err) {
    *out = NULL;
    struct gw_str word = {0}, pattern = {0};
    gw_str_puts(&word, "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}");
    gw_uni_put_new(&word, "Alphabetic");
    gw_uni_put_new(&word, "M");
    gw_uni_put_new(&word, "Nd");
    if (runs)
        gw_str_printf(&pattern,
                      "[%s]+|[^%s\\t-\\r \\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}"
                      "\\x{2029}\\x{202f}\\x{205f}\\x{3000}]+",
                      word.data, word.data);
    else
        gw_str_printf(&pattern, "[%s]", word.data);
    enum gwen_status status = word.failed || pattern.failed
                                  ? gw_nomem(err, pattern.len, "a regular expression")
                                  : compile(pattern.data, pattern.len, 0, true, "words", out, err);
    gw_str_free(&word);
    gw_str_free(&pattern);
    return status;
}

void gw_regex_free(struct gw_regex *re) {
    if (re == NULL) return;
    pcre2_code_free(re->code);
    free(re->where);
    free(re);
}

bool gw_regex_matches_empty(const struct gw_regex *re) {
    uint32_t yes = 1;
    pcre2_pattern_info(re->code, PCRE2_INFO_MATCHEMPTY, &yes);
    return yes != 0;
}

/* --- matching ------------------------------------------------------------------------------- */

enum gwen_status gw_regex_run_new(struct gw_regex_run **out, struct gwen_err *err) {
    struct gw_regex_run *run = calloc(1, sizeof *run);
    *out = run;
    if (run == NULL) return gw_nomem(err, sizeof *run, "matching");
    run->data = pcre2_match_data_create(1, NULL);
    run->context = pcre2_match_context_create(NULL);
    if (run->data != NULL && run->context != NULL) {
        pcre2_set_heap_limit(run->context, GW_REGEX_HEAP_KIB);
        return GWEN_OK;
    }
    gw_regex_run_free(run);
    *out = NULL;
    return gw_nomem(err, sizeof *run, "matching");
}

void gw_regex_run_free(struct gw_regex_run *run) {
    if (run == NULL) return;
    pcre2_match_data_free(run->data);
    pcre2_match_context_free(run->context);
    if (run->stack != NULL) pcre2_jit_stack_free(run->stack);
    free(run);
}

static int match(const struct gw_regex *re, struct gw_regex_run *run, const char *text, size_t len,
                 size_t from) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    if (re->jit) {
        int rc = pcre2_jit_match(re->code, subject, len, from, 0, run->data, run->context);
        if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
        if (run->stack == NULL) {
            run->stack = pcre2_jit_stack_create(32 << 10, GW_REGEX_JIT_STACK, NULL);
            pcre2_jit_stack_assign(run->context, NULL, run->stack);
            rc = pcre2_jit_match(re->code, subject, len, from, 0, run->data, run->context);
            if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
        }
    }
    return pcre2_match(re->code, subject, len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, run->data,
                       run->context);
}

/* PCRE2 does not tell how many steps a match took, only that it took more than it may: so the limit
 * grows from small ones, and what it was is what is charged, at most four times too much. */
static int match_within(struct gw_regex_iter *it, struct gw_regex_run *run) {
    for (uint64_t most = GW_REGEX_FIRST_STEPS;; most *= 4) {
        const uint64_t limit = GW_MIN(most, GW_MIN(it->steps, (uint64_t)UINT32_MAX));
        pcre2_set_match_limit(run->context, (uint32_t)limit);
        const int rc = match(it->re, run, it->text, it->len, it->from);
        it->steps -= limit;
        if (rc != PCRE2_ERROR_MATCHLIMIT || it->steps == 0) return rc;
    }
}

void gw_regex_begin(struct gw_regex_iter *it, const struct gw_regex *re, const char *text,
                    size_t len) {
    *it = (struct gw_regex_iter){.re = re,
                                 .text = text,
                                 .len = len,
                                 .match_end = SIZE_MAX,
                                 .steps = GW_REGEX_STEPS + (uint64_t)len * GW_REGEX_BYTE_STEPS};
}

static enum gwen_status failed(const struct gw_regex_iter *it, int rc, struct gwen_err *err) {
    PCRE2_UCHAR message[128];
    pcre2_get_error_message(rc, message, sizeof message);
    return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                   "%s: the regular expression fails on this text (%zu bytes): %s", it->re->where,
                   it->len, (const char *)message);
}

enum gwen_status gw_regex_next(struct gw_regex_iter *it, struct gw_regex_run *run, bool *found,
                               struct gwen_err *err) {
    *found = false;
    while (it->from <= it->len) {
        int rc = match_within(it, run);
        if (rc == PCRE2_ERROR_NOMATCH) return GWEN_OK;
        if (rc < 0) return failed(it, rc, err);
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(run->data);
        it->start = span[0];
        it->end = span[1];
        if (it->start == it->end && it->match_end == it->end) {
            /* an empty match right behind the last one does not count */
            uint32_t c;
            bool valid;
            it->from += it->from < it->len
                            ? gw_utf8_next(it->text + it->from, it->len - it->from, &c, &valid)
                            : 1;
            continue;
        }
        it->from = it->match_end = it->end;
        *found = true;
        return GWEN_OK;
    }
    return GWEN_OK;
}

enum gwen_status gw_regex_test(const struct gw_regex *re, struct gw_regex_run *run,
                               const char *text, size_t len, bool *found, struct gwen_err *err) {
    struct gw_regex_iter it;
    gw_regex_begin(&it, re, text, len);
    return gw_regex_next(&it, run, found, err);
}
