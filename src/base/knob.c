/* knob.c - see knob.h. */
#include "base/knob.h"

#include <string.h>

#define OPEN "\001"
#define CLOSE "\002"

static const struct {
    unsigned short number;
    const char *marked;
    const char *name;
} KNOBS[] = {
#define GW_KNOB(id, number, name) {(number), OPEN name CLOSE, name},
#include "base/knobs.def"
#undef GW_KNOB
};

const char *gw_knob(enum gw_knob knob) {
    for (size_t i = 0; i < GW_ARRAY_LEN(KNOBS); i++)
        if (KNOBS[i].number == (unsigned)knob) return KNOBS[i].marked;
    return "";
}

const char *gw_knob_name(unsigned knob) {
    for (size_t i = 0; i < GW_ARRAY_LEN(KNOBS); i++)
        if (KNOBS[i].number == knob) return KNOBS[i].name;
    return NULL;
}

/* The number of the marked knob that text begins with; 0: it begins with none. */
static unsigned short knob_at(const char *text) {
    if (text[0] != OPEN[0]) return 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(KNOBS); i++)
        if (strncmp(text, KNOBS[i].marked, strlen(KNOBS[i].marked)) == 0) return KNOBS[i].number;
    return 0;
}

void gw_knobs_take(char *line, struct gwen_err_knob *list, size_t most) {
    char *to = line;
    size_t n = 0;
    memset(list, 0, most * sizeof *list);
    for (const char *from = line; *from != '\0';) {
        const unsigned short knob = knob_at(from);
        if (knob == 0) {
            *to++ = *from++;
            continue;
        }
        const size_t len = strlen(gw_knob_name(knob)), at = (size_t)(to - line);
        if (n < most && at <= UINT16_MAX)
            list[n++] = (struct gwen_err_knob){.knob = knob, .at = (uint16_t)at};
        memmove(to, from + 1, len);
        to += len;
        from += len + 2;
    }
    *to = '\0';
}

/* Appends what fits of len bytes to out, which holds *used of size bytes. */
static void append(char *out, size_t size, size_t *used, const char *bytes, size_t len) {
    const size_t n = GW_MIN(len, size - 1 - *used);
    memcpy(out + *used, bytes, n);
    *used += n;
}

void gw_knobs_spell(const char *text, const struct gwen_err_knob *list, size_t n,
                    gw_knob_spelling spelling, void *ctx, char *out, size_t size) {
    const size_t len = strlen(text);
    size_t done = 0, used = 0;
    for (size_t i = 0; i < n && list[i].knob != 0; i++) {
        const char *name = gw_knob_name(list[i].knob);
        if (name == NULL || list[i].at < done || list[i].at > len ||
            strncmp(text + list[i].at, name, strlen(name)) != 0)
            break; /* not of this text: the rest stays as it is */
        const char *spelled = spelling(ctx, list[i].knob);
        append(out, size, &used, text + done, list[i].at - done);
        if (spelled == NULL) spelled = name;
        append(out, size, &used, spelled, strlen(spelled));
        done = list[i].at + strlen(name);
    }
    append(out, size, &used, text + done, len - done);
    out[used] = '\0';
}
