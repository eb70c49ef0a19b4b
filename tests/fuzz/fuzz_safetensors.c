/* fuzz_safetensors.c - headers: what is accepted must be safe to use. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/safetensors/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_safetensors *st;
    struct gwen_err err = {0};
    if (gw_safetensors_open_memory(data, size, "fuzz", &st, &err) != GWEN_OK) {
        if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
        return 0;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < gw_safetensors_count(st); i++) {
        const struct gw_tensor *t = gw_safetensors_at(st, i);
        const uint8_t *bytes = t->data;
        if (t->bytes > 0) sum += bytes[0] + bytes[t->bytes - 1];
        if (gw_safetensors_find(st, t->name) != t) abort();
    }
    struct gw_config c;
    if (gw_config_preset("tiny", &c, &err) == GWEN_OK &&
        gw_safetensors_check(st, &c, &err) == GWEN_OK && sum == 0)
        abort(); /* the presets' tensors are far larger than any input */
    gw_safetensors_metadata(st, "format");
    gw_safetensors_close(st);
    return 0;
}
