/* run.c - see run.h. */
#include "service/train/run.h"

#include "base/file.h"
#include "base/knob.h"
#include "service/rollout/rows.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* --- what is there -------------------------------------------------------------------------- */

static enum gwen_status read_state(struct gw_train_run *run, struct gwen_err *err) {
    const struct gw_str *config = &run->state.config;
    GW_TRY(gw_checkpoint_read(run->checkpoint.data, &run->state, err));
    return gw_err_prefix(err, gw_train_config_same(run->config, config->data, config->len, err),
                         "%s", run->checkpoint.data);
}

/* A model that is there would be written over at the end. */
static enum gwen_status refuse_model(const char *dir, struct gwen_err *err) {
    static const char ending[] = ".safetensors";
    DIR *d = opendir(dir);
    char found[NAME_MAX + 1] = "";
    if (d == NULL) return gw_fail(err, GWEN_ERR_IO, "cannot read the folder %s", dir);
    for (const struct dirent *e; found[0] == '\0' && (e = readdir(d)) != NULL;) {
        const size_t n = strlen(e->d_name), m = sizeof ending - 1;
        if (strcmp(e->d_name, "config.json") == 0 ||
            strcmp(e->d_name, "adapter_config.json") == 0 ||
            (n >= m && strcmp(e->d_name + n - m, ending) == 0))
            memcpy(found, e->d_name, n + 1);
    }
    closedir(d);
    if (found[0] == '\0') return GWEN_OK;
    return gw_fail(
        err, GWEN_ERR_ARGUMENT,
        "%s holds a model already (%s), which would be written over: give another folder", dir,
        found);
}

static enum gwen_status refuse_run(const struct gw_train_run *run, bool found,
                                   struct gwen_err *err) {
    struct gw_str path = {0};
    GW_TRY(gw_path_join(&path, run->dir, "metrics.jsonl", err));
    bool there = found;
    enum gwen_status status = found ? GWEN_OK : gw_file_find(path.data, &there, err);
    gw_str_free(&path);
    if (status != GWEN_OK || !there) return status;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "%s holds a run already: give %s to go on with it, or another folder", run->dir,
                   gw_knob(GW_KNOB_RESUME));
}

/* Two runs in one folder would remove each other's checkpoints.  The lock goes with the process,
 * however that ends. */
static enum gwen_status lock(struct gw_train_run *run, struct gwen_err *err) {
    char text[128];
    run->lock = open(run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    run->has_lock = run->lock >= 0;
    if (run->has_lock && flock(run->lock, LOCK_EX | LOCK_NB) == 0) return GWEN_OK;
    if (run->has_lock && errno == EWOULDBLOCK)
        return gw_fail(err, GWEN_ERR_IO,
                       "%s is in use by another run: wait for its end, or give another folder",
                       run->dir);
    gw_log(run->host->log, GWEN_LOG_WARNING,
           "%s cannot be locked (%s): no other run may use it at the same time", run->dir,
           strerror_r(errno, text, sizeof text));
    return GWEN_OK;
}

enum gwen_status gw_train_run_find(struct gw_train_run *run, const char *dir, bool resume,
                                   const struct gw_train_config *config,
                                   const struct gw_train_host *host, struct gwen_err *err) {
    bool found;
    *run = (struct gw_train_run){.dir = dir, .config = config, .host = host};
    GW_TRY(gw_dir_make(dir, err));
    GW_TRY(lock(run, err));
    GW_TRY(gw_checkpoint_newest(dir, host->log, &run->checkpoint, &found, err));
    if (!resume) GW_TRY(refuse_run(run, found, err));
    if (!found) GW_TRY(refuse_model(dir, err));
    if (!resume) return GWEN_OK;
    if (found) GW_TRY(read_state(run, err));
    if (found)
        gw_log(host->log, GWEN_LOG_INFO, "going on from %s", run->checkpoint.data);
    else
        gw_log(host->log, GWEN_LOG_INFO, "%s: no checkpoint there, beginning", dir);
    return GWEN_OK;
}

void gw_train_run_close(struct gw_train_run *run) {
    gw_metrics_log_close(run->log);
    gw_metrics_free(&run->metrics);
    gw_train_state_free(&run->state);
    gw_str_free(&run->checkpoint);
    if (run->has_lock) close(run->lock);
    *run = (struct gw_train_run){0};
}

/* Those of a row. */
static void take_metrics(json_t *row, struct gw_metrics *m) {
    const char *name;
    json_t *value;
    gw_metrics_clear(m);
    json_object_foreach(row, name, value) {
        if (strcmp(name, "step") != 0)
            gw_metrics_put(m, name, json_is_number(value) ? json_number_value(value) : (double)NAN);
    }
}

/* The step of the last row there is: that of a step that is held is not. */
static uint64_t logged_step(const struct gw_train_run *run) {
    return run->state.step - (run->state.held.len > 0);
}

/* The watch and run->metrics are as they were after the rows that are kept. */
static enum gwen_status replay_row(void *ctx, const struct gw_row *row, struct gwen_err *err) {
    struct gw_train_run *run = ctx;
    struct gw_str unheard = {0};
    int64_t step;
    GW_TRY(gw_row_i64(row, "step", GW_JSON_REQUIRED, 0, INT64_MAX, &step, err));
    run->added = json_object_get(row->obj, "loss") == NULL; /* which every step's own row has */
    if (run->added) return GWEN_OK;
    take_metrics(row->obj, &run->metrics);
    gw_watch_step(&run->watch, (uint64_t)step, &run->metrics, &unheard);
    gw_str_free(&unheard);
    return run->metrics.failed ? gw_nomem(err, 0, "metrics") : GWEN_OK;
}

static enum gwen_status replay(struct gw_train_run *run, struct gwen_err *err) {
    struct gw_str path = {0};
    if (logged_step(run) == 0) return GWEN_OK;
    if (gw_metrics_log_is_empty(run->log)) return GWEN_OK; /* lost, which was said */
    enum gwen_status status = gw_path_join(&path, run->dir, "metrics.jsonl", err);
    if (status == GWEN_OK)
        status = gw_rows_read(path.data, GW_METRICS_MAX_LINE, "metrics", replay_row, run, err);
    gw_str_free(&path);
    return status;
}

/* Whoever reads the state with doubles must not lose any of it. */
static uint64_t fingerprint(const struct gw_train_job *job) {
    return job->data & (((uint64_t)1 << 53) - 1);
}

enum gwen_status gw_train_run_check(const struct gw_train_run *run, const struct gw_train_job *job,
                                    struct gwen_err *err) {
    if (run->checkpoint.len > 0 && run->state.data != fingerprint(job))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s: its rows are not those that the run in %s was begun with: %s "
                       "needs the same",
                       job->data_path, run->dir, gw_knob(GW_KNOB_RESUME));
    if (run->checkpoint.len > 0)
        GW_TRY(gw_err_prefix(
            err,
            gw_provenance_same(job->origin, run->state.origin.data, run->state.origin.len, err),
            "%s", run->checkpoint.data));
    return gw_checkpoint_check_space(run->dir, job->checkpoint_bytes, job->model_bytes,
                                     run->config->save_total_limit, err);
}

enum gwen_status gw_train_run_open(struct gw_train_run *run, const struct gw_train_job *job,
                                   struct gwen_err *err) {
    const bool resumed = run->checkpoint.len > 0;
    GW_TRY(gw_train_run_check(run, job, err));
    run->state.data = fingerprint(job);
    run->total_steps = job->total_steps;
    run->saved = logged_step(run); /* a checkpoint that holds a step is no whole one of it */
    gw_str_clear(&run->state.config);
    gw_train_config_put_json(run->config, &run->state.config);
    gw_str_clear(&run->state.origin);
    gw_provenance_put_json(job->origin, &run->state.origin);
    gw_str_clear(&run->state.profile);
    gw_str_put(&run->state.profile, job->profile->data, job->profile->len);
    const struct gw_metrics_was was = {.keep = logged_step(run),
                                       .known = resumed && !run->state.unsummed,
                                       .bytes = run->state.metrics_bytes,
                                       .sum = run->state.metrics_sum};
    GW_TRY(gw_metrics_mend(run->dir, &was, run->host->log, err));
    GW_TRY(gw_metrics_log_open(run->dir, true, logged_step(run), &run->log, err));
    return resumed ? replay(run, err) : GWEN_OK;
}

/* --- a step --------------------------------------------------------------------------------- */

void gw_train_run_phase(struct gw_train_run *run, const char *what, const char *unit,
                        uint64_t total) {
    gw_progress_init(&run->phase, run->host->progress, run->host->ctx, what, unit, total);
    gw_train_run_done(run, 0);
}

void gw_train_run_done(struct gw_train_run *run, uint64_t done) {
    struct gwen_err ignored;
    if (gw_progress_update(&run->phase, done, &ignored) != GWEN_OK)
        return; /* who says stop is heard elsewhere */
}

static void put_times(struct gw_train_run *run, double seconds) {
    double sum = 0;
    run->last_seconds[run->n_seconds++ % GW_TRAIN_LAST] = seconds;
    const uint64_t n = GW_MIN(run->n_seconds, (uint64_t)GW_TRAIN_LAST);
    for (uint64_t i = 0; i < n; i++) sum += run->last_seconds[i];
    gw_metrics_put(&run->metrics, "time/train/step_s", seconds);
    gw_metrics_put(&run->metrics, "time/train/step_avg_last10_s", sum / (double)n);
}

static void warn(struct gw_train_run *run) {
    struct gw_str said = {0};
    gw_watch_step(&run->watch, run->state.step, &run->metrics, &said);
    for (char *line = said.data; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        gw_log(run->host->log, GWEN_LOG_WARNING, "%s", line);
        line = end != NULL ? end + 1 : NULL;
    }
    gw_str_free(&said);
}

bool gw_train_run_is_told(const struct gw_train_run *run, uint64_t step) {
    return step == 1 || step == run->total_steps || step % run->config->logging_steps == 0;
}

static enum gwen_status say(const struct gw_train_run *run, const struct gw_step_report *report,
                            struct gwen_err *err) {
    if (!gw_train_run_is_told(run, report->step)) return GWEN_OK;
    struct gw_str line = {0};
    if (run->host->json) {
        gw_metrics_put_json(&run->metrics, report->step, &line);
    } else {
        gw_step_line(report, &line);
        gw_str_putc(&line, '\n');
    }
    enum gwen_status status = line.failed
                                  ? gw_nomem(err, line.len, "a line")
                                  : run->host->say(run->host->ctx, line.data, line.len, err);
    gw_str_free(&line);
    return status;
}

enum gwen_status gw_train_run_step(struct gw_train_run *run, struct gw_step_report *report,
                                   struct gwen_err *err) {
    report->step = run->state.step;
    run->added = false;
    report->n_steps = run->total_steps;
    put_times(run, report->seconds);
    GW_TRY(gw_metrics_log_write(run->log, run->state.step, (double)time(NULL), &run->metrics, err));
    gw_str_clear(&run->state.held);
    warn(run);
    return say(run, report, err);
}

/* What the report has and no metric. */
static const char HELD_SECONDS[] = "held_seconds";

enum gwen_status gw_train_run_hold(struct gw_train_run *run, const struct gw_step_report *report,
                                   struct gwen_err *err) {
    struct gw_str *held = &run->state.held;
    gw_metrics_put(&run->metrics, HELD_SECONDS, report->seconds);
    gw_str_clear(held);
    gw_metrics_put_json(&run->metrics, run->state.step, held);
    if (run->metrics.failed || held->failed) return gw_nomem(err, held->len, "metrics");
    return GWEN_OK;
}

enum gwen_status gw_train_run_take_held(struct gw_train_run *run, struct gw_step_report *report,
                                        bool *held, struct gwen_err *err) {
    const struct gw_str *text = &run->state.held;
    struct gw_metrics *m = &run->metrics;
    json_t *row;
    *held = text->len > 0;
    if (!*held) return GWEN_OK;
    GW_TRY(gw_row_parse(text->data, text->len, run->checkpoint.data, 1, &row, err));
    const json_t *seconds = json_object_get(row, HELD_SECONDS);
    *report = (struct gw_step_report){.seconds = json_number_value(seconds)};
    json_object_del(row, HELD_SECONDS);
    take_metrics(row, m);
    json_decref(row);
    report->loss = gw_metrics_get(m, "loss");
    report->reward = gw_metrics_get(m, "reward");
    report->rollout_tok_s = gw_metrics_get(m, "time/train/rollout_tokens_per_s");
    report->train_tok_s = gw_metrics_get(m, "time/train/tokens_per_s");
    return m->failed ? gw_nomem(err, text->len, "metrics") : GWEN_OK;
}

enum gwen_status gw_train_run_add(struct gw_train_run *run, const struct gw_metrics *m,
                                  struct gwen_err *err) {
    run->added = true;
    GW_TRY(gw_metrics_log_write(run->log, run->state.step, (double)time(NULL), m, err));
    return gw_metrics_log_sync(run->log, err);
}

bool gw_train_run_collapsed(const struct gw_train_run *run) {
    return gw_watch_collapsed(&run->watch);
}

/* --- saving --------------------------------------------------------------------------------- */

enum gwen_status gw_train_run_save(struct gw_train_run *run, struct gw_learner *learner, bool now,
                                   struct gwen_err *err) {
    const uint64_t step = run->state.step;
    const struct gw_checkpoint_part parts[] = {
        {gw_learner_save_model, learner}, {gw_learner_save_optimizer, learner}, run->more};
    const size_t n_parts = GW_ARRAY_LEN(parts) - (run->more.write == NULL);
    if (step == 0 || step == run->saved) return GWEN_OK;
    if (learner->bad > 0) return GWEN_OK;
    const size_t every = run->config->save_steps;
    if (!now && step != run->total_steps && step / every == run->saved / every) return GWEN_OK;
    run->state.skipped = learner->optimizer->skipped;
    gw_train_run_phase(run, "save", "", 0);
    GW_TRY(gw_metrics_log_sync(run->log, err));
    GW_TRY(gw_metrics_log_sum(run->log, &run->state.metrics_bytes, &run->state.metrics_sum, err));
    GW_TRY(gw_checkpoint_write(run->dir, &run->state, parts, n_parts, run->config->save_total_limit,
                               err));
    run->saved = step;
    return GWEN_OK;
}

void gw_train_run_rescue(struct gw_train_run *run, struct gw_learner *learner) {
    struct gwen_err err;
    if (gw_train_run_save(run, learner, true, &err) == GWEN_OK) return;
    gw_log(run->host->log, GWEN_LOG_ERROR, "step %" PRIu64 " cannot be saved: %s", run->state.step,
           err.message);
}

enum gwen_status gw_train_run_more(struct gw_train_run *run, struct gw_learner *learner, bool *more,
                                   struct gwen_err *err) {
    *more = run->state.step < run->total_steps;
    if (!*more || run->host->keep_going == NULL || run->host->keep_going(run->host->ctx))
        return GWEN_OK;
    GW_TRY(gw_train_run_save(run, learner, true, err));
    return gw_fail(err, GWEN_ERR_CANCELLED, "interrupted");
}

/* --- how it went ---------------------------------------------------------------------------- */

enum { TREND_WIDTH = 60 };

/* Sums of a metric over stretches of the run. */
struct trend {
    const char *name;
    uint64_t total;
    double first, last, sums[TREND_WIDTH];
    size_t counts[TREND_WIDTH];
};

static enum gwen_status add_to_trend(void *ctx, const struct gw_row *row, struct gwen_err *err) {
    struct trend *t = ctx;
    int64_t step;
    GW_TRY(gw_row_i64(row, "step", GW_JSON_REQUIRED, 1, INT64_MAX, &step, err));
    const json_t *value = json_object_get(row->obj, t->name);
    if (!json_is_number(value)) return GWEN_OK;
    const uint64_t width = GW_MIN(t->total, (uint64_t)TREND_WIDTH);
    const uint64_t column = GW_MIN((uint64_t)step - 1, t->total - 1) * width / t->total;
    t->last = json_number_value(value);
    if (isnan(t->first)) t->first = t->last;
    t->sums[column] += t->last;
    t->counts[column]++;
    return GWEN_OK;
}

/* A line with a drawing of the reward, or where there is none of the loss; that it cannot be drawn
 * is no failure of the run. */
static void tell_trend(const struct gw_train_run *run) {
    const bool rewarded = !isnan(gw_metrics_get(&run->metrics, "reward"));
    struct trend t = {.name = rewarded ? "reward" : "loss",
                      .total = GW_MAX(run->total_steps, (uint64_t)1),
                      .first = NAN};
    struct gw_str s = {0};
    struct gwen_err ignored;
    enum gwen_status status = gw_path_join(&s, run->dir, "metrics.jsonl", &ignored);
    if (status == GWEN_OK)
        status = gw_rows_read(s.data, GW_METRICS_MAX_LINE, "metrics", add_to_trend, &t, &ignored);
    gw_str_clear(&s);
    for (size_t i = 0; i < TREND_WIDTH; i++) t.sums[i] /= (double)t.counts[i];
    gw_sparkline(t.sums, (size_t)GW_MIN(t.total, (uint64_t)TREND_WIDTH), TREND_WIDTH, &s);
    if (status == GWEN_OK && !s.failed && !isnan(t.first))
        gw_log(run->host->log, GWEN_LOG_INFO, "%s %.4g ... %.4g  %s", t.name, t.first, t.last,
               s.data);
    gw_str_free(&s);
}

enum gwen_status gw_train_run_finish(struct gw_train_run *run, const struct gw_learner *learner,
                                     struct gwen_err *err) {
    GW_TRY(gw_learner_write_model(learner, run->dir, err));
    tell_trend(run);
    return GWEN_OK;
}
