/* fuzz_reward_reply.c - an answer of a reward command with anything in it: it is taken with a
 * reward that is finite or null, or refused in one line. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/reward/cmd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_reward_reply reply;
    struct gwen_err err = {0};
    if (gw_reward_reply_parse((const char *)data, size, &reply, &err) == GWEN_OK) {
        if (isinf(reply.reward)) abort();
    } else if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) {
        abort();
    }
    return 0;
}
