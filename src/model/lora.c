/* lora.c - see lora.h; the files are in lora_file.c. */
#include "model/lora.h"

#include "base/knob.h"
#include "base/layout.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum gw_tensor_kind kind;
    enum gw_site site;
} modules[GW_LORA_MODULES] = {
    [GW_LORA_Q] = {GW_TENSOR_Q, GW_SITE_QKV},
    [GW_LORA_K] = {GW_TENSOR_K, GW_SITE_QKV},
    [GW_LORA_V] = {GW_TENSOR_V, GW_SITE_QKV},
    [GW_LORA_O] = {GW_TENSOR_O, GW_SITE_O},
    [GW_LORA_GATE] = {GW_TENSOR_GATE, GW_SITE_GATE_UP},
    [GW_LORA_UP] = {GW_TENSOR_UP, GW_SITE_GATE_UP},
    [GW_LORA_DOWN] = {GW_TENSOR_DOWN, GW_SITE_DOWN},
};

/* --- layout --------------------------------------------------------------------------------- */

void gw_lora_full_name(const struct gw_config *cfg, size_t layer, enum gw_lora_module module,
                       char name[GW_TENSOR_NAME_MAX]) {
    struct gw_tensor_spec spec;
    gw_config_tensor(cfg, modules[module].kind, layer, &spec);
    snprintf(name, GW_TENSOR_NAME_MAX, "%.*s", (int)(strlen(spec.name) - strlen(".weight")),
             spec.name);
}

float gw_lora_choice_scale(const struct gw_lora_opts *opts, const struct gw_lora_choice *choice) {
    const double r = (double)choice->r;
    return (float)(choice->alpha / (opts->rslora ? sqrt(r) : r));
}

/* What the options say of one module of one layer. */
static struct gw_lora_choice choice_of(const struct gw_lora_opts *o, size_t layer, int module) {
    if (o->choices != NULL) return o->choices[layer * GW_LORA_MODULES + (size_t)module];
    if (!o->modules[module] || (o->layers != NULL && !o->layers[layer]))
        return (struct gw_lora_choice){0};
    return (struct gw_lora_choice){o->r, o->alpha};
}

/* Rows and columns of a packed matrix of the base model. */
static void site_shape(const struct gw_config *cfg, enum gw_site site, size_t *n, size_t *k) {
    struct gw_tensor_spec spec;
    *n = *k = 0;
    for (int i = 0; i < GW_LORA_MODULES; i++) {
        if (modules[i].site != site) continue;
        gw_config_tensor(cfg, modules[i].kind, 0, &spec);
        *n += site == GW_SITE_GATE_UP ? gw_round_up(spec.shape[0], GWEN_PANEL) : spec.shape[0];
        *k = spec.shape[1];
    }
}

/* The list NULL: only counted. */
static void add_param(struct gw_params *p, const struct gw_config *cfg, size_t layer,
                      enum gw_lora_module module, char which, size_t rows, size_t cols,
                      size_t offset) {
    struct gw_tensor_spec spec;
    const size_t index = p->n++;
    if (p->list == NULL) return;
    gw_config_tensor(cfg, modules[module].kind, layer, &spec);
    struct gw_param *t = &p->list[index];
    *t = (struct gw_param){
        .rank = 2, .shape = {rows, cols}, .offset = offset, .n = rows * cols, .decay = true};
    /* "model.layers.0.self_attn.q_proj.weight" */
    const int stem = (int)(strlen(spec.name) - strlen("weight"));
    snprintf(t->name, sizeof t->name, "base_model.model.%.*slora_%c.weight", stem, spec.name,
             which);
}

/* An adapter as it is being laid out. */
struct draft {
    const struct gw_config *cfg;
    enum gw_panel_format format;
    const struct gw_lora_opts *opts;
    struct gw_params *params; /* list NULL: only counted */
    size_t width;             /* of the widest site */
};

/* One site: its parts, its place in the flat arrays and in memory. */
static void lay_out_site(struct gw_layout *l, struct draft *d, size_t layer, enum gw_site index,
                         struct gw_lora_site *site) {
    const size_t r = d->opts->r;
    struct gw_params *p = d->params;
    size_t n, k, row0 = 0;
    site_shape(d->cfg, index, &n, &k);
    *site = (struct gw_lora_site){.a_offset = p->n_floats};
    for (int i = 0; i < GW_LORA_MODULES; i++) {
        struct gw_tensor_spec spec;
        if (modules[i].site != index) continue;
        gw_config_tensor(d->cfg, modules[i].kind, layer, &spec);
        if (choice_of(d->opts, layer, i).r > 0) {
            site->parts[site->n_parts++] =
                (struct gw_lora_part){.module = (enum gw_lora_module)i,
                                      .row0 = index == GW_SITE_GATE_UP ? 0 : row0,
                                      .rows = spec.shape[0],
                                      .col0 = site->width};
            add_param(p, d->cfg, layer, (enum gw_lora_module)i, 'A', r, k,
                      p->n_floats + site->width * k);
            site->width += r;
        }
        row0 += spec.shape[0];
    }
    p->n_floats += site->width * k;
    for (size_t i = 0; i < site->n_parts; i++) {
        struct gw_lora_part *part = &site->parts[i];
        part->b_offset = p->n_floats;
        add_param(p, d->cfg, layer, part->module, 'B', part->rows, r, part->b_offset);
        p->n_floats += part->rows * r;
    }
    p->n_floats = gw_round_up(p->n_floats, 16);
    if (site->width == 0) return;
    d->width = GW_MAX(d->width, site->width);
    const size_t a = gw_packed_bytes(d->format, site->width, k);
    const size_t b = gw_packed_bytes(d->format, n, site->width);
    gw_packed_init(&site->a, d->format, site->width, k, gw_layout_take(l, 1, a));
    gw_packed_init(&site->b, d->format, n, site->width, gw_layout_take(l, 1, b));
}

/* Room for packing: 16 rows of the longest A, or of B twice. */
static size_t buffer_bytes(const struct gw_config *c, size_t r) {
    const size_t k = GW_MAX(GW_MAX(c->hidden, c->ffn), c->n_heads * c->head_dim);
    return 2 * GWEN_PANEL * gw_round_up(GW_MAX(k, 3 * r), 16) * sizeof(float);
}

/* All sites, into sites[n_layers] (NULL: there are none yet, only sizes count), and the floats of
 * *lora. */
static void lay_out(struct gw_layout *l, struct draft *d, struct gw_lora_site (*sites)[GW_SITES],
                    struct gw_lora *lora) {
    struct gw_lora_site unused;
    d->width = d->params->n = d->params->n_floats = 0;
    for (size_t i = 0; i < d->cfg->n_layers; i++) {
        for (int s = 0; s < GW_SITES; s++)
            lay_out_site(l, d, i, (enum gw_site)s, sites != NULL ? &sites[i][s] : &unused);
    }
    lora->values = gw_layout_take(l, d->params->n_floats, sizeof *lora->values);
    lora->buffer = gw_layout_take(l, 1, buffer_bytes(d->cfg, d->opts->r));
}

void gw_lora_plan(struct gw_config *cfg, enum gw_panel_format format,
                  const struct gw_lora_opts *opts) {
    struct gw_layout plan = {0};
    struct gw_lora unused;
    struct gw_params params = {0};
    struct draft d = {.cfg = cfg, .format = format, .opts = opts, .params = &params};
    lay_out(&plan, &d, NULL, &unused);
    cfg->lora_width = d.width;
    cfg->lora_floats = params.n_floats;
    cfg->lora_bytes = plan.used + params.n * sizeof *params.list +
                      cfg->n_layers * sizeof(struct gw_lora_site[GW_SITES]);
}

static enum gwen_status take_memory(const struct gw_config *cfg, enum gw_panel_format format,
                                    struct gw_lora *lora, struct gwen_err *err) {
    struct gw_layout l = {0};
    struct draft d = {.cfg = cfg, .format = format, .opts = &lora->opts, .params = &lora->params};
    lay_out(&l, &d, NULL, lora);
    lora->params.list = calloc(lora->params.n + 1, sizeof *lora->params.list);
    if (lora->params.list == NULL)
        return gw_nomem(err, lora->params.n * sizeof *lora->params.list, "an adapter");
    GW_TRY(gw_layout_map(&l, l.used, &lora->memory, err));
    lay_out(&l, &d, lora->sites, lora);
    return gw_layout_end(&l, "an adapter", err);
}

enum gwen_status gw_lora_allocate(const struct gw_config *cfg, enum gw_panel_format format,
                                  const struct gw_lora_opts *opts, struct gw_lora **out,
                                  struct gwen_err *err) {
    const size_t n_layers = cfg->n_layers;
    struct gw_lora *l = calloc(1, sizeof *l);
    *out = NULL;
    if (l == NULL) return gw_nomem(err, sizeof *l, "an adapter");
    l->opts = *opts;
    l->n_layers = n_layers;
    l->sites = calloc(n_layers, sizeof *l->sites);
    l->choices = calloc(n_layers * GW_LORA_MODULES, sizeof *l->choices);
    enum gwen_status status = l->sites != NULL && l->choices != NULL
                                  ? GWEN_OK
                                  : gw_nomem(err, n_layers * sizeof *l->sites, "an adapter");
    if (status == GWEN_OK) {
        for (size_t i = 0; i < n_layers * GW_LORA_MODULES; i++) {
            l->choices[i] = choice_of(opts, i / GW_LORA_MODULES, (int)(i % GW_LORA_MODULES));
            if (l->choices[i].r > 0)
                l->scale = GW_MAX(l->scale, gw_lora_choice_scale(opts, &l->choices[i]));
        }
        l->opts.choices = l->choices;
        l->opts.layers = NULL;
        status = take_memory(cfg, format, l, err);
    }
    if (status != GWEN_OK) {
        gw_lora_free(l);
        return status;
    }
    *out = l;
    return GWEN_OK;
}

void gw_lora_free(struct gw_lora *l) {
    if (l == NULL) return;
    gw_mem_unmap(&l->memory);
    gw_params_free(&l->params);
    free(l->sites);
    free(l->choices);
    free(l->base_model);
    free(l);
}

enum gwen_status gw_lora_name_base(struct gw_lora *l, const char *name, struct gwen_err *err) {
    char *copy = strdup(name);
    if (copy == NULL) return gw_nomem(err, strlen(name), "a name");
    free(l->base_model);
    l->base_model = copy;
    return GWEN_OK;
}

void gw_lora_attach(struct gw_model *m, struct gw_lora *l) {
    m->lora = l;
    gw_lora_plan(&m->cfg, m->arith.format, &l->opts);
    gw_lora_pack(l, &m->kern);
}

enum gwen_status gw_lora_create(struct gw_model *m, const struct gw_lora_opts *opts, uint64_t seed,
                                struct gwen_err *err) {
    struct gw_lora *l;
    if (opts->r == 0) return gw_fail(err, GWEN_ERR_ARGUMENT, "lora: r must be positive");
    GW_TRY(gw_lora_allocate(&m->cfg, m->arith.format, opts, &l, err));
    for (size_t i = 0; i < l->params.n; i++) {
        const struct gw_param *p = &l->params.list[i];
        if (strstr(p->name, ".lora_A.") == NULL) continue;
        const struct gw_rng_key key = {.seed = seed,
                                       .stream = GW_STREAM_INIT,
                                       .prompt_key = gw_hash64(p->name, strlen(p->name))};
        struct gw_rng rng;
        gw_rng_init(&rng, &key);
        const double bound = 1.0 / sqrt((double)p->shape[1]);
        for (size_t j = 0; j < p->n; j++)
            l->values[p->offset + j] = (float)((2 * gw_rng_uniform_at(&rng, 0, j) - 1) * bound);
    }
    gw_lora_attach(m, l);
    return GWEN_OK;
}

/* --- packing -------------------------------------------------------------------------------- */

/* Packs 16 rows of float, each of k elements (NULL: zeros), as panel `panel`. */
static void pack_rows(const struct gwen_kernels *kern, struct gw_packed *w, size_t panel,
                      const float *const rows[GWEN_PANEL], char *buffer) {
    const void *converted[GWEN_PANEL];
    for (size_t j = 0; j < GWEN_PANEL; j++) {
        char *to = buffer + j * gw_round_up(w->k, 16) * sizeof(float);
        converted[j] = rows[j];
        if (rows[j] == NULL || w->format == GW_PANEL_F32) continue;
        if (w->format == GW_PANEL_F16)
            kern->f32_to_f16((struct gwen_f16 *)(void *)to, rows[j], w->k);
        else
            kern->f32_to_bf16((struct gwen_bf16 *)(void *)to, rows[j], w->k);
        converted[j] = to;
    }
    gw_packed_set_panel(kern, w, panel, converted);
}

static void pack_a(const struct gwen_kernels *kern, const struct gw_lora *l,
                   struct gw_lora_site *site, char *buffer) {
    for (size_t panel = 0; panel < site->a.n_panels; panel++) {
        const float *rows[GWEN_PANEL];
        for (size_t j = 0; j < GWEN_PANEL; j++) {
            const size_t row = panel * GWEN_PANEL + j;
            rows[j] = row < site->width ? l->values + site->a_offset + row * site->a.k : NULL;
        }
        pack_rows(kern, &site->a, panel, rows, buffer);
    }
}

/* The module that packed row n of a site belongs to, and its row; NULL: none with an adapter. */
static const struct gw_lora_part *part_of(const struct gw_lora_site *site, size_t n, size_t *row) {
    for (size_t i = 0; i < site->n_parts; i++) {
        const struct gw_lora_part *p = &site->parts[i];
        const bool gate = p->module == GW_LORA_GATE, up = p->module == GW_LORA_UP;
        *row = n - p->row0;
        if (gate || up) {
            if (n / GWEN_PANEL % 2 != (up ? 1u : 0u)) continue;
            *row = n / (2 * GWEN_PANEL) * GWEN_PANEL + n % GWEN_PANEL;
        }
        if (n >= p->row0 && *row < p->rows) return p;
    }
    return NULL;
}

static void pack_b(const struct gwen_kernels *kern, const struct gw_lora *l,
                   struct gw_lora_site *site, char *buffer) {
    const size_t stride = gw_round_up(site->width, 16), r = l->opts.r;
    float *padded = (float *)(void *)buffer;
    for (size_t panel = 0; panel < site->b.n_panels; panel++) {
        const float *rows[GWEN_PANEL];
        memset(padded, 0, GWEN_PANEL * stride * sizeof *padded);
        for (size_t j = 0; j < GWEN_PANEL; j++) {
            size_t row;
            const struct gw_lora_part *p = part_of(site, panel * GWEN_PANEL + j, &row);
            rows[j] = padded + j * stride;
            if (p == NULL) continue;
            memcpy(padded + j * stride + p->col0, l->values + p->b_offset + row * r,
                   r * sizeof *padded);
        }
        pack_rows(kern, &site->b, panel, rows, (char *)(padded + GWEN_PANEL * stride));
    }
}

void gw_lora_pack(struct gw_lora *l, const struct gwen_kernels *kern) {
    for (size_t i = 0; i < l->n_layers; i++)
        for (int s = 0; s < GW_SITES; s++) {
            struct gw_lora_site *site = &l->sites[i][s];
            if (site->width == 0) continue;
            pack_a(kern, l, site, l->buffer);
            pack_b(kern, l, site, l->buffer);
        }
}

enum gwen_status gw_lora_check(const struct gw_lora *l, enum gw_panel_format format,
                               const float *values, struct gwen_err *err) {
    const float most = format == GW_PANEL_F16 ? 65504.0f : FLT_MAX;
    for (size_t i = 0; i < l->params.n; i++) {
        const struct gw_param *p = &l->params.list[i];
        for (size_t j = 0; j < p->n; j++) {
            const float v = values[p->offset + j];
            if (fabsf(v) <= most) continue;
            if (isfinite(v))
                return gw_fail(err, GWEN_ERR_NUMERIC,
                               "%s: element %zu is %.9g, which float16 cannot hold (largest "
                               "65504): use %s bf16 or fp32",
                               p->name, j, (double)v, gw_knob(GW_KNOB_DTYPE));
            return gw_fail(err, GWEN_ERR_NUMERIC, "%s: element %zu is not finite", p->name, j);
        }
    }
    return GWEN_OK;
}

enum gwen_status gw_lora_update(struct gw_model *m, const float *values, struct gwen_err *err) {
    struct gw_lora *l = m->lora;
    GW_TRY(gw_lora_check(l, m->arith.format, values, err));
    memcpy(l->values, values, l->params.n_floats * sizeof *values);
    gw_lora_pack(l, &m->kern);
    return GWEN_OK;
}

/* --- merging -------------------------------------------------------------------------------- */

/* The part of a site that is the adapter of tensor `kind`, or NULL. */
static const struct gw_lora_part *part_for(const struct gw_lora *l, enum gw_tensor_kind kind,
                                           size_t layer, const struct gw_lora_site **site) {
    for (int s = 0; s < GW_SITES; s++) {
        *site = &l->sites[layer][s];
        for (size_t i = 0; i < (*site)->n_parts; i++)
            if (modules[(*site)->parts[i].module].kind == kind) return &(*site)->parts[i];
    }
    return NULL;
}

enum { MERGE_COLS = 256 };

/* w[n] += scale * b[r] A[r][k], for n columns from `a` on. */
static void merge_columns(const struct gw_lora *l, const float *a, size_t k, const float *b,
                          size_t n, float *w) {
    double sums[MERGE_COLS] = {0};
    for (size_t j = 0; j < l->opts.r; j++)
        for (size_t c = 0; c < n; c++) sums[c] += (double)b[j] * (double)a[j * k + c];
    for (size_t c = 0; c < n; c++) w[c] += (float)((double)l->scale * sums[c]);
}

void gw_lora_merge_part(const struct gw_lora *l, enum gw_tensor_kind kind, size_t layer,
                        size_t first, size_t n, float *w) {
    const struct gw_lora_site *site;
    const struct gw_lora_part *part = part_for(l, kind, layer, &site);
    if (part == NULL) return;
    const size_t k = site->a.k;
    const float *a = l->values + site->a_offset + part->col0 * k, *b = l->values + part->b_offset;
    for (size_t i = 0, cols; i < n; i += cols) {
        const size_t row = (first + i) / k, col = (first + i) % k;
        cols = GW_MIN(GW_MIN(n - i, k - col), (size_t)MERGE_COLS);
        merge_columns(l, a + col, k, b + row * l->opts.r, cols, w + i);
    }
}

void gw_lora_merge(const struct gw_lora *l, const struct gw_params *params, float *master) {
    for (size_t i = 0; i < l->n_layers; i++)
        for (int m = 0; m < GW_LORA_MODULES; m++) {
            const enum gw_tensor_kind kind = modules[m].kind;
            const struct gw_param *p = &params->list[gw_params_index(params, kind, i)];
            gw_lora_merge_part(l, kind, i, 0, p->n, master + p->offset);
        }
}

/* --- in the passes -------------------------------------------------------------------------- */

/* Columns of the site's width that columns n0..n0+n of its matrix have to do with, widened to
 * pairs. */
static struct gw_span columns_of(const struct gw_lora *l, const struct gw_lora_site *site,
                                 size_t n0, size_t n) {
    struct gw_span span = {site->width, 0};
    for (size_t i = 0; i < site->n_parts; i++) {
        const struct gw_lora_part *p = &site->parts[i];
        const bool alternate = p->module == GW_LORA_GATE || p->module == GW_LORA_UP;
        if (!alternate && (n0 + n <= p->row0 || n0 >= p->row0 + p->rows)) continue;
        span.begin = GW_MIN(span.begin, p->col0);
        span.end = GW_MAX(span.end, p->col0 + l->opts.r);
    }
    span.begin -= span.begin % 2;
    if (site->b.format == GW_PANEL_BF16X2) span.end += span.end % 2;
    return span;
}

enum { ADD_ROWS = 24 }; /* rows of U B^T held at a time */

void gw_lora_add(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                 size_t c_stride) {
    const struct gw_lora_add *d = ctx;
    const struct gw_packed *b = &d->site->b;
    const struct gw_span span = columns_of(d->lora, d->site, n0, n);
    const size_t elem = gw_x_elem(b->format);
    /* A sum of its own: going on from c, each of its steps would be rounded like all of Y. */
    float sums[ADD_ROWS][GW_GROUP_COLS];
    for (size_t i = 0, rows; span.begin < span.end && i < m; i += rows) {
        rows = GW_MIN(m - i, (size_t)ADD_ROWS);
        gw_small_gemm(d->arith, &(struct gwen_tile){
                                    .m = rows,
                                    .nv = (n + GWEN_PANEL - 1) / GWEN_PANEL,
                                    .k = span.end - span.begin,
                                    .x = d->u + (m0 + i) * d->u_stride + span.begin * elem,
                                    .x_stride = d->u_stride,
                                    .w = (const char *)b->data + n0 / GWEN_PANEL * b->panel_stride +
                                         span.begin * GWEN_PANEL * gw_panel_elem(b->format),
                                    .panel_stride = b->panel_stride,
                                    .c = sums[0],
                                    .c_stride = GW_GROUP_COLS});
        for (size_t r = 0; r < rows; r++) d->arith->kern->add(c + (i + r) * c_stride, sums[r], n);
    }
    d->then(d->ctx, thread, m0, m, n0, n, c, c_stride);
}

void gw_lora_take_u(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                    size_t c_stride) {
    const struct gw_lora_u *d = ctx;
    (void)thread;
    for (size_t i = 0; i < m; i++) {
        float *u = c + i * c_stride;
        char *row = d->u + (m0 + i) * d->u_stride;
        d->arith->kern->scale(u, d->scale, n);
        gw_store_x(d->arith, row, n0, u, n);
    }
}
