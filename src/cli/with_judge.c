/* with_judge.c - see with_judge.h. */
#include "cli/with_judge.h"

#include "cli/date.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool gw_judging_environment(struct gw_judging *j, struct gw_cli *cli, int *code) {
    const char *text = getenv("RUBRIC_JUDGE_BATCH_SIZE");
    char *end;
    *code = GW_EXIT_OK;
    if (text == NULL || text[0] == '\0' || strcmp(text, "auto") == 0) return true;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < 1 || n > 1 << 16) {
        *code = gw_cli_usage(
            cli, "RUBRIC_JUDGE_BATCH_SIZE: \"%s\" is neither auto nor from 1 to %d", text, 1 << 16);
        return false;
    }
    j->chunk = n;
    return true;
}

bool gw_judging_check(struct gw_judging *j, struct gw_cli *cli, int *code) {
    struct tm date;
    *code = GW_EXIT_OK;
    if (cli->common.model == NULL)
        cli->common.model = j->model;
    else if (j->model != NULL && strcmp(j->model, cli->common.model) != 0)
        *code = gw_cli_usage(cli, "--model and --judge-model are the same here: give one");
    if (*code != GW_EXIT_OK) return false;
    if (cli->common.model == NULL)
        *code = gw_cli_usage(cli, "--model is missing");
    else if (j->rubric_path == NULL)
        *code = gw_cli_usage(cli, "--rubric FILE is needed");
    else if (j->date != NULL && !gw_date_parse(j->date, &date))
        *code = gw_cli_usage(cli, "--date %s: expected a date as YYYY-MM-DD", j->date);
    return *code == GW_EXIT_OK;
}

enum gwen_status gw_judging_open(struct gw_judging *j, struct gw_cli *cli, struct gwen_err *err) {
    time_t now = time(NULL);
    GW_TRY(gw_rubric_load(j->rubric_path, &j->rubric, err));
    if (!j->rubric.criterion_last)
        gw_log(&cli->log, GWEN_LOG_WARNING,
               "%s: {criterion} is not the last of the template's places: what follows it is "
               "computed anew for every criterion",
               j->rubric_path);
    GW_TRY(gw_runtime_open(&j->rt, cli, err));
    GW_TRY(gw_runtime_find(&j->rt, err));
    GW_TRY(gw_runtime_tokenizer(&j->rt, err));
    if (j->date == NULL || !gw_date_parse(j->date, &j->now)) localtime_r(&now, &j->now);
    if (j->cache_path == NULL) return GWEN_OK;
    return gw_judge_cache_open(j->cache_path, j->cache_bytes, &j->cache, err);
}

static enum gwen_status load(void *ctx, const struct gw_plan_options *plan, struct gw_model **model,
                             struct gw_pool **pool, struct gwen_err *err) {
    struct gw_judging *j = ctx;
    if (j->rt.model == NULL) GW_TRY(gw_runtime_load(&j->rt, plan, err));
    *model = j->rt.model;
    *pool = j->rt.pool;
    return GWEN_OK;
}

enum gwen_status gw_judging_start(struct gw_judging *j, enum gw_judge_mode mode,
                                  void (*look)(void *ctx, const struct gw_judge_look *look),
                                  void *look_ctx, struct gwen_err *err) {
    if (j->judge != NULL) return GWEN_OK;
    const struct gw_judge_opts opts = {.rubric = &j->rubric,
                                       .tokenizer = j->rt.tokenizer,
                                       .now = &j->now,
                                       .mode = mode,
                                       .max_tokens = j->max_tokens,
                                       .chunk = j->chunk,
                                       .no_sharing = j->no_sharing,
                                       .eos = j->rt.eos,
                                       .plan = gw_runtime_plan(&j->rt),
                                       .budget_bytes = j->rt.budget,
                                       .load = load,
                                       .load_ctx = j,
                                       .cache = j->cache,
                                       .log = &j->rt.cli->log,
                                       .look = look,
                                       .look_ctx = look_ctx,
                                       .progress = gw_cli_progress,
                                       .progress_user = j->rt.cli};
    return gw_judge_create(&opts, &j->judge, err);
}

void gw_judging_stop(struct gw_judging *j) {
    if (j->judge == NULL) return;
    const struct gw_judge_stats s = gw_judge_stats(j->judge);
    const uint64_t n = s.evaluations + s.cached;
    gw_log(&j->rt.cli->log, GWEN_LOG_INFO,
           "judge: %" PRIu64 " verdicts: %" PRIu64 " evaluations, %" PRIu64
           " from the cache, %" PRIu64 " without a grade (taken as %d), %.2f crit_eval/s",
           n, s.evaluations, s.cached, s.parse_failures, GW_GRADE_DEFAULT,
           s.seconds > 0 ? (double)n / s.seconds : 0);
    gw_judge_free(j->judge);
    j->judge = NULL;
}

void gw_judging_close(struct gw_judging *j) {
    gw_judge_free(j->judge);
    gw_judge_cache_close(j->cache);
    gw_rubric_free(&j->rubric);
    gw_runtime_close(&j->rt);
    j->judge = NULL;
    j->cache = NULL;
}
