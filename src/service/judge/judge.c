/* judge.c - see judge.h. */
#include "service/judge/judge.h"

#include "base/clock.h"
#include "base/knob.h"
#include "base/rng.h"
#include "ref/math.h"
#include "service/record/fingerprint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A verdict that is wanted of the model. */
struct question {
    size_t item, criterion;
    struct gw_judge_key key;
    struct gw_ids ids;
    int32_t *out; /* [max_tokens] */
};

struct gw_judge {
    struct gw_judge_opts o;
    struct gw_prompt_chat chat;
    struct gw_prompt_opts prompts;
    json_t *chat_args;
    int32_t grade_ids[GW_GRADES];
    struct gw_model *model;
    struct gw_pool *pool;
    struct gw_scorer *scorer;
    struct gw_scorer_opts held; /* what it was made with */
    size_t chunk;               /* 0: not chosen yet */
    uint64_t frame;             /* hash of everything but the texts that a verdict depends on */
    struct gw_judge_stats stats;
    /* of the chunk in progress */
    struct question *questions; /* [n_questions] */
    struct gw_score_request *requests;
    size_t n_questions;
    size_t first; /* number of the call's first item */
    struct gw_verdict *verdicts;
    struct gw_progress progress;
    size_t answers;          /* of the call */
    enum gwen_status status; /* of writing to the cache, or being told to stop */
    struct gwen_err err;
};

/* --- making --------------------------------------------------------------------------------- */

/* The token that a grade is at the beginning of an answer. */
static enum gwen_status find_grade_ids(struct gw_judge *j, struct gwen_err *err) {
    for (int g = 0; g < GW_GRADES; g++) {
        const char digit = (char)('1' + g);
        struct gw_str bytes = {0};
        int32_t id = gw_tokenizer_id_of_token(j->o.tokenizer, &digit, 1);
        enum gwen_status status =
            id >= 0 ? gw_tokenizer_token_bytes(j->o.tokenizer, id, &bytes, err) : GWEN_OK;
        bool good = id >= 0 && (size_t)id < j->o.plan.cfg->vocab_size && bytes.len == 1 &&
                    bytes.data[0] == digit;
        gw_str_free(&bytes);
        GW_TRY(status);
        if (!good)
            return gw_fail(err, GWEN_ERR_ARGUMENT,
                           "the judge's tokenizer has no token \"%c\": use %s generate", digit,
                           gw_knob(GW_KNOB_JUDGE_MODE));
        j->grade_ids[g] = id;
    }
    return GWEN_OK;
}

static enum gwen_status set_up(struct gw_judge *j, struct gwen_err *err) {
    const struct gw_judge_opts *o = &j->o;
    j->chat_args = json_pack("{s:b}", "enable_thinking", 0);
    if (j->chat_args == NULL) return gw_nomem(err, 0, "template arguments");
    gw_prompt_chat_open(o->tokenizer, o->now, &j->chat);
    j->prompts =
        (struct gw_prompt_opts){.tokenizer = o->tokenizer,
                                .chat = &j->chat,
                                .chat_args = j->chat_args,
                                .as_chat = gw_tokenizer_chat_template(o->tokenizer, NULL) != NULL,
                                .system = o->rubric->system[0] != '\0' ? o->rubric->system : NULL,
                                .vocab_size = o->plan.cfg->vocab_size,
                                .context = o->plan.cfg->max_position_embeddings};
    return o->mode == GW_JUDGE_LOGITS ? find_grade_ids(j, err) : GWEN_OK;
}

enum gwen_status gw_judge_create(const struct gw_judge_opts *opts, struct gw_judge **out,
                                 struct gwen_err *err) {
    *out = NULL;
    struct gw_judge *j = calloc(1, sizeof *j);
    if (j == NULL) return gw_nomem(err, sizeof *j, "the judge");
    j->o = *opts;
    j->chunk = opts->chunk;
    enum gwen_status status = set_up(j, err);
    if (status != GWEN_OK) {
        gw_judge_free(j);
        return status;
    }
    *out = j;
    return GWEN_OK;
}

void gw_judge_free(struct gw_judge *j) {
    if (j == NULL) return;
    gw_scorer_free(j->scorer);
    gw_prompt_chat_close(&j->chat);
    json_decref(j->chat_args);
    free(j);
}

double gw_judge_reward(const struct gw_rubric *rubric, const struct gw_verdict *verdicts) {
    double grades[GW_RUBRIC_MAX_CRITERIA];
    for (size_t i = 0; i < rubric->n; i++) grades[i] = (double)verdicts[i].grade;
    return gw_rubric_reward(rubric, grades);
}

void gw_judge_put_scores(struct gw_str *out, const struct gw_rubric *rubric,
                         const struct gw_verdict *verdicts) {
    gw_str_putc(out, '{');
    for (size_t i = 0; i < rubric->n; i++) {
        if (i > 0) gw_str_putc(out, ',');
        gw_str_put_json(out, rubric->criteria[i].name, strlen(rubric->criteria[i].name));
        gw_str_putc(out, ':');
        gw_str_put_float(out, verdicts[i].grade);
    }
    gw_str_putc(out, '}');
}

struct gw_judge_stats gw_judge_stats(const struct gw_judge *j) {
    struct gw_judge_stats stats = j->stats;
    stats.chunk = j->chunk;
    return stats;
}

/* --- prompts of the judge ------------------------------------------------------------------- */

static enum gwen_status encode_chat(const struct gw_judge *j, const struct gw_str *user,
                                    struct gw_ids *ids, struct gwen_err *err) {
    json_t *messages = json_pack("[{s:s, s:s%}]", "role", "user", "content", user->data, user->len);
    if (messages == NULL) return gw_nomem(err, user->len, "a message");
    enum gwen_status status = gw_prompt_encode_chat(&j->prompts, messages, NULL, true, ids, err);
    json_decref(messages);
    return status;
}

static enum gwen_status encode_plain(const struct gw_judge *j, const struct gw_str *user,
                                     struct gw_ids *ids, struct gwen_err *err) {
    struct gw_str text = {0};
    if (j->prompts.system != NULL) gw_str_printf(&text, "%s\n\n", j->prompts.system);
    gw_str_put(&text, user->data, user->len);
    enum gwen_status status = text.failed ? gw_nomem(err, text.len, "a prompt")
                                          : gw_tokenizer_encode(j->o.tokenizer, text.data, text.len,
                                                                GW_ENCODE_ADD_SPECIAL, ids, err);
    gw_str_free(&text);
    return status;
}

static enum gwen_status check_ids(const struct gw_judge *j, const struct gw_ids *ids,
                                  struct gwen_err *err) {
    const size_t more = j->o.mode == GW_JUDGE_GENERATE ? j->o.max_tokens : 0;
    if (ids->len == 0) return gw_fail(err, GWEN_ERR_ARGUMENT, "the judge's prompt has no tokens");
    if (ids->len > j->prompts.context || more > j->prompts.context - ids->len)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "rubric, prompt and response make %zu tokens%s, the judge's context is %zu",
                       ids->len, more > 0 ? " beside those of the verdict" : "",
                       j->prompts.context);
    return gw_prompt_check_ids(ids->data, ids->len, j->prompts.vocab_size, err);
}

static enum gwen_status encode(const struct gw_judge *j, const struct gw_judge_item *item,
                               size_t criterion, struct gw_ids *ids, struct gwen_err *err) {
    struct gw_str user = {0};
    gw_rubric_put(j->o.rubric, criterion, item->prompt, item->prompt_len, item->response,
                  item->response_len, &user);
    enum gwen_status status = user.failed          ? gw_nomem(err, user.len, "a prompt")
                              : j->prompts.as_chat ? encode_chat(j, &user, ids, err)
                                                   : encode_plain(j, &user, ids, err);
    gw_str_free(&user);
    return status == GWEN_OK ? check_ids(j, ids, err) : status;
}

static void clear_chunk(struct gw_judge *j) {
    for (size_t i = 0; i < j->n_questions; i++) {
        gw_ids_free(&j->questions[i].ids);
        free(j->questions[i].out);
    }
    free(j->questions);
    free(j->requests);
    j->questions = NULL;
    j->requests = NULL;
    j->n_questions = 0;
}

/* --- the cache ------------------------------------------------------------------------------ */

/* Everything but prompt, response and criterion: the judge as it computes, what it is asked with,
 * and the chat template with its date, by what it makes of an empty message. */
static enum gwen_status make_frame(struct gw_judge *j, struct gwen_err *err) {
    const struct gw_str nothing = {.data = (char[]){""}};
    uint64_t model;
    const size_t eos_bytes = j->o.n_eos * sizeof *j->o.eos;
    struct gw_ids probe = {0};
    const struct gw_scorer_opts *scorer = &j->o.plan.scorer;
    const struct gw_lora *lora = scorer->frozen ? scorer->lora : j->model->lora;
    GW_TRY(gw_model_fingerprint(j->model, lora, j->pool, &model, err));
    enum gwen_status status = j->prompts.as_chat ? encode_chat(j, &nothing, &probe, err) : GWEN_OK;
    const char *class = gw_numeric_class(j->model->format, &j->model->kern);
    const bool generates = j->o.mode == GW_JUDGE_GENERATE;
    const uint64_t parts[] = {2, /* of this list */
                              model,
                              gw_tokenizer_fingerprint(j->o.tokenizer),
                              gw_hash64(class, strlen(class)),
                              (uint64_t)j->o.mode,
                              generates ? j->o.max_tokens : 0,
                              generates ? gw_hash64(j->o.eos, eos_bytes) : 0,
                              j->o.rubric->hash,
                              probe.len > 0 ? gw_hash64(probe.data, probe.len * sizeof *probe.data)
                                            : 0};
    j->frame = gw_hash64(parts, sizeof parts);
    gw_ids_free(&probe);
    return status;
}

static struct gw_judge_key key_of(const struct gw_judge *j, const struct gw_judge_item *item,
                                  size_t criterion) {
    const char *text = j->o.rubric->criteria[criterion].text;
    uint64_t parts[] = {0,
                        j->frame,
                        gw_hash64(item->prompt, item->prompt_len),
                        item->prompt_len,
                        gw_hash64(item->response, item->response_len),
                        item->response_len,
                        gw_hash64(text, strlen(text))};
    struct gw_judge_key key = {{gw_hash64(parts, sizeof parts), 0}};
    parts[0] = 1;
    key.word[1] = gw_hash64(parts, sizeof parts);
    return key;
}

/* --- answers -------------------------------------------------------------------------------- */

static void count(struct gw_judge *j, const struct gw_verdict *v) {
    j->stats.evaluations += !v->cached;
    j->stats.cached += v->cached;
    j->stats.parse_failures += !v->parsed;
}

/* Takes in the answer to question i: keeps it, and shows it to whoever looks. */
static void answer(struct gw_judge *j, size_t i, struct gw_verdict v, const float *logits) {
    const struct question *q = &j->questions[i];
    const struct gw_score_request *r = &j->requests[i];
    j->verdicts[q->item * j->o.rubric->n + q->criterion] = v;
    count(j, &v);
    if (j->o.cache != NULL && j->status == GWEN_OK)
        j->status = gw_judge_cache_put(j->o.cache, q->key,
                                       (struct gw_judge_known){v.grade, v.parsed}, &j->err);
    if (j->o.look != NULL) {
        const struct gw_judge_look look = {.item = j->first + q->item,
                                           .criterion = q->criterion,
                                           .prompt_ids = q->ids.data,
                                           .n_prompt = q->ids.len,
                                           .ids = q->out,
                                           .n = r->n_new,
                                           .logits = logits,
                                           .verdict = v};
        j->o.look(j->o.look_ctx, &look);
    }
    j->answers++;
}

/* GENERATE: what was written has a grade in it, or not. */
static void on_done(void *ctx, size_t index) {
    struct gw_judge *j = ctx;
    const struct gw_score_request *r = &j->requests[index];
    struct gw_str text = {0};
    if (j->status == GWEN_OK)
        j->status = gw_tokenizer_decode(j->o.tokenizer, r->out, r->n_new, true, &text, &j->err);
    if (j->status != GWEN_OK) {
        gw_str_free(&text);
        return;
    }
    int grade = gw_rubric_find_grade(text.data != NULL ? text.data : "", text.len);
    gw_str_free(&text);
    const struct gw_verdict v = {.grade = (float)(grade > 0 ? grade : GW_GRADE_DEFAULT),
                                 .parsed = grade > 0};
    answer(j, index, v, NULL);
}

/* LOGITS: sum of g p(g), p being the softmax over the five. */
static void on_logits(void *ctx, size_t index, size_t t, const float *z) {
    struct gw_judge *j = ctx;
    float logits[GW_GRADES], max = -INFINITY;
    double sum = 0, weighted = 0;
    (void)t;
    for (int g = 0; g < GW_GRADES; g++) {
        logits[g] = z[j->grade_ids[g]];
        max = GW_MAX(max, logits[g]);
    }
    for (int g = 0; g < GW_GRADES; g++) {
        double p = (double)gwen_exp(logits[g] - max);
        sum += p;
        weighted += (g + 1) * p;
    }
    answer(j, index, (struct gw_verdict){.grade = (float)(weighted / sum), .parsed = true}, logits);
}

static bool go_on(void *ctx) {
    struct gw_judge *j = ctx;
    if (j->status == GWEN_OK)
        j->status = gw_progress_update(&j->progress, j->answers / j->o.rubric->n, &j->err);
    return j->status == GWEN_OK;
}

/* --- memory --------------------------------------------------------------------------------- */

static size_t common(const struct gw_ids *a, const struct gw_ids *b, size_t most) {
    size_t n = GW_MIN(most, GW_MIN(a->len, b->len)), i = 0;
    while (i < n && a->data[i] == b->data[i]) i++;
    return i;
}

/* What the questions of a chunk need: the longest, and the blocks that one response takes at most
 * beside what it shares with the others. */
struct need {
    size_t longest, item_blocks;
};

static struct need need_of(const struct gw_judge *j) {
    const size_t more = j->o.mode == GW_JUDGE_GENERATE ? j->o.max_tokens : 0;
    struct need need = {0};
    size_t all = SIZE_MAX;
    for (size_t i = 1; i < j->n_questions; i++)
        all = common(&j->questions[0].ids, &j->questions[i].ids, all);
    if (j->n_questions < 2) all = 0;
    for (size_t i = 0, end; i < j->n_questions; i = end) {
        size_t shared = j->questions[i].ids.len, blocks = 0;
        for (end = i; end < j->n_questions && j->questions[end].item == j->questions[i].item; end++)
            shared = common(&j->questions[i].ids, &j->questions[end].ids, shared);
        for (size_t k = i; k < end; k++) {
            size_t len = j->questions[k].ids.len + more;
            need.longest = GW_MAX(need.longest, len);
            blocks += gw_kv_blocks_for(len) - shared / GW_KV_BLOCK;
        }
        blocks += gw_kv_blocks_for(shared) - GW_MIN(all, shared) / GW_KV_BLOCK;
        need.item_blocks = GW_MAX(need.item_blocks, blocks);
    }
    return need;
}

/* Without decoding only what is under way counts: two long prompts around the edge of a pass, and
 * short ones that fill it. */
size_t gw_judge_blocks(size_t longest, size_t item_blocks, size_t chunk, bool generates) {
    size_t least = gw_kv_blocks_for(longest) + 1 + GW_SCORER_DEPTH;
    size_t all = least + chunk * item_blocks;
    size_t under_way = least + 3 * gw_kv_blocks_for(longest) + GW_JUDGE_ROWS / 4;
    return generates ? all : GW_MIN(all, under_way);
}

static struct gw_plan_options plan_for(const struct gw_judge *j, const struct need *need,
                                       size_t chunk) {
    struct gw_plan_options plan = j->o.plan;
    plan.kind = GW_PLAN_SCORE;
    plan.scorer.rows = GW_JUDGE_ROWS;
    plan.scorer.max_len = GW_MIN(gw_round_up(need->longest, GW_KV_BLOCK), j->prompts.context);
    plan.scorer.n_blocks =
        gw_judge_blocks(need->longest, need->item_blocks, chunk, j->o.mode == GW_JUDGE_GENERATE);
    plan.scorer.temperature = 1;
    plan.scorer.keep_logits = true;
    plan.scorer.no_sharing = j->o.no_sharing;
    plan.scorer.eos = j->o.eos;
    plan.scorer.n_eos = j->o.n_eos;
    plan.scorer.progress = go_on;
    plan.scorer.progress_ctx = (void *)(uintptr_t)j;
    plan.scorer.done = on_done;
    plan.scorer.done_ctx = (void *)(uintptr_t)j;
    return plan;
}

/* That one response takes, however little its criteria share. */
static size_t most_blocks(size_t longest, size_t criteria) {
    return gw_kv_blocks_for(longest) + 2 * criteria;
}

enum gwen_status gw_judge_plan(const struct gw_judge *j, size_t text_tokens,
                               struct gw_plan_options *plan, struct gwen_err *err) {
    const struct gw_judge_item nothing = {.prompt = "", .response = ""};
    const size_t more = j->o.mode == GW_JUDGE_GENERATE ? j->o.max_tokens : 0;
    struct need need = {0};
    for (size_t i = 0; i < j->o.rubric->n; i++) {
        struct gw_ids ids = {0};
        enum gwen_status status = encode(j, &nothing, i, &ids, err);
        need.longest = GW_MAX(need.longest, ids.len + text_tokens + more);
        gw_ids_free(&ids);
        GW_TRY(status);
    }
    if (need.longest > j->prompts.context)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "rubric, prompt and response make up to %zu tokens, the judge's context is "
                       "%zu",
                       need.longest, j->prompts.context);
    need.item_blocks = j->o.rubric->criterion_last
                           ? most_blocks(need.longest, j->o.rubric->n)
                           : j->o.rubric->n * gw_kv_blocks_for(need.longest);
    *plan = plan_for(j, &need, j->chunk != 0 ? j->chunk : GW_JUDGE_CHUNK);
    return GWEN_OK;
}

void gw_judge_hold(struct gw_judge *j, size_t budget_bytes) {
    if (j->chunk == 0) j->chunk = GW_JUDGE_CHUNK;
    j->o.chunk = 0;
    j->o.budget_bytes = budget_bytes;
}

/* The largest chunk up to `most` that fits; 0: none. */
static size_t largest_chunk(const struct gw_judge *j, const struct need *need, size_t most) {
    size_t fits = 0, above = most + 1;
    while (above - fits > 1) {
        size_t middle = fits + (above - fits) / 2;
        struct gw_plan_options o = plan_for(j, need, middle);
        struct gw_plan plan;
        gw_plan_make(&o, &plan);
        if (plan.total <= j->o.budget_bytes)
            fits = middle;
        else
            above = middle;
    }
    return fits;
}

size_t gw_judge_auto_chunk(const struct gw_plan_options *plan, size_t budget_bytes,
                           size_t text_tokens, size_t criteria) {
    const struct gw_judge j = {
        .o = {.mode = GW_JUDGE_GENERATE,
              .max_tokens = GW_JUDGE_MAX_TOKENS,
              .plan = *plan,
              .budget_bytes = budget_bytes},
        .prompts = {.context = plan->cfg->max_position_embeddings},
    };
    const size_t longest = text_tokens + GW_JUDGE_MAX_TOKENS;
    const struct need need = {longest, most_blocks(longest, criteria)};
    return longest > j.prompts.context ? 0 : largest_chunk(&j, &need, GW_JUDGE_CHUNK);
}

/* Whether there is memory for one response at a time. */
static enum gwen_status check_one(const struct gw_judge *j, const struct need *need,
                                  struct gwen_err *err) {
    const struct gw_plan_options plan = plan_for(j, need, 1);
    const enum gwen_status status = gw_plan_check(&plan, j->o.budget_bytes, err);
    if (j->o.mode != GW_JUDGE_GENERATE)
        return gw_err_prefix(err, status, "a response that makes %zu tokens", need->longest);
    return gw_err_prefix(err, status, "a response that makes %zu tokens, %s included",
                         need->longest, gw_knob(GW_KNOB_JUDGE_TOKENS));
}

/* A chunk size that was not asked for gives way to the memory there is. */
static enum gwen_status fit_chunk(struct gw_judge *j, const struct need *need,
                                  struct gwen_err *err) {
    const bool given = j->o.chunk != 0;
    const size_t most = j->chunk, fits = largest_chunk(j, need, most);
    if (fits == 0) return check_one(j, need, err);
    if (given && fits < most && j->model == NULL)
        return gw_fail(err, GWEN_ERR_NOMEM,
                       "%zu responses at once do not fit into memory: lower %s to "
                       "%zu, or leave it out",
                       most, gw_knob(GW_KNOB_JUDGE_CHUNK), fits);
    if (fits < most && j->model != NULL)
        gw_log(j->o.log, GWEN_LOG_WARNING,
               "judge: %zu responses at once instead of %zu, which fit "
               "into memory",
               fits, most);
    j->chunk = fits;
    return GWEN_OK;
}

/* When memory has become short, what is held is given back and less is taken. */
static void back_off(struct gw_judge *j) {
    const struct gw_budget *b = j->o.plan.scorer.budget;
    if (j->scorer == NULL || b == NULL || !b->pressed(b->ctx)) return;
    gw_scorer_free(j->scorer);
    j->scorer = NULL;
    j->held = (struct gw_scorer_opts){0};
    if (j->chunk == 1) return;
    gw_log(j->o.log, GWEN_LOG_WARNING,
           "judge: memory is short: %zu responses at once instead of %zu", j->chunk / 2, j->chunk);
    j->chunk /= 2;
}

/* A scorer that is large enough for what is needed. */
static enum gwen_status make_scorer(struct gw_judge *j, const struct need *need,
                                    struct gwen_err *err) {
    struct gw_plan_options plan = plan_for(j, need, j->chunk);
    if (j->scorer != NULL && j->held.max_len >= plan.scorer.max_len &&
        j->held.n_blocks >= plan.scorer.n_blocks)
        return GWEN_OK;
    gw_scorer_free(j->scorer);
    j->scorer = NULL;
    j->held = plan.scorer;
    return gw_scorer_create(j->model, j->pool, &plan.scorer, &j->scorer, err);
}

static enum gwen_status load(struct gw_judge *j, const struct need *need, struct gwen_err *err) {
    const struct gw_plan_options plan = plan_for(j, need, j->chunk);
    GW_TRY(j->o.load(j->o.load_ctx, &plan, &j->model, &j->pool, err));
    return j->o.cache != NULL ? make_frame(j, err) : GWEN_OK;
}

/* --- a chunk -------------------------------------------------------------------------------- */

/* Adds the questions about items[i] to those of a chunk, for which there is room. */
static enum gwen_status ask(struct gw_judge *j, const struct gw_judge_item *items, size_t i,
                            struct gwen_err *err) {
    for (size_t k = 0; k < j->o.rubric->n; k++) {
        struct question *q = &j->questions[j->n_questions++];
        q->item = i;
        q->criterion = k;
        GW_TRY(encode(j, &items[i], k, &q->ids, err));
    }
    return GWEN_OK;
}

static enum gwen_status make_room(struct gw_judge *j, size_t n_items, struct gwen_err *err) {
    const size_t n = n_items * j->o.rubric->n;
    j->questions = calloc(n, sizeof *j->questions);
    return j->questions != NULL ? GWEN_OK : gw_nomem(err, n, "the judge's prompts");
}

enum gwen_status gw_judge_check(struct gw_judge *j, const struct gw_judge_item *item,
                                struct gwen_err *err) {
    enum gwen_status status = make_room(j, 1, err);
    if (status == GWEN_OK) status = ask(j, item, 0, err);
    if (status == GWEN_OK) {
        const struct need need = need_of(j);
        status = check_one(j, &need, err);
    }
    clear_chunk(j);
    return status;
}

/* Leaves out the questions of items from `end` on. */
static void cut(struct gw_judge *j, size_t end) {
    while (j->n_questions > 0 && j->questions[j->n_questions - 1].item >= end)
        gw_ids_free(&j->questions[--j->n_questions].ids);
}

/* Answers what the cache knows, and leaves the rest. */
static enum gwen_status look_up(struct gw_judge *j, const struct gw_judge_item *items,
                                struct gwen_err *err) {
    size_t left = 0;
    for (size_t i = 0; i < j->n_questions; i++) {
        struct question *q = &j->questions[i];
        struct gw_judge_known known;
        bool found;
        q->key = key_of(j, &items[q->item], q->criterion);
        GW_TRY(gw_judge_cache_get(j->o.cache, q->key, &known, &found, err));
        if (found) {
            const struct gw_verdict v = {
                .grade = known.grade, .parsed = known.parsed, .cached = true};
            j->verdicts[q->item * j->o.rubric->n + q->criterion] = v;
            count(j, &v);
            j->answers++;
            gw_ids_free(&q->ids);
        } else {
            struct question keep = *q;
            *q = (struct question){0};
            j->questions[left++] = keep;
        }
    }
    j->n_questions = left;
    return GWEN_OK;
}

static enum gwen_status make_requests(struct gw_judge *j, struct gwen_err *err) {
    const size_t n = j->n_questions, more = j->o.mode == GW_JUDGE_GENERATE ? j->o.max_tokens : 0;
    j->requests = calloc(n, sizeof *j->requests);
    if (j->requests == NULL) return gw_nomem(err, n * sizeof *j->requests, "the judge's prompts");
    for (size_t i = 0; i < n; i++) {
        struct question *q = &j->questions[i];
        if (more > 0 && (q->out = malloc(more * sizeof *q->out)) == NULL)
            return gw_nomem(err, more * sizeof *q->out, "a verdict");
        j->requests[i] = (struct gw_score_request){.ids = q->ids.data,
                                                   .n = q->ids.len,
                                                   .from = q->ids.len,
                                                   .max_new = more,
                                                   .out = q->out};
    }
    return GWEN_OK;
}

static enum gwen_status evaluate(struct gw_judge *j, struct gwen_err *err) {
    const struct need need = need_of(j);
    GW_TRY(make_scorer(j, &need, err));
    GW_TRY(make_requests(j, err));
    j->status = GWEN_OK;
    enum gwen_status status =
        gw_scorer_run(j->scorer, j->requests, j->n_questions, true,
                      j->o.mode == GW_JUDGE_LOGITS ? on_logits : NULL, j, err);
    if (j->status == GWEN_OK) return status;
    gw_err_copy(err, &j->err);
    return j->status;
}

/* Grades items from `begin` on; *end tells how far. */
static enum gwen_status chunk(struct gw_judge *j, const struct gw_judge_item *items, size_t begin,
                              size_t n, size_t *end, struct gwen_err *err) {
    if (j->chunk == 0) j->chunk = GW_JUDGE_CHUNK;
    *end = begin + GW_MIN(n - begin, j->chunk);
    GW_TRY(make_room(j, *end - begin, err));
    for (size_t i = begin; i < *end; i++)
        GW_TRY(gw_err_prefix(err, ask(j, items, i, err), "response %zu", j->first + i));
    struct need need = need_of(j);
    if (largest_chunk(j, &need, 1) == 0) { /* beside others, which share less, not even one */
        *end = begin + 1;
        cut(j, *end);
        need = need_of(j);
    }
    GW_TRY(fit_chunk(j, &need, err));
    *end = GW_MIN(*end, begin + j->chunk);
    cut(j, *end);
    if (j->model == NULL) GW_TRY(load(j, &need, err));
    if (j->o.cache != NULL) GW_TRY(look_up(j, items, err));
    return j->n_questions > 0 ? evaluate(j, err) : GWEN_OK;
}

enum gwen_status gw_judge_run(struct gw_judge *j, const struct gw_judge_item *items, size_t n,
                              size_t first, struct gw_verdict *verdicts, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    enum gwen_status status = GWEN_OK;
    j->first = first;
    j->verdicts = verdicts;
    j->answers = 0;
    gw_progress_init(&j->progress, j->o.progress, j->o.progress_user, "judge", "responses", n);
    for (size_t at = 0; at < n && status == GWEN_OK;) {
        back_off(j);
        status = chunk(j, items, at, n, &at, err);
        clear_chunk(j);
    }
    j->stats.seconds += gw_seconds_since(start);
    return status;
}
