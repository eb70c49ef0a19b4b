/* file.h - reading, mapping and writing files; lines of JSONL.
 *
 * Paths are byte strings as the kernel takes them.  Every error names the path.  Small files are
 * written under a temporary name in the same folder, fsynced and renamed, so that a reader sees
 * the old content or the new, never a part. */
#ifndef GW_FILE_H
#define GW_FILE_H

#include "base/base.h"
#include "base/str.h"

/* --- whole files ---------------------------------------------------------------------------- */

/* Appends the content of `path` to *out.  A file of more than `max_bytes`, a directory or a file
 * that cannot be read is an error, and so is a pipe with a name, which might never end; one that
 * the process was given under /dev or /proc is read to its end (same limit), and so are devices. */
enum gwen_status gw_file_read(const char *path, size_t max_bytes, struct gw_str *out,
                              struct gwen_err *err);
/* Replaces `path` by the given bytes: temporary file, fsync, rename, fsync of the folder.  On
 * failure the old file is untouched and no temporary file stays behind. */
enum gwen_status gw_file_write(const char *path, const void *bytes, size_t len,
                               struct gwen_err *err);
/* Copies a regular file, atomically as gw_file_write does, without holding it in memory. */
enum gwen_status gw_file_copy(const char *from, const char *to, struct gwen_err *err);

/* --- mapped files --------------------------------------------------------------------------- */

/* A file mapped read-only.  If another process cuts the file short while it is mapped, touching
 * the lost pages raises SIGBUS: the kernel offers no other way, and guarding against it would
 * need a signal handler, which a library must not install.  Files replaced by rename (as
 * gw_file_write does) are safe: the mapping keeps the old one. */
struct gw_map {
    const unsigned char *data; /* NULL when the file is empty */
    size_t size;               /* bytes, fixed when the file was opened */
    void *base;                /* what was mapped, and how much of it: */
    size_t base_size;          /* the file itself, or anonymous memory around a copy */
};
/* Maps the regular file `path`; *map is zeroed on failure. */
enum gwen_status gw_map_open(const char *path, struct gw_map *map, struct gwen_err *err);
/* Instead of mapping, reads the file into memory in such a way that the address of its byte
 * `aligned` is a multiple of 64: for formats that may put numbers at odd offsets. */
enum gwen_status gw_map_read(const char *path, size_t aligned, struct gw_map *map,
                             struct gwen_err *err);
/* Unmaps; a zeroed or closed map is fine. */
void gw_map_close(struct gw_map *map);
/* Says that bytes [offset, offset + len) will not be read again: whole pages inside the range
 * leave memory.  What they then hold is undefined. */
void gw_map_release(const struct gw_map *map, size_t offset, size_t len);

/* --- atomic output, piece by piece ---------------------------------------------------------- */

/* Writes bytes at *end of an open file, where it ends, and moves *end behind them: wholly, or (the
 * disk is full) not at all.  What is left if the file cannot be cut back either lies behind *end.
 */
enum gwen_status gw_append(int fd, const char *path, const char *bytes, size_t len, uint64_t *end,
                           struct gwen_err *err);

struct gw_out; /* a file being written under a temporary name */

/* Opens a temporary file beside `path`.  End with gw_out_commit or gw_out_abort. */
enum gwen_status gw_out_open(const char *path, struct gw_out **out, struct gwen_err *err);
/* Appends bytes (buffered).  After a failure only gw_out_abort makes sense. */
enum gwen_status gw_out_write(struct gw_out *out, const void *bytes, size_t len,
                              struct gwen_err *err);
/* Flushes, fsyncs, renames onto the final name, fsyncs the folder and frees *out.  On failure
 * the temporary file is removed and *out freed as well. */
enum gwen_status gw_out_commit(struct gw_out *out, struct gwen_err *err);
/* Removes the temporary file and frees *out; NULL is fine. */
void gw_out_abort(struct gw_out *out);

/* --- folders and paths ---------------------------------------------------------------------- */

/* Whether there is a regular file (links followed).  Something else of that name is an error, and
 * so is not to know (no permission, a disk that fails): that is never taken for "not there". */
enum gwen_status gw_file_find(const char *path, bool *found, struct gwen_err *err);
/* Whether there is a directory (links followed); not to know is an error. */
enum gwen_status gw_dir_find(const char *path, bool *found, struct gwen_err *err);
/* For messages and other things that no result depends on. */
bool gw_file_exists(const char *path); /* a regular file (links followed) */
bool gw_dir_exists(const char *path);  /* a directory (links followed) */
/* mkdir -p: makes the directory and its missing parents (mode 0777 less umask). */
enum gwen_status gw_dir_make(const char *path, struct gwen_err *err);
/* Sets *out to dir/name ("/" not doubled; an empty dir gives name; an absolute name stays). */
enum gwen_status gw_path_join(struct gw_str *out, const char *dir, const char *name,
                              struct gwen_err *err);
/* The part after the last '/'; points into `path`. */
const char *gw_path_base(const char *path);

/* --- lines ---------------------------------------------------------------------------------- */

/* What a line may hold at most where it is a row of data: a prompt, a text. */
enum { GW_ROW_MAX_BYTES = 64 << 20 };

struct gw_lines; /* a reader of lines: NULs are kept, the last line may lack its newline */

struct gw_line {
    const char *text; /* without the newline; a NUL follows it; valid until the next call */
    size_t len;
    uint64_t number; /* 1-based */
    uint64_t offset; /* byte offset of the line in the input */
};

/* Opens `path` for reading lines of at most `max_line` bytes each. */
enum gwen_status gw_lines_open(const char *path, size_t max_line, struct gw_lines **out,
                               struct gwen_err *err);
/* The same over a descriptor (stdin), which stays open; `name` is for messages. */
enum gwen_status gw_lines_open_fd(int fd, const char *name, size_t max_line, struct gw_lines **out,
                                  struct gwen_err *err);
/* The next line.  *more is false, and *line untouched, at the end.  A longer line than allowed is
 * GWEN_ERR_FORMAT naming file and line.  GWEN_ERR_CANCELLED when a signal handler ran while the
 * descriptor was waited for (and does not restart system calls): calling again goes on. */
enum gwen_status gw_lines_next(struct gw_lines *r, struct gw_line *line, bool *more,
                               struct gwen_err *err);
/* The name given at opening, for messages. */
const char *gw_lines_name(const struct gw_lines *r);
/* How many lines have begun and ended before the next byte. */
uint64_t gw_lines_number(const struct gw_lines *r);
/* Between lines, a reader may be used byte by byte: the next one, -1 at the end (errors as of
 * gw_lines_next), and a step over it. */
enum gwen_status gw_lines_peek(struct gw_lines *r, int *c, struct gwen_err *err);
void gw_lines_skip(struct gw_lines *r);
/* Steps over a byte order mark, if one comes next. */
enum gwen_status gw_lines_skip_mark(struct gw_lines *r, struct gwen_err *err);
/* Before anything is read: input that is gzip's is decompressed, member
 * after member; damaged or cut off gzip is GWEN_ERR_FORMAT. */
enum gwen_status gw_lines_unzip(struct gw_lines *r, struct gwen_err *err);
void gw_lines_close(struct gw_lines *r); /* NULL is fine */

#endif
