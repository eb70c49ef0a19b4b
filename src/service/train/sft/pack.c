/* pack.c - several rows as one, as TRL's packing "bfd" (best fit decreasing).
 *
 * Rows are taken longest first; each goes into the bin with the least room that is enough, of
 * those the one that has had this room for the longest, else into a new bin.  As TRL does it, a
 * thousand rows of the file at a time: a bin's rows come from near each other, and looking through
 * all bins for every row stays cheap. */
#include "service/train/sft/data.h"

#include <stdlib.h>
#include <string.h>

enum { PACK_ROWS = 1000 };

struct placed {
    size_t row, n; /* index in the file, tokens */
    size_t bin;
};

struct bin {
    size_t room;  /* tokens */
    size_t since; /* rows placed when it came to have this room */
};

static int longest_first(const void *a, const void *b) {
    const struct placed *x = a, *y = b;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

/* In the order of bins; in one, longest first. */
static int by_bin(const void *a, const void *b) {
    const struct placed *x = a, *y = b;
    if (x->bin != y->bin) return x->bin < y->bin ? -1 : 1;
    return longest_first(a, b);
}

static size_t best_bin(const struct bin *bins, size_t n_bins, size_t n) {
    size_t best = n_bins;
    for (size_t i = 0; i < n_bins; i++) {
        if (bins[i].room < n) continue;
        if (best == n_bins || bins[i].room < bins[best].room ||
            (bins[i].room == bins[best].room && bins[i].since < bins[best].since))
            best = i;
    }
    return best;
}

/* Sorts n rows, at most PACK_ROWS, into bins of `capacity` tokens; returns how many bins. */
static size_t place(struct placed *rows, size_t n, size_t capacity) {
    struct bin bins[PACK_ROWS];
    size_t n_bins = 0;
    qsort(rows, n, sizeof *rows, longest_first);
    for (size_t i = 0; i < n; i++) {
        const size_t b = best_bin(bins, n_bins, rows[i].n);
        if (b == n_bins) bins[n_bins++].room = capacity;
        bins[b].room -= rows[i].n;
        bins[b].since = i;
        rows[i].bin = b;
    }
    qsort(rows, n, sizeof *rows, by_bin);
    return n_bins;
}

/* Rows [first, first + n) of *d as bins that are added to its list. */
static void pack(struct gw_sft_data *d, size_t first, size_t n, size_t capacity) {
    struct placed placed[PACK_ROWS];
    struct gw_sft_row rows[PACK_ROWS];
    memcpy(rows, d->rows + first, n * sizeof *rows);
    for (size_t i = 0; i < n; i++) placed[i] = (struct placed){.row = i, .n = rows[i].n};
    const size_t before = d->n_bins;
    d->n_bins += place(placed, n, capacity);
    for (size_t i = n; i-- > 0;) {
        d->rows[first + i] = rows[placed[i].row];
        d->bins[before + placed[i].bin] = first + i;
    }
}

static void measure(struct gw_sft_data *d) {
    d->bins[d->n_bins] = d->n;
    for (size_t b = 0; b < d->n_bins; b++) {
        size_t tokens = 0;
        for (size_t i = d->bins[b]; i < d->bins[b + 1]; i++) tokens += d->rows[i].n;
        d->longest_bin = GW_MAX(d->longest_bin, tokens);
        d->most_rows = GW_MAX(d->most_rows, d->bins[b + 1] - d->bins[b]);
    }
}

enum gwen_status gw_sft_pack(struct gw_sft_data *d, size_t capacity, struct gwen_err *err) {
    d->bins = calloc(d->n + 1, sizeof *d->bins);
    if (d->bins == NULL) return gw_nomem(err, d->n * sizeof *d->bins, "training rows");
    d->n_bins = capacity == 0 ? d->n : 0;
    for (size_t i = 0; i < d->n_bins; i++) d->bins[i] = i;
    for (size_t i = 0; capacity > 0 && i < d->n; i += PACK_ROWS)
        pack(d, i, GW_MIN(d->n - i, (size_t)PACK_ROWS), capacity);
    measure(d);
    return GWEN_OK;
}
