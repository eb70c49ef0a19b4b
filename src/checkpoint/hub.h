/* hub.h - from what --model says to a directory. */
#ifndef GW_CHECKPOINT_HUB_H
#define GW_CHECKPOINT_HUB_H

#include "base/base.h"
#include "base/str.h"

/* Sets *dir to the directory of model `spec`: a directory that exists, or a hub id such as
 * Qwen/Qwen3-0.6B (an @revision may follow) whose snapshot lies in the Hugging Face cache
 * `cache_root` (the folder that holds models--*; NULL: no cache is known).  The library reads no
 * environment: the caller passes HF_HUB_CACHE, else HF_HOME/hub, else the default place.  A
 * missing model gives an error with the command that downloads it. */
enum gwen_status gw_hub_resolve(const char *spec, const char *cache_root, struct gw_str *dir,
                                struct gwen_err *err);
/* Whether the text could be a hub id, ORG/NAME or NAME: what ends like a data file is none. */
bool gw_hub_is_id(const char *text);
/* Refuses a folder that holds a model in a format that is not read; others are left to whoever
 * reads them. */
enum gwen_status gw_hub_check_folder(const char *dir, struct gwen_err *err);

#endif
