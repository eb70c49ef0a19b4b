/* generate.c - see generate.h. */
#include "service/rollout/generate.h"

#include <stdlib.h>
#include <string.h>

void gw_generation_sampling(const struct gw_generation_config *g, struct gw_sampling *s) {
    *s = (struct gw_sampling)GW_SAMPLING_INIT;
    if (g->has_temperature) s->temperature = g->temperature;
    if (g->has_top_k) s->top_k = g->top_k;
    if (g->has_top_p) s->top_p = g->top_p;
    if (g->has_min_p) s->min_p = g->min_p;
    if (g->has_repetition_penalty) s->repetition_penalty = g->repetition_penalty;
    if (!g->has_do_sample || !g->do_sample) s->temperature = 0;
}

/* --- conversations -------------------------------------------------------------------------- */

struct gw_talk {
    struct gw_talk_opts opts;
    struct gw_rollout *rollout;
    json_t *messages;
    struct gw_prompts prompts; /* the turn in progress */
    size_t n_turns, window;
    const struct gw_talk_listener *listener;
    struct gw_str answer;
};

enum gwen_status gw_talk_plan(const struct gw_plan_options *base,
                              const struct gw_rollout_opts *opts, size_t window, size_t max_tokens,
                              size_t budget_bytes, struct gw_rollout_plan *plan,
                              struct gwen_err *err) {
    const struct gw_prompts longest = {.n = 1,
                                       .n_tokens = window,
                                       .max_prompt = window > max_tokens ? window - max_tokens : 1,
                                       .max_tokens = max_tokens};
    return gw_rollout_plan(base, NULL, &longest, opts, 1, budget_bytes, plan, err);
}

enum gwen_status gw_talk_new(const struct gw_talk_opts *opts, struct gw_talk **out,
                             struct gwen_err *err) {
    *out = NULL;
    struct gw_talk *t = calloc(1, sizeof *t);
    if (t == NULL) return gw_nomem(err, sizeof *t, "a conversation");
    t->opts = *opts;
    t->window = opts->plan->options.engine.max_prompt;
    enum gwen_status status = gw_talk_reset(t, err);
    if (status == GWEN_OK)
        status = gw_rollout_create(opts->model, opts->pool, opts->tokenizer, opts->rollout,
                                   opts->plan, &t->rollout, err);
    if (status != GWEN_OK) {
        gw_talk_free(t);
        return status;
    }
    *out = t;
    return GWEN_OK;
}

void gw_talk_free(struct gw_talk *t) {
    if (t == NULL) return;
    gw_rollout_free(t->rollout);
    gw_prompts_free(&t->prompts);
    gw_str_free(&t->answer);
    json_decref(t->messages);
    free(t);
}

enum gwen_status gw_talk_reset(struct gw_talk *t, struct gwen_err *err) {
    json_decref(t->messages);
    t->messages = json_array();
    return t->messages != NULL ? GWEN_OK : gw_nomem(err, 0, "a conversation");
}

static enum gwen_status add_turn(struct gw_talk *t, const char *role, const char *text, size_t len,
                                 struct gwen_err *err) {
    json_error_t je;
    json_t *m = json_pack_ex(&je, 0, "{s:s, s:s%}", "role", role, "content", text, len);
    if (m != NULL && json_array_append_new(t->messages, m) == 0) return GWEN_OK;
    return gw_utf8_is_valid(text, len)
               ? gw_nomem(err, len, "a conversation")
               : gw_fail(err, GWEN_ERR_FORMAT, "the message is not valid UTF-8");
}

static enum gwen_status on_text(void *ctx, size_t prompt, size_t sample, const char *text,
                                size_t len, struct gwen_err *err) {
    const struct gw_talk *t = ctx;
    (void)prompt, (void)sample;
    return t->listener->text != NULL ? t->listener->text(t->listener->ctx, text, len, err)
                                     : GWEN_OK;
}

static enum gwen_status on_sample(void *ctx, const struct gw_rollout_sample *s,
                                  struct gwen_err *err) {
    struct gw_talk *t = ctx;
    gw_str_clear(&t->answer);
    gw_str_put(&t->answer, s->text, s->text_len);
    if (t->answer.failed) return gw_nomem(err, s->text_len, "a conversation");
    return t->listener->answer != NULL ? t->listener->answer(t->listener->ctx, s, err) : GWEN_OK;
}

static enum gwen_status make_prompt(struct gw_talk *t, struct gwen_err *err) {
    gw_prompts_free(&t->prompts);
    GW_TRY(gw_prompts_add_messages(&t->prompts, t->opts.prompt, t->messages, err));
    struct gw_prompt *p = &t->prompts.rows[0];
    p->key = t->n_turns;
    if (p->n <= t->window) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "the conversation has grown to %zu tokens, of which there is room for %zu", p->n,
                   t->window);
}

enum gwen_status gw_talk_say(struct gw_talk *t, const char *text, size_t len,
                             const struct gw_talk_listener *listener, struct gwen_err *err) {
    const struct gw_rollout_sink sink = {.ctx = t,
                                         .sample = on_sample,
                                         .text = on_text,
                                         .progress = listener->progress,
                                         .progress_user = listener->progress_user};
    size_t before = json_array_size(t->messages);
    t->listener = listener;
    enum gwen_status status = add_turn(t, "user", text, len, err);
    if (status == GWEN_OK) status = make_prompt(t, err);
    if (status == GWEN_OK) status = gw_rollout_run(t->rollout, &t->prompts, &sink, NULL, err);
    if (status == GWEN_OK) status = add_turn(t, "assistant", t->answer.data, t->answer.len, err);
    if (status == GWEN_OK)
        t->n_turns++;
    else
        while (json_array_size(t->messages) > before) json_array_remove(t->messages, before);
    return status;
}
