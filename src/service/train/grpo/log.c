/* log.c - see impl.h: metrics of a step, and its samples in OUT/rollouts. */
#include "service/train/grpo/impl.h"

#include "base/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of a step that was left out there are none: how far it came depends on how it was cut. */
static void put_loss_metrics(struct gw_grpo *g, bool skipped, struct gw_metrics *m) {
    const double from = skipped ? NAN : 0;
    struct gw_loss_metrics sum = {from, from, from, from, from, from, from, from};
    size_t n = 0;
    for (size_t b = 0; b < g->size.accumulation; b++) n += g->pass.batches[b].rows > 0;
    for (size_t b = 0; b < g->size.accumulation; b++) {
        struct gw_loss_metrics one;
        if (g->pass.batches[b].rows == 0) continue; /* all of it was left out */
        gw_loss_metrics(&g->loss, &g->pass.stats[b], &one);
        const double share = 1.0 / (double)n;
        sum.kl += one.kl * share;
        sum.entropy += one.entropy * share;
        sum.clip_low_mean += one.clip_low_mean * share;
        sum.clip_low_min += one.clip_low_min * share;
        sum.clip_high_mean += one.clip_high_mean * share;
        sum.clip_high_max += one.clip_high_max * share;
        sum.clip_region_mean += one.clip_region_mean * share;
        sum.cispo_clip_ratio += one.cispo_clip_ratio * share;
    }
    gw_metrics_put(m, "entropy", sum.entropy);
    if (g->loss.beta > 0) gw_metrics_put(m, "kl", sum.kl);
    if (g->loss.loss == GW_LOSS_CISPO) {
        gw_metrics_put(m, "cispo_clip_ratio", sum.cispo_clip_ratio);
        return;
    }
    gw_metrics_put(m, "clip_ratio/low_mean", sum.clip_low_mean);
    gw_metrics_put(m, "clip_ratio/low_min", sum.clip_low_min);
    gw_metrics_put(m, "clip_ratio/high_mean", sum.clip_high_mean);
    gw_metrics_put(m, "clip_ratio/high_max", sum.clip_high_max);
    gw_metrics_put(m, "clip_ratio/region_mean", sum.clip_region_mean);
}

/* Mean, least and most tokens of the completions, or of those that came to their end (none: 0). */
static void put_lengths(const struct gw_grpo *g, bool terminated, const char *mean,
                        const char *least, const char *most, struct gw_metrics *m) {
    size_t n = 0, sum = 0, lo = SIZE_MAX, hi = 0;
    for (size_t i = 0; i < g->size.completions; i++) {
        const struct gw_kept_sample *c = &g->drawn.kept.samples[i];
        if (terminated && c->finish == GW_FINISH_LENGTH) continue;
        n++;
        sum += c->n;
        lo = GW_MIN(lo, c->n);
        hi = GW_MAX(hi, c->n);
    }
    gw_metrics_put(m, mean, n > 0 ? (double)sum / (double)n : 0);
    gw_metrics_put(m, least, n > 0 ? (double)lo : 0);
    gw_metrics_put(m, most, (double)hi);
}

static void put_metrics(struct gw_grpo *g, const struct gw_learner_report *r) {
    struct gw_metrics *m = &g->run->metrics;
    const struct gw_train_state *at = &g->run->state;
    const size_t n = g->size.completions;
    double tokens = at->step > 1 ? gw_metrics_get(m, "num_tokens") : 0;
    size_t clipped = 0;
    if (g->pass.update == 0)
        tokens += (double)(g->counts.sampled + g->size.group * g->counts.prompt_tokens);
    for (size_t i = 0; i < n; i++) clipped += g->drawn.kept.samples[i].finish == GW_FINISH_LENGTH;
    gw_metrics_clear(m);
    gw_metrics_put(m, "loss", r->skipped ? NAN : g->pass.loss);
    gw_metrics_put(m, "grad_norm", r->grad_norm);
    gw_metrics_put(m, "learning_rate", r->learning_rate);
    gw_metrics_put(m, "num_tokens", tokens);
    put_lengths(g, false, "completions/mean_length", "completions/min_length",
                "completions/max_length", m);
    gw_metrics_put(m, "completions/clipped_ratio", (double)clipped / (double)n);
    put_lengths(g, true, "completions/mean_terminated_length", "completions/min_terminated_length",
                "completions/max_terminated_length", m);
    gw_rewards_put_metrics(g->opts->rewards, g->drawn.kept.scores, g->drawn.rewards, n, m);
    gw_rewards_put_source_metrics(g->opts->rewards, g->drawn.kept.inputs, g->drawn.kept.scores, n,
                                  m);
    gw_metrics_put(m, "frac_reward_zero_std", g->weighed.frac_zero_std);
    put_loss_metrics(g, r->skipped, m);
    if (g->run->config->dynamic_sampling && g->pass.update == 0) {
        gw_metrics_put(m, "dynamic_sampling/rounds", (double)g->counts.rounds);
        gw_metrics_put(m, "dynamic_sampling/dropped_groups", (double)g->counts.dropped);
    }
    gw_metrics_put(m, "epoch", (double)at->epoch + (double)at->row / (double)g->opts->prompts->n);
    gw_metrics_put(m, "skipped_steps", (double)g->learner->optimizer->skipped);
    if (g->opts->verify)
        gw_metrics_put(m, "differing_logprobs", r->skipped ? NAN : (double)g->pass.differing);
}

static void put_reward(struct gw_str *s, float reward) {
    if (isfinite(reward))
        gw_str_put_float(s, reward);
    else
        gw_str_puts(s, "null");
}

/* What a reader wants beside the row: the prompt's text, each reward by its name. */
static void put_scores(const struct gw_grpo *g, size_t i, struct gw_str *s) {
    const struct gw_rewards *rewards = g->opts->rewards;
    const size_t count = gw_rewards_count(rewards);
    gw_str_puts(s, ",\"prompt\":");
    gw_str_put_json(s, g->drawn.kept.inputs[i].prompt, g->drawn.kept.inputs[i].prompt_len);
    gw_str_puts(s, ",\"rewards\":{");
    for (size_t k = 0; k < count; k++) {
        const char *name = gw_rewards_name(rewards, k);
        if (k > 0) gw_str_putc(s, ',');
        gw_str_put_json(s, name, strlen(name));
        gw_str_putc(s, ':');
        put_reward(s, g->drawn.kept.scores[i * count + k]);
    }
    gw_str_putc(s, '}');
}

static enum gwen_status write_rollouts(const struct gw_grpo *g, const char *path,
                                       struct gwen_err *err) {
    struct gw_out *out;
    struct gw_str end = {0};
    enum gwen_status status = GWEN_OK;
    GW_TRY(gw_out_open(path, &out, err));
    for (size_t i = 0; i < g->size.completions && status == GWEN_OK; i++) {
        const struct gw_str *row = &g->drawn.kept.samples[i].row;
        gw_str_clear(&end);
        put_scores(g, i, &end);
        gw_str_puts(&end, ",\"reward\":");
        put_reward(&end, g->drawn.rewards[i]);
        gw_str_puts(&end, ",\"advantage\":");
        put_reward(&end, (float)g->weighed.advantages[i]);
        gw_str_puts(&end, "}\n");
        if (end.failed) status = gw_nomem(err, end.len, "a row");
        if (status == GWEN_OK) status = gw_out_write(out, row->data, row->len - 2, err);
        if (status == GWEN_OK) status = gw_out_write(out, end.data, end.len, err);
    }
    gw_str_free(&end);
    if (status == GWEN_OK) return gw_out_commit(out, err);
    gw_out_abort(out);
    return status;
}

static enum gwen_status rollouts_path(const struct gw_grpo *g, uint64_t step, struct gw_str *path,
                                      struct gwen_err *err) {
    char name[64];
    snprintf(name, sizeof name, "rollouts/step-%" PRIu64 ".jsonl", step);
    return gw_path_join(path, g->run->dir, name, err);
}

/* Samples of steps after the checkpoint that the run goes on from. */
enum gwen_status gw_grpo_cut_rollouts(const struct gw_grpo *g, struct gwen_err *err) {
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, g->run->dir, "rollouts", err);
    if (status == GWEN_OK) status = gw_dir_make(path.data, err);
    const uint64_t used = g->run->state.used, updates = g->size.updates;
    bool there = false;
    uint64_t step = g->run->state.step + 1 + (used > 0 ? updates - used : 0);
    for (; status == GWEN_OK; step += updates) {
        status = rollouts_path(g, step, &path, err);
        if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
        if (status != GWEN_OK || !there) break;
        if (unlink(path.data) != 0)
            status = gw_fail(err, GWEN_ERR_IO, "cannot remove %s", path.data);
    }
    gw_str_free(&path);
    return status;
}

static enum gwen_status log_rollout(struct gw_grpo *g, struct gwen_err *err) {
    struct gw_str path = {0};
    enum gwen_status status = rollouts_path(g, g->run->state.step, &path, err);
    if (status == GWEN_OK) status = write_rollouts(g, path.data, err);
    gw_str_free(&path);
    return status;
}

/* At most n bytes of a text, of its beginning or its end, in quotes; no character is cut. */
static void put_quoted(struct gw_str *out, const struct gw_str *text, size_t n, bool at_end) {
    size_t begin = at_end && text->len > n ? text->len - n : 0;
    size_t end = GW_MIN(text->len, begin + n);
    while (begin > 0 && begin < end && (text->data[begin] & 0xC0) == 0x80) begin++;
    while (end < text->len && end > begin && (text->data[end] & 0xC0) == 0x80) end--;
    gw_str_put_json(out, text->data + begin, end - begin);
}

/* Completions from all over the rollout, each in a line; a rollout that comes from a checkpoint has
 * no texts. */
static void tell_completions(const struct gw_grpo *g) {
    const struct gw_train_config *c = g->run->config;
    const size_t n = g->size.completions, wanted = c->num_completions_to_print;
    const size_t told = wanted == 0 ? n : GW_MIN(wanted, n);
    for (size_t k = 0; k < told; k++) {
        const size_t i = k * n / told;
        const struct gw_str *prompt = &g->drawn.kept.prompt_texts[i / g->size.group];
        const struct gw_str *text = &g->drawn.kept.samples[i].text;
        struct gw_str line = {0};
        if (text->data == NULL) return;
        gw_str_printf(&line, "  reward %.3g | advantage %.3g | ", (double)g->drawn.rewards[i],
                      g->weighed.advantages[i]);
        put_quoted(&line, prompt, 200, true);
        gw_str_puts(&line, " -> ");
        put_quoted(&line, text, 1200, false);
        if (!line.failed) gw_log(g->run->host->log, GWEN_LOG_INFO, "%s", line.data);
        gw_str_free(&line);
    }
}

enum gwen_status gw_grpo_log_step(struct gw_grpo *g, struct gw_step_report *line,
                                  const struct gw_learner_report *report, struct gwen_err *err) {
    struct gw_metrics *m = &g->run->metrics;
    const bool sampled = g->pass.update == 0;
    /* Groups may have changed places since they were rewarded. */
    gw_kept_inputs(&g->drawn.kept, g->drawn.prompts, 0, g->size.completions);
    if (sampled) GW_TRY(log_rollout(g, err));
    put_metrics(g, report);
    line->loss = gw_metrics_get(m, "loss");
    line->reward = gw_metrics_get(m, "reward");
    line->rollout_tok_s = (double)g->counts.sampled / g->counts.rollout_s;
    line->train_tok_s =
        (double)g->pass.trained / (g->pass.seconds + report->optimizer_s + report->repack_s);
    gw_metrics_put(m, "time/train/rollout_s", sampled ? g->counts.rollout_s : 0);
    gw_metrics_put(m, "time/train/reward_s", sampled ? g->counts.reward_s : 0);
    gw_metrics_put(m, "time/train/reference_s", sampled ? g->counts.reference_s : 0);
    gw_metrics_put(m, "time/train/forward_backward_s", g->pass.seconds);
    gw_metrics_put(m, "time/train/optimizer_s", report->optimizer_s);
    gw_metrics_put(m, "time/train/repack_s", report->repack_s);
    gw_metrics_put(m, "time/train/rollout_tokens_per_s", line->rollout_tok_s);
    gw_metrics_put(m, "time/train/tokens_per_s", line->train_tok_s);
    return GWEN_OK;
}

enum gwen_status gw_grpo_log_row(struct gw_grpo *g, struct gw_step_report *line,
                                 struct gwen_err *err) {
    struct gw_metrics *m = &g->run->metrics;
    for (size_t i = 0; i < g->eval.n; i++)
        gw_metrics_put(m, g->eval.items[i].name, g->eval.items[i].value);
    m->failed |= g->eval.failed;
    GW_TRY(gw_train_run_step(g->run, line, err));
    GW_TRY(gw_grpo_tell_evaluation(g, err));
    if (g->run->config->log_completions && gw_train_run_is_told(g->run, g->run->state.step))
        tell_completions(g);
    return GWEN_OK;
}
