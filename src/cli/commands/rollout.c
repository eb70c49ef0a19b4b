/* rollout.c - gwen-cpu rollout: a group of samples for each prompt of a file. */
#include "cli/output.h"
#include "cli/with_prompts.h"

#include "base/file.h"
#include "service/record/provenance.h"
#include "service/rollout/ordered.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct rollout {
    struct gw_cli *cli;
    struct gw_prompting p;
    const char *prompts_path, *out_path, *lengths;
    size_t groups, max_tokens, batch;
    bool resume, overwrite;
    struct gw_rollout_opts opts;
    struct gw_prompts prompts;
    struct gw_rollout_plan plan;
    /* where rows go: the part file, or in order to a stream */
    struct gw_rollout_file *file;
    struct gw_ordered *ordered;
    struct gw_out *out; /* NULL: standard output */
    struct gw_str row;
};

/* --- where the rows go ---------------------------------------------------------------------- */

static enum gwen_status on_sample(void *ctx, const struct gw_rollout_sample *s,
                                  struct gwen_err *err) {
    struct rollout *r = ctx;
    gw_str_clear(&r->row);
    gw_rollout_put_row(&r->row, s, gw_runtime_class(&r->p.rt));
    if (r->row.failed) return gw_nomem(err, s->n, "a row");
    if (r->file != NULL)
        return gw_rollout_file_append(r->file, s->prompt_id, s->sample_id, r->row.data, r->row.len,
                                      err);
    return gw_ordered_put(r->ordered, s->prompt_id * r->groups + s->sample_id, r->row.data,
                          r->row.len, err);
}

static enum gwen_status emit(void *ctx, const char *row, size_t len, struct gwen_err *err) {
    struct rollout *r = ctx;
    return r->out != NULL ? gw_out_write(r->out, row, len, err)
                          : gw_cli_write(r->cli, row, len, err);
}

static bool on_skip(void *ctx, size_t prompt, size_t sample) {
    const struct rollout *r = ctx;
    return r->file != NULL && gw_rollout_file_has(r->file, prompt, sample);
}

/* A pipe or a device (/dev/null, /dev/stdout) cannot be written anew: rows stream to it. */
static bool is_stream(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static bool streams(const struct rollout *r) {
    return r->out_path == NULL || strcmp(r->out_path, "-") == 0 || is_stream(r->out_path);
}

/* The first line of the part file: everything that rows depend on. */
static enum gwen_status open_file(struct rollout *r, struct gwen_err *err) {
    struct gw_provenance from = {0};
    enum gw_part_mode mode = r->resume      ? GW_PART_RESUME
                             : r->overwrite ? GW_PART_OVERWRITE
                                            : GW_PART_NEW;
    enum gwen_status status = gw_provenance_model(
        &from, r->p.rt.model, r->p.rt.pool, gw_runtime_class(&r->p.rt), r->p.rt.tokenizer, err);
    gw_provenance_sampling(&from, &r->opts);
    gw_provenance_add(&from, "lengths", "%s", r->lengths != NULL ? r->lengths : "none");
    gw_provenance_add(&from, "prompts", "%016" PRIx64, gw_prompts_hash(&r->prompts));
    if (status == GWEN_OK)
        status = gw_provenance_open(&from, r->out_path, mode, r->prompts.n, r->groups, &r->cli->log,
                                    &r->file, err);
    gw_provenance_free(&from);
    return status;
}

static enum gwen_status open_output(struct rollout *r, struct gwen_err *err) {
    if (!streams(r)) return open_file(r, err);
    if (r->out_path != NULL && strcmp(r->out_path, "-") != 0)
        GW_TRY(gw_out_open(r->out_path, &r->out, err));
    return gw_ordered_new(r->prompts.n * r->groups, emit, r, &r->ordered, err);
}

static enum gwen_status finish_output(struct rollout *r, struct gwen_err *err) {
    if (r->file != NULL) return gw_rollout_file_finish(r->file, err);
    if (r->out == NULL) return GWEN_OK;
    struct gw_out *out = r->out;
    r->out = NULL;
    return gw_out_commit(out, err);
}

/* --- the run -------------------------------------------------------------------------------- */

static enum gwen_status sample_all(struct rollout *r, struct gwen_err *err) {
    struct gw_runtime *rt = &r->p.rt;
    const struct gw_rollout_sink sink = {.ctx = r,
                                         .skip = on_skip,
                                         .sample = on_sample,
                                         .progress = gw_cli_progress,
                                         .progress_user = r->cli};
    struct gw_rollout *rollout;
    struct gw_rollout_stats stats;
    GW_TRY(
        gw_rollout_create(rt->model, rt->pool, rt->tokenizer, &r->opts, &r->plan, &rollout, err));
    enum gwen_status status = gw_rollout_run(rollout, &r->prompts, &sink, &stats, err);
    gw_rollout_free(rollout);
    gw_bar_clear(&r->cli->bar);
    gw_prompting_log_stats(&r->p, &stats, r->plan.options.engine.slots, true);
    return status;
}

static enum gwen_status rollout(struct rollout *r, struct gwen_err *err) {
    struct gw_runtime *rt = &r->p.rt;
    GW_TRY(gw_prompting_open(&r->p, r->cli, err));
    const struct gw_prompt_opts prompt_opts = gw_prompting_prompts(&r->p, r->max_tokens, false);
    GW_TRY(gw_prompts_read(r->prompts_path, &prompt_opts, &r->prompts, err));
    size_t lo = r->opts.length_lo, hi = r->opts.length_hi;
    r->opts = gw_prompting_rollout(&r->p, r->groups);
    r->opts.length_lo = lo;
    r->opts.length_hi = hi;
    r->opts.file_order = streams(r);
    const struct gw_plan_options base = gw_runtime_plan(rt);
    struct gw_speed speed;
    if (r->batch == 0) gw_runtime_speed(rt, &speed);
    GW_TRY(
        gw_rollout_plan(&base, &speed, &r->prompts, &r->opts, r->batch, rt->budget, &r->plan, err));
    gw_prompting_log_plan(&r->p, &r->plan, r->prompts.n, r->groups);
    gw_prompting_log_prefill(&r->p, &r->plan);
    GW_TRY(gw_runtime_load(rt, &r->plan.options, err));
    GW_TRY(open_output(r, err));
    GW_TRY(sample_all(r, err));
    return finish_output(r, err);
}

static void close_rollout(struct rollout *r) {
    gw_rollout_file_close(r->file);
    gw_ordered_free(r->ordered);
    gw_out_abort(r->out);
    gw_str_free(&r->row);
    gw_prompts_free(&r->prompts);
    gw_prompting_close(&r->p);
}

static const char about[] =
    "Samples a group of completions for each prompt of a JSONL file and records their\n"
    "log-probabilities.  A row is one of\n"
    "  {\"prompt\"}    a text; with --chat a user's message; or a list of messages\n"
    "  {\"question\"}  the same, where there is no \"prompt\"\n"
    "  {\"messages\"}  a conversation for the model's chat template\n"
    "  {\"ids\"}       token ids\n"
    "with an optional \"id\" (a string or an integer) and \"max_tokens\"; its other\n"
    "members are passed on as \"meta\".  A plain text gets the special tokens that the\n"
    "tokenizer itself adds, a rendered one none.\n"
    "\n"
    "The output has a line for each sample, ordered by prompt and sample: an object of\n"
    "prompt_id, sample_id, id, prompt_ids, ids, logprobs, text, finish_reason,\n"
    "numeric_class and meta.  ids and logprobs include the ending eos and all tokens of\n"
    "a stop string, text neither; logprobs are of log_softmax(logits / temp), before\n"
    "repetition penalty and truncation.\n"
    "\n"
    "Samples depend on the model, the dtype and its numeric class, the sampling options\n"
    "and --seed alone: batch size, threads and interruptions change nothing.  Finished\n"
    "samples are kept in FILE.part until all are there; --resume goes on where a run\n"
    "was interrupted.";

int gw_cmd_rollout(struct gw_cli *cli, int argc, char **argv) {
    struct rollout r = {.cli = cli,
                        .p = {.sampling = GW_SAMPLING_INIT},
                        .groups = 8,
                        .max_tokens = 256,
                        .batch = 0};
    const struct gw_option options[] = {
        GW_OPT_STRING("prompts", 'p', &r.prompts_path, "FILE",
                      "prompts: JSONL, JSON array or CSV, also gzipped; -: standard input"),
        GW_OPT_ADAPTER(cli),
        GW_OPT_STRING("out", 'o', &r.out_path, "FILE",
                      "write the samples to this JSONL file (default: standard output)"),
        GW_OPT_FLAG("resume", 0, &r.resume, "continue an interrupted rollout from FILE.part"),
        GW_OPT_FLAG("overwrite", 0, &r.overwrite,
                    "replace FILE, discard FILE.part and start again"),
        GW_OPT_COUNT("groups", 'n', &r.groups, 1, 1 << 20, "samples of each prompt"),
        GW_OPT_COUNT("max-tokens", 0, &r.max_tokens, 1, 1 << 24,
                     "most tokens of a sample, where the row has no max_tokens"),
        GW_OPT_AUTO("rollout-batch-size", 'B', &r.batch, 1, 1 << 16, "samples decoded together"),
        GW_OPT_STRING("lengths", 0, &r.lengths, "uniform:LO-HI",
                      "draw each sample's token limit from this range"),
        GW_SAMPLING_OPTIONS(r.p),
        GW_OPT_FLAG("chat", 0, &r.p.as_chat,
                    "treat prompts as user messages: apply the chat template"),
        GW_CHAT_OPTIONS(r.p),
    };
    const struct gw_cli_spec spec = {"--model DIR --prompts FILE [--out FILE] [options]",
                                     about,
                                     options,
                                     GW_ARRAY_LEN(options),
                                     0,
                                     true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (r.prompts_path == NULL) return gw_cli_usage(cli, "--prompts FILE is needed");
    if (r.resume && r.overwrite) return gw_cli_usage(cli, "give --resume or --overwrite, not both");
    if ((r.resume || r.overwrite) && streams(&r))
        return gw_cli_usage(cli, "--resume and --overwrite need --out FILE");
    if (r.lengths != NULL && !gw_prompting_lengths(r.lengths, &r.opts.length_lo, &r.opts.length_hi))
        return gw_cli_usage(cli, "--lengths %s: expected uniform:LO-HI", r.lengths);
    if (!gw_prompting_check(&r.p, cli, &code)) return code;
    struct gwen_err err;
    enum gwen_status status =
        gw_output_check_part(cli, "out", r.out_path, r.resume, r.overwrite, &err);
    if (status == GWEN_OK) status = rollout(&r, &err);
    close_rollout(&r);
    return gw_cli_end(cli, status, &err);
}
