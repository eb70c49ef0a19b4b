/* fuzz_checkpoint.c - a state.json with anything in it: it is refused in one line, or written again
 * and read again it is the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/train/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct gw_train_state *a, const struct gw_train_state *b) {
    return a->step == b->step && a->generation == b->generation && a->epoch == b->epoch &&
           a->row == b->row && a->skipped == b->skipped &&
           strcmp(a->config.data, b->config.data) == 0 &&
           strcmp(a->origin.data, b->origin.data) == 0 &&
           strcmp(a->profile.data, b->profile.data) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_train_state a, b;
    struct gw_str text = {0};
    struct gwen_err err = {0};
    if (gw_train_state_parse((const char *)data, size, "state.json", &a, &err) != GWEN_OK) {
        if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
        return 0;
    }
    gw_train_state_put(&a, &text);
    if (gw_train_state_parse(text.data, text.len, "again", &b, &err) != GWEN_OK || !same(&a, &b))
        abort();
    gw_train_state_free(&a);
    gw_train_state_free(&b);
    gw_str_free(&text);
    return 0;
}
