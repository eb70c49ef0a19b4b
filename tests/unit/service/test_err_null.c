/* test_err_null.c - a caller that wants no error is treated like one that does: of each room calls
 * that fail, made with an error and with NULL, come to the same status and leave the same behind.
 */
#include "base/file.h"
#include "base/json.h"
#include "base/knob.h"
#include "base/pool.h"
#include "checkpoint/config/config.h"
#include "checkpoint/hub.h"
#include "checkpoint/safetensors/safetensors.h"
#include "engine/engine.h"
#include "engine/scorer.h"
#include "service/eval/likelihood.h"
#include "service/eval/result.h"
#include "service/judge/rubric.h"
#include "service/plan.h"
#include "service/record/provenance.h"
#include "service/report/run.h"
#include "service/reward/reward.h"
#include "service/rollout/file.h"
#include "service/rollout/prompts.h"
#include "service/train/checkpoint.h"
#include "service/train/config.h"
#include "service/train/plan.h"
#include "service/train/sft/data.h"
#include "service/tune/profile.h"
#include "text/chat.h"
#include "text/tokenizer/tokenizer.h"
#include "train/optimizer_bf16.h"
#include "unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef enum gwen_status (*call)(struct gwen_err *err);

static struct gw_config config;

/* --- base, text, checkpoint ------------------------------------------------------------------- */

static enum gwen_status read_absent(struct gwen_err *err) {
    struct gw_str s = {0};
    enum gwen_status status = gw_file_read(scratch_path("absent"), 100, &s, err);
    gw_str_free(&s);
    return status;
}

static enum gwen_status read_long(struct gwen_err *err) {
    struct gw_str s = {0};
    enum gwen_status status = gw_file_read(scratch_puts("long", "0123456789"), 5, &s, err);
    gw_str_free(&s);
    return status;
}

static enum gwen_status parse_json(struct gwen_err *err) {
    struct gw_json_doc doc = {0};
    return gw_json_parse("{\"a\":", 5, "a.json", &doc, err);
}

static enum gwen_status parse_row(struct gwen_err *err) {
    json_t *row = NULL;
    return gw_row_parse("{\"a\":1,}", 8, "a.jsonl", 3, &row, err);
}

static enum gwen_status load_tokenizer(struct gwen_err *err) {
    struct gw_tokenizer *t;
    return gw_tokenizer_load(scratch_path("absent"), &t, err);
}

static enum gwen_status parse_tokenizer(struct gwen_err *err) {
    struct gw_tokenizer *t;
    scratch_puts("tok/tokenizer.json", "{\"model\":{\"type\":\"Nothing\"}}");
    return gw_tokenizer_load(scratch_path("tok"), &t, err);
}

static enum gwen_status parse_template(struct gwen_err *err) {
    struct gw_chat *t;
    return gw_chat_parse("{% if %}", 8, "template", &t, err);
}

static enum gwen_status render_template(struct gwen_err *err) {
    const char src[] = "{{ raise_exception('no') }}";
    const struct gw_chat_env env = {0};
    struct gw_chat *t;
    struct gw_str out = {0};
    json_t *request = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "x");
    assert_int_equal(gw_chat_parse(src, sizeof src - 1, "template", &t, NULL), GWEN_OK);
    enum gwen_status status = gw_chat_render(t, request, &env, &out, err);
    json_decref(request);
    gw_str_free(&out);
    gw_chat_free(t);
    return status;
}

static enum gwen_status parse_config(struct gwen_err *err) {
    struct gw_config c;
    const char text[] = "{\"model_type\":\"nothing\"}";
    return gw_config_parse(text, sizeof text - 1, "config.json", &c, err);
}

static enum gwen_status open_safetensors(struct gwen_err *err) {
    struct gw_safetensors *s;
    return gw_safetensors_open(scratch_puts("x.safetensors", "not one of them"), &s, err);
}

static enum gwen_status find_model(struct gwen_err *err) {
    struct gw_str dir = {0};
    enum gwen_status status = gw_hub_resolve("nobody/nothing", NULL, &dir, err);
    gw_str_free(&dir);
    return status;
}

/* --- model, engine, train --------------------------------------------------------------------- */

static enum gwen_status load_model(struct gwen_err *err) {
    const struct gw_model_opts o = {.isa_cap = scratch_isa()};
    struct gw_model *m;
    return gw_model_load(scratch_path("absent"), &o, NULL, &m, err);
}

static enum gwen_status check_sampling(struct gwen_err *err) {
    return gw_sampling_check(&(struct gw_sampling){.temperature = -1}, err);
}

static enum gwen_status create_engine(struct gwen_err *err) {
    const struct gw_model model = {.cfg = config};
    const struct gw_engine_opts o = {
        .slots = 1, .prefill_rows = 1, .max_prompt = 10, .max_new = 1000000000, .max_group = 1};
    struct gw_engine *e;
    return gw_engine_create(&model, NULL, &o, &e, err);
}

static enum gwen_status create_optimizer(struct gwen_err *err) {
    struct gw_model model = {.cfg = config, .dtype = GW_DTYPE_F32};
    struct gw_optimizer *o;
    return gw_optimizer_bf16_create(&model, NULL, NULL, NULL, 1, 0, &o, err);
}

/* --- service ---------------------------------------------------------------------------------- */

static enum gwen_status check_plan(struct gwen_err *err) {
    const struct gw_plan_options o = {.cfg = &config, .format = GW_PANEL_F32, .n_threads = 1};
    return gw_plan_check(&o, 1000, err);
}

static enum gwen_status plan_training(struct gwen_err *err) {
    struct gw_plan_options o = {.cfg = &config, .format = GW_PANEL_BF16, .n_threads = 1};
    const struct gw_train_cut cut = {.recompute = GW_RECOMPUTE_AUTO};
    const struct gw_train_work work = {.samples = 4, .max_len = 100, .temperature = 1};
    return gw_train_plan(&cut, &work, 1000, &o, err);
}

static enum gwen_status read_prompts(struct gwen_err *err) {
    struct gw_prompts p = {0};
    const struct gw_prompt_opts o = {.vocab_size = 10, .context = 10, .max_tokens = 5};
    enum gwen_status status =
        gw_prompts_read(scratch_puts("p", "{\"ids\":[1]}\n{}\n"), &o, &p, err);
    gw_prompts_free(&p);
    return status;
}

/* Why a model's template cannot be used is known before a row wants it. */
static enum gwen_status use_no_template(struct gwen_err *err) {
    struct gw_prompt_chat chat = {0};
    struct gw_tokenizer *t;
    struct gw_prompts p = {0};
    assert_int_equal(gw_tokenizer_load("tests/fixtures/tiny-tokenizer", &t, NULL), GWEN_OK);
    gw_fail(&chat.why, GWEN_ERR_UNSUPPORTED, "a template of another kind");
    const struct gw_prompt_opts o = {
        .tokenizer = t, .chat = &chat, .as_chat = true, .vocab_size = 10, .context = 10};
    enum gwen_status status = gw_prompts_add_text(&p, &o, "text", err);
    gw_prompts_free(&p);
    gw_tokenizer_free(t);
    return status;
}

static enum gwen_status continue_rollout(struct gwen_err *err) {
    const struct gw_part_field fields[] = {{"seed", "2"}};
    struct gw_rollout_file *f;
    scratch_puts("rollout.part", "{\"gwen_part\":1,\"seed\":\"1\"}\n");
    return gw_rollout_file_open(scratch_path("rollout"), GW_PART_RESUME, fields, 1, 1, 1, NULL, &f,
                                err);
}

static enum gwen_status begin_rollout(struct gwen_err *err) {
    struct gw_rollout_file *f;
    scratch_puts("rollout.part", "");
    return gw_rollout_file_open(scratch_path("rollout"), GW_PART_NEW, NULL, 0, 1, 1, NULL, &f, err);
}

static enum gwen_status add_reward(struct gwen_err *err) {
    struct gw_rewards *r;
    assert_int_equal(gw_rewards_new(&r, NULL), GWEN_OK);
    enum gwen_status status = gw_rewards_add(r, "nothing", err);
    gw_rewards_free(r);
    return status;
}

static enum gwen_status load_rubric(struct gwen_err *err) {
    struct gw_rubric r = {0};
    enum gwen_status status = gw_rubric_load(scratch_puts("rubric", "{\"criteria\":3}"), &r, err);
    gw_rubric_free(&r);
    return status;
}

static enum gwen_status other_provenance(struct gwen_err *err) {
    struct gw_provenance p = {0};
    gw_provenance_add(&p, "seed", "%d", 1);
    enum gwen_status status = gw_provenance_same(&p, "{\"seed\":\"2\"}", 12, err);
    gw_provenance_free(&p);
    return status;
}

/* Nothing but lines that cannot be read: the first of them is the error. */
static enum gwen_status read_report(struct gwen_err *err) {
    struct gw_report_run run = {0};
    scratch_puts("run/metrics.jsonl", "{\n{\n{\n");
    enum gwen_status status = gw_report_run_read(scratch_path("run"), &run, err);
    gw_report_run_free(&run);
    return status;
}

static enum gwen_status read_result(struct gwen_err *err) {
    struct gw_eval_result r = {0};
    enum gwen_status status = gw_eval_result_read(scratch_puts("result", "{}\n"), &r, err);
    gw_eval_result_free(&r);
    return status;
}

static enum gwen_status set_option(struct gwen_err *err) {
    struct gw_train_config c;
    gw_train_config_init(&c, GW_TRAIN_SFT);
    return gw_train_config_set(&c, "learning_rate", "much", err);
}

static enum gwen_status other_options(struct gwen_err *err) {
    struct gw_train_config c;
    struct gw_str json = {0};
    gw_train_config_init(&c, GW_TRAIN_SFT);
    gw_train_config_put_json(&c, &json);
    c.learning_rate *= 2;
    enum gwen_status status = gw_train_config_same(&c, json.data, json.len, err);
    gw_str_free(&json);
    return status;
}

static enum gwen_status read_sft(struct gwen_err *err) {
    struct gw_sft_data d = {0};
    const struct gw_prompt_opts p = {.vocab_size = 10, .context = 10};
    const struct gw_sft_opts o = {.prompt = &p, .max_length = 10};
    const char row[] = "{\"ids\":[1,2],\"mask\":[0,0]}\n"; /* nothing to be learnt */
    enum gwen_status status = gw_sft_read(scratch_puts("sft", row), &o, &d, err);
    gw_sft_free(&d);
    return status;
}

/* A message that is given its place afterwards. */
static enum gwen_status read_sft_row(struct gwen_err *err) {
    struct gw_sft_data d = {0};
    const struct gw_prompt_opts p = {.vocab_size = 10, .context = 10};
    const struct gw_sft_opts o = {.prompt = &p, .max_length = 10};
    enum gwen_status status = gw_sft_read(scratch_puts("sft", "{\"text\":\"x\"}\n"), &o, &d, err);
    gw_sft_free(&d);
    return status;
}

static enum gwen_status parse_profile(struct gwen_err *err) {
    struct gw_tune_profile p;
    return gw_tune_profile_parse("{}", 2, "profile", "key", &p, err);
}

/* --- the test --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    call call;
} CALLS[] = {
#define CALL(name)                                                                                 \
    { #name, name }
    CALL(read_absent),    CALL(read_long),        CALL(parse_json),       CALL(parse_row),
    CALL(load_tokenizer), CALL(parse_tokenizer),  CALL(parse_template),   CALL(render_template),
    CALL(parse_config),   CALL(open_safetensors), CALL(find_model),       CALL(load_model),
    CALL(check_sampling), CALL(create_engine),    CALL(create_optimizer), CALL(check_plan),
    CALL(plan_training),  CALL(read_prompts),     CALL(use_no_template),  CALL(continue_rollout),
    CALL(begin_rollout),  CALL(add_reward),       CALL(load_rubric),      CALL(other_provenance),
    CALL(read_report),    CALL(read_result),      CALL(set_option),       CALL(other_options),
    CALL(read_sft),       CALL(read_sft_row),     CALL(parse_profile),
#undef CALL
};

static void same_without(void **state) {
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(CALLS); i++) {
        struct gwen_err err = {0};
        const enum gwen_status with = CALLS[i].call(&err);
        const int files = scratch_count(scratch_path(""));
        const enum gwen_status without = CALLS[i].call(NULL);
        if (with == GWEN_OK || err.status != with || err.message[0] == '\0')
            fail_msg("%s: %d, told as %d: \"%s\"", CALLS[i].name, with, err.status, err.message);
        if (without != with)
            fail_msg("%s: %d with an error, %d with NULL", CALLS[i].name, with, without);
        assert_int_equal(scratch_count(scratch_path("")), files);
    }
}

static void count_warning(void *user, enum gwen_log_level level, const char *text) {
    (void)level;
    (void)text;
    ++*(int *)user;
}

static enum gwen_status write_nothing(void *ctx, const char *dir, struct gwen_err *err) {
    (void)ctx;
    (void)dir;
    (void)err;
    return GWEN_OK;
}

/* What is said on the way is said as well. */
static void a_warning_without(void **state) {
    (void)state;
    struct gw_train_state s = {.step = 1};
    const struct gw_checkpoint_part part = {write_nothing, NULL};
    struct gw_str path = {0};
    bool found;
    int said = 0;
    const struct gw_log log = {.fn = count_warning, .user = &said, .level = GWEN_LOG_WARNING};
    assert_int_equal(gw_dir_make(scratch_path("saved"), NULL), GWEN_OK);
    assert_int_equal(gw_checkpoint_write(scratch_path("saved"), &s, &part, 1, 0, NULL), GWEN_OK);
    s.step = 2;
    assert_int_equal(gw_checkpoint_write(scratch_path("saved"), &s, &part, 1, 0, NULL), GWEN_OK);
    scratch_puts("saved/checkpoint-2/state.json", "{");
    assert_int_equal(gw_checkpoint_newest(scratch_path("saved"), &log, &path, &found, NULL),
                     GWEN_OK);
    assert_true(found && strstr(path.data, "checkpoint-1") != NULL);
    assert_int_equal(said, 1);
    gw_str_free(&path);
}

static int setup(void **state) {
    return gw_config_preset("tiny", &config, NULL) == GWEN_OK ? scratch_setup(state) : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_without),
        cmocka_unit_test(a_warning_without),
    };
    return cmocka_run_group_tests_name("err_null", tests, setup, scratch_teardown);
}
