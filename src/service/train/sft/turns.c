/* turns.c - see turns.h. */
#include "service/train/sft/turns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE SIZE_MAX
enum { MARK_MAX = 32 };

/* A conversation that is being looked through. */
struct finding {
    const struct gw_prompt_opts *opts;
    const json_t *messages, *row;
    struct gw_turns *turns;
    struct gw_str header; /* what the generation prompt writes behind a user's message */
    struct gw_str lead;   /* nothing of that kind: what an answer begins with before its words */
    bool header_known;
    char before[MARK_MAX],
        after[MARK_MAX]; /* the marks: texts that the conversation does not have */
    struct gwen_err why; /* what a template said that could not render a part */
};

/* A rendering in which a message is marked, compared with the one that is not. */
struct marked {
    struct gw_str text;
    size_t before, after; /* the places of the two marks in it, NOWHERE: not there just once */
    size_t after_end;     /* behind the second */
    size_t start, said;   /* the same places in the whole conversation, NOWHERE: not known */
};

static const char *bytes(const struct gw_str *s) { return s->data != NULL ? s->data : ""; }

static bool starts_with(const struct gw_str *text, const char *s, size_t len) {
    return len <= text->len && (len == 0 || memcmp(text->data, s, len) == 0);
}

static bool ends_with(const struct gw_str *text, const char *s, size_t len) {
    return len <= text->len && (len == 0 || memcmp(text->data + text->len - len, s, len) == 0);
}

/* Whole characters that both begin with, in bytes. */
static size_t common(const char *a, size_t n_a, const char *b, size_t n_b) {
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    while (n > 0 && n < n_a && ((unsigned char)a[n] & 0xC0) == 0x80) n--;
    return n;
}

/* The one place of the mark, NOWHERE if there is none or more than one. */
static size_t find_once(const struct gw_str *text, const char *mark) {
    const size_t len = strlen(mark);
    const char *at = text->len > 0 ? memmem(text->data, text->len, mark, len) : NULL;
    if (at == NULL) return NOWHERE;
    const size_t place = (size_t)(at - text->data), rest = place + len;
    return memmem(text->data + rest, text->len - rest, mark, len) == NULL ? place : NOWHERE;
}

static size_t find_last(const char *text, size_t from, size_t to, const struct gw_str *what) {
    for (size_t at = to; to >= from && at >= from + what->len; at--)
        if (memcmp(text + at - what->len, what->data, what->len) == 0) return at - what->len;
    return NOWHERE;
}

/* --- messages ------------------------------------------------------------------------------- */

static bool is_assistant(const json_t *message) {
    const char *role = json_string_value(json_object_get(message, "role"));
    return role != NULL && strcmp(role, "assistant") == 0;
}

static bool has_calls(const json_t *message) {
    return json_array_size(json_object_get(message, "tool_calls")) > 0;
}

/* before + text (NULL: none) + after */
static json_t *wrap(const char *before, const json_t *text, const char *after) {
    struct gw_str s = {0};
    gw_str_puts(&s, before);
    gw_str_put(&s, json_string_value(text), json_string_length(text));
    gw_str_puts(&s, after);
    json_t *v = s.failed ? NULL : json_stringn(s.data, s.len);
    gw_str_free(&s);
    return v;
}

/* Of a list of parts, the first text gets the one mark and the last the other. */
static json_t *wrap_parts(const struct finding *f, const json_t *parts) {
    json_t *list = json_deep_copy(parts), *first = NULL, *last = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *part = json_array_get(list, i);
        if (!json_is_string(json_object_get(part, "text"))) continue;
        if (first == NULL) first = part;
        last = part;
    }
    if (first == NULL) return list;
    int failed =
        json_object_set_new(first, "text", wrap(f->before, json_object_get(first, "text"), ""));
    failed |= json_object_set_new(last, "text", wrap("", json_object_get(last, "text"), f->after));
    if (!failed) return list;
    json_decref(list);
    return NULL;
}

/* Ways to mark a message. */
enum way { AROUND_CONTENT, INSTEAD_OF_CONTENT, AROUND_CALL, N_WAYS };

static bool can_mark(const json_t *message, enum way way) {
    const json_t *content = json_object_get(message, "content");
    if (way == AROUND_CALL) return has_calls(message);
    if (way == INSTEAD_OF_CONTENT) return json_string_length(content) > 0;
    if (json_is_array(content)) return json_array_size(content) > 0;
    /* Where there are calls, templates ask whether there is a content. */
    return json_is_string(content) && (json_string_length(content) > 0 || !has_calls(message));
}

/* The name of the last function called between the marks. */
static int mark_call(const struct finding *f, json_t *message) {
    json_t *calls = json_deep_copy(json_object_get(message, "tool_calls"));
    json_t *call = json_array_get(calls, json_array_size(calls) - 1);
    json_t *function = json_object_get(call, "function");
    if (!json_is_object(function)) function = call;
    const json_t *name = json_object_get(function, "name");
    int failed = calls == NULL;
    if (json_is_string(name))
        failed |= json_object_set_new(function, "name", wrap(f->before, name, f->after));
    return json_object_set_new(message, "tool_calls", calls) | failed;
}

/* A copy of the message with marks; NULL: no memory. */
static json_t *mark(const struct finding *f, const json_t *message, enum way way) {
    json_t *copy = json_copy((json_t *)(uintptr_t)message);
    const json_t *content = json_object_get(message, "content");
    int failed;
    if (way == AROUND_CALL)
        failed = mark_call(f, copy);
    else if (json_is_array(content))
        failed = json_object_set_new(copy, "content", wrap_parts(f, content));
    else
        failed = json_object_set_new(
            copy, "content", wrap(f->before, way == AROUND_CONTENT ? content : NULL, f->after));
    if (!failed) return copy;
    json_decref(copy);
    return NULL;
}

/* --- renderings ----------------------------------------------------------------------------- */

/* The first n messages, message `which` (NOWHERE: none) marked.  *there is false where the template
 * cannot do with them, which is no error: f->why. */
static enum gwen_status render(struct finding *f, size_t n, bool generate, size_t which,
                               enum way way, struct gw_str *text, bool *there,
                               struct gwen_err *err) {
    json_t *list = json_array();
    bool ok = list != NULL;
    gw_str_clear(text);
    *there = false;
    for (size_t i = 0; i < n && ok; i++) {
        json_t *m = json_array_get(f->messages, i);
        ok = (i == which ? json_array_append_new(list, mark(f, m, way))
                         : json_array_append(list, m)) == 0;
    }
    struct gwen_err why = {0};
    enum gwen_status status = ok ? GWEN_OK : gw_nomem(&why, 0, "messages");
    if (status == GWEN_OK)
        status = gw_prompt_render_chat(f->opts, list, f->row, generate, text, NULL, &why);
    json_decref(list);
    *there = status == GWEN_OK;
    if (status == GWEN_ERR_ARGUMENT) f->why = why;
    if (status == GWEN_OK || status == GWEN_ERR_ARGUMENT) return GWEN_OK;
    return gw_err_copy(err, &why);
}

static void find_marks(const struct finding *f, struct marked *m) {
    m->before = find_once(&m->text, f->before);
    m->after = find_once(&m->text, f->after);
    m->after_end = m->after == NOWHERE ? NOWHERE : m->after + strlen(f->after);
}

/* What stands before the first mark and behind the second is the same in the whole. */
static void compare(const struct finding *f, struct marked *m) {
    const struct gw_str *whole = &f->turns->text;
    m->start = m->said = NOWHERE;
    if (m->before != NOWHERE && starts_with(whole, bytes(&m->text), m->before))
        m->start = m->before;
    if (m->after == NOWHERE) return;
    const size_t rest = m->text.len - m->after_end;
    if (ends_with(whole, m->text.data + m->after_end, rest)) m->said = whole->len - rest;
    if (m->start != NOWHERE && m->said != NOWHERE && m->start > m->said)
        m->start = m->said = NOWHERE;
}

/* Marks message i of the whole: where its words begin and end in it.  *way is the first that shows
 * where they end, N_WAYS: none does. */
static enum gwen_status mark_whole(struct finding *f, size_t i, struct marked *m, enum way *way,
                                   struct gwen_err *err) {
    const json_t *message = json_array_get(f->messages, i);
    size_t start = NOWHERE, said = NOWHERE;
    *way = N_WAYS;
    for (int k = 0; k < N_WAYS; k++) {
        bool there;
        if (!can_mark(message, (enum way)k) || (said != NOWHERE && start != NOWHERE)) continue;
        if (k == AROUND_CALL && said != NOWHERE) continue;
        GW_TRY(
            render(f, json_array_size(f->messages), false, i, (enum way)k, &m->text, &there, err));
        if (!there) continue;
        find_marks(f, m);
        compare(f, m);
        if (said == NOWHERE && m->said != NOWHERE) {
            *way = (enum way)k;
            said = m->said;
        }
        if (start == NOWHERE) start = m->start;
    }
    m->start = start;
    m->said = said;
    return GWEN_OK;
}

/* Renders the message of a user, f->after, and `answer` (NULL: none) behind it. */
static enum gwen_status render_pair(const struct finding *f, const char *answer, bool generate,
                                    struct gw_str *text, struct gwen_err *err) {
    json_t *list = json_pack("[{s:s, s:s}]", "role", "user", "content", f->after);
    bool ok = list != NULL;
    if (ok && answer != NULL)
        ok = json_array_append_new(
                 list, json_pack("{s:s, s:s}", "role", "assistant", "content", answer)) == 0;
    enum gwen_status status = ok ? GWEN_OK : gw_nomem(err, 0, "messages");
    if (status == GWEN_OK)
        status = gw_prompt_render_chat(f->opts, list, f->row, generate, text, NULL, err);
    json_decref(list);
    if (status != GWEN_ERR_ARGUMENT) return status;
    gw_str_clear(text); /* the template cannot do with it */
    return GWEN_OK;
}

static bool is_blank(const char *s, size_t len) {
    while (len > 0 && (s[len - 1] == ' ' || (s[len - 1] >= '\t' && s[len - 1] <= '\r'))) len--;
    return len == 0;
}

/* A generation prompt that adds nothing, `asked` behind a user's words: what stands between that
 * and the words of an answer is a header nevertheless, unless it is white space, which is the
 * answer's. */
static enum gwen_status find_lead(struct finding *f, const char *asked, size_t len,
                                  struct gwen_err *err) {
    struct gw_str text = {0};
    enum gwen_status status = render_pair(f, f->before, false, &text, err);
    const size_t user = find_once(&text, f->after), answer = find_once(&text, f->before);
    if (status == GWEN_OK && user != NOWHERE && answer != NOWHERE &&
        answer >= user + strlen(f->after) + len) {
        const char *between = text.data + user + strlen(f->after);
        const size_t rest = answer - user - strlen(f->after) - len;
        if (len == 0 || memcmp(between, asked, len) == 0)
            gw_str_put(is_blank(between + len, rest) ? &f->lead : &f->header, between + len, rest);
    }
    gw_str_free(&text);
    return status;
}

/* Looks what the generation prompt adds behind the message of a user. */
static enum gwen_status find_header(struct finding *f, struct gwen_err *err) {
    struct gw_str with = {0}, without = {0};
    enum gwen_status status = render_pair(f, NULL, false, &without, err);
    if (status == GWEN_OK) status = render_pair(f, NULL, true, &with, err);
    const size_t a = find_once(&with, f->after), b = find_once(&without, f->after);
    if (status == GWEN_OK && a != NOWHERE && b != NOWHERE) {
        const char *asked = with.data + a + strlen(f->after);
        const size_t n = with.len - a - strlen(f->after), tail = without.len - b - strlen(f->after);
        f->header_known = n >= tail && memcmp(asked, without.data + without.len - tail, tail) == 0;
        if (f->header_known && n > tail)
            gw_str_put(&f->header, asked + tail, n - tail);
        else if (f->header_known)
            status = find_lead(f, asked, n, err);
        if (f->header.failed || f->lead.failed) status = gw_nomem(err, with.len, "messages");
    }
    gw_str_free(&with);
    gw_str_free(&without);
    return status;
}

/* --- a turn --------------------------------------------------------------------------------- */

static enum gwen_status cannot_tell(const struct finding *f, size_t i, const char *what,
                                    struct gwen_err *err) {
    return gw_fail(err, GWEN_ERR_FORMAT,
                   "messages[%zu]: where in the text this answer %s cannot be told%s%s", i, what,
                   f->why.status != GWEN_OK ? ": " : "",
                   f->why.status != GWEN_OK ? f->why.message : "");
}

/* How much of the header, from its beginning, stands right before the place. */
static size_t header_before(const struct finding *f, size_t place) {
    for (size_t n = GW_MIN(place, f->header.len); n > 0; n--)
        if (memcmp(f->turns->text.data + place - n, f->header.data, n) == 0) return n;
    return 0;
}

/* The first message: its header is the last one before its words, or as much of it as turns have.
 * Where there is none, the message is not written as an answer. */
static enum gwen_status start_first(const struct finding *f, enum way way, struct gw_turn *turn,
                                    struct gwen_err *err) {
    const struct gw_str *whole = &f->turns->text;
    if (turn->words == NOWHERE) return cannot_tell(f, 0, "begins", err);
    if (f->header_known && f->header.len > 0) {
        const size_t at = find_last(whole->data, 0, turn->words, &f->header);
        turn->start = at != NOWHERE ? at + f->header.len : turn->words;
        if (at != NOWHERE || header_before(f, turn->words) > 0) return GWEN_OK;
        return cannot_tell(f, 0, "begins", err);
    }
    if (way == AROUND_CALL) return cannot_tell(f, 0, "begins", err);
    turn->start = turn->words;
    if (f->lead.len > 0 && find_last(whole->data, turn->words - GW_MIN(turn->words, f->lead.len),
                                     turn->words, &f->lead) != NOWHERE)
        turn->start -= f->lead.len;
    return GWEN_OK;
}

/* What the template, asked for an answer, writes behind the words of the message before: how much
 * of it is there in the whole.  *said is where those words end, NOWHERE: that is not known. */
static enum gwen_status start_by_mark(struct finding *f, size_t i, struct gw_str *asked,
                                      size_t *said, struct gwen_err *err) {
    struct marked m = {0};
    enum way way = N_WAYS;
    bool there = false;
    enum gwen_status status = mark_whole(f, i - 1, &m, &way, err);
    *said = m.said;
    if (status == GWEN_OK && way != N_WAYS)
        status = render(f, i, true, i - 1, way, &m.text, &there, err);
    if (status == GWEN_OK && there) find_marks(f, &m);
    gw_str_clear(asked);
    if (status == GWEN_OK && there && m.after != NOWHERE) {
        gw_str_put(asked, m.text.data + m.after_end, m.text.len - m.after_end);
        if (asked->failed) status = gw_nomem(err, m.text.len, "messages");
    } else {
        *said = NOWHERE;
    }
    gw_str_free(&m.text);
    return status;
}

/* Whether the prompt ends as one that asks for an answer does.  Some templates write no header
 * behind an assistant's message, and of some nothing is known. */
static bool has_header(const struct finding *f, const struct gw_str *prompt) {
    return f->header_known && f->header.len > 0 && ends_with(prompt, f->header.data, f->header.len);
}

/* The turn has not all of what the template writes when asked for an answer, `prompt`, of which n
 * bytes are there from `said` on, where the words of the message before end.  The header is there
 * whole further on, or as far as the two agree, which must be within it. */
static enum gwen_status start_within(const struct finding *f, size_t i, const struct gw_str *prompt,
                                     size_t said, size_t n, enum way way, struct gw_turn *turn,
                                     struct gwen_err *err) {
    const bool header = has_header(f, prompt), bounded = turn->words != NOWHERE;
    const size_t at = header && bounded && turn->words >= said
                          ? find_last(f->turns->text.data, said, turn->words, &f->header)
                          : NOWHERE;
    const size_t before = header ? prompt->len - f->header.len : prompt->len;
    turn->start = NOWHERE;
    if (at != NOWHERE) {
        turn->start = at + f->header.len;
    } else if (n > before) {
        turn->start = said + n;
        turn->partial = true;
        turn->floor = said + before;
        if (way != AROUND_CALL) turn->start = GW_MIN(turn->start, turn->words);
    } else if (way != AROUND_CALL) {
        turn->start = turn->words;
    }
    turn->unsure = turn->partial && way != AROUND_CALL && bounded;
    return turn->start != NOWHERE ? GWEN_OK : cannot_tell(f, i, "begins", err);
}

static enum gwen_status find_start(struct finding *f, size_t i, size_t floor, enum way way,
                                   struct gw_turn *turn, struct gwen_err *err) {
    const struct gw_str *whole = &f->turns->text;
    struct gw_str asked = {0};
    bool there = false, all = true;
    size_t said = NOWHERE, n = 0;
    if (i == 0) return start_first(f, way, turn, err);
    turn->start = NOWHERE;
    enum gwen_status status = render(f, i, true, NOWHERE, N_WAYS, &asked, &there, err);
    if (status == GWEN_OK && there && starts_with(whole, bytes(&asked), asked.len)) {
        turn->start = asked.len;
    } else if (status == GWEN_OK) {
        status = start_by_mark(f, i, &asked, &said, err);
        if (status == GWEN_OK && said == NOWHERE) status = cannot_tell(f, i, "begins", err);
        if (status == GWEN_OK)
            n = common(bytes(&asked), asked.len, bytes(whole) + said, whole->len - said);
        all = n == asked.len;
        turn->start = said + n;
    }
    if (status == GWEN_OK && !all) {
        status = start_within(f, i, &asked, said, n, way, turn, err);
    } else if (status == GWEN_OK && !has_header(f, &asked)) {
        /* Nothing was added; so if there is a header it is still to come. */
        const size_t at = f->header.len > 0 && turn->words != NOWHERE
                              ? find_last(bytes(whole), turn->start, turn->words, &f->header)
                              : NOWHERE;
        if (at != NOWHERE) turn->start = at + f->header.len;
        turn->unsure = !f->header_known;
    }
    if (status == GWEN_OK && turn->start < floor) status = cannot_tell(f, i, "begins", err);
    gw_str_free(&asked);
    return status;
}

/* How far what the template writes behind the turn's words, if the turn is the last one, is what
 * stands there in the whole. */
static enum gwen_status find_end(struct finding *f, size_t i, enum way way, size_t said,
                                 struct gw_turn *turn, struct gwen_err *err) {
    const struct gw_str *whole = &f->turns->text;
    struct marked m = {0};
    bool there = false;
    enum gwen_status status = GWEN_OK;
    turn->end = NOWHERE;
    if (i + 1 == json_array_size(f->messages)) {
        turn->end = whole->len;
    } else if (way != N_WAYS) {
        status = render(f, i + 1, false, i, way, &m.text, &there, err);
        if (status == GWEN_OK && there) find_marks(f, &m);
        if (status == GWEN_OK && there && m.after != NOWHERE)
            turn->end = said + common(m.text.data + m.after_end, m.text.len - m.after_end,
                                      whole->data + said, whole->len - said);
    }
    if (status == GWEN_OK && turn->end == NOWHERE) {
        status = render(f, i + 1, false, NOWHERE, N_WAYS, &m.text, &there, err);
        if (status == GWEN_OK && there && starts_with(whole, bytes(&m.text), m.text.len))
            turn->end = m.text.len;
    }
    gw_str_free(&m.text);
    if (status == GWEN_OK && turn->end == NOWHERE) return cannot_tell(f, i, "ends", err);
    return status;
}

static enum gwen_status find_turn(struct finding *f, size_t i, size_t floor, struct gw_turn *turn,
                                  struct gwen_err *err) {
    struct marked m = {0};
    enum way way;
    *turn = (struct gw_turn){.message = i, .calls = has_calls(json_array_get(f->messages, i))};
    enum gwen_status status = mark_whole(f, i, &m, &way, err);
    gw_str_free(&m.text);
    GW_TRY(status);
    turn->words = m.start;
    GW_TRY(find_start(f, i, floor, way, turn, err));
    /* Words that are nowhere: all that is written is the turn, up to the last closing token. */
    turn->calls = turn->calls || way == N_WAYS;
    turn->said = way == N_WAYS ? turn->start : GW_MAX(m.said, turn->start);
    GW_TRY(find_end(f, i, way, m.said, turn, err));
    if (turn->end < turn->said) return cannot_tell(f, i, "ends", err);
    return GWEN_OK;
}

/* --- tags ----------------------------------------------------------------------------------- */

/* How many of the spans are those of the first n messages, which must be a beginning of the
 * whole's.
 */
static enum gwen_status count_tagged(struct finding *f, size_t n,
                                     const struct gw_jinja_spans *spans, size_t *count,
                                     struct gwen_err *err) {
    struct gw_str text = {0};
    struct gw_jinja_spans early = {0};
    json_t *list = json_array();
    bool ok = list != NULL;
    *count = 0;
    for (size_t i = 0; i < n && ok; i++)
        ok = json_array_append(list, json_array_get(f->messages, i)) == 0;
    enum gwen_status status = ok ? GWEN_OK : gw_nomem(err, 0, "messages");
    if (status == GWEN_OK && n > 0)
        status = gw_prompt_render_chat(f->opts, list, f->row, false, &text, &early, err);
    bool same = early.n <= spans->n;
    for (size_t i = 0; i < early.n && same; i++) {
        const size_t len = early.v[i].end - early.v[i].start;
        same =
            len == spans->v[i].end - spans->v[i].start &&
            memcmp(text.data + early.v[i].start, f->turns->text.data + spans->v[i].start, len) == 0;
    }
    if (status == GWEN_OK && !same)
        status = gw_fail(err, GWEN_ERR_FORMAT,
                         "messages[%zu]: which {%% generation %%} of the template is the first of "
                         "the completion cannot be told",
                         n);
    *count = early.n;
    gw_str_free(&text);
    free(early.v);
    json_decref(list);
    return status;
}

static enum gwen_status take_tagged(struct finding *f, size_t first, struct gwen_err *err) {
    struct gw_turns *turns = f->turns;
    struct gw_jinja_spans spans;
    size_t from = 0;
    GW_TRY(gw_prompt_render_chat(f->opts, f->messages, f->row, false, &turns->text, &spans, err));
    enum gwen_status status = count_tagged(f, first, &spans, &from, err);
    turns->list = calloc(spans.n + 1, sizeof *turns->list);
    if (status == GWEN_OK && turns->list == NULL) status = gw_nomem(err, spans.n, "messages");
    for (size_t i = from; i < spans.n && status == GWEN_OK; i++) {
        const struct gw_jinja_span *s = &spans.v[i];
        turns->list[turns->n++] = (struct gw_turn){
            .start = s->start, .words = s->start, .said = s->end, .end = s->end, .tagged = true};
    }
    free(spans.v);
    return status;
}

/* --- all turns ------------------------------------------------------------------------------ */

/* Marks that stand nowhere in the text. */
static void choose_marks(struct finding *f) {
    const struct gw_str *whole = &f->turns->text;
    char stem[MARK_MAX / 2];
    for (unsigned k = 0;; k++) {
        snprintf(stem, sizeof stem, "gwMARK%u", k);
        if (whole->len == 0 || memmem(whole->data, whole->len, stem, strlen(stem)) == NULL) break;
    }
    snprintf(f->before, sizeof f->before, "%sA", stem);
    snprintf(f->after, sizeof f->after, "%sZ", stem);
}

static enum gwen_status find_turns(struct finding *f, size_t first, struct gwen_err *err) {
    struct gw_turns *turns = f->turns;
    const size_t n = json_array_size(f->messages);
    GW_TRY(gw_prompt_render_chat(f->opts, f->messages, f->row, false, &turns->text, NULL, err));
    turns->list = calloc(n + 1, sizeof *turns->list);
    if (turns->list == NULL) return gw_nomem(err, n * sizeof *turns->list, "messages");
    choose_marks(f);
    GW_TRY(find_header(f, err));
    size_t floor = 0;
    /* Of the answer before the first one its end may be asked for. */
    for (size_t i = first > 0 ? first - 1 : 0; i < n; i++) {
        if (!is_assistant(json_array_get(f->messages, i))) continue;
        GW_TRY(find_turn(f, i, floor, &turns->list[turns->n], err));
        floor = turns->list[turns->n].end;
        turns->n += i >= first;
    }
    return GWEN_OK;
}

enum gwen_status gw_turns_find(const struct gw_prompt_opts *opts, const json_t *messages,
                               const json_t *row, size_t first, struct gw_turns *turns,
                               struct gwen_err *err) {
    struct finding f = {.opts = opts, .messages = messages, .row = row, .turns = turns};
    const struct gw_chat *template = gw_prompt_template(opts, row);
    *turns = (struct gw_turns){0};
    enum gwen_status status = template != NULL && gw_chat_has_generation(template)
                                  ? take_tagged(&f, first, err)
                                  : find_turns(&f, first, err);
    gw_str_free(&f.header);
    gw_str_free(&f.lead);
    return status;
}

void gw_turns_free(struct gw_turns *turns) {
    gw_str_free(&turns->text);
    free(turns->list);
    *turns = (struct gw_turns){0};
}
