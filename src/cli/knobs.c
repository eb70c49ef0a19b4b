/* knobs.c - how the command line spells what a message of the library advises to turn.
 *
 * Commands have different options for one thing: of a knob's row, the first that the command in
 * progress has is meant, else the first. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { NAMES = 4 };

static const struct spelling {
    enum gw_knob knob;
    const char *options[NAMES]; /* with their dashes; NULL behind the last one */
} SPELLINGS[] = {
    {GW_KNOB_MAX_MEMORY, {"--memory"}},
    {GW_KNOB_DTYPE, {"--dtype"}},
    {GW_KNOB_MAX_TOKENS, {"--max-tokens", "--max_completion_length"}},
    {GW_KNOB_BATCH_SIZE, {"--rollout-batch-size"}},
    {GW_KNOB_RESUME, {"--resume"}},
    {GW_KNOB_OVERWRITE, {"--overwrite"}},
    {GW_KNOB_OPTIMIZER, {"--optim"}},
    {GW_KNOB_PEFT, {"--use_peft"}},
    {GW_KNOB_ROW_TOKENS, {"--max_length"}},
    {GW_KNOB_COMPLETION_TOKENS, {"--max_completion_length"}},
    {GW_KNOB_TRAIN_BATCH, {"--per_device_train_batch_size"}},
    {GW_KNOB_RECOMPUTE, {"--recompute"}},
    {GW_KNOB_MICRO_BATCH, {"--train-micro-batch"}},
    {GW_KNOB_TUNE_SECONDS, {"--budget"}},
    {GW_KNOB_JUDGE_MODE, {"--judge-mode"}},
    {GW_KNOB_JUDGE_TOKENS, {"--judge-max-tokens", "--max-tokens"}},
    {GW_KNOB_JUDGE_CHUNK, {"--judge-chunk-size"}},
};

static bool has(const struct gw_cli *cli, const char *option) {
    size_t slot;
    return cli->spec != NULL && gw_option_find(cli, option + 2, strlen(option + 2), &slot) != NULL;
}

const char *gw_cli_knob(void *user, unsigned knob) {
    const struct gw_cli *cli = user;
    for (size_t i = 0; i < GW_ARRAY_LEN(SPELLINGS); i++) {
        const struct spelling *s = &SPELLINGS[i];
        if ((unsigned)s->knob != knob) continue;
        for (size_t n = 0; n < NAMES && s->options[n] != NULL; n++)
            if (has(cli, s->options[n])) return s->options[n];
        return s->options[0];
    }
    return NULL;
}

const char *gw_cli_message(struct gw_cli *cli, const struct gwen_err *err) {
    enum { LONGEST = 2048 };
    char *line = gw_cli_alloc(cli, LONGEST);
    gw_knobs_spell(err->message, err->knobs, GWEN_ERR_KNOBS, gw_cli_knob, cli, line, LONGEST);
    return line;
}
