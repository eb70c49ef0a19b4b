/* sampler.c - see sampler.h.  Without truncation a draw costs one walk over block sums and one
 * over a single block; with it, a heap of the vocabulary from which only the survivors are
 * popped. */
#include "model/sampler.h"

#include "base/layout.h"
#include "ref/math.h"

#include <math.h>
#include <string.h>

enum gwen_status gw_sampling_check(const struct gw_sampling *s, struct gwen_err *err) {
    /* Below 1e-4 logits / temperature could overflow; nobody can tell it from greedy. */
    if (!(s->temperature == 0 || (s->temperature >= 1e-4 && s->temperature <= 1e4)))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "temperature: %g is neither 0 (greedy) nor between 0.0001 and 10000",
                       s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "top-p: %g is not in (0, 1]", s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "min-p: %g is not in [0, 1]", s->min_p);
    if (!(s->repetition_penalty > 0 && s->repetition_penalty <= 1e4))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "repetition-penalty: %g is not in (0, 10000]",
                       s->repetition_penalty);
    return GWEN_OK;
}

float gw_sampling_temperature(const struct gw_sampling *s) {
    return s->temperature > 0 ? (float)s->temperature : 1.0f;
}

struct candidate {
    float z;
    int32_t id;
};

/* What a draw needs. */
struct work {
    float *z; /* [vocab] penalised */
    struct candidate *candidates;
};

static void lay_out(struct gw_layout *l, size_t vocab, struct work *w) {
    w->z = gw_layout_take(l, vocab, sizeof *w->z);
    w->candidates = gw_layout_take(l, vocab, sizeof *w->candidates);
}

size_t gw_sampler_scratch_bytes(size_t vocab) {
    struct gw_layout plan = {0};
    struct work unused;
    lay_out(&plan, vocab, &unused);
    return plan.used;
}

/* The whole distribution: block by block, then token by token inside the block that u hits. */
static int32_t draw_plain(const struct gw_head *h, size_t row, double u) {
    const float *z = h->z + row * h->z_stride;
    const float *m = h->block_max + row * h->n_blocks, *s = h->block_sum + row * h->n_blocks;
    const float *w = h->block_weight + row * h->n_blocks;
    double target = u * h->sum[row], cum = 0;
    size_t last = 0, b;
    for (b = 0; b < h->n_blocks; b++) {
        double mass = (double)s[b] * (double)w[b];
        if (mass > 0) last = b;
        if (cum + mass > target) break;
        cum += mass;
    }
    if (b == h->n_blocks) b = last; /* rounding at u next to 1 */
    double left = (target - cum) / (double)w[b];
    size_t begin = b * GW_VOCAB_BLOCK;
    size_t end = GW_MIN(begin + GW_VOCAB_BLOCK, h->model->cfg.vocab_size), pick = begin;
    for (size_t i = begin; i < end; i++) {
        double p = (double)gwen_exp(z[i] - m[b]);
        if (p > 0) pick = i;
        left -= p;
        if (left < 0) break;
    }
    return (int32_t)pick;
}

static bool better(const struct candidate *a, const struct candidate *b) {
    return a->z > b->z || (a->z == b->z && a->id < b->id);
}

static void sift_down(struct candidate *heap, size_t n, size_t i) {
    struct candidate moved = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && better(&heap[child + 1], &heap[child])) child++;
        if (!better(&heap[child], &moved)) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* Takes the best of a heap of n and returns it; it stays behind the heap, at heap[n - 1]. */
static struct candidate pop(struct candidate *heap, size_t n) {
    struct candidate best = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = best;
    if (n > 1) sift_down(heap, n - 1, 0);
    return best;
}

/* Sorts the survivors of top-k, top-p and min-p to the end of the array, best last, and returns
 * how many there are.  *mass is their weight, where a candidate weighs exp(z - z_best). */
static size_t keep_best(struct candidate *heap, size_t n, const struct gw_sampling *s,
                        double *mass) {
    float best = heap[0].z, kth = INFINITY;
    const struct candidate *first = heap + n - 1; /* first[-i] is the i-th best */
    size_t sorted = 0, limit = n, used = 0;
    double total = 0; /* weight after top-k, which top-p refers to */
    if (s->top_k > 0) {
        /* transformers keeps all tokens that tie with the k-th. */
        while (sorted < n && (sorted < s->top_k || heap[0].z == kth)) {
            kth = pop(heap, n - sorted++).z;
            total += (double)gwen_exp(kth - best);
        }
        limit = sorted;
    } else if (s->top_p < 1) {
        for (size_t i = 0; i < n; i++) total += (double)gwen_exp(heap[i].z - best);
    }
    for (*mass = 0; used < limit; used++) {
        if (used == sorted) pop(heap, n - sorted++);
        double weight = (double)gwen_exp(first[-(ptrdiff_t)used].z - best);
        /* A token stays while the mass of better ones is below p. */
        if (used > 0 && s->top_p < 1 && *mass >= s->top_p * total) break;
        if (used > 0 && weight < s->min_p) break;
        *mass += weight;
    }
    return used;
}

static int32_t draw_truncated(const float *z, size_t vocab, const struct gw_sampling *s, double u,
                              struct candidate *c) {
    for (size_t i = 0; i < vocab; i++) c[i] = (struct candidate){z[i], (int32_t)i};
    for (size_t i = vocab / 2; i-- > 0;) sift_down(c, vocab, i);
    float best = c[0].z;
    double mass;
    size_t used = keep_best(c, vocab, s, &mass);
    const struct candidate *first = c + vocab - 1;
    double left = u * mass;
    for (size_t i = 0; i < used; i++) {
        left -= (double)gwen_exp(first[-(ptrdiff_t)i].z - best);
        if (left < 0) return first[-(ptrdiff_t)i].id;
    }
    return first[-(ptrdiff_t)(used - 1)].id;
}

/* All tokens of a row whose statistics are not at hand. */
static int32_t draw_flat(const struct gwen_kernels *kern, const float *z, size_t vocab, double u) {
    float max = kern->max(z, vocab);
    double total = 0;
    for (size_t i = 0; i < vocab; i++) total += (double)gwen_exp(z[i] - max);
    double left = u * total;
    size_t pick = 0;
    for (size_t i = 0; i < vocab; i++) {
        double p = (double)gwen_exp(z[i] - max);
        if (p > 0) pick = i;
        left -= p;
        if (left < 0) break;
    }
    return (int32_t)pick;
}

/* z with the penalty: divided where positive, multiplied where negative.  The penalty is meant
 * for logits before the temperature; both are linear, so the order does not matter. */
static void penalise(float *out, const float *z, size_t vocab, double penalty,
                     const uint64_t *seen) {
    memcpy(out, z, vocab * sizeof *z);
    for (size_t word = 0; word < gw_seen_words(vocab); word++)
        for (uint64_t bits = seen[word]; bits != 0; bits &= bits - 1) {
            float *v = out + word * 64 + (size_t)__builtin_ctzll(bits);
            *v = *v > 0 ? *v / (float)penalty : *v * (float)penalty;
        }
}

int32_t gw_sample(const struct gw_head *h, size_t row, const struct gw_sampling *s, double u,
                  const uint64_t *seen, void *scratch, float *logprob) {
    size_t vocab = h->model->cfg.vocab_size;
    const float *z = h->z + row * h->z_stride;
    /* sum >= 1 for finite logits; a NaN spoils it, an infinity spoils M. */
    if (!isfinite(h->max[row]) || !(h->sum[row] >= 0.5) || !isfinite(h->sum[row])) return -1;
    bool penalty = s->repetition_penalty != 1 && seen != NULL;
    bool truncated = s->top_k > 0 || s->top_p < 1 || s->min_p > 0;
    const float *from = z;
    struct gw_layout l = gw_layout_over(scratch, SIZE_MAX);
    struct work w;
    lay_out(&l, vocab, &w);
    if (penalty) {
        penalise(w.z, z, vocab, s->repetition_penalty, seen);
        from = w.z;
    }
    int32_t id;
    if (s->temperature == 0)
        id = (int32_t)h->model->kern.argmax(from, vocab);
    else if (truncated)
        id = draw_truncated(from, vocab, s, u, w.candidates);
    else if (penalty)
        id = draw_flat(&h->model->kern, from, vocab, u);
    else
        id = draw_plain(h, row, u);
    *logprob = gw_head_logprob(h, row, z[id]);
    return id;
}
