/* chat.h - chat templates: what transformers' apply_chat_template() renders.
 *
 * A request is a JSON object with "messages" and any keyword arguments of apply_chat_template():
 *     messages                 a list of objects; members that are null are left out
 *     add_generation_prompt    true or false
 *     continue_final_message   true, or the name of the field to go on with
 *     tools, documents         lists of objects, or null
 *     chat_template_kwargs     an object of further keyword arguments, which take precedence
 * Every other member (enable_thinking, date_string, ...) becomes a variable of the template.
 * tokenize, padding, truncation, max_length, return_tensors, return_dict,
 * return_assistant_tokens_mask and tokenizer_kwargs concern what is done with the text, and are
 * ignored here; chat_template and sanitize_control_tokens are refused. */
#ifndef GW_TEXT_CHAT_H
#define GW_TEXT_CHAT_H

#include "base/base.h"
#include "base/str.h"
#include "text/jinja/jinja.h"

#include <jansson.h>
#include <time.h>

struct gw_chat; /* immutable; may be rendered from several threads at once */

/* Variables that do not come from the request.  A token that is NULL is not defined in the
 * template; members of the request of the same name take precedence. */
struct gw_chat_env {
    const char *bos_token, *eos_token, *unk_token, *sep_token, *pad_token, *cls_token, *mask_token;
    struct tm now; /* local date and time, for strftime_now() */
};

/* Parses the template src[0..len), which is not kept.  `name` (copied) is how messages call it,
 * "chat template" say.  Errors name the line: see gw_jinja_parse().  The caller frees *out. */
enum gwen_status gw_chat_parse(const char *src, size_t len, const char *name, struct gw_chat **out,
                               struct gwen_err *err);
void gw_chat_free(struct gw_chat *t); /* NULL is fine */

/* Appends the text of the request to *out, which is as it was after a failure.  The request is
 * only read.  GWEN_ERR_ARGUMENT: the request is not as above, the template raised an exception or
 * does not work with these messages; GWEN_ERR_UNSUPPORTED, GWEN_ERR_NOMEM: see gw_jinja_render().
 */
enum gwen_status gw_chat_render(const struct gw_chat *t, const json_t *request,
                                const struct gw_chat_env *env, struct gw_str *out,
                                struct gwen_err *err);
/* Whether the template marks with {% generation %} what an assistant says. */
bool gw_chat_has_generation(const struct gw_chat *t);
/* The same text, into an empty *out, and the spans so marked: see gw_jinja_render_spans().  Not for
 * a request with continue_final_message. */
enum gwen_status gw_chat_render_spans(const struct gw_chat *t, const json_t *request,
                                      const struct gw_chat_env *env, struct gw_str *out,
                                      struct gw_jinja_spans *spans, struct gwen_err *err);

#endif
