/* likelihood.h - evaluations that sample nothing: likelihoods of given texts.
 *
 * mc: which of the choices is the likeliest after the question.  Rows of JSONL
 *     {"prompt" or "question", "choices": [texts], "answer": number or letter} and optionally "id".
 * Question and choice, with a blank between them, are encoded together; tokens after those that
 * the question alone has are the choice's (as lm-evaluation-harness does, so that a tokenizer that
 * marks the beginning of a text does not mark the choice's).  acc takes the largest sum of
 * log-probabilities, acc_norm the largest by character.
 *
 * ppl: how likely a text is.  A plain text, or JSONL rows {"text"}, documents.  A document is cut
 * into windows; each begins with BOS (else EOS) or with the last tokens of the window before, and
 * all its own tokens are predicted.
 *
 * Both are units (questions, windows) of requests to the scorer, answered by rows that can be
 * resumed like those of a rollout. */
#ifndef GW_SERVICE_EVAL_LIKELIHOOD_H
#define GW_SERVICE_EVAL_LIKELIHOOD_H

#include "service/eval/result.h"
#include "service/plan.h"
#include "service/rollout/file.h"
#include "service/rollout/prompts.h"

struct gw_eval_request {
    size_t first;   /* its tokens begin at ids.data[first] ... */
    size_t n, from; /* ... n of them, of which those from `from` on are scored: 1 <= from < n */
    size_t chars;   /* mc: letters of the choice */
};

struct gw_eval_unit {
    size_t first, n; /* its requests */
    size_t number;   /* mc: of the right choice; ppl: of the document */
    uint64_t data;   /* hash of the row or the document */
    char *id;        /* mc: the row's "id" as JSON text, NULL: none */
    uint64_t bytes, words;
};

struct gw_eval_data {
    enum gw_eval_kind kind;
    struct gw_ids ids;
    struct gw_eval_request *requests;
    struct gw_eval_unit *units;
    size_t n_requests, n_units, cap_requests, cap_units;
    size_t n_straddling; /* choices with a token of the question's letters too, which is theirs */
    size_t longest;      /* tokens of a request */
};

struct gw_eval_data_opts {
    const struct gw_prompt_opts *prompt; /* tokenizer, chat template, vocabulary, context */
    size_t limit;                        /* units; 0: all */
    size_t window, overlap;              /* ppl: tokens predicted, tokens before them; 0: BOS */
    int32_t prefix;                      /* what stands for BOS; -1: there is nothing */
};

/* Errors begin with FILE:LINE.  gw_eval_data_free whatever the outcome. */
enum gwen_status gw_eval_read_choices(const char *path, const struct gw_eval_data_opts *opts,
                                      struct gw_eval_data *data, struct gwen_err *err);
/* Files that end in .jsonl hold rows, others are one plain text. */
enum gwen_status gw_eval_read_text(const char *path, const struct gw_eval_data_opts *opts,
                                   struct gw_eval_data *data, struct gwen_err *err);
void gw_eval_data_free(struct gw_eval_data *data);
/* A hash over everything that results depend on. */
uint64_t gw_eval_data_hash(const struct gw_eval_data *data);

/* Makes *plan (whose model and threads are set) one for scoring the data within budget_bytes. */
enum gwen_status gw_eval_score_plan(const struct gw_eval_data *data, size_t budget_bytes,
                                    struct gw_plan_options *plan, struct gwen_err *err);

struct gw_eval_score_opts {
    const struct gw_model *model;
    struct gw_pool *pool;
    const struct gw_plan_options *plan; /* of gw_eval_score_plan */
    struct gw_rollout_file *file;       /* NULL: no rows */
    uint64_t settings;
    const char *numeric_class;
    gwen_progress_fn progress;
    void *progress_user;
};

/* Fills the cells of *result (of gw_eval_result_new, k 0) that the file does not have yet. */
enum gwen_status gw_eval_score_run(const struct gw_eval_data *data,
                                   const struct gw_eval_score_opts *opts,
                                   struct gw_eval_result *result, double *score_s,
                                   struct gwen_err *err);

#endif
