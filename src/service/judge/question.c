/* question.c - rubric and texts as prompts of the judge; see impl.h. */
#include "service/judge/impl.h"

#include <stdlib.h>

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
    enum gwen_status status = text.failed
                                  ? gw_nomem(err, text.len, "a prompt")
                                  : gw_tokenizer_encode(j->opts.tokenizer, text.data, text.len,
                                                        GW_ENCODE_ADD_SPECIAL, ids, err);
    gw_str_free(&text);
    return status;
}

static enum gwen_status check_ids(const struct gw_judge *j, const struct gw_ids *ids,
                                  struct gwen_err *err) {
    const size_t more = j->sizes.verdict_tokens, context = j->sizes.context;
    if (ids->len == 0) return gw_fail(err, GWEN_ERR_ARGUMENT, "the judge's prompt has no tokens");
    if (ids->len > context || more > context - ids->len)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "rubric, prompt and response make %zu tokens%s, the judge's context is %zu",
                       ids->len, more > 0 ? " beside those of the verdict" : "", context);
    return gw_prompt_check_ids(ids->data, ids->len, j->prompts.vocab_size, err);
}

enum gwen_status gw_judge_encode(const struct gw_judge *j, const struct gw_judge_item *item,
                                 size_t criterion, struct gw_ids *ids, struct gwen_err *err) {
    struct gw_str user = {0};
    gw_rubric_put(j->opts.rubric, criterion, item->prompt, item->prompt_len, item->response,
                  item->response_len, &user);
    enum gwen_status status = user.failed          ? gw_nomem(err, user.len, "a prompt")
                              : j->prompts.as_chat ? encode_chat(j, &user, ids, err)
                                                   : encode_plain(j, &user, ids, err);
    gw_str_free(&user);
    return status == GWEN_OK ? check_ids(j, ids, err) : status;
}

enum gwen_status gw_judge_encode_nothing(const struct gw_judge *j, struct gw_ids *ids,
                                         struct gwen_err *err) {
    const struct gw_str nothing = {.data = (char[]){""}};
    return j->prompts.as_chat ? encode_chat(j, &nothing, ids, err) : GWEN_OK;
}

/* --- those of a chunk ----------------------------------------------------------------------- */

enum gwen_status gw_judge_make_room(struct gw_judge *j, size_t n_items, struct gwen_err *err) {
    const size_t n = n_items * j->opts.rubric->n;
    j->questions = calloc(n, sizeof *j->questions);
    return j->questions != NULL ? GWEN_OK : gw_nomem(err, n, "the judge's prompts");
}

enum gwen_status gw_judge_ask(struct gw_judge *j, const struct gw_judge_item *items, size_t i,
                              struct gwen_err *err) {
    for (size_t k = 0; k < j->opts.rubric->n; k++) {
        struct gw_judge_question *q = &j->questions[j->n_questions++];
        q->item = i;
        q->criterion = k;
        GW_TRY(gw_judge_encode(j, &items[i], k, &q->ids, err));
    }
    return GWEN_OK;
}

void gw_judge_cut(struct gw_judge *j, size_t end) {
    while (j->n_questions > 0 && j->questions[j->n_questions - 1].item >= end)
        gw_ids_free(&j->questions[--j->n_questions].ids);
}

void gw_judge_clear(struct gw_judge *j) {
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

/* --- what they need ------------------------------------------------------------------------- */

/* Ids that a and b begin with alike, at most `most`. */
static size_t common(const struct gw_ids *a, const struct gw_ids *b, size_t most) {
    size_t n = GW_MIN(most, GW_MIN(a->len, b->len)), i = 0;
    while (i < n && a->data[i] == b->data[i]) i++;
    return i;
}

/* A response's blocks: those of what its criteria share, less the ones that all responses share,
 * and each criterion's own. */
struct gw_judge_need gw_judge_need_of(const struct gw_judge *j) {
    const struct gw_judge_question *q = j->questions;
    struct gw_judge_need need = {0};
    size_t all = SIZE_MAX;
    for (size_t i = 1; i < j->n_questions; i++) all = common(&q[0].ids, &q[i].ids, all);
    if (j->n_questions < 2) all = 0;
    for (size_t i = 0, end; i < j->n_questions; i = end) {
        size_t shared = q[i].ids.len, blocks = 0;
        for (end = i; end < j->n_questions && q[end].item == q[i].item; end++)
            shared = common(&q[i].ids, &q[end].ids, shared);
        for (size_t k = i; k < end; k++) {
            const size_t len = q[k].ids.len + j->sizes.verdict_tokens;
            need.longest = GW_MAX(need.longest, len);
            blocks += gw_kv_blocks_for(len) - shared / GW_KV_BLOCK;
        }
        blocks += gw_kv_blocks_for(shared) - GW_MIN(all, shared) / GW_KV_BLOCK;
        need.item_blocks = GW_MAX(need.item_blocks, blocks);
    }
    return need;
}
