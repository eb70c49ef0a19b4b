/* golden_grpo.c - losses, metrics and gradients of the GRPO family under grpo/: the policy's own
 * log-probabilities first, then every case of cases.json from these, then the gradients of the
 * cases that golden.json lists.  Cases marked "extra" are skipped. */
#include "golden_sft.h"

#include "base/file.h"
#include "ops/loss.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_BYTES = 64 << 20 };

struct tolerances {
    double logprobs, advantages, loss, metrics, dloss, gradients;
};

/* Log-probabilities of all completions under one temperature. */
struct policy {
    double temperature;
    float *logps, *entropy;
    const float *ref, *old; /* of the golden */
};

struct subject {
    const char *dir;
    struct golden_counts *counts;
    struct tolerances tolerance;
    struct gw_json_doc manifest, cases;
    struct gw_safetensors *golden;
    struct golden_model model;
    size_t n, group, width; /* completions, of a prompt, and their longest */
    struct golden_tensor prompts, prompt_lengths, ids, lengths, truncated;
    struct gw_train_group *groups;
    struct gw_train_sample *samples;
    float *dlogps;
    struct policy policies[2]; /* temperature 1 and the other one */
    double *advantages[3];
    struct golden_tensor dloss;
};

/* One case of cases.json. */
struct grpo_case {
    struct gw_loss_opts opts;
    enum gw_advantage scale;
    bool mask_truncated, own_old;
    size_t n_micro_batches, id;
    const struct policy *policy;
};

/* --- the batch ------------------------------------------------------------------------------ */

static enum gwen_status read_batch(struct subject *s, struct gwen_err *err) {
    const struct gw_safetensors *st = s->golden;
    GW_TRY(golden_get(st, "prompt_ids", GW_DTYPE_I32, 2, &s->prompts, err));
    GW_TRY(golden_get(st, "prompt_lengths", GW_DTYPE_I32, 1, &s->prompt_lengths, err));
    GW_TRY(golden_get(st, "completion_ids", GW_DTYPE_I32, 2, &s->ids, err));
    GW_TRY(golden_get(st, "completion_lengths", GW_DTYPE_I32, 1, &s->lengths, err));
    GW_TRY(golden_get(st, "completion_truncated", GW_DTYPE_I32, 1, &s->truncated, err));
    GW_TRY(golden_get(st, "dloss_dlogp", GW_DTYPE_F32, 3, &s->dloss, err));
    const size_t n_prompts = s->prompts.shape[0];
    s->n = s->ids.shape[0];
    s->width = s->ids.shape[1];
    if (n_prompts == 0 || s->n % n_prompts != 0 || s->lengths.shape[0] != s->n ||
        s->truncated.shape[0] != s->n || s->prompt_lengths.shape[0] != n_prompts ||
        s->dloss.shape[1] != s->n || s->dloss.shape[2] != s->width)
        return gw_fail(err, GWEN_ERR_FORMAT, "grpo: unexpected shape");
    s->group = s->n / n_prompts;
    s->groups = calloc(n_prompts, sizeof *s->groups);
    s->samples = calloc(s->n, sizeof *s->samples);
    s->dlogps = calloc(s->n * s->width, sizeof *s->dlogps);
    if (s->groups == NULL || s->samples == NULL || s->dlogps == NULL)
        return gw_nomem(err, s->n * s->width, "completions");
    for (size_t i = 0; i < s->n; i++) {
        const int32_t length = s->lengths.i[i];
        if (length < 1 || (size_t)length > s->width)
            return gw_fail(err, GWEN_ERR_FORMAT, "completion_lengths: %d", length);
        s->samples[i] = (struct gw_train_sample){.ids = s->ids.i + i * s->width,
                                                 .n = (size_t)length,
                                                 .dlogprobs = s->dlogps + i * s->width};
    }
    for (size_t g = 0; g < n_prompts; g++)
        s->groups[g] = (struct gw_train_group){s->prompts.i + g * s->prompts.shape[1],
                                               (size_t)s->prompt_lengths.i[g],
                                               &s->samples[g * s->group], s->group};
    return GWEN_OK;
}

static enum gwen_status new_trainer(const struct subject *s, double temperature,
                                    struct gw_trainer **out, struct gwen_err *err) {
    const size_t longest = s->prompts.shape[1] + s->width;
    const struct gw_trainer_opts opts = {.micro_batch = 3,
                                         .max_rows = 3 * longest,
                                         .max_len = longest,
                                         .max_prompt = s->prompts.shape[1],
                                         .max_step_tokens = s->n * longest,
                                         .recompute = GW_RECOMPUTE_LAYER,
                                         .share_prompts = true,
                                         .temperature = temperature};
    return gw_trainer_create(s->model.model, s->model.pool, &opts, out, err);
}

/* Reads rows of log-probabilities, with the suffix of a temperature. */
static enum gwen_status get_rows(const struct subject *s, const char *name, const char *suffix,
                                 const float **out, struct gwen_err *err) {
    char full[128];
    struct golden_tensor t;
    snprintf(full, sizeof full, "%s%s", name, suffix);
    GW_TRY(golden_get(s->golden, full, GW_DTYPE_F32, 2, &t, err));
    if (t.shape[0] != s->n || t.shape[1] != s->width)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: unexpected shape", full);
    *out = t.f;
    return GWEN_OK;
}

static enum gwen_status run_policy(struct subject *s, struct policy *p, const char *suffix,
                                   struct gwen_err *err) {
    const float *logps, *entropy;
    struct gw_trainer *t;
    p->logps = calloc(s->n * s->width, sizeof *p->logps);
    p->entropy = calloc(s->n * s->width, sizeof *p->entropy);
    if (p->logps == NULL || p->entropy == NULL) return gw_nomem(err, s->n, "log-probabilities");
    GW_TRY(get_rows(s, "policy_logps", suffix, &logps, err));
    GW_TRY(get_rows(s, "policy_entropy", suffix, &entropy, err));
    GW_TRY(get_rows(s, "ref_logps", suffix, &p->ref, err));
    GW_TRY(get_rows(s, "old_logps", suffix, &p->old, err));
    for (size_t i = 0; i < s->n; i++) {
        s->samples[i].logprobs = p->logps + i * s->width;
        s->samples[i].entropy = p->entropy + i * s->width;
    }
    GW_TRY(new_trainer(s, p->temperature, &t, err));
    enum gwen_status status = gw_trainer_forward(t, s->groups, s->prompts.shape[0], err);
    gw_trainer_free(t);
    GW_TRY(status);
    const double off = golden_max_error(p->logps, logps, s->n * s->width);
    const double entropy_off = golden_max_error(p->entropy, entropy, s->n * s->width);
    printf("  grpo, temperature %g: log-probs max abs error %.2g, entropy %.2g (at most %.2g)\n",
           p->temperature, off, entropy_off, s->tolerance.logprobs);
    golden_case(s->counts, off <= s->tolerance.logprobs, "grpo: policy_logps%s: off by %g", suffix,
                off);
    golden_case(s->counts, entropy_off <= s->tolerance.logprobs,
                "grpo: policy_entropy%s: off by %g", suffix, entropy_off);
    return GWEN_OK;
}

/* --- advantages ----------------------------------------------------------------------------- */

static const char *const SCALES[] = {
    [GW_ADVANTAGE_GROUP] = "group", [GW_ADVANTAGE_BATCH] = "batch", [GW_ADVANTAGE_NONE] = "none"};

static enum gwen_status check_reward_stats(struct subject *s, const char *scale,
                                           const struct gw_reward_stats *stats,
                                           struct gwen_err *err) {
    struct gw_json_node all, one;
    double mean, std, zero;
    GW_TRY(gw_json_get_object(gw_json_root(&s->manifest), "batch_metrics_by_scale_rewards",
                              GW_JSON_REQUIRED, &all, err));
    GW_TRY(gw_json_get_object(all, scale, GW_JSON_REQUIRED, &one, err));
    GW_TRY(gw_json_get_double(one, "reward", GW_JSON_REQUIRED, -1e9, 1e9, &mean, err));
    GW_TRY(gw_json_get_double(one, "reward_std", GW_JSON_REQUIRED, 0, 1e9, &std, err));
    GW_TRY(gw_json_get_double(one, "frac_reward_zero_std", GW_JSON_REQUIRED, 0, 1, &zero, err));
    golden_compare_number("grpo", "reward", stats->mean, mean, s->tolerance.metrics, s->counts);
    golden_compare_number("grpo", "reward_std", stats->std, std, s->tolerance.metrics, s->counts);
    golden_compare_number("grpo", "frac_reward_zero_std", stats->frac_zero_std, zero,
                          s->tolerance.metrics, s->counts);
    return GWEN_OK;
}

static enum gwen_status check_advantages(struct subject *s, struct gwen_err *err) {
    struct golden_tensor rewards, wanted;
    GW_TRY(golden_get(s->golden, "rewards", GW_DTYPE_F32, 1, &rewards, err));
    if (rewards.shape[0] != s->n) return gw_fail(err, GWEN_ERR_FORMAT, "rewards: shape");
    double *r = calloc(s->n, sizeof *r);
    if (r == NULL) return gw_nomem(err, s->n, "rewards");
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < s->n; i++) r[i] = (double)rewards.f[i];
    for (size_t k = 0; k < GW_ARRAY_LEN(SCALES) && status == GWEN_OK; k++) {
        char name[64];
        struct gw_reward_stats stats;
        double worst = 0;
        snprintf(name, sizeof name, "advantages_%s", SCALES[k]);
        status = golden_get(s->golden, name, GW_DTYPE_F32, 1, &wanted, err);
        s->advantages[k] = calloc(s->n, sizeof *r);
        if (status != GWEN_OK || s->advantages[k] == NULL || wanted.shape[0] != s->n) break;
        gw_loss_advantages((enum gw_advantage)k, r, s->n, s->group, s->advantages[k], &stats);
        for (size_t i = 0; i < s->n; i++) {
            const double off = fabs(s->advantages[k][i] - (double)wanted.f[i]);
            worst = GW_MAX(worst, off);
        }
        golden_case(s->counts, worst <= s->tolerance.advantages, "grpo: %s: off by %g", name,
                    worst);
        status = check_reward_stats(s, SCALES[k], &stats, err);
    }
    free(r);
    return status;
}

/* --- cases ---------------------------------------------------------------------------------- */

static enum gwen_status choice(struct gw_json_node n, const char *key, const char *const *names,
                               size_t count, size_t *out, struct gwen_err *err) {
    const char *text;
    GW_TRY(gw_json_get_string(n, key, GW_JSON_REQUIRED, &text, err));
    for (*out = 0; *out < count; (*out)++)
        if (strcmp(text, names[*out]) == 0) return GWEN_OK;
    return gw_json_fail(n, err, GWEN_ERR_FORMAT, "%s: \"%s\" is not known", key, text);
}

static enum gwen_status read_case(const struct subject *s, struct gw_json_node n,
                                  struct grpo_case *c, struct gwen_err *err) {
    static const char *const losses[] = {"grpo", "bnpo", "dr_grpo", "dapo", "cispo"};
    static const char *const levels[] = {"token", "sequence"};
    static const char *const olds[] = {"perturbed", "policy"};
    size_t loss, level, scale, old;
    double temperature;
    *c = (struct grpo_case){.opts = {.delta = INFINITY, .max_completion_length = s->width}};
    GW_TRY(gw_json_get_size(n, "id", GW_JSON_REQUIRED, 0, s->dloss.shape[0] - 1, &c->id, err));
    GW_TRY(choice(n, "loss_type", losses, GW_ARRAY_LEN(losses), &loss, err));
    GW_TRY(choice(n, "importance_sampling_level", levels, 2, &level, err));
    GW_TRY(choice(n, "scale_rewards", SCALES, GW_ARRAY_LEN(SCALES), &scale, err));
    GW_TRY(choice(n, "old", olds, 2, &old, err));
    c->opts.loss = (enum gw_loss_type)loss;
    c->opts.sequence_level = level == 1;
    c->scale = (enum gw_advantage)scale;
    c->own_old = old == 1;
    GW_TRY(gw_json_get_double(n, "epsilon", GW_JSON_REQUIRED, 0, 1e9, &c->opts.epsilon, err));
    c->opts.epsilon_high = c->opts.epsilon;
    GW_TRY(gw_json_get_double(n, "epsilon_high", GW_JSON_OPTIONAL, 0, 1e9, &c->opts.epsilon_high,
                              err));
    GW_TRY(gw_json_get_double(n, "delta", GW_JSON_OPTIONAL, 0, 1e9, &c->opts.delta, err));
    GW_TRY(gw_json_get_double(n, "beta", GW_JSON_REQUIRED, 0, 1e9, &c->opts.beta, err));
    GW_TRY(gw_json_get_double(n, "temperature", GW_JSON_REQUIRED, 0, 1e9, &temperature, err));
    GW_TRY(gw_json_get_bool(n, "use_bias_correction_kl", GW_JSON_REQUIRED,
                            &c->opts.use_bias_correction_kl, err));
    GW_TRY(gw_json_get_bool(n, "mask_truncated_completions", GW_JSON_REQUIRED, &c->mask_truncated,
                            err));
    GW_TRY(
        gw_json_get_size(n, "micro_batches", GW_JSON_REQUIRED, 1, s->n, &c->n_micro_batches, err));
    c->policy = &s->policies[temperature == 1 ? 0 : 1];
    if (temperature != c->policy->temperature)
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "temperature %g", temperature);
    return GWEN_OK;
}

static bool is_masked(const struct subject *s, const struct grpo_case *c, size_t i) {
    return c->mask_truncated && s->truncated.i[i] != 0;
}

static size_t tokens_of(const struct subject *s, const struct grpo_case *c, size_t begin,
                        size_t end) {
    size_t n = 0;
    for (size_t i = begin; i < end; i++) n += is_masked(s, c, i) ? 0 : (size_t)s->lengths.i[i];
    return n;
}

/* Completion i: part of the loss, derivatives and metrics. */
static void run_completion(const struct subject *s, const struct grpo_case *c, size_t i,
                           double *loss, struct gw_loss_stats *stats) {
    const size_t rows = s->n / c->n_micro_batches, at = i * s->width;
    const size_t begin = i / rows * rows;
    const struct gw_loss_batch batch = {
        c->n_micro_batches, rows, tokens_of(s, c, begin, begin + rows), tokens_of(s, c, 0, s->n)};
    const bool masked = is_masked(s, c, i);
    const double weight = gw_loss_weight(&c->opts, &batch, masked ? 0 : (size_t)s->lengths.i[i]);
    const struct policy *p = c->policy;
    const struct gw_loss_input in = {.weight = weight,
                                     .advantage = s->advantages[c->scale][i],
                                     .masked = masked,
                                     .n = (size_t)s->lengths.i[i],
                                     .lp = p->logps + at,
                                     .old = (c->own_old ? p->logps : p->old) + at,
                                     .ref = p->ref + at,
                                     .entropy = p->entropy + at};
    gw_loss_completion(&c->opts, &in, loss, s->dlogps + at, stats);
}

/* A metric of micro-batch `index`: a number, or a list with one for each. */
static bool metric(struct gw_json_node metrics, const char *key, size_t index, double *out) {
    struct gw_json_node n;
    struct gwen_err err;
    if (!gw_json_find(metrics, key, &n)) return false;
    if (gw_json_is_array(n)) {
        n = gw_json_first(n);
        while (index-- > 0 && n.v != NULL) n = gw_json_next(n);
    }
    return n.v != NULL && gw_json_as_double(n, -1e9, 1e9, out, &err) == GWEN_OK;
}

/* The largest difference from the metrics that the case has; infinite when it has none. */
static double metrics_off(struct gw_json_node n, const struct gw_loss_opts *o,
                          const struct gw_loss_stats *stats, size_t index) {
    struct gw_loss_metrics m;
    struct gw_json_node metrics;
    double wanted, worst = 0;
    size_t found = 0;
    gw_loss_metrics(o, stats, &m);
    const struct {
        const char *key;
        double got;
    } all[] = {{"kl", m.kl},
               {"entropy", m.entropy},
               {"clip_ratio/low_mean", m.clip_low_mean},
               {"clip_ratio/high_mean", m.clip_high_mean},
               {"clip_ratio/region_mean", m.clip_region_mean},
               {"clip_ratio/low_min", m.clip_low_min},
               {"clip_ratio/high_max", m.clip_high_max},
               {"cispo_clip_ratio", m.cispo_clip_ratio}};
    if (!gw_json_find(n, "metrics", &metrics)) return INFINITY;
    for (size_t i = 0; i < GW_ARRAY_LEN(all); i++) {
        if (!metric(metrics, all[i].key, index, &wanted)) continue;
        const double off = fabs(all[i].got - wanted);
        if (!(off <= worst)) worst = off;
        found++;
    }
    return found == gw_json_size(metrics) ? worst : INFINITY;
}

static enum gwen_status run_case(struct subject *s, struct gw_json_node n, struct gwen_err *err) {
    struct grpo_case c;
    double wanted, loss = 0, off = 0, off_dloss = 0;
    GW_TRY(read_case(s, n, &c, err));
    GW_TRY(gw_json_get_double(n, "loss", GW_JSON_REQUIRED, -1e9, 1e9, &wanted, err));
    memset(s->dlogps, 0, s->n * s->width * sizeof *s->dlogps);
    for (size_t m = 0; m < c.n_micro_batches; m++) {
        const size_t rows = s->n / c.n_micro_batches;
        struct gw_loss_stats stats = {0};
        for (size_t i = m * rows; i < (m + 1) * rows; i++) run_completion(s, &c, i, &loss, &stats);
        const double own = metrics_off(n, &c.opts, &stats, m);
        if (!(own <= off)) off = own;
    }
    off_dloss = golden_max_error(s->dlogps, s->dloss.f + c.id * s->n * s->width, s->n * s->width);
    golden_case(s->counts,
                fabs(loss - wanted) <= s->tolerance.loss && off <= s->tolerance.metrics &&
                    off_dloss <= s->tolerance.dloss,
                "grpo case %zu: loss %.9g, not %.9g; metrics off by %g, dloss_dlogp by %g", c.id,
                loss, wanted, off, off_dloss);
    return GWEN_OK;
}

static enum gwen_status run_cases(struct subject *s, struct gwen_err *err) {
    size_t skipped = 0;
    for (struct gw_json_node n = gw_json_first(gw_json_root(&s->cases)); n.v != NULL;
         n = gw_json_next(n)) {
        if (gw_json_has(n, "extra"))
            skipped++;
        else
            GW_TRY(run_case(s, n, err));
    }
    for (size_t i = 0; i < skipped; i++) s->counts->skipped++;
    if (skipped > 0) printf("skip grpo: %zu cases with less common options\n", skipped);
    return GWEN_OK;
}

/* --- gradients ------------------------------------------------------------------------------ */

struct gradient {
    struct subject *s;
    struct grpo_case c;
    double loss;
};

static void case_loss(void *ctx, size_t group, size_t sample, const struct gw_train_sample *t) {
    struct gradient *g = ctx;
    struct gw_loss_stats stats = {0};
    (void)t; /* its arrays are those of the policy */
    run_completion(g->s, &g->c, group * g->s->group + sample, &g->loss, &stats);
}

static enum gwen_status run_gradient(struct subject *s, const char *name, struct gw_json_node entry,
                                     struct gwen_err *err) {
    struct gradient g = {.s = s};
    struct gw_trainer *t;
    char prefix[128], shown[160];
    size_t id;
    GW_TRY(gw_json_get_size(entry, "case", GW_JSON_REQUIRED, 0, 1 << 20, &id, err));
    struct gw_json_node n = gw_json_first(gw_json_root(&s->cases));
    while (id-- > 0 && n.v != NULL) n = gw_json_next(n);
    GW_TRY(read_case(s, n, &g.c, err));
    snprintf(prefix, sizeof prefix, "grad.%s.", name);
    snprintf(shown, sizeof shown, "grpo, case %zu", g.c.id);
    for (size_t i = 0; i < s->n; i++) {
        s->samples[i].logprobs = g.c.policy->logps + i * s->width;
        s->samples[i].entropy = g.c.policy->entropy + i * s->width;
    }
    GW_TRY(new_trainer(s, g.c.policy->temperature, &t, err));
    enum gwen_status status =
        gw_trainer_accumulate(t, s->groups, s->prompts.shape[0], case_loss, &g, err);
    if (status == GWEN_OK) {
        gw_trainer_finish(t);
        golden_compare_gradients(shown, prefix, s->golden, gw_trainer_params(t),
                                 gw_trainer_grads(t), s->tolerance.gradients, s->counts);
    }
    gw_trainer_free(t);
    return status;
}

static enum gwen_status run_gradients(struct subject *s, struct gwen_err *err) {
    struct gw_json_node cases, tensors;
    GW_TRY(gw_json_get_object(gw_json_root(&s->manifest), "gradient_cases", GW_JSON_REQUIRED,
                              &cases, err));
    for (struct gw_json_node n = gw_json_first(cases); n.v != NULL; n = gw_json_next(n))
        if (gw_json_find(n, "tensors", &tensors)) /* others give norms alone */
            GW_TRY(run_gradient(s, gw_json_key(n), n, err));
    return GWEN_OK;
}

/* --- all ------------------------------------------------------------------------------------ */

static enum gwen_status open_subject(struct subject *s, struct gwen_err *err) {
    char *manifest = golden_path(s->dir, "grpo/golden.json");
    char *cases = golden_path(s->dir, "grpo/cases.json");
    char *tensors = golden_path(s->dir, "grpo/golden.safetensors");
    struct gw_str model = {0};
    const char *name;
    enum gwen_status status = gw_json_load(manifest, JSON_BYTES, &s->manifest, err);
    if (status == GWEN_OK) status = gw_json_load(cases, JSON_BYTES, &s->cases, err);
    if (status == GWEN_OK) status = gw_safetensors_open(tensors, &s->golden, err);
    if (status == GWEN_OK)
        status =
            gw_json_get_string(gw_json_root(&s->manifest), "model", GW_JSON_REQUIRED, &name, err);
    if (status == GWEN_OK) {
        gw_str_printf(&model, "%s/grpo/%s", s->dir, name);
        status = golden_model_open(model.data, &s->model, err);
    }
    gw_str_free(&model);
    free(manifest);
    free(cases);
    free(tensors);
    return status;
}

/* The temperature that is not 1, of some case. */
static double other_temperature(const struct subject *s) {
    struct gwen_err err;
    double t = 1;
    for (struct gw_json_node n = gw_json_first(gw_json_root(&s->cases)); n.v != NULL && t == 1;
         n = gw_json_next(n))
        if (gw_json_get_double(n, "temperature", GW_JSON_REQUIRED, 0, 1e9, &t, &err) != GWEN_OK)
            t = 1;
    return t;
}

static enum gwen_status run_subject(struct subject *s, struct gwen_err *err) {
    GW_TRY(open_subject(s, err));
    GW_TRY(read_batch(s, err));
    s->policies[0].temperature = 1;
    s->policies[1].temperature = other_temperature(s);
    GW_TRY(run_policy(s, &s->policies[0], "", err));
    GW_TRY(run_policy(s, &s->policies[1], "_temperature", err));
    GW_TRY(check_advantages(s, err));
    GW_TRY(run_cases(s, err));
    return run_gradients(s, err);
}

void golden_grpo(const char *dir, struct golden_counts *counts) {
    struct subject s = {
        .dir = dir,
        .counts = counts,
        .tolerance = {.logprobs = golden_tolerance(
                          dir, "grpo: policy and reference log-probs, entropy", 0, counts),
                      .advantages = golden_tolerance(dir, "grpo: advantages", 0, counts),
                      .loss = golden_tolerance(dir, "grpo: loss, from own log-probs", 0, counts),
                      .metrics = golden_tolerance(dir, "grpo: metrics", 0, counts),
                      .dloss = golden_tolerance(dir, "grpo: dloss_dlogp", 0, counts),
                      .gradients = golden_tolerance(
                          dir, "grpo: gradients, relative to the tensor's largest", 0, counts)}};
    struct gwen_err err;
    if (run_subject(&s, &err) != GWEN_OK) golden_error(counts, &err, "grpo");
    for (size_t i = 0; i < 2; i++) {
        free(s.policies[i].logps);
        free(s.policies[i].entropy);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(s.advantages); i++) free(s.advantages[i]);
    free(s.groups);
    free(s.samples);
    free(s.dlogps);
    golden_model_close(&s.model);
    gw_safetensors_close(s.golden);
    gw_json_free(&s.manifest);
    gw_json_free(&s.cases);
}
