/* with_model.c - see with_model.h. */
#include "cli/with_tuned.h"

#include "base/clock.h"
#include "base/file.h"
#include "checkpoint/hub.h"
#include "checkpoint/safetensors/safetensors.h"
#include "model/lora.h"

#include <inttypes.h>
#include <string.h>

/* --- the machine ---------------------------------------------------------------------------- */

static void log_threads(const struct gw_runtime *rt) {
    const struct gw_log *log = &rt->cli->log;
    if (rt->cli->common.threads != 0)
        gw_log(log, GWEN_LOG_DEBUG, "threads: %d (--threads)", rt->n_threads);
    else if (rt->hw.cpu_quota > 0 && rt->n_threads < rt->hw.n_cores)
        gw_log(log, GWEN_LOG_DEBUG, "threads: %d (CPU quota %.2f, %d cores)", rt->n_threads,
               rt->hw.cpu_quota, rt->hw.n_cores);
    else if (rt->hw.n_fast_cores < rt->hw.n_cores)
        gw_log(log, GWEN_LOG_DEBUG,
               "threads: %d (physical cores in the process's mask: %d fast ones and %d others, "
               "which do what they can of the work)",
               rt->n_threads, rt->hw.n_fast_cores, rt->hw.n_cores - rt->hw.n_fast_cores);
    else
        gw_log(log, GWEN_LOG_DEBUG, "threads: %d (physical cores in the process's mask)",
               rt->n_threads);
}

/* How many threads each node gets: "2 on node 0, 2 on node 1". */
static void put_nodes(struct gw_str *s, const struct gw_runtime *rt) {
    for (int node = 0, n; node < rt->hw.n_nodes; node++) {
        n = 0;
        for (int i = 0; i < rt->n_threads; i++) {
            int core = gw_bind_core_of(&rt->hw, i, rt->n_threads);
            n += gw_bind_node_of_core(&rt->hw, core) == node;
        }
        gw_str_printf(s, "%s%d on node %u", node == 0 ? "" : ", ", n, rt->hw.nodes[node].os_index);
    }
}

static void log_binding(const struct gw_runtime *rt) {
    const struct gw_log *log = &rt->cli->log;
    enum gw_bind bind = (enum gw_bind)rt->cli->common.bind;
    struct gw_str s = {0};
    put_nodes(&s, rt);
    if (!rt->hw.this_machine)
        gw_log(log, GWEN_LOG_DEBUG, "binding: none (the topology is not this machine's); %s",
               s.failed ? "?" : s.data);
    else if (bind == GW_BIND_NODE && rt->hw.n_nodes == 1)
        gw_log(log, GWEN_LOG_DEBUG, "binding: node (there is one: the whole mask)");
    else
        gw_log(log, GWEN_LOG_DEBUG, "binding: %s (%s)", gw_bind_name(bind),
               bind == GW_BIND_NONE || s.failed ? "--bind" : s.data);
    gw_str_free(&s);
}

static void log_machine(const struct gw_runtime *rt) {
    const struct gw_log *log = &rt->cli->log;
    enum gwen_isa cap = rt->cli->common.isa_cap;
    struct gw_str s = {0};
    log_threads(rt);
    log_binding(rt);
    gw_log(log, GWEN_LOG_DEBUG, "kernels: %s%s%s", gwen_isa_name(rt->kern.isa),
           cap != GWEN_ISA_COUNT ? ", GWEN_ISA=" : "",
           cap != GWEN_ISA_COUNT ? gwen_isa_name(cap) : "");
    gw_put_bytes(&s, rt->budget);
    gw_log(log, GWEN_LOG_DEBUG, "memory budget: %s (%s)", s.failed ? "?" : s.data,
           rt->cli->common.memory != 0 ? "--memory" : "what is held and free, less a margin");
    gw_str_free(&s);
}

static void no_work(void *ctx, int thread, int n_threads) {
    (void)ctx, (void)thread, (void)n_threads;
}

/* How much the process may hold: once its threads are there, whose stacks count too. */
static void read_budget(struct gw_runtime *rt) {
    const struct gw_common *common = &rt->cli->common;
    const struct gw_hw_opts hw = {.root = common->sysroot};
    uint64_t held, most, budget = common->memory;
    gw_pool_run(rt->pool, no_work, NULL);
    gw_hw_read_memory(&hw, &rt->hw.memory);
    gw_hw_read_process(&held, &most);
    if (budget == 0) budget = rt->hw.memory.budget + held;
    rt->budget = budget > SIZE_MAX ? SIZE_MAX : (size_t)budget;
    gw_memory_watch_init(&rt->watch, &hw, common->memory != 0, &rt->cli->log);
}

static enum gwen_status open_pool(struct gw_runtime *rt, struct gwen_err *err) {
    GW_TRY(gw_pool_create(rt->n_threads, &rt->pool, err));
    gw_pool_bind(rt->pool, &rt->hw, (enum gw_bind)rt->cli->common.bind);
    return GWEN_OK;
}

enum gwen_status gw_runtime_open(struct gw_runtime *rt, struct gw_cli *cli, struct gwen_err *err) {
    *rt = (struct gw_runtime){.cli = cli};
    const struct gw_hw_opts hw = {.root = cli->common.sysroot};
    GW_TRY(gw_hw_query(&hw, &rt->hw, err));
    rt->n_threads = cli->common.threads != 0 ? (int)cli->common.threads : rt->hw.default_threads;
    gwen_kernels_init(&rt->kern, cli->common.isa_cap);
    GW_TRY(open_pool(rt, err));
    read_budget(rt);
    log_machine(rt);
    return GWEN_OK;
}

/* Most that the process held, beside what was planned. */
static void log_peak(const struct gw_runtime *rt) {
    uint64_t now, most;
    gw_hw_read_process(&now, &most);
    gw_log(&rt->cli->log, GWEN_LOG_DEBUG, "memory: held at most %" PRIu64 " KiB, planned %zu KiB",
           most >> 10, rt->planned >> 10);
}

void gw_runtime_close(struct gw_runtime *rt) {
    if (rt->model != NULL) log_peak(rt);
    gw_tokenizer_free(rt->tokenizer);
    gw_model_free(rt->model);
    gw_pool_free(rt->pool);
    gw_str_free(&rt->dir);
    gw_hw_free(&rt->hw);
    *rt = (struct gw_runtime){0};
}

/* --- the model ------------------------------------------------------------------------------ */

static bool holds(const char *dir, const char *name) {
    struct gw_str path = {0};
    struct gwen_err ignored;
    const bool there =
        gw_path_join(&path, dir, name, &ignored) == GWEN_OK && gw_file_exists(path.data);
    gw_str_free(&path);
    return there;
}

enum gwen_status gw_model_dir(const struct gw_cli *cli, struct gw_str *dir, struct gwen_err *err) {
    GW_TRY(gw_hub_resolve(cli->common.model, cli->common.cache_root, dir, err));
    if (!holds(dir->data, "adapter_config.json") || holds(dir->data, "config.json"))
        return gw_hub_check_folder(dir->data, err);
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "%s holds an adapter: give it with --adapter, and with --model what it is for",
                   dir->data);
}

static enum gwen_status find_dtype(struct gw_runtime *rt, struct gwen_err *err) {
    rt->dtype = rt->cli->common.dtype;
    const char *why = gw_cli_given(rt->cli, "dtype") ? "--dtype" : "GWEN_DTYPE";
    struct gw_safetensors *st;
    GW_TRY(gw_safetensors_open(rt->dir.data, &st, err));
    enum gw_dtype stored = gw_safetensors_dtype(st);
    gw_safetensors_close(st);
    rt->stored_bytes = gw_config_n_params(&rt->cfg) * gw_dtype_bytes(stored);
    if (rt->dtype == GW_DTYPE_NONE) {
        rt->dtype = gw_model_auto_dtype(stored);
        why = stored == rt->dtype ? "the checkpoint's own" : "auto for a float32 checkpoint";
    }
    rt->arith = gw_model_arith(rt->dtype, &rt->kern);
    gw_log(&rt->cli->log, GWEN_LOG_DEBUG, "dtype: %s (%s), numeric class %s",
           gw_dtype_torch_name(rt->dtype), why, gw_runtime_class(rt));
    return GWEN_OK;
}

/* Threads that were asked for are part of the profile's key: it names others only where none
 * were. */
static enum gwen_status take_tuned_threads(struct gw_runtime *rt, struct gwen_err *err) {
    const int threads = (int)GW_MIN(rt->profile.threads, (size_t)rt->hw.n_pus);
    if (!rt->is_tuned || threads == rt->n_threads) return GWEN_OK;
    gw_log(&rt->cli->log, GWEN_LOG_DEBUG, "threads: %d (tuned)", threads);
    gw_pool_free(rt->pool);
    rt->pool = NULL;
    rt->n_threads = threads;
    return open_pool(rt, err);
}

enum gwen_status gw_runtime_find(struct gw_runtime *rt, struct gwen_err *err) {
    GW_TRY(gw_model_dir(rt->cli, &rt->dir, err));
    GW_TRY(gw_config_load(rt->dir.data, &rt->cfg, err));
    GW_TRY(gw_generation_config_load(rt->dir.data, &rt->generation, err));
    rt->eos = gw_generation_eos(&rt->generation, &rt->cfg);
    GW_TRY(find_dtype(rt, err));
    if (rt->cli->common.adapter != NULL)
        GW_TRY(gw_runtime_adapter(rt, rt->cli->common.adapter, err));
    gw_tuned_read(rt);
    return take_tuned_threads(rt, err);
}

enum gwen_status gw_runtime_adapter(struct gw_runtime *rt, const char *dir, struct gwen_err *err) {
    rt->adapter = dir;
    return gw_lora_measure(dir, rt->arith.format, &rt->cfg, err);
}

const char *gw_runtime_class(const struct gw_runtime *rt) { return gw_arith_class(&rt->arith); }

struct gw_plan_options gw_runtime_plan(const struct gw_runtime *rt) {
    uint64_t held, most;
    gw_hw_read_process(&held, &most);
    return (struct gw_plan_options){.cfg = &rt->cfg,
                                    .format = rt->arith.format,
                                    .n_threads = rt->n_threads,
                                    .kind = GW_PLAN_WEIGHTS,
                                    .other = (size_t)held,
                                    .engine.budget = &rt->watch.budget,
                                    .engine.prefill_rows =
                                        rt->is_tuned ? rt->profile.prefill_rows : 0,
                                    .scorer.budget = &rt->watch.budget};
}

void gw_runtime_speed(const struct gw_runtime *rt, struct gw_speed *speed) {
    const struct gw_plan_options plan = gw_runtime_plan(rt);
    gw_speed_assume(&plan, &rt->arith, speed);
    if (rt->is_tuned && rt->profile.has_curve) {
        gw_speed_set_curve(speed, &rt->profile.curve);
        return;
    }
    gw_speed_measure(speed, &rt->arith, rt->pool, rt->budget / 4);
}

static void log_plan(const struct gw_runtime *rt, const struct gw_plan *plan) {
    struct gw_str s = {0};
    gw_put_bytes(&s, plan->total);
    gw_str_puts(&s, " (");
    gw_plan_put(&s, plan);
    if (!s.failed) gw_log(&rt->cli->log, GWEN_LOG_DEBUG, "memory plan: %s)", s.data);
    gw_str_free(&s);
}

void gw_runtime_put_plan(const struct gw_runtime *rt, const struct gw_plan_options *options,
                         struct gw_str *s) {
    struct gw_plan plan;
    gw_plan_make(options, &plan);
    gw_str_puts(s, "memory: ");
    gw_plan_put(s, &plan);
    gw_str_puts(s, ", together ");
    gw_put_bytes(s, plan.total);
    gw_str_puts(s, " of ");
    gw_put_bytes(s, rt->budget);
}

/* While weights are packed, the checkpoint's files are mapped beside them: of no weight in memory,
 * as the kernel drops their pages, but RLIMIT_AS counts them. */
static enum gwen_status check_address_space(const struct gw_runtime *rt, struct gwen_err *err) {
    const struct gw_hw_memory *m = &rt->hw.memory;
    uint64_t need = (uint64_t)gw_model_bytes(&rt->cfg, rt->arith.format) + rt->stored_bytes;
    if (m->rlimit_left == GW_UNLIMITED || need + m->margin <= m->rlimit_left) return GWEN_OK;
    struct gw_str s = {0};
    gw_str_puts(&s, "loading needs ");
    gw_put_bytes(&s, (size_t)(need + m->margin));
    gw_str_puts(&s, " of address space, ");
    gw_put_bytes(&s, (size_t)m->rlimit_left);
    gw_str_puts(&s, " are left: raise the limit (ulimit -v, ulimit -d)");
    enum gwen_status status = s.failed ? gw_nomem(err, (size_t)need, "loading")
                                       : gw_fail(err, GWEN_ERR_NOMEM, "%s", s.data);
    gw_str_free(&s);
    return status;
}

enum gwen_status gw_runtime_check(struct gw_runtime *rt, const struct gw_plan_options *options,
                                  struct gwen_err *err) {
    struct gw_plan plan;
    gw_plan_make(options, &plan);
    log_plan(rt, &plan);
    rt->planned = plan.total;
    return gw_plan_check(options, rt->budget, err);
}

static void log_weights(const struct gw_runtime *rt, double seconds) {
    size_t resident, huge;
    int percent = 0;
    if (gw_mem_residence(&rt->model->memory, &resident, &huge) && resident > 0)
        percent = (int)(100 * (double)huge / (double)resident);
    gw_log(&rt->cli->log, GWEN_LOG_DEBUG, "weights loaded in %.2f s, %d %% of them in huge pages",
           seconds, percent);
}

enum gwen_status gw_runtime_load(struct gw_runtime *rt, const struct gw_plan_options *plan,
                                 struct gwen_err *err) {
    GW_TRY(gw_runtime_check(rt, plan, err));
    GW_TRY(check_address_space(rt, err));
    struct gw_lora *adapter = NULL; /* read first: it is small, and may be wrong */
    if (rt->adapter != NULL) GW_TRY(gw_lora_read(&rt->cfg, &rt->arith, rt->adapter, &adapter, err));
    const struct gw_model_opts opts = {
        .dtype = rt->dtype, .isa_cap = rt->cli->common.isa_cap, .log = &rt->cli->log};
    uint64_t start = gw_now_ns();
    const enum gwen_status status = gw_model_load(rt->dir.data, &opts, rt->pool, &rt->model, err);
    if (status != GWEN_OK) {
        gw_lora_free(adapter);
        return status;
    }
    if (adapter != NULL) gw_lora_attach(rt->model, adapter);
    if (gw_log_on(&rt->cli->log, GWEN_LOG_DEBUG)) log_weights(rt, gw_seconds_since(start));
    /* What reading the files did to the limits is over. */
    gw_memory_watch_init(&rt->watch, &rt->watch.hw, rt->watch.given, &rt->cli->log);
    if (rt->is_tuned) gw_model_tune(rt->model, &rt->profile.linear);
    return GWEN_OK;
}

enum gwen_status gw_runtime_tokenizer(struct gw_runtime *rt, struct gwen_err *err) {
    if (rt->tokenizer != NULL) return GWEN_OK;
    return gw_tokenizer_load(rt->dir.data, &rt->tokenizer, err);
}
