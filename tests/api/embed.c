/* embed.c - a program of somebody else's, built against the installed headers and libraries, as
 * C11 and as C++17.  It uses the public interface alone: two models in one process, samples taken
 * in turn, each scored again.
 *
 *     embed DIR_A DIR_B      prints the library's version when all is well */
#include <gwen/gwen.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Must not clash with anything in the static library, whose internal names are local. */
int gw_fail(void);
int gw_fail(void) { return 42; }

enum { PROMPTS = 3, GROUP = 4, MAX_TOKENS = 20, PROMPT_LEN = 5 };

/* What a run brought. */
struct results {
    size_t n;
    size_t lengths[PROMPTS][GROUP];
    int32_t ids[PROMPTS][GROUP][PROMPT_LEN + MAX_TOKENS]; /* prompt and completion */
    float logprobs[PROMPTS][GROUP][MAX_TOKENS];
};

static int32_t prompts[PROMPTS][PROMPT_LEN] = {
    {5, 6, 7, 8, 9}, {10, 20, 30, 40, 50}, {5, 6, 7, 8, 9}};

static void die(const char *what, const struct gwen_err *err) {
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

static void hear(void *user, enum gwen_log_level level, const char *message) {
    (void)level;
    if (message[0] != 0) ++*(int *)user;
}

static bool go_on(void *user, const struct gwen_progress *progress) {
    ++*(int *)user;
    return progress->total == 0 || progress->done <= progress->total;
}

static bool keep(void *user, const struct gwen_completion *s) {
    struct results *r = (struct results *)user;
    r->n++;
    r->lengths[s->prompt][s->sample] = s->n;
    memcpy(r->ids[s->prompt][s->sample], prompts[s->prompt], sizeof prompts[0]);
    memcpy(r->ids[s->prompt][s->sample] + PROMPT_LEN, s->ids, s->n * sizeof *s->ids);
    memcpy(r->logprobs[s->prompt][s->sample], s->logprobs, s->n * sizeof *s->logprobs);
    return true;
}

static bool refuse(void *user, const struct gwen_completion *s) {
    (void)user;
    (void)s;
    return false;
}

static struct gwen_model *load(const char *dir, int *heard) {
    struct gwen_model_options o = GWEN_MODEL_OPTIONS_INIT;
    struct gwen_model *model;
    struct gwen_err err;
    o.threads = 2;
    o.log = hear;
    o.log_user = heard;
    if (gwen_model_load(dir, &o, &model, &err) != GWEN_OK) die(dir, &err);
    return model;
}

static void sample(struct gwen_model *model, size_t batch, struct results *r) {
    struct gwen_sample_options o = GWEN_SAMPLE_OPTIONS_INIT;
    struct gwen_prompt p[PROMPTS];
    struct gwen_err err;
    int calls = 0;
    for (size_t i = 0; i < PROMPTS; i++) {
        p[i].ids = prompts[i];
        p[i].n = PROMPT_LEN;
        p[i].key = i;
    }
    memset(r, 0, sizeof *r);
    o.group = GROUP;
    o.max_tokens = MAX_TOKENS;
    o.batch_size = batch;
    o.seed = 7;
    o.progress = go_on;
    o.progress_user = &calls;
    if (gwen_sample(model, p, PROMPTS, &o, keep, r, &err) != GWEN_OK) die("sample", &err);
    if (r->n != PROMPTS * GROUP || calls == 0) exit(2);
    if (gwen_sample(model, p, PROMPTS, &o, refuse, r, &err) != GWEN_ERR_CANCELLED) exit(3);
}

static void score(struct gwen_model *model, struct results *r) {
    struct gwen_sequence s[PROMPTS * GROUP];
    static float logprobs[PROMPTS * GROUP][MAX_TOKENS];
    struct gwen_err err;
    for (size_t i = 0; i < PROMPTS * GROUP; i++) {
        s[i].ids = r->ids[i / GROUP][i % GROUP];
        s[i].from = PROMPT_LEN;
        s[i].n = PROMPT_LEN + r->lengths[i / GROUP][i % GROUP];
        s[i].logprobs = logprobs[i];
    }
    if (gwen_score(model, s, PROMPTS * GROUP, 1.0, &err) != GWEN_OK) die("score", &err);
    for (size_t i = 0; i < PROMPTS * GROUP; i++)
        if (memcmp(logprobs[i], r->logprobs[i / GROUP][i % GROUP],
                   (s[i].n - s[i].from) * sizeof(float)) != 0) {
            fprintf(stderr, "sample %zu: scored differently from what was recorded\n", i);
            exit(4);
        }
    s[0].n = 0;
    if (gwen_score(model, s, 1, 1.0, &err) != GWEN_ERR_ARGUMENT) exit(5);
}

/* What does not fit is refused in this header's words, not in the options of a program that the
 * caller is not; and what is to be turned is there as a value.  Nobody has to take the error. */
static void refusal(struct gwen_model *model, size_t max_context) {
    struct gwen_sample_options o = GWEN_SAMPLE_OPTIONS_INIT;
    struct gwen_prompt p = {prompts[0], PROMPT_LEN, 0};
    static struct results r;
    struct gwen_err err;
    const char name[] = "max_tokens";
    o.max_tokens = max_context;
    if (gwen_sample(model, &p, 1, &o, keep, &r, &err) != GWEN_ERR_ARGUMENT) exit(7);
    if (err.status != GWEN_ERR_ARGUMENT || strstr(err.message, "--") != NULL ||
        err.knobs[0].knob != GWEN_KNOB_MAX_TOKENS ||
        strncmp(err.message + err.knobs[0].at, name, sizeof name - 1) != 0) {
        fprintf(stderr, "refused with: %s\n", err.message);
        exit(8);
    }
    if (gwen_sample(model, &p, 1, &o, keep, &r, NULL) != GWEN_ERR_ARGUMENT) exit(9);
}

static void text(struct gwen_model *model) {
    struct gwen_err err;
    int32_t *ids;
    size_t n, len;
    char *back;
    const char hello[] = "Hello, world";
    if (gwen_encode(model, hello, sizeof hello - 1, false, &ids, &n, &err) != GWEN_OK)
        die("encode", &err);
    if (gwen_decode(model, ids, n, true, &back, &len, &err) != GWEN_OK) die("decode", &err);
    if (strcmp(back, hello) != 0 || len != sizeof hello - 1) exit(6);
    gwen_free(ids);
    gwen_free(back);
}

int main(int argc, char **argv) {
    static struct results a, a_again, b;
    struct gwen_model_info info;
    struct gwen_model *none;
    struct gwen_err err;
    int heard = 0;
    if (argc != 3 || gw_fail() != 42) return 1;
    if (strcmp(gwen_version(), GWEN_VERSION) != 0) {
        fprintf(stderr, "header %s, library %s\n", GWEN_VERSION, gwen_version());
        return 1;
    }
    if (gwen_model_load("/nowhere", NULL, &none, &err) == GWEN_OK || none != NULL) return 1;
    struct gwen_model *model_a = load(argv[1], &heard), *model_b = load(argv[2], &heard);
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    gwen_model_get_info(model_a, &info);
    if (info.n_params == 0 || info.threads != 2 || info.numeric_class == NULL || heard == 0)
        return 1;
    sample(model_a, 0, &a);
    sample(model_b, 5, &b);
    sample(model_a, 1, &a_again);
    if (memcmp(a.ids, a_again.ids, sizeof a.ids) != 0 ||
        memcmp(a.logprobs, a_again.logprobs, sizeof a.logprobs) != 0) {
        fprintf(stderr, "samples depend on the batch size or on the other model\n");
        return 1;
    }
    /* Different weights, and equal prompts under different keys, give different samples. */
    if (memcmp(a.ids, b.ids, sizeof a.ids) == 0 || memcmp(a.ids[0], a.ids[2], sizeof a.ids[0]) == 0)
        return 1;
    score(model_a, &a_again);
    refusal(model_a, info.max_context);
    if (info.has_tokenizer) text(model_a);
    gwen_model_free(model_a);
    gwen_model_free(model_b);
    printf("%s\n", gwen_version());
    return 0;
}
