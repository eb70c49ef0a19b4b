/* test_train_config.c - the options of training: TRL's defaults, reading from text and JSON, what
 * is refused, and that what is written is read again the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/parse.h"
#include "service/train/config.h"

static struct gw_train_config fresh(enum gw_train_kind kind) {
    struct gw_train_config c;
    gw_train_config_init(&c, kind);
    return c;
}

static enum gwen_status apply(struct gw_train_config *c, const char *json, struct gwen_err *err) {
    struct gw_json_doc doc = {0};
    enum gwen_status status = gw_json_parse(json, strlen(json), "train.json", &doc, err);
    if (status == GWEN_OK) status = gw_train_config_apply(c, &doc, err);
    gw_json_free(&doc);
    return status;
}

static void set_ok(struct gw_train_config *c, const char *name, const char *text) {
    struct gwen_err err;
    if (gw_train_config_set(c, name, text, &err) != GWEN_OK) fail_msg("%s", err.message);
}

/* As the dataclasses of TRL 1.16 print them. */
static void defaults_are_trl_s(void **state) {
    (void)state;
    struct gw_train_config c = fresh(GW_TRAIN_GRPO);
    struct gw_str s = {0};
    gw_train_config_put_json(&c, &s);
    assert_string_equal(
        s.data,
        "{\"max_steps\":-1,\"num_train_epochs\":3,\"per_device_train_batch_size\":8,"
        "\"gradient_accumulation_steps\":1,\"seed\":42,\"optim\":\"adamw\","
        "\"learning_rate\":1e-06,\"weight_decay\":0,\"adam_beta1\":0.9,\"adam_beta2\":0.999,"
        "\"adam_epsilon\":1e-08,\"max_grad_norm\":1,\"lr_scheduler_type\":\"linear\","
        "\"warmup_steps\":0,\"warmup_ratio\":0,\"logging_steps\":10,\"save_steps\":500,"
        "\"save_total_limit\":0,\"eval_steps\":0,\"per_device_eval_batch_size\":8,"
        "\"use_peft\":false,\"lora_r\":16,\"lora_alpha\":32,\"lora_dropout\":0,"
        "\"lora_target_modules\":null,\"layers_to_transform\":null,"
        "\"use_rslora\":false,\"log_completions\":false,\"num_completions_to_print\":0,"
        "\"num_generations\":8,\"max_completion_length\":512,\"temperature\":1,\"top_p\":1,"
        "\"top_k\":0,\"min_p\":null,\"repetition_penalty\":1,\"steps_per_generation\":0,"
        "\"shuffle_dataset\":true,\"beta\":0,\"epsilon\":0.2,\"epsilon_high\":null,"
        "\"delta\":null,\"loss_type\":\"dapo\",\"scale_rewards\":\"group\","
        "\"advantage_estimator\":\"grpo\",\"dynamic_sampling\":false,"
        "\"max_resample_rounds\":3,\"filter_zero_std\":false,"
        "\"importance_sampling_level\":\"token\",\"mask_truncated_completions\":false,"
        "\"use_bias_correction_kl\":true,\"num_iterations\":1,\"reward_weights\":null}");
    gw_str_free(&s);
    c = fresh(GW_TRAIN_SFT);
    assert_true(c.learning_rate == 2e-5 && c.max_length == 1024 && !c.packing);
    gw_train_config_put_json(&c, &s);
    assert_null(strstr(s.data, "num_generations"));
    assert_non_null(strstr(s.data, "\"max_length\":1024"));
    gw_str_free(&s);
}

static void table_of_options(void **state) {
    (void)state;
    struct gw_train_config c = fresh(GW_TRAIN_SFT);
    struct gw_str s = {0};
    bool found = false;
    for (size_t i = 0; i < gw_train_option_count(GW_TRAIN_SFT); i++) {
        struct gw_train_option o = gw_train_option_at(GW_TRAIN_SFT, i);
        assert_string_not_equal(o.name, "num_generations");
        assert_true((o.arg == NULL) ==
                    (strcmp(o.name, "packing") == 0 || strcmp(o.name, "use_peft") == 0 ||
                     strcmp(o.name, "use_rslora") == 0));
        found |= strcmp(o.name, "max_length") == 0;
    }
    assert_true(found);
    gw_train_config_show(&c, "lr_scheduler_type", &s);
    assert_string_equal(s.data, "linear");
    gw_str_clear(&s);
    gw_train_config_show(&c, "learning-rate", &s);
    assert_string_equal(s.data, "2e-05");
    gw_str_clear(&s);
    gw_train_config_show(&c, "lora_target_modules", &s);
    gw_train_config_show(&c, "num_generations", &s);
    assert_int_equal(s.len, 0);
    gw_str_free(&s);
}

static void options_from_text(void **state) {
    (void)state;
    struct gw_train_config c = fresh(GW_TRAIN_GRPO);
    set_ok(&c, "learning-rate", "2.5e-4");
    set_ok(&c, "max_steps", "100");
    set_ok(&c, "num_generations", "4");
    set_ok(&c, "seed", "18446744073709551615");
    set_ok(&c, "loss_type", "dr_grpo");
    set_ok(&c, "mask_truncated_completions", "true");
    set_ok(&c, "epsilon_high", "0.28");
    set_ok(&c, "reward_weights", "1,-0.5,2e1");
    set_ok(&c, "lora_target_modules", "q_proj,v_proj");
    set_ok(&c, "layers_to_transform", "0,11");
    assert_string_equal(c.layers_to_transform, "0,11");
    assert_true(c.learning_rate == 2.5e-4 && c.max_steps == 100 && c.num_generations == 4);
    assert_true(c.seed == UINT64_MAX && c.loss_type == GW_LOSS_DR_GRPO);
    assert_true(c.mask_truncated_completions && c.epsilon_high == 0.28);
    assert_true(c.n_reward_weights == 3 && c.reward_weights[1] == -0.5);
    assert_true(c.reward_weights[2] == 20);
    assert_string_equal(c.lora_target_modules, "q_proj,v_proj");
    set_ok(&c, "epsilon_high", "null");
    set_ok(&c, "max_steps", "-1");
    set_ok(&c, "reward_weights", "null");
    assert_true(isnan(c.epsilon_high) && c.max_steps == -1 && c.n_reward_weights == 0);
}

static void options_from_json(void **state) {
    (void)state;
    struct gw_train_config c = fresh(GW_TRAIN_GRPO);
    struct gwen_err err;
    if (apply(&c,
              "{\"beta\":0.04,\"epsilon_high\":0.3,\"delta\":null,\"num_iterations\":2,"
              "\"scale_rewards\":\"none\",\"reward_weights\":[1,0.25],\"use_peft\":true,"
              "\"lora_target_modules\":[\"q_proj\",\"o_proj\"],\"seed\":7}",
              &err) != GWEN_OK)
        fail_msg("%s", err.message);
    assert_true(c.beta == 0.04 && c.epsilon_high == 0.3 && isnan(c.delta));
    assert_true(c.num_iterations == 2 && c.scale_rewards == GW_SCALE_NONE && c.use_peft);
    assert_true(c.n_reward_weights == 2 && c.reward_weights[1] == 0.25 && c.seed == 7);
    assert_string_equal(c.lora_target_modules, "q_proj,o_proj");
}

static void what_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"{\"learning_rat\":1}",
         "train.json: there is no option \"learning_rat\"; did you mean \"learning_rate\"?"},
        {"{\"lerning-rate\":1}",
         "train.json: there is no option \"lerning-rate\"; did you mean \"learning_rate\"?"},
        {"{\"epsilon_hihg\":1}",
         "train.json: there is no option \"epsilon_hihg\"; did you mean \"epsilon_high\"?"},
        {"{\"a\\nb\":true}", "train.json: there is no option \"a?b\""},
        {"{\"optim\":\"a\\u0001\"}",
         "train.json: optim: expected one of adamw|adamw-bf16, not \"a?\""},
        {"{\"use_vllm\":true}", "train.json: there is no option \"use_vllm\""},
        {"{\"max_length\":5}", "train.json: there is no option \"max_length\""}, /* of SFT */
        {"{\"beta\":\"0.1\"}",
         "train.json: beta: expected a number from 0 to 1000000, not \"0.1\""},
        {"{\"beta\":-1}", "train.json: beta: expected a number from 0 to 1000000, not \"-1\""},
        {"{\"num_generations\":1}",
         "train.json: num_generations: expected a whole number from 2 to 65536, not \"1\""},
        {"{\"num_generations\":8.5}",
         "train.json: num_generations: expected a whole number from 2 to 65536, not \"8.5\""},
        {"{\"use_peft\":1}", "train.json: use_peft: expected true or false, not 1"},
        {"{\"loss_type\":\"ppo\"}",
         "train.json: loss_type: expected one of grpo|bnpo|dr_grpo|dapo|cispo, not \"ppo\""},
        {"{\"reward_weights\":[1,\"x\"]}",
         "train.json: reward_weights: expected at most 32 numbers with commas, not \"1,x\""},
        {"{\"reward_weights\":[[1]]}",
         "train.json: reward_weights: expected at most 32 numbers with commas, not [[1]]"},
        {"{\"reward_weights\":1}",
         "train.json: reward_weights: expected at most 32 numbers with commas, not 1"},
        {"{\"lora_target_modules\":\"q proj\"}",
         "train.json: lora_target_modules: expected names or numbers with commas, not \"q proj\""},
        {"{\"beta\":{}}", "train.json: beta: expected a number from 0 to 1000000, not {}"},
        {"[]", "train.json: expected an object"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_train_config c = fresh(GW_TRAIN_GRPO);
        struct gwen_err err;
        assert_int_not_equal(apply(&c, cases[i].json, &err), GWEN_OK);
        assert_string_equal(err.message, cases[i].message);
    }
    static const char *const bad[][2] = {{"learning_rate", "nan"},
                                         {"learning_rate", ""},
                                         {"learning_rate", "1e"},
                                         {"max_steps", "--1"},
                                         {"max_steps", "-2"},
                                         {"num_generations", "-8"},
                                         {"seed", "-1"},
                                         {"seed", "1.0"},
                                         {"packing", "true"},
                                         {"mask_truncated_completions", "yes"},
                                         {"reward_weights", "1,"},
                                         {"reward_weights", ""},
                                         {"lora_target_modules", ""}};
    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        struct gw_train_config c = fresh(GW_TRAIN_GRPO);
        struct gwen_err err;
        if (gw_train_config_set(&c, bad[i][0], bad[i][1], &err) == GWEN_OK)
            fail_msg("%s=%s was taken", bad[i][0], bad[i][1]);
    }
}

static void options_fit_together(void **state) {
    (void)state;
    struct gw_train_config c = fresh(GW_TRAIN_GRPO);
    struct gwen_err err;
    assert_int_equal(gw_train_config_check(&c, &err), GWEN_OK);
    c.num_generations = 3;
    assert_int_equal(gw_train_config_check(&c, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "a rollout of 8 completions"));
    c.gradient_accumulation_steps = 3;
    assert_int_equal(gw_train_config_check(&c, &err), GWEN_OK);
    assert_int_equal(gw_train_config_generation_batch(&c), 24);
    c.steps_per_generation = 6;
    assert_int_equal(gw_train_config_generation_batch(&c), 48);
    c.max_steps = 0;
    assert_int_equal(gw_train_config_check(&c, &err), GWEN_ERR_ARGUMENT);
    c = fresh(GW_TRAIN_SFT);
    c.per_device_train_batch_size = 3;
    assert_int_equal(gw_train_config_check(&c, &err), GWEN_OK);
    c.adam_beta2 = 1;
    assert_int_equal(gw_train_config_check(&c, &err), GWEN_ERR_ARGUMENT);
}

/* What a checkpoint holds is the same again; what is not is named. */
static void resuming_needs_the_same(void **state) {
    (void)state;
    struct gw_train_config c = fresh(GW_TRAIN_GRPO);
    struct gw_str s = {0};
    struct gwen_err err;
    set_ok(&c, "learning_rate", "1.2345678901234567e-05");
    set_ok(&c, "seed", "18446744073709551615");
    set_ok(&c, "reward_weights", "0.1,3");
    set_ok(&c, "lora_target_modules", "q_proj");
    gw_train_config_put_json(&c, &s);
    if (gw_train_config_same(&c, s.data, s.len, &err) != GWEN_OK) fail_msg("%s", err.message);
    set_ok(&c, "max_steps", "7"); /* may be another */
    set_ok(&c, "save_steps", "7");
    assert_int_equal(gw_train_config_same(&c, s.data, s.len, &err), GWEN_OK);
    set_ok(&c, "reward_weights", "0.1,4");
    assert_int_equal(gw_train_config_same(&c, s.data, s.len, &err), GWEN_ERR_ARGUMENT);
    assert_string_equal(err.message, "reward_weights is [0.1,4], but was [0.1,3] when the run was "
                                     "begun: resume needs the same");
    gw_str_free(&s);
}

static void distances(void **state) {
    (void)state;
    assert_int_equal(gw_edit_distance("", ""), 0);
    assert_int_equal(gw_edit_distance("abc", ""), 3);
    assert_int_equal(gw_edit_distance("a-b", "a_b"), 0);
    assert_int_equal(gw_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(gw_edit_distance("ab", "ba"), 1);
    assert_int_equal(gw_edit_distance("beta", "bteas"), 2);
    char longer[70];
    memset(longer, 'a', sizeof longer);
    longer[64] = 0;
    assert_true(gw_edit_distance(longer, "a") == SIZE_MAX);
    longer[63] = 0;
    assert_true(gw_edit_distance(longer, "a") == 62);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_trl_s),      cmocka_unit_test(table_of_options),
        cmocka_unit_test(options_from_text),       cmocka_unit_test(options_from_json),
        cmocka_unit_test(what_is_refused),         cmocka_unit_test(options_fit_together),
        cmocka_unit_test(resuming_needs_the_same), cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
