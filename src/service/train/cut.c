/* cut.c - passes of the trainer that fit into memory; see plan.h. */
#include "service/train/plan.h"

/* Tokens of a pass from which on products run at full speed. */
enum { GOOD_ROWS = 1024 };

static bool fits(const struct gw_plan_options *o, size_t budget_bytes) {
    struct gw_plan plan;
    gw_plan_make(o, &plan);
    return plan.total <= budget_bytes;
}

/* Of n samples, at most. */
static size_t prompts_of(const struct gw_train_work *w, size_t n) {
    if (w->prompts > 0) return GW_MIN(n, w->prompts);
    return w->group > 0 ? (n + w->group - 1) / w->group : n;
}

/* Tokens of n samples, SIZE_MAX when there is no such number. */
static size_t rows_of(const struct gw_train_work *w, size_t n) {
    const size_t prompts = prompts_of(w, n);
    size_t own, shared, all;
    if (!gw_mul_size(n, w->max_len - w->max_prompt, &own) ||
        !gw_mul_size(prompts, w->max_prompt, &shared) || !gw_add_size(own, shared, &all))
        return SIZE_MAX;
    return w->tokens > 0 ? GW_MIN(all, w->tokens) : all;
}

/* Sizes of a pass: by number of samples where that is given, else by tokens. */
static void set_pass(struct gw_trainer_opts *t, const struct gw_train_cut *cut,
                     const struct gw_train_work *w, size_t rows) {
    if (cut->micro_batch != 0) rows = rows_of(w, cut->micro_batch);
    t->micro_batch = GW_MIN(cut->micro_batch != 0 ? cut->micro_batch : w->samples, w->samples);
    t->max_rows = GW_MAX(GW_MIN(rows, rows_of(w, w->samples)), w->max_len);
}

bool gw_train_fit(const struct gw_train_cut *cut, const struct gw_train_work *w,
                  size_t budget_bytes, struct gw_plan_options *plan) {
    const size_t rows[] = {cut->tuned != 0 ? rows_of(w, cut->tuned) : (size_t)GOOD_ROWS,
                           w->max_len};
    const bool automatic = cut->recompute == GW_RECOMPUTE_AUTO;
    plan->kind = GW_PLAN_TRAIN;
    plan->trainer = (struct gw_trainer_opts){.max_len = w->max_len,
                                             .max_prompt = w->max_prompt,
                                             .share_prompts = w->max_prompt > 0,
                                             .recompute_stride = cut->stride,
                                             .max_step_tokens = rows_of(w, w->samples),
                                             .temperature = w->temperature};
    if (plan->trainer.max_step_tokens == SIZE_MAX) return false;
    for (int r = automatic ? GW_RECOMPUTE_NONE : cut->recompute;
         r <= (automatic ? (int)GW_RECOMPUTE_LAYER : cut->recompute); r++)
        for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
            plan->trainer.recompute = (enum gw_recompute)r;
            set_pass(&plan->trainer, cut, w, rows[i]);
            if (fits(plan, budget_bytes)) return true;
        }
    /* At last one sample at a time, however short it is. */
    struct gw_train_cut least = *cut;
    if (cut->micro_batch != 0) return false;
    least.micro_batch = 1;
    set_pass(&plan->trainer, &least, w, w->max_len);
    return fits(plan, budget_bytes);
}
