/* fuzz_prompts.c - a file of prompts: what is accepted keeps its promises, what is not is told in
 * one line that names the file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "service/rollout/prompts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB = 300, CONTEXT = 200, MAX_TOKENS = 20 };

/* Loaded once; the program runs from the repository's root. */
static struct gw_tokenizer *tokenizer;
static struct gw_prompt_chat chat;

static void load(void) {
    struct gwen_err err;
    static bool done;
    if (done) return;
    done = true;
    if (gw_tokenizer_load("tests/fixtures/tiny-tokenizer", &tokenizer, &err) == GWEN_OK)
        gw_prompt_chat_open(tokenizer, &(struct tm){.tm_year = 126}, &chat);
}

static void check(const struct gw_prompts *p) {
    size_t n_tokens = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct gw_prompt *r = &p->rows[i];
        struct gwen_err err;
        json_t *meta;
        if (r->n == 0 || r->n >= CONTEXT || r->max_tokens == 0 || r->n + r->max_tokens > CONTEXT)
            abort();
        for (size_t k = 0; k < r->n; k++)
            if (r->ids[k] < 0 || r->ids[k] >= VOCAB) abort();
        if (strlen(r->meta) != r->meta_len || (r->id != NULL && strlen(r->id) != r->id_len))
            abort();
        if (gw_row_parse(r->meta, r->meta_len, "meta", 2, &meta, &err) != GWEN_OK) abort();
        json_decref(meta);
        n_tokens += r->n;
    }
    if (n_tokens != p->n_tokens || p->n == 0) abort();
    gw_prompts_hash(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    struct gwen_err err = {0};
    load();
    int fd = memfd_create("prompts", 0);
    if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size)) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int as_chat = 0; as_chat < 2; as_chat++) {
        const struct gw_prompt_opts o = {.tokenizer = tokenizer,
                                         .chat = &chat,
                                         .as_chat = as_chat,
                                         .system = as_chat ? "Be brief." : NULL,
                                         .vocab_size = VOCAB,
                                         .context = CONTEXT,
                                         .max_tokens = MAX_TOKENS,
                                         .clamp = as_chat};
        struct gw_prompts p = {0};
        if (gw_prompts_read(path, &o, &p, &err) == GWEN_OK)
            check(&p);
        else if (strncmp(err.message, path, strlen(path)) != 0 || strchr(err.message, '\n') != NULL)
            abort();
        gw_prompts_free(&p);
    }
    close(fd);
    return 0;
}
