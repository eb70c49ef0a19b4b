/* isa.c - tells scripts which instruction-set levels this build has on this machine.
 *
 *     isa          the level in force, for example "avx512bf16"
 *     isa lower    the levels below it, ascending, on one line */
#include <stdio.h>
#include <string.h>

#include "gwen_simd.h"

int main(int argc, char **argv) {
    enum gwen_isa best = gwen_isa_detect();
    if (argc == 1) return printf("%s\n", gwen_isa_name(best)) < 0;
    if (argc != 2 || strcmp(argv[1], "lower") != 0) return 2;
    for (int isa = 0; isa < (int)best; isa++)
        if (gwen_isa_available((enum gwen_isa)isa))
            printf("%s ", gwen_isa_name((enum gwen_isa)isa));
    return printf("\n") < 0;
}
