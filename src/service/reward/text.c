/* text.c - rewards that compare a completion with the row's answer.
 *
 * Numbers are compared as decimal strings in a canonical form: no value is too long and none is
 * rounded. */
#include "base/json.h"
#include "service/reward/impl.h"

#include <math.h>
#include <string.h>

/* --- pieces of text ------------------------------------------------------------------------- */

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ')';
}

struct gw_text gw_text_trim(struct gw_text s) {
    while (s.len > 0 && is_blank(s.text[0])) {
        s.text++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.text[s.len - 1])) s.len--;
    return s;
}

const char *gw_text_find(struct gw_text s, const char *needle) {
    return s.len > 0 ? memmem(s.text, s.len, needle, strlen(needle)) : NULL;
}

const char *gw_text_find_last(struct gw_text s, const char *needle) {
    size_t n = strlen(needle);
    for (size_t at = s.len; at >= n; at--)
        if (memcmp(s.text + at - n, needle, n) == 0) return s.text + at - n;
    return NULL;
}

/* --- numbers -------------------------------------------------------------------------------- */

/* Bytes of the whole part that begins at s[at]: digits, or groups of three behind commas. */
static size_t whole_len(struct gw_text s, size_t at) {
    size_t i = at;
    while (i < s.len && is_digit(s.text[i])) i++;
    if (i == at || i - at > 3) return i - at;
    while (i + 3 < s.len && s.text[i] == ',' && is_digit(s.text[i + 1]) &&
           is_digit(s.text[i + 2]) && is_digit(s.text[i + 3]) &&
           !(i + 4 < s.len && is_digit(s.text[i + 4])))
        i += 4;
    return i - at;
}

/* Bytes of ".digits" at s[at], 0: none. */
static size_t fraction_len(struct gw_text s, size_t at) {
    size_t i = at + 1;
    if (at >= s.len || s.text[at] != '.') return 0;
    while (i < s.len && is_digit(s.text[i])) i++;
    return i > at + 1 ? i - at : 0;
}

/* Whether the sign of a number stands before s[at]: a minus ('-' or U+2212), perhaps with a dollar
 * in between, that is no subtraction. */
static bool is_negative(struct gw_text s, size_t at) {
    if (at > 0 && s.text[at - 1] == '$') at--;
    if (at >= 3 && memcmp(s.text + at - 3, "\xE2\x88\x92", 3) == 0)
        at -= 3;
    else if (at >= 1 && s.text[at - 1] == '-')
        at -= 1;
    else
        return false;
    if (at > 0 && s.text[at - 1] == '$') at--;
    return at == 0 || !is_word(s.text[at - 1]);
}

/* Sign, digits without leading zeros, fraction without trailing ones; no "-0". */
static void put_canonical(struct gw_text whole, struct gw_text fraction, bool negative,
                          struct gw_str *out) {
    while (fraction.len > 0 && fraction.text[fraction.len - 1] == '0') fraction.len--;
    if (fraction.len == 1) fraction.len = 0; /* the dot alone */
    while (whole.len > 0 && (whole.text[0] == '0' || whole.text[0] == ',')) {
        whole.text++;
        whole.len--;
    }
    gw_str_clear(out);
    if (negative && whole.len + fraction.len > 0) gw_str_putc(out, '-');
    if (whole.len == 0) gw_str_putc(out, '0');
    for (size_t i = 0; i < whole.len; i++)
        if (whole.text[i] != ',') gw_str_putc(out, whole.text[i]);
    gw_str_put(out, fraction.text, fraction.len);
}

bool gw_number_find(struct gw_text s, bool last, struct gw_str *out) {
    bool found = false;
    for (size_t i = 0; i < s.len;) {
        size_t whole = whole_len(s, i), fraction = fraction_len(s, i + whole);
        if (whole + fraction == 0) {
            i++;
            continue;
        }
        put_canonical((struct gw_text){s.text + i, whole},
                      (struct gw_text){s.text + i + whole, fraction}, is_negative(s, i), out);
        found = true;
        if (!last) break;
        i += whole + fraction;
    }
    return found;
}

/* --- the answer ----------------------------------------------------------------------------- */

static const json_t *answer_of(const json_t *meta) {
    const json_t *v = json_object_get(meta, "answer");
    if (v == NULL || json_is_null(v)) v = json_object_get(meta, "solution");
    return v;
}

static struct gw_text completion_of(const struct gw_reward_input *in) {
    return (struct gw_text){in->completion, in->completion_len};
}

struct gw_text gw_gsm8k_part(struct gw_text s, bool *marked) {
    const char *mark = gw_text_find(s, "####");
    *marked = mark != NULL;
    if (mark == NULL) return s;
    return (struct gw_text){mark + 4, (size_t)(s.text + s.len - mark) - 4};
}

/* The first number behind "####", else the last one of all. */
static bool gsm8k_number(struct gw_text s, struct gw_str *out) {
    bool marked;
    struct gw_text part = gw_gsm8k_part(s, &marked);
    return gw_number_find(part, !marked, out);
}

double gw_reward_gsm8k(void *state, const json_t *meta, const struct gw_reward_input *in) {
    (void)state;
    const json_t *answer = answer_of(meta);
    struct gw_str text = {0}, right = {0}, given = {0};
    double score = NAN;
    if (json_is_string(answer))
        gw_str_put(&text, json_string_value(answer), json_string_length(answer));
    else if (json_is_number(answer))
        gw_str_put_row(&text, answer);
    if (gsm8k_number((struct gw_text){text.data, text.len}, &right))
        score = gsm8k_number(completion_of(in), &given) && given.len == right.len &&
                memcmp(given.data, right.data, right.len) == 0;
    const bool failed = text.failed || right.failed || given.failed;
    gw_str_free(&text);
    gw_str_free(&right);
    gw_str_free(&given);
    return failed ? GW_SCORE_NOMEM : score;
}

/* --- exact match ---------------------------------------------------------------------------- */

/* 1 or 0 for a string or a number, NaN for anything else; GW_SCORE_NOMEM. */
static double equals(const json_t *answer, struct gw_text given) {
    struct gw_str text = {0};
    if (json_is_string(answer))
        gw_str_put(&text, json_string_value(answer), json_string_length(answer));
    else if (json_is_number(answer))
        gw_str_put_row(&text, answer);
    else
        return NAN;
    struct gw_text right = gw_text_trim((struct gw_text){text.data, text.len});
    bool same = right.len == given.len &&
                (given.len == 0 || memcmp(right.text, given.text, given.len) == 0);
    const bool failed = text.failed;
    gw_str_free(&text);
    return failed ? GW_SCORE_NOMEM : same;
}

double gw_reward_exact(void *state, const json_t *meta, const struct gw_reward_input *in) {
    (void)state;
    const json_t *answer = answer_of(meta);
    struct gw_text given = gw_text_trim(completion_of(in));
    if (!json_is_array(answer)) return equals(answer, given);
    double best = NAN; /* several right answers */
    for (size_t i = 0; i < json_array_size(answer); i++) {
        const double score = equals(json_array_get(answer, i), given);
        if (score == GW_SCORE_NOMEM) return score;
        best = fmax(best, score);
    }
    return best;
}
