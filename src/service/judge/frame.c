/* frame.c - what a verdict depends on, as a key of the cache; see impl.h. */
#include "base/rng.h"
#include "service/judge/impl.h"
#include "service/record/fingerprint.h"

#include <string.h>

/* Everything but prompt, response and criterion: the judge as it computes, what it is asked with,
 * and the chat template with its date, by what it makes of an empty message. */
enum gwen_status gw_judge_make_frame(struct gw_judge *j, struct gwen_err *err) {
    const struct gw_judge_opts *o = &j->opts;
    const struct gw_scorer_opts *scorer = &o->plan.scorer;
    const struct gw_lora *lora = scorer->frozen ? scorer->lora : j->model->lora;
    const char *class = gw_arith_class(&j->model->arith);
    const bool generates = o->mode == GW_JUDGE_GENERATE;
    uint64_t model;
    struct gw_ids probe = {0};
    GW_TRY(gw_model_fingerprint(j->model, lora, j->pool, &model, err));
    enum gwen_status status = gw_judge_encode_nothing(j, &probe, err);
    const uint64_t parts[] = {2, /* of this list */
                              model,
                              gw_tokenizer_fingerprint(o->tokenizer),
                              gw_hash64(class, strlen(class)),
                              (uint64_t)o->mode,
                              generates ? o->max_tokens : 0,
                              generates ? gw_hash64(o->eos.ids, o->eos.n * sizeof *o->eos.ids) : 0,
                              o->rubric->hash,
                              probe.len > 0 ? gw_hash64(probe.data, probe.len * sizeof *probe.data)
                                            : 0};
    j->frame = gw_hash64(parts, sizeof parts);
    gw_ids_free(&probe);
    return status;
}

struct gw_judge_key gw_judge_key_of(const struct gw_judge *j, const struct gw_judge_item *item,
                                    size_t criterion) {
    const char *text = j->opts.rubric->criteria[criterion].text;
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
