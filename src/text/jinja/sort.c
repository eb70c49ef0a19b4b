/* sort.c - a merge sort, bottom up. */
#include "text/jinja/sort.h"

#include "text/jinja/runtime.h"

#include <string.h>

/* Merges from[a..m) and from[m..b) into to[a..b). */
static bool merge(struct gw_jrt *rt, const struct gw_jsort *from, struct gw_jsort *to, size_t a,
                  size_t m, size_t b, bool reverse) {
    size_t left = a, right = m;
    for (size_t k = a; k < b; k++) {
        bool take_right = left == m;
        if (left < m && right < b) {
            struct gw_jv l = from[left].key, r = from[right].key;
            if (!gw_j_steps(rt, 1)) return false;
            if (!(reverse ? gw_j_less(rt, l, r, "<", &take_right)
                          : gw_j_less(rt, r, l, "<", &take_right)))
                return false;
        }
        to[k] = take_right ? from[right++] : from[left++];
    }
    return true;
}

bool gw_j_sort(struct gw_jrt *rt, struct gw_jsort *item, size_t n, bool reverse) {
    if (n < 2) return true;
    struct gw_jsort *spare = gw_j_alloc(rt, n, sizeof *spare);
    if (spare == NULL) return false;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t a = 0; a < n; a += 2 * width) {
            size_t m = GW_MIN(a + width, n), b = GW_MIN(a + 2 * width, n);
            if (!merge(rt, item, spare, a, m, b, reverse)) return false;
        }
        memcpy(item, spare, n * sizeof *item);
    }
    return true;
}

bool gw_j_sorted_entries(struct gw_jrt *rt, const struct gw_jdict *d,
                         const struct gw_jentry **out) {
    struct gw_jsort *order = gw_j_alloc(rt, d->n + 1, sizeof *order);
    struct gw_jentry *e = gw_j_alloc(rt, d->n + 1, sizeof *e);
    if (order == NULL || e == NULL) return false;
    for (size_t i = 0; i < d->n; i++) order[i] = (struct gw_jsort){.key = d->e[i].key, .at = i};
    if (!gw_j_sort(rt, order, d->n, false)) return false;
    for (size_t i = 0; i < d->n; i++) e[i] = d->e[order[i].at];
    *out = e;
    return true;
}
