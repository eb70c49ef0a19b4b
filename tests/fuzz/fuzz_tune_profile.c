/* fuzz_tune_profile.c - the file that `tune` keeps: what is accepted is within bounds, usable, and
 * comes back the same when it is written and read again. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/tune/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char KEY[] = "a machine";

static void use(const struct gw_tune_profile *p) {
    struct gw_speed speed = {0};
    if (p->threads < 1 || p->prefill_rows < 1 || !gw_linear_tuning_valid(&p->linear)) abort();
    if (!p->has_curve) return;
    gw_speed_set_curve(&speed, &p->curve);
    for (double rows = 0; rows < 100; rows += 7) {
        const double s = gw_speed_step(&speed, &(struct gw_step){rows, 1, 100, rows * 9, rows});
        if (!isfinite(s) || s < 0) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_tune_profile p, again;
    struct gwen_err err = {0};
    struct gw_str first = {0}, second = {0};
    if (gw_tune_profile_parse((const char *)data, size, "fuzz", KEY, &p, &err) != GWEN_OK) {
        if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
        return 0;
    }
    use(&p);
    gw_tune_profile_put(&p, KEY, &first);
    if (gw_tune_profile_parse(first.data, first.len, "fuzz", KEY, &again, &err) != GWEN_OK) abort();
    gw_tune_profile_put(&again, KEY, &second);
    if (strcmp(first.data, second.data) != 0) abort();
    gw_str_free(&first);
    gw_str_free(&second);
    return 0;
}
