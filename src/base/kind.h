/* kind.h - what a file is, for messages about one that is not what was wanted. */
#ifndef GW_KIND_H
#define GW_KIND_H

#include "base/base.h"

enum gw_kind {
    GW_KIND_UNKNOWN, /* nothing known, or cannot be read */
    GW_KIND_ABSENT,
    GW_KIND_FOLDER,
    GW_KIND_PARQUET,
    GW_KIND_ARROW,
    GW_KIND_GGUF,
    GW_KIND_ZIP, /* torch.save's files too */
    GW_KINDS
};

/* Looks at the path and at the first bytes of a regular file; pipes and devices are not read. */
enum gw_kind gw_kind_of(const char *path);
/* "a Parquet file", "a folder", ...; a static string. */
const char *gw_kind_name(enum gw_kind kind);

#endif
