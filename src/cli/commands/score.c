/* score.c - gwen-cpu score: log-probabilities of given tokens. */
#include "cli/with_model.h"

#include "service/eval/logits_file.h"
#include "service/eval/score.h"

#include <unistd.h>

struct score {
    double temperature;
    const char *logits_path;
    size_t batch;
    struct gw_runtime rt;
    struct gw_score_source source;
    struct gw_score_window window;
    struct gw_plan_options plan;
    struct gw_scorer *scorer;
    struct gw_logits_file *logits;
    size_t first_logits; /* tensor of the window's first row */
    struct gw_str out;
};

static enum gwen_status load_tokenizer(void *ctx, const struct gw_tokenizer **out,
                                       struct gwen_err *err) {
    struct score *s = ctx;
    GW_TRY(gw_runtime_tokenizer(&s->rt, err));
    *out = s->rt.tokenizer;
    return GWEN_OK;
}

/* Loads the model for the first window, and makes a larger scorer where a window needs one. */
static enum gwen_status make_scorer(struct score *s, struct gwen_err *err) {
    const struct gw_score_opts opts = {.temperature = s->temperature,
                                       .keep_logits = s->logits_path != NULL,
                                       .progress = gw_interrupt_none};
    if (s->scorer == NULL) s->plan = gw_runtime_plan(&s->rt);
    struct gw_scorer_opts before = s->plan.scorer;
    GW_TRY(gw_score_plan(&s->window, &opts, s->rt.budget, &s->plan, err));
    if (s->rt.model == NULL) GW_TRY(gw_runtime_load(&s->rt, &s->plan, err));
    if (s->scorer != NULL && before.max_len >= s->plan.scorer.max_len &&
        before.n_blocks >= s->plan.scorer.n_blocks)
        return GWEN_OK;
    gw_scorer_free(s->scorer);
    return gw_scorer_create(s->rt.model, s->rt.pool, &s->plan.scorer, &s->scorer, err);
}

/* Position t - from of the row predicts its token t.  The last one, t == n, predicts what is not
 * there: only rows of "ids" have it in the file. */
static void keep_logits(void *ctx, size_t index, size_t t, const float *z) {
    struct score *s = ctx;
    const struct gw_score_row *row = &s->window.rows[index];
    if (t < row->n || row->whole)
        gw_logits_put(s->logits, s->first_logits + index, t - row->from, z);
}

static enum gwen_status add_logits(struct score *s, struct gwen_err *err) {
    for (size_t i = 0; i < s->window.n; i++) {
        const struct gw_score_row *row = &s->window.rows[i];
        size_t index, n = row->n - row->from + row->whole;
        GW_TRY(gw_logits_add(s->logits, n, &index, err));
        if (i == 0) s->first_logits = index;
    }
    return GWEN_OK;
}

static enum gwen_status answer_window(struct score *s, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(make_scorer(s, err));
    if (s->logits != NULL) GW_TRY(add_logits(s, err));
    GW_TRY(gw_score_run(s->scorer, &s->window, s->logits != NULL ? keep_logits : NULL, s, err));
    for (size_t i = 0; i < s->window.n; i++) gw_score_put_row(&s->out, &s->window.rows[i]);
    gw_score_window_clear(&s->window);
    return gw_cli_put(cli, &s->out, err);
}

/* Rows before a bad one are answered, then it is told. */
static enum gwen_status answer_all(struct score *s, struct gw_cli *cli, struct gwen_err *err) {
    bool more = true;
    while (more) {
        struct gwen_err bad;
        enum gwen_status read = gw_score_read(&s->source, s->batch, &s->window, &more, &bad);
        if (s->window.n > 0) GW_TRY(answer_window(s, cli, err));
        if (read == GWEN_OK) continue;
        *err = bad;
        return read;
    }
    return GWEN_OK;
}

static enum gwen_status score(struct score *s, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_runtime_open(&s->rt, cli, err));
    GW_TRY(gw_runtime_find(&s->rt, err));
    s->source.vocab_size = s->rt.cfg.vocab_size;
    s->source.context = s->rt.cfg.max_position_embeddings;
    s->source.load_tokenizer = load_tokenizer;
    s->source.ctx = s;
    GW_TRY(gw_lines_open_fd(STDIN_FILENO, "stdin", GW_ROW_MAX_BYTES, &s->source.lines, err));
    if (s->logits_path != NULL)
        GW_TRY(gw_logits_open(s->logits_path, s->rt.cfg.vocab_size, &s->logits, err));
    GW_TRY(answer_all(s, cli, err));
    if (s->source.n_straddling > 0)
        gw_log(
            &cli->log, GWEN_LOG_INFO,
            "in %zu rows a token straddles prompt and completion: it is scored as the completion's",
            s->source.n_straddling);
    if (s->logits == NULL) return GWEN_OK;
    struct gw_logits_file *logits = s->logits;
    s->logits = NULL;
    return gw_logits_commit(logits, err);
}

int gw_cmd_score(struct gw_cli *cli, int argc, char **argv) {
    struct score s = {.temperature = 1, .batch = GW_SCORE_WINDOW_ROWS};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_REAL("temp", 0, &s.temperature, 1e-6, 1e6,
                    "temperature: the logits are divided by it"),
        GW_OPT_STRING("logits", 0, &s.logits_path, "FILE",
                      "also write the logits to this safetensors file"),
        GW_OPT_COUNT("score-batch", 0, &s.batch, 1, 1 << 20,
                     "rows read ahead and scored together; never changes a result"),
    };
    const struct gw_cli_spec spec = {
        "--model DIR [options] <rows.jsonl",
        "Reads rows of JSON from standard input and writes for each, in the same order,\n"
        "{\"id\", \"logprobs\": [...], \"sum\"}.  A row is one of\n"
        "  {\"ids\"}                           all tokens but the first are scored\n"
        "  {\"prompt_ids\", \"completion_ids\"}  the completion is scored; \"ids\" will do for\n"
        "                                    \"completion_ids\", as in rows of a rollout\n"
        "  {\"prompt\", \"completion\"}          texts, encoded as one behind the special\n"
        "                                    tokens that the tokenizer puts in front; a\n"
        "                                    token with letters of both is the\n"
        "                                    completion's\n"
        "with an optional \"id\".  Equal prompts are computed once.\n"
        "\n"
        "--logits writes float32 tensors \"logits.N\", N being the row's number from 0,\n"
        "after division by --temp: [n, vocabulary] at each of the n ids for rows of\n"
        "\"ids\", else the positions that predict the completion's tokens.",
        options,
        GW_ARRAY_LEN(options),
        0,
        true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = score(&s, cli, &err);
    gw_logits_abort(s.logits);
    gw_scorer_free(s.scorer);
    gw_score_window_free(&s.window);
    gw_lines_close(s.source.lines);
    gw_str_free(&s.out);
    gw_runtime_close(&s.rt);
    return gw_cli_end(cli, status, &err);
}
