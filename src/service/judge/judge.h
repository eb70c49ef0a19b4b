/* judge.h - a frozen model grades responses from 1 to 5 by the criteria of a rubric.
 *
 *     (prompt, response) x criteria --rubric, chat template--> prompts of the judge
 *         --chunks; what is in the cache is left out--> tree of common beginnings (engine/scorer.h)
 *         --> GENERATE: a few greedy tokens, the last grade in them
 *             LOGITS:   expected grade under the softmax over the grade tokens, nothing decoded
 *
 * The rubric's system text goes into the judge's own chat template as the system message, the
 * filled in template as the user's (enable_thinking is false); a judge without a chat template gets
 * both as plain text, an empty line between them.  Verdicts are those that `generate --temp 0` and
 * `score` give for each of these prompts alone, bit for bit: chunks, sharing and memory change
 * nothing. */
#ifndef GW_SERVICE_JUDGE_JUDGE_H
#define GW_SERVICE_JUDGE_JUDGE_H

#include "base/log.h"
#include "base/progress.h"
#include "service/judge/cache.h"
#include "service/judge/rubric.h"
#include "service/judge/sizes.h"
#include "service/rollout/prompts.h"

enum gw_judge_mode { GW_JUDGE_GENERATE, GW_JUDGE_LOGITS };

struct gw_judge_item {
    const char *prompt, *response; /* UTF-8, borrowed */
    size_t prompt_len, response_len;
};

struct gw_verdict {
    float grade; /* 1 .. 5; GENERATE: a whole number */
    bool parsed; /* false: no grade was found, and grade is the default, 3 */
    bool cached;
};

/* How one verdict was reached, for opts.look; valid during the call. */
struct gw_judge_look {
    size_t item; /* its number */
    size_t criterion;
    const int32_t *prompt_ids;
    size_t n_prompt;
    const int32_t *ids; /* GENERATE: what was generated, with the ending eos */
    size_t n;
    const float *logits; /* [GW_GRADES] LOGITS: of the grade tokens; else NULL */
    struct gw_verdict verdict;
};

struct gw_judge_opts {
    const struct gw_rubric *rubric;
    const struct gw_tokenizer *tokenizer; /* the judge's */
    const struct tm *now;                 /* the date that chat templates see */
    enum gw_judge_mode mode;
    size_t max_tokens; /* of GENERATE */
    size_t chunk;      /* responses; 0: GW_JUDGE_CHUNK or what fits */
    bool no_sharing;   /* run every prompt by itself: for comparison */
    struct gw_eos eos;
    struct gw_plan_options plan; /* model, threads and budget; the rest is filled in */
    size_t budget_bytes;         /* for everything that *plan counts */
    /* Gives the model and the pool that it runs on, once the plan is known to fit. */
    enum gwen_status (*load)(void *ctx, const struct gw_plan_options *plan, struct gw_model **model,
                             struct gw_pool **pool, struct gwen_err *err);
    void *load_ctx;
    struct gw_judge_cache *cache; /* NULL: none */
    const struct gw_log *log;
    void (*look)(void *ctx, const struct gw_judge_look *look); /* NULL: nobody looks */
    void *look_ctx;
    gwen_progress_fn progress; /* of "judge" in "responses" */
    void *progress_user;
};

struct gw_judge_stats {
    uint64_t evaluations;    /* asked of the model */
    uint64_t cached;         /* answered by the cache */
    uint64_t parse_failures; /* verdicts without a grade, those of the cache too */
    size_t chunk;            /* as it is now */
    double seconds;          /* spent in gw_judge_run */
};

struct gw_judge;

/* Copies *opts; what it points to must live as long.  GWEN_ERR_ARGUMENT when the judge cannot be
 * asked so: LOGITS, and its tokenizer has no token for some grade. */
enum gwen_status gw_judge_create(const struct gw_judge_opts *opts, struct gw_judge **out,
                                 struct gwen_err *err);
void gw_judge_free(struct gw_judge *j); /* NULL is fine */

/* Whether gw_judge_run can grade this response: GWEN_ERR_ARGUMENT when it does not fit into the
 * judge's context or the memory planned for it; GWEN_ERR_NOMEM when there is none to find out. */
enum gwen_status gw_judge_check(struct gw_judge *j, const struct gw_judge_item *item,
                                struct gwen_err *err);
/* Grades n responses: verdicts[n][rubric->n].  `first` is the number that items[0] has in messages
 * and looks.  GWEN_ERR_CANCELLED when progress said stop. */
enum gwen_status gw_judge_run(struct gw_judge *j, const struct gw_judge_item *items, size_t n,
                              size_t first, struct gw_verdict *verdicts, struct gwen_err *err);
/* The reward of one response: verdicts[rubric->n]. */
double gw_judge_reward(const struct gw_rubric *rubric, const struct gw_verdict *verdicts);
/* Appends {CRITERION: GRADE, ...} of verdicts[rubric->n]. */
void gw_judge_put_scores(struct gw_str *out, const struct gw_rubric *rubric,
                         const struct gw_verdict *verdicts);
/* A plan for texts that make at most text_tokens tokens: *plan is what opts->plan was, filled in
 * (sizes.h).  GWEN_ERR_ARGUMENT when they do not fit into the judge's context. */
enum gwen_status gw_judge_plan(const struct gw_judge *j, size_t text_tokens,
                               struct gw_plan_options *plan, struct gwen_err *err);
/* From now on takes at most budget_bytes: chunks shrink, and gw_judge_check refuses. */
void gw_judge_hold(struct gw_judge *j, size_t budget_bytes);
/* Since the judge was created. */
struct gw_judge_stats gw_judge_stats(const struct gw_judge *j);

#endif
