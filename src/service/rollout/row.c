/* row.c - a finished sample as a line of JSON.
 *
 * The order of the members is part of the format: a part file is read back by its first two. */
#include "service/rollout/rollout.h"

#include <inttypes.h>

static void put_ids(struct gw_str *out, const char *name, const int32_t *ids, size_t n) {
    gw_str_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) gw_str_printf(out, "%s%" PRId32, i > 0 ? "," : "", ids[i]);
    gw_str_putc(out, ']');
}

void gw_rollout_put_row(struct gw_str *out, const struct gw_rollout_sample *s,
                        const char *numeric_class) {
    const struct gw_prompt *p = s->prompt;
    gw_str_printf(out, "{\"prompt_id\":%zu,\"sample_id\":%zu", s->prompt_id, s->sample_id);
    if (p->id != NULL) {
        gw_str_puts(out, ",\"id\":");
        gw_str_put(out, p->id, p->id_len);
    }
    put_ids(out, "prompt_ids", p->ids, p->n);
    put_ids(out, "ids", s->ids, s->n);
    gw_str_puts(out, ",\"logprobs\":[");
    for (size_t i = 0; i < s->n; i++) {
        if (i > 0) gw_str_putc(out, ',');
        gw_str_put_float(out, s->logprobs[i]);
    }
    gw_str_puts(out, "],\"text\":");
    if (s->text != NULL)
        gw_str_put_json(out, s->text, s->text_len);
    else
        gw_str_puts(out, "null");
    gw_str_printf(out, ",\"finish_reason\":\"%s\",\"numeric_class\":\"%s\",\"meta\":",
                  gw_finish_name(s->finish), numeric_class);
    gw_str_put(out, p->meta, p->meta_len);
    gw_str_puts(out, "}\n");
}
