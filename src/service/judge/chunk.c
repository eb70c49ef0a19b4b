/* chunk.c - as many responses as there is memory for, and the scorer that they run on; see impl.h.
 *
 * A chunk begins as large as was asked for, or as is usual, and shrinks to what its own questions
 * leave room for; it does not grow again, so that a run whose memory became short stays within what
 * is left.  The model is loaded for the first chunk, once its plan is known to fit, and the scorer
 * kept for as long as it is large enough. */
#include "base/knob.h"
#include "service/judge/impl.h"

#include <stdlib.h>

/* --- memory --------------------------------------------------------------------------------- */

enum gwen_status gw_judge_check_one(const struct gw_judge *j, const struct gw_judge_need *need,
                                    struct gwen_err *err) {
    const struct gw_plan_options plan = gw_judge_plan_of(&j->sizes, need, 1);
    const enum gwen_status status = gw_plan_check(&plan, j->sizes.budget_bytes, err);
    if (j->opts.mode != GW_JUDGE_GENERATE)
        return gw_err_prefix(err, status, "a response that makes %zu tokens", need->longest);
    return gw_err_prefix(err, status, "a response that makes %zu tokens, %s included",
                         need->longest, gw_knob(GW_KNOB_JUDGE_TOKENS));
}

/* A chunk size that was not asked for gives way to the memory there is. */
static enum gwen_status fit_chunk(struct gw_judge *j, const struct gw_judge_need *need,
                                  struct gwen_err *err) {
    const size_t most = j->chunk, fits = gw_judge_largest_chunk(&j->sizes, need, most);
    if (fits == 0) return gw_judge_check_one(j, need, err);
    if (j->chunk_given && fits < most && j->model == NULL)
        return gw_fail(err, GWEN_ERR_NOMEM,
                       "%zu responses at once do not fit into memory: lower %s to "
                       "%zu, or leave it out",
                       most, gw_knob(GW_KNOB_JUDGE_CHUNK), fits);
    if (fits < most && j->model != NULL)
        gw_log(j->opts.log, GWEN_LOG_WARNING,
               "judge: %zu responses at once instead of %zu, which fit "
               "into memory",
               fits, most);
    j->chunk = fits;
    return GWEN_OK;
}

void gw_judge_back_off(struct gw_judge *j) {
    const struct gw_budget *b = j->sizes.plan.scorer.budget;
    if (j->scorer == NULL || b == NULL || !b->pressed(b->ctx)) return;
    gw_scorer_free(j->scorer);
    j->scorer = NULL;
    j->held = (struct gw_scorer_opts){0};
    if (j->chunk == 1) return;
    gw_log(j->opts.log, GWEN_LOG_WARNING,
           "judge: memory is short: %zu responses at once instead of %zu", j->chunk / 2, j->chunk);
    j->chunk /= 2;
}

/* A scorer that is large enough for what is needed, and calls this judge. */
static enum gwen_status make_scorer(struct gw_judge *j, const struct gw_judge_need *need,
                                    struct gwen_err *err) {
    struct gw_scorer_opts opts = gw_judge_plan_of(&j->sizes, need, j->chunk).scorer;
    if (j->scorer != NULL && j->held.max_len >= opts.max_len && j->held.n_blocks >= opts.n_blocks)
        return GWEN_OK;
    opts.eos = j->opts.eos;
    opts.progress = gw_judge_go_on;
    opts.progress_ctx = j;
    opts.done = gw_judge_on_done;
    opts.done_ctx = j;
    gw_scorer_free(j->scorer);
    j->scorer = NULL;
    j->held = opts;
    return gw_scorer_create(j->model, j->pool, &opts, &j->scorer, err);
}

static enum gwen_status load(struct gw_judge *j, const struct gw_judge_need *need,
                             struct gwen_err *err) {
    const struct gw_plan_options plan = gw_judge_plan_of(&j->sizes, need, j->chunk);
    GW_TRY(j->opts.load(j->opts.load_ctx, &plan, &j->model, &j->pool, err));
    return j->opts.cache != NULL ? gw_judge_make_frame(j, err) : GWEN_OK;
}

/* --- running -------------------------------------------------------------------------------- */

static enum gwen_status make_requests(struct gw_judge *j, struct gwen_err *err) {
    const size_t n = j->n_questions, more = j->sizes.verdict_tokens;
    j->requests = calloc(n, sizeof *j->requests);
    if (j->requests == NULL) return gw_nomem(err, n * sizeof *j->requests, "the judge's prompts");
    for (size_t i = 0; i < n; i++) {
        struct gw_judge_question *q = &j->questions[i];
        if (more > 0 && (q->out = malloc(more * sizeof *q->out)) == NULL)
            return gw_nomem(err, more * sizeof *q->out, "a verdict");
        j->requests[i] = (struct gw_score_request){.ids = q->ids.data,
                                                   .n = q->ids.len,
                                                   .from = q->ids.len,
                                                   .max_new = more,
                                                   .out = q->out};
    }
    return GWEN_OK;
}

static enum gwen_status evaluate(struct gw_judge *j, struct gwen_err *err) {
    const struct gw_judge_need need = gw_judge_need_of(j);
    GW_TRY(make_scorer(j, &need, err));
    GW_TRY(make_requests(j, err));
    j->status = GWEN_OK;
    enum gwen_status status =
        gw_scorer_run(j->scorer, j->requests, j->n_questions, true,
                      j->opts.mode == GW_JUDGE_LOGITS ? gw_judge_on_logits : NULL, j, err);
    if (j->status == GWEN_OK) return status;
    gw_err_copy(err, &j->err);
    return j->status;
}

enum gwen_status gw_judge_chunk(struct gw_judge *j, const struct gw_judge_item *items, size_t begin,
                                size_t n, size_t *end, struct gwen_err *err) {
    if (j->chunk == 0) j->chunk = GW_JUDGE_CHUNK;
    *end = begin + GW_MIN(n - begin, j->chunk);
    GW_TRY(gw_judge_make_room(j, *end - begin, err));
    for (size_t i = begin; i < *end; i++)
        GW_TRY(gw_err_prefix(err, gw_judge_ask(j, items, i, err), "response %zu", j->first + i));
    struct gw_judge_need need = gw_judge_need_of(j);
    if (gw_judge_largest_chunk(&j->sizes, &need, 1) == 0) {
        /* beside others, which share less, not even one */
        *end = begin + 1;
        gw_judge_cut(j, *end);
        need = gw_judge_need_of(j);
    }
    GW_TRY(fit_chunk(j, &need, err));
    *end = GW_MIN(*end, begin + j->chunk);
    gw_judge_cut(j, *end);
    if (j->model == NULL) GW_TRY(load(j, &need, err));
    if (j->opts.cache != NULL) GW_TRY(gw_judge_look_up(j, items, err));
    return j->n_questions > 0 ? evaluate(j, err) : GWEN_OK;
}
