/* file.h - a rollout's output file, of which nothing finished is lost.
 *
 *     FILE.part   line 1: {"gwen_part":2, ...}   what the rows depend on
 *                 then rows as they are finished, in any order, each in one write, each with a
 *                 checksum as its last member
 *     FILE        the rows ordered by (prompt, sample); comes into being whole, at the end
 *
 * A process may be killed at any moment: a torn last line is dropped when the run is resumed, a
 * row that does not have its checksum is passed over, and the samples that are there are not drawn
 * a second time.  Since a sample depends on its key alone, FILE has the same bytes however often
 * the run was interrupted.  Rows are fsynced every few seconds, so that even a power cut costs
 * little.  The part file is locked while it is written.
 */
#ifndef GW_SERVICE_ROLLOUT_FILE_H
#define GW_SERVICE_ROLLOUT_FILE_H

#include "base/log.h"

/* Something that rows depend on, for the first line. */
struct gw_part_field {
    const char *name;  /* as a person would call it: "seed", "numeric class" */
    const char *value; /* valid UTF-8 */
};

enum gw_part_mode {
    GW_PART_NEW,      /* a part file that is there already is an error */
    GW_PART_RESUME,   /* continue it if it is there; another first line is an error */
    GW_PART_OVERWRITE /* throw it away */
};

struct gw_rollout_file;

/* Opens PATH.part for rows (prompt, sample), prompt < n_prompts, sample < groups.  What a resumed
 * file holds and what was dropped is logged. */
enum gwen_status gw_rollout_file_open(const char *path, enum gw_part_mode mode,
                                      const struct gw_part_field *fields, size_t n_fields,
                                      size_t n_prompts, size_t groups, const struct gw_log *log,
                                      struct gw_rollout_file **out, struct gwen_err *err);
/* Whether the row is there. */
bool gw_rollout_file_has(const struct gw_rollout_file *f, size_t prompt, size_t sample);
size_t gw_rollout_file_count(const struct gw_rollout_file *f);
/* Appends a row as made by gw_rollout_put_row, newline included.  When the disk is full or the
 * write fails otherwise, the part file is left as it was before. */
enum gwen_status gw_rollout_file_append(struct gw_rollout_file *f, size_t prompt, size_t sample,
                                        const char *row, size_t len, struct gwen_err *err);
/* Once all rows are there: writes FILE and removes the part file. */
enum gwen_status gw_rollout_file_finish(struct gw_rollout_file *f, struct gwen_err *err);
/* Syncs what was written, closes the part file, which stays unless finish removed it, and frees
 * *f; NULL is fine. */
void gw_rollout_file_close(struct gw_rollout_file *f);

#endif
