/* replay.c - runs a fuzz target over its corpus with any compiler: each file as it is, cut short
 * at up to 256 places, and with up to 256 single bytes changed.
 *
 *     replay_NAME FILE-OR-FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VARIANTS = 256, MOST_BYTES = 1 << 20 };

/* Runs a copy of exactly `size` bytes, so that sanitizers see a read beyond its end. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) exit(1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_variants(uint8_t *data, size_t size) {
    run(data, size);
    size_t step = size / VARIANTS + 1;
    for (size_t cut = 0; cut < size; cut += step) run(data, cut);
    uint32_t state = 12345; /* a fixed sequence: a failure can be repeated */
    for (size_t i = 0; i < VARIANTS && size > 0; i++) {
        state = state * 1664525u + 1013904223u;
        uint8_t *at = &data[(state >> 8) % size], was = *at;
        *at = (uint8_t)(i % 2 == 0 ? was ^ (1u << (i / 2 % 8)) : i);
        run(data, size);
        *at = was;
    }
}

/* Runs one file; returns the number of files run. */
static int run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(MOST_BYTES);
    if (f == NULL || data == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    size_t size = fread(data, 1, MOST_BYTES, f);
    fclose(f);
    run_variants(data, size);
    free(data);
    return 1;
}

static int run_path(const char *path) {
    DIR *dir = opendir(path);
    if (dir == NULL) return run_file(path);
    int n = 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char full[4096];
        if (e->d_name[0] == '.') continue;
        snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        n += run_file(full);
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv) {
    int n = 0;
    for (int i = 1; i < argc; i++) n += run_path(argv[i]);
    printf("%d files and their variants\n", n);
    return n == 0;
}
