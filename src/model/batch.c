/* batch.c - putting a batch together: which rows follow one another, which attend together. */
#include "model/forward.h"

void gw_batch_clear(struct gw_batch *b) { b->n_rows = b->n_runs = b->n_items = b->n_out = 0; }

/* Rows that begin with the same block may share more of them, and then belong in one item. */
static void add_to_items(struct gw_batch *b, size_t row) {
    if (b->n_items > 0) {
        struct gw_span *last = &b->items[b->n_items - 1];
        if (last->end - last->begin < GW_ATTN_MAX_ROWS &&
            b->rows[last->begin].blocks[0] == b->rows[row].blocks[0]) {
            last->end = row + 1;
            return;
        }
    }
    b->items[b->n_items++] = (struct gw_span){row, row + 1};
}

void gw_batch_add(struct gw_batch *b, const int32_t *tokens, size_t n, const struct gw_seq *seq,
                  size_t position) {
    b->runs[b->n_runs++] = (struct gw_span){b->n_rows, b->n_rows + n};
    for (size_t i = 0; i < n; i++) {
        size_t row = b->n_rows++;
        b->tokens[row] = tokens[i];
        b->rows[row] = (struct gw_attn_row){seq->blocks, position + i};
        add_to_items(b, row);
    }
}

void gw_batch_want(struct gw_batch *b, size_t n) {
    for (size_t i = b->n_rows - n; i < b->n_rows; i++) b->out_rows[b->n_out++] = i;
}

void gw_batch_want_last(struct gw_batch *b) { gw_batch_want(b, 1); }
