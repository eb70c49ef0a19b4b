/* parse.c - the command line: which option stands where.  The rows are in option.c, what a value
 * may be in value.c.
 *
 * The line is walked twice: first for -h, --config and --set, then, after those have been
 * applied, for everything else, which therefore wins. */
#include "cli/cli.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct gw_option *find_letter(const struct gw_cli *cli, char letter, size_t *slot) {
    const struct gw_option *o;
    for (size_t i = 0; (o = gw_option_at(cli, i)) != NULL; i++) {
        if (o->letter != letter) continue;
        *slot = i;
        return o;
    }
    return NULL;
}

/* --- one walk over the line ----------------------------------------------------------------- */

struct walk {
    int argc, at;
    char **argv;
    bool first; /* only -h, --config and --set are applied */
};

static bool is_early(const struct gw_cli *cli, const struct gw_option *o) {
    return o->value == &cli->help || o->value == &cli->config || o->value == &cli->sets;
}

/* A flag that says what it has said before. */
static bool is_same_flag(const struct gw_option *o, const char *text) {
    bool on;
    return o->kind == GW_OPTION_FLAG && gw_parse_flag(text, &on) && on == *(const bool *)o->value;
}

/* An option of one value stands once on the line: the other would be dropped without a word. */
static bool apply(struct gw_cli *cli, const struct walk *w, size_t slot, const char *where,
                  const char *value) {
    const struct gw_option *o = gw_option_at(cli, slot);
    if (is_early(cli, o) != w->first) return true;
    if (cli->given[slot] != GW_SOURCE_LINE || o->kind == GW_OPTION_WORDS || is_same_flag(o, value))
        return gw_option_set(cli, slot, where, value);
    gw_cli_usage(cli, "%s is given twice, but takes one value", where);
    return false;
}

/* A word that can only be meant as the flag's value: no command takes an argument of that name. */
static bool is_flag_value(const char *word) {
    bool value;
    return gw_parse_flag(word, &value);
}

/* --name, --name VALUE or --name=VALUE; of flags only true and false are taken for VALUE. */
static bool take_long(struct gw_cli *cli, struct walk *w, const char *word) {
    const char *equals = strchr(word, '=');
    size_t slot, len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    char where[80];
    snprintf(where, sizeof where, "--%.*s", (int)GW_MIN(len, (size_t)60), word);
    const struct gw_option *o = gw_option_find(cli, word, len, &slot);
    if (o == NULL) {
        gw_cli_usage(cli, "unknown option %s%s", where, gw_foreign_hint(cli, word, len));
        return false;
    }
    const char *value = equals != NULL ? equals + 1 : "true";
    if (equals == NULL && o->arg != NULL) {
        if (w->at == w->argc) {
            gw_cli_usage(cli, "%s needs a value (%s)", where, o->arg);
            return false;
        }
        value = w->argv[w->at++];
    } else if (equals == NULL && w->at < w->argc && is_flag_value(w->argv[w->at])) {
        value = w->argv[w->at++];
    }
    return apply(cli, w, slot, where, value);
}

/* -x VALUE, -xVALUE, or several flags in one word. */
static bool take_short(struct gw_cli *cli, struct walk *w, const char *letters) {
    for (; *letters != '\0'; letters++) {
        size_t slot;
        const struct gw_option *o = find_letter(cli, *letters, &slot);
        char where[4] = {'-', *letters, '\0'};
        if (o == NULL) {
            gw_cli_usage(cli, "unknown option %s", where);
            return false;
        }
        if (o->kind == GW_OPTION_FLAG) {
            if (!apply(cli, w, slot, where, "true")) return false;
            continue;
        }
        if (letters[1] == '\0' && w->at == w->argc) {
            gw_cli_usage(cli, "%s needs a value (%s)", where, o->arg);
            return false;
        }
        return apply(cli, w, slot, where, letters[1] != '\0' ? letters + 1 : w->argv[w->at++]);
    }
    return true;
}

static bool walk_line(struct gw_cli *cli, int argc, char **argv, bool first) {
    struct walk w = {.argc = argc, .at = 1, .argv = argv, .first = first};
    bool only_args = false;
    cli->source = GW_SOURCE_LINE;
    cli->n_args = 0;
    while (w.at < argc) {
        const char *word = argv[w.at++];
        bool ok = true;
        if (only_args || word[0] != '-' || word[1] == '\0')
            cli->args[cli->n_args++] = word;
        else if (strcmp(word, "--") == 0)
            only_args = true;
        else if (word[1] == '-')
            ok = take_long(cli, &w, word + 2);
        else
            ok = take_short(cli, &w, word + 1);
        if (!ok) return false;
    }
    if (cli->n_args <= cli->spec->max_args) return true;
    gw_cli_usage(cli, "unexpected argument \"%s\"", cli->args[cli->spec->max_args]);
    return false;
}

static bool apply_sets(struct gw_cli *cli) {
    cli->source = GW_SOURCE_SET;
    for (size_t i = 0; i < cli->sets.n; i++) {
        const char *word = cli->sets.items[i], *equals = strchr(word, '=');
        size_t slot, len = equals != NULL ? (size_t)(equals - word) : 0;
        if (len == 0) {
            gw_cli_usage(cli, "--set %s: expected KEY=VALUE", word);
            return false;
        }
        char where[80];
        snprintf(where, sizeof where, "--set %.*s", (int)GW_MIN(len, (size_t)60), word);
        const struct gw_option *o = gw_option_find(cli, word, len, &slot);
        if (o == NULL || is_early(cli, o)) {
            gw_cli_usage(cli, "%s: there is no such option%s", where,
                         o != NULL ? "" : gw_foreign_hint(cli, word, len));
            return false;
        }
        if (!gw_option_set(cli, slot, where, equals + 1)) return false;
    }
    return true;
}

/* --- the environment ------------------------------------------------------------------------ */

/* The names of this processor family's levels, and `name`'s among them. */
static bool parse_isa(const char *name, enum gwen_isa *isa, struct gw_str *names) {
#if defined(__aarch64__)
    const enum gwen_isa levels[] = {GWEN_ISA_REF, GWEN_ISA_NEON, GWEN_ISA_NEONFP16,
                                    GWEN_ISA_NEONBF16};
#else
    const enum gwen_isa levels[] = {GWEN_ISA_REF, GWEN_ISA_AVX2, GWEN_ISA_AVX512,
                                    GWEN_ISA_AVX512BF16};
#endif
    bool found = false;
    for (size_t i = 0; i < GW_ARRAY_LEN(levels); i++) {
        gw_str_printf(names, "%s%s", i == 0 ? "" : ", ", gwen_isa_name(levels[i]));
        if (strcmp(name, gwen_isa_name(levels[i])) != 0) continue;
        *isa = levels[i];
        found = true;
    }
    return found;
}

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *join(struct gw_cli *cli, const char *a, const char *b) {
    size_t bytes = strlen(a) + strlen(b) + 1;
    char *path = gw_cli_alloc(cli, bytes);
    snprintf(path, bytes, "%s%s", a, b);
    return path;
}

/* As huggingface_hub looks for its cache. */
static const char *find_cache(struct gw_cli *cli) {
    const char *value;
    if ((value = env("HF_HUB_CACHE")) != NULL) return value;
    if ((value = env("HF_HOME")) != NULL) return join(cli, value, "/hub");
    if ((value = env("XDG_CACHE_HOME")) != NULL) return join(cli, value, "/huggingface/hub");
    if ((value = env("HOME")) != NULL) return join(cli, value, "/.cache/huggingface/hub");
    return NULL;
}

/* Where `tune` keeps what it found.  Relative paths of this variable are to be ignored, says the
 * XDG Base Directory Specification. */
static const char *find_tune_dir(struct gw_cli *cli) {
    const char *value;
    if ((value = env("XDG_CACHE_HOME")) != NULL && value[0] == '/')
        return join(cli, value, "/gwen-cpu/tune");
    if ((value = env("HOME")) != NULL) return join(cli, value, "/.cache/gwen-cpu/tune");
    return NULL;
}

static bool read_environment(struct gw_cli *cli) {
    const char *isa = env("GWEN_ISA");
    cli->common.isa_cap = GWEN_ISA_COUNT;
    cli->common.cache_root = find_cache(cli);
    cli->common.sysroot = env("GWEN_SYSROOT");
    cli->common.tune_dir = find_tune_dir(cli);
    if (isa == NULL) return true;
    struct gw_str names = {0};
    bool ok = parse_isa(isa, &cli->common.isa_cap, &names);
    if (!ok) gw_cli_usage(cli, "GWEN_ISA=%s: expected one of %s", isa, names.data);
    gw_str_free(&names);
    return ok;
}

static bool resolve_dtype(struct gw_cli *cli) {
    const char *text = cli->dtype_text, *from = "--dtype";
    if (!gw_cli_given(cli, "dtype")) {
        text = env("GWEN_DTYPE");
        from = "GWEN_DTYPE";
    }
    cli->common.dtype = GW_DTYPE_NONE;
    if (text == NULL || strcmp(text, "auto") == 0 || gw_dtype_parse(text, &cli->common.dtype))
        return true;
    gw_cli_usage(cli, "%s %s: expected auto, bf16, fp16 or fp32", from, text);
    return false;
}

/* --- all together --------------------------------------------------------------------------- */

static bool open_log(struct gw_cli *cli, int *code) {
    if (cli->log_path == NULL) return true;
    cli->log_file = fopen(cli->log_path, "ae");
    if (cli->log_file != NULL) return true;
    gw_cli_usage(cli, "--log-file %s: %s", cli->log_path, strerror(errno));
    *code = GW_EXIT_FAILED;
    return false;
}

static bool parse(struct gw_cli *cli, int argc, char **argv, int *code) {
    *code = GW_EXIT_USAGE;
    if (!walk_line(cli, argc, argv, true)) return false;
    if (cli->help) {
        gw_help_command(cli);
        *code = GW_EXIT_OK;
        return false;
    }
    if (cli->config != NULL && !gw_config_file_apply(cli, cli->config, code)) return false;
    if (!apply_sets(cli) || !walk_line(cli, argc, argv, false) || !resolve_dtype(cli)) return false;
    if (cli->common.adapter != NULL && cli->common.model == NULL) {
        gw_cli_usage(cli, "--adapter needs --model: the model that it is for");
        return false;
    }
    if (cli->spec->needs_model && cli->common.model == NULL) {
        gw_cli_usage(cli, "--model is needed: a model directory or a hub id");
        return false;
    }
    return open_log(cli, code);
}

bool gw_cli_parse(struct gw_cli *cli, const struct gw_cli_spec *spec, int argc, char **argv,
                  int *code) {
    cli->spec = spec;
    cli->n_kinds = 0;
    cli->args = gw_cli_alloc(cli, (size_t)argc * sizeof *cli->args);
    cli->given = gw_cli_alloc(cli, spec->n_options + GW_CLI_N_COMMON);
    gw_option_add_common(cli);
    if (cli->tell != NULL) {
        *code = GW_EXIT_OK;
        if (argc > 1)
            *code = gw_cli_usage(cli, "it has no kinds, so no \"%s\"", argv[1]);
        else
            cli->tell(cli);
        return false;
    }
    *code = GW_EXIT_USAGE;
    if (!read_environment(cli) || !parse(cli, argc, argv, code)) return false;
    cli->log.level = cli->common.verbose ? GWEN_LOG_DEBUG
                     : cli->common.quiet ? GWEN_LOG_WARNING
                                         : GWEN_LOG_INFO;
    gw_bar_init(&cli->bar, stderr, cli->common.quiet);
    return true;
}
