/* scorer.c - see scorer.h; which tasks there are is scorer_tree.c's business. */
#include "engine/scorer_tree.h"

#include "base/knob.h"
#include "base/layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_ROWS_KEEP = 32 };

static size_t head_rows(const struct gw_scorer_opts *o) {
    return o->keep_logits ? GW_MIN((size_t)HEAD_ROWS_KEEP, o->rows) : o->rows;
}

static void lay_out(struct gw_layout *l, const struct gw_scorer_opts *o, struct gw_scorer *s) {
    s->head_rows = head_rows(o);
    s->targets = gw_layout_take(l, o->rows, sizeof *s->targets);
    s->greedy = gw_layout_take(l, s->head_rows, sizeof *s->greedy);
    s->eos = gw_layout_take(l, o->eos.n, sizeof *s->eos);
}

static size_t table_bytes(const struct gw_scorer_opts *o) {
    struct gw_layout plan = {0};
    struct gw_scorer unused;
    lay_out(&plan, o, &unused);
    return plan.used;
}

void gw_scorer_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                     const struct gw_scorer_opts *o, int n_threads, size_t *kv, size_t *scratch) {
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, format, cfg->n_layers, cfg->n_kv_heads, cfg->head_dim);
    *kv = gw_kv_bytes(&layout, o->n_blocks);
    *scratch = gw_workspace_bytes(cfg, format, o->rows, o->rows, o->max_len, n_threads) +
               gw_head_bytes(cfg, head_rows(o), o->keep_logits) + table_bytes(o);
}

static enum gwen_status create_tables(struct gw_scorer *s, struct gwen_err *err) {
    const struct gw_scorer_opts *o = &s->opts;
    struct gw_layout l;
    GW_TRY(gw_layout_map(&l, table_bytes(o), &s->memory, err));
    lay_out(&l, o, s);
    if (o->eos.n > 0) memcpy(s->eos, o->eos.ids, o->eos.n * sizeof *s->eos);
    s->opts.eos.ids = s->eos;
    return gw_layout_end(&l, "the scorer", err);
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
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, model->arith.format, c->n_layers, c->n_kv_heads, c->head_dim);
    enum gwen_status status = create_tables(s, err);
    const struct gw_kv_growth growth = {
        .budget = opts->budget, .n_first = gw_kv_blocks_for(opts->max_len) + GW_SCORER_DEPTH};
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
    gw_mem_unmap(&s->memory);
    free(s);
}

/* --- running tasks -------------------------------------------------------------------------- */

/* Whether what is kept for the users of `prefix` is there for t. */
static bool hangs_on(const struct gw_score_task *t, const struct gw_score_task *prefix) {
    while (t != NULL && t != prefix) t = t->prefix;
    return t != NULL;
}

/* Free blocks that `t` may have: those not promised to running tasks, nor kept so that some
 * user of every other complete prefix can run. */
static size_t blocks_for_task(const struct gw_scorer *s, const struct gw_score_task *t) {
    size_t promised = 0, free_blocks = gw_kv_free_blocks(s->kv);
    for (size_t i = s->first_open; i < s->n_tasks; i++) {
        const struct gw_score_task *o = &s->tasks[i];
        if (o->state == GW_TASK_RUNNING) promised += gw_kv_blocks_for(o->last) - o->seq.n_blocks;
        if (o->users > 0 && o->state != GW_TASK_WAITING && !hangs_on(t, o)) promised += o->reserve;
    }
    return free_blocks > promised ? free_blocks - promised : 0;
}

/* Starts a waiting task if there is room for all it will ever need. */
static bool start_task(struct gw_scorer *s, struct gw_score_task *t) {
    while (gw_scorer_own_blocks(t) + t->reserve > blocks_for_task(s, t))
        if (!gw_kv_grow(s->kv)) return false;
    if (t->prefix != NULL) gw_kv_fork(s->kv, &t->prefix->seq, t->prefix->end, &t->seq);
    t->state = GW_TASK_RUNNING;
    return true;
}

static void finish_task(struct gw_scorer *s, struct gw_score_task *t) {
    if (t->users > 0) {
        t->state = GW_TASK_HELD;
        return;
    }
    gw_kv_release(s->kv, &t->seq);
    t->state = GW_TASK_CLOSED;
    if (t->prefix != NULL && --t->prefix->users == 0) finish_task(s, t->prefix);
}

/* --- steps ---------------------------------------------------------------------------------- */

/* Rows of a task for this step; marks those whose prediction is wanted. */
static void add_rows(struct gw_scorer *s, struct gw_score_task *t, size_t room) {
    size_t n = GW_MIN(room, t->end - t->next);
    s->status = gw_kv_extend(s->kv, &t->seq, n, s->err);
    if (s->status != GWEN_OK) return;
    const struct gw_score_request *r = t->request;
    const int32_t *ids = r == NULL || t->next < r->n ? t->ids + t->next : r->out + (t->next - r->n);
    gw_batch_add(&s->ws->batch, ids, n, &t->seq, t->next);
    t->next += n;
    if (r == NULL) return;
    /* Position p predicts token p + 1, wanted from r->from on. */
    size_t first = GW_MAX(t->next - n + 1, r->from);
    if (first > t->next) return;
    for (size_t p = first; p <= t->next; p++)
        s->targets[s->ws->batch.n_out + (p - first)] = (struct gw_score_target){t, p};
    gw_batch_want(&s->ws->batch, t->next + 1 - first);
}

static void compose(struct gw_scorer *s) {
    struct gw_batch *b = &s->ws->batch;
    gw_batch_clear(b);
    if (s->opts.progress != NULL && !s->opts.progress(s->opts.progress_ctx))
        s->status = gw_fail(s->err, GWEN_ERR_CANCELLED, "scoring: cancelled");
    for (size_t i = s->first_open; i < s->n_tasks; i++)
        if (s->tasks[i].state == GW_TASK_RUNNING && s->tasks[i].next == s->tasks[i].end)
            finish_task(s, &s->tasks[i]);
    while (s->first_open < s->n_tasks && s->tasks[s->first_open].state == GW_TASK_CLOSED)
        s->first_open++;
    for (size_t i = s->first_open; i < s->n_tasks && s->status == GWEN_OK; i++) {
        struct gw_score_task *t = &s->tasks[i];
        if (b->n_rows == s->opts.rows) break;
        if (t->state == GW_TASK_WAITING) {
            if (t->prefix != NULL && t->prefix->state != GW_TASK_HELD) continue;
            /* In order: a task that needs much must not wait for ever. */
            if (!start_task(s, t)) break;
        }
        if (t->state == GW_TASK_RUNNING) add_rows(s, t, s->opts.rows - b->n_rows);
    }
    s->go = s->status == GWEN_OK && b->n_rows > 0;
    if (!s->go && s->status == GWEN_OK && s->first_open < s->n_tasks)
        s->status = gw_fail(s->err, GWEN_ERR_INTERNAL, "scorer: a sequence cannot be started");
}

static void set_targets(struct gw_scorer *s, size_t first, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct gw_score_target *t = &s->targets[first + i];
        const struct gw_score_request *r = t->task->request;
        s->head->temperature[i] = (float)s->opts.temperature;
        s->head->target[i] = t->position < r->n ? r->ids[t->position] : -1;
    }
}

/* Adds a token to a request that is continued; unless the token ends it, it is run next. */
static void take_token(const struct gw_scorer *s, struct gw_score_task *t, int32_t id) {
    struct gw_score_request *r = t->request;
    r->out[r->n_new++] = id;
    r->stopped = gw_eos_has(s->opts.eos, id);
    if (!r->stopped && r->n_new < r->max_new)
        t->end++;
    else if (s->opts.done != NULL)
        s->opts.done(s->opts.done_ctx, t->index);
}

static void take_results(struct gw_scorer *s, size_t first, size_t n) {
    const struct gw_head *h = s->head;
    for (size_t i = 0; i < n && s->status == GWEN_OK; i++) {
        const struct gw_score_target *t = &s->targets[first + i];
        struct gw_score_request *r = t->task->request;
        if (!isfinite(h->max[i]) || !isfinite(h->log_sum_exp[i])) {
            s->status = gw_fail(s->err, GWEN_ERR_NUMERIC,
                                "the model's logits are not finite (position %zu): weights or "
                                "%s are at fault",
                                t->position, gw_knob(GW_KNOB_DTYPE));
            return;
        }
        if (t->position < r->n)
            r->logprobs[t->position - r->from] = gw_head_logprob(h, i, h->target_z[i]);
        if (t->position >= r->n && r->max_new > 0) take_token(s, t->task, s->greedy[i]);
        if (s->logits != NULL)
            s->logits(s->ctx, t->task->index, t->position, h->z + i * h->z_stride);
    }
}

/* The likeliest next token of each row that is continued. */
static void pick_tokens(struct gw_scorer *s, size_t first, size_t n, int thread) {
    const struct gw_head *h = s->head;
    for (size_t i; gw_pool_next(s->pool, thread, n, &i);) {
        const struct gw_score_target *t = &s->targets[first + i];
        if (t->position < t->task->request->n || t->task->request->max_new == 0) continue;
        const float *z = h->z + i * h->z_stride;
        s->greedy[i] = (int32_t)s->model->kern.argmax(z, s->model->cfg.vocab_size);
    }
}

static void score_region(void *ctx, int thread, int n_threads) {
    struct gw_scorer *s = ctx;
    struct gw_workspace *ws = s->ws;
    size_t x_stride = gw_packed_x_stride(s->model->arith.format, s->model->cfg.hidden);
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
            if (s->continues) {
                pick_tokens(s, i, n, thread);
                gw_pool_barrier(s->pool);
            }
            if (thread == 0) take_results(s, i, n);
            gw_pool_barrier(s->pool);
        }
    }
}

static enum gwen_status check_requests(const struct gw_scorer *s, size_t n) {
    size_t vocab = s->model->cfg.vocab_size;
    for (size_t i = 0; i < n; i++) {
        const struct gw_score_request *r = &s->requests[i];
        if (r->n == 0 || r->n > s->opts.max_len || r->from < 1 || r->from > r->n ||
            (r->max_new > 0 && (!s->opts.keep_logits || r->max_new - 1 > s->opts.max_len - r->n)))
            return gw_fail(s->err, GWEN_ERR_ARGUMENT, "sequence %zu: %zu + %zu tokens", i, r->n,
                           r->max_new);
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
    GW_TRY(gw_pool_check_free(s->pool, err));
    s->requests = requests;
    s->want_last = want_last;
    s->logits = s->opts.keep_logits ? logits : NULL;
    s->ctx = ctx;
    s->err = err;
    s->status = check_requests(s, n);
    s->continues = false;
    for (size_t i = 0; i < n; i++) {
        requests[i].n_new = 0;
        requests[i].stopped = false;
        s->continues |= requests[i].max_new > 0;
    }
    if (s->status == GWEN_OK) s->status = gw_scorer_make_tasks(s, n);
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
