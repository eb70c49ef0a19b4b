/* option.c - the rows of a command's table and the common ones after them: which row has a name. */
#include "cli/cli.h"

#include "base/parse.h"

#include <stdio.h>
#include <string.h>

const struct gw_option *gw_option_at(const struct gw_cli *cli, size_t slot) {
    size_t n = cli->spec->n_options;
    if (slot < n) return &cli->spec->options[slot];
    return slot - n < GW_CLI_N_COMMON ? &cli->common_options[slot - n] : NULL;
}

static bool is_dash(char c) { return c == '-' || c == '_'; }

static bool same_name(const char *option, const char *name, size_t len) {
    if (strlen(option) != len) return false;
    for (size_t i = 0; i < len; i++)
        if (option[i] != name[i] && !(is_dash(option[i]) && is_dash(name[i]))) return false;
    return true;
}

const struct gw_option *gw_option_find(const struct gw_cli *cli, const char *name, size_t len,
                                       size_t *slot) {
    const struct gw_option *o;
    for (size_t i = 0; (o = gw_option_at(cli, i)) != NULL; i++) {
        if (!same_name(o->name, name, len)) continue;
        *slot = i;
        return o;
    }
    return NULL;
}

const char *gw_option_hint(struct gw_cli *cli, const char *name, size_t len) {
    enum { LONGEST = 63 };
    const struct gw_option *o, *nearest = NULL;
    size_t least = len / 3 + 1; /* further away is not meant */
    char given[LONGEST + 1];
    if (len > LONGEST) return "";
    memcpy(given, name, len);
    given[len] = '\0';
    for (size_t i = 0; (o = gw_option_at(cli, i)) != NULL; i++) {
        size_t d = gw_edit_distance(o->name, given);
        if (d > least || (d == least && nearest != NULL)) continue;
        least = d;
        nearest = o;
    }
    if (nearest == NULL || len < 4) return "";
    size_t bytes = strlen(nearest->name) + 32;
    char *hint = gw_cli_alloc(cli, bytes);
    snprintf(hint, bytes, " (did you mean %s?)", nearest->name);
    return hint;
}

bool gw_option_hidden(const struct gw_cli *cli, const struct gw_option *o) {
    size_t slot;
    return gw_option_find(cli, o->name, strlen(o->name), &slot) != o;
}

bool gw_cli_given(const struct gw_cli *cli, const char *name) {
    size_t slot;
    return gw_option_find(cli, name, strlen(name), &slot) != NULL &&
           cli->given[slot] != GW_SOURCE_DEFAULT;
}
