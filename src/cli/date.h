/* date.h - --date: what chat templates are told today is. */
#ifndef GW_CLI_DATE_H
#define GW_CLI_DATE_H

#include <stdbool.h>
#include <time.h>

/* A date written YYYY-MM-DD that exists. */
bool gw_date_parse(const char *text, struct tm *date);

#endif
