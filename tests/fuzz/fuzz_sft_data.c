/* fuzz_sft_data.c - a file of training rows: what is accepted keeps its promises, what is not is
 * told in one line that names the file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service/train/sft/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB = 300, LONGEST = 60 };
static const int32_t EOS[] = {2};

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

static void check(const struct gw_sft_data *d) {
    size_t n_tokens = 0, n_loss = 0;
    for (size_t i = 0; i < d->n; i++) {
        const struct gw_sft_row *r = &d->rows[i];
        size_t ones = 0;
        if (r->n < 2 || r->n > LONGEST || r->n > d->longest || r->mask[0] != 0) abort();
        for (size_t k = 0; k < r->n; k++) {
            if (r->ids[k] < 0 || r->ids[k] >= VOCAB || r->mask[k] > 1) abort();
            ones += r->mask[k];
        }
        if (ones == 0 || ones != r->n_loss) abort();
        n_tokens += r->n;
        n_loss += ones;
    }
    if (d->n == 0 || n_tokens != d->n_tokens || n_loss != d->n_loss) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    struct gwen_err err = {0};
    load();
    int fd = memfd_create("rows", 0);
    if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size)) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int as_chat = 0; as_chat < 2; as_chat++) {
        const struct gw_prompt_opts prompt = {
            .tokenizer = tokenizer, .chat = &chat, .as_chat = as_chat, .vocab_size = VOCAB};
        const struct gw_sft_opts o = {
            .prompt = &prompt, .eos = {EOS, 1}, .own_eos = -1, .max_length = LONGEST};
        struct gw_sft_data d = {0};
        if (gw_sft_read(path, &o, &d, &err) == GWEN_OK)
            check(&d);
        else if (strncmp(err.message, path, strlen(path)) != 0 || strchr(err.message, '\n') != NULL)
            abort();
        gw_sft_free(&d);
    }
    close(fd);
    return 0;
}
