/* sizes.h - what a judge asks of memory, known before it has a model, a rubric or a question.
 *
 * A chunk of responses shares one scorer.  What that takes follows from the longest sequence, from
 * the KV blocks that a response takes beside what all share, and from whether verdicts are
 * generated; who judges, plans or tunes asks here and gets the same numbers. */
#ifndef GW_SERVICE_JUDGE_SIZES_H
#define GW_SERVICE_JUDGE_SIZES_H

#include "service/plan.h"

/* Responses of a chunk unless the options say otherwise, where there is the memory for it; tokens
 * of a verdict likewise; tokens that go through the model together. */
enum { GW_JUDGE_CHUNK = 64, GW_JUDGE_MAX_TOKENS = 8, GW_JUDGE_ROWS = 512 };

struct gw_judge_sizes {
    struct gw_plan_options plan; /* model, threads and what the caller knows of its scorer */
    size_t budget_bytes;         /* for everything that plan counts */
    size_t context;              /* tokens of a sequence at most, those of the verdict included */
    size_t verdict_tokens;       /* generated at most; 0: grades are read from logits */
    bool no_sharing;             /* every prompt runs by itself */
};

/* What the questions of a chunk need. */
struct gw_judge_need {
    size_t longest;     /* tokens of a sequence, those of the verdict included */
    size_t item_blocks; /* that one response takes at most beside what it shares with the others */
};

/* The need of texts of which only a bound is known, however little a response's criteria share. */
struct gw_judge_need gw_judge_need_of_bound(size_t longest, size_t criteria);
/* KV blocks with which so many responses at once are never held up. */
size_t gw_judge_blocks(const struct gw_judge_need *need, size_t chunk, bool generates);
/* The plan of a judge that takes so many responses at once: sizes->plan with its scorer filled in
 * as far as memory goes; whom the scorer calls is left to its owner. */
struct gw_plan_options gw_judge_plan_of(const struct gw_judge_sizes *sizes,
                                        const struct gw_judge_need *need, size_t chunk);
/* The largest chunk up to `most` whose plan is within the budget; 0: none. */
size_t gw_judge_largest_chunk(const struct gw_judge_sizes *sizes, const struct gw_judge_need *need,
                              size_t most);
/* Responses that are judged together unless it is said how many: what fits into budget_bytes beside
 * what *plan counts, for texts of at most text_tokens tokens (rubric, prompt and response), a
 * number of criteria and generated verdicts.  0: not even one fits, or the context is too short. */
size_t gw_judge_auto_chunk(const struct gw_plan_options *plan, size_t budget_bytes,
                           size_t text_tokens, size_t criteria);

#endif
