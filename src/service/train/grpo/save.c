/* save.c - see impl.h: a rollout that further updates are to be made with, in a
 * checkpoint.
 *
 * What was drawn is kept; what follows from it is computed again when it is read. */
#include "service/train/grpo/impl.h"

#include "base/file.h"
#include "checkpoint/safetensors/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char FILE_NAME[] = "rollout.safetensors";

/* Numbers of completions and prompts as the file has them. */
struct numbers {
    int32_t *lengths, *finish, *chosen;
};

enum { MAX_TENSORS = 8 };

/* The tensors of the file, in memory. */
static size_t list_tensors(struct gw_grpo *g, const struct numbers *numbers,
                           struct gw_tensor list[MAX_TENSORS]) {
    const size_t n = g->size.completions, rewards = g->drawn.kept.n_rewards;
    const struct gw_tensor tensors[MAX_TENSORS] = {
        {.name = "chosen",
         .dtype = GW_DTYPE_I32,
         .rank = 1,
         .shape = {g->size.prompts},
         .data = numbers->chosen},
        {.name = "lengths",
         .dtype = GW_DTYPE_I32,
         .rank = 1,
         .shape = {n},
         .data = numbers->lengths},
        {.name = "finish", .dtype = GW_DTYPE_I32, .rank = 1, .shape = {n}, .data = numbers->finish},
        {.name = "ids",
         .dtype = GW_DTYPE_I32,
         .rank = 2,
         .shape = {n, g->longest},
         .data = g->drawn.kept.ids},
        {.name = "old",
         .dtype = GW_DTYPE_F32,
         .rank = 2,
         .shape = {n, g->longest},
         .data = g->drawn.old},
        {.name = "scores",
         .dtype = GW_DTYPE_F32,
         .rank = 2,
         .shape = {n, rewards},
         .data = g->drawn.kept.scores},
        {.name = "rewards",
         .dtype = GW_DTYPE_F32,
         .rank = 1,
         .shape = {n},
         .data = g->drawn.rewards},
        {.name = "ref",
         .dtype = GW_DTYPE_F32,
         .rank = 2,
         .shape = {n, g->longest},
         .data = g->drawn.ref}};
    memcpy(list, tensors, sizeof tensors);
    return g->loss.beta > 0 ? MAX_TENSORS : MAX_TENSORS - 1;
}

static enum gwen_status allocate(const struct gw_grpo *g, struct numbers *numbers,
                                 struct gwen_err *err) {
    const size_t n = g->size.completions;
    numbers->lengths = calloc(n, sizeof *numbers->lengths);
    numbers->finish = calloc(n, sizeof *numbers->finish);
    numbers->chosen = calloc(g->size.prompts, sizeof *numbers->chosen);
    if (numbers->lengths != NULL && numbers->finish != NULL && numbers->chosen != NULL)
        return GWEN_OK;
    return gw_nomem(err, n * sizeof *numbers->lengths, "a rollout");
}

static void release(struct numbers *numbers) {
    free(numbers->lengths);
    free(numbers->finish);
    free(numbers->chosen);
}

/* --- writing -------------------------------------------------------------------------------- */

/* Behind a completion's end arrays have what longer ones before it left there, which differs from
 * run to run. */
static void clear_rest(struct gw_grpo *g) {
    for (size_t i = 0; i < g->size.completions; i++) {
        const size_t n = g->drawn.kept.samples[i].n, at = i * g->longest + n;
        memset(g->drawn.kept.ids + at, 0, (g->longest - n) * sizeof *g->drawn.kept.ids);
        memset(g->drawn.old + at, 0, (g->longest - n) * sizeof *g->drawn.old);
        if (g->loss.beta > 0) memset(g->drawn.ref + at, 0, (g->longest - n) * sizeof *g->drawn.ref);
    }
}

static enum gwen_status write_tensors(struct gw_grpo *g, const struct numbers *numbers,
                                      const char *dir, struct gwen_err *err) {
    struct gw_tensor tensors[MAX_TENSORS];
    struct gw_str path = {0};
    const size_t n = list_tensors(g, numbers, tensors);
    clear_rest(g);
    for (size_t k = 0; k < g->size.prompts; k++) numbers->chosen[k] = (int32_t)g->drawn.chosen[k];
    for (size_t i = 0; i < g->size.completions; i++) {
        numbers->lengths[i] = (int32_t)g->drawn.kept.samples[i].n;
        numbers->finish[i] = (int32_t)g->drawn.kept.samples[i].finish;
    }
    enum gwen_status status = gw_path_join(&path, dir, FILE_NAME, err);
    if (status == GWEN_OK)
        status = gw_safetensors_write(path.data, tensors, n, NULL, 0, NULL, NULL, err);
    gw_str_free(&path);
    return status;
}

enum gwen_status gw_grpo_save_rollout(void *ctx, const char *dir, struct gwen_err *err) {
    struct gw_grpo *g = ctx;
    struct numbers numbers = {0};
    if (g->run->state.used == 0) return GWEN_OK;
    enum gwen_status status = allocate(g, &numbers, err);
    if (status == GWEN_OK) status = write_tensors(g, &numbers, dir, err);
    release(&numbers);
    return status;
}

/* --- reading -------------------------------------------------------------------------------- */

static enum gwen_status read_tensors(struct gw_grpo *g, const struct numbers *numbers,
                                     const char *path, struct gwen_err *err) {
    struct gw_tensor tensors[MAX_TENSORS];
    const size_t n = list_tensors(g, numbers, tensors);
    struct gw_safetensors *st;
    GW_TRY(gw_safetensors_open(path, &st, err));
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        const struct gw_tensor *t = &tensors[i], *read;
        status = gw_safetensors_get(st, t->name, t->dtype, t->rank, t->shape, &read, err);
        if (status == GWEN_OK) memcpy((void *)(uintptr_t)t->data, read->data, read->bytes);
    }
    gw_safetensors_close(st);
    return status;
}

static enum gwen_status take_numbers(struct gw_grpo *g, const struct numbers *numbers,
                                     const char *path, struct gwen_err *err) {
    const struct gw_prompts *p = g->opts->prompts;
    for (size_t k = 0; k < g->size.prompts; k++) {
        const int32_t chosen = numbers->chosen[k];
        if (chosen < 0 || (size_t)chosen >= p->n)
            return gw_fail(err, GWEN_ERR_FORMAT, "%s: there is no prompt %d", path, (int)chosen);
        g->drawn.chosen[k] = (size_t)chosen;
        g->drawn.prompts[k] = p->rows[chosen];
        GW_TRY(gw_kept_prompt(&g->drawn.kept, k, &g->drawn.prompts[k], err));
    }
    for (size_t i = 0; i < g->size.completions; i++) {
        const int32_t len = numbers->lengths[i], finish = numbers->finish[i];
        if (len < 1 || (size_t)len > g->longest || (finish != 0 && finish != 1))
            return gw_fail(err, GWEN_ERR_FORMAT, "%s: completion %zu is damaged", path, i);
        g->drawn.kept.samples[i].there = true;
        g->drawn.kept.samples[i].n = (size_t)len;
        g->drawn.kept.samples[i].finish = (enum gw_finish)finish;
    }
    return GWEN_OK;
}

static bool all_finite(const float *x, size_t n, bool or_nan) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]) && !(or_nan && isnan(x[i]))) return false;
    return true;
}

/* Log-probabilities of the completions' tokens, and rewards, where NaN says that there is none. */
static enum gwen_status check_values(const struct gw_grpo *g, const char *path,
                                     struct gwen_err *err) {
    const size_t count = g->drawn.kept.n_rewards;
    for (size_t i = 0; i < g->size.completions; i++) {
        const size_t at = i * g->longest, n = g->drawn.kept.samples[i].n;
        if (!all_finite(g->drawn.old + at, n, false) ||
            !all_finite(g->drawn.kept.scores + i * count, count, true) ||
            !all_finite(g->drawn.rewards + i, 1, true) ||
            (g->loss.beta > 0 && !all_finite(g->drawn.ref + at, n, false)))
            return gw_fail(err, GWEN_ERR_FORMAT,
                           "%s: completion %zu has numbers that are not finite", path, i);
    }
    return GWEN_OK;
}

enum gwen_status gw_grpo_load_rollout(struct gw_grpo *g, const char *dir, struct gwen_err *err) {
    struct numbers numbers = {0};
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, dir, FILE_NAME, err);
    if (status == GWEN_OK) status = allocate(g, &numbers, err);
    if (status == GWEN_OK) status = read_tensors(g, &numbers, path.data, err);
    if (status == GWEN_OK) status = take_numbers(g, &numbers, path.data, err);
    if (status == GWEN_OK) status = check_values(g, path.data, err);
    if (status == GWEN_OK) gw_grpo_weigh(g, g->run->state.generation - 1);
    release(&numbers);
    gw_str_free(&path);
    return status;
}
