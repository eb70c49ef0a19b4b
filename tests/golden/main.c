/* main.c - runs every kind of golden case over a folder and counts; see golden.h. */
#include "golden.h"
#include "golden_model.h"

#include "base/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the last line.  `run` NULL: this build cannot do it yet. */
static const struct kind {
    const char *name;
    const char *folder; /* of DIR, where the cases are */
    golden_kind_fn *run;
} KINDS[] = {
    {"models", "models", golden_models}, {"tokenizer", "tokenizer", golden_tokenizer},
    {"chat", "chat", golden_chat},       {"stories", "stories", golden_stories},
    {"train", "train", golden_train},    {"lora", "lora", golden_lora},
    {"grpo", "grpo", golden_grpo},
};

/* --- counting ------------------------------------------------------------------------------- */

static void vreport(const char *verdict, const char *fmt, va_list ap) {
    printf("%s ", verdict);
    vprintf(fmt, ap);
    printf("\n");
}

void golden_case(struct golden_counts *counts, bool ok, const char *fmt, ...) {
    if (ok) {
        counts->passed++;
        return;
    }
    counts->failed++;
    va_list ap;
    va_start(ap, fmt);
    vreport("FAIL", fmt, ap);
    va_end(ap);
}

void golden_error(struct golden_counts *counts, const struct gwen_err *err, const char *fmt, ...) {
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    golden_case(counts, false, "%s: %s", what, err->message);
}

void golden_skip(struct golden_counts *counts, const char *fmt, ...) {
    counts->skipped++;
    va_list ap;
    va_start(ap, fmt);
    vreport("skip", fmt, ap);
    va_end(ap);
}

/* --- what the kinds share ------------------------------------------------------------------- */

char *golden_path(const char *dir, const char *name) {
    struct gw_str path = {0};
    struct gwen_err err;
    if (gw_path_join(&path, dir, name, &err) == GWEN_OK) return path.data;
    fprintf(stderr, "golden: %s\n", err.message);
    exit(1);
}

enum gwen_isa golden_isa(void) {
    enum gwen_isa isa = GWEN_ISA_COUNT;
    const char *name = getenv("GWEN_ISA");
    if (name != NULL && !gwen_isa_parse(name, &isa)) {
        fprintf(stderr, "golden: GWEN_ISA=%s is no instruction set\n", name);
        exit(1);
    }
    return isa;
}

/* --- the table of tolerances ---------------------------------------------------------------- */

enum { MAX_CELLS = 8 };

/* Cuts a row of a Markdown table, in place, into trimmed cells. */
static size_t split_cells(char *line, char *cells[MAX_CELLS]) {
    size_t n = 0;
    if (*line != '|') return 0;
    for (char *cell = line + 1, *bar; n < MAX_CELLS && (bar = strchr(cell, '|')) != NULL;
         cell = bar + 1) {
        char *end = bar;
        while (*cell == ' ') cell++;
        while (end > cell && end[-1] == ' ') end--;
        *end = '\0';
        cells[n++] = cell;
    }
    return n;
}

/* The index-th number of a cell such as "1e-5 / 1e-4"; negative when there is none. */
static double nth_number(const char *cell, size_t index) {
    for (size_t i = 0; i < index; i++) {
        cell = strchr(cell, '/');
        if (cell == NULL) return -1;
        cell++;
    }
    char *end;
    double value = strtod(cell, &end);
    return end != cell && value > 0 ? value : -1;
}

static double find_tolerance(char *text, const char *golden, size_t index) {
    size_t column = 0;
    char *save, *cells[MAX_CELLS];
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        size_t n = split_cells(line, cells);
        for (size_t i = 0; i < n; i++)
            if (strcmp(cells[i], "recommended") == 0) column = i;
        if (column > 0 && column < n && strcmp(cells[0], golden) == 0)
            return nth_number(cells[column], index);
    }
    return -1;
}

double golden_tolerance(const char *dir, const char *golden, size_t index,
                        struct golden_counts *counts) {
    char *path = golden_path(dir, "README.md");
    struct gw_str text = {0};
    struct gwen_err err;
    double tolerance = -1;
    if (gw_file_read(path, 1 << 20, &text, &err) != GWEN_OK) {
        golden_error(counts, &err, "tolerances");
    } else {
        if (text.len > 0) tolerance = find_tolerance(text.data, golden, index);
        if (tolerance < 0)
            golden_case(counts, false, "%s has no recommended tolerance for \"%s\"", path, golden);
    }
    gw_str_free(&text);
    free(path);
    return tolerance;
}

/* --- main ----------------------------------------------------------------------------------- */

static bool has_folder(const char *dir, const char *name) {
    char *path = golden_path(dir, name);
    bool there = gw_dir_exists(path);
    free(path);
    return there;
}

static void run_kind(const char *dir, const struct kind *kind, struct golden_counts *counts) {
    if (kind->run == NULL) {
        if (has_folder(dir, kind->folder))
            golden_skip(counts, "%s: not supported by this build", kind->name);
        return;
    }
    kind->run(dir, counts);
    if (counts->passed + counts->failed == 0)
        golden_case(counts, false, "%s: %s has no cases", kind->name, dir);
    printf("%s: %zu passed, %zu failed, %zu skipped\n", kind->name, counts->passed, counts->failed,
           counts->skipped);
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct golden_counts all[GW_ARRAY_LEN(KINDS)] = {{0}}, sum = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: golden DIR\n");
        return 2;
    }
    if (!gw_dir_exists(argv[1])) {
        printf("golden: no golden data at %s\n", argv[1]);
        return 77;
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(KINDS); i++) {
        run_kind(argv[1], &KINDS[i], &all[i]);
        sum.passed += all[i].passed;
        sum.failed += all[i].failed;
        sum.skipped += all[i].skipped;
    }
    printf("golden: passed %zu failed %zu skipped %zu |", sum.passed, sum.failed, sum.skipped);
    for (size_t i = 0; i < GW_ARRAY_LEN(KINDS); i++)
        printf(" %s %zu", KINDS[i].name, all[i].passed + all[i].failed);
    printf("\n");
    return sum.failed > 0;
}
