/* chat.c - gwen-cpu chat: a conversation, line by line, on a terminal or from a script. */
#include "cli/with_prompts.h"

#include "base/file.h"
#include "service/rollout/generate.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_MAX_TOKENS = 1024, MOST_WINDOW = 32768, LEAST_WINDOW = 64, MAX_LINE = 1 << 20 };

struct chat {
    struct gw_cli *cli;
    struct gw_prompting p;
    size_t max_tokens, window; /* 0: chosen */
    struct gw_prompt_opts prompt;
    struct gw_rollout_opts opts;
    struct gw_rollout_plan plan;
    struct gw_talk *talk;
    struct gw_lines *lines;
    struct gw_str row;
    bool terminal;
};

/* --- sizes ---------------------------------------------------------------------------------- */

/* Half of the window at most is for the answer; unless it was asked for, the window shrinks until
 * the memory is there. */
static enum gwen_status choose_sizes(struct chat *c, struct gwen_err *err) {
    const struct gw_runtime *rt = &c->p.rt;
    const struct gw_generation_config *g = &rt->generation;
    const struct gw_plan_options base = gw_runtime_plan(rt);
    size_t context = rt->cfg.max_position_embeddings;
    bool asked = c->window != 0;
    size_t window = GW_MIN(asked ? c->window : (size_t)MOST_WINDOW, context), most = c->max_tokens;
    if (most == 0) most = g->has_max_new_tokens ? g->max_new_tokens : DEFAULT_MAX_TOKENS;
    for (;; window /= 2) {
        size_t max_tokens = GW_MAX(GW_MIN(most, window / 2), (size_t)1);
        enum gwen_status status =
            gw_talk_plan(&base, &c->opts, window, max_tokens, rt->budget, &c->plan, err);
        if (status == GWEN_ERR_NOMEM && !asked && window / 2 >= LEAST_WINDOW) continue;
        if (status != GWEN_OK) return status;
        c->prompt.max_tokens = max_tokens;
        gw_log(&c->cli->log, GWEN_LOG_DEBUG, "room for %zu tokens of conversation, answers of %zu",
               window, max_tokens);
        gw_prompting_log_prefill(&c->p, &c->plan);
        return GWEN_OK;
    }
}

/* --- turns ---------------------------------------------------------------------------------- */

static enum gwen_status on_text(void *ctx, const char *text, size_t len, struct gwen_err *err) {
    const struct chat *c = ctx;
    return c->cli->common.json ? GWEN_OK : gw_cli_write(c->cli, text, len, err);
}

static enum gwen_status on_answer(void *ctx, const struct gw_rollout_sample *s,
                                  struct gwen_err *err) {
    struct chat *c = ctx;
    if (!c->cli->common.json) return gw_cli_write(c->cli, "\n", 1, err);
    gw_rollout_put_row(&c->row, s, gw_runtime_class(&c->p.rt));
    return gw_cli_put(c->cli, &c->row, err);
}

static bool is_command(const struct gw_line *line, const char *command) {
    size_t len = line->len;
    while (len > 0 && strchr(" \t\r", line->text[len - 1]) != NULL) len--;
    return len == strlen(command) && memcmp(line->text, command, len) == 0;
}

/* On a terminal, mistakes in one turn are told and the conversation goes on. */
static enum gwen_status say(struct chat *c, const struct gw_line *line, struct gwen_err *err) {
    const struct gw_talk_listener listener = {.ctx = c,
                                              .text = on_text,
                                              .answer = on_answer,
                                              .progress = gw_cli_progress,
                                              .progress_user = c->cli};
    size_t len = line->len - (line->len > 0 && line->text[line->len - 1] == '\r');
    enum gwen_status status = gw_talk_say(c->talk, line->text, len, &listener, err);
    if (!c->terminal || (status != GWEN_ERR_ARGUMENT && status != GWEN_ERR_FORMAT)) return status;
    gw_log(&c->cli->log, GWEN_LOG_ERROR, "%s", gw_cli_message(c->cli, err));
    return GWEN_OK;
}

static enum gwen_status converse(struct chat *c, struct gwen_err *err) {
    if (c->terminal) gw_log(&c->cli->log, GWEN_LOG_INFO, "/exit ends, /reset begins anew");
    for (;;) {
        struct gw_line line;
        bool more;
        if (c->terminal) fputs("> ", stderr);
        GW_TRY(gw_lines_next(c->lines, &line, &more, err));
        if (!more || is_command(&line, "/exit")) return GWEN_OK;
        if (is_command(&line, "")) continue;
        if (is_command(&line, "/reset"))
            GW_TRY(gw_talk_reset(c->talk, err));
        else
            GW_TRY(say(c, &line, err));
    }
}

static enum gwen_status chat(struct chat *c, struct gwen_err *err) {
    struct gw_runtime *rt = &c->p.rt;
    GW_TRY(gw_prompting_open(&c->p, c->cli, err));
    if (rt->tokenizer == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s has no tokenizer", rt->dir.data);
    if (c->p.chat.template == NULL) return gw_err_copy(err, &c->p.chat.why);
    gw_prompting_defaults(&c->p);
    GW_TRY(gw_sampling_check(&c->p.sampling, err));
    c->prompt = gw_prompting_prompts(&c->p, 1, true);
    c->opts = gw_prompting_rollout(&c->p, 1);
    GW_TRY(choose_sizes(c, err));
    GW_TRY(gw_runtime_load(rt, &c->plan.options, err));
    const struct gw_talk_opts o = {.model = rt->model,
                                   .pool = rt->pool,
                                   .tokenizer = rt->tokenizer,
                                   .prompt = &c->prompt,
                                   .rollout = &c->opts,
                                   .plan = &c->plan};
    GW_TRY(gw_talk_new(&o, &c->talk, err));
    GW_TRY(gw_lines_open_fd(STDIN_FILENO, "stdin", MAX_LINE, &c->lines, err));
    return converse(c, err);
}

int gw_cmd_chat(struct gw_cli *cli, int argc, char **argv) {
    struct chat c = {.cli = cli, .p = {.sampling = GW_SAMPLING_UNSET, .as_chat = true}};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_AUTO("max-tokens", 0, &c.max_tokens, 1, 1 << 24,
                    "tokens of an answer; auto: the model's own limit, else 1024"),
        GW_OPT_AUTO("context", 0, &c.window, 2, 1 << 24,
                    "tokens of the whole conversation; auto: what fits into memory"),
        GW_SAMPLING_OPTIONS(c.p),
        GW_CHAT_OPTIONS(c.p),
    };
    const struct gw_cli_spec spec = {
        "--model DIR [options]",
        "Talks with a model: each line of standard input is a turn, and the answer goes to\n"
        "standard output as it comes.  /reset forgets the conversation, /exit or the end of\n"
        "the input ends it.  With --json a line for each answer, as rollout writes them.\n"
        "\n"
        "Sampling options that are not given are those of the model's\n"
        "generation_config.json: greedy, unless that says do_sample.",
        options,
        GW_ARRAY_LEN(options),
        0,
        true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (!gw_prompting_check(&c.p, cli, &code)) return code;
    c.terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    cli->bar.on = false; /* the answer itself is the progress */
    struct gwen_err err;
    enum gwen_status status = chat(&c, &err);
    gw_lines_close(c.lines);
    gw_talk_free(c.talk);
    gw_str_free(&c.row);
    gw_prompting_close(&c.p);
    return gw_cli_end(cli, status, &err);
}
