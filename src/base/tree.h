/* tree.h - whole folders: having the disk hold them, and removing them.
 *
 * Symbolic links are never followed.  Folders nested deeper than GW_TREE_DEPTH are refused. */
#ifndef GW_TREE_H
#define GW_TREE_H

#include "base/base.h"

enum { GW_TREE_DEPTH = 16 };

/* fsyncs every regular file under `path`, then every folder, `path` itself included. */
enum gwen_status gw_tree_sync(const char *path, struct gwen_err *err);
/* Removes `path` and all that is under it; what is not there is fine. */
enum gwen_status gw_tree_remove(const char *path, struct gwen_err *err);
/* fsyncs one folder, so that the names in it stay. */
enum gwen_status gw_dir_sync(const char *path, struct gwen_err *err);
/* Bytes that may still be written to the file system of the folder `path`. */
enum gwen_status gw_dir_free_bytes(const char *path, uint64_t *bytes, struct gwen_err *err);

#endif
