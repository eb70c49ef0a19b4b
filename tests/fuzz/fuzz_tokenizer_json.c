/* fuzz_tokenizer_json.c - tokenizer.json: what loads must encode and decode, and decoding id by id
 * must agree with decoding at once. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const struct gwen_err *err) {
    if (err->message[0] == 0 || strchr(err->message, '\n') != NULL) abort();
}

/* Both ways of decoding give the same text, or both fail. */
static void check_decode(const struct gw_tokenizer *t, const int32_t *ids, size_t n, bool skip) {
    struct gw_str whole = {0}, parts = {0}, bytes = {0};
    struct gw_decode_stream *stream = NULL;
    struct gwen_err err = {0};
    enum gwen_status at_once = gw_tokenizer_decode(t, ids, n, skip, &whole, &err);
    if (at_once != GWEN_OK) check_message(&err);
    enum gwen_status status = gw_decode_stream_new(t, skip, &stream, &err);
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        status = gw_decode_stream_push(stream, ids[i], &parts, &err);
        if (status == GWEN_OK) status = gw_tokenizer_token_bytes(t, ids[i], &bytes, &err);
    }
    if (status == GWEN_OK) status = gw_decode_stream_finish(stream, &parts, &err);
    if (status == GWEN_OK && at_once == GWEN_OK) {
        if (parts.len != whole.len) abort();
        if (whole.len > 0 && memcmp(parts.data, whole.data, whole.len) != 0) abort();
        if (!gw_utf8_is_valid(whole.data != NULL ? whole.data : "", whole.len)) abort();
    }
    gw_decode_stream_free(stream);
    gw_str_free(&whole);
    gw_str_free(&parts);
    gw_str_free(&bytes);
}

static void check_text(const struct gw_tokenizer *t, const char *text, unsigned flags) {
    struct gw_ids ids = {0};
    struct gwen_err err = {0};
    if (gw_tokenizer_encode(t, text, strlen(text), flags, &ids, &err) == GWEN_OK)
        check_decode(t, ids.data, ids.len, (flags & GW_ENCODE_ADD_SPECIAL) != 0);
    else
        check_message(&err);
    gw_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const texts[] = {"", " the  <s>abc\xC3\xA9\xCC\x81 12345's\n\n",
                                        "\xE2\x96\x81x</s>\xE4\xB8\xAD\xF0\x9F\x99\x82 <|x|> a"};
    struct gw_tokenizer *t;
    struct gwen_err err = {0};
    if (gw_tokenizer_load_memory((const char *)data, size, "fuzz", &t, &err) != GWEN_OK) {
        check_message(&err);
        return 0;
    }
    for (unsigned flags = 0; flags < 4; flags++)
        for (size_t i = 0; i < GW_ARRAY_LEN(texts); i++) check_text(t, texts[i], flags);
    int32_t ids[24];
    for (int32_t i = 0; i < 24; i++) ids[i] = i * 7 % 29 - 2;
    check_decode(t, ids, GW_ARRAY_LEN(ids), false);
    size_t len;
    for (int32_t id = -1; id < 30; id++) {
        const char *token = gw_tokenizer_token(t, id, &len);
        if (token != NULL && gw_tokenizer_id_of_token(t, token, len) < 0) abort();
        if (gw_tokenizer_is_special(t, id) && token == NULL) abort();
    }
    gw_tokenizer_free(t);
    return 0;
}
