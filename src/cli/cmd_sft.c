/* cmd_sft.c - gwen-cpu sft: supervised fine-tuning. */
#include "cli/training.h"

#include "service/sft.h"

struct sft {
    struct gw_training t;
    const char *data_path;
    struct gw_sft_data data;
};

static enum gwen_status read_data(struct sft *s, struct gwen_err *err) {
    const struct gw_runtime *rt = &s->t.p.rt;
    const struct gw_prompt_opts prompt = gw_prompting_prompts(&s->t.p, 1, true);
    const struct gw_sft_opts opts = {
        .prompt = &prompt,
        .eos = rt->eos,
        .n_eos = rt->n_eos,
        .max_length = GW_MIN(s->t.config.max_length, rt->cfg.max_position_embeddings)};
    GW_TRY(gw_sft_read(s->data_path, &opts, &s->data, err));
    gw_log(&rt->cli->log, GWEN_LOG_INFO,
           "%s: %zu rows, %zu tokens, of which %zu count, the longest row %zu", s->data_path,
           s->data.n, s->data.n_tokens, s->data.n_loss, s->data.longest);
    if (s->data.n_cut + s->data.n_left_out > 0)
        gw_log(&rt->cli->log, GWEN_LOG_WARNING,
               "%s: %zu rows longer than max_length %zu were cut, %zu left out (nothing in them "
               "counts)",
               s->data_path, s->data.n_cut, opts.max_length, s->data.n_left_out);
    return GWEN_OK;
}

static enum gwen_status sft(struct sft *s, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_training *t = &s->t;
    GW_TRY(gw_training_open(t, cli, err));
    GW_TRY(read_data(s, err));
    struct gw_plan_options plan = gw_runtime_plan(&t->p.rt);
    const struct gw_train_work work = {.samples = GW_MIN(gw_sft_step_rows(&t->config), s->data.n),
                                       .max_len = s->data.longest,
                                       .temperature = 1};
    plan.other += gw_sft_bytes(&t->config, &s->data);
    GW_TRY(gw_training_load(t, &plan, &work, gw_sft_total_steps(&t->config, &s->data), err));
    return gw_sft_run(&t->run, t->learner, &s->data, err);
}

static const char about[] =
    "Supervised fine-tuning: teaches a model the completions of a JSONL file.  A row is\n"
    "one of\n"
    "  {\"prompt\", \"completion\"}  texts or lists of messages; the completion counts\n"
    "  {\"messages\"}              a conversation; the assistant's turns count\n"
    "  {\"text\"}                  all of it counts\n"
    "  {\"ids\", \"mask\"}           token ids; those with mask 1 count\n"
    "The loss of a step is the mean negative log-probability of its tokens that count.\n"
    "A step takes per_device_train_batch_size times gradient_accumulation_steps rows.\n"
    "\n"
    "Into --out go metrics.jsonl, TensorBoard's events, checkpoint-N every save_steps\n"
    "and at the end, and the trained model itself: a Hugging Face directory.  After an\n"
    "interruption, of whatever kind, --resume goes on from the newest checkpoint and ends\n"
    "with the same weights, bit for bit.  Threads, --train-micro-batch and --recompute\n"
    "change no result.  Options with underscores have the names, meanings and defaults of\n"
    "TRL's SFTConfig.";

int gw_cmd_sft(struct gw_cli *cli, int argc, char **argv) {
    struct sft s = {.t.p.sampling = GW_SAMPLING_INIT};
    gw_train_config_init(&s.t.config, GW_TRAIN_SFT);
    const struct gw_option own[] = {
        GW_OPT_STRING("data", 'd', &s.data_path, "FILE", "JSONL of rows; -: standard input"),
        GW_TRAINING_OPTIONS(s.t),
        GW_OPT_FLAG("chat", 0, &s.t.p.as_chat, "texts are a user's and an assistant's messages"),
        GW_CHAT_OPTIONS(s.t.p),
    };
    size_t n;
    const struct gw_option *options = gw_training_options(cli, &s.t, own, GW_ARRAY_LEN(own), &n);
    const struct gw_cli_spec spec = {
        "--model DIR --data FILE --out DIR [options]", about, options, n, 0, true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (s.data_path == NULL) return gw_cli_usage(cli, "--data FILE is needed");
    if (s.t.config.packing)
        return gw_cli_usage(cli, "packing is not implemented: rows are not "
                                 "padded in any case");
    if (!gw_training_check(&s.t, cli, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = sft(&s, cli, &err);
    gw_sft_free(&s.data);
    gw_training_close(&s.t);
    return gw_cli_end(cli, status, &err);
}
