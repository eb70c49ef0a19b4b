/* level.h - the instruction-set level that a test is run at: GWEN_ISA's, else the machine's. */
#ifndef GW_TEST_LEVEL_H
#define GW_TEST_LEVEL_H

#include <stdlib.h>

#include "gwen_simd.h"

static inline enum gwen_isa test_level(void) {
    const char *name = getenv("GWEN_ISA");
    enum gwen_isa isa;
    return name != NULL && gwen_isa_parse(name, &isa) ? isa : gwen_isa_detect();
}

#endif
