/* fuzz_bpe_encode.c - any text through two small tokenizers.  The first byte chooses flags; the
 * rest is the text.  Byte-level BPE must give the text back, byte fallback too, apart from the mark
 * it reads as a space. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ADDED(id, content, flags)                                                                  \
    "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false," flags "}"
#define PLAIN "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":false"
#define SPECIAL "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true"

static const char byte_level[] = "\"added_tokens\":[" ADDED(0, "<|end|>", SPECIAL) "," ADDED(
    0, "<think>", PLAIN) "],"
                         "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_"
                         "prefix_space\":false,"
                         "\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":null,"
                         "\"decoder\":{\"type\":\"ByteLevel\"}";
static const char byte_fallback[] = "\"added_tokens\":[" ADDED(0, "<|end|>", SPECIAL) "," ADDED(
    0, "<think>",
    PLAIN) "],"
           "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
           "\"prepend\":"
           "\"\xE2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
           "\"\xE2\x96\x81\"}]},\"pre_tokenizer\":null,\"post_processor\":null,"
           "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
           "\"String\":"
           "\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
           "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}";

/* A tokenizer with all single bytes and a few merges. */
static struct gw_tokenizer *make(const char *stages, bool letters) {
    struct gw_str s = {0}, name = {0};
    gw_str_printf(&s,
                  "{\"version\":\"1.0\",%s,\"model\":{\"type\":\"BPE\",\"byte_fallback\":%s,"
                  "\"vocab\":{",
                  stages, letters ? "false" : "true");
    for (unsigned b = 0; b < 256; b++) {
        gw_str_clear(&name);
        if (letters)
            gw_str_put_utf8(&name, gw_byte_to_letter((uint8_t)b));
        else
            gw_str_printf(&name, "<0x%02X>", b);
        gw_str_put_json(&s, name.data, name.len);
        gw_str_printf(&s, ":%u,", b);
    }
    gw_str_puts(&s, letters ? "\"ab\":256,\"bc\":257,\"abc\":258,\"aa\":259,\"aaa\":260},"
                              "\"merges\":[\"b c\",\"a b\",\"a bc\",\"a a\",\"aa a\"]}}"
                            : "\"\xE2\x96\x81\":256,\"a\":257,\"b\":258,\"ab\":259,"
                              "\"\xE2\x96\x81"
                              "a\":260},"
                              "\"merges\":[\"a b\",\"\xE2\x96\x81 a\"]}}");
    struct gw_tokenizer *t;
    struct gwen_err err;
    if (s.failed || gw_tokenizer_load_memory(s.data, s.len, "built in", &t, &err) != GWEN_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    gw_str_free(&s);
    gw_str_free(&name);
    return t;
}

static void check(const struct gw_tokenizer *t, const char *text, size_t len, unsigned flags,
                  bool marks) {
    struct gw_ids ids = {0};
    struct gw_str back = {0}, want = {0};
    struct gwen_err err;
    enum gwen_status status = gw_tokenizer_encode(t, text, len, flags, &ids, &err);
    if (status != GWEN_OK) {
        if (gw_utf8_is_valid(text, len)) abort();
        gw_ids_free(&ids);
        return;
    }
    if (!gw_utf8_is_valid(text, len)) abort();
    if (gw_tokenizer_decode(t, ids.data, ids.len, false, &back, &err) != GWEN_OK) abort();
    for (size_t i = 0; i < len; i++) {
        bool mark = marks && len - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0;
        gw_str_putc(&want, mark ? ' ' : text[i]);
        if (mark) i += 2;
    }
    /* with marks, a space is put in front of every stretch between added tokens */
    bool comparable = !marks || (memchr(text, '<', len) == NULL);
    if (comparable &&
        (back.len != want.len || (want.len > 0 && memcmp(back.data, want.data, want.len) != 0)))
        abort();
    gw_ids_free(&ids);
    gw_str_free(&back);
    gw_str_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct gw_tokenizer *letters, *bytes;
    if (letters == NULL) letters = make(byte_level, true);
    if (bytes == NULL) bytes = make(byte_fallback, false);
    if (size == 0) return 0;
    unsigned flags = data[0] & 3;
    check(letters, (const char *)data + 1, size - 1, flags, false);
    check(bytes, (const char *)data + 1, size - 1, flags, true);
    return 0;
}
