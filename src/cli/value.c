/* value.c - from the text of an option's value to its variable, and back for -h. */
#include "cli/cli.h"

#include "base/parse.h"
#include "service/train/config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1073741824, 1G, 1.5G, 1GiB, 1GB: powers of 1024 whatever the spelling. */
static bool parse_bytes(const char *text, uint64_t *out) {
    const char *units = "KMGT";
    char number[40];
    size_t digits = strspn(text, "0123456789.");
    if (digits == 0 || digits >= sizeof number) return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    const char *suffix = text + digits;
    double scale = 1, value;
    if (*suffix != '\0' && *suffix != 'B') {
        char letter = *suffix >= 'a' ? (char)(*suffix - 'a' + 'A') : *suffix;
        const char *unit = strchr(units, letter);
        if (unit == NULL) return false;
        scale = pow(1024, (double)(unit - units + 1));
        suffix++;
        if (*suffix == 'i') suffix++;
    }
    if (*suffix == 'B') suffix++;
    if (*suffix != '\0' || !gw_parse_real(number, &value)) return false;
    value *= scale;
    if (value < 1 || value > 0x1p62) return false;
    *out = (uint64_t)value;
    return true;
}

static bool in_range(const struct gw_option *o, double value) {
    return value >= o->min && value <= o->max;
}

static bool parse_count(const struct gw_option *o, const char *text, size_t *out) {
    uint64_t value;
    if (!gw_parse_u64(text, &value) || value > SIZE_MAX || !in_range(o, (double)value))
        return false;
    *out = (size_t)value;
    return true;
}

static bool parse_counts(struct gw_cli *cli, const struct gw_option *o, const char *text) {
    struct gw_counts *list = o->value;
    size_t n = 1;
    for (const char *c = text; *c != '\0'; c++) n += *c == ',';
    list->items = gw_cli_alloc(cli, n * sizeof *list->items);
    list->n = 0;
    for (const char *c = text; list->n < n; list->n++) {
        char item[32];
        size_t len = strcspn(c, ",");
        if (len >= sizeof item) return false;
        memcpy(item, c, len);
        item[len] = '\0';
        if (!parse_count(o, item, &list->items[list->n])) return false;
        c += len + 1;
    }
    return true;
}

static void add_word(struct gw_cli *cli, struct gw_words *words, const char *text) {
    const char **items = gw_cli_alloc(cli, (words->n + 1) * sizeof *items);
    if (words->n > 0) memcpy(items, words->items, words->n * sizeof *items);
    items[words->n] = text;
    *words = (struct gw_words){items, words->n + 1};
}

static bool parse_value(struct gw_cli *cli, const struct gw_option *o, const char *text) {
    switch (o->kind) {
    case GW_OPTION_FLAG: return gw_parse_flag(text, o->value);
    case GW_OPTION_STRING: *(const char **)o->value = text; return true;
    case GW_OPTION_WORDS: add_word(cli, o->value, text); return true;
    case GW_OPTION_BYTES: return parse_bytes(text, o->value);
    case GW_OPTION_COUNT: return parse_count(o, text, o->value);
    case GW_OPTION_AUTO:
        if (strcmp(text, "auto") != 0) return parse_count(o, text, o->value);
        *(size_t *)o->value = 0;
        return true;
    case GW_OPTION_COUNTS: return parse_counts(cli, o, text);
    case GW_OPTION_U64: return gw_parse_u64(text, o->value);
    case GW_OPTION_REAL: return gw_parse_real(text, o->value) && in_range(o, *(double *)o->value);
    case GW_OPTION_CHOICE:
        *(int *)o->value = gw_parse_choice(o->arg, text);
        return *(int *)o->value >= 0;
    case GW_OPTION_TRAIN: break; /* it has words of its own for what is wrong */
    }
    return false;
}

/* What the value should have been. */
static void complain(struct gw_cli *cli, const struct gw_option *o, const char *where,
                     const char *text) {
    switch (o->kind) {
    case GW_OPTION_FLAG:
        gw_cli_usage(cli, "%s: expected true or false, not \"%s\"", where, text);
        break;
    case GW_OPTION_BYTES:
        gw_cli_usage(cli, "%s: expected a size such as 12G or 500M, not \"%s\"", where, text);
        break;
    case GW_OPTION_CHOICE:
        gw_cli_usage(cli, "%s: expected one of %s, not \"%s\"", where, o->arg, text);
        break;
    case GW_OPTION_U64:
        gw_cli_usage(cli, "%s: expected a whole number of 64 bits, not \"%s\"", where, text);
        break;
    default:
        gw_cli_usage(cli, "%s: expected %s from %.15g to %.15g%s, not \"%s\"", where,
                     o->kind == GW_OPTION_REAL     ? "a number"
                     : o->kind == GW_OPTION_COUNTS ? "whole numbers with commas"
                                                   : "a whole number",
                     o->min, o->max, o->kind == GW_OPTION_AUTO ? " or auto" : "", text);
        break;
    }
}

static bool set_train(struct gw_cli *cli, const struct gw_option *o, const char *where,
                      const char *text) {
    struct gwen_err err;
    if (gw_train_config_set(o->value, o->name, text, &err) == GWEN_OK) return true;
    const char *colon = strrchr(where, ':'); /* a file's name, or the way that it was given */
    if (colon != NULL)
        gw_cli_usage(cli, "%.*s: %s", (int)(colon - where), where, err.message);
    else
        gw_cli_usage(cli, "%s", err.message);
    return false;
}

bool gw_option_set(struct gw_cli *cli, size_t slot, const char *where, const char *text) {
    const struct gw_option *o = gw_option_at(cli, slot);
    if (o->kind == GW_OPTION_WORDS && cli->given[slot] < cli->source)
        *(struct gw_words *)o->value = (struct gw_words){0};
    cli->given[slot] = cli->source;
    if (o->kind == GW_OPTION_TRAIN) return set_train(cli, o, where, text);
    if (parse_value(cli, o, text)) return true;
    complain(cli, o, where, text);
    return false;
}

/* --- for -h --------------------------------------------------------------------------------- */

static void show_choice(const struct gw_option *o, struct gw_str *s) {
    const char *word = o->arg;
    if (*(const int *)o->value < 0) return; /* there is no default */
    for (int i = *(const int *)o->value; i > 0; i--) word += strcspn(word, "|") + 1;
    gw_str_put(s, word, strcspn(word, "|"));
}

static void show_counts(const struct gw_counts *list, struct gw_str *s) {
    for (size_t i = 0; i < list->n; i++)
        gw_str_printf(s, "%s%zu", i == 0 ? "" : ",", list->items[i]);
}

void gw_option_show(const struct gw_option *o, struct gw_str *s) {
    switch (o->kind) {
    case GW_OPTION_FLAG:
    case GW_OPTION_WORDS: break;
    case GW_OPTION_STRING:
        if (*(const char *const *)o->value != NULL) gw_str_puts(s, *(const char *const *)o->value);
        break;
    case GW_OPTION_BYTES:
        if (*(const uint64_t *)o->value != 0)
            gw_str_printf(s, "%llu", *(const unsigned long long *)o->value);
        break;
    case GW_OPTION_COUNT:
        if (*(const size_t *)o->value != GW_COUNT_UNSET)
            gw_str_printf(s, "%zu", *(const size_t *)o->value);
        break;
    case GW_OPTION_AUTO:
        if (*(const size_t *)o->value == 0)
            gw_str_puts(s, "auto");
        else
            gw_str_printf(s, "%zu", *(const size_t *)o->value);
        break;
    case GW_OPTION_COUNTS: show_counts(o->value, s); break;
    case GW_OPTION_U64:
        gw_str_printf(s, "%llu", (unsigned long long)*(const uint64_t *)o->value);
        break;
    case GW_OPTION_REAL:
        if (!isnan(*(const double *)o->value)) gw_str_printf(s, "%g", *(const double *)o->value);
        break;
    case GW_OPTION_CHOICE: show_choice(o, s); break;
    case GW_OPTION_TRAIN: gw_train_config_show(o->value, o->name, s); break;
    }
}
