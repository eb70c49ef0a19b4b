/* cmd.c - see cmd.h.
 *
 * Rows are written one at a time as the pipe takes them, so that memory stays bounded whatever the
 * batch; answers are read in between. */
#include "service/reward/cmd.h"

#include "base/clock.h"
#include "base/json.h"
#include "service/reward/child.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 100, GRACE_MS = 2000, SHOWN_ROW = 200, SHOWN_STDERR = 400 };

struct gw_reward_cmd {
    struct gw_reward_cmd_opts opts;
    char *command;
    struct gw_child child;
    uint64_t next_id;      /* ids are never used again */
    struct gw_str line;    /* being written */
    struct gw_str replies; /* read, but not yet a whole line */
};

/* One call. */
struct batch {
    struct gw_reward_cmd *cmd;
    const struct gw_reward_input *inputs; /* [n] */
    size_t n, stride;
    float *out;
    uint64_t first_id;
    bool *answered; /* [n] */
    size_t n_answered;
    size_t next;    /* row to be sent next */
    size_t written; /* bytes of cmd->line */
    unsigned restarts;
    uint64_t heard_ns; /* when the child last answered something or took a row */
};

enum gwen_status gw_reward_cmd_new(const struct gw_reward_cmd_opts *opts,
                                   struct gw_reward_cmd **out, struct gwen_err *err) {
    if (!(opts->timeout_s > 0) || opts->command == NULL || opts->command[0] == 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "a reward command and a timeout above 0 are needed");
    struct gw_reward_cmd *c = calloc(1, sizeof *c);
    if (c == NULL) return gw_nomem(err, sizeof *c, "a reward command");
    c->opts = *opts;
    c->command = strdup(opts->command);
    if (c->command == NULL) {
        free(c);
        return gw_nomem(err, strlen(opts->command), "a reward command");
    }
    *out = c;
    return GWEN_OK;
}

void gw_reward_cmd_free(struct gw_reward_cmd *c) {
    if (c == NULL) return;
    gw_child_stop(&c->child, GRACE_MS);
    gw_child_free(&c->child);
    gw_str_free(&c->line);
    gw_str_free(&c->replies);
    free(c->command);
    free(c);
}

const char *gw_reward_cmd_stderr(const struct gw_reward_cmd *c) {
    return c->child.tail.len > 0 ? c->child.tail.data : "";
}

/* --- messages ------------------------------------------------------------------------------- */

/* One line: ends of lines become " | ", other control characters and broken UTF-8 "?". */
static void put_printable(struct gw_str *s, const char *text, size_t len) {
    while (len > 0) {
        uint32_t cp;
        bool valid;
        size_t n = gw_utf8_next(text, len, &cp, &valid);
        if (cp == '\n' && len > 1)
            gw_str_puts(s, " | ");
        else if (cp >= 0x20 && cp != 0x7F && valid)
            gw_str_put(s, text, n);
        else if (cp != '\n')
            gw_str_putc(s, '?');
        text += n;
        len -= n;
    }
}

static void put_row(struct gw_str *s, uint64_t id, const struct gw_reward_input *in) {
    gw_str_printf(s, "{\"id\":%" PRIu64 ",\"prompt\":", id);
    gw_str_put_json(s, in->prompt, in->prompt_len);
    gw_str_puts(s, ",\"completion\":");
    gw_str_put_json(s, in->completion, in->completion_len);
    gw_str_puts(s, ",\"ids\":[");
    for (size_t i = 0; i < in->n; i++) gw_str_printf(s, "%s%" PRId32, i > 0 ? "," : "", in->ids[i]);
    gw_str_puts(s, "],\"meta\":");
    gw_str_put(s, in->meta, in->meta_len);
    gw_str_puts(s, "}\n");
}

/* Stops the child and says what became of it, with the row and the end of its stderr.  `what` NULL:
 * it was stopped before, and how it ended is told. */
static enum gwen_status give_up(struct batch *b, size_t row, const char *what,
                                struct gwen_err *err) {
    struct gw_reward_cmd *c = b->cmd;
    struct gw_str text = {0}, line = {0};
    gw_child_stop(&c->child, 0);
    gw_str_puts(&text, "reward command \"");
    put_printable(&text, c->command, GW_MIN(strlen(c->command), (size_t)100));
    gw_str_puts(&text, "\" ");
    if (what != NULL)
        gw_str_puts(&text, what);
    else
        gw_child_put_end(&c->child, &text);
    if (row < b->n) {
        put_row(&line, b->first_id + row, &b->inputs[row]);
        gw_str_puts(&text, " at row ");
        put_printable(&text, line.data, GW_MIN(line.len, (size_t)SHOWN_ROW));
        if (line.len > SHOWN_ROW) gw_str_puts(&text, "...");
    }
    size_t shown = GW_MIN(c->child.tail.len, (size_t)SHOWN_STDERR);
    gw_str_puts(&text, shown > 0 ? "; its stderr: " : "; it wrote nothing to stderr");
    if (shown > 0) put_printable(&text, c->child.tail.data + c->child.tail.len - shown, shown);
    enum gwen_status status = text.failed || line.failed
                                  ? gw_nomem(err, text.len, "a message")
                                  : gw_fail(err, GWEN_ERR_FORMAT, "%s", text.data);
    gw_str_free(&text);
    gw_str_free(&line);
    return status;
}

static size_t first_open_row(const struct batch *b) {
    size_t i = 0;
    while (i < b->n && b->answered[i]) i++;
    return i;
}

/* --- answers -------------------------------------------------------------------------------- */

enum gwen_status gw_reward_reply_parse(const char *line, size_t len, struct gw_reward_reply *out,
                                       struct gwen_err *err) {
    json_t *obj;
    GW_TRY(gw_row_parse(line, len, "answer", 2, &obj, err));
    const json_t *id = json_object_get(obj, "id"), *reward = json_object_get(obj, "reward");
    enum gwen_status status = GWEN_OK;
    if (!json_is_integer(id) || json_integer_value(id) < 0)
        status = gw_fail(err, GWEN_ERR_FORMAT, "\"id\" is not the one of a row");
    else if (reward == NULL)
        status = gw_fail(err, GWEN_ERR_FORMAT, "\"reward\" is missing");
    else if (!json_is_null(reward) &&
             (!json_is_number(reward) || !isfinite((float)json_number_value(reward))))
        status = gw_fail(err, GWEN_ERR_FORMAT,
                         "\"reward\" is neither null nor a number that a float32 can hold");
    if (status == GWEN_OK) {
        out->id = (uint64_t)json_integer_value(id);
        out->reward = json_is_null(reward) ? NAN : (float)json_number_value(reward);
    }
    json_decref(obj);
    return status;
}

/* An answer that cannot be used; `row` is n when it is not known whose it is. */
static enum gwen_status bad_reply(struct batch *b, size_t row, const char *why, const char *line,
                                  size_t len, struct gwen_err *err) {
    struct gw_str what = {0};
    gw_str_printf(&what, "answered nonsense (%s): ", why);
    put_printable(&what, line, GW_MIN(len, (size_t)SHOWN_ROW));
    enum gwen_status status =
        what.failed ? gw_nomem(err, len, "a message") : give_up(b, row, what.data, err);
    gw_str_free(&what);
    return status;
}

static enum gwen_status take_reply(struct batch *b, const char *line, size_t len,
                                   struct gwen_err *err) {
    struct gw_reward_reply reply;
    struct gwen_err why;
    if (len > 0 && line[len - 1] == '\r') len--;
    if (len == 0) return GWEN_OK;
    if (gw_reward_reply_parse(line, len, &reply, &why) != GWEN_OK)
        return bad_reply(b, first_open_row(b), why.message, line, len, err);
    size_t row = reply.id - b->first_id;
    if (reply.id < b->first_id || row >= b->n || row >= b->next)
        return bad_reply(b, b->n, "no row with this id is waiting", line, len, err);
    if (b->answered[row]) return bad_reply(b, row, "answered twice", line, len, err);
    b->answered[row] = true;
    b->n_answered++;
    b->heard_ns = gw_now_ns(); /* blank lines and parts of a line are no sign of life */
    b->out[row * b->stride] = reply.reward;
    return GWEN_OK;
}

/* Reads what is there and takes the whole lines of it. */
static enum gwen_status read_replies(struct batch *b, bool *ended, struct gwen_err *err) {
    struct gw_str *s = &b->cmd->replies;
    size_t scanned = s->len, begin = 0;
    *ended = !gw_child_read(&b->cmd->child, s, GW_REWARD_CMD_MAX_LINE);
    if (s->failed) return gw_nomem(err, s->len, "a reward command's answers");
    while (s->len > scanned) {
        const char *end = memchr(s->data + scanned, '\n', s->len - scanned);
        if (end == NULL) break;
        scanned = (size_t)(end - s->data) + 1;
        GW_TRY(take_reply(b, s->data + begin, scanned - 1 - begin, err));
        begin = scanned;
    }
    if (begin > 0) {
        memmove(s->data, s->data + begin, s->len - begin);
        s->len -= begin;
    }
    if (s->len > GW_REWARD_CMD_MAX_LINE)
        return bad_reply(b, first_open_row(b), "a line of more than 1 MiB", s->data, s->len, err);
    return GWEN_OK;
}

/* --- rows ----------------------------------------------------------------------------------- */

/* Makes the next row that has no answer ready to be written; false when there is none. */
static bool next_row(struct batch *b) {
    struct gw_str *s = &b->cmd->line;
    if (b->written < s->len) return true;
    while (b->next < b->n && b->answered[b->next]) b->next++;
    if (b->next == b->n) return false;
    gw_str_clear(s);
    b->written = 0;
    put_row(s, b->first_id + b->next, &b->inputs[b->next]);
    b->next++;
    return true;
}

/* Writes rows as long as the pipe takes them. */
static enum gwen_status write_rows(struct batch *b, struct gwen_err *err) {
    struct gw_str *s = &b->cmd->line;
    while (next_row(b)) {
        size_t done;
        if (s->failed) return gw_nomem(err, b->inputs[b->next - 1].completion_len, "a row");
        bool open =
            gw_child_write(&b->cmd->child, s->data + b->written, s->len - b->written, &done);
        b->written += done;
        if (done > 0) b->heard_ns = gw_now_ns();
        /* A closed input shows as the end of its output as well, or as silence. */
        if (!open || b->written < s->len) break;
    }
    return GWEN_OK;
}

static enum gwen_status start(struct batch *b, struct gwen_err *err) {
    struct gw_reward_cmd *c = b->cmd;
    gw_str_clear(&c->line);
    gw_str_clear(&c->replies);
    b->next = b->written = 0;
    b->heard_ns = gw_now_ns();
    return gw_child_start(&c->child, c->command, err);
}

static enum gwen_status on_silence(struct batch *b, struct gwen_err *err) {
    struct gw_reward_cmd *c = b->cmd;
    struct gw_str what = {0};
    gw_str_printf(&what, "gave no answer within %g s", c->opts.timeout_s);
    enum gwen_status status = what.failed ? gw_nomem(err, 0, "a message") : GWEN_OK;
    if (status == GWEN_OK && b->restarts == c->opts.restarts) {
        status = give_up(b, first_open_row(b), what.data, err);
    } else if (status == GWEN_OK) {
        b->restarts++;
        gw_log(c->opts.log, GWEN_LOG_WARNING, "reward command %s: started again", what.data);
        gw_child_stop(&c->child, 0);
        status = start(b, err);
    }
    gw_str_free(&what);
    return status;
}

/* It may have ended well, after an earlier call, before it was seen. */
static enum gwen_status on_end(struct batch *b, struct gwen_err *err) {
    gw_child_stop(&b->cmd->child, GRACE_MS);
    if (b->cmd->child.status != 0 || b->n_answered > 0 || b->restarts == b->cmd->opts.restarts)
        return give_up(b, first_open_row(b), NULL, err);
    b->restarts++;
    return start(b, err);
}

/* One round: write, wait, read. */
static enum gwen_status go_on(struct batch *b, struct gwen_err *err) {
    struct gw_reward_cmd *c = b->cmd;
    bool ended;
    GW_TRY(write_rows(b, err));
    gw_child_wait(&c->child, next_row(b) && c->child.in >= 0, WAIT_MS);
    GW_TRY(read_replies(b, &ended, err));
    if (b->n_answered == b->n) return GWEN_OK;
    if (ended) return on_end(b, err);
    if (c->opts.keep_going != NULL && !c->opts.keep_going(c->opts.user))
        return gw_fail(err, GWEN_ERR_CANCELLED, "reward command: cancelled");
    return gw_seconds_since(b->heard_ns) > c->opts.timeout_s ? on_silence(b, err) : GWEN_OK;
}

enum gwen_status gw_reward_cmd_score(struct gw_reward_cmd *c, const struct gw_reward_input *in,
                                     size_t n, float *out, size_t stride, struct gwen_err *err) {
    struct batch b = {.cmd = c, .inputs = in, .n = n, .stride = stride, .out = out};
    if (n == 0) return GWEN_OK;
    b.answered = calloc(n, sizeof *b.answered);
    if (b.answered == NULL) return gw_nomem(err, n, "rewards");
    b.first_id = c->next_id;
    c->next_id += n;
    b.heard_ns = gw_now_ns();
    gw_str_clear(&c->line);
    enum gwen_status status = c->child.pid == 0 ? start(&b, err) : GWEN_OK;
    while (status == GWEN_OK && b.n_answered < n) status = go_on(&b, err);
    if (status != GWEN_OK) gw_child_stop(&c->child, 0);
    free(b.answered);
    return status;
}
