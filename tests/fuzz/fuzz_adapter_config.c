/* fuzz_adapter_config.c - adapter_config.json with anything in it: refused in one line, or an
 * adapter of a size that is known, with something to adapt. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/lora.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_LAYERS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_config cfg = {.arch = GW_ARCH_LLAMA,
                            .vocab_size = 64,
                            .hidden = 32,
                            .n_layers = N_LAYERS,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = 8,
                            .ffn = 48};
    struct gw_lora_choice choices[N_LAYERS * GW_LORA_MODULES];
    struct gw_lora_opts opts;
    struct gw_json_doc doc = {0};
    struct gwen_err err = {0};
    enum gwen_status status =
        gw_json_parse((const char *)data, size, "adapter_config.json", &doc, &err);
    if (status == GWEN_OK) status = gw_lora_parse(&doc, &cfg, choices, &opts, &err);
    if (status == GWEN_OK) {
        gw_lora_plan(&cfg, GW_PANEL_F32, &opts);
        if (cfg.lora_width == 0 || cfg.lora_width > 3 * opts.r || cfg.lora_floats == 0) abort();
    } else if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) {
        abort();
    }
    gw_json_free(&doc);
    return 0;
}
