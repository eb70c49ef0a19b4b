/* json_memory.c - the program ends when Jansson cannot have memory.
 *
 * Jansson 2.14 does not look at whether the buffer of a string could grow: bytes are lost, and a
 * row is read as another one.  Its allocator belongs to the whole process, so it is the program
 * that replaces it, not the library.  Nothing finished is lost: what is on disk is whole at any
 * moment. */
#include "cli/cli.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static void *allocate(size_t bytes) {
    static const char message[] = "gwen-cpu: out of memory while JSON was read or written\n";
    void *p = malloc(bytes > 0 ? bytes : 1);
    if (p != NULL) return p;
    const ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
    (void)ignored;
    _exit(GW_EXIT_FAILED);
}

void gw_cli_guard_json(void) { json_set_alloc_funcs(allocate, free); }
