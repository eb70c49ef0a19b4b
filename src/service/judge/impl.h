/* impl.h - what the files of the judge share: its state, and the stages of a chunk.
 *
 *     judge.c     made, asked, freed: the loop over chunks
 *     chunk.c     as many responses as there is memory for, and the scorer that they run on
 *     verdict.c   answers, of the cache and of the model
 *     question.c  rubric and texts as prompts of the judge
 *     frame.c     what a verdict depends on, as a key of the cache
 *     sizes.c     what all of it asks of memory
 *
 * Each stands on those below it. */
#ifndef GW_SERVICE_JUDGE_IMPL_H
#define GW_SERVICE_JUDGE_IMPL_H

#include "service/judge/judge.h"

/* A verdict that is wanted of the model. */
struct gw_judge_question {
    size_t item, criterion;
    struct gw_judge_key key; /* with a cache */
    struct gw_ids ids;       /* the prompt */
    int32_t *out;            /* [verdict_tokens] what the model writes */
};

struct gw_judge {
    struct gw_judge_opts opts;
    struct gw_judge_sizes sizes;
    struct gw_prompt_chat chat;
    struct gw_prompt_opts prompts;
    json_t *chat_args;
    int32_t grade_ids[GW_GRADES]; /* LOGITS */
    struct gw_model *model;       /* NULL: not loaded yet */
    struct gw_pool *pool;
    struct gw_scorer *scorer;   /* NULL: none is held */
    struct gw_scorer_opts held; /* what it was made with */
    bool chunk_given;           /* the chunk was asked for, and is never made smaller */
    size_t chunk;               /* responses at once; 0: not chosen yet */
    uint64_t frame;             /* hash of everything but the texts that a verdict depends on */
    struct gw_judge_stats stats;
    /* of the chunk in progress */
    struct gw_judge_question *questions; /* [n_questions] */
    struct gw_score_request *requests;   /* [n_questions] */
    size_t n_questions;
    /* of the call in progress */
    size_t first;                /* number of its first item */
    struct gw_verdict *verdicts; /* [n][rubric->n] */
    struct gw_progress progress;
    size_t answers;
    enum gwen_status status; /* of writing to the cache, or of a wish to stop */
    struct gwen_err err;
};

/* --- question.c ----------------------------------------------------------------------------- */

/* The tokens of one question; GWEN_ERR_ARGUMENT when the context is too short for them. */
enum gwen_status gw_judge_encode(const struct gw_judge *j, const struct gw_judge_item *item,
                                 size_t criterion, struct gw_ids *ids, struct gwen_err *err);
/* What the chat template makes of an empty message; nothing where there is no template. */
enum gwen_status gw_judge_encode_nothing(const struct gw_judge *j, struct gw_ids *ids,
                                         struct gwen_err *err);
/* Room for the questions about so many items, none of them asked yet. */
enum gwen_status gw_judge_make_room(struct gw_judge *j, size_t n_items, struct gwen_err *err);
/* Adds the questions about items[i], for which there is room. */
enum gwen_status gw_judge_ask(struct gw_judge *j, const struct gw_judge_item *items, size_t i,
                              struct gwen_err *err);
/* Leaves out the questions of items from `end` on. */
void gw_judge_cut(struct gw_judge *j, size_t end);
/* Frees questions and requests. */
void gw_judge_clear(struct gw_judge *j);
/* What the questions need. */
struct gw_judge_need gw_judge_need_of(const struct gw_judge *j);

/* --- frame.c -------------------------------------------------------------------------------- */

/* Fills j->frame; needs the model. */
enum gwen_status gw_judge_make_frame(struct gw_judge *j, struct gwen_err *err);
/* The key of one verdict; needs the frame. */
struct gw_judge_key gw_judge_key_of(const struct gw_judge *j, const struct gw_judge_item *item,
                                    size_t criterion);

/* --- verdict.c ------------------------------------------------------------------------------ */

/* Answers what the cache knows, and leaves the other questions. */
enum gwen_status gw_judge_look_up(struct gw_judge *j, const struct gw_judge_item *items,
                                  struct gwen_err *err);
/* The scorer's callbacks; ctx is the judge.  on_done: what was written has a grade in it, or not
 * (GENERATE).  on_logits: the expected grade (LOGITS).  go_on: false when a failure is noted in
 * j->status, or progress said stop. */
void gw_judge_on_done(void *ctx, size_t index);
void gw_judge_on_logits(void *ctx, size_t index, size_t t, const float *logits);
bool gw_judge_go_on(void *ctx);

/* --- chunk.c -------------------------------------------------------------------------------- */

/* Whether there is memory for one response at a time. */
enum gwen_status gw_judge_check_one(const struct gw_judge *j, const struct gw_judge_need *need,
                                    struct gwen_err *err);
/* When memory has become short, what is held is given back and less is taken. */
void gw_judge_back_off(struct gw_judge *j);
/* Grades items from `begin` up to *end, of n.  Questions are left to be cleared. */
enum gwen_status gw_judge_chunk(struct gw_judge *j, const struct gw_judge_item *items, size_t begin,
                                size_t n, size_t *end, struct gwen_err *err);

#endif
