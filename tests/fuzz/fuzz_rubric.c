/* fuzz_rubric.c - rubrics with anything in them: refused in one line, or texts are filled in. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/judge/rubric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gw_rubric r;
    struct gwen_err err = {0};
    struct gw_str out = {0};
    const char *text = (const char *)data;
    int grade = gw_rubric_find_grade(text, size);
    if (grade < 0 || grade > GW_GRADES) abort();
    if (gw_rubric_parse(text, size, "rubric.json", &r, &err) != GWEN_OK) {
        if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
        return 0;
    }
    for (size_t i = 0; i < r.n; i++) {
        gw_rubric_put(&r, i, text, size, "{prompt}", 8, &out);
        if (out.failed || strstr(out.data, r.criteria[i].text) == NULL) {
            if (memchr(text, 0, size) == NULL) abort(); /* a NUL ends what strstr sees */
        }
        gw_str_clear(&out);
    }
    gw_str_free(&out);
    gw_rubric_free(&r);
    return 0;
}
