/* toy_tokenizer.c - see toy_tokenizer.h. */
#include "unit/toy_tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "unit/scratch.h"

/* GPT-2's letter for a byte. */
static void put_letter(struct gw_str *s, unsigned byte) {
    unsigned c = 256;
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174) {
        gw_str_put_utf8(s, byte);
        return;
    }
    for (unsigned b = 0; b < byte; b++)
        c += !((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
    gw_str_put_utf8(s, c);
}

static void put_letters(struct gw_str *s, const char *bytes) {
    for (; *bytes != 0; bytes++) put_letter(s, (unsigned char)*bytes);
}

static void put_added(struct gw_str *s, int id, const char *content, const char *special) {
    gw_str_printf(s,
                  "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
                  "\"rstrip\":false,\"normalized\":false,\"special\":%s}",
                  id > 0 ? "," : "", id, content, special);
}

static const char *save(const char *dir, struct gw_str *tokenizer, const char *config) {
    char name[64];
    snprintf(name, sizeof name, "%s/tokenizer.json", dir);
    scratch_write(name, tokenizer->data, tokenizer->len);
    snprintf(name, sizeof name, "%s/tokenizer_config.json", dir);
    scratch_puts(name, config);
    gw_str_free(tokenizer);
    return scratch_path(dir);
}

static const char template_processing[] =
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}}"
    ","
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\","
    "\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{\"<s>\":"
    "{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}}";

const char *toy_byte_level(void) {
    static const char *const merges[][2] = {{"a", "b"},  {"ab", "c"},      {"t", "h"},
                                            {"th", "e"}, {" ", "the"},     {"e", "n"},
                                            {"en", "d"}, {"\xE2", "\x82"}, {"\xE2\x82", "\xAC"}};
    struct gw_str s = {0};
    int id = 0;
    gw_str_puts(&s, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
    put_added(&s, id++, "<pad>", "true");
    put_added(&s, id++, "<s>", "true");
    put_added(&s, id++, "<|end|>", "true");
    put_added(&s, id++, "<think>", "false");
    gw_str_printf(&s,
                  "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                  "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
                  "\"post_processor\":%s,\"decoder\":{\"type\":\"ByteLevel\","
                  "\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
                  "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
                  "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                  "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{"
                  "\"<pad>\":0,\"<s>\":1,\"<|end|>\":2,\"<think>\":3",
                  template_processing);
    for (unsigned byte = 0; byte < 256; byte++) {
        struct gw_str letter = {0};
        put_letter(&letter, byte);
        gw_str_putc(&s, ',');
        gw_str_put_json(&s, letter.data, letter.len);
        gw_str_printf(&s, ":%d", id++);
        gw_str_free(&letter);
    }
    struct gw_str list = {0};
    for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++) {
        gw_str_puts(&s, ",\"");
        put_letters(&s, merges[i][0]);
        put_letters(&s, merges[i][1]);
        gw_str_printf(&s, "\":%d", id++);
        gw_str_puts(&list, i > 0 ? ",[\"" : "[\"");
        put_letters(&list, merges[i][0]);
        gw_str_puts(&list, "\",\"");
        put_letters(&list, merges[i][1]);
        gw_str_puts(&list, "\"]");
    }
    gw_str_printf(&s, "},\"merges\":[%s]}}", list.data);
    gw_str_free(&list);
    return save("toy", &s,
                "{\"bos_token\":\"<s>\",\"eos_token\":\"<|end|>\",\"pad_token\":\"<pad>\","
                "\"chat_template\":\"{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>"
                "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
                "{% if enable_thinking is defined and not enable_thinking %}!{% endif %}"
                "{% if tools %}[{{ tools[0].name }}]{% endif %}\"}");
}

const char *toy_byte_fallback(void) {
    struct gw_str s = {0};
    gw_str_puts(&s, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
    put_added(&s, 0, "<unk>", "true");
    put_added(&s, 1, "<s>", "true");
    put_added(&s, 2, "</s>", "true");
    gw_str_printf(
        &s,
        "],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
        "\"prepend\":\"\xE2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
        "\"content\":\"\xE2\x96\x81\"}]},\"pre_tokenizer\":null,\"post_processor\":%s,"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":"
        "{\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"
        "{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\","
        "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":true,"
        "\"byte_fallback\":true,\"ignore_merges\":false,\"vocab\":{\"<unk>\":0,\"<s>\":1,"
        "\"</s>\":2",
        template_processing);
    for (unsigned byte = 0; byte < 256; byte++)
        gw_str_printf(&s, ",\"<0x%02X>\":%u", byte, byte + LLAMA_BYTES);
    gw_str_printf(&s,
                  ",\"\xE2\x96\x81\":%d,\"a\":%d,\"b\":%d,\"ab\":%d,\"\xE2\x96\x81"
                  "a\":%d,\"c\":%d},\"merges\":[\"a b\",\"\xE2\x96\x81 a\"]}}",
                  LLAMA_TEXT, LLAMA_TEXT + 1, LLAMA_TEXT + 2, LLAMA_TEXT + 3, LLAMA_TEXT + 4,
                  LLAMA_TEXT + 5);
    return save("llama", &s, "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}");
}
