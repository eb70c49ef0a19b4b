/* tests.c - what can stand after `is`. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <math.h>

#define TEST(fn)                                                                                   \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out)
#define UNUSED_ARGS() ((void)rt, (void)a, (void)args)

TEST(is_defined) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type != GW_J_UNDEFINED);
    return true;
}
TEST(is_undefined) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_UNDEFINED);
    return true;
}
TEST(is_none) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_NONE);
    return true;
}
TEST(is_boolean) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_BOOL);
    return true;
}
TEST(is_true) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_BOOL && self.u.b);
    return true;
}
TEST(is_false) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_BOOL && !self.u.b);
    return true;
}
TEST(is_integer) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_INT);
    return true;
}
TEST(is_float) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_FLOAT);
    return true;
}
TEST(is_number) {
    UNUSED_ARGS();
    *out = gw_jv_bool(gw_jv_is_number(self));
    return true;
}
TEST(is_string) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_STR);
    return true;
}
TEST(is_mapping) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_DICT);
    return true;
}
TEST(is_iterable) {
    UNUSED_ARGS();
    *out = gw_jv_bool(gw_j_is_iterable(self));
    return true;
}
TEST(is_sequence) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_STR || self.type == GW_J_LIST || self.type == GW_J_TUPLE ||
                      self.type == GW_J_DICT || self.type == GW_J_RANGE ||
                      self.type == GW_J_UNDEFINED);
    return true;
}
TEST(is_callable) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_MACRO || self.type == GW_J_METHOD ||
                      self.type == GW_J_FUNC || self.type == GW_J_LOOP ||
                      self.type == GW_J_JOINER || self.type == GW_J_UNDEFINED);
    return true;
}
TEST(is_escaped) {
    UNUSED_ARGS();
    *out = gw_jv_bool(self.type == GW_J_STR && (self.flags & GW_JF_MARKUP));
    return true;
}
TEST(is_sameas) {
    UNUSED_ARGS();
    *out = gw_jv_bool(gw_j_same(self, a[0]));
    return true;
}

/* self % by == want */
static bool modulo_is(struct gw_jrt *rt, struct gw_jv self, struct gw_jv by, int64_t want,
                      struct gw_jv *out) {
    struct gw_jv r;
    bool equal;
    if (!gw_j_binary(rt, GW_JOP_MOD, self, by, &r)) return false;
    if (!gw_j_equal(rt, r, gw_jv_int(want), &equal)) return false;
    *out = gw_jv_bool(equal);
    return true;
}

TEST(is_odd) {
    (void)a, (void)args;
    return modulo_is(rt, self, gw_jv_int(2), 1, out);
}
TEST(is_even) {
    (void)a, (void)args;
    return modulo_is(rt, self, gw_jv_int(2), 0, out);
}
TEST(is_divisibleby) {
    (void)args;
    return modulo_is(rt, self, a[0], 0, out);
}

/* str.islower() or .isupper() of str(self). */
static bool case_is(struct gw_jrt *rt, struct gw_jv self, bool lower, struct gw_jv *out) {
    struct gw_jv s;
    if (!gw_j_to_str(rt, self, &s)) return false;
    bool cased = false, other = false;
    for (size_t i = 0; i < s.len && !other;) {
        uint32_t cp;
        i += gw_j_decode(s.u.s + i, &cp);
        bool is_lower = gw_j_is_lower(cp), is_upper = gw_j_is_upper(cp);
        cased = cased || (lower ? is_lower : is_upper);
        other = (lower ? is_upper : is_lower) || gw_j_is_title(cp);
    }
    *out = gw_jv_bool(cased && !other);
    return gw_j_look(rt, s.len);
}

TEST(is_lower) {
    (void)a, (void)args;
    return case_is(rt, self, true, out);
}
TEST(is_upper) {
    (void)a, (void)args;
    return case_is(rt, self, false, out);
}

/* Whether jinja2 has a filter (or test) of that name, be it implemented here or not. */
TEST(is_filter) {
    uint64_t hash;
    UNUSED_ARGS();
    if (!gw_j_hash(rt, self, &hash)) return false; /* it is looked up in a dict */
    *out = gw_jv_bool(self.type == GW_J_STR && gw_j_filter(self.u.s, self.len) != NULL);
    return true;
}
TEST(is_test) {
    uint64_t hash;
    UNUSED_ARGS();
    if (!gw_j_hash(rt, self, &hash)) return false;
    *out = gw_jv_bool(self.type == GW_J_STR && gw_j_test(self.u.s, self.len) != NULL);
    return true;
}

static bool compare(struct gw_jrt *rt, enum gw_jop op, struct gw_jv x, struct gw_jv y,
                    struct gw_jv *out) {
    bool holds;
    if (!gw_j_compare(rt, op, x, y, &holds)) return false;
    *out = gw_jv_bool(holds);
    return true;
}

TEST(is_eq) {
    (void)args;
    return compare(rt, GW_JOP_EQ, self, a[0], out);
}
TEST(is_ne) {
    (void)args;
    return compare(rt, GW_JOP_NE, self, a[0], out);
}
TEST(is_lt) {
    (void)args;
    return compare(rt, GW_JOP_LT, self, a[0], out);
}
TEST(is_le) {
    (void)args;
    return compare(rt, GW_JOP_LE, self, a[0], out);
}
TEST(is_gt) {
    (void)args;
    return compare(rt, GW_JOP_GT, self, a[0], out);
}
TEST(is_ge) {
    (void)args;
    return compare(rt, GW_JOP_GE, self, a[0], out);
}
TEST(is_in) {
    (void)args;
    return compare(rt, GW_JOP_IN, self, a[0], out);
}

/* Those of Python's operator module take positional arguments only. */
#define PLAIN(n, f)                                                                                \
    { .name = n, .params = "", .fn = f }
#define COMPARES(n, f)                                                                             \
    { .name = n, .params = "other", .required = 1, .positional = 1, .fn = f }
static const struct gw_jdef tests[] = {
    PLAIN("defined", is_defined),
    PLAIN("undefined", is_undefined),
    PLAIN("none", is_none),
    PLAIN("boolean", is_boolean),
    PLAIN("true", is_true),
    PLAIN("false", is_false),
    PLAIN("integer", is_integer),
    PLAIN("float", is_float),
    PLAIN("number", is_number),
    PLAIN("string", is_string),
    PLAIN("mapping", is_mapping),
    PLAIN("iterable", is_iterable),
    PLAIN("sequence", is_sequence),
    PLAIN("callable", is_callable),
    PLAIN("escaped", is_escaped),
    PLAIN("odd", is_odd),
    PLAIN("even", is_even),
    PLAIN("lower", is_lower),
    PLAIN("upper", is_upper),
    PLAIN("filter", is_filter),
    PLAIN("test", is_test),
    {.name = "sameas", .params = "other", .required = 1, .fn = is_sameas},
    {.name = "divisibleby", .params = "num", .required = 1, .fn = is_divisibleby},
    {.name = "in", .params = "seq", .required = 1, .fn = is_in},
    COMPARES("==", is_eq),
    COMPARES("eq", is_eq),
    COMPARES("equalto", is_eq),
    COMPARES("!=", is_ne),
    COMPARES("ne", is_ne),
    COMPARES("<", is_lt),
    COMPARES("lt", is_lt),
    COMPARES("lessthan", is_lt),
    COMPARES("<=", is_le),
    COMPARES("le", is_le),
    COMPARES(">", is_gt),
    COMPARES("gt", is_gt),
    COMPARES("greaterthan", is_gt),
    COMPARES(">=", is_ge),
    COMPARES("ge", is_ge),
};

const struct gw_jdef *gw_j_test(const char *name, size_t len) {
    return gw_j_find_def(tests, GW_ARRAY_LEN(tests), name, len);
}
