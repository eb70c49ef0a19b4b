/* export.c - gwen-cpu export: an adapter merged into its model. */
#include "cli/with_model.h"

#include "service/train/export.h"

static enum gwen_status export(struct gw_cli *cli, const char *out, struct gw_str *dir,
                               struct gwen_err *err) {
    GW_TRY(gw_model_dir(cli, dir, err));
    const struct gw_export_opts opts = {.model_dir = dir->data,
                                        .adapter_dir = cli->common.adapter,
                                        .dtype = cli->common.dtype,
                                        .isa_cap = cli->common.isa_cap,
                                        .progress = gw_cli_progress,
                                        .progress_user = cli};
    GW_TRY(gw_export_merged(&opts, out, err));
    gw_log(&cli->log, GWEN_LOG_INFO, "%s: %s with %s merged", out, dir->data, cli->common.adapter);
    return GWEN_OK;
}

int gw_cmd_export(struct gw_cli *cli, int argc, char **argv) {
    const char *out = NULL;
    bool merge = false;
    const struct gw_option options[] = {
        GW_OPT_FLAG("merge", 0, &merge, "add the adapter to the model's weights"),
        GW_OPT_ADAPTER(cli),
        GW_OPT_STRING("out", 'o', &out, "DIR", "directory to write; must be new or empty"),
    };
    const struct gw_cli_spec spec = {
        "--merge --model DIR --adapter DIR --out DIR [options]",
        "Writes a model with an adapter merged into its weights, W + scale B A, as a\n"
        "complete Hugging Face directory.  Tensors keep the type that they are stored in,\n"
        "unless --dtype says another; with fp32 nothing of the adapter is lost to\n"
        "rounding.",
        options,
        GW_ARRAY_LEN(options),
        0,
        true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (!merge)
        return gw_cli_usage(cli, "--merge is needed: what export does is to merge --adapter into "
                                 "--model (checkpoints and runs are in Hugging Face's format "
                                 "already)");
    if (cli->common.adapter == NULL || out == NULL)
        return gw_cli_usage(cli, "%s",
                            out == NULL ? "--out DIR is needed"
                                        : "--adapter DIR is needed: what is merged into the model");
    struct gw_str dir = {0};
    struct gwen_err err;
    enum gwen_status status = export(cli, out, &dir, &err);
    gw_str_free(&dir);
    return gw_cli_end(cli, status, &err);
}
