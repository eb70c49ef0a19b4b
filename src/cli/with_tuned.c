/* with_tuned.c - see with_tuned.h. */
#include "cli/with_tuned.h"

#include "base/file.h"

/* Key and file of this machine and model. */
static enum gwen_status find(const struct gw_runtime *rt, struct gw_str *key, struct gw_str *path,
                             struct gwen_err *err) {
    const char *dir = rt->cli->common.tune_dir;
    struct gw_str name = {0};
    if (dir == NULL) return gw_fail(err, GWEN_ERR_IO, "neither XDG_CACHE_HOME nor HOME is set");
    gw_tune_key(&rt->hw, &rt->kern, &rt->cfg, rt->dtype, rt->cli->common.threads, key);
    if (!key->failed) gw_tune_profile_name(&rt->cfg, rt->dtype, key->data, &name);
    enum gwen_status status = key->failed || name.failed ? gw_nomem(err, key->len, "the profile")
                                                         : gw_path_join(path, dir, name.data, err);
    gw_str_free(&name);
    return status;
}

static enum gwen_status read_profile(struct gw_runtime *rt, const char *key, const char *path,
                                     struct gwen_err *err) {
    struct gw_str text = {0};
    enum gwen_status status = gw_file_read(path, GW_TUNE_PROFILE_MAX_BYTES, &text, err);
    if (status == GWEN_OK)
        status = gw_tune_profile_parse(text.data != NULL ? text.data : "", text.len, path, key,
                                       &rt->profile, err);
    gw_str_free(&text);
    return status;
}

void gw_tuned_read(struct gw_runtime *rt) {
    const struct gw_log *log = &rt->cli->log;
    struct gw_str key = {0}, path = {0};
    struct gwen_err err;
    if (!rt->cli->common.no_tune && find(rt, &key, &path, &err) == GWEN_OK) {
        rt->is_tuned = false;
        if (!gw_file_exists(path.data)) {
            gw_log(log, GWEN_LOG_DEBUG, "not tuned: %s is not there", path.data);
        } else if (read_profile(rt, key.data, path.data, &err) == GWEN_OK) {
            rt->is_tuned = true;
            gw_log(log, GWEN_LOG_DEBUG, "tuned: %zu threads, %zu rows of prefill%s from %s",
                   rt->profile.threads, rt->profile.prefill_rows,
                   rt->profile.has_curve ? " and times of steps" : "", path.data);
        } else {
            gw_log(log, GWEN_LOG_WARNING, "%s; going on without what was tuned",
                   gw_cli_message(rt->cli, &err));
        }
    }
    gw_str_free(&key);
    gw_str_free(&path);
}

enum gwen_status gw_tuned_write(const struct gw_runtime *rt, const struct gw_tune_profile *profile,
                                struct gw_str *path, struct gwen_err *err) {
    struct gw_str key = {0}, text = {0};
    enum gwen_status status = find(rt, &key, path, err);
    if (status == GWEN_OK) status = gw_dir_make(rt->cli->common.tune_dir, err);
    if (status == GWEN_OK) {
        gw_tune_profile_put(profile, key.data, &text);
        status = text.failed ? gw_nomem(err, text.len, "the profile")
                             : gw_file_write(path->data, text.data, text.len, err);
    }
    gw_str_free(&key);
    gw_str_free(&text);
    return status;
}
