/* fuzz_config.c - config.json and generation_config.json: an accepted configuration is valid and
 * can list its tensors. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/config/config.h"
#include "checkpoint/config/generation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const struct gwen_err *err) {
    if (err->message[0] == 0 || strchr(err->message, '\n') != NULL) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_config c;
    struct gw_generation_config g;
    struct gwen_err err = {0};
    if (gw_config_parse((const char *)data, size, "fuzz", &c, &err) == GWEN_OK) {
        struct gw_tensor_spec spec;
        if (gw_config_validate(&c, "fuzz", &err) != GWEN_OK) abort();
        size_t n = gw_config_n_tensors(&c);
        gw_config_tensor_at(&c, n - 1, &spec);
        gw_config_tensor_at(&c, n / 2, &spec);
        if (spec.shape[0] == 0 || strlen(spec.name) >= sizeof spec.name - 1) abort();
    } else {
        check_message(&err);
    }
    if (gw_generation_config_parse((const char *)data, size, "fuzz", &g, &err) == GWEN_OK) {
        if (g.n_eos > GW_CONFIG_MAX_EOS) abort();
    } else {
        check_message(&err);
    }
    return 0;
}
