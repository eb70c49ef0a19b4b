/* step.c - see impl.h: one optimizer step, from the rollout to the logs. */
#include "service/train/grpo/impl.h"

#include "base/clock.h"

static enum gwen_status make_gradients(struct gw_grpo *g, struct gwen_err *err) {
    if (g->pass.update == 0) GW_TRY(gw_grpo_make_rollout(g, err));
    return gw_grpo_accumulate(g, err);
}

/* Gradients, new weights. */
static enum gwen_status make_step(struct gw_grpo *g, struct gw_step_report *line,
                                  struct gw_learner_report *report, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    enum gwen_status status = make_gradients(g, err);
    /* Any other failure may be that of the weights, which then are not to take the place of those
     * of an earlier checkpoint. */
    g->step_saves = status == GWEN_ERR_CANCELLED || g->rewarding;
    GW_TRY(status);
    gw_train_run_phase(g->run, "optimizer", "", 0);
    GW_TRY(gw_learner_step(g->learner, report, err));
    line->seconds = gw_seconds_since(start);
    return GWEN_OK;
}

/* Its evaluation may take longer than all that was before. */
static enum gwen_status end_step(struct gw_grpo *g, struct gw_step_report *line,
                                 struct gwen_err *err) {
    struct gwen_err ignored;
    enum gwen_status status = gw_grpo_evaluate(g, err);
    if (status == GWEN_OK) return gw_grpo_log_row(g, line, err);
    g->step_saves =
        status != GWEN_ERR_NUMERIC && gw_train_run_hold(g->run, line, &ignored) == GWEN_OK;
    return status;
}

enum gwen_status gw_grpo_end_held_step(struct gw_grpo *g, struct gwen_err *err) {
    struct gw_step_report line;
    bool held;
    GW_TRY(gw_train_run_take_held(g->run, &line, &held, err));
    return held ? end_step(g, &line, err) : GWEN_OK;
}

enum gwen_status gw_grpo_step(struct gw_grpo *g, struct gwen_err *err) {
    struct gw_train_state *at = &g->run->state;
    const struct gw_train_state before = *at;
    struct gw_step_report line = {0};
    struct gw_learner_report report;
    g->pass.update = (size_t)at->used;
    g->rewarding = false;
    enum gwen_status status = make_step(g, &line, &report, err);
    if (status != GWEN_OK) { /* it has not begun, should a checkpoint be made */
        at->generation = before.generation;
        at->epoch = before.epoch;
        at->row = before.row;
        return status;
    }
    at->step = g->learner->step;
    at->used = (g->pass.update + 1) % g->size.updates;
    GW_TRY(gw_grpo_log_step(g, &line, &report, err));
    return end_step(g, &line, err);
}
