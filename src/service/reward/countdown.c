/* countdown.c - "make 24 of 3, 4, 6, 8": the expression is evaluated exactly, in fractions
 * of 64 bits, by a descent over its grammar:
 *
 *     sum     = product { ("+" | "-") product }
 *     product = factor { ("*" | "/") factor }
 *     factor  = "-" factor | "(" sum ")" | digits
 *
 * The signs that models like to write instead (U+00D7, U+00F7, U+2212) are taken as well. */
#include "service/reward/impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fraction {
    int64_t num, den;
};

struct parser {
    const char *at, *end;
    unsigned depth;
    struct gw_expression *out;
};

/* --- fractions ------------------------------------------------------------------------------ */

static uint64_t magnitude(int64_t v) { return v < 0 ? -(uint64_t)v : (uint64_t)v; }

/* In lowest terms with den > 0; false when den is 0 or a part is INT64_MIN. */
static bool reduce(int64_t num, int64_t den, struct fraction *out) {
    if (den == 0 || num == INT64_MIN || den == INT64_MIN) return false;
    uint64_t a = magnitude(num), b = magnitude(den);
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    *out = (struct fraction){num / (int64_t)a, den / (int64_t)a};
    if (out->den < 0) *out = (struct fraction){-out->num, -out->den};
    return true;
}

static bool add(struct fraction a, struct fraction b, struct fraction *out) {
    int64_t left, right, num, den;
    return !__builtin_mul_overflow(a.num, b.den, &left) &&
           !__builtin_mul_overflow(b.num, a.den, &right) &&
           !__builtin_add_overflow(left, right, &num) &&
           !__builtin_mul_overflow(a.den, b.den, &den) && reduce(num, den, out);
}

static bool multiply(struct fraction a, struct fraction b, struct fraction *out) {
    int64_t num, den;
    return !__builtin_mul_overflow(a.num, b.num, &num) &&
           !__builtin_mul_overflow(a.den, b.den, &den) && reduce(num, den, out);
}

static bool divide(struct fraction a, struct fraction b, struct fraction *out) {
    return b.num != 0 && multiply(a, (struct fraction){b.den, b.num}, out);
}

/* --- the grammar ---------------------------------------------------------------------------- */

/* The next character that counts, as one of "+-*" "/()0..9", 0: the end, '?': anything else; *len
 * is its length in bytes. */
static char peek(struct parser *p, size_t *len) {
    static const struct {
        const char *bytes;
        char sign;
    } other[] = {{"\xC3\x97", '*'}, {"\xC3\xB7", '/'}, {"\xE2\x88\x92", '-'}};
    while (p->at < p->end && strchr(" \t\r\n", *p->at) != NULL && *p->at != 0) p->at++;
    *len = 1;
    if (p->at == p->end) return 0;
    if (*p->at != 0 && strchr("+-*/()0123456789", *p->at) != NULL) return *p->at;
    for (size_t i = 0; i < GW_ARRAY_LEN(other); i++) {
        size_t n = strlen(other[i].bytes);
        if ((size_t)(p->end - p->at) < n || memcmp(p->at, other[i].bytes, n) != 0) continue;
        *len = n;
        return other[i].sign;
    }
    return '?';
}

static bool parse_sum(struct parser *p, struct fraction *out);

static bool parse_number(struct parser *p, struct fraction *out) {
    int64_t value = 0;
    struct gw_expression *e = p->out;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_add_overflow(value, (int64_t)(*p->at - '0'), &value))
            return false;
    if (e->n == GW_COUNTDOWN_MAX_NUMBERS) return false;
    e->numbers[e->n++] = value;
    *out = (struct fraction){value, 1};
    return true;
}

static bool parse_factor(struct parser *p, struct fraction *out) {
    size_t len;
    bool ok = false;
    char c = peek(p, &len);
    if (c >= '0' && c <= '9') return parse_number(p, out);
    if (p->depth == GW_COUNTDOWN_MAX_DEPTH) return false;
    p->depth++;
    if (c == '-') {
        p->at += len;
        ok = parse_factor(p, out) && reduce(-out->num, out->den, out);
    } else if (c == '(') {
        p->at += len;
        ok = parse_sum(p, out) && peek(p, &len) == ')';
        p->at += ok ? len : 0;
    }
    p->depth--;
    return ok;
}

static bool parse_product(struct parser *p, struct fraction *out) {
    size_t len;
    char c;
    if (!parse_factor(p, out)) return false;
    while ((c = peek(p, &len)) == '*' || c == '/') {
        struct fraction right;
        p->at += len;
        if (!parse_factor(p, &right)) return false;
        if (!(c == '*' ? multiply(*out, right, out) : divide(*out, right, out))) return false;
    }
    return true;
}

static bool parse_sum(struct parser *p, struct fraction *out) {
    size_t len;
    char c;
    if (!parse_product(p, out)) return false;
    while ((c = peek(p, &len)) == '+' || c == '-') {
        struct fraction right;
        p->at += len;
        if (!parse_product(p, &right)) return false;
        if (c == '-') right.num = -right.num;
        if (!add(*out, right, out)) return false;
    }
    return true;
}

bool gw_expression_parse(struct gw_text s, struct gw_expression *out) {
    struct parser p = {s.text, s.text + s.len, 0, out};
    struct fraction value;
    size_t len;
    out->n = 0;
    if (s.len == 0 || s.len > GW_COUNTDOWN_MAX_BYTES) return false;
    if (!parse_sum(&p, &value) || peek(&p, &len) != 0) return false;
    out->num = value.num;
    out->den = value.den;
    return true;
}

/* --- the reward ----------------------------------------------------------------------------- */

/* What stands in the last <answer>...</answer>, else in the last line that is not empty; without
 * "= ..." behind it. */
static struct gw_text find_expression(const struct gw_reward_input *in) {
    static const char open[] = "<answer>";
    struct gw_text s = gw_text_trim((struct gw_text){in->completion, in->completion_len});
    const char *from = gw_text_find_last(s, open);
    if (from != NULL) {
        from += sizeof open - 1;
        s = (struct gw_text){from, (size_t)(s.text + s.len - from)};
        const char *to = gw_text_find(s, "</answer>");
        if (to != NULL) s.len = (size_t)(to - s.text);
    } else if ((from = gw_text_find_last(s, "\n")) != NULL) {
        s = (struct gw_text){from + 1, (size_t)(s.text + s.len - from) - 1};
    }
    const char *equals = gw_text_find(s, "=");
    if (equals != NULL) s.len = (size_t)(equals - s.text);
    return s;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The row's numbers, sorted; false when it has none that can be used. */
static bool read_numbers(const json_t *meta, int64_t numbers[GW_COUNTDOWN_MAX_NUMBERS], size_t *n) {
    const json_t *list = json_object_get(meta, "nums");
    if (list == NULL) list = json_object_get(meta, "numbers");
    *n = json_array_size(list);
    if (*n == 0 || *n > GW_COUNTDOWN_MAX_NUMBERS) return false;
    for (size_t i = 0; i < *n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
        numbers[i] = json_integer_value(v);
    }
    qsort(numbers, *n, sizeof *numbers, by_value);
    return true;
}

double gw_reward_countdown(void *state, const json_t *meta, const struct gw_reward_input *in) {
    int64_t numbers[GW_COUNTDOWN_MAX_NUMBERS];
    struct gw_expression e;
    size_t n;
    const json_t *target = json_object_get(meta, "target");
    (void)state;
    if (!json_is_integer(target) || !read_numbers(meta, numbers, &n)) return NAN;
    if (!gw_expression_parse(find_expression(in), &e) || e.n != n) return 0;
    qsort(e.numbers, e.n, sizeof *e.numbers, by_value);
    return memcmp(e.numbers, numbers, n * sizeof *numbers) == 0 && e.den == 1 &&
           e.num == json_integer_value(target);
}
