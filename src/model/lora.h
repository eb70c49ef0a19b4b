/* lora.h - low-rank adapters (Hu et al. 2021) on the linear layers of a model, in PEFT's format.
 *
 *     Y = X W^T + U B^T,    U = scale * X A^T,    scale = alpha / r  (rslora: alpha / sqrt(r))
 *
 * The adapters of one packed matrix (q|k|v, gate|up) are a site: their A lie one below the other,
 * [width, k], and B is [n, width] with zeros where a row and a column belong to different modules,
 * so that a site costs two small products.  U B^T is added to a piece of Y as it leaves the base
 * product: W itself is never changed.
 *
 * A directory holds adapter_config.json and adapter_model.safetensors, as PEFT writes and reads
 * them.  What would change the computation and is not supported is refused by name. */
#ifndef GW_LORA_H
#define GW_LORA_H

#include "base/json.h"
#include "model/model.h"
#include "model/params.h"

enum gw_lora_module {
    GW_LORA_Q,
    GW_LORA_K,
    GW_LORA_V,
    GW_LORA_O,
    GW_LORA_GATE,
    GW_LORA_UP,
    GW_LORA_DOWN,
    GW_LORA_MODULES
};

/* The packed matrices of a layer. */
enum gw_site { GW_SITE_QKV, GW_SITE_O, GW_SITE_GATE_UP, GW_SITE_DOWN, GW_SITES };

struct gw_lora_part {
    enum gw_lora_module module;
    size_t row0, rows; /* of the packed matrix; of gate|up: every other panel */
    size_t col0;       /* of the site's width; r columns */
    size_t b_offset;   /* of B [rows][r] in the flat arrays */
};

struct gw_lora_site {
    size_t width; /* r for each adapted module; 0: none */
    size_t n_parts;
    struct gw_lora_part parts[3];
    size_t a_offset; /* of all A [width][k] in the flat arrays */
    struct gw_packed a, b;
};

/* The adapter of one module of one layer; r 0: none. */
struct gw_lora_choice {
    size_t r;
    double alpha;
};

struct gw_lora_opts {
    size_t r; /* the largest; smaller ones have zeros behind them */
    double alpha;
    bool rslora;
    bool modules[GW_LORA_MODULES];
    const bool *layers; /* [n_layers] those with adapters; NULL: all */
    /* [n_layers][GW_LORA_MODULES] instead of modules and layers, or NULL */
    const struct gw_lora_choice *choices;
    bool own_ranks; /* of a file: r or alpha differ, so that it cannot be trained further */
    double dropout; /* of a file: none is ever applied, so that it cannot be trained further */
};

struct gw_lora {
    struct gw_lora_opts opts; /* choices points into this */
    float scale;
    size_t n_layers;
    struct gw_lora_site (*sites)[GW_SITES]; /* [n_layers] */
    struct gw_params params;                /* of the flat arrays; names are PEFT's */
    float *values;                          /* [params.n_floats] what is packed */
    char *buffer;                           /* for packing */
    struct gw_lora_choice *choices;         /* [n_layers][GW_LORA_MODULES] */
    char *base_model;                       /* base_model_name_or_path, or NULL */
    struct gw_mem memory;
};

/* "q_proj" ... "down_proj". */
const char *gw_lora_module_name(enum gw_lora_module module);
/* "model.layers.0.self_attn.q_proj". */
void gw_lora_full_name(const struct gw_config *cfg, size_t layer, enum gw_lora_module module,
                       char name[GW_TENSOR_NAME_MAX]);
/* alpha / r of a module, or alpha / sqrt(r). */
float gw_lora_choice_scale(const struct gw_lora_opts *opts, const struct gw_lora_choice *choice);
/* Fills cfg->lora_*: what such an adapter takes, for plans made before there is one. */
void gw_lora_plan(struct gw_config *cfg, enum gw_panel_format format,
                  const struct gw_lora_opts *opts);

/* A fresh adapter for the model: A uniform in +-1/sqrt(k) as PEFT draws it (by our generator, keyed
 * by seed and name), B zero.  It belongs to the model from then on (model->lora). */
enum gwen_status gw_lora_create(struct gw_model *model, const struct gw_lora_opts *opts,
                                uint64_t seed, struct gwen_err *err);
/* gw_lora_plan for DIR/adapter_config.json. */
enum gwen_status gw_lora_measure(const char *dir, enum gw_panel_format format,
                                 struct gw_config *cfg, struct gwen_err *err);
/* Reads DIR, for a model of this configuration; it is not packed. */
enum gwen_status gw_lora_read(const struct gw_config *cfg, const struct gw_arith *arith,
                              const char *dir, struct gw_lora **out, struct gwen_err *err);
/* Reads DIR and puts it on the model, which has none yet. */
enum gwen_status gw_lora_load(struct gw_model *model, const char *dir, struct gwen_err *err);
/* Reads an adapter_config.json; choices[cfg->n_layers * GW_LORA_MODULES] is what opts->choices will
 * point to. */
enum gwen_status gw_lora_parse(const struct gw_json_doc *doc, const struct gw_config *cfg,
                               struct gw_lora_choice *choices, struct gw_lora_opts *opts,
                               struct gwen_err *err);
/* Writes DIR (made if need be): what PeftModel.from_pretrained reads. */
enum gwen_status gw_lora_save(const struct gw_lora *lora, const char *dir, struct gwen_err *err);
void gw_lora_free(struct gw_lora *lora); /* NULL is fine */
/* The name that is saved for the base model. */
enum gwen_status gw_lora_name_base(struct gw_lora *lora, const char *name, struct gwen_err *err);
/* An adapter of zeros for such a model, and giving a filled one to the model. */
enum gwen_status gw_lora_allocate(const struct gw_config *cfg, enum gw_panel_format format,
                                  const struct gw_lora_opts *opts, struct gw_lora **out,
                                  struct gwen_err *err);
void gw_lora_attach(struct gw_model *model, struct gw_lora *lora);

/* Repacks `values`, which have changed. */
void gw_lora_pack(struct gw_lora *lora, const struct gwen_kernels *kern);
/* Takes other values, laid out as params, into the model's adapter.  GWEN_ERR_NUMERIC, naming the
 * tensor, when one cannot be used. */
enum gwen_status gw_lora_update(struct gw_model *model, const float *values, struct gwen_err *err);
/* Fails unless all values are finite and the format can hold them. */
enum gwen_status gw_lora_check(const struct gw_lora *lora, enum gw_panel_format format,
                               const float *values, struct gwen_err *err);
/* Adds scale * B A to elements [first, first + n) of one of the base model's matrices: w[n].
 * Nothing, where it has no adapter. */
void gw_lora_merge_part(const struct gw_lora *lora, enum gw_tensor_kind kind, size_t layer,
                        size_t first, size_t n, float *w);
/* Adds scale * B A to master weights of the whole model laid out as `params`. */
void gw_lora_merge(const struct gw_lora *lora, const struct gw_params *params, float *master);

/* For the forward and backward passes: U B^T added to a piece of Y, see gw_linear_done. */
struct gw_lora_add {
    const struct gw_arith *arith;
    const struct gw_lora *lora;
    const struct gw_lora_site *site;
    const char *u; /* operand rows [m][width] */
    size_t u_stride;
    gw_linear_done *then; /* what happens to the sum */
    void *ctx;
};
void gw_lora_add(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                 size_t c_stride);
/* U (times `scale`) as operand rows. */
struct gw_lora_u {
    const struct gw_arith *arith;
    float scale;
    char *u;
    size_t u_stride;
};
void gw_lora_take_u(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                    size_t c_stride);

#endif
