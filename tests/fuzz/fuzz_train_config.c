/* fuzz_train_config.c - options of training with anything in them: refused in one line, or written
 * they are read again the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/train/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct gw_train_config *c, const struct gw_json_doc *doc) {
    struct gwen_err err = {0};
    struct gw_str s = {0};
    if (gw_train_config_apply(c, doc, &err) != GWEN_OK) {
        if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
        return;
    }
    gw_train_config_check(c, &err);
    gw_train_config_put_json(c, &s);
    if (gw_train_config_same(c, s.data, s.len, &err) != GWEN_OK) abort();
    gw_str_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_json_doc doc = {0};
    struct gwen_err err;
    if (gw_json_parse((const char *)data, size, "train.json", &doc, &err) != GWEN_OK) return 0;
    for (int kind = GW_TRAIN_GRPO; kind <= GW_TRAIN_SFT; kind++) {
        struct gw_train_config c;
        gw_train_config_init(&c, (enum gw_train_kind)kind);
        check(&c, &doc);
    }
    gw_json_free(&doc);
    return 0;
}
