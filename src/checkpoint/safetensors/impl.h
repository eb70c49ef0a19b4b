/* impl.h - what the files of this folder share. */
#ifndef GW_CHECKPOINT_SAFETENSORS_IMPL_H
#define GW_CHECKPOINT_SAFETENSORS_IMPL_H

#include "base/file.h"
#include "checkpoint/safetensors/safetensors.h"

enum { GW_ST_MAX_HEADER = 100 * 1000 * 1000 }; /* as the reference implementation */

/* One file: its bytes, and the strings of its header. */
struct gw_st_file {
    char *name;
    struct gw_map map;
    bool mapped;               /* map is ours to close */
    char *strings;             /* NUL-terminated names, keys and values, one after the other */
    size_t *meta;              /* offsets of key, value, key, value, ... in strings */
    size_t n_meta;             /* pairs */
    struct gw_tensor *tensors; /* in file order */
    size_t n_tensors;
};

/* A tensor and the file it is in. */
struct gw_st_ref {
    const struct gw_tensor *tensor;
    const struct gw_st_file *file;
};

struct gw_safetensors {
    char *path; /* for messages */
    struct gw_st_file *files;
    size_t n_files;
    struct gw_st_ref *by_name; /* sorted by name */
    struct gw_st_ref *in_order;
    size_t n_tensors;
};

/* --- show.c --------------------------------------------------------------------------------- */

/* Writes "[a, b]" for messages. */
void gw_st_show_shape(size_t rank, const size_t *shape, char *buf, size_t cap);
/* A name from a file for a one-line message: at most 200 bytes, '?' for what is no printable
 * UTF-8.  Used as gw_st_show(name).text. */
struct gw_st_shown {
    char text[201];
};
struct gw_st_shown gw_st_show(const char *name);
/* --- header.c ------------------------------------------------------------------------------- */

/* Length of the header of bytes[0..size), checked against the limits; `name` is for messages. */
enum gwen_status gw_st_header_len(const unsigned char *bytes, size_t size, const char *name,
                                  size_t *len, struct gwen_err *err);
/* Parses and checks the header of f->map and fills the rest of *f (freed by gw_st_file_free, also
 * after a failure). */
enum gwen_status gw_st_parse_header(struct gw_st_file *f, struct gwen_err *err);
void gw_st_file_free(struct gw_st_file *f);
/* --- safetensors.c -------------------------------------------------------------------------- */

/* The place of a name in st->by_name, NULL when there is no such tensor. */
const struct gw_st_ref *gw_st_lookup(const struct gw_safetensors *st, const char *name);
/* The same for a name of the state dict, in whichever of its forms the files have it (see
 * gw_safetensors_find). */
const struct gw_st_ref *gw_st_resolve(const struct gw_safetensors *st, const char *name);

#endif
