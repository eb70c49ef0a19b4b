/* fuzz_report.c - a run's folder with anything in its files: the report either refuses in one line,
 * or its page has one script, its own, and no control characters. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/tree.h"
#include "service/report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_file(const char *dir, const char *name, const void *data, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

static void check_page(const char *path) {
    struct gw_str page = {0};
    struct gwen_err err;
    if (gw_file_read(path, 1 << 28, &page, &err) != GWEN_OK) abort();
    for (size_t i = 0; i < page.len; i++) {
        const unsigned char c = (unsigned char)page.data[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) abort();
    }
    const char *script = strstr(page.data, "<script");
    if (script == NULL || strstr(script + 1, "<script") != NULL) abort();
    if (!gw_utf8_is_valid(page.data, page.len)) abort();
    gw_str_free(&page);
}

static void report(const char *dir) {
    struct gw_report_run run;
    struct gwen_err err = {0};
    struct gw_str text = {0};
    char page[128];
    if (gw_report_run_read(dir, &run, &err) != GWEN_OK) {
        if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
        return;
    }
    const struct gw_report_opts opts = GW_REPORT_OPTS_INIT;
    snprintf(page, sizeof page, "%s/page.html", dir);
    if (gw_report_html(&run, 1, &opts, page, &err) != GWEN_OK) abort();
    check_page(page);
    if (gw_report_text(&run, 1, 100, &text, &err) != GWEN_OK) abort();
    gw_str_free(&text);
    gw_report_run_free(&run);
}

/* The same bytes are metrics and samples. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char dir[64];
    struct gwen_err err;
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(dir, sizeof dir, "%s/gwen-fuzz-report-%ld", root, (long)getpid());
    char rollouts[80];
    snprintf(rollouts, sizeof rollouts, "%s/rollouts", dir);
    if (mkdir(dir, 0777) != 0 || mkdir(rollouts, 0777) != 0) abort();
    write_file(dir, "metrics.jsonl", data, size);
    write_file(rollouts, "step-1.jsonl", data, size);
    report(dir);
    if (gw_tree_remove(dir, &err) != GWEN_OK) abort();
    return 0;
}
