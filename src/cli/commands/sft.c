/* sft.c - gwen-cpu sft: supervised fine-tuning. */
#include "cli/show_row.h"
#include "cli/with_training.h"

#include "service/train/sft/sft.h"

#include <string.h>
#include <unistd.h>

struct sft {
    struct gw_training t;
    const char *data_path, *eval_path;
    struct gw_sft_data data, eval;
};

static enum gwen_status read_data(struct sft *s, const char *path, struct gw_sft_data *data,
                                  struct gwen_err *err) {
    const struct gw_runtime *rt = &s->t.p.rt;
    const struct gw_prompt_opts prompt = gw_prompting_prompts(&s->t.p, 1, true);
    int32_t own_eos = -1;
    if (prompt.tokenizer != NULL) gw_tokenizer_named(prompt.tokenizer, GW_TOKEN_EOS, &own_eos);
    const struct gw_sft_opts opts = {
        .prompt = &prompt,
        .eos = rt->eos,
        .own_eos = own_eos,
        .max_length = GW_MIN(s->t.config.max_length, rt->cfg.max_position_embeddings),
        .packing = s->t.config.packing && s->t.show == 0};
    GW_TRY(gw_sft_read(path, &opts, data, err));
    gw_log(&rt->cli->log, GWEN_LOG_INFO,
           "%s: %zu rows, %zu tokens, of which %zu count, the longest row %zu", path, data->n,
           data->n_tokens, data->n_loss, data->longest);
    if (opts.packing)
        gw_log(&rt->cli->log, GWEN_LOG_INFO, "%s: packed into %zu rows of at most %zu tokens", path,
               data->n_bins, opts.max_length);
    if (data->n_cut + data->n_left_out > 0)
        gw_log(&rt->cli->log, GWEN_LOG_WARNING,
               "%s: %zu rows longer than max_length %zu were cut, %zu left out (nothing in them "
               "counts)",
               path, data->n_cut, opts.max_length, data->n_left_out);
    if (data->n_straddling > 0)
        gw_log(&rt->cli->log, GWEN_LOG_INFO,
               "%s: in %zu rows a token straddles prompt and completion: it counts", path,
               data->n_straddling);
    if (data->n_turns > 0 && data->n_stops == 0)
        gw_log(
            &rt->cli->log, GWEN_LOG_WARNING,
            "%s: no turn of the assistant ends with an end of sequence: nothing here teaches the "
            "model to stop",
            path);
    return GWEN_OK;
}

/* The first rows of the file that have something to learn. */
static enum gwen_status show(const struct sft *s, struct gwen_err *err) {
    struct gw_cli *cli = s->t.p.rt.cli;
    struct gw_str text = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < GW_MIN(s->t.show, s->data.n) && status == GWEN_OK; i++) {
        status =
            gw_show_row(s->t.p.rt.tokenizer, &s->data.rows[i], isatty(STDOUT_FILENO), &text, err);
        if (status == GWEN_OK) status = gw_cli_write_raw(cli, text.data, text.len, err);
        gw_str_clear(&text); /* its colours are ours, the rest is shown */
    }
    gw_str_free(&text);
    return status;
}

static enum gwen_status sft(struct sft *s, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_training *t = &s->t;
    GW_TRY(gw_training_open(t, cli, err));
    GW_TRY(read_data(s, s->data_path, &s->data, err));
    if (t->show > 0) return show(s, err);
    if (s->eval_path != NULL) GW_TRY(read_data(s, s->eval_path, &s->eval, err));
    const struct gw_sft_data *eval = s->eval_path != NULL ? &s->eval : NULL;
    const struct gw_sft_size step = gw_sft_step_size(&t->config, &s->data);
    struct gw_plan_options plan = gw_runtime_plan(&t->p.rt);
    const struct gw_train_work work = {.samples = step.rows,
                                       .tokens = step.tokens,
                                       .max_len = GW_MAX(s->data.longest, s->eval.longest),
                                       .batch = t->config.per_device_train_batch_size,
                                       .temperature = 1};
    plan.other += gw_sft_bytes(&t->config, &s->data, eval);
    struct gw_train_job job = {.total_steps = gw_sft_total_steps(&t->config, &s->data),
                               .data = gw_sft_hash(&s->data),
                               .data_path = s->data_path};
    GW_TRY(gw_training_load(t, &plan, &work, &job, err));
    if (t->only_check) return gw_training_tell(t, &plan, &job, err);
    return gw_sft_run(&t->run, t->learner, &s->data, eval, err);
}

static const char about[] =
    "Supervised fine-tuning: teaches a model the completions of a JSONL file.  A row is\n"
    "one of\n"
    "  {\"prompt\", \"completion\"}  texts or lists of messages; the completion counts\n"
    "  {\"messages\"}              a conversation; the assistant's turns count\n"
    "  {\"text\"}                  all of it counts\n"
    "  {\"ids\", \"mask\"}           token ids; those with mask 1 count\n"
    "The loss of a step is the mean negative log-probability of its tokens that count.\n"
    "A step takes per_device_train_batch_size times gradient_accumulation_steps rows; with\n"
    "packing one of these is as many rows of the file as fit into max_length tokens, each\n"
    "still a sequence of its own.  Rows of --eval-data are evaluated every eval_steps and\n"
    "at the end: eval_loss and eval_mean_token_accuracy in metrics.jsonl.  --show 3 prints\n"
    "three rows as the model would see them, and what of them counts.\n"
    "\n"
    "Into --out go metrics.jsonl, TensorBoard's events, checkpoint-N every save_steps\n"
    "and at the end, and the trained model itself: a Hugging Face directory.  After an\n"
    "interruption, of whatever kind, --resume goes on from the newest checkpoint and ends\n"
    "with the same weights, bit for bit.  Threads, --train-micro-batch and --recompute\n"
    "change no result.  Options with underscores have the names, meanings and defaults of\n"
    "TRL's SFTConfig.";

int gw_cmd_sft(struct gw_cli *cli, int argc, char **argv) {
    struct sft s = {
        .t = {.p.sampling = GW_SAMPLING_INIT, .only_check = strcmp(cli->command, "validate") == 0}};
    gw_train_config_init(&s.t.config, GW_TRAIN_SFT);
    const struct gw_option own[] = {
        GW_OPT_STRING("data", 'd', &s.data_path, "FILE",
                      "training rows: JSONL, JSON array or CSV, also gzipped; -: standard input"),
        GW_OPT_STRING("eval-data", 0, &s.eval_path, "FILE", "validation rows, a JSONL file"),
        GW_OPT_COUNT("show", 0, &s.t.show, 0, 1e9,
                     "print N rows with [[ ]] around what is learnt, and train nothing"),
        GW_TRAINING_OPTIONS(s.t),
        GW_OPT_FLAG("chat", 0, &s.t.p.as_chat,
                    "treat prompt and completion as messages of user and assistant: apply the chat "
                    "template"),
        GW_CHAT_OPTIONS(s.t.p),
    };
    size_t n;
    const struct gw_option *options = gw_training_options(cli, &s.t, own, GW_ARRAY_LEN(own), &n);
    const bool only_check = s.t.only_check;
    const struct gw_cli_spec spec = {only_check ? gw_validate_usage
                                                : "--model DIR --data FILE --out DIR [options]",
                                     only_check ? gw_validate_about : about,
                                     options,
                                     n,
                                     0,
                                     true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (s.data_path == NULL) return gw_cli_usage(cli, "--data FILE is needed");
    if (s.t.config.eval_steps > 0 && s.eval_path == NULL)
        return gw_cli_usage(cli, "eval_steps needs --eval-data FILE");
    if (!gw_training_check(&s.t, cli, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = sft(&s, cli, &err);
    gw_sft_free(&s.data);
    gw_sft_free(&s.eval);
    gw_training_close(&s.t);
    return gw_cli_end(cli, status, &err);
}
