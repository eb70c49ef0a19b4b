/* attention.c - see attention.h.  A call works through the blocks in order; in each it groups
 * the rows that share the block, forms their scores in one product, updates every row's
 * running softmax and adds the weighted values in a second product. */
#include "ops/attention.h"

#include "base/layout.h"

#include <math.h>
#include <string.h>

void gw_kv_layout_init(struct gw_kv_layout *l, enum gw_panel_format format, size_t n_layers,
                       size_t n_kv_heads, size_t head_dim) {
    size_t elem = gw_panel_elem(format);
    l->format = format;
    l->n_layers = n_layers;
    l->n_kv_heads = n_kv_heads;
    l->head_dim = head_dim;
    l->k_panel_bytes = gw_padded_k(format, head_dim) * GWEN_PANEL * elem;
    l->v_panel_bytes = (size_t)GW_KV_BLOCK * GWEN_PANEL * elem;
    l->k_bytes = l->k_panel_bytes * (GW_KV_BLOCK / GWEN_PANEL);
    l->v_bytes = l->v_panel_bytes * (gw_round_up(head_dim, GWEN_PANEL) / GWEN_PANEL);
    l->layer_bytes = (l->k_bytes + l->v_bytes) * n_kv_heads;
    l->block_bytes = gw_round_up(l->layer_bytes * n_layers, 64);
}

/* Heads are converted in pieces of this many elements; bytes of a cache line. */
enum { HEAD_CHUNK = 128 };

static void to_16(const struct gw_arith *arith, uint16_t *bits, const float *x, size_t n) {
    if (arith->format == GW_PANEL_F16)
        arith->kern->f32_to_f16((struct gwen_f16 *)(void *)bits, x, n);
    else
        arith->kern->f32_to_bf16((struct gwen_bf16 *)(void *)bits, x, n);
}

/* Elements at..at+n of one token's key: one lane of the panel, a column with a stride of 16. */
static void store_k_lane(const struct gw_arith *arith, char *panel, size_t lane, size_t at,
                         size_t n, const float *k) {
    uint16_t bits[HEAD_CHUNK + 1];
    if (arith->format == GW_PANEL_F32) {
        float *dst = (float *)(void *)panel + at * GWEN_PANEL + lane;
        for (size_t i = 0; i < n; i++) dst[i * GWEN_PANEL] = k[i];
        return;
    }
    to_16(arith, bits, k, n);
    bits[n] = 0;
    if (arith->format == GW_PANEL_BF16X2) {
        uint32_t *dst = (uint32_t *)(void *)panel + at / 2 * GWEN_PANEL + lane;
        for (size_t i = 0; i < n; i += 2)
            dst[i / 2 * GWEN_PANEL] = bits[i] | (uint32_t)bits[i + 1] << 16;
    } else {
        uint16_t *dst = (uint16_t *)(void *)panel + at * GWEN_PANEL + lane;
        for (size_t i = 0; i < n; i++) dst[i * GWEN_PANEL] = bits[i];
    }
}

/* The same elements of 16 tokens: the whole width of the panel, which is what packing does. */
static void store_k_panel(const struct gw_arith *arith, char *panel, size_t at, size_t n,
                          const float *k, size_t stride) {
    uint16_t bits[GWEN_PANEL * HEAD_CHUNK];
    if (arith->format == GW_PANEL_F32) {
        arith->kern->pack_32((uint32_t *)(void *)panel + at * GWEN_PANEL,
                             (const uint32_t *)(const void *)k, stride, GWEN_PANEL, n);
        return;
    }
    for (size_t t = 0; t < GWEN_PANEL; t++) to_16(arith, bits + t * HEAD_CHUNK, k + t * stride, n);
    uint16_t *dst = (uint16_t *)(void *)panel + at * GWEN_PANEL;
    if (arith->format == GW_PANEL_BF16X2)
        arith->kern->pack_16x2(dst, bits, HEAD_CHUNK, GWEN_PANEL, n);
    else
        arith->kern->pack_16(dst, bits, HEAD_CHUNK, GWEN_PANEL, n);
}

static void store_k(const struct gw_arith *arith, const struct gw_kv_layout *l, char *panels,
                    size_t slot, size_t n, const float *k, size_t stride) {
    for (size_t t = 0, step; t < n; t += step) {
        char *panel = panels + (slot + t) / GWEN_PANEL * l->k_panel_bytes;
        size_t lane = (slot + t) % GWEN_PANEL;
        step = lane == 0 && n - t >= GWEN_PANEL ? GWEN_PANEL : 1;
        for (size_t at = 0; at < l->head_dim; at += HEAD_CHUNK) {
            size_t len = GW_MIN(l->head_dim - at, (size_t)HEAD_CHUNK);
            const float *from = k + t * stride + at;
            if (step == 1)
                store_k_lane(arith, panel, lane, at, len, from);
            else
                store_k_panel(arith, panel, at, len, from, stride);
        }
    }
}

/* Values of the token in an odd slot, in columns c0.. of one panel of pairs: its partner is there
 * already. */
static void store_v_odd(const struct gw_arith *arith, uint32_t *dst, size_t n, const float *v) {
    uint16_t bits[GWEN_PANEL] = {0};
    to_16(arith, bits, v, n);
    for (size_t i = 0; i < GWEN_PANEL; i++) dst[i] = (dst[i] & 0xFFFF) | (uint32_t)bits[i] << 16;
}

/* Values as pairs of tokens.  Without a second token an even slot clears its partner: that may be
 * read (with probability 0) before it is filled, and what lies there must be finite. */
static void store_v_pairs(const struct gw_arith *arith, const struct gw_kv_layout *l, char *panels,
                          size_t slot, size_t n, const float *v, size_t stride) {
    for (size_t t = 0, step; t < n; t += step) {
        const float *first = v + t * stride;
        char *at = panels + (slot + t) / 2 * GWEN_PANEL * sizeof(uint32_t);
        step = (slot + t) % 2 == 0 && t + 1 < n ? 2 : 1;
        if ((slot + t) % 2 == 0) {
            arith->kern->zip_bf16((struct gwen_bf16 *)(void *)at, l->v_panel_bytes / 2, first,
                                  step == 2 ? first + stride : NULL, l->head_dim);
            continue;
        }
        for (size_t c = 0; c < l->head_dim; c += GWEN_PANEL, at += l->v_panel_bytes)
            store_v_odd(arith, (uint32_t *)(void *)at, GW_MIN(l->head_dim - c, (size_t)GWEN_PANEL),
                        first + c);
    }
}

static void store_v(const struct gw_arith *arith, const struct gw_kv_layout *l, char *panels,
                    size_t slot, size_t n, const float *v, size_t stride) {
    for (size_t t = 0; t < n; t++) {
        for (size_t c = 0; c < l->head_dim; c += GWEN_PANEL) {
            const size_t at = (slot + t) * GWEN_PANEL,
                         len = GW_MIN(l->head_dim - c, (size_t)GWEN_PANEL);
            char *panel = panels + c / GWEN_PANEL * l->v_panel_bytes;
            const float *from = v + t * stride + c;
            if (l->format == GW_PANEL_F32)
                memcpy((float *)(void *)panel + at, from, len * sizeof *from);
            else
                to_16(arith, (uint16_t *)(void *)panel + at, from, len);
        }
    }
}

static char *head_at(const struct gw_kv_layout *l, char *block, size_t layer, size_t kv_head) {
    return block + layer * l->layer_bytes + kv_head * (l->k_bytes + l->v_bytes);
}

void gw_kv_matrices(const struct gw_kv_layout *l, char *block, size_t layer, size_t kv_head,
                    struct gw_packed *k, struct gw_packed *v) {
    char *head = head_at(l, block, layer, kv_head);
    gw_packed_init(k, l->format, GW_KV_BLOCK, l->head_dim, head);
    k->panel_stride = l->k_panel_bytes;
    gw_packed_init(v, l->format, l->head_dim, GW_KV_BLOCK, head + l->k_bytes);
    v->panel_stride = l->v_panel_bytes;
}

void gw_kv_store(const struct gw_arith *arith, const struct gw_kv_layout *l, char *block,
                 size_t layer, size_t kv_head, size_t slot, size_t n, const float *k,
                 const float *v, size_t stride) {
    char *head = head_at(l, block, layer, kv_head);
    store_k(arith, l, head, slot, n, k, stride);
    if (l->format == GW_PANEL_BF16X2)
        store_v_pairs(arith, l, head + l->k_bytes, slot, n, v, stride);
    else
        store_v(arith, l, head + l->k_bytes, slot, n, v, stride);
}

void gw_kv_prefetch_slot(const struct gw_kv_layout *l, char *block, size_t layer, size_t kv_head,
                         size_t slot) {
    char *head = head_at(l, block, layer, kv_head);
    char *k = head + slot / GWEN_PANEL * l->k_panel_bytes, *v = head + l->k_bytes;
    size_t at = l->v_panel_bytes / GW_KV_BLOCK * slot / GW_CACHE_LINE * GW_CACHE_LINE;
    for (size_t i = 0; i < l->k_panel_bytes; i += GW_CACHE_LINE) __builtin_prefetch(k + i, 1);
    for (; v < head + l->k_bytes + l->v_bytes; v += l->v_panel_bytes) __builtin_prefetch(v + at, 1);
}

void gw_kv_copy_layer(const struct gw_kv_layout *l, char *dst, const char *src, size_t layer,
                      size_t used) {
    size_t k_len = (used + GWEN_PANEL - 1) / GWEN_PANEL * l->k_panel_bytes;
    size_t v_len = gw_round_up(used, 2) * GWEN_PANEL * gw_panel_elem(l->format);
    for (size_t h = 0; h < l->n_kv_heads; h++) {
        size_t at = layer * l->layer_bytes + h * (l->k_bytes + l->v_bytes);
        memcpy(dst + at, src + at, k_len);
        for (size_t v = at + l->k_bytes; v < at + l->k_bytes + l->v_bytes; v += l->v_panel_bytes)
            memcpy(dst + v, src + v, v_len);
    }
}

/* Scratch of one call: M = rows x heads_per_kv query rows. */
struct work {
    char *q;             /* [M][head_dim] activations */
    float *o;            /* [M][head_dim rounded up to panels] */
    float *s;            /* [M][GW_KV_BLOCK] scores, then probabilities */
    struct gwen_bf16 *p; /* [M][GW_KV_BLOCK] probabilities as activations of BF16X2 */
    float *m, *l;        /* [M] running maximum and sum */
    uint8_t *visible;    /* [M] */
};

static void lay_out(struct gw_layout *l, size_t head_dim, size_t heads_per_kv, struct work *w) {
    const size_t M = (size_t)GW_ATTN_MAX_ROWS * heads_per_kv;
    const size_t hd = gw_round_up(head_dim, GWEN_PANEL);
    w->q = gw_layout_take(l, M, hd * sizeof(float));
    w->o = gw_layout_take(l, M, hd * sizeof *w->o);
    w->s = gw_layout_take(l, M, GW_KV_BLOCK * sizeof *w->s);
    w->p = gw_layout_take(l, M, GW_KV_BLOCK * sizeof *w->p);
    w->m = gw_layout_take(l, M, sizeof *w->m);
    w->l = gw_layout_take(l, M, sizeof *w->l);
    w->visible = gw_layout_take(l, M, sizeof *w->visible);
}

size_t gw_attn_scratch_bytes(size_t head_dim, size_t heads_per_kv) {
    struct gw_layout plan = {0};
    struct work unused;
    lay_out(&plan, head_dim, heads_per_kv, &unused);
    return plan.used;
}

/* What is attended next: its keys and values in memory, `used` tokens of them; 0: nothing. */
struct upcoming {
    const char *k, *v;
    size_t used;
};

/* Block j of row r, if it has one. */
static struct upcoming block_of(const struct gw_attn_args *a, size_t r, size_t j) {
    const struct gw_kv_layout *l = a->layout;
    if (r >= a->n_rows || a->rows[r].position / GW_KV_BLOCK < j) return (struct upcoming){0};
    char *block = a->base + (size_t)a->rows[r].blocks[j] * l->block_bytes;
    const char *k = head_at(l, block, a->layer, a->kv_head);
    return (struct upcoming){
        k, k + l->k_bytes, GW_MIN(a->rows[r].position + 1 - j * GW_KV_BLOCK, (size_t)GW_KV_BLOCK)};
}

/* Lines of one panel of `bytes` that hold `used` of `all` tokens. */
static size_t lines_of(size_t bytes, size_t used, size_t all) {
    return (bytes * used / all + GW_CACHE_LINE - 1) / GW_CACHE_LINE;
}

enum { FEW_ROWS = 8 };

/* Block number j for rows r0..r1, which all hold the same block there; meanwhile what is next is
 * read: samples' own blocks are short pieces all over the arena, where the processor's own
 * prefetching is too late, and a shared one would come in bursts. */
static void attend_block(const struct gw_attn_args *a, const struct work *w, size_t j, size_t r0,
                         size_t r1, const struct upcoming *next) {
    const struct gw_kv_layout *l = a->layout;
    const struct gwen_kernels *kern = a->arith->kern;
    const size_t hpk = a->heads_per_kv, hd = l->head_dim, o_stride = gw_round_up(hd, GWEN_PANEL);
    const size_t m0 = r0 * hpk, m = (r1 - r0) * hpk, elem = gw_x_elem(l->format);
    const size_t q_stride = gw_round_up(hd * elem, 4);
    const bool pairs = l->format == GW_PANEL_BF16X2;
    char *block = a->base + (size_t)a->rows[r0].blocks[j] * l->block_bytes;
    const char *k = head_at(l, block, a->layer, a->kv_head), *v = k + l->k_bytes;
    size_t visible = 0;
    for (size_t i = 0; i < m; i++) {
        const size_t seen =
            GW_MIN(a->rows[(m0 + i) / hpk].position + 1 - j * GW_KV_BLOCK, (size_t)GW_KV_BLOCK);
        visible = GW_MAX(visible, seen);
        w->visible[i] = (uint8_t)seen;
    }
    const size_t n = gw_round_up(visible, GWEN_PANEL);
    /* A block for a few rows alone comes fastest in one stream from front to back (36 GB/s against
     * 31 with four streams); what is left of the last one is too short for that. */
    const bool in_order = m <= FEW_ROWS && visible > GW_KV_BLOCK / 2;
    void (*const product)(const struct gw_arith *, const struct gwen_tile *) =
        in_order ? gw_small_gemm_in_order : gw_small_gemm;
    float *s = w->s + m0 * GW_KV_BLOCK, *o = w->o + m0 * o_stride;
    struct gwen_bf16 *p = w->p + m0 * GW_KV_BLOCK;

    product(a->arith,
            &(struct gwen_tile){.m = m,
                                .nv = n / GWEN_PANEL,
                                .k = hd,
                                .x = w->q + m0 * q_stride,
                                .x_stride = q_stride,
                                .w = k,
                                .panel_stride = l->k_panel_bytes,
                                .c = s,
                                .c_stride = GW_KV_BLOCK,
                                .prefetch = next->k,
                                .prefetch_lines =
                                    next->used == 0 ? 0 : l->k_panel_bytes / GW_CACHE_LINE});
    kern->softmax_block(&(struct gwen_softmax){.m = m,
                                               .n = n,
                                               .s = s,
                                               .s_stride = GW_KV_BLOCK,
                                               .p = pairs ? p : NULL,
                                               .p_stride = GW_KV_BLOCK,
                                               .visible = w->visible,
                                               .scale = a->scale,
                                               .max = w->m + m0,
                                               .sum = w->l + m0,
                                               .o = j > 0 ? o : NULL,
                                               .o_n = o_stride,
                                               .o_stride = o_stride});
    product(a->arith, &(struct gwen_tile){.m = m,
                                          .nv = o_stride / GWEN_PANEL,
                                          .k = visible,
                                          .x = pairs ? (const void *)p : s,
                                          .x_stride = GW_KV_BLOCK * elem,
                                          .w = v,
                                          .panel_stride = l->v_panel_bytes,
                                          .c = o,
                                          .c_stride = o_stride,
                                          .accumulate = j > 0,
                                          .prefetch = next->v,
                                          .prefetch_lines =
                                              lines_of(l->v_panel_bytes, next->used, GW_KV_BLOCK)});
}

static void gather_queries(const struct gw_attn_args *a, const struct work *w) {
    size_t hd = a->layout->head_dim, elem = gw_x_elem(a->layout->format);
    size_t stride = gw_round_up(hd * elem, 4);
    for (size_t r = 0; r < a->n_rows; r++)
        for (size_t h = 0; h < a->heads_per_kv; h++) {
            char *dst = w->q + (r * a->heads_per_kv + h) * stride;
            memcpy(dst, a->q + r * a->q_stride + h * hd * elem, hd * elem);
            memset(dst + hd * elem, 0, stride - hd * elem);
        }
    for (size_t i = 0; i < a->n_rows * a->heads_per_kv; i++) {
        w->m[i] = -INFINITY;
        w->l[i] = 0;
    }
}

static void write_outputs(const struct gw_attn_args *a, const struct work *w) {
    size_t hd = a->layout->head_dim, o_stride = gw_round_up(hd, GWEN_PANEL);
    for (size_t i = 0; i < a->n_rows * a->heads_per_kv; i++) {
        float *o = w->o + i * o_stride;
        size_t r = i / a->heads_per_kv, h = i % a->heads_per_kv;
        char *dst = a->out + r * a->out_stride + h * hd * gw_x_elem(a->layout->format);
        if (a->stats != NULL)
            a->stats[r * a->stats_stride + h] = (struct gw_attn_stats){w->m[i], w->l[i]};
        a->arith->kern->divide(o, w->l[i], hd);
        if (a->layout->format == GW_PANEL_BF16X2)
            a->arith->kern->f32_to_bf16((struct gwen_bf16 *)(void *)dst, o, hd);
        else
            memcpy(dst, o, hd * sizeof *o);
    }
}

void gw_attention(const struct gw_attn_args *a) {
    struct gw_layout l = gw_layout_over(a->scratch, SIZE_MAX);
    struct work w;
    lay_out(&l, a->layout->head_dim, a->heads_per_kv, &w);
    gather_queries(a, &w);
    for (size_t j = 0, live = 1; live > 0; j++) {
        live = 0;
        for (size_t r0 = 0, r1; r0 < a->n_rows; r0 = r1) {
            r1 = r0 + 1;
            if (a->rows[r0].position / GW_KV_BLOCK < j) continue;
            while (r1 < a->n_rows && a->rows[r1].position / GW_KV_BLOCK >= j &&
                   a->rows[r1].blocks[j] == a->rows[r0].blocks[j])
                r1++;
            struct upcoming next = block_of(a, r1, j);
            if (next.used == 0) next = block_of(a, 0, j + 1);
            attend_block(a, &w, j, r0, r1, &next);
            live += r1 - r0;
        }
    }
    write_outputs(a, &w);
}
