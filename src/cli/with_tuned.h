/* with_tuned.h - the profile that `tune` keeps: where it lies, and how commands take it up. */
#ifndef GW_CLI_WITH_TUNED_H
#define GW_CLI_WITH_TUNED_H

#include "cli/with_model.h"
#include "service/tune/profile.h"

/* Reads the profile of this machine and model into rt->profile, if there is one (rt->is_tuned). One
 * that cannot be used is left aside with a line. */
void gw_tuned_read(struct gw_runtime *rt);
/* Writes the profile; *path is where. */
enum gwen_status gw_tuned_write(const struct gw_runtime *rt, const struct gw_tune_profile *profile,
                                struct gw_str *path, struct gwen_err *err);

#endif
