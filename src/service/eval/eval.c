/* eval.c - see eval.h. */
#include "service/eval/eval.h"

#include "base/clock.h"
#include "service/reward/rewarded.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct eval {
    const struct gw_eval_opts *opts;
    struct gw_eval_result *result;
};

void gw_eval_rollout_opts(struct gw_rollout_opts *o, size_t k) {
    o->groups = k + 1;
    o->first_sample = 0;
    o->length_lo = o->length_hi = 0;
    o->greedy_first = true;
    o->stream = GW_STREAM_EVAL;
}

void gw_eval_provenance(struct gw_provenance *p, const struct gw_rollout_opts *o,
                        const struct gw_rewards *rewards, const struct gw_prompts *prompts) {
    gw_provenance_sampling(p, o);
    gw_provenance_add_text(p, "reward", gw_rewards_spec(rewards, 0));
    gw_provenance_add(p, "prompts", "%016" PRIx64, gw_prompts_hash(prompts));
}

/* The member of a row that reward 0 looks at. */
static const char *needed(const struct gw_rewards *rewards) {
    for (size_t i = 0; i < gw_reward_kind_count(); i++) {
        const struct gw_reward_kind kind = gw_reward_kind_at(i);
        if (strcmp(kind.name, gw_rewards_name(rewards, 0)) == 0 && kind.needs != NULL)
            return kind.needs;
    }
    return "answer";
}

enum gwen_status gw_eval_check_prompts(const struct gw_rewards *rewards,
                                       const struct gw_prompts *prompts, const char *path,
                                       struct gwen_err *err) {
    if (gw_rewards_count(rewards) == 0) return GWEN_OK; /* a judge is still to be added */
    for (size_t i = 0; i < prompts->n; i++) {
        bool applies;
        GW_TRY(gw_rewards_applies(rewards, 0, prompts->rows[i].meta, prompts->rows[i].meta_len,
                                  &applies, err));
        if (!applies)
            return gw_fail(err, GWEN_ERR_FORMAT, "%s:%zu: no \"%s\" that the reward %s can use",
                           path, i + 1, needed(rewards), gw_rewards_name(rewards, 0));
    }
    return GWEN_OK;
}

/* Lengthens the sample's row by what was found. */
static enum gwen_status write_row(const struct eval *e, const struct gw_rewarded *s,
                                  struct gwen_err *err) {
    struct gw_str *row = s->row;
    row->len -= 2; /* "}\n" */
    gw_str_printf(row, ",\"greedy\":%s,\"reward\":", s->sample_id == 0 ? "true" : "false");
    gw_str_put_float(row, s->scores[0]);
    gw_str_printf(row, ",\"data\":\"%016" PRIx64 "\",\"settings\":\"%016" PRIx64 "\"}\n",
                  s->prompt->data, e->opts->settings);
    if (row->failed) return gw_nomem(err, s->n, "a row");
    return gw_rollout_file_append(e->opts->file, s->prompt_id, s->sample_id, row->data, row->len,
                                  err);
}

static enum gwen_status take_sample(void *ctx, const struct gw_rewarded *s, struct gwen_err *err) {
    struct eval *e = ctx;
    if (isnan(s->scores[0]))
        return gw_fail(err, GWEN_ERR_FORMAT, "prompt %zu cannot be scored", s->prompt_id);
    struct gw_eval_cell *c = &e->result->cells[s->prompt_id * (e->opts->k + 1) + s->sample_id];
    c->there = true;
    c->of.sample.score = s->scores[0];
    c->of.sample.tokens = (uint32_t)s->n;
    c->of.sample.stopped = s->finish == GW_FINISH_STOP;
    return e->opts->file != NULL ? write_row(e, s, err) : GWEN_OK;
}

static bool is_there(void *ctx, size_t prompt, size_t sample) {
    const struct eval *e = ctx;
    return e->opts->file != NULL && gw_rollout_file_has(e->opts->file, prompt, sample);
}

enum gwen_status gw_eval_run(struct gw_rollout *rollout, const struct gw_prompts *prompts,
                             const struct gw_eval_opts *opts, struct gw_eval_result *result,
                             double *generate_s, double *score_s, struct gw_rollout_stats *stats,
                             struct gwen_err *err) {
    struct eval e = {.opts = opts, .result = result};
    const struct gw_rewarded_opts rewarded = {.rewards = opts->rewards,
                                              .first_only = true,
                                              .tokenizer = opts->tokenizer,
                                              .groups = opts->k + 1,
                                              .numeric_class = opts->numeric_class,
                                              .ctx = &e,
                                              .skip = is_there,
                                              .take = take_sample,
                                              .progress = opts->progress,
                                              .progress_user = opts->progress_user};
    const uint64_t start = gw_now_ns();
    enum gwen_status status = gw_rewarded_run(rollout, prompts, &rewarded, score_s, stats, err);
    *generate_s = gw_seconds_since(start) - *score_s;
    return status;
}
