/* golden.h - the golden runner: build/tests/golden DIR checks the library against reference
 * numbers laid out like ../shared/data/golden.  Cases and sizes come from the folder's own
 * manifests, tolerances from the "recommended" column of its README.md; nothing is built in.
 *
 * One function a kind, each in golden_KIND.c.  It runs whatever cases of its kind DIR has, reports
 * each through golden_case, and leaves counts->passed + failed at 0 when there are none. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "base/base.h"
#include "base/json.h"
#include "base/str.h"

struct golden_counts {
    size_t passed, failed, skipped;
};

typedef void golden_kind_fn(const char *dir, struct golden_counts *counts);
golden_kind_fn golden_models, golden_tokenizer, golden_chat, golden_stories, golden_train,
    golden_lora, golden_grpo;

/* Counts one case; a failed one is printed: "FAIL what: ...". */
void golden_case(struct golden_counts *counts, bool ok, const char *fmt, ...) GW_PRINTF(3, 4);
/* Counts a case that failed with a library error. */
void golden_error(struct golden_counts *counts, const struct gwen_err *err, const char *fmt, ...)
    GW_PRINTF(3, 4);
/* Counts a case that could not be run, and prints why. */
void golden_skip(struct golden_counts *counts, const char *fmt, ...) GW_PRINTF(2, 3);

/* Path DIR/NAME, where NAME may hold slashes; free it. */
char *golden_path(const char *dir, const char *name);
/* The number in the "recommended" column of the README's tolerance table, in the row whose first
 * cell is `golden` ("models: hidden"); a row may hold several, "mean NLL / window NLL" and
 * "1e-5 / 1e-4": `index` says which.  Negative, after a failed case, when there is none. */
double golden_tolerance(const char *dir, const char *golden, size_t index,
                        struct golden_counts *counts);

#endif
