/* tfevents.c - see tfevents.h. */
#include "service/record/tfevents.h"

#include <math.h>
#include <string.h>

/* --- checksums ------------------------------------------------------------------------------ */

/* Four bits at a time: the table is short, and a step's record is a few kilobytes. */
uint32_t gw_crc32c(const void *bytes, size_t len) {
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < len; i++) {
        crc ^= ((const unsigned char *)bytes)[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static uint32_t masked_crc(const void *bytes, size_t len) {
    uint32_t crc = gw_crc32c(bytes, len);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

/* --- writing -------------------------------------------------------------------------------- */

static void put_le(struct gw_str *s, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) gw_str_putc(s, (char)(v >> (8 * i) & 0xFF));
}

static void put_varint(struct gw_str *s, uint64_t v) {
    for (; v >= 0x80; v >>= 7) gw_str_putc(s, (char)(v | 0x80));
    gw_str_putc(s, (char)v);
}

static void put_double(struct gw_str *s, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_le(s, bits, 8);
}

static void put_float(struct gw_str *s, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_le(s, bits, 4);
}

/* A field whose content is bytes: strings and messages. */
static void put_bytes(struct gw_str *s, char tag, const char *bytes, size_t len) {
    gw_str_putc(s, tag);
    put_varint(s, len);
    gw_str_put(s, bytes, len);
}

static void put_record(struct gw_str *out, const struct gw_str *event) {
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)event->len >> (8 * i));
    if (event->failed) out->failed = true;
    gw_str_put(out, length, sizeof length);
    put_le(out, masked_crc(length, sizeof length), 4);
    gw_str_put(out, event->data, event->len);
    put_le(out, masked_crc(event->data, event->len), 4);
}

static void put_time(struct gw_str *event, double wall_time) {
    gw_str_putc(event, 0x09); /* field 1, 64 bits */
    put_double(event, wall_time);
}

void gw_tfevents_put_version(struct gw_str *out, double wall_time) {
    static const char version[] = "brain.Event:2";
    struct gw_str event = {0};
    put_time(&event, wall_time);
    put_bytes(&event, 0x1A, version, sizeof version - 1);
    put_record(out, &event);
    gw_str_free(&event);
}

void gw_tfevents_put_step(struct gw_str *out, uint64_t step, double wall_time,
                          const struct gw_metrics *m) {
    struct gw_str event = {0}, summary = {0}, value = {0};
    for (size_t i = 0; i < m->n; i++) {
        if (!isfinite((float)m->items[i].value)) continue;
        gw_str_clear(&value);
        put_bytes(&value, 0x0A, m->items[i].name, strlen(m->items[i].name));
        gw_str_putc(&value, 0x15); /* field 2, 32 bits */
        put_float(&value, (float)m->items[i].value);
        put_bytes(&summary, 0x0A, value.data, value.len);
    }
    put_time(&event, wall_time);
    gw_str_putc(&event, 0x10); /* field 2, varint */
    put_varint(&event, step);
    put_bytes(&event, 0x2A, summary.data, summary.len);
    event.failed |= summary.failed || value.failed;
    put_record(out, &event);
    gw_str_free(&event);
    gw_str_free(&summary);
    gw_str_free(&value);
}

/* --- reading back --------------------------------------------------------------------------- */

static uint64_t get_le(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static bool get_varint(const unsigned char *p, size_t len, size_t *at, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 64 && *at < len; shift += 7) {
        unsigned char c = p[(*at)++];
        *out |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80) return true;
    }
    return false;
}

/* Steps over the field that begins at p[*at], or takes note of it if it is the step. */
static bool get_field(const unsigned char *p, size_t len, size_t *at, uint64_t *step) {
    uint64_t key, value, skip;
    if (!get_varint(p, len, at, &key)) return false;
    switch (key & 7) {
    case 0:
        if (!get_varint(p, len, at, &value)) return false;
        if (key >> 3 == 2) *step = value;
        return true;
    case 1: skip = 8; break;
    case 2:
        if (!get_varint(p, len, at, &skip)) return false;
        break;
    case 5: skip = 4; break;
    default: return false;
    }
    if (skip > len - *at) return false;
    *at += skip;
    return true;
}

bool gw_tfevents_next(const unsigned char *bytes, size_t len, size_t *at, uint64_t *step) {
    size_t left = len - *at, field = 0;
    const unsigned char *p = bytes + *at;
    if (left < 16 || get_le(p + 8, 4) != masked_crc(p, 8)) return false;
    uint64_t n = get_le(p, 8);
    if (n > left - 16 || get_le(p + 12 + n, 4) != masked_crc(p + 12, n)) return false;
    uint64_t found = 0;
    while (field < n)
        if (!get_field(p + 12, n, &field, &found)) return false;
    *step = found;
    *at += 16 + n;
    return true;
}
