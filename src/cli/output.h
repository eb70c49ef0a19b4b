/* output.h - what a command may write over: nothing that it reads, and what is there already only
 * where --overwrite says so. */
#ifndef GW_CLI_OUTPUT_H
#define GW_CLI_OUTPUT_H

#include "cli/cli.h"

/* The row of commands that write a file or folder. */
#define GW_OPT_OVERWRITE(var)                                                                      \
    GW_OPT_FLAG("overwrite", 0, var, "replace what is there already, except the command's input")

/* Whether `path` (NULL and "-": standard output), the value of option `option`, may be written.
 * GWEN_ERR_ARGUMENT where it, or the part file beside it, is a file that another option or argument
 * names or that lies in a folder which one names and is read from there, by whatever name or link;
 * where it is a folder that holds such a file; and, unless `replace`, where it is a file, or a
 * folder with anything in it.  Pipes and devices always may.  Options that name no path cost a
 * stat. */
enum gwen_status gw_output_check(const struct gw_cli *cli, const char *option, const char *path,
                                 bool replace, struct gwen_err *err);
/* The same for the output of a run that keeps its rows in PATH.part: where `resume` and that file
 * is there, the run was let in before. */
enum gwen_status gw_output_check_part(const struct gw_cli *cli, const char *option,
                                      const char *path, bool resume, bool overwrite,
                                      struct gwen_err *err);

#endif
