/* rollout.h - groups of samples for a set of prompts: the decode engine fed and listened to.
 *
 *     prompts --longest first--> decode engine --token--> stop strings
 *                                       '--- done ---> sink (part file, ordered output, reward ...)
 *
 * What a sample is depends on the model, its prompt, its sampling options and its random key
 * (seed, stream, step, prompt key, sample index) alone.  The batch size and everything else in
 * struct gw_rollout_plan change how fast it comes. */
#ifndef GW_SERVICE_ROLLOUT_ROLLOUT_H
#define GW_SERVICE_ROLLOUT_ROLLOUT_H

#include "base/log.h"
#include "base/progress.h"
#include "service/plan.h"
#include "service/rollout/prompts.h"
#include "service/rollout/queue.h"
#include "text/tokenizer/tokenizer.h"

struct gw_rollout_opts {
    size_t groups;               /* samples of each prompt */
    uint64_t first_sample;       /* index of a group's first sample: attempt * groups */
    size_t length_lo, length_hi; /* limits drawn uniformly, per sample; 0, 0: none are drawn */
    struct gw_sampling sampling;
    bool greedy_first; /* the sample with index 0 is greedy, the others drawn */
    uint64_t seed, step;
    enum gw_rng_stream stream;
    struct gw_eos eos; /* ids that end a sample; copied */
    /* Strings that end a sample; copied.  One that is exactly a special token's content ends it
     * with that token. */
    const char *const *stops;
    size_t n_stops;
    bool file_order; /* start prompts in their order instead of longest first */
};

/* --- memory --------------------------------------------------------------------------------- */

struct gw_rollout_plan {
    struct gw_plan_options options; /* kind GW_PLAN_ROLLOUT; .engine is what is created */
    size_t wanted_rows;             /* engine.prefill_rows, had there been the memory */
    char why[160];                  /* how the batch size came about, for people */
};

/* Chooses the engine's sizes for `prompts` so that everything, weights included, takes at most
 * budget_bytes.  `base` has model and threads, and in engine.prefill_rows those rows (0: the
 * usual number; of more than that only as many as fit).  batch 0: as large as *speed (not read
 * otherwise) finds worthwhile; no batch is larger than the number of samples.  GWEN_ERR_NOMEM says
 * which options would lower the need. */
enum gwen_status gw_rollout_plan(const struct gw_plan_options *base, const struct gw_speed *speed,
                                 const struct gw_prompts *prompts,
                                 const struct gw_rollout_opts *opts, size_t batch,
                                 size_t budget_bytes, struct gw_rollout_plan *plan,
                                 struct gwen_err *err);

/* The same work as a queue to be played: where nothing says how long samples are, any length up to
 * the limit is as likely as any other. */
struct gw_queue_opts gw_rollout_queue(const struct gw_prompts *prompts,
                                      const struct gw_rollout_opts *opts);

enum { GW_ROLLOUT_CANDIDATES = 32 };

/* A batch size that is worth comparing. */
struct gw_rollout_choice {
    size_t batch, bytes; /* of everything */
    bool fits;           /* into the budget; else the rest is not there */
    double tok_s, busy;  /* as the queue went */
};

/* Plays `queue` (of these prompts) with ascending batch sizes; *n choices are filled in, of which
 * only the last may not fit.  Other arguments as for gw_rollout_plan. */
enum gwen_status gw_rollout_compare(const struct gw_plan_options *base,
                                    const struct gw_speed *speed, const struct gw_prompts *prompts,
                                    const struct gw_rollout_opts *opts,
                                    const struct gw_queue *queue, size_t budget_bytes, size_t *n,
                                    struct gw_rollout_choice choices[GW_ROLLOUT_CANDIDATES],
                                    struct gwen_err *err);
/* What better a larger batch has to be to be taken: a share of its speed. */
#define GW_ROLLOUT_NOISE 0.02
/* The first choice whose speed is within `noise` (a share) of the best. */
size_t gw_rollout_choose(const struct gw_rollout_choice *choices, size_t n, double noise);

/* --- running -------------------------------------------------------------------------------- */

struct gw_rollout_sample {
    const struct gw_prompt *prompt;
    size_t prompt_id;
    size_t sample_id;   /* 0 .. groups-1 */
    const int32_t *ids; /* with the ending eos and all tokens of a stop string */
    const float *logprobs;
    size_t n;
    const char *text; /* without either and without special tokens; NULL: no tokenizer */
    size_t text_len;
    enum gw_finish finish;
};

/* All callbacks come from the thread that called gw_rollout_run; all but `sample` may be NULL. */
struct gw_rollout_sink {
    void *ctx;
    /* True: this sample is not wanted. */
    bool (*skip)(void *ctx, size_t prompt_id, size_t sample_id);
    /* A sample is complete; *s is valid during the call. */
    enum gwen_status (*sample)(void *ctx, const struct gw_rollout_sample *s, struct gwen_err *err);
    /* text[0..len) is appended to the sample's text. */
    enum gwen_status (*text)(void *ctx, size_t prompt_id, size_t sample_id, const char *text,
                             size_t len, struct gwen_err *err);
    gwen_progress_fn progress; /* of "rollout" in "samples", those skipped count as done */
    void *progress_user;
};

struct gw_rollout_stats {
    struct gw_engine_stats engine;
    size_t samples;
    double seconds;
    double occupancy; /* mean share of busy slots while samples were waiting; 1 if none waited */
};

struct gw_rollout;

/* The model, pool and tokenizer (NULL: no texts, no stop strings) must outlive *out. */
enum gwen_status gw_rollout_create(const struct gw_model *model, struct gw_pool *pool,
                                   const struct gw_tokenizer *tokenizer,
                                   const struct gw_rollout_opts *opts,
                                   const struct gw_rollout_plan *plan, struct gw_rollout **out,
                                   struct gwen_err *err);
void gw_rollout_free(struct gw_rollout *r); /* NULL is fine */

/* The random keys of the next run: their step, and the index of each group's first sample. */
void gw_rollout_set_draws(struct gw_rollout *r, uint64_t step, uint64_t first_sample);
/* From the next run on draws as *opts says, whose groups are at most those of creation; ids and
 * strings that end a sample stay as they are. */
enum gwen_status gw_rollout_redraw(struct gw_rollout *r, const struct gw_rollout_opts *opts,
                                   struct gwen_err *err);
/* Samples every prompt's group.  May be called again with other prompts that are within the plan.
 * *stats (may be NULL) is filled on failure too.  GWEN_ERR_CANCELLED when the progress callback
 * said stop. */
enum gwen_status gw_rollout_run(struct gw_rollout *r, const struct gw_prompts *prompts,
                                const struct gw_rollout_sink *sink, struct gw_rollout_stats *stats,
                                struct gwen_err *err);

/* Most tokens of one sample. */
size_t gw_rollout_limit(const struct gw_rollout_opts *opts, const struct gw_prompt *prompt,
                        size_t sample_id);

/* Appends a sample as one line of JSON, with its newline. */
void gw_rollout_put_row(struct gw_str *out, const struct gw_rollout_sample *s,
                        const char *numeric_class);
/* "stop" or "length". */
const char *gw_finish_name(enum gw_finish finish);

#endif
