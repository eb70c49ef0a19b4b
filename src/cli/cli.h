/* cli.h - what the commands of gwen-cpu are made of.
 *
 * A command is a row of commands.def and a function gw_cmd_NAME in a file of its own.  It declares
 * its options in a table, from which parsing, `-h`, --config files and --set all follow:
 *
 *     struct { const char *out; size_t groups; } o = {NULL, 8};
 *     const struct gw_option options[] = {
 *         GW_OPT_STRING("out", 'o', &o.out, "FILE", "where the rows go"),
 *         GW_OPT_COUNT("groups", 0, &o.groups, 1, 65536, "samples of each prompt"),
 *     };
 *     const struct gw_cli_spec spec = {"--model DIR [options]", "What it does.", options,
 *                                      GW_ARRAY_LEN(options), .needs_model = true};
 *     int code;
 *     if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
 *     struct gwen_err err;
 *     return gw_cli_end(cli, do_it(cli, ..., &err), &err);
 *
 * Data goes to standard output (gw_cli_write), everything else to standard error.  Exit status:
 * 0 ok, 1 failed, 2 wrong usage, 129, 130 or 143 interrupted. */
#ifndef GW_CLI_H
#define GW_CLI_H

#include "base/log.h"
#include "base/str.h"
#include "checkpoint/dtype.h"
#include "cli/progress_bar.h"
#include "gwen_simd.h"

enum gw_exit { GW_EXIT_OK = 0, GW_EXIT_FAILED = 1, GW_EXIT_USAGE = 2 };

/* --- options -------------------------------------------------------------------------------- */

/* The words given for an option that may be repeated. */
struct gw_words {
    const char **items;
    size_t n;
};

/* Numbers given as 1,8,32. */
struct gw_counts {
    size_t *items;
    size_t n;
};

enum gw_option_kind {
    GW_OPTION_FLAG,   /* bool: given, or --name=true|false */
    GW_OPTION_STRING, /* const char * */
    GW_OPTION_WORDS,  /* struct gw_words; each use adds one */
    GW_OPTION_BYTES,  /* uint64_t: bytes, or with K, M, G, T (powers of 1024); more than 0 */
    GW_OPTION_COUNT,  /* size_t in [min, max] */
    GW_OPTION_AUTO,   /* the same, or "auto", which gives 0 */
    GW_OPTION_COUNTS, /* struct gw_counts, each in [min, max] */
    GW_OPTION_U64,    /* uint64_t */
    GW_OPTION_REAL,   /* double in [min, max] */
    GW_OPTION_CHOICE, /* int: which of the words of `arg`, written a|b|c */
    GW_OPTION_TRAIN   /* struct gw_train_config: its option of that name */
};

/* A count without a default of its own; for a real it is NAN. */
#define GW_COUNT_UNSET SIZE_MAX

struct gw_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum gw_option_kind kind;
    void *value; /* holds the default before parsing; strings point into argv or the cli's memory */
    const char *arg; /* what -h calls the value */
    double min, max;
    const char *help; /* a few words; -h adds the default */
};

/* One row of a table.  The comparison with a typed null pointer makes the compiler check that
 * `var` points to the type that the kind needs. */
#define GW_OPT_(kind_, type, name_, letter_, var, arg_, min_, max_, help_)                         \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = (kind_), .value = 1 ? (var) : (type *)0,     \
        .arg = (arg_), .min = (min_), .max = (max_), .help = (help_)                               \
    }
#define GW_OPT_FLAG(name, letter, var, help)                                                       \
    GW_OPT_(GW_OPTION_FLAG, bool, name, letter, var, NULL, 0, 0, help)
#define GW_OPT_STRING(name, letter, var, arg, help)                                                \
    GW_OPT_(GW_OPTION_STRING, const char *, name, letter, var, arg, 0, 0, help)
#define GW_OPT_WORDS(name, letter, var, arg, help)                                                 \
    GW_OPT_(GW_OPTION_WORDS, struct gw_words, name, letter, var, arg, 0, 0, help)
#define GW_OPT_BYTES(name, letter, var, help)                                                      \
    GW_OPT_(GW_OPTION_BYTES, uint64_t, name, letter, var, "SIZE", 0, 0, help)
#define GW_OPT_COUNT(name, letter, var, min, max, help)                                            \
    GW_OPT_(GW_OPTION_COUNT, size_t, name, letter, var, "N", min, max, help)
#define GW_OPT_AUTO(name, letter, var, min, max, help)                                             \
    GW_OPT_(GW_OPTION_AUTO, size_t, name, letter, var, "N|auto", min, max, help)
#define GW_OPT_COUNTS(name, letter, var, min, max, help)                                           \
    GW_OPT_(GW_OPTION_COUNTS, struct gw_counts, name, letter, var, "N,...", min, max, help)
#define GW_OPT_U64(name, letter, var, help)                                                        \
    GW_OPT_(GW_OPTION_U64, uint64_t, name, letter, var, "N", 0, 0, help)
#define GW_OPT_REAL(name, letter, var, min, max, help)                                             \
    GW_OPT_(GW_OPTION_REAL, double, name, letter, var, "X", min, max, help)
#define GW_OPT_CHOICE(name, letter, var, words, help)                                              \
    GW_OPT_(GW_OPTION_CHOICE, int, name, letter, var, words, 0, 0, help)

/* Options that every command has. */
struct gw_common {
    const char *model;   /* NULL: not given */
    const char *adapter; /* of commands that have GW_OPT_ADAPTER; NULL: not given */
    enum gw_dtype dtype; /* NONE: auto */
    size_t threads;      /* 0: as many as the machine gives */
    int bind;            /* enum gw_bind */
    uint64_t memory;     /* bytes; 0: what the machine gives */
    uint64_t seed;
    bool json, quiet, verbose, no_tune;
    enum gwen_isa isa_cap;  /* from GWEN_ISA; GWEN_ISA_COUNT: no cap */
    const char *cache_root; /* of Hugging Face, from the environment; NULL: none known */
    const char *sysroot;    /* from GWEN_SYSROOT: put before /proc and /sys; NULL: nothing */
    const char *tune_dir;   /* of profiles, likewise */
};

/* The row of commands that take an adapter: it is found, planned and loaded with the model. */
#define GW_OPT_ADAPTER(cli)                                                                        \
    GW_OPT_STRING("adapter", 0, &(cli)->common.adapter, "DIR",                                     \
                  "directory of a LoRA adapter to apply, in PEFT's format")

struct gw_owned;
struct gw_cli;

struct gw_command {
    const char *name;
    int (*run)(struct gw_cli *cli, int argc, char **argv); /* argv[0] is the command's name */
    const char *help;
};

struct gw_cli_spec {
    const char *usage; /* what follows the command's name in the synopsis */
    const char *about; /* paragraphs for -h, filled; lines that begin with a blank are kept */
    const struct gw_option *options; /* of this command; may replace common ones by name */
    size_t n_options;
    size_t max_args;  /* arguments that are no options */
    bool needs_model; /* wrong usage without --model */
};

enum { GW_CLI_N_COMMON = 14 };

/* The program while one command runs. */
struct gw_cli {
    const struct gw_command *commands; /* all of them, [n_commands] */
    size_t n_commands;
    const char *command; /* in progress, with its kind: "bench decode" */
    /* Instead of running it, a command's table is shown to this, where it is not NULL: for help,
     * manual pages and completion.  Where `tell_kinds`, after a command those of its kinds are. */
    void (*tell)(const struct gw_cli *cli);
    bool tell_kinds;
    struct gw_common common;
    const char **args; /* arguments that are no options, [n_args] */
    size_t n_args;
    struct gw_log log;
    struct gw_bar bar;
    bool to_terminal; /* standard output is one */
    bool pipe_closed; /* standard output was closed by its reader: nothing to complain about */
    /* what parsing needs */
    const struct gw_cli_spec *spec;
    const struct gw_command *kinds; /* of a command that gw_cli_group runs, [n_kinds] */
    size_t n_kinds;
    struct gw_option common_options[GW_CLI_N_COMMON];
    struct gw_words sets;
    const char *dtype_text, *config;
    const char *log_path; /* every message is added to this file; NULL: to none */
    FILE *log_file;
    bool help;
    unsigned char source;   /* what is being read: an enum gw_source */
    unsigned char *given;   /* where each option's value came from last, by slot */
    struct gw_owned *owned; /* memory that lives as long as the cli */
};

/* Later ones win over earlier ones. */
enum gw_source { GW_SOURCE_DEFAULT, GW_SOURCE_FILE, GW_SOURCE_SET, GW_SOURCE_LINE };

#define GW_COMMAND(name, help) int gw_cmd_##name(struct gw_cli *cli, int argc, char **argv);
#include "cli/commands.def"
#undef GW_COMMAND

/* Runs the command of commands[n] whose name is argv[1], with the words from there on; its exit
 * status.  Where there is none, a message says so. */
int gw_cli_run(struct gw_cli *cli, const struct gw_command *commands, size_t n, int argc,
               char **argv);
/* A command that is nothing but its kinds, each with options of its own: runs that of argv[1], or
 * prints the help of all. */
int gw_cli_group(struct gw_cli *cli, const struct gw_cli_spec *spec, const struct gw_command *kinds,
                 size_t n_kinds, int argc, char **argv);

/* Fills the variables of spec's options and of the common ones: environment, then --config, then
 * --set, then the command line.  False when the command is over: *code is then its exit status (a
 * message has been printed, or the help that -h asks for). */
bool gw_cli_parse(struct gw_cli *cli, const struct gw_cli_spec *spec, int argc, char **argv,
                  int *code);
/* True when option `name` was given, by whatever way. */
bool gw_cli_given(const struct gw_cli *cli, const char *name);
/* Prints "gwen-cpu: COMMAND: ...; see gwen-cpu COMMAND -h" and returns GW_EXIT_USAGE. */
int gw_cli_usage(struct gw_cli *cli, const char *fmt, ...) GW_PRINTF(2, 3);
/* Zeroed memory that is freed as the program ends; ends it when there is none. */
void *gw_cli_alloc(struct gw_cli *cli, size_t bytes);
/* Frees all of that. */
void gw_cli_free(struct gw_cli *cli);

/* Makes *cli that of a program that has just begun: its messages go to standard error. */
void gw_cli_init(struct gw_cli *cli, const struct gw_command *commands, size_t n_commands);
/* Closes standard output and frees what gw_cli_alloc gave; the program's exit status, where `code`
 * is its command's. */
int gw_cli_close(struct gw_cli *cli, int code);

/* --- ends and output ------------------------------------------------------------------------ */

/* Prints `head` and `text` as one line on standard error, whatever characters `text` has: the way
 * of every message that names anything. */
void gw_cli_line(struct gw_cli *cli, const char *head, const char *text);
/* Adds a line to --log-file, if there is one, after the time of day; text[0..len) is shown. */
void gw_cli_log_line(struct gw_cli *cli, const char *head, const char *text, size_t len);
/* The exit status of a command that came to `status`; prints *err as one line. */
int gw_cli_end(struct gw_cli *cli, enum gwen_status status, const struct gwen_err *err);
/* The error's message with the options of the command in progress for what it says is to be turned
 * (knobs.c); lives as long as the cli. */
const char *gw_cli_message(struct gw_cli *cli, const struct gwen_err *err);
/* A gw_knob_spelling (user: the cli): the option; NULL for what is none. */
const char *gw_cli_knob(void *cli, unsigned knob);
/* Writes to standard output, at once (so that a program at the other end of a pipe can answer): as
 * it is, and to a terminal with what it would obey made visible (base/shown.h). */
enum gwen_status gw_cli_write(struct gw_cli *cli, const void *bytes, size_t len,
                              struct gwen_err *err);
/* The same for what this program itself tells a terminal to do: never text of others. */
enum gwen_status gw_cli_write_raw(struct gw_cli *cli, const void *bytes, size_t len,
                                  struct gwen_err *err);
/* The same as gw_cli_write for a string, which is emptied; a string that failed is an error. */
enum gwen_status gw_cli_put(struct gw_cli *cli, struct gw_str *s, struct gwen_err *err);
/* From now on the program ends with a message when Jansson gets no memory (json_memory.c). */
void gw_cli_guard_json(void);
/* A gwen_progress_fn (user: the cli): draws the bar on a terminal; false once interrupted. */
bool gw_cli_progress(void *cli, const struct gwen_progress *progress);

/* --- signals -------------------------------------------------------------------------------- */

/* From now on the first SIGINT, SIGTERM or SIGHUP is remembered and told on standard error; one
 * that comes within 2 s (SIGINT: 0.5 s) is taken for the same, a later one ends the program at
 * once. Those that were ignored before stay so.  Writing to a closed pipe is an error instead of a
 * signal. */
void gw_interrupt_install(void);
/* What is said when a signal comes: a line with its newline, which must live for ever. */
void gw_interrupt_tell(const char *text);
/* The signal that came, 0: none. */
int gw_interrupt_signal(void);
/* For callbacks that say whether to go on; ctx is not used. */
bool gw_interrupt_none(void *ctx);

/* --- parts of parsing and telling (option.c to complete.c) ---------------------------------- */

/* Row of options by name ('-' and '_' are the same), NULL: none; *slot is its place in `given`. */
const struct gw_option *gw_option_find(const struct gw_cli *cli, const char *name, size_t len,
                                       size_t *slot);
/* Makes the rows that every command has. */
void gw_option_add_common(struct gw_cli *cli);
/* " (did you mean NAME?)" for a name that is no option but close to one, else "". */
const char *gw_option_hint(struct gw_cli *cli, const char *name, size_t len);
/* The same, or what an option of TRL's or transformers' is called here, " (here it is --NAME)", or
 * why there is none.  foreign.c. */
const char *gw_foreign_hint(struct gw_cli *cli, const char *name, size_t len);
/* gw_option_hint for a command's name. */
const char *gw_command_hint(struct gw_cli *cli, const struct gw_command *commands, size_t n,
                            const char *name);
/* Row `slot` of the command's options and the common ones after them; NULL past the end. */
const struct gw_option *gw_option_at(const struct gw_cli *cli, size_t slot);
/* True when a common option gives way to one of the command that has its name. */
bool gw_option_hidden(const struct gw_cli *cli, const struct gw_option *o);
/* Sets the option's variable from text, which must live as long as the cli.  `where` names the
 * place for messages ("--seed", "train.json: seed").  False after a message (wrong usage). */
bool gw_option_set(struct gw_cli *cli, size_t slot, const char *where, const char *text);
/* Appends the variable's present value to *s; nothing when there is none worth showing. */
void gw_option_show(const struct gw_option *o, struct gw_str *s);
/* Applies a --config file.  False after a message; *code is then the exit status. */
bool gw_config_file_apply(struct gw_cli *cli, const char *path, int *code);
/* Prints the help of the command in progress, or of the program. */
void gw_help_command(const struct gw_cli *cli);
void gw_help_program(const struct gw_cli *cli);
/* Prints a part of a manual page: of the command in progress (`tell`), or all of the program's. */
void gw_man_command(const struct gw_cli *cli);
void gw_man_program(struct gw_cli *cli);
/* Prints a script that completes command lines in bash. */
void gw_complete_bash(struct gw_cli *cli);

#endif
