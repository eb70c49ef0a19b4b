/* kept.c - see kept.h. */
#include "service/reward/kept.h"

#include <string.h>

void gw_kept_lay_out(struct gw_kept *k, struct gw_layout *layout) {
    const size_t n = k->prompts * k->group;
    k->samples = gw_layout_take(layout, n, sizeof *k->samples);
    k->ids = gw_layout_take(layout, n * k->longest, sizeof *k->ids);
    k->prompt_texts = gw_layout_take(layout, k->prompts, sizeof *k->prompt_texts);
    k->inputs = gw_layout_take(layout, n, sizeof *k->inputs);
    k->scores = gw_layout_take(layout, n * k->n_rewards, sizeof *k->scores);
}

/* A token takes about 8 bytes as text and 24 in a row. */
size_t gw_kept_text_bytes(const struct gw_kept *k, size_t max_prompt) {
    return k->prompts * k->group * (k->longest * (8 + 24) + 1024) + k->prompts * max_prompt * 8;
}

void gw_kept_free_texts(struct gw_kept *k) {
    for (size_t i = 0; k->samples != NULL && i < k->prompts * k->group; i++) {
        gw_str_free(&k->samples[i].text);
        gw_str_free(&k->samples[i].row);
    }
    for (size_t p = 0; k->prompt_texts != NULL && p < k->prompts; p++)
        gw_str_free(&k->prompt_texts[p]);
}

/* --- keeping -------------------------------------------------------------------------------- */

enum gwen_status gw_kept_put(struct gw_kept *k, size_t i, const struct gw_rollout_sample *s,
                             size_t prompt_id, struct gwen_err *err) {
    struct gw_kept_sample *kept = &k->samples[i];
    struct gw_rollout_sample named = *s;
    named.prompt_id = prompt_id;
    kept->there = true;
    kept->n = s->n;
    kept->finish = s->finish;
    memcpy(k->ids + i * k->longest, s->ids, s->n * sizeof *s->ids);
    gw_str_clear(&kept->text);
    gw_str_put(&kept->text, s->text != NULL ? s->text : "", s->text_len);
    gw_str_clear(&kept->row);
    gw_rollout_put_row(&kept->row, &named, k->numeric_class);
    return kept->text.failed || kept->row.failed ? gw_nomem(err, s->n, "a sample") : GWEN_OK;
}

enum gwen_status gw_kept_prompt(struct gw_kept *k, size_t prompt, const struct gw_prompt *p,
                                struct gwen_err *err) {
    struct gw_str *text = &k->prompt_texts[prompt];
    gw_str_clear(text);
    gw_str_puts(text, "");
    if (k->tokenizer != NULL)
        GW_TRY(gw_tokenizer_decode(k->tokenizer, p->ids, p->n, true, text, err));
    return text->failed ? gw_nomem(err, p->n, "a prompt's text") : GWEN_OK;
}

static void swap_strings(struct gw_str *a, struct gw_str *b) {
    const struct gw_str was = *a;
    *a = *b;
    *b = was;
}

void gw_kept_move(struct gw_kept *k, size_t from, size_t to) {
    const size_t group = k->group, f = from * group, t = to * group;
    swap_strings(&k->prompt_texts[to], &k->prompt_texts[from]);
    for (size_t i = 0; i < group; i++) {
        const struct gw_kept_sample was = k->samples[t + i];
        k->samples[t + i] = k->samples[f + i];
        k->samples[f + i] = was;
    }
    memcpy(k->ids + t * k->longest, k->ids + f * k->longest, group * k->longest * sizeof *k->ids);
    memcpy(k->scores + t * k->n_rewards, k->scores + f * k->n_rewards,
           group * k->n_rewards * sizeof *k->scores);
}

/* --- rewarding ------------------------------------------------------------------------------ */

/* A prompt that was not decoded has an empty text. */
static struct gw_reward_input input_of(const struct gw_kept *k, size_t i,
                                       const struct gw_prompt *p) {
    const struct gw_kept_sample *s = &k->samples[i];
    const struct gw_str *prompt = &k->prompt_texts[i / k->group];
    return (struct gw_reward_input){.prompt = prompt->data != NULL ? prompt->data : "",
                                    .prompt_len = prompt->len,
                                    .asked = p->text,
                                    .asked_len = p->text_len,
                                    .completion = s->text.data,
                                    .completion_len = s->text.len,
                                    .ids = k->ids + i * k->longest,
                                    .n = s->n,
                                    .meta = p->meta,
                                    .meta_len = p->meta_len};
}

size_t gw_kept_inputs(struct gw_kept *k, const struct gw_prompt *rows, size_t first, size_t end) {
    size_t n = 0;
    for (size_t i = first; i < end; i++)
        if (k->samples[i].there) k->inputs[first + n++] = input_of(k, i, &rows[i / k->group]);
    return n;
}

enum gwen_status gw_kept_reward(struct gw_kept *k, const struct gw_prompt *rows, size_t first,
                                size_t end, struct gw_rewards *rewards, bool first_only,
                                struct gwen_err *err) {
    const size_t n = gw_kept_inputs(k, rows, first, end);
    const struct gw_reward_input *inputs = k->inputs + first;
    float *scores = k->scores + first * k->n_rewards;
    if (n == 0) return GWEN_OK;
    return first_only ? gw_rewards_score_first(rewards, inputs, n, scores, err)
                      : gw_rewards_score(rewards, inputs, n, scores, err);
}
