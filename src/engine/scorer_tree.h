/* scorer_tree.h - the scorer's state, shared by scorer.c (memory, steps) and scorer_tree.c (what
 * requests have in common).
 *
 * Work is a list of tasks, each a stretch of tokens to run through the model.  Requests that begin
 * alike hang on a prefix task, prefixes on longer prefixes' beginnings: a tree, in the order of a
 * walk through it (a task comes after the one it hangs on).
 *
 *     prefix: system and rubric
 *        |-- prefix: prompt and response 1
 *        |      |-- request: criterion 1
 *        |      '-- request: criterion 2
 *        '-- prefix: prompt and response 2 ...
 *
 * A complete prefix holds its blocks until the last task that hangs on it has ended. */
#ifndef GW_ENGINE_SCORER_TREE_H
#define GW_ENGINE_SCORER_TREE_H

#include "engine/scorer.h"

enum gw_task_state {
    GW_TASK_WAITING,
    GW_TASK_RUNNING,
    GW_TASK_HELD, /* a prefix that is complete */
    GW_TASK_CLOSED
};

struct gw_score_task {
    enum gw_task_state state;
    const int32_t *ids;           /* of the whole sequence */
    size_t next;                  /* position to run next */
    size_t end;                   /* positions known so far: from the prefix' end (or 0) to here */
    size_t last;                  /* where `end` will be at most */
    struct gw_score_task *prefix; /* task whose blocks come first, or NULL */
    size_t users;                 /* of a prefix: tasks that still need its blocks ... */
    size_t reserve;               /* ... and what the largest chain of them takes beside them */
    struct gw_score_request *request; /* NULL for a prefix */
    size_t index;                     /* of the request */
    struct gw_seq seq;
};

/* What an output row of the batch predicts: the token at a position of the task's request. */
struct gw_score_target {
    struct gw_score_task *task;
    size_t position;
};

struct gw_scorer {
    const struct gw_model *model;
    struct gw_pool *pool;
    struct gw_scorer_opts opts;
    int32_t *eos;
    struct gw_kv *kv;
    struct gw_workspace *ws;
    struct gw_head *head;
    size_t head_rows;
    struct gw_score_target *targets; /* [rows] */
    int32_t *greedy;      /* [head_rows] the likeliest token, of rows that are continued */
    struct gw_mem memory; /* of eos, targets and greedy */
    /* of the run in progress */
    struct gw_score_request *requests;
    struct gw_score_task *tasks;
    uint32_t *block_tables;
    size_t n_tasks, first_open, n_table_entries;
    bool want_last, go;
    bool continues; /* some request wants new tokens */
    gw_score_logits *logits;
    void *ctx;
    struct gwen_err *err;
    enum gwen_status status;
};

/* Makes s->tasks of s->requests[n]. */
enum gwen_status gw_scorer_make_tasks(struct gw_scorer *s, size_t n);
/* Blocks a task takes beside those it shares. */
size_t gw_scorer_own_blocks(const struct gw_score_task *t);

#endif
