/* decoder.h - the steps of a decoder of tokenizer.json, and what each does to one whole string. */
#ifndef GW_TOKENIZER_DECODER_H
#define GW_TOKENIZER_DECODER_H

#include "text/tokenizer/impl.h"

enum gw_decoder_kind {
    GW_DECODE_BYTE_LEVEL,
    GW_DECODE_REPLACE,
    GW_DECODE_BYTE_FALLBACK,
    GW_DECODE_FUSE,
    GW_DECODE_STRIP,
    GW_DECODE_METASPACE,
    GW_DECODE_BPE,
    GW_DECODE_SEQUENCE,
    GW_DECODE_JOIN /* without a decoder: spaces between the tokens */
};

struct gw_decoder {
    size_t n;
    struct gw_decoder_step {
        enum gw_decoder_kind kind;
        struct gw_regex *regex; /* Replace */
        char *content;          /* Replace; the suffix of BPEDecoder */
        size_t len;             /* of content */
        uint32_t c;             /* Strip, Metaspace */
        int64_t start, stop;    /* Strip: characters at most */
        bool prepend;           /* Metaspace: the first string loses its marks */
    } steps[GW_TOKEN_MAX_STEPS];
};

/* ByteLevel: appends the bytes that the letters of a token stand for, or the token itself if some
 * other character is among them. */
void gw_decode_letters(struct gw_str *out, const char *s, size_t len);
/* ByteFallback: the value of "<0xNN>", -1 for other strings.  As Rust's from_str_radix, "+N" is a
 * number. */
int gw_decode_byte(const char *s, size_t len);
/* Replace: appends s with every match replaced; `given` is how many bytes all tokens had that s was
 * made of, which bounds what it may become. */
enum gwen_status gw_decode_replace(const struct gw_decoder_step *step, struct gw_regex_run *run,
                                   const char *s, size_t len, size_t given, struct gw_str *out,
                                   struct gwen_err *err);
/* BPEDecoder: appends s with every suffix as a space, or as nothing. */
void gw_decode_suffix(const struct gw_decoder_step *step, const char *s, size_t len, bool space,
                      struct gw_str *out);
/* Strip: cuts up to start and stop characters c off the ends of a string; *s and *len become the
 * rest. */
void gw_decode_strip(const struct gw_decoder_step *step, const char **s, size_t *len);

#endif
