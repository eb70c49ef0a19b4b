/* score.c - sizes for a window of rows, and scoring them; see score.h. */
#include "service/eval/score.h"

#include <stdlib.h>

enum { FORWARD_ROWS = 256 };

/* Blocks that keep a forward pass full: every row's own, but no more than what is under way at
 * once - two long rows around the edge of a pass, a prompt that its samples share, and a block of
 * their own for as many short rows as a pass holds. */
static size_t wanted_blocks(const struct gw_score_window *w, size_t longest) {
    size_t all = 1, under_way = 3 * gw_kv_blocks_for(longest) + FORWARD_ROWS;
    for (size_t i = 0; i < w->n; i++) all += gw_kv_blocks_for(w->rows[i].n) + 1;
    return GW_MAX(GW_MIN(all, under_way), gw_kv_blocks_for(longest) + 1);
}

enum gwen_status gw_score_plan(const struct gw_score_window *w, const struct gw_score_opts *opts,
                               size_t budget_bytes, struct gw_plan_options *plan,
                               struct gwen_err *err) {
    struct gw_scorer_opts *o = &plan->scorer;
    size_t longest = GW_MAX(w->longest, o->max_len);
    size_t context = plan->cfg->max_position_embeddings;
    plan->kind = GW_PLAN_SCORE;
    o->rows = FORWARD_ROWS;
    o->max_len = GW_MIN(gw_round_up(longest, GW_KV_BLOCK), context);
    o->n_blocks = GW_MAX(o->n_blocks, wanted_blocks(w, o->max_len));
    o->temperature = opts->temperature;
    o->keep_logits = opts->keep_logits;
    o->progress = opts->progress;
    o->progress_ctx = opts->progress_ctx;
    size_t fits = gw_plan_largest(plan, GW_PLAN_SCORE_BLOCKS, o->n_blocks, budget_bytes);
    o->n_blocks = GW_MAX(fits, gw_kv_blocks_for(o->max_len) + 1);
    return gw_plan_check(plan, budget_bytes, err);
}

enum gwen_status gw_score_run(struct gw_scorer *scorer, struct gw_score_window *w,
                              gw_score_logits *logits, void *ctx, struct gwen_err *err) {
    struct gw_score_request *requests = malloc(GW_MAX(w->n, (size_t)1) * sizeof *requests);
    if (requests == NULL) return gw_nomem(err, w->n * sizeof *requests, "scoring");
    for (size_t i = 0; i < w->n; i++) {
        const struct gw_score_row *r = &w->rows[i];
        requests[i] = (struct gw_score_request){
            .ids = r->ids, .n = r->n, .from = r->from, .logprobs = r->logprobs};
    }
    enum gwen_status status =
        gw_scorer_run(scorer, requests, w->n, logits != NULL, logits, ctx, err);
    free(requests);
    return status;
}

void gw_score_put_row(struct gw_str *out, const struct gw_score_row *row) {
    double sum = 0;
    gw_str_putc(out, '{');
    if (row->id != NULL) gw_str_printf(out, "\"id\":%s,", row->id);
    gw_str_puts(out, "\"logprobs\":[");
    for (size_t i = 0; i < row->n - row->from; i++) {
        if (i > 0) gw_str_putc(out, ',');
        gw_str_put_float(out, row->logprobs[i]);
        sum += (double)row->logprobs[i];
    }
    gw_str_printf(out, "],\"sum\":%.9g}\n", sum);
}
