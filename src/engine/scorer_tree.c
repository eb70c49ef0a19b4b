/* scorer_tree.c - the tree of beginnings that requests share (scorer_tree.h).
 *
 * Requests are sorted by their ids, so that those with a common beginning are neighbours; how much
 * neighbours have in common then says where the tree branches.  A branch is made where it saves
 * MIN_SHARED tokens: less would only have its users wait for it.  What is shared changes no
 * result. */
#include "engine/scorer_tree.h"

#include <stdlib.h>
#include <string.h>

enum { MIN_SHARED = 8 };

struct order {
    const struct gw_score_request *request;
    size_t share;  /* ids that others may have in common with it: no prediction is wanted there */
    size_t common; /* ids that it has in common with the one before it */
};

/* Equal beginnings become neighbours; ties keep input order. */
static int by_ids(const void *pa, const void *pb) {
    const struct order *a = pa, *b = pb;
    size_t n = GW_MIN(a->share, b->share);
    int c = memcmp(a->request->ids, b->request->ids, n * sizeof *a->request->ids);
    if (c != 0) return c;
    if (a->share != b->share) return a->share < b->share ? -1 : 1;
    return a->request < b->request ? -1 : 1;
}

static size_t common_ids(const struct order *a, const struct order *b) {
    size_t n = GW_MIN(a->share, b->share), i = 0;
    while (i < n && a->request->ids[i] == b->request->ids[i]) i++;
    return i;
}

size_t gw_scorer_own_blocks(const struct gw_score_task *t) {
    return gw_kv_blocks_for(t->last) - (t->prefix == NULL ? 0 : t->prefix->end / GW_KV_BLOCK);
}

/* Positions of a request that have to be run: the last token predicts nothing that is asked for,
 * unless the request is continued. */
static size_t end_of(const struct gw_scorer *s, const struct gw_score_request *r) {
    return s->want_last || r->max_new > 0 ? r->n : r->n - 1;
}

static struct gw_score_task *add_task(struct gw_scorer *s, const int32_t *ids, size_t end,
                                      size_t last, struct gw_score_task *prefix) {
    struct gw_score_task *t = &s->tasks[s->n_tasks++];
    *t = (struct gw_score_task){.ids = ids, .end = end, .last = last, .prefix = prefix};
    t->next = prefix == NULL ? 0 : prefix->end;
    t->seq.blocks = s->block_tables + s->n_table_entries;
    s->n_table_entries += gw_kv_blocks_for(last);
    if (prefix != NULL) prefix->users++;
    return t;
}

static void add_request(struct gw_scorer *s, const struct gw_score_request *r,
                        struct gw_score_task *prefix) {
    size_t index = (size_t)(r - s->requests), end = end_of(s, r);
    /* The last token drawn is never run. */
    struct gw_score_task *t =
        add_task(s, r->ids, end, r->max_new > 0 ? r->n + r->max_new - 1 : end, prefix);
    t->request = &s->requests[index];
    t->index = index;
}

/* Tasks of n neighbours that all begin with the prefix' ids; at most `depth` prefixes more. */
static void add_branch(struct gw_scorer *s, const struct order *order, size_t n,
                       struct gw_score_task *prefix, size_t depth) {
    size_t base = prefix == NULL ? 0 : prefix->end;
    for (size_t i = 0, j; i < n; i = j) {
        size_t least = SIZE_MAX;
        for (j = i + 1; depth > 0 && j < n && order[j].common >= base + MIN_SHARED; j++)
            least = GW_MIN(least, order[j].common);
        if (j == i + 1)
            add_request(s, order[i].request, prefix);
        else
            add_branch(s, order + i, j - i,
                       add_task(s, order[i].request->ids, least, least, prefix), depth - 1);
    }
}

/* What must stay free for the users of each prefix, from the leaves to the roots. */
static void add_reserves(struct gw_scorer *s) {
    for (size_t i = s->n_tasks; i-- > 0;) {
        const struct gw_score_task *t = &s->tasks[i];
        if (t->prefix == NULL) continue;
        t->prefix->reserve = GW_MAX(t->prefix->reserve, gw_scorer_own_blocks(t) + t->reserve);
    }
}

/* Each prefix may end in a block of its own that is shared in part: a chain takes one more for
 * each. */
static size_t max_depth(const struct gw_scorer *s) {
    if (s->opts.no_sharing) return 0;
    size_t spare = s->opts.n_blocks - gw_kv_blocks_for(s->opts.max_len);
    return GW_MIN(spare, (size_t)GW_SCORER_DEPTH);
}

enum gwen_status gw_scorer_make_tasks(struct gw_scorer *s, size_t n) {
    size_t blocks =
        0; /* there are fewer prefixes than requests, none longer than all of its users */
    for (size_t i = 0; i < n; i++)
        blocks += 2 * gw_kv_blocks_for(s->requests[i].n + s->requests[i].max_new);
    struct order *order = malloc(n * sizeof *order);
    s->tasks = malloc(2 * n * sizeof *s->tasks);
    s->block_tables = malloc(blocks * sizeof *s->block_tables);
    if (order == NULL || s->tasks == NULL || s->block_tables == NULL) {
        free(order);
        return gw_nomem(s->err, 2 * n * sizeof *s->tasks, "scoring");
    }
    size_t used = 0;
    for (size_t i = 0; i < n; i++) { /* those of which nothing is wanted need no work */
        const struct gw_score_request *r = &s->requests[i];
        if (end_of(s, r) >= r->from) order[used++] = (struct order){r, r->from - 1, 0};
    }
    qsort(order, used, sizeof *order, by_ids);
    for (size_t i = 1; i < used; i++) order[i].common = common_ids(&order[i - 1], &order[i]);
    s->n_tasks = s->first_open = s->n_table_entries = 0;
    add_branch(s, order, used, NULL, max_depth(s));
    add_reserves(s);
    free(order);
    return GWEN_OK;
}
