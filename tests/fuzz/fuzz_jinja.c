/* fuzz_jinja.c - templates as untrusted input: whatever the bytes are, parsing and rendering end
 * within their limits, with UTF-8 or with one line of message that names the template. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(enum gwen_status status, const struct gwen_err *err) {
    if (err->status != status || strncmp(err->message, "fuzz line ", 10) != 0) abort();
    for (const char *p = err->message; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F) abort();
}

/* A conversation with tools, and variables of every kind. */
static json_t *make_vars(void) {
    json_t *v = json_pack("{s:[{s:s,s:s},{s:s,s:[{s:s,s:s}]},{s:s,s:s,s:[{s:{s:s,s:{s:i,s:n}}}]}],"
                          "s:[{s:s,s:{s:[i,f,b,n]}}],s:b,s:s,s:n,s:f,s:I}",
                          "messages", "role", "system", "content", " s\n", "role", "user",
                          "content", "type", "text", "text", "\xC3\x9F \xF0\x9F\x98\x80", "role",
                          "assistant", "content", "<think>a</think>b", "tool_calls", "function",
                          "name", "f", "arguments", "x", 1, "y", "tools", "name", "f", "parameters",
                          "list", 3, 0.5, 1, "add_generation_prompt", 1, "bos_token", "<s>", "none",
                          "f", -2.5, "big", INT64_MAX);
    if (v == NULL) abort();
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct gw_jinja_limits limits = {
        .steps = 200000, .memory_bytes = 16 << 20, .output_bytes = 1 << 20};
    const struct tm now = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26};
    struct gw_jinja *t;
    struct gwen_err err = {0};
    enum gwen_status status = gw_jinja_parse((const char *)data, size, "fuzz", &t, &err);
    if (status != GWEN_OK) {
        check_message(status, &err);
        return 0;
    }
    json_t *vars = make_vars();
    struct gw_str out = {0};
    status = gw_jinja_render(t, vars, &now, &limits, &out, &err);
    if (status != GWEN_OK) check_message(status, &err);
    if (status != GWEN_OK && out.len > 0) abort();
    if (out.len > (1 << 20) || !gw_utf8_is_valid(out.data != NULL ? out.data : "", out.len))
        abort();
    gw_str_free(&out);
    json_decref(vars);
    gw_jinja_free(t);
    return 0;
}
