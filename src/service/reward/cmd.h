/* cmd.h - rewards from a program: a long-lived child that speaks JSONL.
 *
 * It is given one line per completion,
 *     {"id":7,"prompt":"...","completion":"...","ids":[1,2],"meta":{...}}
 * and answers each, in any order, by a line {"id":7,"reward":0.5} or {"id":7,"reward":null};
 * other members are ignored, so are empty lines.  What it has to say to people goes to stderr,
 * the end of which is kept for messages.
 *
 * A child that answers nothing for `timeout_s` while rows are waiting is killed and restarted,
 * at most `restarts` times; the rows without an answer are sent once more.  One that dies, closes
 * its output or answers nonsense (no JSON, an id that was not asked or is answered already, a
 * reward that is no finite number or null, an endless line) is the end: the error names the row and
 * quotes its stderr.  One that ends with status 0 between two calls is restarted, which counts
 * as a restart. */
#ifndef GW_SERVICE_REWARD_CMD_H
#define GW_SERVICE_REWARD_CMD_H

#include "base/log.h"
#include "service/reward/reward.h"

enum { GW_REWARD_CMD_MAX_LINE = 1 << 20 };

struct gw_reward_cmd_opts {
    const char *command;            /* for /bin/sh -c */
    double timeout_s;               /* > 0 */
    unsigned restarts;              /* in one call */
    bool (*keep_going)(void *user); /* asked a few times a second; NULL: never stop */
    void *user;                     /* for keep_going */
    const struct gw_log *log;       /* hears of restarts; may be NULL */
};
#define GW_REWARD_CMD_OPTS_INIT                                                                    \
    { NULL, 60.0, 1, NULL, NULL, NULL }

struct gw_reward_cmd;

/* Copies *opts; log and user have to live as long.  The child is started by the first row. */
enum gwen_status gw_reward_cmd_new(const struct gw_reward_cmd_opts *opts,
                                   struct gw_reward_cmd **out, struct gwen_err *err);
/* Gives the child two seconds to end after its input was closed; NULL is fine. */
void gw_reward_cmd_free(struct gw_reward_cmd *c);
/* Has n completions scored: out[i * stride], NaN for null.  After a failure (GWEN_ERR_CANCELLED
 * when keep_going said no) the child is gone, and another call starts a new one. */
enum gwen_status gw_reward_cmd_score(struct gw_reward_cmd *c, const struct gw_reward_input *in,
                                     size_t n, float *out, size_t stride, struct gwen_err *err);
/* The end of what the last child wrote to stderr, as it is; valid until the next call. */
const char *gw_reward_cmd_stderr(const struct gw_reward_cmd *c);

/* One answer; fails in a few words without saying where. */
struct gw_reward_reply {
    uint64_t id;
    float reward; /* NaN: null */
};
enum gwen_status gw_reward_reply_parse(const char *line, size_t len, struct gw_reward_reply *out,
                                       struct gwen_err *err);

#endif
