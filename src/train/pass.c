/* pass.c - cutting a call into passes: which samples go through the model together.
 *
 * Whole groups are taken while they fit; a group that does not fit by itself is split between
 * samples.  Nothing that is computed depends on the cuts. */
#include "train/impl.h"

/* Tokens of the group's prompt that its samples share. */
static size_t shared_tokens(const struct gw_trainer_opts *o, const struct gw_train_group *g) {
    return o->share_prompts && g->n_samples > 1 ? g->n_prompt - 1 : 0;
}

static size_t rows_of(const struct gw_train_group *g, size_t shared, size_t sample) {
    return g->n_prompt - 1 - shared + g->samples[sample].n;
}

size_t gw_trainer_min_rows(const struct gw_trainer_opts *o) { return o->max_len; }

enum gwen_status gw_train_check(const struct gw_trainer *t, struct gwen_err *err) {
    const size_t vocab = t->model->cfg.vocab_size;
    size_t tokens = t->embed.n;
    for (size_t i = 0; i < t->call.n_groups; i++) {
        const struct gw_train_group *g = &t->call.groups[i];
        const size_t shared = shared_tokens(&t->opts, g);
        if (g->n_prompt == 0 || shared > t->opts.max_prompt)
            return gw_fail(err, GWEN_ERR_ARGUMENT, "group %zu: a prompt of %zu tokens", i,
                           g->n_prompt);
        tokens += shared;
        for (size_t p = 0; p < g->n_prompt; p++)
            if (g->prompt[p] < 0 || (size_t)g->prompt[p] >= vocab)
                return gw_fail(err, GWEN_ERR_ARGUMENT,
                               "token id %d is not below the vocabulary size %zu",
                               (int)g->prompt[p], vocab);
        for (size_t s = 0; s < g->n_samples; s++) {
            const struct gw_train_sample *c = &g->samples[s];
            if (c->n == 0 || g->n_prompt + c->n > t->opts.max_len)
                return gw_fail(err, GWEN_ERR_ARGUMENT,
                               "group %zu, sample %zu: %zu + %zu tokens, planned for at most %zu",
                               i, s, g->n_prompt, c->n, t->opts.max_len);
            tokens += rows_of(g, shared, s);
            for (size_t p = 0; p < c->n; p++)
                if (c->ids[p] < 0 || (size_t)c->ids[p] >= vocab)
                    return gw_fail(err, GWEN_ERR_ARGUMENT,
                                   "token id %d is not below the vocabulary size %zu",
                                   (int)c->ids[p], vocab);
        }
    }
    if (t->call.backward && tokens > t->opts.max_step_tokens)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%zu tokens in one step, planned for at most %zu",
                       tokens, t->opts.max_step_tokens);
    return GWEN_OK;
}

/* --- choosing ------------------------------------------------------------------------------- */

/* Rows and samples of a whole group. */
static size_t group_rows(const struct gw_trainer_opts *o, const struct gw_train_group *g) {
    const size_t shared = shared_tokens(o, g);
    size_t rows = shared;
    for (size_t s = 0; s < g->n_samples; s++) rows += rows_of(g, shared, s);
    return rows;
}

/* The samples [0, s1) of groups [next_group, g1), or those [next_sample, s1) of one group. */
static void choose(const struct gw_trainer_opts *o, const struct gw_train_call *call, size_t *g1,
                   size_t *s1) {
    const struct gw_train_group *g = &call->groups[call->next_group];
    size_t rows = 0, samples = 0;
    *g1 = call->next_group;
    *s1 = 0;
    while (call->next_sample == 0 && *g1 < call->n_groups) {
        const struct gw_train_group *whole = &call->groups[*g1];
        rows += group_rows(o, whole);
        samples += whole->n_samples;
        if (rows > o->max_rows || samples > o->micro_batch) break;
        (*g1)++;
    }
    if (*g1 > call->next_group) return;
    const size_t shared = shared_tokens(o, g);
    rows = shared;
    for (*s1 = call->next_sample; *s1 < g->n_samples; (*s1)++) {
        rows += rows_of(g, shared, *s1);
        if (*s1 > call->next_sample &&
            (rows > o->max_rows || *s1 - call->next_sample == o->micro_batch))
            break;
    }
}

/* --- segments ------------------------------------------------------------------------------- */

/* The next segment; its n rows follow those there are. */
static struct gw_train_seg *add_seg(struct gw_train_pass *p, size_t max_blocks, size_t group,
                                    size_t sample, size_t n) {
    struct gw_train_seg *seg = &p->segs[p->n_segs];
    *seg =
        (struct gw_train_seg){.rows = {p->n_rows, p->n_rows + n}, .group = group, .sample = sample};
    seg->seq.blocks = p->block_tables + p->n_segs * max_blocks;
    p->n_segs++;
    p->n_rows += n;
    return seg;
}

/* The prompt's segment is the first of a pass; after the group's first pass it is there already. */
static void add_prompt(struct gw_trainer *t, size_t group, bool keep) {
    const size_t shared = shared_tokens(&t->opts, &t->call.groups[group]);
    struct gw_train_pass *p = &t->pass;
    if (shared == 0) return;
    if (keep) {
        p->n_segs = 1;
        p->n_rows += shared;
    } else {
        add_seg(p, gw_kv_max_blocks(t->kv), group, 0, shared);
    }
    p->n_prefix_segs++;
}

static void add_samples(struct gw_trainer *t, size_t group, size_t s0, size_t s1, size_t prompt) {
    const struct gw_train_group *g = &t->call.groups[group];
    const size_t shared = shared_tokens(&t->opts, g);
    struct gw_train_pass *p = &t->pass;
    struct gw_train_part *part = &p->parts[p->n_parts++];
    *part = (struct gw_train_part){.prompt = shared > 0 ? prompt : SIZE_MAX,
                                   .samples = {p->n_segs, p->n_segs + (s1 - s0)},
                                   .split = s0 > 0 || s1 < g->n_samples,
                                   .first = s0 == 0,
                                   .last = s1 == g->n_samples};
    for (size_t s = s0; s < s1; s++) {
        struct gw_train_seg *seg =
            add_seg(p, gw_kv_max_blocks(t->kv), group, s, rows_of(g, shared, s));
        seg->position = seg->prefix = shared;
        p->spans[p->n_spans++] = seg->rows;
    }
    if (part->prompt != SIZE_MAX && part->last) p->spans[p->n_spans++] = p->segs[prompt].rows;
}

void gw_train_next_pass(struct gw_trainer *t) {
    struct gw_train_pass *p = &t->pass;
    struct gw_train_call *call = &t->call;
    const bool keep = call->next_sample > 0; /* the group goes on */
    p->n_segs = p->n_parts = p->n_spans = p->n_prefix_segs = p->n_rows = 0;
    p->go = false;
    while (call->next_group < call->n_groups && call->groups[call->next_group].n_samples == 0)
        call->next_group++;
    if (call->status != GWEN_OK || call->next_group == call->n_groups) return;
    size_t g1, s1;
    choose(&t->opts, call, &g1, &s1);
    const bool part = g1 == call->next_group;
    const size_t end = part ? g1 + 1 : g1;
    for (size_t g = call->next_group; g < end; g++) add_prompt(t, g, keep);
    p->n_prefix_rows = p->n_rows;
    for (size_t g = call->next_group, prompt = 0; g < end; g++) {
        const size_t n = call->groups[g].n_samples;
        if (n == 0) continue;
        add_samples(t, g, part ? call->next_sample : 0, part ? s1 : n, prompt);
        prompt += shared_tokens(&t->opts, &call->groups[g]) > 0;
    }
    const struct gw_train_part *last = &p->parts[p->n_parts - 1];
    p->first_row = last->last ? 0 : p->n_prefix_rows;
    call->next_group = last->last ? end : call->next_group;
    call->next_sample = last->last ? 0 : s1;
    p->go = true;
}

void gw_train_end_pass(struct gw_trainer *t) {
    const bool keep = t->call.next_sample > 0 && t->call.status == GWEN_OK;
    for (size_t i = t->pass.n_segs; i-- > (keep ? t->pass.n_prefix_segs : 0);)
        gw_kv_release(t->kv, &t->pass.segs[i].seq);
}

/* --- batches -------------------------------------------------------------------------------- */

/* The n rows of a segment as tokens: the prompt from `position` on, then the completion. */
static void add_rows(struct gw_trainer *t, const struct gw_train_seg *seg) {
    const struct gw_train_group *g = &t->call.groups[seg->group];
    struct gw_batch *b = &t->ws->batch;
    const size_t n = seg->rows.end - seg->rows.begin;
    /* gw_batch_add wants the tokens of a run side by side: they are put where it copies them to. */
    int32_t *tokens = b->tokens + b->n_rows;
    for (size_t i = 0; i < n; i++) {
        const size_t p = seg->position + i;
        tokens[i] = p < g->n_prompt ? g->prompt[p] : g->samples[seg->sample].ids[p - g->n_prompt];
    }
    gw_batch_add(b, tokens, n, &seg->seq, seg->position);
}

static void extend(struct gw_trainer *t, struct gw_train_seg *seg) {
    if (t->call.status == GWEN_OK)
        t->call.status =
            gw_kv_extend(t->kv, &seg->seq, seg->rows.end - seg->rows.begin, t->call.err);
}

void gw_train_batch_prompts(struct gw_trainer *t) {
    gw_batch_clear(&t->ws->batch);
    if (t->pass.n_parts > 0 && t->pass.parts[0].split && !t->pass.parts[0].first)
        return; /* run already */
    for (size_t i = 0; i < t->pass.n_prefix_segs; i++) {
        extend(t, &t->pass.segs[i]);
        add_rows(t, &t->pass.segs[i]);
    }
}

/* Output rows of a sample: those whose next token is wanted. */
static void want_rows(struct gw_trainer *t, const struct gw_train_seg *seg,
                      struct gw_span *places) {
    const struct gw_train_group *g = &t->call.groups[seg->group];
    const struct gw_train_sample *s = &g->samples[seg->sample];
    struct gw_batch *b = &t->ws->batch;
    const size_t first = seg->rows.end - s->n; /* the row that predicts ids[0] */
    places->begin = b->n_out;
    for (size_t i = 0; i < s->n; i++) {
        if (s->want != NULL && !s->want[i]) continue;
        t->out.rows[b->n_out] = first + i;
        t->out.targets[b->n_out] = s->ids[i];
        b->out_rows[b->n_out++] = first + i - t->pass.n_prefix_rows;
    }
    places->end = b->n_out;
}

void gw_train_batch_samples(struct gw_trainer *t) {
    gw_batch_clear(&t->ws->batch);
    for (size_t p = 0; p < t->pass.n_parts; p++) {
        const struct gw_train_part *part = &t->pass.parts[p];
        for (size_t i = part->samples.begin; i < part->samples.end; i++) {
            struct gw_train_seg *seg = &t->pass.segs[i];
            if (part->prompt != SIZE_MAX)
                gw_kv_fork(t->kv, &t->pass.segs[part->prompt].seq, seg->prefix, &seg->seq);
            extend(t, seg);
            add_rows(t, seg);
            want_rows(t, seg, &t->out.spans[i]);
        }
    }
    t->out.n = t->ws->batch.n_out;
}

void gw_train_batch_all(struct gw_trainer *t) {
    gw_batch_clear(&t->ws->batch);
    for (size_t i = t->pass.first_row == 0 ? 0 : t->pass.n_prefix_segs; i < t->pass.n_segs; i++)
        add_rows(t, &t->pass.segs[i]);
}
