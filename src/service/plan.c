/* plan.c - see plan.h. */
#include "service/plan.h"

#include "base/knob.h"
#include "train/optimizer_bf16.h"

size_t gw_plan_engine_blocks(const struct gw_engine_opts *o) {
    if (o->n_blocks != 0) return o->n_blocks;
    return gw_engine_good_blocks(o->slots, o->max_group, o->max_prompt, o->max_new);
}

static size_t add(size_t a, size_t b) {
    size_t sum;
    return gw_add_size(a, b, &sum) ? sum : SIZE_MAX;
}

static void add_engine(const struct gw_plan_options *o, struct gw_plan *plan) {
    struct gw_engine_opts engine = o->engine;
    size_t kv, scratch;
    engine.n_blocks = gw_plan_engine_blocks(&engine);
    gw_engine_bytes(o->cfg, o->format, &engine, o->n_threads, &kv, &scratch);
    plan->kv = add(plan->kv, kv);
    plan->scratch = add(plan->scratch, scratch);
}

static void add_scorer(const struct gw_plan_options *o, struct gw_plan *plan) {
    size_t kv, scratch;
    gw_scorer_bytes(o->cfg, o->format, &o->scorer, o->n_threads, &kv, &scratch);
    plan->kv = add(plan->kv, kv);
    plan->scratch = add(plan->scratch, scratch);
}

static size_t optimizer_bytes(const struct gw_plan_options *o) {
    const size_t bytes = gw_optimizer_bytes(gw_trained_floats(o->cfg));
    if (o->cfg->lora_width > 0) return bytes;
    if (o->optimizer_bf16) return gw_optimizer_bf16_bytes(o->cfg, o->n_threads);
    return add(bytes, gw_packer_bytes(o->cfg, o->n_threads));
}

static void add_trainer(const struct gw_plan_options *o, struct gw_plan *plan) {
    struct gw_trainer_bytes bytes;
    gw_trainer_bytes(o->cfg, o->format, &o->trainer, o->n_threads, &bytes);
    plan->kv = add(plan->kv, bytes.kv);
    plan->scratch = add(plan->scratch, add(bytes.activations, bytes.scratch));
    plan->gradients = bytes.gradients;
    plan->optimizer = optimizer_bytes(o);
    if (o->engine.slots > 0) add_engine(o, plan);
    if (!o->reference) return;
    if (!o->scorer.frozen) plan->weights = add(plan->weights, gw_model_bytes(o->cfg, o->format));
    add_scorer(o, plan);
}

size_t gw_plan_weights(const struct gw_config *cfg, enum gw_panel_format format) {
    return add(gw_model_bytes(cfg, format), cfg->lora_bytes);
}

void gw_plan_make(const struct gw_plan_options *o, struct gw_plan *plan) {
    *plan = (struct gw_plan){.weights = gw_plan_weights(o->cfg, o->format)};
    switch (o->kind) {
    case GW_PLAN_WEIGHTS: break;
    case GW_PLAN_ROLLOUT: add_engine(o, plan); break;
    case GW_PLAN_SCORE: add_scorer(o, plan); break;
    case GW_PLAN_TRAIN: add_trainer(o, plan); break;
    }
    plan->scratch = add(plan->scratch, o->other);
    const size_t parts[] = {plan->weights, plan->kv, plan->scratch, plan->gradients,
                            plan->optimizer};
    for (size_t i = 0; i < GW_ARRAY_LEN(parts); i++) plan->total = add(plan->total, parts[i]);
}

/* --- knobs ---------------------------------------------------------------------------------- */

static size_t total_with(const struct gw_plan_options *base, enum gw_plan_knob knob, size_t value) {
    struct gw_plan_options o = *base;
    struct gw_plan plan;
    switch (knob) {
    case GW_PLAN_SLOTS: o.engine.slots = value; break;
    case GW_PLAN_MAX_NEW: o.engine.max_new = value; break;
    case GW_PLAN_SCORE_LENGTH:
        o.scorer.max_len = value;
        o.scorer.n_blocks = gw_kv_blocks_for(value) + 1;
        break;
    case GW_PLAN_SCORE_BLOCKS: o.scorer.n_blocks = value; break;
    case GW_PLAN_N_KNOBS: return SIZE_MAX;
    }
    gw_plan_make(&o, &plan);
    return plan.total;
}

static enum gw_plan_kind kind_of(enum gw_plan_knob knob) {
    switch (knob) {
    case GW_PLAN_SLOTS:
    case GW_PLAN_MAX_NEW: return GW_PLAN_ROLLOUT;
    case GW_PLAN_SCORE_LENGTH:
    case GW_PLAN_SCORE_BLOCKS: return GW_PLAN_SCORE;
    case GW_PLAN_N_KNOBS: break;
    }
    return GW_PLAN_WEIGHTS;
}

struct knob_search {
    const struct gw_plan_options *options;
    enum gw_plan_knob knob;
    size_t budget_bytes;
};

/* Every plan grows with each of its knobs. */
static bool knob_fits(void *ctx, size_t value) {
    const struct knob_search *s = ctx;
    return total_with(s->options, s->knob, value) <= s->budget_bytes;
}

size_t gw_plan_largest(const struct gw_plan_options *o, enum gw_plan_knob knob, size_t most,
                       size_t budget_bytes) {
    struct knob_search search = {o, knob, budget_bytes};
    return kind_of(knob) == o->kind ? gw_largest(0, most, knob_fits, &search) : 0;
}

/* --- refusing ------------------------------------------------------------------------------- */

void gw_put_bytes(struct gw_str *s, size_t bytes) {
    const double kib = 1024, b = (double)bytes;
    if (b >= kib * kib * kib)
        gw_str_printf(s, "%.1f GiB", b / (kib * kib * kib));
    else if (b >= kib * kib)
        gw_str_printf(s, "%.0f MiB", b / (kib * kib));
    else
        gw_str_printf(s, "%.0f KiB", b / kib);
}

void gw_plan_put(struct gw_str *s, const struct gw_plan *plan) {
    const struct {
        const char *name;
        size_t bytes;
    } parts[] = {{"weights", plan->weights},
                 {"gradients", plan->gradients},
                 {"optimizer", plan->optimizer},
                 {"KV", plan->kv},
                 {"scratch", plan->scratch}};
    const char *before = "";
    for (size_t i = 0; i < GW_ARRAY_LEN(parts); i++) {
        if (parts[i].bytes == 0) continue;
        gw_str_printf(s, "%s%s ", before, parts[i].name);
        gw_put_bytes(s, parts[i].bytes);
        before = ", ";
    }
}

/* What a message calls a knob, and its present value; NULL when it is none of the user's. */
static const char *knob_text(const struct gw_plan_options *o, enum gw_plan_knob knob, size_t *now) {
    switch (knob) {
    case GW_PLAN_SLOTS: *now = o->engine.slots; return gw_knob(GW_KNOB_BATCH_SIZE);
    case GW_PLAN_MAX_NEW: *now = o->engine.max_new; return gw_knob(GW_KNOB_MAX_TOKENS);
    case GW_PLAN_SCORE_LENGTH: *now = o->scorer.max_len; return "give no row more tokens than";
    case GW_PLAN_SCORE_BLOCKS:
    case GW_PLAN_N_KNOBS: break;
    }
    return NULL;
}

static void put_advice(const struct gw_plan_options *o, size_t budget, struct gw_str *s) {
    size_t n = 0;
    for (enum gw_plan_knob k = 0; k < GW_PLAN_N_KNOBS; k++) {
        size_t now, fits;
        const char *text = knob_text(o, k, &now);
        if (text == NULL || now == 0 || (fits = gw_plan_largest(o, k, now, budget)) == 0) continue;
        const bool lower = o->kind == GW_PLAN_ROLLOUT;
        const char *join = n++ > 0 ? " or " : lower ? ": lower " : ": ";
        gw_str_printf(s, "%s%s%s %zu", join, text, lower ? " to" : "", fits);
    }
    if (n > 0) return;
    struct gw_plan_options one = *o;
    one.engine.slots = 1;
    const size_t tokens = gw_plan_largest(&one, GW_PLAN_MAX_NEW, o->engine.max_new, budget);
    if (tokens > 0) {
        gw_str_printf(s, ": lower %s to 1 and %s to %zu", gw_knob(GW_KNOB_BATCH_SIZE),
                      gw_knob(GW_KNOB_MAX_TOKENS), tokens);
        return;
    }
    struct gw_plan_options half = *o;
    struct gw_plan plan;
    half.format = GW_PANEL_BF16;
    gw_plan_make(&half, &plan);
    if (o->format == GW_PANEL_F32 && plan.total <= budget)
        gw_str_printf(s, ": use %s bf16", gw_knob(GW_KNOB_DTYPE));
    else
        gw_str_printf(s, ": use a smaller model, or more memory (%s)", gw_knob(GW_KNOB_MAX_MEMORY));
}

enum gwen_status gw_plan_refuse(const struct gw_plan_options *o, size_t budget_bytes,
                                const char *advice, struct gwen_err *err) {
    struct gw_plan plan;
    struct gw_str s = {0};
    gw_plan_make(o, &plan);
    gw_str_puts(&s, "needs ");
    gw_put_bytes(&s, plan.total);
    gw_str_puts(&s, ", ");
    gw_put_bytes(&s, budget_bytes);
    gw_str_puts(&s, " available");
    gw_str_puts(&s, advice);
    gw_str_puts(&s, " (");
    gw_plan_put(&s, &plan);
    gw_str_puts(&s, ")");
    enum gwen_status status = s.failed ? gw_nomem(err, plan.total, "the command")
                                       : gw_fail(err, GWEN_ERR_NOMEM, "%s", s.data);
    gw_str_free(&s);
    return status;
}

enum gwen_status gw_plan_check(const struct gw_plan_options *o, size_t budget_bytes,
                               struct gwen_err *err) {
    struct gw_plan plan;
    struct gw_str advice = {0};
    gw_plan_make(o, &plan);
    if (plan.total <= budget_bytes) return GWEN_OK;
    put_advice(o, budget_bytes, &advice);
    enum gwen_status status = advice.failed ? gw_nomem(err, plan.total, "the command")
                                            : gw_plan_refuse(o, budget_bytes, advice.data, err);
    gw_str_free(&advice);
    return status;
}
