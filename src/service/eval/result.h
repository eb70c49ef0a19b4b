/* result.h - what an evaluation found: the figures of each sample, where they come from (the
 * samples themselves or the file they were written to), and what they add up to.
 *
 *     samples as they are drawn --put--.
 *                                       +--> struct gw_eval_result --> summary, comparison
 *     FILE.jsonl of an earlier run -----'
 *
 * Rows of such a file, besides what gw_rollout_put_row writes:
 *     tasks with samples    "greedy": true|false, "reward": 0..1      sample 0 is the greedy one
 *     mc                    "acc": 0|1, "acc_norm": 0|1
 *     ppl                   "tokens", "nll", "bytes", "words"
 * and in all of them "data", a hash of the row of the data that they answer (ppl: of the document),
 * and "settings", one of everything they depend on. */
#ifndef GW_SERVICE_EVAL_RESULT_H
#define GW_SERVICE_EVAL_RESULT_H

#include "base/base.h"
#include "base/str.h"
#include "service/eval/stats.h"
#include "service/record/metrics.h"

#define GW_EVAL_FILE "eval.jsonl" /* what it is called where a directory is given */

enum gw_eval_kind { GW_EVAL_SAMPLES, GW_EVAL_CHOICES, GW_EVAL_TEXT };

struct gw_eval_cell {
    bool there;
    uint64_t key; /* of the data: what is compared must be answers to the same */
    union {
        struct {
            float score;
            uint32_t tokens;
            bool stopped; /* at its end, not at the limit */
        } sample;
        struct {
            bool acc, acc_norm; /* the likeliest is right; likeliest by character */
        } choice;
        struct {
            float nll; /* sum over the tokens, nats */
            uint32_t tokens;
            uint64_t bytes, words; /* of a document, with its last window; else 0 */
        } text;
    } of;
};

struct gw_eval_result {
    enum gw_eval_kind kind;
    size_t n;                   /* units: prompts, questions, windows */
    size_t k;                   /* samples of each beside the greedy one; 0 where there are none */
    struct gw_eval_cell *cells; /* [n][k + 1] */
    uint64_t settings;          /* of a file that was read */
};

enum gwen_status gw_eval_result_new(enum gw_eval_kind kind, size_t n, size_t k,
                                    struct gw_eval_result *r, struct gwen_err *err);
void gw_eval_result_free(struct gw_eval_result *r); /* a zeroed one is fine */
/* Reads a file that is complete. */
enum gwen_status gw_eval_result_read(const char *path, struct gw_eval_result *r,
                                     struct gwen_err *err);

/* If `path` is complete, with no part file beside it, and its rows are of these settings: reads it
 * into *r, which is freed before. */
bool gw_eval_result_complete(const char *path, uint64_t settings, struct gw_eval_result *r);

/* --- summary -------------------------------------------------------------------------------- */

enum { GW_EVAL_FIGURES = 4 };

struct gw_eval_named_figure {
    const char *name;
    double value;
    struct gw_interval ci;
};

struct gw_eval_summary {
    enum gw_eval_kind kind;
    size_t n, k;
    /* samples: accuracy (of the greedy ones), mean_at_k, pass_at_k; choices: accuracy, acc_norm;
     * text: perplexity.  The first is the one that counts. */
    struct gw_eval_named_figure figures[GW_EVAL_FIGURES];
    size_t n_figures;
    /* samples: of all of them */
    double mean_tokens, stopped;
    uint32_t least_tokens, median_tokens, most_tokens;
    /* text; the last three are NaN where the text was cut off */
    double nll, tokens, word_perplexity, byte_perplexity, bits_per_byte;
    /* seconds, filled by whoever measured them */
    double generate_s, score_s;
};

/* Every cell must be there. */
enum gwen_status gw_eval_summarize(const struct gw_eval_result *r, uint64_t seed,
                                   struct gw_eval_summary *s, struct gwen_err *err);
/* NaN when it has no such figure. */
double gw_eval_summary_get(const struct gw_eval_summary *s, const char *name);
/* The mean of pass@j over the prompts; 1 <= j <= k. */
double gw_eval_pass_at(const struct gw_eval_result *r, size_t j);
/* Appends {"task": ..., "model": ..., "accuracy": ..., ...} and a newline: figures by their names
 * and, with the prefixes eval_full/ and time/eval_full/, as in a run's metrics. */
void gw_eval_put_summary(struct gw_str *out, const char *task, const char *model,
                         const struct gw_eval_result *r, const struct gw_eval_summary *s);
/* Puts eval_full/... and time/eval_full/... */
void gw_eval_put_metrics(struct gw_metrics *m, const struct gw_eval_summary *s);

/* --- comparison ----------------------------------------------------------------------------- */

/* Appends one JSON object and a newline: each figure of a and of b, the mean difference b - a over
 * the pairs with its interval and p-value, and in how many pairs which is greater.  Results of
 * other data or another kind are refused; `name_a`, `name_b` are for messages. */
enum gwen_status gw_eval_compare(const struct gw_eval_result *a, const char *name_a,
                                 const struct gw_eval_result *b, const char *name_b, uint64_t seed,
                                 struct gw_str *out, struct gwen_err *err);

#endif
