/* score.h - rows of given tokens: read a window of them, choose the scorer's sizes, score.
 *
 *     lines --read--> window of rows --plan--> scorer (kept while it is large enough)
 *                        '------------------------> log-probabilities, in input order
 *
 * Equal prompts of a window are computed once.  How rows are cut into windows never changes a
 * result. */
#ifndef GW_SERVICE_EVAL_SCORE_H
#define GW_SERVICE_EVAL_SCORE_H

#include "base/file.h"
#include "service/plan.h"
#include "text/tokenizer/tokenizer.h"

enum { GW_SCORE_WINDOW_ROWS = 256, GW_SCORE_WINDOW_TOKENS = 65536 };

struct gw_score_row {
    uint64_t line;   /* where it stood in the input */
    char *id;        /* the row's "id" as JSON text, NULL: none */
    int32_t *ids;    /* [n] */
    size_t n, from;  /* log p(ids[t]) is wanted for t = from .. n-1 */
    bool straddles;  /* of texts: the first of these is a token of the prompt as well */
    bool whole;      /* given as "ids": logits of all positions are of interest */
    float *logprobs; /* [n - from] */
};

struct gw_score_window {
    struct gw_score_row *rows;
    size_t n, cap;
    size_t n_tokens, longest;
};
void gw_score_window_clear(struct gw_score_window *w); /* keeps the room for rows */
void gw_score_window_free(struct gw_score_window *w);

/* --- reading -------------------------------------------------------------------------------- */

struct gw_score_source {
    struct gw_lines *lines;
    size_t vocab_size, context; /* of the model */
    /* Called for the first row that holds text; later rows use the same tokenizer. */
    enum gwen_status (*load_tokenizer)(void *ctx, const struct gw_tokenizer **out,
                                       struct gwen_err *err);
    void *ctx;
    const struct gw_tokenizer *tokenizer; /* NULL until then */
    size_t n_straddling; /* rows so far with a token of both prompt and completion */
};

/* Adds rows to an empty window until it has max_rows of them or GW_SCORE_WINDOW_TOKENS tokens.  A
 * row is an object with one of
 *     "ids"                                  log-probabilities of all but the first
 *     "prompt_ids" with "completion_ids"     ... of the completion ("ids" will do for it, as in
 *                                            the rows that a rollout writes)
 *     "prompt" with "completion"             texts, encoded as one behind the special tokens that
 *                                            the tokenizer itself puts in front; a token that has
 *                                            letters of both is the completion's
 * and optionally "id"; other members are ignored.  *more is false once the input has ended.
 * A row that cannot be used is an error beginning with FILE:LINE; the rows before it are in the
 * window. */
enum gwen_status gw_score_read(struct gw_score_source *source, size_t max_rows,
                               struct gw_score_window *w, bool *more, struct gwen_err *err);

/* --- scoring -------------------------------------------------------------------------------- */

struct gw_score_opts {
    double temperature;
    bool keep_logits;
    bool (*progress)(void *ctx); /* see gw_scorer_opts */
    void *progress_ctx;
};

/* Makes *plan (whose model and threads are set) one for scoring this window within
 * budget_bytes, never smaller than what plan->scorer already says.  GWEN_ERR_NOMEM when even the
 * longest row alone does not fit. */
enum gwen_status gw_score_plan(const struct gw_score_window *w, const struct gw_score_opts *opts,
                               size_t budget_bytes, struct gw_plan_options *plan,
                               struct gwen_err *err);
/* Fills the rows' log-probabilities.  `logits` as for gw_scorer_run, index being the row's in
 * the window and positions up to n; NULL: not wanted. */
enum gwen_status gw_score_run(struct gw_scorer *scorer, struct gw_score_window *w,
                              gw_score_logits *logits, void *ctx, struct gwen_err *err);
/* Appends a row's answer as a line of JSON: {"id", "logprobs", "sum"}. */
void gw_score_put_row(struct gw_str *out, const struct gw_score_row *row);

#endif
