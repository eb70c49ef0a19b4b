/* scorer.c - see scorer.h.
 *
 * Work is a list of tasks, each a stretch of tokens to run through the model.  Requests that share
 * a prompt hang on one prefix task (the prompt without its last token); every request then runs
 * its prompt's last token and its completion in blocks of its own. */
#include "model/scorer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_ROWS_KEEP = 32 };

enum task_state { WAITING, RUNNING, HELD /* a prefix that is complete */, CLOSED };

struct task {
    enum task_state state;
    const int32_t *ids;  /* of the whole sequence */
    size_t end;          /* positions to run: from the prefix' end (or 0) to here */
    size_t next;         /* position to run next */
    struct task *prefix; /* task whose blocks come first, or NULL */
    size_t users;        /* of a prefix: tasks that still need its blocks ... */
    size_t user_blocks;  /* ... and what the largest of them may take beside them */
    size_t request;      /* not of a prefix */
    struct gw_seq seq;
};

/* What an output row of the batch predicts. */
struct target {
    size_t request, t;
};

struct gw_scorer {
    const struct gw_model *model;
    struct gw_pool *pool;
    struct gw_scorer_opts opts;
    struct gw_kv *kv;
    struct gw_workspace *ws;
    struct gw_head *head;
    size_t head_rows;
    struct target *targets; /* [rows] */
    /* of the run in progress */
    struct gw_score_request *requests;
    struct task *tasks;
    uint32_t *block_tables;
    size_t n_tasks, first_open, n_table_entries;
    bool want_last, go;
    gw_score_logits *logits;
    void *ctx;
    struct gwen_err *err;
    enum gwen_status status;
};

static size_t head_rows(const struct gw_scorer_opts *o) {
    return o->keep_logits ? GW_MIN((size_t)HEAD_ROWS_KEEP, o->rows) : o->rows;
}

void gw_scorer_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                     const struct gw_scorer_opts *o, int n_threads, size_t *kv, size_t *scratch) {
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, format, cfg->n_layers, cfg->n_kv_heads, cfg->head_dim);
    *kv = gw_kv_bytes(&layout, o->n_blocks);
    *scratch = gw_workspace_bytes(cfg, format, o->rows, o->rows, o->max_len, n_threads) +
               gw_head_bytes(cfg, head_rows(o), o->keep_logits) + o->rows * sizeof(struct target);
}

enum gwen_status gw_scorer_create(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_scorer_opts *opts, struct gw_scorer **out,
                                  struct gwen_err *err) {
    const struct gw_config *c = &model->cfg;
    *out = NULL;
    if (opts->rows == 0 || opts->max_len == 0 ||
        !(opts->temperature >= 1e-6 && opts->temperature <= 1e6) ||
        opts->n_blocks < gw_kv_blocks_for(opts->max_len) + 1)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "scorer: bad sizes");
    if (opts->max_len > c->max_position_embeddings)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "a sequence of %zu tokens exceeds the model's context of %zu "
                       "(max_position_embeddings)",
                       opts->max_len, c->max_position_embeddings);
    struct gw_scorer *s = calloc(1, sizeof *s);
    if (s == NULL) return gw_nomem(err, sizeof *s, "the scorer");
    s->model = model;
    s->pool = pool;
    s->opts = *opts;
    s->head_rows = head_rows(opts);
    s->targets = malloc(opts->rows * sizeof *s->targets);
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, model->format, c->n_layers, c->n_kv_heads, c->head_dim);
    enum gwen_status status =
        s->targets == NULL ? gw_nomem(err, opts->rows * sizeof *s->targets, "the scorer") : GWEN_OK;
    const struct gw_kv_growth growth = {.budget = opts->budget,
                                        .n_first = gw_kv_blocks_for(opts->max_len) + 1};
    if (status == GWEN_OK)
        status = gw_kv_create_growing(&layout, opts->n_blocks, gw_kv_blocks_for(opts->max_len),
                                      &growth, &s->kv, err);
    if (status == GWEN_OK)
        status = gw_workspace_create(model, s->kv, pool, opts->rows, opts->rows, opts->max_len,
                                     &s->ws, err);
    if (status == GWEN_OK && opts->frozen) s->ws->lora = opts->lora;
    if (status == GWEN_OK)
        status = gw_head_create(model, pool, s->head_rows, opts->keep_logits, &s->head, err);
    if (status != GWEN_OK) {
        gw_scorer_free(s);
        return status;
    }
    *out = s;
    return GWEN_OK;
}

void gw_scorer_free(struct gw_scorer *s) {
    if (s == NULL) return;
    gw_head_free(s->head);
    gw_workspace_free(s->ws);
    gw_kv_free(s->kv);
    free(s->targets);
    free(s);
}

/* --- tasks ------------------------------------------------------------------------------- */

struct order {
    const struct gw_score_request *requests;
    size_t index;
};

/* Prompts that are equal become neighbours; ties keep input order. */
static int by_prompt(const void *pa, const void *pb) {
    const struct order *a = pa, *b = pb;
    const struct gw_score_request *ra = &a->requests[a->index], *rb = &b->requests[b->index];
    if (ra->from != rb->from) return ra->from < rb->from ? -1 : 1;
    int c = memcmp(ra->ids, rb->ids, ra->from * sizeof *ra->ids);
    if (c != 0) return c;
    return a->index < b->index ? -1 : 1;
}

static bool same_prompt(const struct gw_score_request *a, const struct gw_score_request *b) {
    return a->from == b->from && memcmp(a->ids, b->ids, a->from * sizeof *a->ids) == 0;
}

static struct task *add_task(struct gw_scorer *s, const int32_t *ids, size_t end,
                             struct task *prefix) {
    struct task *t = &s->tasks[s->n_tasks];
    *t = (struct task){.ids = ids, .end = end, .prefix = prefix};
    t->next = prefix == NULL ? 0 : prefix->end;
    t->seq.blocks = s->block_tables + s->n_table_entries;
    s->n_table_entries += gw_kv_blocks_for(end);
    s->n_tasks++;
    return t;
}

/* Blocks a task takes beside those it shares. */
static size_t own_blocks(const struct task *t) {
    return gw_kv_blocks_for(t->end) - (t->prefix == NULL ? 0 : t->prefix->end / GW_KV_BLOCK);
}

/* Where a request's tokens end: its last one predicts nothing that is asked for. */
static size_t end_of(const struct gw_scorer *s, const struct gw_score_request *r) {
    return s->want_last ? r->n : r->n - 1;
}

/* Tasks of requests order[0..n), which have the same prompt. */
static void add_group(struct gw_scorer *s, const struct order *order, size_t n) {
    const struct gw_score_request *first = &s->requests[order[0].index];
    struct task *prefix = NULL;
    if (n > 1 && first->from > 1) prefix = add_task(s, first->ids, first->from - 1, NULL);
    for (size_t i = 0; i < n; i++) {
        const struct gw_score_request *r = &s->requests[order[i].index];
        struct task *t = add_task(s, r->ids, end_of(s, r), prefix);
        t->request = order[i].index;
        if (prefix == NULL) continue;
        prefix->users++;
        prefix->user_blocks = GW_MAX(prefix->user_blocks, own_blocks(t));
    }
}

static enum gwen_status make_tasks(struct gw_scorer *s, size_t n) {
    size_t blocks = 0; /* a sequence and its prefix take no more than twice its own */
    for (size_t i = 0; i < n; i++) blocks += 2 * gw_kv_blocks_for(s->requests[i].n);
    struct order *order = malloc(n * sizeof *order);
    s->tasks = malloc(2 * n * sizeof *s->tasks);
    s->block_tables = malloc(blocks * sizeof *s->block_tables);
    if (order == NULL || s->tasks == NULL || s->block_tables == NULL) {
        free(order);
        return gw_nomem(s->err, 2 * n * sizeof *s->tasks, "scoring");
    }
    size_t used = 0;
    for (size_t i = 0; i < n; i++) /* those of which nothing is wanted need no work */
        if (end_of(s, &s->requests[i]) >= s->requests[i].from)
            order[used++] = (struct order){s->requests, i};
    qsort(order, used, sizeof *order, by_prompt);
    s->n_tasks = s->first_open = s->n_table_entries = 0;
    for (size_t i = 0, j; i < used; i = j) {
        for (j = i + 1;
             j < used && same_prompt(&s->requests[order[i].index], &s->requests[order[j].index]);)
            j++;
        add_group(s, order + i, j - i);
    }
    free(order);
    return GWEN_OK;
}

/* Free blocks that `t` may have: those not promised to running tasks, nor kept so that some
 * user of every other complete prefix can run. */
static size_t blocks_for_task(const struct gw_scorer *s, const struct task *t) {
    size_t promised = 0, free_blocks = gw_kv_free_blocks(s->kv);
    for (size_t i = s->first_open; i < s->n_tasks; i++) {
        const struct task *o = &s->tasks[i];
        if (o->state == RUNNING) promised += gw_kv_blocks_for(o->end) - o->seq.n_blocks;
        if (o->users > 0 && o->state != WAITING && o != t->prefix) promised += o->user_blocks;
    }
    return free_blocks > promised ? free_blocks - promised : 0;
}

/* Starts a waiting task if there is room for all it will ever need. */
static bool start_task(struct gw_scorer *s, struct task *t) {
    while (own_blocks(t) + t->user_blocks > blocks_for_task(s, t))
        if (!gw_kv_grow(s->kv)) return false;
    if (t->prefix != NULL) gw_kv_fork(s->kv, &t->prefix->seq, t->prefix->end, &t->seq);
    t->state = RUNNING;
    return true;
}

static void finish_task(struct gw_scorer *s, struct task *t) {
    if (t->users > 0) {
        t->state = HELD;
        return;
    }
    gw_kv_release(s->kv, &t->seq);
    t->state = CLOSED;
    if (t->prefix != NULL && --t->prefix->users == 0) finish_task(s, t->prefix);
}

/* --- steps --------------------------------------------------------------------------------- */

/* Rows of a task for this step; marks those whose prediction is wanted. */
static void add_rows(struct gw_scorer *s, struct task *t, size_t room) {
    size_t n = GW_MIN(room, t->end - t->next);
    s->status = gw_kv_extend(s->kv, &t->seq, n, s->err);
    if (s->status != GWEN_OK) return;
    gw_batch_add(&s->ws->batch, t->ids + t->next, n, &t->seq, t->next);
    t->next += n;
    if (t->users > 0) return;
    /* Position p predicts token p + 1, wanted from r->from on. */
    const struct gw_score_request *r = &s->requests[t->request];
    size_t first = GW_MAX(t->next - n + 1, r->from);
    if (first > t->next) return;
    for (size_t p = first; p <= t->next; p++)
        s->targets[s->ws->batch.n_out + (p - first)] = (struct target){t->request, p};
    gw_batch_want(&s->ws->batch, t->next + 1 - first);
}

static void compose(struct gw_scorer *s) {
    struct gw_batch *b = &s->ws->batch;
    gw_batch_clear(b);
    if (s->opts.progress != NULL && !s->opts.progress(s->opts.progress_ctx))
        s->status = gw_fail(s->err, GWEN_ERR_CANCELLED, "scoring: cancelled");
    for (size_t i = s->first_open; i < s->n_tasks; i++)
        if (s->tasks[i].state == RUNNING && s->tasks[i].next == s->tasks[i].end)
            finish_task(s, &s->tasks[i]);
    while (s->first_open < s->n_tasks && s->tasks[s->first_open].state == CLOSED) s->first_open++;
    for (size_t i = s->first_open; i < s->n_tasks && s->status == GWEN_OK; i++) {
        struct task *t = &s->tasks[i];
        if (b->n_rows == s->opts.rows) break;
        if (t->state == WAITING) {
            if (t->prefix != NULL && t->prefix->state != HELD) continue;
            /* In order: a task that needs much must not wait for ever. */
            if (!start_task(s, t)) break;
        }
        if (t->state == RUNNING) add_rows(s, t, s->opts.rows - b->n_rows);
    }
    s->go = s->status == GWEN_OK && b->n_rows > 0;
    if (!s->go && s->status == GWEN_OK && s->first_open < s->n_tasks)
        s->status = gw_fail(s->err, GWEN_ERR_INTERNAL, "scorer: a sequence cannot be started");
}

static void set_targets(struct gw_scorer *s, size_t first, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct target *t = &s->targets[first + i];
        const struct gw_score_request *r = &s->requests[t->request];
        s->head->temperature[i] = (float)s->opts.temperature;
        s->head->target[i] = t->t < r->n ? r->ids[t->t] : -1;
    }
}

static void take_results(struct gw_scorer *s, size_t first, size_t n) {
    const struct gw_head *h = s->head;
    for (size_t i = 0; i < n && s->status == GWEN_OK; i++) {
        const struct target *t = &s->targets[first + i];
        struct gw_score_request *r = &s->requests[t->request];
        if (!isfinite(h->max[i]) || !isfinite(h->log_sum_exp[i])) {
            s->status = gw_fail(s->err, GWEN_ERR_NUMERIC,
                                "the model's logits are not finite (position %zu): weights or "
                                "--dtype are at fault",
                                t->t);
            return;
        }
        if (t->t < r->n) r->logprobs[t->t - r->from] = gw_head_logprob(h, i, h->target_z[i]);
        if (s->logits != NULL) s->logits(s->ctx, t->request, t->t, h->z + i * h->z_stride);
    }
}

static void score_region(void *ctx, int thread, int n_threads) {
    struct gw_scorer *s = ctx;
    struct gw_workspace *ws = s->ws;
    size_t x_stride = gw_packed_x_stride(s->model->format, s->model->cfg.hidden);
    void *scratch = ws->scratch + (size_t)thread * ws->scratch_bytes;
    for (;;) {
        if (thread == 0) compose(s);
        gw_pool_barrier(s->pool);
        if (!s->go) return;
        const size_t n_out =
            ws->batch.n_out; /* thread 0 changes it after this step's last barrier */
        gw_forward(ws, thread, n_threads);
        gw_pool_barrier(s->pool);
        for (size_t i = 0, n; i < n_out; i += n) {
            n = GW_MIN(s->head_rows, n_out - i);
            if (thread == 0) set_targets(s, i, n);
            gw_pool_barrier(s->pool);
            gw_head_run(s->head, ws->head_x + i * x_stride, x_stride, n, scratch, thread);
            if (thread == 0) take_results(s, i, n);
            gw_pool_barrier(s->pool);
        }
    }
}

static enum gwen_status check_requests(const struct gw_scorer *s, size_t n) {
    size_t vocab = s->model->cfg.vocab_size;
    for (size_t i = 0; i < n; i++) {
        const struct gw_score_request *r = &s->requests[i];
        if (r->n == 0 || r->n > s->opts.max_len || r->from < 1 || r->from > r->n)
            return gw_fail(s->err, GWEN_ERR_ARGUMENT, "sequence %zu: %zu tokens", i, r->n);
        for (size_t t = 0; t < r->n; t++)
            if (r->ids[t] < 0 || (size_t)r->ids[t] >= vocab)
                return gw_fail(s->err, GWEN_ERR_ARGUMENT,
                               "token id %d is not below the vocabulary size %zu", (int)r->ids[t],
                               vocab);
    }
    return GWEN_OK;
}

enum gwen_status gw_scorer_run(struct gw_scorer *s, struct gw_score_request *requests, size_t n,
                               bool want_last, gw_score_logits *logits, void *ctx,
                               struct gwen_err *err) {
    if (n == 0) return GWEN_OK;
    s->requests = requests;
    s->want_last = want_last;
    s->logits = s->opts.keep_logits ? logits : NULL;
    s->ctx = ctx;
    s->err = err;
    s->status = check_requests(s, n);
    if (s->status == GWEN_OK) s->status = make_tasks(s, n);
    if (s->status == GWEN_OK) {
        gw_pool_run(s->pool, score_region, s);
        gw_kv_copies_done(s->kv);
        for (size_t i = 0; i < s->n_tasks; i++) gw_kv_release(s->kv, &s->tasks[i].seq);
    }
    free(s->tasks);
    free(s->block_tables);
    s->tasks = NULL;
    s->block_tables = NULL;
    return s->status;
}
