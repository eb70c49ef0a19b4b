/* judge.c - see judge.h: made, asked, freed; the loop over chunks. */
#include "service/judge/judge.h"

#include "base/clock.h"
#include "base/knob.h"
#include "service/judge/impl.h"

#include <stdlib.h>
#include <string.h>

/* --- making --------------------------------------------------------------------------------- */

/* The token that a grade is at the beginning of an answer. */
static enum gwen_status find_grade_ids(struct gw_judge *j, struct gwen_err *err) {
    const struct gw_tokenizer *tokenizer = j->opts.tokenizer;
    for (int g = 0; g < GW_GRADES; g++) {
        const char digit = (char)('1' + g);
        struct gw_str bytes = {0};
        int32_t id = gw_tokenizer_id_of_token(tokenizer, &digit, 1);
        enum gwen_status status =
            id >= 0 ? gw_tokenizer_token_bytes(tokenizer, id, &bytes, err) : GWEN_OK;
        bool good = id >= 0 && (size_t)id < j->prompts.vocab_size && bytes.len == 1 &&
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
    const struct gw_judge_opts *o = &j->opts;
    const struct gw_config *cfg = o->plan.cfg;
    j->sizes =
        (struct gw_judge_sizes){.plan = o->plan,
                                .budget_bytes = o->budget_bytes,
                                .context = cfg->max_position_embeddings,
                                .verdict_tokens = o->mode == GW_JUDGE_GENERATE ? o->max_tokens : 0,
                                .no_sharing = o->no_sharing};
    j->chunk = o->chunk;
    j->chunk_given = o->chunk != 0;
    j->chat_args = json_pack("{s:b}", "enable_thinking", 0);
    if (j->chat_args == NULL) return gw_nomem(err, 0, "template arguments");
    gw_prompt_chat_open(o->tokenizer, o->now, &j->chat);
    j->prompts =
        (struct gw_prompt_opts){.tokenizer = o->tokenizer,
                                .chat = &j->chat,
                                .chat_args = j->chat_args,
                                .as_chat = gw_tokenizer_chat_template(o->tokenizer, NULL) != NULL,
                                .system = o->rubric->system[0] != '\0' ? o->rubric->system : NULL,
                                .vocab_size = cfg->vocab_size,
                                .context = cfg->max_position_embeddings};
    return o->mode == GW_JUDGE_LOGITS ? find_grade_ids(j, err) : GWEN_OK;
}

enum gwen_status gw_judge_create(const struct gw_judge_opts *opts, struct gw_judge **out,
                                 struct gwen_err *err) {
    *out = NULL;
    struct gw_judge *j = calloc(1, sizeof *j);
    if (j == NULL) return gw_nomem(err, sizeof *j, "the judge");
    j->opts = *opts;
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

/* --- memory --------------------------------------------------------------------------------- */

enum gwen_status gw_judge_plan(const struct gw_judge *j, size_t text_tokens,
                               struct gw_plan_options *plan, struct gwen_err *err) {
    const struct gw_judge_item nothing = {.prompt = "", .response = ""};
    const struct gw_rubric *rubric = j->opts.rubric;
    size_t longest = 0;
    for (size_t i = 0; i < rubric->n; i++) {
        struct gw_ids ids = {0};
        enum gwen_status status = gw_judge_encode(j, &nothing, i, &ids, err);
        longest = GW_MAX(longest, ids.len + text_tokens + j->sizes.verdict_tokens);
        gw_ids_free(&ids);
        GW_TRY(status);
    }
    if (longest > j->sizes.context)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "rubric, prompt and response make up to %zu tokens, the judge's context is "
                       "%zu",
                       longest, j->sizes.context);
    struct gw_judge_need need = gw_judge_need_of_bound(longest, rubric->n);
    if (!rubric->criterion_last) need.item_blocks = rubric->n * gw_kv_blocks_for(longest);
    *plan = gw_judge_plan_of(&j->sizes, &need, j->chunk != 0 ? j->chunk : GW_JUDGE_CHUNK);
    return GWEN_OK;
}

void gw_judge_hold(struct gw_judge *j, size_t budget_bytes) {
    if (j->chunk == 0) j->chunk = GW_JUDGE_CHUNK;
    j->chunk_given = false;
    j->sizes.budget_bytes = budget_bytes;
}

enum gwen_status gw_judge_check(struct gw_judge *j, const struct gw_judge_item *item,
                                struct gwen_err *err) {
    enum gwen_status status = gw_judge_make_room(j, 1, err);
    if (status == GWEN_OK) status = gw_judge_ask(j, item, 0, err);
    if (status == GWEN_OK) {
        const struct gw_judge_need need = gw_judge_need_of(j);
        /* A fact about the item, unlike a lack of memory right now. */
        if (gw_judge_check_one(j, &need, err) != GWEN_OK)
            status = gw_err_as(err, GWEN_ERR_ARGUMENT);
    }
    gw_judge_clear(j);
    return status;
}

/* --- judging -------------------------------------------------------------------------------- */

enum gwen_status gw_judge_run(struct gw_judge *j, const struct gw_judge_item *items, size_t n,
                              size_t first, struct gw_verdict *verdicts, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    enum gwen_status status = GWEN_OK;
    j->first = first;
    j->verdicts = verdicts;
    j->answers = 0;
    gw_progress_init(&j->progress, j->opts.progress, j->opts.progress_user, "judge", "responses",
                     n);
    for (size_t at = 0; at < n && status == GWEN_OK;) {
        gw_judge_back_off(j);
        status = gw_judge_chunk(j, items, at, n, &at, err);
        gw_judge_clear(j);
    }
    j->stats.seconds += gw_seconds_since(start);
    return status;
}

/* --- what verdicts are worth ---------------------------------------------------------------- */

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
