/* cache.h - verdicts that were given before, in an SQLite file.
 *
 * A verdict is known by a hash of all that it depends on (frame.c makes it).  Each is written by
 * itself as soon as there is one, in write-ahead mode: a process that is killed loses at most the
 * verdict that it was writing, and several may use one file.  Past the limit the ones that were
 * written first are dropped. */
#ifndef GW_SERVICE_JUDGE_CACHE_H
#define GW_SERVICE_JUDGE_CACHE_H

#include "base/base.h"

struct gw_judge_cache;

struct gw_judge_key {
    uint64_t word[2];
};

struct gw_judge_known {
    float grade;
    bool parsed;
};

/* Opens or makes the file; max_bytes 0: no limit.  A file that is something else, or damaged, is
 * refused: GWEN_ERR_FORMAT, which says what to do. */
enum gwen_status gw_judge_cache_open(const char *path, uint64_t max_bytes,
                                     struct gw_judge_cache **out, struct gwen_err *err);
void gw_judge_cache_close(struct gw_judge_cache *c); /* NULL is fine */
/* *found: there was one; a damaged one is as good as none. */
enum gwen_status gw_judge_cache_get(struct gw_judge_cache *c, struct gw_judge_key key,
                                    struct gw_judge_known *out, bool *found, struct gwen_err *err);
/* Adds a verdict, or replaces it. */
enum gwen_status gw_judge_cache_put(struct gw_judge_cache *c, struct gw_judge_key key,
                                    struct gw_judge_known verdict, struct gwen_err *err);

#endif
