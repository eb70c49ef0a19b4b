/* format.c - rewards that look at a completion's form alone: tags, patterns, length. */
#include "service/reward/impl.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- tags ----------------------------------------------------------------------------------- */

/* TRL: ^<think>(?!.*<think>)(.*?)</think>.*$ from the start, with dots that match newlines. */
double gw_reward_think(void *state, const json_t *meta, const struct gw_reward_input *in) {
    static const char open[] = "<think>";
    const size_t n = sizeof open - 1;
    (void)state;
    (void)meta;
    if (in->completion_len < n || memcmp(in->completion, open, n) != 0) return 0;
    struct gw_text rest = {in->completion + n, in->completion_len - n};
    return gw_text_find(rest, open) == NULL && gw_text_find(rest, "</think>") != NULL;
}

enum { MAX_TAGS = 16, MAX_TAG = 32 };

struct tags {
    char open[MAX_TAGS][MAX_TAG + 4], close[MAX_TAGS][MAX_TAG + 4];
    size_t n;
};

static bool is_tag_name(const char *text, size_t len) {
    if (len == 0 || len > MAX_TAG) return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return true;
}

enum gwen_status gw_tags_open(const char *argument, void **state, struct gwen_err *err) {
    struct tags *t = calloc(1, sizeof *t);
    if (t == NULL) return gw_nomem(err, sizeof *t, "a reward");
    *state = t;
    for (const char *name = argument;; t->n++) {
        size_t len = strcspn(name, ",");
        if (!is_tag_name(name, len) || t->n == MAX_TAGS)
            return gw_fail(err, GWEN_ERR_ARGUMENT,
                           "expected at most %d names of letters, digits, - and _ with commas, not "
                           "\"%.80s\"",
                           MAX_TAGS, argument);
        snprintf(t->open[t->n], sizeof t->open[0], "<%.*s>", (int)len, name);
        snprintf(t->close[t->n], sizeof t->close[0], "</%.*s>", (int)len, name);
        if (name[len] == 0) break;
        name += len + 1;
    }
    t->n++;
    return GWEN_OK;
}

void gw_tags_close(void *state) { free(state); }

static bool begins(struct gw_text s, const char *with) {
    size_t n = strlen(with);
    return s.len >= n && memcmp(s.text, with, n) == 0;
}

/* Takes "<name>...</name>" off the front of *s; false when it does not begin so. */
static bool take_tag(struct gw_text *s, const char *open, const char *close) {
    *s = gw_text_trim(*s);
    if (!begins(*s, open)) return false;
    const char *end = gw_text_find(*s, close);
    if (end == NULL) return false;
    struct gw_text inside = {s->text + strlen(open), (size_t)(end - s->text) - strlen(open)};
    if (gw_text_find(inside, open) != NULL) return false;
    end += strlen(close);
    *s = (struct gw_text){end, (size_t)(s->text + s->len - end)};
    return true;
}

double gw_reward_tags(void *state, const json_t *meta, const struct gw_reward_input *in) {
    const struct tags *t = state;
    struct gw_text rest = {in->completion, in->completion_len};
    (void)meta;
    for (size_t i = 0; i < t->n; i++)
        if (!take_tag(&rest, t->open[i], t->close[i])) return 0;
    return gw_text_trim(rest).len == 0;
}

/* --- patterns ------------------------------------------------------------------------------- */

/* Bounds the time that a pattern may take over one completion. */
enum { MATCH_LIMIT = 1000000, DEPTH_LIMIT = 1000 };

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

enum gwen_status gw_regex_open(const char *argument, void **state, struct gwen_err *err) {
    struct regex *r = calloc(1, sizeof *r);
    int number;
    PCRE2_SIZE at;
    if (r == NULL) return gw_nomem(err, sizeof *r, "a reward");
    *state = r;
    r->code = pcre2_compile((PCRE2_SPTR)argument, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C, &number, &at, NULL);
    if (r->code == NULL) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(number, text, sizeof text);
        return gw_fail(err, GWEN_ERR_ARGUMENT, "the pattern is wrong at byte %zu: %s", (size_t)at,
                       (const char *)text);
    }
    r->data = pcre2_match_data_create(1, NULL);
    r->limits = pcre2_match_context_create(NULL);
    if (r->data == NULL || r->limits == NULL) return gw_nomem(err, 0, "a reward's pattern");
    pcre2_set_match_limit(r->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(r->limits, DEPTH_LIMIT);
    return GWEN_OK;
}

void gw_regex_close(void *state) {
    struct regex *r = state;
    if (r == NULL) return;
    pcre2_code_free(r->code);
    pcre2_match_data_free(r->data);
    pcre2_match_context_free(r->limits);
    free(r);
}

/* A completion over which the pattern takes too long does not match. */
double gw_reward_regex(void *state, const json_t *meta, const struct gw_reward_input *in) {
    struct regex *r = state;
    (void)meta;
    const int found = pcre2_match(r->code, (PCRE2_SPTR)in->completion, in->completion_len, 0, 0,
                                  r->data, r->limits);
    return found == PCRE2_ERROR_NOMEMORY ? GW_SCORE_NOMEM : found >= 0;
}

/* --- length --------------------------------------------------------------------------------- */

struct length {
    double max, soft;
};

/* "N", or "N,N" where two are wanted, each from 1 to 2^31. */
static enum gwen_status read_lengths(const char *argument, bool two, void **state,
                                     struct gwen_err *err) {
    struct length *l = calloc(1, sizeof *l);
    if (l == NULL) return gw_nomem(err, sizeof *l, "a reward");
    *state = l;
    char *end = (char *)(uintptr_t)argument;
    bool ok = argument[0] >= '0' && argument[0] <= '9';
    if (ok) l->max = (double)strtoull(argument, &end, 10);
    if (ok && two) {
        ok = end[0] == ',' && end[1] >= '0' && end[1] <= '9';
        if (ok) l->soft = (double)strtoull(end + 1, &end, 10);
        ok = ok && l->soft >= 1 && l->soft <= l->max;
    }
    if (ok && *end == 0 && l->max >= 1 && l->max <= 0x1p31) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT, "expected %s, not \"%.80s\"",
                   two ? "two numbers of tokens MAX,CACHE with CACHE <= MAX" : "a number of tokens",
                   argument);
}

enum gwen_status gw_length_open(const char *argument, void **state, struct gwen_err *err) {
    return read_lengths(argument, false, state, err);
}

enum gwen_status gw_overlong_open(const char *argument, void **state, struct gwen_err *err) {
    return read_lengths(argument, true, state, err);
}

void gw_length_close(void *state) { free(state); }

double gw_reward_length(void *state, const json_t *meta, const struct gw_reward_input *in) {
    const struct length *l = state;
    (void)meta;
    return fmax(0, 1 - fabs((double)in->n - l->max) / l->max);
}

double gw_reward_overlong(void *state, const json_t *meta, const struct gw_reward_input *in) {
    const struct length *l = state;
    double n = (double)in->n, free_up_to = l->max - l->soft;
    (void)meta;
    if (n <= free_up_to) return 0;
    return n > l->max ? -1 : (free_up_to - n) / l->soft;
}
