/* impl.h - what the files of the built-in rewards share. */
#ifndef GW_SERVICE_REWARD_IMPL_H
#define GW_SERVICE_REWARD_IMPL_H

#include "service/reward/reward.h"

#include <math.h>

#include <jansson.h>

/* A piece of a text. */
struct gw_text {
    const char *text;
    size_t len;
};

/* One built-in reward.  `state` is what open made of the argument; NULL where there is no open. */
struct gw_reward_impl {
    struct gw_reward_kind kind;
    enum gwen_status (*open)(const char *argument, void **state, struct gwen_err *err);
    void (*close)(void *state);
    /* NaN: null; GW_SCORE_NOMEM: there was no memory to compute it.  meta is an object. */
    double (*score)(void *state, const json_t *meta, const struct gw_reward_input *in);
};

/* No reward is infinite. */
#define GW_SCORE_NOMEM (-(double)INFINITY)

/* --- text.c --------------------------------------------------------------------------------- */

/* Without ASCII white space at both ends. */
struct gw_text gw_text_trim(struct gw_text s);
/* Where `needle` begins first or last in s, NULL: nowhere. */
const char *gw_text_find(struct gw_text s, const char *needle);
const char *gw_text_find_last(struct gw_text s, const char *needle);
/* What stands behind the first "####", else everything. *marked tells which. */
struct gw_text gw_gsm8k_part(struct gw_text s, bool *marked);
/* The first or the last number of s in a canonical form ("-1,230.50" and "$-1230.5" are the
 * same), appended to *out; false when there is none.  Thousands may be set apart by commas. */
bool gw_number_find(struct gw_text s, bool last, struct gw_str *out);

double gw_reward_gsm8k(void *state, const json_t *meta, const struct gw_reward_input *in);
double gw_reward_exact(void *state, const json_t *meta, const struct gw_reward_input *in);

/* --- format.c ------------------------------------------------------------------------------- */

double gw_reward_think(void *state, const json_t *meta, const struct gw_reward_input *in);
enum gwen_status gw_tags_open(const char *argument, void **state, struct gwen_err *err);
void gw_tags_close(void *state);
double gw_reward_tags(void *state, const json_t *meta, const struct gw_reward_input *in);
enum gwen_status gw_regex_open(const char *argument, void **state, struct gwen_err *err);
void gw_regex_close(void *state);
double gw_reward_regex(void *state, const json_t *meta, const struct gw_reward_input *in);
enum gwen_status gw_length_open(const char *argument, void **state, struct gwen_err *err);
enum gwen_status gw_overlong_open(const char *argument, void **state, struct gwen_err *err);
void gw_length_close(void *state);
double gw_reward_length(void *state, const json_t *meta, const struct gw_reward_input *in);
double gw_reward_overlong(void *state, const json_t *meta, const struct gw_reward_input *in);

/* --- countdown.c ---------------------------------------------------------------------------- */

enum { GW_COUNTDOWN_MAX_NUMBERS = 64, GW_COUNTDOWN_MAX_BYTES = 4096, GW_COUNTDOWN_MAX_DEPTH = 64 };

struct gw_expression {
    int64_t num, den; /* the value, in lowest terms; den > 0 */
    int64_t numbers[GW_COUNTDOWN_MAX_NUMBERS];
    size_t n; /* of the numbers that were used */
};
/* Evaluates whole numbers, + - * / and parentheses, exactly.  False for anything else, a division
 * by zero, a value beyond 64 bits, or one of the limits above. */
bool gw_expression_parse(struct gw_text s, struct gw_expression *out);
double gw_reward_countdown(void *state, const json_t *meta, const struct gw_reward_input *in);

#endif
