/* gwen.h - the public interface of libgwen, a CPU engine for reinforcement learning on
 * language models.
 *
 * Conventions.  Handles are opaque.  Every options structure begins with `struct_size`, which
 * the caller sets to sizeof the structure (use the GWEN_*_INIT macros), so that later versions
 * can grow it.  Functions return GWEN_OK or another status and then fill the caller's
 * struct gwen_err.  The library keeps no process-global state, installs no signal handlers,
 * reads no environment variables, never prints and never exits.  Different handles may be used
 * from different threads; one handle must not be used from two threads at once. */
#ifndef GWEN_GWEN_H
#define GWEN_GWEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GWEN_API __attribute__((visibility("default")))
#else
#define GWEN_API
#endif

#define GWEN_VERSION "0.1.0"

enum gwen_status {
    GWEN_OK = 0,
    GWEN_ERR_ARGUMENT,    /* the caller asked for something impossible */
    GWEN_ERR_IO,          /* a file could not be read or written */
    GWEN_ERR_FORMAT,      /* a file's content is not what it should be */
    GWEN_ERR_UNSUPPORTED, /* well-formed, but not implemented; never computed wrongly instead */
    GWEN_ERR_NOMEM,       /* does not fit the memory budget, or allocation failed */
    GWEN_ERR_NUMERIC,     /* NaN or infinity where a finite number was needed */
    GWEN_ERR_CANCELLED,   /* the caller's progress callback said stop */
    GWEN_ERR_INTERNAL     /* a bug */
};

/* What a message says is to be turned: members of the options structures below.  Numbers from 64
 * on are options of the program gwen-cpu; pass over those that you do not know. */
enum gwen_knob {
    GWEN_KNOB_NONE = 0,
    GWEN_KNOB_MAX_MEMORY, /* gwen_model_options.max_memory */
    GWEN_KNOB_DTYPE,      /* gwen_model_options.dtype */
    GWEN_KNOB_MAX_TOKENS, /* gwen_sample_options.max_tokens */
    GWEN_KNOB_BATCH_SIZE  /* gwen_sample_options.batch_size */
};

struct gwen_err_knob {
    uint16_t knob; /* enum gwen_knob */
    uint16_t at;   /* the byte of the message where its name stands */
};

#define GWEN_ERR_KNOBS 6

/* Belongs to the caller; need not be initialised, and may be NULL wherever one is taken.  A message
 * is whole as it is; it names what to turn as this header does ("lower max_tokens to 212").  A
 * program that calls these things otherwise finds where they stand in `knobs`.
 *
 * The structure's size and what lies where in it are kept: later versions take room for new members
 * from the message's end, which ends with a NUL all the same. */
struct gwen_err {
    enum gwen_status status;
    char message[1000];                         /* one line: what, where, what to do */
    struct gwen_err_knob knobs[GWEN_ERR_KNOBS]; /* in the order of the message, then NONE */
};

enum gwen_log_level {
    GWEN_LOG_ERROR,
    GWEN_LOG_WARNING,
    GWEN_LOG_INFO, /* what a person waiting wants to know */
    GWEN_LOG_DEBUG
};

/* Receives one line (no newline at its end), which is valid during the call only.  It is called
 * from the thread that called the library, never from two threads at once. */
typedef void (*gwen_log_fn)(void *user, enum gwen_log_level level, const char *message);

/* How far a long call has come. */
struct gwen_progress {
    const char *what; /* the phase: "load", "rollout"... */
    const char *unit; /* of done and total: "bytes", "samples", "tokens"... */
    uint64_t done;
    uint64_t total; /* 0: not known */
};

/* Called from time to time by long calls, from the thread that called the library.  Returns true
 * to go on; false makes the call return GWEN_ERR_CANCELLED at its next safe point. */
typedef bool (*gwen_progress_fn)(void *user, const struct gwen_progress *progress);

/* Version of the library as "MAJOR.MINOR.PATCH"; a static string. */
GWEN_API const char *gwen_version(void);

/* Frees memory that the library handed to the caller; NULL is fine. */
GWEN_API void gwen_free(void *memory);

/* --- models --------------------------------------------------------------------------------- */

/* A model with its tokenizer and its threads. */
struct gwen_model;

enum gwen_dtype {
    GWEN_DTYPE_AUTO, /* the checkpoint's own 16-bit type; bfloat16 for float32 checkpoints */
    GWEN_DTYPE_BF16,
    GWEN_DTYPE_FP16,
    GWEN_DTYPE_FP32
};

struct gwen_model_options {
    size_t struct_size;
    enum gwen_dtype dtype;
    int threads;         /* 0: physical cores of the process's mask, or its CPU quota if less */
    const char *isa;     /* highest instruction set to use ("ref", "avx2", ...); NULL: the best */
    uint64_t max_memory; /* bytes that weights and work together may take; 0: what is free */
    gwen_log_fn log;     /* may be NULL */
    void *log_user;
};
#define GWEN_MODEL_OPTIONS_INIT                                                                    \
    { sizeof(struct gwen_model_options), GWEN_DTYPE_AUTO, 0, 0, 0, 0, 0 }

/* Loads a Hugging Face model directory (qwen3, qwen2, llama or mistral; safetensors; F32, F16 or
 * BF16).  opts may be NULL.  A directory without tokenizer files gives a model that works on ids
 * only.  End with gwen_model_free. */
GWEN_API enum gwen_status gwen_model_load(const char *dir, const struct gwen_model_options *opts,
                                          struct gwen_model **out, struct gwen_err *err);
GWEN_API void gwen_model_free(struct gwen_model *model); /* NULL is fine */

struct gwen_model_info {
    size_t struct_size; /* in: set by the caller */
    size_t vocab_size, n_layers, hidden_size, n_heads, n_kv_heads, head_dim, ffn_size;
    size_t max_context;    /* tokens */
    uint64_t n_params;     /* tied weights once */
    uint64_t weight_bytes; /* packed */
    int threads;
    bool has_tokenizer;
    enum gwen_dtype dtype;     /* never AUTO */
    const char *isa;           /* static strings */
    const char *numeric_class; /* results have the same bits wherever this and dtype agree */
};
GWEN_API void gwen_model_get_info(const struct gwen_model *model, struct gwen_model_info *info);

/* --- text ----------------------------------------------------------------------------------- */

/* Encodes UTF-8 text (it may hold NULs).  With add_special, special tokens are added as the
 * tokenizer's own post-processor does (BOS, ...).  *ids is an array of *n ids, to be released by
 * gwen_free. */
GWEN_API enum gwen_status gwen_encode(const struct gwen_model *model, const char *text, size_t len,
                                      bool add_special, int32_t **ids, size_t *n,
                                      struct gwen_err *err);
/* Decodes n ids; *text is NUL-terminated, *len bytes long without it, to be released by
 * gwen_free.  Ids without a token are left out, and so are special ones with skip_special. */
GWEN_API enum gwen_status gwen_decode(const struct gwen_model *model, const int32_t *ids, size_t n,
                                      bool skip_special, char **text, size_t *len,
                                      struct gwen_err *err);

/* --- scoring -------------------------------------------------------------------------------- */

struct gwen_sequence {
    const int32_t *ids; /* [n], owned by the caller */
    size_t n;
    size_t from;     /* 1..n: first position whose log-probability is wanted */
    float *logprobs; /* [n - from] out: ln p(ids[t] | ids[0..t-1]) for t = from..n-1 */
};

/* Computes log-probabilities of given tokens under softmax(logits / temperature).  Sequences with
 * equal ids before `from` (in any thousand of them) have those computed once.  temperature is in
 * [1e-6, 1e6].  Bit for bit what gwen_sample recorded. */
GWEN_API enum gwen_status gwen_score(struct gwen_model *model, struct gwen_sequence *sequences,
                                     size_t n, double temperature, struct gwen_err *err);

/* --- sampling ------------------------------------------------------------------------------- */

struct gwen_prompt {
    const int32_t *ids; /* [n], owned by the caller */
    size_t n;           /* at least 1 */
    uint64_t key;       /* tells prompts apart in the random draws: their number, or a hash */
};

struct gwen_sample_options {
    size_t struct_size;
    size_t group;      /* samples of each prompt */
    size_t max_tokens; /* of a completion */
    size_t batch_size; /* samples decoded together; 0: chosen.  Never changes a result */
    uint64_t seed;
    uint64_t step;             /* part of the random key: the optimizer step */
    double temperature;        /* 0: greedy */
    size_t top_k;              /* 0: off */
    double top_p;              /* 1: off */
    double min_p;              /* 0: off */
    double repetition_penalty; /* 1: off */
    bool ignore_eos;           /* go on to max_tokens */
    gwen_progress_fn progress; /* may be NULL; unit "samples" */
    void *progress_user;
};
#define GWEN_SAMPLE_OPTIONS_INIT                                                                   \
    { sizeof(struct gwen_sample_options), 1, 128, 0, 0, 0, 1.0, 0, 1.0, 0.0, 1.0, false, 0, 0 }

struct gwen_completion {
    size_t prompt;         /* index into the prompts */
    size_t sample;         /* 0..group-1 */
    const int32_t *ids;    /* [n] with the ending eos; valid during the call */
    const float *logprobs; /* [n] ln p under softmax(logits / temperature), before truncation */
    size_t n;
    bool stopped; /* at an end-of-sequence token; else at max_tokens */
};

/* Receives finished samples in no particular order, from the thread that called gwen_sample.
 * Returns false to end the run with GWEN_ERR_CANCELLED. */
typedef bool (*gwen_completion_fn)(void *user, const struct gwen_completion *completion);

/* Samples `group` completions of every prompt.  A sample depends on the model, dtype, numeric
 * class, seed, step, prompt, its key and the sample's number only. */
GWEN_API enum gwen_status gwen_sample(struct gwen_model *model, const struct gwen_prompt *prompts,
                                      size_t n_prompts, const struct gwen_sample_options *opts,
                                      gwen_completion_fn fn, void *user, struct gwen_err *err);

#ifdef __cplusplus
}
#endif
#endif
