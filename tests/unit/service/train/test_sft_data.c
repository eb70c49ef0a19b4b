/* test_sft_data.c - training rows: every way to give one, what counts in the loss, and the order
 * in which they are used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/train/order.h"
#include "service/train/sft/data.h"
#include "unit/scratch.h"
#include "unit/toy_tokenizer.h"

static struct gw_tokenizer *tokenizer;
static struct gw_prompt_chat chat;
static struct gw_prompt_opts prompt_opts;
static const int32_t EOS[] = {TOY_END, TOY_THINK};

static int set_up(void **state) {
    struct gwen_err err;
    if (scratch_setup(state) != 0) return 1;
    if (gw_tokenizer_load(toy_byte_level(), &tokenizer, &err) != GWEN_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    gw_prompt_chat_open(tokenizer, &(struct tm){.tm_year = 126}, &chat);
    prompt_opts = (struct gw_prompt_opts){.tokenizer = tokenizer, .chat = &chat, .vocab_size = 300};
    return chat.template == NULL;
}

static int tear_down(void **state) {
    gw_prompt_chat_close(&chat);
    gw_tokenizer_free(tokenizer);
    return scratch_teardown(state);
}

static struct gw_sft_opts options(void) {
    return (struct gw_sft_opts){&prompt_opts, {EOS, 2}, TOY_END, 100, false};
}

static enum gwen_status try_read(const char *text, const struct gw_sft_opts *o,
                                 struct gw_sft_data *d, struct gwen_err *err) {
    *d = (struct gw_sft_data){0};
    return gw_sft_read(scratch_puts("sft.jsonl", text), o, d, err);
}

static void read_ok(const char *text, const struct gw_sft_opts *o, struct gw_sft_data *d) {
    struct gwen_err err;
    if (try_read(text, o, d, &err) != GWEN_OK) fail_msg("%s", err.message);
}

/* The row decoded, with what counts in brackets. */
static void is_row(const struct gw_sft_row *r, const char *expected) {
    struct gw_str s = {0};
    struct gwen_err err;
    size_t ones = 0;
    for (size_t i = 0; i < r->n; i++) {
        bool was = i > 0 && r->mask[i - 1];
        if (r->mask[i] && !was) gw_str_putc(&s, '[');
        if (!r->mask[i] && was) gw_str_putc(&s, ']');
        assert_int_equal(gw_tokenizer_decode(tokenizer, &r->ids[i], 1, false, &s, &err), GWEN_OK);
        ones += r->mask[i];
    }
    if (r->mask[r->n - 1]) gw_str_putc(&s, ']');
    assert_string_equal(s.data, expected);
    assert_int_equal(ones, r->n_loss);
    gw_str_free(&s);
}

static void every_way_to_give_a_row(void **state) {
    (void)state;
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    read_ok("{\"prompt\":\"2+2=\",\"completion\":\"4\"}\n"
            "{\"prompt\":\"2+2=\",\"completion\":\"4<|end|>\"}\n"
            "{\"prompt\":\"a<|end|>\",\"completion\":\"\",\"id\":7}\n"
            "{\"text\":\"the end\"}\n"
            "{\"ids\":[5,6,7],\"mask\":[0,1,false]}\n"
            "{\"ids\":[5,6,7],\"mask\":[true,1,1]}\n"
            "{\"ids\":[8,9],\"prompt\":null}\n"
            "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
            "\"content\":\"r\"},{\"role\":\"user\",\"content\":\"s\"},{\"role\":\"assistant\","
            "\"content\":\"t\"}]}\n"
            "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
            "\"content\":\"r\"},{\"role\":\"user\",\"content\":\"s\"}],\"completion\":[{\"role\":"
            "\"assistant\",\"content\":\"t\"}]}\n"
            "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completion\":\"t\"}\n\n",
            &o, &d);
    assert_int_equal(d.n, 10);
    is_row(&d.rows[0], "<s>2+2=[4<|end|>]");
    is_row(&d.rows[1], "<s>2+2=[4<|end|>]");    /* not twice */
    is_row(&d.rows[2], "<s>a<|end|>[<|end|>]"); /* the one of the prompt is not the completion's */
    is_row(&d.rows[3], "<s>[the end<|end|>]");  /* nothing predicts the first */
    assert_true(d.rows[4].n == 3 && d.rows[4].n_loss == 1 && d.rows[4].mask[1] == 1);
    assert_true(d.rows[5].n_loss == 2 && d.rows[5].mask[0] == 0);
    assert_true(d.rows[6].n == 2 && d.rows[6].n_loss == 1);
    is_row(&d.rows[7], "<user>q<|end|><assistant>[r<|end|>]<user>s<|end|><assistant>[t<|end|>]");
    is_row(&d.rows[8], "<user>q<|end|><assistant>r<|end|><user>s<|end|><assistant>[t<|end|>]");
    is_row(&d.rows[9], "<user>q<|end|><assistant>[t<|end|>]");
    size_t tokens = 0, loss = 0;
    for (size_t i = 0; i < d.n; i++) {
        tokens += d.rows[i].n;
        loss += d.rows[i].n_loss;
    }
    assert_true(d.n_tokens == tokens && d.n_loss == loss);
    assert_true(d.longest == d.rows[7].n || d.longest == d.rows[8].n);
    assert_true(d.n_cut == 0 && d.n_left_out == 0);
    gw_sft_free(&d);
}

/* Prompt and completion are one text; a token with letters of both counts, and is told. */
static void tokens_may_straddle(void **state) {
    (void)state;
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    read_ok("{\"prompt\":\"en\",\"completion\":\"d\"}\n"
            "{\"prompt\":\"ab the\",\"completion\":\" the\"}\n"
            "{\"prompt\":\"ab t\",\"completion\":\"he\"}",
            &o, &d);
    is_row(&d.rows[0], "<s>[end<|end|>]");
    is_row(&d.rows[1], "<s>ab the[ the<|end|>]");
    is_row(&d.rows[2], "<s>ab[ the<|end|>]");
    assert_int_equal(d.n_straddling, 2);
    gw_sft_free(&d);
}

static void texts_as_a_conversation(void **state) {
    (void)state;
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    prompt_opts.as_chat = true;
    prompt_opts.system = "S";
    read_ok("{\"prompt\":\"q\",\"completion\":\"t\"}", &o, &d);
    is_row(&d.rows[0], "<system>S<|end|><user>q<|end|><assistant>[t<|end|>]");
    gw_sft_free(&d);
    prompt_opts.as_chat = false;
    prompt_opts.system = NULL;
}

/* What is added is the tokenizer's own, whatever stands first among the model's; any of them is
 * an end that is there already. */
static void the_tokenizers_eos_is_added(void **state) {
    (void)state;
    static const int32_t others[] = {TOY_BYTES + 'x', TOY_THINK};
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    o.eos.ids = others;
    read_ok("{\"prompt\":\"q\",\"completion\":\"t\"}\n{\"text\":\"t<think>\"}\n"
            "{\"text\":\"t<|end|>\"}",
            &o, &d);
    is_row(&d.rows[0], "<s>q[t<|end|>]");
    is_row(&d.rows[1], "<s>[t<think>]");
    is_row(&d.rows[2], "<s>[t<|end|>]");
    gw_sft_free(&d);
    o.own_eos = -1;
    read_ok("{\"text\":\"t\"}", &o, &d);
    is_row(&d.rows[0], "<s>[tx]");
    gw_sft_free(&d);
    o.eos.n = 0;
    read_ok("{\"text\":\"t\"}", &o, &d);
    is_row(&d.rows[0], "<s>[t]");
    gw_sft_free(&d);
}

/* Where the template begins an answer differently, what counts begins where the ids part. */
static void a_template_that_differs(void **state) {
    (void)state;
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    prompt_opts.chat_args = json_pack("{s:b}", "enable_thinking", 0);
    read_ok("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
            "\"content\":\"r\"}]}",
            &o, &d);
    /* "<assistant>!" begins an answer; the toy template writes its "!" behind this one as well. */
    is_row(&d.rows[0], "<user>q<|end|><assistant>[r<|end|>]!");
    gw_sft_free(&d);
    json_decref((json_t *)(uintptr_t)prompt_opts.chat_args);
    prompt_opts.chat_args = NULL;
}

static void long_rows_lose_their_end(void **state) {
    (void)state;
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    struct gwen_err err;
    o.max_length = 4;
    read_ok("{\"ids\":[9,9,9,9,9]}\n"
            "{\"ids\":[9,9,9,9,9],\"mask\":[0,0,0,0,1]}\n"
            "{\"ids\":[9,9,9,9]}\n"
            "{\"ids\":[9],\"mask\":[1]}\n"
            "{\"ids\":[]}\n",
            &o, &d);
    assert_int_equal(d.n, 2);
    assert_true(d.rows[0].n == 4 && d.rows[1].n == 4 && d.n_cut == 1 && d.n_left_out == 3);
    gw_sft_free(&d);
    assert_int_equal(try_read("{\"ids\":[9]}\n", &o, &d, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "sft.jsonl: no row has a token to be learnt within 4"));
    gw_sft_free(&d);
}

static void what_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *what;
    } cases[] = {
        {"", "sft.jsonl: holds no training rows"},
        {"{\"ids\":[1,2]}\n{}", "sft.jsonl:2: expected one of \"prompt\" and \"completion\""},
        {"{\"text\":\"a\",\"ids\":[1]}", "sft.jsonl:1: expected one of"},
        {"{\"prompt\":\"a\"}", "sft.jsonl:1: \"completion\" is missing"},
        {"{\"prompt\":5,\"completion\":\"a\"}", "sft.jsonl:1: \"prompt\": expected a string"},
        {"{\"text\":[]}", "sft.jsonl:1: \"text\": expected a string"},
        {"{\"ids\":[1,300]}", "sft.jsonl:1: \"ids\"[1]: token id 300 is outside 0..299"},
        {"{\"ids\":[1,2],\"mask\":[1]}", "sft.jsonl:1: \"mask\" has 1 entries, but \"ids\" 2"},
        {"{\"ids\":[1,2],\"mask\":[1,2]}", "sft.jsonl:1: \"mask\"[1]: expected 0 or 1"},
        {"{\"messages\":[]}", "sft.jsonl:1: \"messages\": a conversation has at least one"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}",
         "sft.jsonl:1: no message of the assistant"},
        {"{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completion\":[{\"role\":\"user\","
         "\"content\":\"q\"}]}",
         "sft.jsonl:1: no message of the assistant"},
        {"{\"prompt\":[3],\"completion\":\"a\"}", "sft.jsonl:1: \"prompt\"[0]: expected a message"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_sft_opts o = options();
        struct gw_sft_data d;
        struct gwen_err err = {0};
        assert_int_not_equal(try_read(cases[i].text, &o, &d, &err), GWEN_OK);
        if (strstr(err.message, cases[i].what) == NULL) fail_msg("%s", err.message);
        gw_sft_free(&d);
    }
    struct gw_prompt_opts bare = {.vocab_size = 300};
    struct gw_sft_opts o = {&bare, {EOS, 1}, -1, 100, false};
    struct gw_sft_data d;
    struct gwen_err err;
    assert_int_equal(try_read("{\"text\":\"a\"}", &o, &d, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "sft.jsonl:1: the model's directory has no tokenizer"));
}

enum { N = 1000 };

static bool is_permutation(const size_t *order) {
    bool seen[N] = {false};
    for (size_t i = 0; i < N; i++) {
        if (order[i] >= N || seen[order[i]]) return false;
        seen[order[i]] = true;
    }
    return true;
}

/* Rows of the given lengths, each of the id that is its number in the file. */
static const char *rows_of_lengths(const size_t *lengths, size_t n) {
    static char text[20000];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "{\"ids\":[%zu", i % 300);
        for (size_t k = 1; k < lengths[i]; k++)
            at += (size_t)snprintf(text + at, sizeof text - at, ",%zu", i % 300);
        at += (size_t)snprintf(text + at, sizeof text - at, "]}\n");
    }
    return text;
}

/* What TRL 1.16's pack_dataset (strategy "bfd") gives for these. */
static void packing_is_trls(void **state) {
    (void)state;
    static const size_t lengths[] = {5, 2, 3, 2, 7, 4, 4, 2, 6, 3, 8, 2, 5, 3, 2, 4};
    static const char *const packed[] = {"10",   "4",   "8 1",   "0 2",
                                         "12 9", "5 6", "15 13", "3 7 11 14"};
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    o.max_length = 8;
    o.packing = true;
    read_ok(rows_of_lengths(lengths, GW_ARRAY_LEN(lengths)), &o, &d);
    assert_int_equal(d.n_bins, GW_ARRAY_LEN(packed));
    for (size_t b = 0; b < d.n_bins; b++) {
        char text[64] = "";
        for (size_t i = d.bins[b]; i < d.bins[b + 1]; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d",
                     i > d.bins[b] ? " " : "", (int)d.rows[i].ids[0]);
        assert_string_equal(text, packed[b]);
    }
    assert_int_equal(d.bins[d.n_bins], d.n);
    assert_int_equal(d.longest_bin, 8);
    assert_int_equal(d.most_rows, 4);
    gw_sft_free(&d);
    /* Without it, rows are as in the file, each by itself. */
    o.packing = false;
    read_ok(rows_of_lengths(lengths, GW_ARRAY_LEN(lengths)), &o, &d);
    assert_int_equal(d.n_bins, d.n);
    for (size_t i = 0; i < d.n; i++) {
        assert_int_equal(d.bins[i], i);
        assert_int_equal(d.rows[i].ids[0], i);
    }
    assert_int_equal(d.longest_bin, 8);
    assert_int_equal(d.most_rows, 1);
    gw_sft_free(&d);
}

/* No bin holds rows of two thousands; none is overfull; every row is in one. */
static void packing_goes_by_thousands(void **state) {
    (void)state;
    size_t lengths[2100];
    uint8_t seen[2100] = {0};
    struct gw_sft_opts o = options();
    struct gw_sft_data d;
    static char text[100000];
    size_t at = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(lengths); i++) {
        lengths[i] = 2 + i * i % 5;
        at += (size_t)snprintf(text + at, sizeof text - at, "{\"ids\":[%zu,%zu%s]}\n", i / 256,
                               i % 256, &",1,1,1,1"[8 - 2 * (lengths[i] - 2)]);
    }
    o.max_length = 16;
    o.packing = true;
    read_ok(text, &o, &d);
    for (size_t b = 0; b < d.n_bins; b++) {
        size_t tokens = 0, thousand = 0;
        for (size_t i = d.bins[b]; i < d.bins[b + 1]; i++) {
            const size_t row = (size_t)d.rows[i].ids[0] * 256 + (size_t)d.rows[i].ids[1];
            if (i == d.bins[b]) thousand = row / 1000;
            assert_int_equal(row / 1000, thousand);
            assert_int_equal(d.rows[i].n, lengths[row]);
            assert_int_equal(seen[row]++, 0);
            tokens += d.rows[i].n;
        }
        assert_in_range(tokens, 2, 16);
    }
    assert_int_equal(d.n, 2100);
    assert_in_range(d.n_bins, d.n_tokens / 16, d.n_tokens / 15); /* and they are nearly full */
    gw_sft_free(&d);
}

static void order_depends_on_seed_and_epoch(void **state) {
    (void)state;
    size_t a[N], b[N], same = 0;
    gw_data_order(42, 0, a, N);
    gw_data_order(42, 0, b, N);
    assert_memory_equal(a, b, sizeof a);
    assert_true(is_permutation(a));
    gw_data_order(42, 1, b, N);
    assert_true(is_permutation(b));
    for (size_t i = 0; i < N; i++) same += a[i] == b[i];
    assert_true(same < 20); /* about one of two random orders */
    gw_data_order(43, 0, b, N);
    assert_true(memcmp(a, b, sizeof a) != 0);
    gw_data_order(1, 2, a, 1);
    assert_int_equal(a[0], 0);
    gw_data_order(1, 2, a, 0);
    /* The order is part of a result: these never change. */
    static const size_t first[] = {0, 4, 6, 2, 7, 5, 1, 3};
    gw_data_order(42, 0, a, 8);
    assert_memory_equal(a, first, sizeof first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_give_a_row),
        cmocka_unit_test(tokens_may_straddle),
        cmocka_unit_test(texts_as_a_conversation),
        cmocka_unit_test(the_tokenizers_eos_is_added),
        cmocka_unit_test(a_template_that_differs),
        cmocka_unit_test(long_rows_lose_their_end),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(packing_is_trls),
        cmocka_unit_test(packing_goes_by_thousands),
        cmocka_unit_test(order_depends_on_seed_and_epoch),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
