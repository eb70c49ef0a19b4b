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

/* Rows of sft are its "data"; a file that cannot be read is for the command to complain of. */
static bool is_sft(const char *config, int argc, char **argv) {
    struct gw_json_doc doc = {0};
    struct gwen_err ignored;
    bool found = false;
    for (int i = 1; i < argc; i++)
        found |= strncmp(argv[i], "--data", 6) == 0 || strncmp(argv[i], "-d", 2) == 0 ||
                 strncmp(argv[i], "data=", 5) == 0;
    if (config == NULL || gw_json_load(config, MAX_CONFIG, &doc, &ignored) != GWEN_OK) return found;
    struct gw_json_node rows;
    const struct gw_json_node root = gw_json_root(&doc);
    found |= gw_json_is_object(root) && gw_json_find(root, "data", &rows);
    gw_json_free(&doc);
    return found;
}

int gw_cmd_validate(struct gw_cli *cli, int argc, char **argv) {
    static char option[] = "--config";
    char **words = gw_cli_alloc(cli, ((size_t)argc + 1) * sizeof *words);
    int n = 0;
    words[n++] = argv[0];
    if (argc > 1 && argv[1][0] != '-') words[n++] = option;
    for (int i = 1; i < argc; i++) words[n++] = argv[i];
    const char *config = config_of(n, words);
    const int code =
        is_sft(config, n, words) ? gw_cmd_sft(cli, n, words) : gw_cmd_train(cli, n, words);
    /* What the file says is what is looked at, not how the program is used. */
    return code == GW_EXIT_USAGE && config != NULL ? GW_EXIT_FAILED : code;
}
