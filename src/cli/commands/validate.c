/* validate.c - gwen-cpu validate: train or sft up to where they would load weights.
 *
 * The command that a configuration belongs to reads and checks it itself (it sees that it was
 * called as validate), so that nothing is accepted here that it would refuse. */
#include "cli/cli.h"

#include "base/json.h"

#include <string.h>

enum { MAX_CONFIG = 1 << 20 };

/* The value of --config, NULL: there is none. */
static const char *config_of(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) return argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) return argv[i + 1];
    }
    return NULL;
}

/* The commands that it checks for, and the option, of which a configuration has one, that says
 * which it is meant for; the last is what it is else. */
static const struct checked {
    int (*run)(struct gw_cli *cli, int argc, char **argv);
    const char *sign;
    char letter; /* of it */
} CHECKED[] = {{gw_cmd_sft, "data", 'd'}, {gw_cmd_train, "prompts", 'p'}};

/* --data, --data=..., -d or --set data=... */
static bool on_line(const struct checked *c, int argc, char **argv) {
    const size_t len = strlen(c->sign);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (word[0] == '-' && word[1] == c->letter) return true;
        if (word[0] == '-' && word[1] == '-')
            word += 2;
        else if (i == 1 || strcmp(argv[i - 1], "--set") != 0)
            continue;
        if (strncmp(word, c->sign, len) == 0 && (word[len] == '\0' || word[len] == '='))
            return true;
    }
    return false;
}

/* A file that cannot be read is for the command to complain of. */
static const struct checked *find(const char *config, int argc, char **argv) {
    const size_t last = GW_ARRAY_LEN(CHECKED) - 1;
    struct gw_json_doc doc = {0};
    struct gw_json_node ignored_node;
    struct gwen_err ignored;
    size_t i = 0;
    const bool read = config != NULL &&
                      gw_json_load(config, MAX_CONFIG, &doc, &ignored) == GWEN_OK &&
                      gw_json_is_object(gw_json_root(&doc));
    while (i < last && !on_line(&CHECKED[i], argc, argv) &&
           !(read && gw_json_find(gw_json_root(&doc), CHECKED[i].sign, &ignored_node)))
        i++;
    gw_json_free(&doc);
    return &CHECKED[i];
}

int gw_cmd_validate(struct gw_cli *cli, int argc, char **argv) {
    static char option[] = "--config";
    char **words = gw_cli_alloc(cli, ((size_t)argc + 1) * sizeof *words);
    int n = 0;
    words[n++] = argv[0];
    if (argc > 1 && argv[1][0] != '-') words[n++] = option;
    for (int i = 1; i < argc; i++) words[n++] = argv[i];
    const char *config = config_of(n, words);
    const int code = find(config, n, words)->run(cli, n, words);
    /* What the file says is what is looked at, not how the program is used. */
    return code == GW_EXIT_USAGE && config != NULL ? GW_EXIT_FAILED : code;
}
