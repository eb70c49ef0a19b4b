/* foreign.c - names that are no options: those that TRL, transformers, vLLM or lm-eval have are
 * answered with ours, others with the nearest. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { CALLED = 4 };

/* Ours: the first that the command has.  A value after the name is shown with it. */
static const struct {
    const char *theirs;
    const char *ours[CALLED];
} OPTIONS[] = {
    {"output_dir", {"out DIR"}},
    {"output", {"out FILE"}},
    {"model_name_or_path", {"model DIR"}},
    {"model_name", {"model DIR"}},
    {"pretrained", {"model DIR"}},
    {"peft_model_id", {"adapter DIR"}},
    {"lora_path", {"adapter DIR"}},
    {"dataset_name", {"data FILE", "prompts FILE"}},
    {"dataset_path", {"data FILE", "prompts FILE"}},
    {"dataset", {"data FILE", "prompts FILE"}},
    {"train_file", {"data FILE", "prompts FILE"}},
    {"bf16", {"dtype bf16"}},
    {"fp16", {"dtype fp16"}},
    {"torch_dtype", {"dtype"}},
    {"precision", {"dtype"}},
    {"max_seq_length", {"max_length"}},
    {"max_seq_len", {"max_length"}},
    {"cutoff_len", {"max_length"}},
    {"max_new_tokens", {"max_completion_length", "max-tokens"}},
    {"max_gen_toks", {"max_completion_length", "max-tokens"}},
    {"max_tokens", {"max_completion_length", "max-tokens"}},
    {"max_completion_length", {"max-tokens"}},
    {"temperature", {"temp"}},
    {"num_generations", {"groups"}},
    {"num_return_sequences", {"groups", "num_generations"}},
    {"n", {"groups", "num_generations"}},
    {"batch_size", {"per_device_train_batch_size", "rollout-batch-size"}},
    {"train_batch_size", {"per_device_train_batch_size"}},
    {"per_device_batch_size", {"per_device_train_batch_size"}},
    {"eval_batch_size", {"per_device_eval_batch_size"}},
    {"grad_accum_steps", {"gradient_accumulation_steps"}},
    {"lr", {"learning_rate"}},
    {"epochs", {"num_train_epochs"}},
    {"num_epochs", {"num_train_epochs"}},
    {"gradient_checkpointing", {"recompute layer"}},
    {"resume_from_checkpoint", {"resume"}},
    {"reward_funcs", {"reward NAME"}},
    {"reward_model", {"reward-cmd COMMAND"}},
    {"save_strategy", {"save_steps"}},
    {"logging_strategy", {"logging_steps"}},
    {"eval_strategy", {"eval_steps"}},
    {"evaluation_strategy", {"eval_steps"}},
    {"lora_rank", {"lora_r"}},
    {"lora_modules", {"lora_target_modules"}},
    {"use_lora", {"use_peft"}},
    {"kl_coef", {"beta"}},
    {"clip_range", {"epsilon"}},
    {"overwrite_output_dir", {"overwrite"}},
    {"nthreads", {"threads"}},
    {"num_threads", {"threads"}},
};

/* What has no like here, and why none is needed. */
static const struct {
    const char *theirs, *why;
} NEEDLESS[] = {
    {"use_vllm", "the engine samples itself"},
    {"vllm_mode", "the engine samples itself"},
    {"vllm_gpu_memory_utilization", "the engine samples itself"},
    {"report_to", "metrics.jsonl and TensorBoard's events are in the run's folder"},
    {"logging_dir", "the logs are in the run's folder"},
    {"max_prompt_length", "prompts are never cut"},
    {"attn_implementation", "there is one attention"},
    {"load_in_4bit", "weights are not quantised"},
    {"load_in_8bit", "weights are not quantised"},
    {"load_best_model_at_end", "every checkpoint can be exported"},
    {"deepspeed", "a run is one process"},
    {"fsdp", "a run is one process"},
    {"do_train", "the command says it"},
    {"do_eval", "eval_steps says it"},
    {"use_cpu", "there is nothing else"},
    {"no_cuda", "there is nothing else"},
    {"device", "it is the CPU"},
    {"tf32", "it is the CPU"},
    {"push_to_hub", "nothing is uploaded"},
    {"trust_remote_code", "no code of a model is run"},
    {"remove_unused_columns", "columns that nobody reads are passed over"},
    {"dataloader_num_workers", "data is read once"},
};

static bool is(const char *option, const char *name, size_t len) {
    if (strlen(option) != len) return false;
    for (size_t i = 0; i < len; i++)
        if (option[i] != name[i] && !(option[i] == '_' && name[i] == '-')) return false;
    return true;
}

static const char *say(struct gw_cli *cli, const char *before, const char *text) {
    const size_t bytes = strlen(before) + strlen(text) + 4;
    char *hint = gw_cli_alloc(cli, bytes);
    snprintf(hint, bytes, " (%s%s)", before, text);
    return hint;
}

static const char *foreign_hint(struct gw_cli *cli, const char *name, size_t len) {
    size_t slot;
    for (size_t i = 0; i < GW_ARRAY_LEN(OPTIONS); i++) {
        if (!is(OPTIONS[i].theirs, name, len)) continue;
        for (size_t k = 0; k < CALLED && OPTIONS[i].ours[k] != NULL; k++) {
            const char *ours = OPTIONS[i].ours[k];
            if (gw_option_find(cli, ours, strcspn(ours, " "), &slot) != NULL)
                return say(cli, "here it is --", ours);
        }
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(NEEDLESS); i++)
        if (is(NEEDLESS[i].theirs, name, len)) return say(cli, "leave it out: ", NEEDLESS[i].why);
    return NULL;
}

const char *gw_foreign_hint(struct gw_cli *cli, const char *name, size_t len) {
    const char *hint = foreign_hint(cli, name, len);
    return hint != NULL ? hint : gw_option_hint(cli, name, len);
}
