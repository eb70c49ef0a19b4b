/* rubric.c - see rubric.h. */
#include "service/judge/rubric.h"

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"

#include <string.h>

enum place { PROMPT, RESPONSE, CRITERION, N_PLACES };
static const char *const PLACES[N_PLACES] = {"{prompt}", "{response}", "{criterion}"};

/* The place that `at` begins with; N_PLACES: none. */
static enum place place_at(const char *at) {
    int i = 0;
    while (i < N_PLACES && strncmp(at, PLACES[i], strlen(PLACES[i])) != 0) i++;
    return (enum place)i;
}

/* --- reading -------------------------------------------------------------------------------- */

static enum gwen_status keep(struct gw_rubric *r, const char *text, const char **out,
                             struct gwen_err *err) {
    *out = gw_arena_strndup(&r->arena, text, strlen(text));
    return *out != NULL ? GWEN_OK : gw_nomem(err, strlen(text), "a rubric");
}

/* A misspelt member would be silently left out of every grade. */
static enum gwen_status check_members(struct gw_json_node n, const char *const *known,
                                      size_t n_known, struct gwen_err *err) {
    for (struct gw_json_node c = gw_json_first(n); c.v != NULL; c = gw_json_next(c)) {
        size_t i = 0;
        while (i < n_known && strcmp(gw_json_key(c), known[i]) != 0) i++;
        if (i == n_known)
            return gw_json_fail(n, err, GWEN_ERR_FORMAT, "a rubric has nothing called \"%.40s\"",
                                gw_json_key(c));
    }
    return GWEN_OK;
}

static enum gwen_status read_template(struct gw_rubric *r, struct gw_json_node root,
                                      struct gwen_err *err) {
    const char *text;
    bool seen[N_PLACES + 1] = {false};
    GW_TRY(gw_json_get_string(root, "template", GW_JSON_REQUIRED, &text, err));
    for (const char *at = text; (at = strchr(at, '{')) != NULL; at++) {
        enum place p = place_at(at);
        if (p == N_PLACES) continue;
        seen[p] = true;
        r->criterion_last = p == CRITERION;
    }
    for (int i = 0; i < N_PLACES; i++)
        if (!seen[i])
            return gw_json_fail(root, err, GWEN_ERR_FORMAT, "template: %s is missing", PLACES[i]);
    return keep(r, text, &r->template, err);
}

/* "scale": [1, 5] or "1-5", the only one there is. */
static enum gwen_status check_scale(struct gw_json_node c, struct gwen_err *err) {
    struct gw_json_node scale;
    const char *text = "";
    int64_t low = 0, high = 0;
    struct gwen_err ignored;
    if (!gw_json_has(c, "scale")) return GWEN_OK;
    gw_json_find(c, "scale", &scale);
    if (gw_json_is_array(scale) && gw_json_size(scale) == 2) {
        struct gw_json_node first = gw_json_first(scale);
        if (gw_json_as_i64(first, 1, 1, &low, &ignored) == GWEN_OK &&
            gw_json_as_i64(gw_json_next(first), GW_GRADES, GW_GRADES, &high, &ignored) == GWEN_OK)
            return GWEN_OK;
    }
    if (gw_json_is_string(scale) && gw_json_as_string(scale, &text, &ignored) == GWEN_OK &&
        strcmp(text, "1-5") == 0)
        return GWEN_OK;
    return gw_json_fail(scale, err, GWEN_ERR_UNSUPPORTED,
                        "grades are from 1 to 5: expected [1, 5]");
}

static enum gwen_status read_criterion(struct gw_rubric *r, struct gw_json_node c,
                                       struct gwen_err *err) {
    static const char *const known[] = {"name", "description", "weight", "scale"};
    const char *name, *description = "";
    struct gw_criterion *to = &r->criteria[r->n];
    struct gw_str text = {0};
    if (!gw_json_is_object(c))
        return gw_json_fail(c, err, GWEN_ERR_FORMAT, "expected a criterion, an object");
    GW_TRY(check_members(c, known, GW_ARRAY_LEN(known), err));
    GW_TRY(gw_json_get_string(c, "name", GW_JSON_REQUIRED, &name, err));
    GW_TRY(gw_json_get_string(c, "description", GW_JSON_OPTIONAL, &description, err));
    to->weight = 1;
    GW_TRY(gw_json_get_double(c, "weight", GW_JSON_OPTIONAL, -1e6, 1e6, &to->weight, err));
    GW_TRY(check_scale(c, err));
    if (name[0] == '\0' || strlen(name) > GW_RUBRIC_MAX_NAME)
        return gw_json_fail(c, err, GWEN_ERR_FORMAT, "name: expected 1 to %d bytes, not %zu",
                            GW_RUBRIC_MAX_NAME, strlen(name));
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->criteria[i].name, name) == 0)
            return gw_json_fail(c, err, GWEN_ERR_FORMAT, "name: there are two criteria \"%s\"",
                                name);
    GW_TRY(keep(r, name, &to->name, err));
    gw_str_printf(&text, "%s%s%s", name, description[0] != '\0' ? ": " : "", description);
    enum gwen_status status = text.failed ? gw_nomem(err, strlen(description), "a rubric")
                                          : keep(r, text.data, &to->text, err);
    gw_str_free(&text);
    r->n++;
    return status;
}

static enum gwen_status read_criteria(struct gw_rubric *r, struct gw_json_node root,
                                      struct gwen_err *err) {
    struct gw_json_node list;
    GW_TRY(gw_json_get_array(root, "criteria", GW_JSON_REQUIRED, &list, err));
    size_t n = gw_json_size(list);
    if (n == 0 || n > GW_RUBRIC_MAX_CRITERIA)
        return gw_json_fail(list, err, GWEN_ERR_FORMAT, "expected 1 to %d criteria, not %zu",
                            GW_RUBRIC_MAX_CRITERIA, n);
    r->criteria = gw_arena_alloc(&r->arena, n * sizeof *r->criteria, _Alignof(max_align_t));
    if (r->criteria == NULL) return gw_nomem(err, n * sizeof *r->criteria, "a rubric");
    for (struct gw_json_node c = gw_json_first(list); c.v != NULL; c = gw_json_next(c))
        GW_TRY(read_criterion(r, c, err));
    return GWEN_OK;
}

static enum gwen_status hash_texts(struct gw_rubric *r, struct gwen_err *err) {
    struct gw_str s = {0};
    gw_str_put(&s, r->system, strlen(r->system) + 1);
    gw_str_put(&s, r->template, strlen(r->template) + 1);
    if (!s.failed) r->hash = gw_hash64(s.data, s.len);
    enum gwen_status status = s.failed ? gw_nomem(err, s.len, "a rubric") : GWEN_OK;
    gw_str_free(&s);
    return status;
}

static enum gwen_status read_root(struct gw_rubric *r, struct gw_json_node root,
                                  struct gwen_err *err) {
    static const char *const known[] = {"system", "template", "criteria"};
    const char *system = "";
    if (!gw_json_is_object(root))
        return gw_json_fail(root, err, GWEN_ERR_FORMAT,
                            "a rubric is an object with \"template\" and \"criteria\"");
    GW_TRY(check_members(root, known, GW_ARRAY_LEN(known), err));
    GW_TRY(gw_json_get_string(root, "system", GW_JSON_OPTIONAL, &system, err));
    GW_TRY(keep(r, system, &r->system, err));
    GW_TRY(read_template(r, root, err));
    GW_TRY(read_criteria(r, root, err));
    return hash_texts(r, err);
}

enum gwen_status gw_rubric_parse(const char *text, size_t len, const char *name,
                                 struct gw_rubric *r, struct gwen_err *err) {
    struct gw_json_doc doc = {0};
    *r = (struct gw_rubric){0};
    GW_TRY(gw_json_parse(text, len, name, &doc, err));
    enum gwen_status status = read_root(r, gw_json_root(&doc), err);
    gw_json_free(&doc);
    if (status != GWEN_OK) gw_rubric_free(r);
    return status;
}

enum gwen_status gw_rubric_load(const char *path, struct gw_rubric *r, struct gwen_err *err) {
    struct gw_str text = {0};
    *r = (struct gw_rubric){0};
    enum gwen_status status = gw_file_read(path, GW_RUBRIC_MAX_BYTES, &text, err);
    if (status == GWEN_OK)
        status = gw_rubric_parse(text.data != NULL ? text.data : "", text.len, path, r, err);
    gw_str_free(&text);
    return status;
}

void gw_rubric_free(struct gw_rubric *r) {
    gw_arena_free(&r->arena);
    *r = (struct gw_rubric){0};
}

/* --- using ---------------------------------------------------------------------------------- */

void gw_rubric_put(const struct gw_rubric *r, size_t i, const char *prompt, size_t prompt_len,
                   const char *response, size_t response_len, struct gw_str *out) {
    const char *at = r->template;
    for (const char *open; (open = strchr(at, '{')) != NULL;) {
        enum place p = place_at(open);
        gw_str_put(out, at, (size_t)(open - at));
        at = open + (p == N_PLACES ? 1 : strlen(PLACES[p]));
        switch (p) {
        case PROMPT: gw_str_put(out, prompt, prompt_len); break;
        case RESPONSE: gw_str_put(out, response, response_len); break;
        case CRITERION: gw_str_puts(out, r->criteria[i].text); break;
        case N_PLACES: gw_str_putc(out, '{'); break;
        }
    }
    gw_str_puts(out, at);
}

double gw_rubric_reward(const struct gw_rubric *r, const double *grades) {
    double sum = 0;
    for (size_t i = 0; i < r->n; i++)
        sum += (grades[i] - GW_GRADE_DEFAULT) / 2 * r->criteria[i].weight;
    return sum;
}

static bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

int gw_rubric_find_grade(const char *text, size_t len) {
    for (size_t i = len; i-- > 0;)
        if (text[i] >= '1' && text[i] <= '0' + GW_GRADES && (i == 0 || !is_word(text[i - 1])) &&
            (i + 1 == len || !is_word(text[i + 1])))
            return text[i] - '0';
    return 0;
}
