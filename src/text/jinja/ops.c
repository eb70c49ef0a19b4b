/* ops.c - Python's operators. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <math.h>
#include <string.h>

static const char *const op_text[] = {
    "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};

static bool bad_operands(struct gw_jrt *rt, enum gw_jop op, struct gw_jv a, struct gw_jv b) {
    if (a.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, a);
    if (b.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, b);
    return gw_j_raise(rt, "unsupported operand type(s) for %s: '%s' and '%s'", op_text[op],
                      gw_j_type_name(a), gw_j_type_name(b));
}

static bool int_result(struct gw_jrt *rt, bool overflow, int64_t v, struct gw_jv *out) {
    *out = gw_jv_int(v);
    return !overflow ||
           gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "integers beyond 64 bits are not supported");
}

/* --- arithmetic ----------------------------------------------------------------------------- */

static bool int_floordiv(struct gw_jrt *rt, int64_t a, int64_t b, struct gw_jv *quotient,
                         struct gw_jv *remainder) {
    if (b == 0) return gw_j_raise(rt, "integer division or modulo by zero");
    if (b == -1) { /* INT64_MIN / -1 overflows */
        int64_t q;
        bool overflow = __builtin_sub_overflow((int64_t)0, a, &q);
        *remainder = gw_jv_int(0);
        return quotient == NULL || int_result(rt, overflow, q, quotient);
    }
    int64_t q = a / b, r = a % b;
    if (r != 0 && (r < 0) != (b < 0)) {
        q--;
        r += b;
    }
    if (quotient != NULL) *quotient = gw_jv_int(q);
    *remainder = gw_jv_int(r);
    return true;
}

/* As CPython's float_divmod(). */
static bool float_divmod(struct gw_jrt *rt, double a, double b, double *quotient, double *mod) {
    if (b == 0) return gw_j_raise(rt, "float division by zero");
    *mod = fmod(a, b);
    double div = (a - *mod) / b;
    if (*mod != 0) {
        if ((b < 0) != (*mod < 0)) {
            *mod += b;
            div -= 1.0;
        }
    } else {
        *mod = copysign(0.0, b);
    }
    if (div != 0) {
        *quotient = floor(div);
        if (div - *quotient > 0.5) *quotient += 1.0;
    } else {
        *quotient = copysign(0.0, a / b);
    }
    return true;
}

static bool int_pow(struct gw_jrt *rt, int64_t a, int64_t b, struct gw_jv *out) {
    if (b < 0) {
        if (a == 0) return gw_j_raise(rt, "0.0 cannot be raised to a negative power");
        *out = gw_jv_float(pow((double)a, (double)b));
        return true;
    }
    int64_t r = 1;
    bool overflow = false;
    if (a == 0 || a == 1 || a == -1) { /* any exponent will do */
        r = b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a;
        b = 0;
    }
    for (; b > 0 && !overflow; b--) overflow = __builtin_mul_overflow(r, a, &r);
    return int_result(rt, overflow, r, out);
}

static bool float_pow(struct gw_jrt *rt, double a, double b, struct gw_jv *out) {
    if (a == 0 && b < 0) return gw_j_raise(rt, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
        return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "complex numbers are not supported");
    double r = pow(a, b);
    if (isinf(r) && isfinite(a) && isfinite(b))
        return gw_j_raise(rt, "Numerical result out of range");
    *out = gw_jv_float(r);
    return true;
}

static bool int_binary(struct gw_jrt *rt, enum gw_jop op, int64_t a, int64_t b, struct gw_jv *out) {
    int64_t r = 0;
    bool overflow;
    struct gw_jv quotient, remainder;
    switch (op) {
    case GW_JOP_ADD: overflow = __builtin_add_overflow(a, b, &r); break;
    case GW_JOP_SUB: overflow = __builtin_sub_overflow(a, b, &r); break;
    case GW_JOP_MUL: overflow = __builtin_mul_overflow(a, b, &r); break;
    case GW_JOP_DIV:
        if (b == 0) return gw_j_raise(rt, "division by zero");
        *out = gw_jv_float((double)a / (double)b);
        return true;
    case GW_JOP_FLOORDIV:
        if (!int_floordiv(rt, a, b, &quotient, &remainder)) return false;
        *out = quotient;
        return true;
    case GW_JOP_MOD: return int_floordiv(rt, a, b, NULL, out);
    default: return int_pow(rt, a, b, out);
    }
    return int_result(rt, overflow, r, out);
}

static bool float_binary(struct gw_jrt *rt, enum gw_jop op, double a, double b, struct gw_jv *out) {
    double quotient = 0, mod = 0;
    switch (op) {
    case GW_JOP_ADD: *out = gw_jv_float(a + b); return true;
    case GW_JOP_SUB: *out = gw_jv_float(a - b); return true;
    case GW_JOP_MUL: *out = gw_jv_float(a * b); return true;
    case GW_JOP_DIV:
        if (b == 0) return gw_j_raise(rt, "float division by zero");
        *out = gw_jv_float(a / b);
        return true;
    case GW_JOP_POW: return float_pow(rt, a, b, out);
    default: break;
    }
    if (!float_divmod(rt, a, b, &quotient, &mod)) return false;
    *out = gw_jv_float(op == GW_JOP_MOD ? mod : quotient);
    return true;
}

/* --- sequences ------------------------------------------------------------------------------ */

static bool is_seq(struct gw_jv v) { return v.type == GW_J_LIST || v.type == GW_J_TUPLE; }

static bool seq_add(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, struct gw_jv *out) {
    struct gw_jv *items;
    size_t na = a.u.seq->n, nb = b.u.seq->n;
    if (!gw_j_steps(rt, (na + nb) / 16) ||
        !gw_j_seq(rt, (enum gw_jtype)a.type, na + nb, out, &items))
        return false;
    if (na > 0) memcpy(items, a.u.seq->v, na * sizeof *items);
    if (nb > 0) memcpy(items + na, b.u.seq->v, nb * sizeof *items);
    return true;
}

static bool repeat(struct gw_jrt *rt, struct gw_jv v, int64_t times, struct gw_jv *out) {
    size_t n = times > 0 ? (size_t)times : 0, total;
    if (v.type == GW_J_STR) {
        struct gw_jbuf b = {.rt = rt};
        gw_j_put_repeat(&b, v.u.s, v.len, n);
        if (!gw_j_buf_str(&b, out)) return false;
        out->flags = v.flags & GW_JF_MARKUP;
        return gw_j_scan(rt, out->len);
    }
    struct gw_jv *items;
    if (!gw_mul_size(v.u.seq->n, n, &total)) total = SIZE_MAX;
    if (!gw_j_seq(rt, (enum gw_jtype)v.type, total, out, &items)) return false;
    for (size_t i = 0; i < total; i++) items[i] = v.u.seq->v[i % v.u.seq->n];
    return gw_j_steps(rt, total / 16);
}

bool gw_j_binary(struct gw_jrt *rt, enum gw_jop op, struct gw_jv a, struct gw_jv b,
                 struct gw_jv *out) {
    if (gw_jv_is_int(a) && gw_jv_is_int(b))
        return int_binary(rt, op, gw_jv_to_int(a), gw_jv_to_int(b), out);
    if (gw_jv_is_number(a) && gw_jv_is_number(b))
        return float_binary(rt, op, gw_jv_to_double(a), gw_jv_to_double(b), out);
    switch (op) {
    case GW_JOP_ADD:
        if (a.type == GW_J_STR && b.type == GW_J_STR) return gw_j_concat(rt, a, b, out);
        if (is_seq(a) && a.type == b.type) return seq_add(rt, a, b, out);
        break;
    case GW_JOP_MUL:
        if ((a.type == GW_J_STR || is_seq(a)) && gw_jv_is_int(b))
            return repeat(rt, a, gw_jv_to_int(b), out);
        if ((b.type == GW_J_STR || is_seq(b)) && gw_jv_is_int(a))
            return repeat(rt, b, gw_jv_to_int(a), out);
        break;
    case GW_JOP_MOD:
        if (a.type == GW_J_STR) return gw_j_percent(rt, a, b, out);
        break;
    default: break;
    }
    return bad_operands(rt, op, a, b);
}

bool gw_j_negate(struct gw_jrt *rt, struct gw_jv v, bool plus, struct gw_jv *out) {
    if (v.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, v);
    if (!gw_jv_is_number(v))
        return gw_j_raise(rt, "bad operand type for unary %c: '%s'", plus ? '+' : '-',
                          gw_j_type_name(v));
    if (v.type == GW_J_FLOAT) {
        *out = gw_jv_float(plus ? v.u.f : -v.u.f);
        return true;
    }
    int64_t i = gw_jv_to_int(v), r = i;
    bool overflow = !plus && __builtin_sub_overflow((int64_t)0, i, &r);
    return int_result(rt, overflow, r, out);
}

/* --- comparison ----------------------------------------------------------------------------- */

bool gw_j_contains(struct gw_jrt *rt, struct gw_jv container, struct gw_jv item, bool *out) {
    *out = false;
    if (container.type == GW_J_STR) {
        if (item.type == GW_J_UNDEFINED || item.type != GW_J_STR)
            return gw_j_raise(rt, "'in <string>' requires string as left operand, not %s",
                              gw_j_type_name(item));
        *out =
            gw_j_find(rt, container.u.s, 0, container.len, item.u.s, item.len, false) != SIZE_MAX;
        return !rt->failed;
    }
    if (container.type == GW_J_DICT ||
        (container.type == GW_J_VIEW && container.aux == GW_JVIEW_KEYS)) {
        struct gw_jv found;
        if (!gw_j_dict_get(rt, container.u.dict, item, &found)) return false;
        *out = found.type != GW_J_MISSING;
        return true;
    }
    if (!gw_j_is_iterable(container))
        return gw_j_raise(rt, "argument of type '%s' is not iterable", gw_j_type_name(container));
    struct gw_jcursor c;
    struct gw_jv v;
    if (!gw_j_iterate(rt, container, &c)) return false;
    while (!*out) {
        if (!gw_j_next(rt, &c, &v)) return false;
        if (v.type == GW_J_MISSING) break;
        *out = gw_j_same(v, item);
        if (!*out && !gw_j_equal(rt, v, item, out)) return false;
    }
    return true;
}

bool gw_j_compare(struct gw_jrt *rt, enum gw_jop op, struct gw_jv a, struct gw_jv b, bool *out) {
    bool ok, nan = (a.type == GW_J_FLOAT && isnan(a.u.f)) || (b.type == GW_J_FLOAT && isnan(b.u.f));
    *out = false;
    switch (op) {
    case GW_JOP_EQ: return gw_j_equal(rt, a, b, out);
    case GW_JOP_NE:
        ok = gw_j_equal(rt, a, b, out);
        *out = !*out;
        return ok;
    case GW_JOP_LT: return gw_j_less(rt, a, b, "<", out);
    case GW_JOP_GT: return gw_j_less(rt, b, a, ">", out);
    case GW_JOP_LE:
    case GW_JOP_GE:
        ok = op == GW_JOP_LE ? gw_j_less(rt, b, a, "<=", out) : gw_j_less(rt, a, b, ">=", out);
        *out = !*out && !(nan && gw_jv_is_number(a) && gw_jv_is_number(b));
        return ok;
    case GW_JOP_IN: return gw_j_contains(rt, b, a, out);
    default:
        ok = gw_j_contains(rt, b, a, out);
        *out = !*out;
        return ok;
    }
}

/* --- slices --------------------------------------------------------------------------------- */

static bool slice_bound(struct gw_jrt *rt, struct gw_jv v, int64_t when_none, int64_t *out) {
    *out = when_none;
    if (v.type == GW_J_MISSING || v.type == GW_J_NONE) return true;
    if (!gw_jv_is_int(v))
        return gw_j_raise(rt, "slice indices must be integers or None, not '%s'",
                          gw_j_type_name(v));
    *out = gw_jv_to_int(v);
    return true;
}

/* A bound as Python's slice.indices() gives it for n elements. */
static int64_t clamp_bound(int64_t v, int64_t n, bool backwards) {
    if (v < 0) {
        v += n;
        return v < 0 ? (backwards ? -1 : 0) : v;
    }
    return v >= n ? (backwards ? n - 1 : n) : v;
}

static bool slice_str(struct gw_jrt *rt, struct gw_jv v, int64_t start, int64_t step, size_t n,
                      struct gw_jv *out) {
    if (!gw_j_scan(rt, v.len)) return false;
    if (step == 1) {
        size_t from = gw_j_cp_offset(v.u.s, v.len, (size_t)start);
        size_t bytes = gw_j_cp_offset(v.u.s + from, v.len - from, n);
        *out = gw_jv_sub(v, from, from + bytes);
        return true;
    }
    struct gw_jvec chars;
    struct gw_jbuf b = {.rt = rt};
    if (!gw_j_collect(rt, v, &chars)) return false;
    for (size_t i = 0; i < n; i++) {
        struct gw_jv c = chars.v[start + (int64_t)i * step];
        gw_j_put(&b, c.u.s, c.len);
    }
    if (!gw_j_buf_str(&b, out)) return false;
    out->flags = v.flags & GW_JF_MARKUP;
    return true;
}

static bool slice_range(struct gw_jrt *rt, const struct gw_jrange *r, int64_t start, int64_t stop,
                        int64_t step, size_t n, struct gw_jv *out) {
    struct gw_jrange *s = GW_J_NEW(rt, struct gw_jrange);
    if (s == NULL) return false;
    /* At most GW_J_MAX_RANGE elements: nothing here overflows that the range itself did not. */
    s->step = (int64_t)((uint64_t)r->step * (uint64_t)step);
    s->start = (int64_t)((uint64_t)r->start + (uint64_t)start * (uint64_t)r->step);
    s->stop = (int64_t)((uint64_t)r->start + (uint64_t)stop * (uint64_t)r->step);
    s->n = n;
    *out = gw_jv_of(GW_J_RANGE);
    out->u.range = s;
    return true;
}

bool gw_j_slice(struct gw_jrt *rt, struct gw_jv v, struct gw_jv start, struct gw_jv stop,
                struct gw_jv step, struct gw_jv *out) {
    size_t len = 0;
    int64_t by, from, to;
    if (v.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, v);
    if (v.type != GW_J_STR && !is_seq(v) && v.type != GW_J_RANGE)
        return gw_j_raise(rt, "'%s' object cannot be sliced", gw_j_type_name(v));
    if (!gw_j_len(rt, v, &len) || !slice_bound(rt, step, 1, &by)) return false;
    if (by == 0) return gw_j_raise(rt, "slice step cannot be zero");
    by = GW_MAX(by, -INT64_MAX);
    int64_t n = (int64_t)len;
    bool back = by < 0;
    if (!slice_bound(rt, start, back ? INT64_MAX : 0, &from)) return false;
    from = clamp_bound(from, n, back);
    bool open = stop.type == GW_J_MISSING || stop.type == GW_J_NONE;
    if (!slice_bound(rt, stop, 0, &to)) return false;
    to = open ? (back ? -1 : n) : clamp_bound(to, n, back);
    uint64_t stride = back ? (uint64_t)-by : (uint64_t)by;
    int64_t span = back ? from - to : to - from;
    size_t count = span > 0 ? (size_t)(((uint64_t)span - 1) / stride + 1) : 0;
    if (v.type == GW_J_STR) return slice_str(rt, v, from, by, count, out);
    if (v.type == GW_J_RANGE) return slice_range(rt, v.u.range, from, to, by, count, out);
    struct gw_jv *items;
    if (!gw_j_steps(rt, count / 16) || !gw_j_seq(rt, (enum gw_jtype)v.type, count, out, &items))
        return false;
    for (size_t i = 0; i < count; i++) items[i] = v.u.seq->v[from + (int64_t)i * by];
    return true;
}
