/* rubric.h - what a judge is asked: a file of JSON
 *
 *     {"system": "You grade answers.",
 *      "template": "Question: {prompt}\nAnswer: {response}\n{criterion}\nGrade, 1 to 5:",
 *      "criteria": [
 *          {"name": "kind", "description": "Is it kind?", "weight": 1, "scale": [1, 5]}]}
 *
 * "system", "description" (both empty), "weight" (1) and "scale" (which can be nothing else) may be
 * left out.  In the template {prompt} and {response} stand for the texts that are judged, and
 * {criterion} for "name: description", or the name alone where there is no description; each has to
 * be there, and is best last what differs most: text before {criterion} is computed once for all
 * criteria.  Other braces are text. */
#ifndef GW_SERVICE_JUDGE_RUBRIC_H
#define GW_SERVICE_JUDGE_RUBRIC_H

#include "base/arena.h"
#include "base/str.h"

enum { GW_RUBRIC_MAX_BYTES = 1 << 20, GW_RUBRIC_MAX_CRITERIA = 64, GW_RUBRIC_MAX_NAME = 64 };
enum { GW_GRADES = 5, GW_GRADE_DEFAULT = 3 }; /* grades are 1 .. GW_GRADES */

struct gw_criterion {
    const char *name; /* no other criterion has it */
    const char *text; /* what {criterion} stands for */
    double weight;
};

struct gw_rubric {
    const char *system; /* "" : none */
    const char *template;
    struct gw_criterion *criteria;
    size_t n;
    uint64_t hash; /* of system and template: what all grades depend on, weights being none of it */
    bool criterion_last;
    struct gw_arena arena;
};

/* Reads a file.  Errors begin with its name and say what is missing or wrong. */
enum gwen_status gw_rubric_load(const char *path, struct gw_rubric *r, struct gwen_err *err);
/* The same of text[0..len); `name` is for messages. */
enum gwen_status gw_rubric_parse(const char *text, size_t len, const char *name,
                                 struct gw_rubric *r, struct gwen_err *err);
void gw_rubric_free(struct gw_rubric *r); /* a zeroed one is fine */

/* Appends the template with its places filled in for criterion i. */
void gw_rubric_put(const struct gw_rubric *r, size_t i, const char *prompt, size_t prompt_len,
                   const char *response, size_t response_len, struct gw_str *out);

/* What a list of grades (one for each criterion) is worth: the sum of (grade - 3) / 2 * weight. */
double gw_rubric_reward(const struct gw_rubric *r, const double *grades);

/* The last digit from 1 to 5 that stands alone, with no letter, digit or underscore (of ASCII) at
 * its side; 0: there is none. */
int gw_rubric_find_grade(const char *text, size_t len);

#endif
