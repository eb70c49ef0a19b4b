/* filters.c - finding a filter, and those of numbers and JSON. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(fn)                                                                                 \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out)

FILTER(f_default) {
    (void)rt, (void)args;
    bool boolean = gw_j_arg_truth(a[1], false);
    *out = self;
    if (self.type == GW_J_UNDEFINED || (boolean && !gw_j_truth(self)))
        *out = a[0].type != GW_J_MISSING ? a[0] : gw_jv_str("", 0);
    return true;
}

FILTER(f_length) {
    size_t n;
    (void)a, (void)args;
    if (!gw_j_len(rt, self, &n)) return false;
    *out = gw_jv_int((int64_t)n);
    return true;
}

FILTER(f_abs) {
    (void)a, (void)args;
    if (!gw_jv_is_number(self))
        return gw_j_raise(rt, "bad operand type for abs(): '%s'", gw_j_type_name(self));
    bool negative = self.type == GW_J_FLOAT ? signbit(self.u.f) : gw_jv_to_int(self) < 0;
    return gw_j_negate(rt, self, !negative, out);
}

/* int(float); inf and nan are errors of their own. */
static bool float_to_int(struct gw_jrt *rt, double v, struct gw_jv *out) {
    if (!(v > -9223372036854775809.0 && v < 9223372036854775808.0))
        return gw_j_raise(rt, isfinite(v) ? "the number is too large for an integer of 64 bits"
                                          : "cannot convert float infinity or NaN to integer");
    *out = gw_jv_int((int64_t)v);
    return true;
}

FILTER(f_int) {
    int64_t base, i;
    double v;
    (void)args;
    *out = a[0].type != GW_J_MISSING ? a[0] : gw_jv_int(0);
    if (!gw_j_arg_int(rt, a[1], 10, "base", &base)) return false;
    if (gw_jv_is_int(self)) {
        *out = gw_jv_int(gw_jv_to_int(self));
        return true;
    }
    if (self.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, self);
    if (self.type == GW_J_FLOAT) {
        if (isnan(self.u.f)) return true;
        return float_to_int(rt, self.u.f, out);
    }
    if (self.type != GW_J_STR) return true;
    if (!gw_j_look(rt, self.len)) return false;
    enum gw_jparsed parsed = GW_J_NOT_A_NUMBER;
    if (base == 0 || (base >= 2 && base <= 36))
        parsed = gw_j_parse_int(self.u.s, self.len, (unsigned)base, &i);
    if (parsed == GW_J_TOO_LARGE)
        return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "integers beyond 64 bits are not supported");
    if (parsed == GW_J_PARSED) {
        *out = gw_jv_int(i);
        return true;
    }
    /* "42.23" is 42. */
    if (gw_j_parse_float(self.u.s, self.len, &v) != GW_J_PARSED || !isfinite(v)) return true;
    return float_to_int(rt, v, out);
}

FILTER(f_float) {
    double v;
    (void)args;
    *out = a[0].type != GW_J_MISSING ? a[0] : gw_jv_float(0);
    if (self.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, self);
    if (self.type == GW_J_STR && !gw_j_look(rt, self.len)) return false;
    if (gw_jv_is_number(self))
        *out = gw_jv_float(gw_jv_to_double(self));
    else if (self.type == GW_J_STR && gw_j_parse_float(self.u.s, self.len, &v) == GW_J_PARSED)
        *out = gw_jv_float(v);
    return true;
}

/* round(int, digits): only negative digits change it; halves go to even. */
static bool round_int(struct gw_jrt *rt, int64_t v, int64_t digits, struct gw_jv *out) {
    int64_t unit = 1;
    *out = gw_jv_int(v);
    for (int64_t i = digits; i < 0; i++) {
        if (__builtin_mul_overflow(unit, (int64_t)10, &unit)) {
            *out = gw_jv_int(0);
            return true;
        }
    }
    if (unit == 1) return true;
    int64_t rest = v % unit, low = v - rest, up = 0;
    uint64_t twice = 2 * (uint64_t)(rest < 0 ? -rest : rest);
    bool away = twice > (uint64_t)unit || (twice == (uint64_t)unit && low / unit % 2 != 0);
    if (away) up = v < 0 ? -unit : unit;
    bool overflow = __builtin_add_overflow(low, up, &low);
    *out = gw_jv_int(low);
    return !overflow ||
           gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "integers beyond 64 bits are not supported");
}

/* round(float, digits): the decimal digits of the exact value, halves to even, as C prints them. */
static double round_float(double v, int64_t digits) {
    char text[400];
    if (!isfinite(v) || digits > 323) return v;
    if (digits < -308) return copysign(0.0, v);
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)GW_MIN(digits, (int64_t)40), v);
        /* Beyond 40 digits nothing is left to round of numbers that are not tiny. */
        return digits > 40 && fabs(v) > 1e-20 ? v : strtod(text, NULL);
    }
    double unit = pow(10.0, (double)-digits);
    return nearbyint(v / unit) * unit;
}

FILTER(f_round) {
    int64_t digits;
    (void)args;
    bool common = a[1].type == GW_J_MISSING || gw_jv_equals_text(a[1], "common");
    bool ceiling = gw_jv_equals_text(a[1], "ceil");
    if (!common && !ceiling && !gw_jv_equals_text(a[1], "floor"))
        return gw_j_raise(rt, "method must be common, ceil or floor");
    if (!gw_j_arg_int(rt, a[0], 0, "precision", &digits)) return false;
    if (!gw_jv_is_number(self))
        return gw_j_raise(rt, "type %s doesn't define __round__ method", gw_j_type_name(self));
    if (common && gw_jv_is_int(self)) return round_int(rt, gw_jv_to_int(self), digits, out);
    if (common) {
        *out = gw_jv_float(round_float(self.u.f, digits));
        return true;
    }
    double unit = pow(10.0, (double)digits), v = gw_jv_to_double(self) * unit;
    if (!isfinite(v)) return gw_j_raise(rt, "cannot convert float infinity or NaN to integer");
    *out = gw_jv_float((ceiling ? ceil(v) : floor(v)) / unit);
    return true;
}

/* The indent of json.dumps(): a number of spaces, or the text itself. */
static bool dumps_indent(struct gw_jrt *rt, struct gw_jv v, struct gw_jdumps *how) {
    if (v.type == GW_J_MISSING || v.type == GW_J_NONE) return true;
    how->has_indent = true;
    how->indent = v;
    if (v.type == GW_J_STR) return true;
    if (!gw_jv_is_int(v))
        return gw_j_raise(rt, "indent must be an integer or a string, not '%s'", gw_j_type_name(v));
    struct gw_jbuf b = {.rt = rt};
    int64_t n = gw_jv_to_int(v);
    if (n > GW_J_MAX_WIDTH) return gw_j_raise(rt, "an indent of more than %d", GW_J_MAX_WIDTH);
    gw_j_put_repeat(&b, " ", 1, n > 0 ? (size_t)n : 0);
    return gw_j_buf_str(&b, &how->indent);
}

/* tojson as transformers defines it: json.dumps() without escapes for HTML. */
FILTER(f_tojson) {
    struct gw_jdumps how = {.ensure_ascii = gw_j_arg_truth(a[0], false),
                            .sort_keys = gw_j_arg_truth(a[3], false)};
    (void)args;
    if (!dumps_indent(rt, a[1], &how)) return false;
    how.item_sep = how.has_indent ? gw_jv_str(",", 1) : gw_jv_str(", ", 2);
    how.key_sep = gw_jv_str(": ", 2);
    if (a[2].type != GW_J_MISSING && a[2].type != GW_J_NONE) {
        struct gw_jvec two;
        if (!gw_j_collect(rt, a[2], &two)) return false;
        if (two.n != 2) return gw_j_raise(rt, "separators must be two strings");
        if (!gw_j_arg_str(rt, two.v[0], "a separator", &how.item_sep) ||
            !gw_j_arg_str(rt, two.v[1], "a separator", &how.key_sep))
            return false;
    }
    return gw_j_dumps(rt, self, &how, out);
}

FILTER(f_attr) {
    struct gw_jv name;
    (void)args;
    if (!gw_j_arg_str(rt, a[0], "attr() argument", &name)) return false;
    if (!gw_j_attribute(rt, self, name.u.s, name.len, out)) return false;
    if (out->type == GW_J_MISSING)
        *out = gw_jv_undefined(GW_JU_ATTR, (enum gw_jtype)self.type, name.u.s, name.len);
    return true;
}

static const struct gw_jdef defs[] = {
    {.name = "default", .params = "default_value,boolean", .fn = f_default},
    {.name = "d", .params = "default_value,boolean", .fn = f_default},
    {.name = "length", .params = "", .fn = f_length},
    {.name = "count", .params = "", .fn = f_length},
    {.name = "abs", .params = "", .fn = f_abs},
    {.name = "int", .params = "default,base", .fn = f_int},
    {.name = "float", .params = "default", .fn = f_float},
    {.name = "round", .params = "precision,method", .fn = f_round},
    {.name = "tojson", .params = "ensure_ascii,indent,separators,sort_keys", .fn = f_tojson},
    {.name = "attr", .params = "name", .required = 1, .fn = f_attr},
    {.name = "filesizeformat", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "pprint", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "random", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "striptags", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "urlize", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "wordwrap", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "xmlattr", .kind = GW_JDEF_UNSUPPORTED},
};

const struct gw_jdef *gw_j_filter(const char *name, size_t len) {
    const struct gw_jdefs *const tables[] = {&gw_j_text_filters, &gw_j_seq_filters,
                                             &gw_j_select_filters};
    const struct gw_jdef *def = gw_j_find_def(defs, GW_ARRAY_LEN(defs), name, len);
    for (size_t i = 0; i < GW_ARRAY_LEN(tables) && def == NULL; i++)
        def = gw_j_find_def(tables[i]->v, tables[i]->n, name, len);
    return def;
}
