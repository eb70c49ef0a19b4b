/* jinja.h - a small Jinja interpreter: parses a template once, renders it with JSON variables.
 *
 * The language is what chat templates are written in: jinja2 3.1 in an immutable sandbox with
 * trim_blocks and lstrip_blocks, {% break %} and {% continue %}, the {% generation %} tag, and
 * values that behave as Python's.  Statements of jinja2 that need a template loader or
 * auto-escaping, and a few filters that no chat template uses, are refused by name and line.
 *
 * Templates come with models and are not trusted: source size, nesting, steps, memory and output
 * are bounded, and whatever goes wrong is one line that begins with the template's name and the
 * line number.  Nothing here reads the clock, the environment or files.
 *
 *     source -> lexer.c -> parse_*.c (AST in an arena) -> scope.c (names become slots)
 *            -> exec.c statements, eval.c expressions; values in an arena of the rendering */
#ifndef GW_TEXT_JINJA_JINJA_H
#define GW_TEXT_JINJA_JINJA_H

#include "base/base.h"
#include "base/str.h"

#include <jansson.h>
#include <time.h>

struct gw_jinja; /* a parsed template; immutable, may be rendered from several threads at once */

/* What one rendering may take; 0 stands for the default given here. */
struct gw_jinja_limits {
    uint64_t steps;      /* nodes evaluated and elements visited: 50 million */
    size_t memory_bytes; /* values, captured text and the output: 256 MiB */
    size_t output_bytes; /* 64 MiB */
};

/* Parses src[0..len), UTF-8, which is not kept.  `name` (copied) is how messages call the
 * template, as in "chat template line 12: ...".  GWEN_ERR_FORMAT: a syntax error;
 * GWEN_ERR_UNSUPPORTED: a statement, filter or test that is not implemented;
 * GWEN_ERR_NOMEM: larger or deeper than this parser takes (1 MiB, 100 statements, 200 levels of
 * an expression). */
enum gwen_status gw_jinja_parse(const char *src, size_t len, const char *name,
                                struct gw_jinja **out, struct gwen_err *err);
void gw_jinja_free(struct gw_jinja *t); /* NULL is fine */
/* Whether the template has a {% generation %} tag. */
bool gw_jinja_has_generation(const struct gw_jinja *t);

/* Appends the rendering to *out.  `vars` is a JSON object whose members are the variables; it is
 * only read, and must not change meanwhile.  `now` is what strftime_now() formats (the fields of
 * date and time; the rest is not looked at).  `limits` NULL: the defaults.  On failure *out is as
 * it was: GWEN_ERR_ARGUMENT when the template raises an exception or the variables do not suit
 * it, GWEN_ERR_UNSUPPORTED, or GWEN_ERR_NOMEM when a limit was passed. */
enum gwen_status gw_jinja_render(const struct gw_jinja *t, const json_t *vars, const struct tm *now,
                                 const struct gw_jinja_limits *limits, struct gw_str *out,
                                 struct gwen_err *err);

/* Bytes [start, end) of a rendering. */
struct gw_jinja_span {
    size_t start, end;
};
struct gw_jinja_spans {
    struct gw_jinja_span *v; /* the caller frees it */
    size_t n;
};
/* The same, and what each {% generation %} wrote, in the order in which they ended: the spans that
 * transformers' return_assistant_tokens_mask goes by.  It takes a tag inside a macro or a block
 * that is captured to stand where the text around the macro had come to; where that is not so, this
 * fails: GWEN_ERR_UNSUPPORTED.  `out` must be empty. */
enum gwen_status gw_jinja_render_spans(const struct gw_jinja *t, const json_t *vars,
                                       const struct tm *now, struct gw_str *out,
                                       struct gw_jinja_spans *spans, struct gwen_err *err);

#endif
