/* version.c - the version, which is written down once, in gwen.h. */
#include <gwen/gwen.h>

const char *gwen_version(void) { return GWEN_VERSION; }
