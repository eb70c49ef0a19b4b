/* config.c - see config.h; the options themselves are in options.def. */
#include "service/train/config.h"

#include "base/knob.h"
#include "base/parse.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { REAL, COUNT, INT, U64, FLAG, WORD, LIST, REALS };
enum which { BOTH, GRPO, SFT };
enum change { FIXED, FREE }; /* for a resumed run */

struct option {
    const char *name;
    enum type type;
    enum which which;
    size_t offset; /* in struct gw_train_config */
    double grpo, sft, min, max;
    const char *words;
    enum change change;
    const char *help;
};

/* The comparison with a typed null pointer makes the compiler check the member's type. */
#define AT(c_type, member)                                                                         \
    (offsetof(struct gw_train_config, member) +                                                    \
     0 * sizeof(1 ? &((struct gw_train_config *)0)->member : (__typeof__(c_type) *)0))
#define NONE NAN
#define ROW(t, ct, n, w, g, s, lo, hi, words_, ch, h)                                              \
    {#n, t, w, AT(ct, n), g, s, lo, hi, words_, ch, h},

static const struct option OPTIONS[] = {
#define REAL(n, w, g, s, lo, hi, ch, h) ROW(REAL, double, n, w, g, s, lo, hi, NULL, ch, h)
#define COUNT(n, w, g, s, lo, hi, ch, h) ROW(COUNT, size_t, n, w, g, s, lo, hi, NULL, ch, h)
#define INT(n, w, g, s, lo, hi, ch, h) ROW(INT, int64_t, n, w, g, s, lo, hi, NULL, ch, h)
#define U64(n, w, g, s, ch, h) ROW(U64, uint64_t, n, w, g, s, 0, 0, NULL, ch, h)
#define FLAG(n, w, g, s, ch, h) ROW(FLAG, bool, n, w, g, s, 0, 0, NULL, ch, h)
#define WORD(n, w, g, s, words, ch, h) ROW(WORD, int, n, w, g, s, 0, 0, words, ch, h)
#define LIST(n, w, ch, h) ROW(LIST, char[GW_MAX_LIST], n, w, 0, 0, 0, 0, NULL, ch, h)
#define REALS(n, w, ch, h) ROW(REALS, double[GW_MAX_REWARD_WEIGHTS], n, w, 0, 0, 0, 0, NULL, ch, h)
#include "service/train/options.def"
};

static void *value_of(struct gw_train_config *c, const struct option *o) {
    return (char *)c + o->offset;
}
static const void *const_value_of(const struct gw_train_config *c, const struct option *o) {
    return (const char *)c + o->offset;
}

static bool belongs(const struct option *o, enum gw_train_kind kind) {
    return o->which == BOTH || (o->which == GRPO) == (kind == GW_TRAIN_GRPO);
}

/* --- defaults ------------------------------------------------------------------------------- */

static void set_default(struct gw_train_config *c, const struct option *o) {
    double v = c->kind == GW_TRAIN_GRPO ? o->grpo : o->sft;
    void *at = value_of(c, o);
    switch (o->type) {
    case REAL: *(double *)at = v; break;
    case COUNT: *(size_t *)at = (size_t)v; break;
    case INT: *(int64_t *)at = (int64_t)v; break;
    case U64: *(uint64_t *)at = (uint64_t)v; break;
    case FLAG: *(bool *)at = v != 0; break;
    case WORD: *(int *)at = (int)v; break;
    case LIST: *(char *)at = 0; break;
    case REALS: c->n_reward_weights = 0; break;
    }
}

void gw_train_config_init(struct gw_train_config *c, enum gw_train_kind kind) {
    *c = (struct gw_train_config){.kind = kind};
    for (size_t i = 0; i < GW_ARRAY_LEN(OPTIONS); i++) set_default(c, &OPTIONS[i]);
}

/* --- from text ------------------------------------------------------------------------------ */

static const struct option *find(enum gw_train_kind kind, const char *name) {
    for (size_t i = 0; i < GW_ARRAY_LEN(OPTIONS); i++)
        if (belongs(&OPTIONS[i], kind) && gw_edit_distance(OPTIONS[i].name, name) == 0)
            return &OPTIONS[i];
    return NULL;
}

/* A message is one line, whatever was given. */
struct shown {
    char text[84];
};
static struct shown show(const char *given) {
    struct shown s;
    snprintf(s.text, sizeof s.text, "%.80s", given);
    for (char *c = s.text; *c != 0; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
    return s;
}

static enum gwen_status unknown(enum gw_train_kind kind, const char *name, struct gwen_err *err) {
    const struct option *nearest = NULL;
    size_t least = strlen(name) / 3 + 1; /* further away is not meant */
    for (size_t i = 0; i < GW_ARRAY_LEN(OPTIONS); i++) {
        if (!belongs(&OPTIONS[i], kind)) continue;
        size_t d = gw_edit_distance(OPTIONS[i].name, name);
        if (d > least || (d == least && nearest != NULL)) continue;
        least = d;
        nearest = &OPTIONS[i];
    }
    if (nearest == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "there is no option \"%s\"", show(name).text);
    return gw_fail(err, GWEN_ERR_ARGUMENT, "there is no option \"%s\"; did you mean \"%s\"?",
                   show(name).text, nearest->name);
}

static bool in_range(const struct option *o, double v) { return v >= o->min && v <= o->max; }

static bool parse_real(const struct option *o, const char *text, double *out) {
    double v;
    if (!gw_parse_real(text, &v) || !in_range(o, v)) return false;
    *out = v;
    return true;
}

static bool parse_whole(const struct option *o, const char *text, int64_t *out) {
    uint64_t v;
    bool negative = text[0] == '-';
    if (!gw_parse_u64(text + negative, &v) || v > INT64_MAX) return false;
    int64_t whole = negative ? -(int64_t)v : (int64_t)v;
    if (!in_range(o, (double)whole)) return false;
    *out = whole;
    return true;
}

static bool parse_reals(struct gw_train_config *c, const char *text) {
    double values[GW_MAX_REWARD_WEIGHTS];
    size_t n = 0;
    for (const char *at = text;; at++) {
        char item[40];
        size_t len = strcspn(at, ",");
        if (len >= sizeof item || n == GW_MAX_REWARD_WEIGHTS) return false;
        memcpy(item, at, len);
        item[len] = 0;
        if (!gw_parse_real(item, &values[n++])) return false;
        at += len;
        if (*at == 0) break;
    }
    memcpy(c->reward_weights, values, n * sizeof *values);
    c->n_reward_weights = n;
    return true;
}

static bool parse_list(char *out, const char *text) {
    if (strlen(text) >= GW_MAX_LIST || text[0] == 0) return false;
    if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-,") !=
        strlen(text))
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool parse(struct gw_train_config *c, const struct option *o, const char *text) {
    void *at = value_of(c, o);
    int64_t whole;
    bool flag;
    int word;
    switch (o->type) {
    case REAL: return parse_real(o, text, at);
    case COUNT:
        if (!parse_whole(o, text, &whole)) return false;
        *(size_t *)at = (size_t)whole;
        return true;
    case INT: return parse_whole(o, text, at);
    case U64: return gw_parse_u64(text, at);
    case FLAG:
        if (!gw_parse_flag(text, &flag)) return false;
        *(bool *)at = flag;
        return true;
    case WORD:
        if ((word = gw_parse_choice(o->words, text)) < 0) return false;
        *(int *)at = word;
        return true;
    case LIST: return parse_list(at, text);
    case REALS: return parse_reals(c, text);
    }
    return false;
}

/* What a value should be. */
static void put_type(const struct option *o, struct gw_str *s) {
    switch (o->type) {
    case REAL: gw_str_printf(s, "a number from %.15g to %.15g", o->min, o->max); break;
    case COUNT:
    case INT: gw_str_printf(s, "a whole number from %.15g to %.15g", o->min, o->max); break;
    case U64: gw_str_puts(s, "a whole number of 64 bits"); break;
    case FLAG: gw_str_puts(s, "true or false"); break;
    case WORD: gw_str_printf(s, "one of %s", o->words); break;
    case LIST: gw_str_puts(s, "names or numbers with commas"); break;
    case REALS: gw_str_printf(s, "at most %d numbers with commas", GW_MAX_REWARD_WEIGHTS); break;
    }
}

static enum gwen_status set_option(struct gw_train_config *c, const struct option *o,
                                   const char *text, struct gwen_err *err) {
    struct gw_str wanted = {0};
    if (strcmp(text, "null") == 0) {
        set_default(c, o);
        return GWEN_OK;
    }
    if (parse(c, o, text)) return GWEN_OK;
    put_type(o, &wanted);
    enum gwen_status status = wanted.failed
                                  ? gw_nomem(err, 0, "a message")
                                  : gw_fail(err, GWEN_ERR_ARGUMENT, "%s: expected %s, not \"%s\"",
                                            o->name, wanted.data, show(text).text);
    gw_str_free(&wanted);
    return status;
}

enum gwen_status gw_train_config_set(struct gw_train_config *c, const char *name, const char *text,
                                     struct gwen_err *err) {
    const struct option *o = find(c->kind, name);
    return o != NULL ? set_option(c, o, text, err) : unknown(c->kind, name, err);
}

/* --- JSON ----------------------------------------------------------------------------------- */

/* A scalar, or a list of them with commas, as it would stand on the command line. */
static bool put_text(struct gw_json_node n, struct gw_str *s) {
    if (gw_json_put_scalar(n, s)) return true;
    if (!gw_json_is_array(n)) return false;
    for (struct gw_json_node c = gw_json_first(n); c.v != NULL; c = gw_json_next(c)) {
        if (s->len > 0) gw_str_putc(s, ',');
        if (!gw_json_put_scalar(c, s)) return false;
    }
    return true;
}

/* A string must not pass for a number, nor a list for one value. */
static bool has_type(const struct option *o, struct gw_json_node n) {
    switch (o->type) {
    case REAL:
    case COUNT:
    case INT: return gw_json_is_number(n);
    case U64: return gw_json_is_number(n) || gw_json_is_string(n);
    case FLAG: return gw_json_is_bool(n);
    case WORD: return gw_json_is_string(n);
    case LIST: return gw_json_is_string(n) || gw_json_is_array(n) || gw_json_is_number(n);
    case REALS: return gw_json_is_array(n);
    }
    return false;
}

static enum gwen_status apply_member(struct gw_train_config *c, struct gw_json_node n,
                                     struct gwen_err *err) {
    const char *name = gw_json_key(n);
    const struct option *o = find(c->kind, name);
    struct gw_str text = {0};
    if (o == NULL) return unknown(c->kind, name, err);
    if (gw_json_is_null(n)) return set_option(c, o, "null", err);
    bool ok = has_type(o, n) && put_text(n, &text);
    gw_str_puts(&text, "");
    enum gwen_status status;
    if (text.failed) {
        status = gw_nomem(err, text.len, "an option");
    } else if (ok) {
        status = set_option(c, o, text.data, err);
    } else {
        char shown[80];
        gw_json_show(n, shown, sizeof shown);
        gw_str_clear(&text);
        put_type(o, &text);
        status =
            gw_fail(err, GWEN_ERR_ARGUMENT, "%s: expected %s, not %s", o->name, text.data, shown);
    }
    gw_str_free(&text);
    return status;
}

enum gwen_status gw_train_config_apply(struct gw_train_config *c, const struct gw_json_doc *doc,
                                       struct gwen_err *err) {
    struct gw_json_node root = gw_json_root(doc);
    if (!gw_json_is_object(root))
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: expected an object", doc->file);
    for (struct gw_json_node n = gw_json_first(root); n.v != NULL; n = gw_json_next(n)) {
        GW_TRY(gw_err_prefix(err, apply_member(c, n, err), "%s", doc->file));
    }
    return GWEN_OK;
}

/* Above 2^53 as a string: readers of JSON have doubles. */
static void put_u64(struct gw_str *s, uint64_t v) {
    gw_str_printf(s, v < (uint64_t)1 << 53 ? "%" PRIu64 : "\"%" PRIu64 "\"", v);
}

static void put_word(struct gw_str *s, const char *words, int index) {
    for (; index > 0; index--) words += strcspn(words, "|") + 1;
    gw_str_put(s, words, strcspn(words, "|"));
}

static void put_value(const struct gw_train_config *c, const struct option *o, struct gw_str *s) {
    const void *at = const_value_of(c, o);
    switch (o->type) {
    case REAL: gw_str_put_real(s, *(const double *)at); break;
    case COUNT: gw_str_printf(s, "%zu", *(const size_t *)at); break;
    case INT: gw_str_printf(s, "%" PRId64, *(const int64_t *)at); break;
    case U64: put_u64(s, *(const uint64_t *)at); break;
    case FLAG: gw_str_puts(s, *(const bool *)at ? "true" : "false"); break;
    case WORD:
        gw_str_putc(s, '"');
        put_word(s, o->words, *(const int *)at);
        gw_str_putc(s, '"');
        break;
    case LIST:
        if (*(const char *)at == 0)
            gw_str_puts(s, "null");
        else
            gw_str_put_json(s, at, strlen(at));
        break;
    case REALS:
        if (c->n_reward_weights == 0) gw_str_puts(s, "null");
        for (size_t i = 0; i < c->n_reward_weights; i++) {
            gw_str_putc(s, i == 0 ? '[' : ',');
            gw_str_put_real(s, c->reward_weights[i]);
        }
        if (c->n_reward_weights > 0) gw_str_putc(s, ']');
        break;
    }
}

void gw_train_config_put_json(const struct gw_train_config *c, struct gw_str *out) {
    bool first = true;
    gw_str_putc(out, '{');
    for (size_t i = 0; i < GW_ARRAY_LEN(OPTIONS); i++) {
        if (!belongs(&OPTIONS[i], c->kind)) continue;
        gw_str_printf(out, "%s\"%s\":", first ? "" : ",", OPTIONS[i].name);
        put_value(c, &OPTIONS[i], out);
        first = false;
    }
    gw_str_putc(out, '}');
}

static enum gwen_status compare(const struct gw_train_config *now,
                                const struct gw_train_config *then, struct gwen_err *err) {
    for (size_t i = 0; i < GW_ARRAY_LEN(OPTIONS); i++) {
        const struct option *o = &OPTIONS[i];
        struct gw_str a = {0}, b = {0};
        if (o->change == FREE || !belongs(o, now->kind)) continue;
        put_value(now, o, &a);
        put_value(then, o, &b);
        enum gwen_status status = GWEN_OK;
        if (a.failed || b.failed)
            status = gw_nomem(err, a.len, "options");
        else if (strcmp(a.data, b.data) != 0)
            status = gw_fail(err, GWEN_ERR_ARGUMENT,
                             "%s is %.80s, but was %.80s when the run was begun: %s needs the "
                             "same",
                             o->name, a.data, b.data, gw_knob(GW_KNOB_RESUME));
        gw_str_free(&a);
        gw_str_free(&b);
        GW_TRY(status);
    }
    return GWEN_OK;
}

enum gwen_status gw_train_config_same(const struct gw_train_config *c, const char *json, size_t len,
                                      struct gwen_err *err) {
    struct gw_train_config then;
    struct gw_json_doc doc = {0};
    gw_train_config_init(&then, c->kind);
    enum gwen_status status = gw_json_parse(json, len, "the checkpoint's options", &doc, err);
    if (status == GWEN_OK) status = gw_train_config_apply(&then, &doc, err);
    if (status == GWEN_OK) status = compare(c, &then, err);
    gw_json_free(&doc);
    return status;
}

/* --- the table ------------------------------------------------------------------------------ */

static const char *arg_of(const struct option *o) {
    switch (o->type) {
    case REAL: return "X";
    case COUNT:
    case INT:
    case U64: return "N";
    case FLAG: return NULL;
    case WORD: return o->words;
    case LIST: return "NAME,...";
    case REALS: return "X,...";
    }
    return NULL;
}

size_t gw_train_option_count(enum gw_train_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(OPTIONS); i++) n += belongs(&OPTIONS[i], kind);
    return n;
}

struct gw_train_option gw_train_option_at(enum gw_train_kind kind, size_t i) {
    const struct option *o = OPTIONS;
    while (!belongs(o, kind) || i-- > 0) o++;
    return (struct gw_train_option){o->name, o->help, arg_of(o)};
}

void gw_train_config_show(const struct gw_train_config *c, const char *name, struct gw_str *out) {
    const struct option *o = find(c->kind, name);
    struct gw_str value = {0};
    if (o == NULL) return;
    put_value(c, o, &value);
    const char *text = value.data != NULL ? value.data : "";
    if (o->type == WORD)
        put_word(out, o->words, *(const int *)const_value_of(c, o));
    else if (strcmp(text, "null") != 0)
        gw_str_puts(out, text);
    out->failed |= value.failed;
    gw_str_free(&value);
}

/* --- together ------------------------------------------------------------------------------- */

size_t gw_train_config_generation_batch(const struct gw_train_config *c) {
    size_t steps =
        c->steps_per_generation != 0 ? c->steps_per_generation : c->gradient_accumulation_steps;
    return c->per_device_train_batch_size * steps; /* both are at most 1e9 */
}

enum gwen_status gw_train_config_check(const struct gw_train_config *c, struct gwen_err *err) {
    if (c->adam_beta1 >= 1 || c->adam_beta2 >= 1)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "adam_beta1 and adam_beta2 have to be below 1");
    if (c->max_steps == 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "max_steps: expected -1 or at least 1, not 0");
    if (c->kind != GW_TRAIN_GRPO) return GWEN_OK;
    size_t batch = gw_train_config_generation_batch(c);
    if (batch % c->num_generations != 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "a rollout of %zu completions (per_device_train_batch_size times "
                       "steps_per_generation) cannot be cut into groups of num_generations %zu",
                       batch, c->num_generations);
    return GWEN_OK;
}
