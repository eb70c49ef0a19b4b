/* report.c - gwen-cpu report: training runs as a page of HTML or as text for a terminal. */
#include "cli/output.h"

#include "base/file.h"
#include "service/report/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { COLUMNS = 100, REFRESH_S = 2 };

static const char CLEAR[] = "\033[H\033[J";

struct report {
    struct gw_cli *cli;
    struct gw_report_opts opts;
    const char *out;
    bool text, tui, overwrite;
    struct gw_report_run *runs; /* [cli->n_args] */
    size_t n_runs;
};

static void forget_runs(struct report *r) {
    for (size_t i = 0; i < r->n_runs; i++) gw_report_run_free(&r->runs[i]);
    r->n_runs = 0;
}

static enum gwen_status read_runs(struct report *r, struct gwen_err *err) {
    for (size_t i = 0; i < r->cli->n_args; i++) {
        GW_TRY(gw_report_run_read(r->cli->args[i], &r->runs[i], err));
        r->n_runs++;
    }
    return gw_report_name_runs(r->runs, r->n_runs, err);
}

/* --- text ----------------------------------------------------------------------------------- */

/* Lines that the screen has no room for are left out; the cursor stays below the last one. */
static void keep_lines(struct gw_str *text, size_t lines) {
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] != '\n' || --lines > 0) continue;
        text->len = i + 1;
        return;
    }
}

static enum gwen_status show(struct report *r, bool fill_screen, struct gwen_err *err) {
    struct gw_str text = {0};
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) size.ws_col = COLUMNS;
    enum gwen_status status = read_runs(r, err);
    if (status == GWEN_OK && fill_screen)
        status = gw_cli_write_raw(r->cli, CLEAR, strlen(CLEAR), err);
    if (status == GWEN_OK) status = gw_report_text(r->runs, r->n_runs, size.ws_col, &text, err);
    if (status == GWEN_OK && fill_screen && size.ws_row > 1) keep_lines(&text, size.ws_row - 1u);
    if (status == GWEN_OK) status = gw_cli_put(r->cli, &text, err);
    gw_str_free(&text);
    forget_runs(r);
    return status;
}

static enum gwen_status show_again(struct report *r, struct gwen_err *err) {
    for (;;) {
        GW_TRY(show(r, true, err));
        const struct timespec pause = {.tv_sec = REFRESH_S};
        nanosleep(&pause, NULL); /* a signal ends it */
        if (gw_interrupt_signal() != 0) return gw_fail(err, GWEN_ERR_CANCELLED, "interrupted");
    }
}

/* --- page ----------------------------------------------------------------------------------- */

static enum gwen_status write_page(struct report *r, struct gwen_err *err) {
    struct gw_str path = {0};
    GW_TRY(gw_output_check(r->cli, "out", r->out, r->overwrite, err));
    enum gwen_status status = read_runs(r, err);
    for (size_t i = 0; i < r->n_runs; i++)
        if (status == GWEN_OK && r->runs[i].notes.len > 0)
            gw_log(&r->cli->log, GWEN_LOG_WARNING, "%s: %.*s", r->runs[i].dir,
                   (int)strcspn(r->runs[i].notes.data, "\n"), r->runs[i].notes.data);
    if (status == GWEN_OK && r->out == NULL)
        status = gw_path_join(&path, r->cli->args[0], "report.html", err);
    const char *out = r->out != NULL ? r->out : path.data;
    if (status == GWEN_OK) status = gw_report_html(r->runs, r->n_runs, &r->opts, out, err);
    if (status == GWEN_OK) gw_log(&r->cli->log, GWEN_LOG_INFO, "wrote %s", out);
    forget_runs(r);
    gw_str_free(&path);
    return status;
}

static const char about[] =
    "Draws what training runs came to.  RUN_DIR is the folder that sft or train was given as "
    "--out;\n"
    "several are drawn into the same charts.  The page is one HTML file that loads nothing:\n"
    "charts of every metric in metrics.jsonl, where the time went, and samples with their "
    "prompts,\n"
    "rewards and verdicts.  It says how much it leaves out.  A run may still be going on; lines\n"
    "that cannot be read are left out with a note.\n"
    "\n"
    "With --text the same figures are printed as a table with small curves.";

int gw_cmd_report(struct gw_cli *cli, int argc, char **argv) {
    struct report r = {.cli = cli, .opts = GW_REPORT_OPTS_INIT};
    const struct gw_option options[] = {
        GW_OPT_STRING("out", 'o', &r.out, "FILE",
                      "the page to write (default: report.html in the first RUN_DIR)"),
        GW_OPT_OVERWRITE(&r.overwrite),
        GW_OPT_COUNT("samples", 0, &r.opts.samples, 1, 4096, "completions shown of a step"),
        GW_OPT_COUNT("sample-steps", 0, &r.opts.sample_steps, 0, 100000,
                     "steps of a run whose completions are shown"),
        GW_OPT_FLAG("text", 0, &r.text, "print a table instead of writing a page"),
        GW_OPT_FLAG("tui", 0, &r.tui,
                    "the same; on a terminal again every 2 seconds until interrupted"),
    };
    const struct gw_cli_spec spec = {"RUN_DIR... [options]", about,          options,
                                     GW_ARRAY_LEN(options),  GW_REPORT_RUNS, false};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (cli->n_args == 0) return gw_cli_usage(cli, "RUN_DIR is needed: the folder of a run");
    if (r.out != NULL && (r.text || r.tui))
        return gw_cli_usage(cli, "give --out FILE or --text, not both");
    r.runs = gw_cli_alloc(cli, cli->n_args * sizeof *r.runs);
    struct gwen_err err;
    enum gwen_status status = r.tui && isatty(STDOUT_FILENO) ? show_again(&r, &err)
                              : r.text || r.tui              ? show(&r, false, &err)
                                                             : write_page(&r, &err);
    return gw_cli_end(cli, status, &err);
}
