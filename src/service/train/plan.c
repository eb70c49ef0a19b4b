/* plan.c - the plan of training, or what would make it fit where it does not: each remedy is
 * tried against the plan, and only those that do are named, with what they would need. */
#include "service/train/plan.h"

#include "base/knob.h"
#include "service/train/adapter.h"

/* What is changed. */
struct remedy {
    bool automatic;     /* pass sizes and recomputing as they fit */
    bool peft;          /* an adapter as TRL's options make one */
    bool bf16;          /* weights and moments in bfloat16 */
    bool dtype;         /* weights in bfloat16 */
    bool batch;         /* `lower` is per_device_train_batch_size, else tokens */
    size_t lower, most; /* fewer of them; as many as there are */
};

static bool is_bf16(enum gw_panel_format format) {
    return format == GW_PANEL_BF16 || format == GW_PANEL_BF16X2;
}

/* A process that is started anew may hold a little more: advice that is taken has to help. */
static size_t less_a_margin(size_t budget_bytes) {
    const size_t most = (size_t)16 << 20;
    return budget_bytes - GW_MIN(budget_bytes / 64, most);
}

/* Whether there is anything to change. */
static bool applies(const struct remedy *r, const struct gw_train_cut *cut,
                    const struct gw_train_work *w, const struct gw_plan_options *o) {
    if (r->batch && w->batch == 0) return false;
    if (r->automatic && cut->micro_batch == 0 && cut->recompute == GW_RECOMPUTE_AUTO) return false;
    if (r->peft && o->cfg->lora_width > 0) return false;
    if (r->bf16 && (o->cfg->lora_width > 0 || o->optimizer_bf16 || !is_bf16(o->format)))
        return false;
    return !r->dtype || o->format == GW_PANEL_F32;
}

/* Rows of at most `most` tokens; where completions are sampled, completions of so many. */
static void lower_tokens(size_t most, struct gw_train_work *w, struct gw_plan_options *o) {
    const size_t tokens = w->max_prompt + most;
    if (w->tokens > 0) w->tokens = GW_MIN(w->tokens, w->samples * tokens);
    w->max_len = tokens;
    if (o->engine.slots > 0) o->engine.max_new = most;
    if (!o->reference) return;
    o->scorer.max_len = tokens;
    o->scorer.n_blocks = gw_kv_blocks_for(tokens) + 1;
}

/* The bytes that are needed with it; more than the budget: it does not fit. */
static size_t needs(const struct remedy *r, const struct gw_train_cut *cut,
                    const struct gw_train_work *work, size_t budget_bytes,
                    const struct gw_plan_options *plan) {
    struct gw_train_cut c = *cut;
    struct gw_train_work w = *work;
    struct gw_plan_options o = *plan;
    struct gw_config cfg = *plan->cfg;
    struct gw_plan made;
    if (r->automatic) c = (struct gw_train_cut){.recompute = GW_RECOMPUTE_AUTO};
    if (r->dtype) o.format = GW_PANEL_BF16;
    if (r->bf16) o.optimizer_bf16 = true;
    if (r->peft) {
        struct gw_train_config defaults;
        gw_train_config_init(&defaults, GW_TRAIN_GRPO);
        defaults.use_peft = true;
        if (gw_adapter_plan(&defaults, o.format, &cfg, NULL) != GWEN_OK) return SIZE_MAX;
        o.cfg = &cfg;
        o.scorer.frozen = true; /* the model without it is the reference */
    }
    if (r->lower > 0 && r->batch) {
        w.samples = GW_MAX(w.samples / w.batch * r->lower, (size_t)1);
        if (w.tokens > 0) w.tokens = GW_MIN(w.tokens, w.samples * w.max_len);
    } else if (r->lower > 0) {
        lower_tokens(r->lower, &w, &o);
    }
    if (!gw_train_fit(&c, &w, budget_bytes, &o)) return SIZE_MAX;
    gw_plan_make(&o, &made);
    return made.total;
}

/* Sets r->lower to the most that fits, below what there is; false: nothing does. */
static bool find_lower(struct remedy *r, const struct gw_train_cut *cut,
                       const struct gw_train_work *w, size_t budget_bytes,
                       const struct gw_plan_options *plan) {
    size_t fits = 0, above = r->most; /* needs more with each one more */
    while (above - fits > 1) {
        r->lower = fits + (above - fits) / 2;
        if (needs(r, cut, w, budget_bytes, plan) <= budget_bytes)
            fits = r->lower;
        else
            above = r->lower;
    }
    r->lower = fits;
    return fits > (r->batch || w->max_prompt > 0 ? 0 : 1); /* a row has two tokens */
}

static void put_remedy(const struct remedy *r, const struct gw_train_work *w, size_t bytes,
                       struct gw_str *s) {
    const char *tokens =
        gw_knob(w->max_prompt > 0 ? GW_KNOB_COMPLETION_TOKENS : GW_KNOB_ROW_TOKENS);
    if (r->automatic)
        gw_str_printf(s, "leave %s and %s to auto", gw_knob(GW_KNOB_RECOMPUTE),
                      gw_knob(GW_KNOB_MICRO_BATCH));
    if (r->dtype) gw_str_printf(s, "use %s bf16", gw_knob(GW_KNOB_DTYPE));
    if (r->peft) gw_str_printf(s, "use %s", gw_knob(GW_KNOB_PEFT));
    if (r->bf16) gw_str_printf(s, "use %s adamw-bf16", gw_knob(GW_KNOB_OPTIMIZER));
    if (r->lower > 0 && (r->peft || r->bf16)) gw_str_puts(s, " and ");
    if (r->lower > 0 && r->batch)
        gw_str_printf(s, "lower %s to %zu", gw_knob(GW_KNOB_TRAIN_BATCH), r->lower);
    else if (r->lower > 0)
        gw_str_printf(s, "lower %s to %zu", tokens, r->lower);
    gw_str_puts(s, " (");
    gw_put_bytes(s, bytes);
    gw_str_putc(s, ')');
}

/* The refusal of a plan as gw_train_fit has left it. */
static enum gwen_status refuse(const struct gw_train_cut *cut, const struct gw_train_work *w,
                               size_t budget_bytes, const struct gw_plan_options *plan,
                               struct gwen_err *err) {
    const size_t sure = less_a_margin(budget_bytes);
    const size_t tokens = w->max_len - w->max_prompt;
    const struct remedy all[] = {
        {.automatic = true},
        {.dtype = true},
        {.peft = true},
        {.bf16 = true},
        {.most = tokens},
        {.most = w->batch, .batch = true},
        /* two at once, where one is not enough */
        {.peft = true, .most = tokens},
        {.bf16 = true, .most = tokens},
    };
    enum { ALONE = 6, NAMED = 3 };
    struct gw_str s = {0};
    size_t named = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(all) && named < NAMED; i++) {
        struct remedy r = all[i];
        if (i >= ALONE && named > 0) break;
        if (!applies(&r, cut, w, plan)) continue;
        if (r.most > 0 && !find_lower(&r, cut, w, sure, plan)) continue;
        const size_t bytes = needs(&r, cut, w, sure, plan);
        if (bytes > sure) continue;
        gw_str_puts(&s, named++ > 0 ? " or " : ": ");
        put_remedy(&r, w, bytes, &s);
    }
    if (named == 0)
        gw_str_printf(&s, ": use a smaller model, or more memory (%s)",
                      gw_knob(GW_KNOB_MAX_MEMORY));
    enum gwen_status status =
        s.failed ? gw_nomem(err, s.len, "advice") : gw_plan_refuse(plan, budget_bytes, s.data, err);
    gw_str_free(&s);
    return status;
}

enum gwen_status gw_train_plan(const struct gw_train_cut *cut, const struct gw_train_work *w,
                               size_t budget_bytes, struct gw_plan_options *plan,
                               struct gwen_err *err) {
    if (gw_train_fit(cut, w, budget_bytes, plan)) return GWEN_OK;
    if (plan->trainer.max_step_tokens == SIZE_MAX)
        return gw_nomem(err, SIZE_MAX, "a training step");
    return refuse(cut, w, budget_bytes, plan, err);
}
