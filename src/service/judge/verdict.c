/* verdict.c - answers, of the cache and of the model; see impl.h. */
#include "ref/math.h"
#include "service/judge/impl.h"

#include <math.h>

static void note(struct gw_judge *j, const struct gw_judge_question *q,
                 const struct gw_verdict *v) {
    j->verdicts[q->item * j->opts.rubric->n + q->criterion] = *v;
    j->stats.evaluations += !v->cached;
    j->stats.cached += v->cached;
    j->stats.parse_failures += !v->parsed;
}

/* --- of the cache --------------------------------------------------------------------------- */

enum gwen_status gw_judge_look_up(struct gw_judge *j, const struct gw_judge_item *items,
                                  struct gwen_err *err) {
    size_t left = 0;
    for (size_t i = 0; i < j->n_questions; i++) {
        struct gw_judge_question *q = &j->questions[i];
        struct gw_judge_known known;
        bool found;
        q->key = gw_judge_key_of(j, &items[q->item], q->criterion);
        GW_TRY(gw_judge_cache_get(j->opts.cache, q->key, &known, &found, err));
        if (found) {
            note(j, q, &(struct gw_verdict){known.grade, known.parsed, .cached = true});
            j->answers++;
            gw_ids_free(&q->ids);
        } else {
            const struct gw_judge_question keep = *q;
            *q = (struct gw_judge_question){0};
            j->questions[left++] = keep;
        }
    }
    j->n_questions = left;
    return GWEN_OK;
}

/* --- of the model --------------------------------------------------------------------------- */

/* Takes in the answer to question i: keeps it, and shows it to whoever looks. */
static void answer(struct gw_judge *j, size_t i, struct gw_verdict v, const float *logits) {
    const struct gw_judge_question *q = &j->questions[i];
    note(j, q, &v);
    if (j->opts.cache != NULL && j->status == GWEN_OK)
        j->status = gw_judge_cache_put(j->opts.cache, q->key,
                                       (struct gw_judge_known){v.grade, v.parsed}, &j->err);
    if (j->opts.look != NULL) {
        const struct gw_judge_look look = {.item = j->first + q->item,
                                           .criterion = q->criterion,
                                           .prompt_ids = q->ids.data,
                                           .n_prompt = q->ids.len,
                                           .ids = q->out,
                                           .n = j->requests[i].n_new,
                                           .logits = logits,
                                           .verdict = v};
        j->opts.look(j->opts.look_ctx, &look);
    }
    j->answers++;
}

void gw_judge_on_done(void *ctx, size_t index) {
    struct gw_judge *j = ctx;
    const struct gw_score_request *r = &j->requests[index];
    struct gw_str text = {0};
    if (j->status == GWEN_OK)
        j->status = gw_tokenizer_decode(j->opts.tokenizer, r->out, r->n_new, true, &text, &j->err);
    if (j->status == GWEN_OK) {
        const int grade = gw_rubric_find_grade(text.data != NULL ? text.data : "", text.len);
        answer(j, index,
               (struct gw_verdict){.grade = (float)(grade > 0 ? grade : GW_GRADE_DEFAULT),
                                   .parsed = grade > 0},
               NULL);
    }
    gw_str_free(&text);
}

/* The sum of g p(g), p being the softmax over the five. */
void gw_judge_on_logits(void *ctx, size_t index, size_t t, const float *logits) {
    struct gw_judge *j = ctx;
    float of_grade[GW_GRADES], max = -INFINITY;
    double sum = 0, weighted = 0;
    (void)t;
    for (int g = 0; g < GW_GRADES; g++) {
        of_grade[g] = logits[j->grade_ids[g]];
        max = GW_MAX(max, of_grade[g]);
    }
    for (int g = 0; g < GW_GRADES; g++) {
        const double p = (double)gwen_exp(of_grade[g] - max);
        sum += p;
        weighted += (g + 1) * p;
    }
    answer(j, index, (struct gw_verdict){.grade = (float)(weighted / sum), .parsed = true},
           of_grade);
}

bool gw_judge_go_on(void *ctx) {
    struct gw_judge *j = ctx;
    if (j->status == GWEN_OK)
        j->status = gw_progress_update(&j->progress, j->answers / j->opts.rubric->n, &j->err);
    return j->status == GWEN_OK;
}
