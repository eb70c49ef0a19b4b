/* info.c - gwen-cpu info: the machine as this process may use it, and what a rollout with a
 * model would take. */
#include "cli/with_model.h"

#include <inttypes.h>
#include <string.h>

struct info {
    size_t batch, group, prompt_tokens, max_tokens;
};

static const char *huge_pages(enum gw_thp thp) {
    switch (thp) {
    case GW_THP_NONE: return "none";
    case GW_THP_NEVER: return "never";
    case GW_THP_MADVISE: return "madvise";
    case GW_THP_ALWAYS: return "always";
    }
    return "none";
}

static struct gw_plan_options plan_options(const struct gw_runtime *rt, const struct info *o) {
    struct gw_plan_options p = gw_runtime_plan(rt);
    p.kind = GW_PLAN_ROLLOUT;
    p.engine = (struct gw_engine_opts){.slots = o->batch,
                                       .prefill_rows = GW_ENGINE_PREFILL_ROWS,
                                       .max_prompt = o->prompt_tokens,
                                       .max_new = o->max_tokens,
                                       .max_group = o->group};
    return p;
}

/* The sizes asked for, cut to the model's context: the prompt first. */
static void fit_context(struct info *o, const struct gw_config *c) {
    size_t context = c->max_position_embeddings;
    o->max_tokens = GW_MIN(o->max_tokens, GW_MAX(context / 2, (size_t)1));
    o->prompt_tokens = GW_MIN(o->prompt_tokens, GW_MAX(context - o->max_tokens, (size_t)1));
}

/* --- for programs --------------------------------------------------------------------------- */

static void put_string(struct gw_str *s, const char *key, const char *value) {
    gw_str_printf(s, "\"%s\":", key);
    gw_str_put_json(s, value, strlen(value));
    gw_str_putc(s, ',');
}

static void put_number(struct gw_str *s, const char *key, uint64_t value) {
    gw_str_printf(s, "\"%s\":%" PRIu64 ",", key, value);
}

static void put_json_machine(struct gw_str *s, const struct gw_runtime *rt) {
    const struct gw_hw *hw = &rt->hw;
    put_string(s, "version", gwen_version());
    put_string(s, "cpu", hw->cpu_model);
    put_string(s, "isa", gwen_isa_name(rt->kern.isa));
    put_string(s, "dtype", gw_dtype_torch_name(rt->dtype));
    put_string(s, "numeric_class", gw_runtime_class(rt));
    put_number(s, "threads", (uint64_t)rt->n_threads);
    put_number(s, "cores", (uint64_t)hw->n_cores);
    put_number(s, "processing_units", (uint64_t)hw->n_pus);
    put_number(s, "numa_nodes", (uint64_t)hw->n_nodes);
    gw_str_puts(s, "\"cpu_quota\":");
    if (hw->cpu_quota > 0)
        gw_str_put_double(s, hw->cpu_quota);
    else
        gw_str_puts(s, "null");
    gw_str_putc(s, ',');
    put_number(s, "l2_bytes", hw->l2_bytes);
    put_number(s, "l3_bytes", hw->l3_bytes);
    put_string(s, "huge_pages", huge_pages(hw->thp));
    gw_str_printf(s, "\"huge_pages_had\":%s,", gw_mem_huge_pages_work() ? "true" : "false");
    put_number(s, "total_bytes", hw->memory.total);
    put_number(s, "budget_bytes", rt->budget);
}

static void put_json_model(struct gw_str *s, const struct gw_runtime *rt, const struct info *o) {
    const struct gw_config *c = &rt->cfg;
    gw_str_puts(s, "\"model\":{");
    put_string(s, "dir", rt->dir.data);
    put_string(s, "model_type", gw_arch_name(c->arch));
    put_number(s, "parameters", gw_config_n_params(c));
    put_number(s, "n_layers", c->n_layers);
    put_number(s, "hidden", c->hidden);
    put_number(s, "vocab_size", c->vocab_size);
    gw_str_printf(s, "\"context\":%zu},", c->max_position_embeddings);
    gw_str_printf(s,
                  "\"plan_for\":{\"rollout_batch_size\":%zu,\"groups\":%zu,\"prompt_tokens\":%zu,"
                  "\"max_tokens\":%zu},",
                  o->batch, o->group, o->prompt_tokens, o->max_tokens);
}

static void put_json(struct gw_str *s, const struct gw_runtime *rt, const struct info *o,
                     const struct gw_plan *p, const char *advice) {
    gw_str_putc(s, '{');
    put_json_machine(s, rt);
    if (rt->dir.len > 0)
        put_json_model(s, rt, o);
    else
        gw_str_puts(s, "\"model\":null,");
    gw_str_printf(s, "\"fits\":%s,", advice == NULL ? "true" : "false");
    if (advice != NULL) put_string(s, "advice", advice);
    gw_str_printf(s,
                  "\"plan\":{\"weights\":%zu,\"kv\":%zu,\"scratch\":%zu,\"gradients\":%zu,"
                  "\"optimizer\":%zu,\"total\":%zu}}\n",
                  p->weights, p->kv, p->scratch, p->gradients, p->optimizer, p->total);
}

/* --- for people ----------------------------------------------------------------------------- */

static void put_size(struct gw_str *s, const char *label, uint64_t bytes, const char *after) {
    gw_str_puts(s, label);
    gw_put_bytes(s, bytes);
    gw_str_puts(s, after);
}

static void put_text_machine(struct gw_str *s, const struct gw_runtime *rt) {
    const struct gw_hw *hw = &rt->hw;
    gw_str_printf(s, "processor      %s\n", hw->cpu_model);
    gw_str_printf(s,
                  "cores          %d in the process's mask (%d hardware threads), %d NUMA node%s\n",
                  hw->n_cores, hw->n_pus, hw->n_nodes, hw->n_nodes == 1 ? "" : "s");
    if (hw->cpu_quota > 0) gw_str_printf(s, "CPU quota      %.2f\n", hw->cpu_quota);
    gw_str_printf(s, "threads        %d\n", rt->n_threads);
    put_size(s, "caches         L2 ", hw->l2_bytes, "");
    put_size(s, ", L3 ", hw->l3_bytes, "\n");
    gw_str_printf(s, "instruction set %s\n", gwen_isa_name(rt->kern.isa));
    gw_str_printf(s, "numeric class  %s (%s weights)\n", gw_runtime_class(rt),
                  gw_dtype_torch_name(rt->dtype));
    gw_str_printf(s, "huge pages     %s, %s\n", huge_pages(hw->thp),
                  gw_mem_huge_pages_work() ? "had when tried" : "not had when tried");
    put_size(s, "memory         ", hw->memory.total, " in all");
    put_size(s, ", budget ", rt->budget, "\n");
}

static void put_text_model(struct gw_str *s, const struct gw_runtime *rt, const struct info *o,
                           const struct gw_plan *p, const char *advice) {
    const struct gw_config *c = &rt->cfg;
    gw_str_printf(s, "\nmodel          %s\n", rt->dir.data);
    gw_str_printf(s, "architecture   %s, %zu layers, hidden %zu, %zu/%zu heads of %zu, MLP %zu\n",
                  gw_arch_name(c->arch), c->n_layers, c->hidden, c->n_heads, c->n_kv_heads,
                  c->head_dim, c->ffn);
    gw_str_printf(s, "parameters     %zu, vocabulary %zu%s, context %zu\n", gw_config_n_params(c),
                  c->vocab_size, c->tie_word_embeddings ? " (tied)" : "",
                  c->max_position_embeddings);
    gw_str_printf(s, "plan           rollout of %zu rows, groups of %zu, %zu + %zu tokens\n",
                  o->batch, o->group, o->prompt_tokens, o->max_tokens);
    put_size(s, "  weights      ", p->weights, "\n");
    put_size(s, "  KV           ", p->kv, "\n");
    put_size(s, "  scratch      ", p->scratch, "\n");
    put_size(s, "  total        ", p->total, "\n");
    if (advice != NULL) gw_str_printf(s, "  does not fit: %s\n", advice);
}

/* --- the command ---------------------------------------------------------------------------- */

static enum gwen_status info(struct gw_runtime *rt, struct gw_cli *cli, struct info *o,
                             struct gwen_err *err) {
    struct gw_plan plan = {0};
    struct gwen_err refusal;
    const char *advice = NULL;
    GW_TRY(gw_runtime_open(rt, cli, err));
    if (cli->common.model != NULL) {
        GW_TRY(gw_runtime_find(rt, err));
        fit_context(o, &rt->cfg);
        struct gw_plan_options options = plan_options(rt, o);
        gw_plan_make(&options, &plan);
        if (gw_runtime_check(rt, &options, &refusal) != GWEN_OK)
            advice = gw_cli_message(cli, &refusal);
    } else {
        rt->dtype = gw_model_auto_dtype(cli->common.dtype);
        if (cli->common.dtype != GW_DTYPE_NONE) rt->dtype = cli->common.dtype;
        rt->arith = gw_model_arith(rt->dtype, &rt->kern);
    }
    struct gw_str s = {0};
    if (cli->common.json) {
        put_json(&s, rt, o, &plan, advice);
    } else {
        put_text_machine(&s, rt);
        if (rt->dir.len > 0) put_text_model(&s, rt, o, &plan, advice);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

int gw_cmd_info(struct gw_cli *cli, int argc, char **argv) {
    struct info o = {.batch = 32, .group = 8, .prompt_tokens = 512, .max_tokens = 256};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_COUNT("rollout-batch-size", 'B', &o.batch, 1, 4096,
                     "for the memory plan: samples decoded together"),
        GW_OPT_COUNT("groups", 'n', &o.group, 1, 65536,
                     "for the memory plan: samples of each prompt"),
        GW_OPT_COUNT("prompt-tokens", 0, &o.prompt_tokens, 1, 1e7,
                     "for the memory plan: tokens of the longest prompt"),
        GW_OPT_COUNT("max-tokens", 0, &o.max_tokens, 1, 1e7,
                     "for the memory plan: tokens of the longest completion"),
    };
    const struct gw_cli_spec spec = {
        "[--model DIR] [options]",
        "Shows the machine as this process may use it (cores of its mask, quotas, memory\n"
        "limits), the instruction set and numeric class in force and, with --model, what\n"
        "the model is and the memory a rollout would take.  With --json one object,\n"
        "sizes in bytes.",
        options,
        GW_ARRAY_LEN(options),
        0,
        false};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    struct gw_runtime rt;
    struct gwen_err err;
    enum gwen_status status = info(&rt, cli, &o, &err);
    gw_runtime_close(&rt);
    return gw_cli_end(cli, status, &err);
}
