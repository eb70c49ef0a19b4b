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

/* The nearest of the names that were held against a mistyped one. */
struct nearest {
    char given[64];
    const char *name; /* NULL: none is near enough to be meant */
    size_t distance;
};

static struct nearest nearest_to(const char *name, size_t len) {
    struct nearest to = {.distance = len / 3 + 2};
    if (len < sizeof to.given) memcpy(to.given, name, len);
    return to;
}

static void hold_against(struct nearest *to, const char *name) {
    const size_t distance = gw_edit_distance(name, to->given);
    if (distance >= to->distance) return;
    to->distance = distance;
    to->name = name;
}

static const char *hint(struct gw_cli *cli, const struct nearest *to, size_t shortest) {
    if (to->name == NULL || strlen(to->given) < shortest) return "";
    const size_t bytes = strlen(to->name) + 32;
    char *text = gw_cli_alloc(cli, bytes);
    snprintf(text, bytes, " (did you mean %s?)", to->name);
    return text;
}

const char *gw_option_hint(struct gw_cli *cli, const char *name, size_t len) {
    struct nearest to = nearest_to(name, len);
    const struct gw_option *o;
    for (size_t i = 0; (o = gw_option_at(cli, i)) != NULL; i++) hold_against(&to, o->name);
    return hint(cli, &to, 4);
}

const char *gw_command_hint(struct gw_cli *cli, const struct gw_command *commands, size_t n,
                            const char *name) {
    struct nearest to = nearest_to(name, strlen(name));
    for (size_t i = 0; i < n; i++) hold_against(&to, commands[i].name);
    return hint(cli, &to, 3);
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

void gw_option_add_common(struct gw_cli *cli) {
    struct gw_common *c = &cli->common;
    const struct gw_option rows[GW_CLI_N_COMMON] = {
        GW_OPT_STRING("model", 'm', &c->model, "DIR",
                      "model directory, or a hub id in the local Hugging Face cache"),
        GW_OPT_STRING("dtype", 0, &cli->dtype_text, "auto|bf16|fp16|fp32",
                      "data type of weights and KV cache; auto: that of the checkpoint, but bf16 "
                      "instead of fp32"),
        GW_OPT_AUTO("threads", 't', &c->threads, 1, 1024, "number of threads"),
        GW_OPT_CHOICE("bind", 0, &c->bind, "node|core|none",
                      "pin each thread to its NUMA node, to one core, or not at all"),
        GW_OPT_BYTES("memory", 0, &c->memory,
                     "memory limit, such as 12G (default: what "
                     "the machine has free)"),
        GW_OPT_U64("seed", 0, &c->seed, "seed of every random draw"),
        GW_OPT_STRING("config", 0, &cli->config, "FILE.json",
                      "read options from a JSON file, {\"option\": value, ...}"),
        GW_OPT_WORDS("set", 0, &cli->sets, "KEY=VALUE",
                     "set one option, as --config does; repeatable"),
        GW_OPT_FLAG("no-tune", 0, &c->no_tune, "do not use the settings that tune has stored"),
        GW_OPT_FLAG("json", 0, &c->json, "print JSON for programs instead of text"),
        GW_OPT_FLAG("quiet", 'q', &c->quiet, "print errors and warnings only"),
        GW_OPT_FLAG("verbose", 'v', &c->verbose, "print more: which settings were chosen, and why"),
        GW_OPT_STRING("log-file", 0, &cli->log_path, "FILE",
                      "add every message to this file too, with its time"),
        GW_OPT_FLAG("help", 'h', &cli->help, "print this text"),
    };
    cli->dtype_text = "auto";
    memcpy(cli->common_options, rows, sizeof rows);
}
