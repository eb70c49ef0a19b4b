/* peak.c - peaks of computing and of reading, measured by all threads at once.
 *
 * Each measurement is a few milliseconds between two barriers, repeated; the best counts, since
 * everything that disturbs it only makes it slower.  They are that short so that some fall between
 * the turns of other programs: what is measured against a disturbed peak would exceed it. */
#include "ops/peak.h"

#include "base/clock.h"
#include "base/layout.h"

#include <string.h>

enum { MIN_ROUNDS = 3 };

/* A piece of work that every thread does at once, for the `round`-th time; returns how much it
 * was. */
typedef double work_fn(void *ctx, size_t round, int thread, int n_threads);

struct measurement {
    struct gw_pool *pool;
    work_fn *work;
    void *ctx;
    double seconds;         /* to spend */
    double best;            /* amount per second of all threads together */
    double amount, elapsed; /* of all rounds together */
    struct {
        uint64_t start; /* when the thread began: any of them may be held up before it does */
        double amount;
    } parts[1024];
    bool stop; /* written by thread 0 between barriers */
};

static void measure_thread(void *arg, int thread, int n_threads) {
    struct measurement *m = arg;
    const uint64_t begin = gw_now_ns();
    for (size_t round = 0;; round++) {
        gw_pool_barrier(m->pool);
        const uint64_t start = gw_now_ns();
        const double amount = m->work(m->ctx, round, thread, n_threads);
        if ((size_t)thread < GW_ARRAY_LEN(m->parts)) {
            m->parts[thread].start = start;
            m->parts[thread].amount = amount;
        }
        gw_pool_barrier(m->pool);
        if (thread == 0) {
            uint64_t first = start;
            double total = 0;
            for (int i = 0; i < GW_MIN(n_threads, (int)GW_ARRAY_LEN(m->parts)); i++) {
                total += m->parts[i].amount;
                first = GW_MIN(first, m->parts[i].start);
            }
            const double elapsed = gw_seconds_since(first);
            if (elapsed > 0 && total / elapsed > m->best) m->best = total / elapsed;
            m->amount += total;
            m->elapsed += elapsed;
            m->stop = round + 1 >= MIN_ROUNDS && gw_seconds_since(begin) > m->seconds;
        }
        gw_pool_barrier(m->pool);
        if (m->stop) return;
    }
}

/* Amounts per second: of the best round, and of all together. */
struct rates {
    double best, mean;
};

static struct rates measure(struct gw_pool *pool, work_fn *work, void *ctx, double seconds) {
    struct measurement m = {.pool = pool, .work = work, .ctx = ctx, .seconds = seconds};
    gw_pool_run(pool, measure_thread, &m);
    return (struct rates){m.best, m.elapsed > 0 ? m.amount / m.elapsed : 0};
}

/* --- computing ------------------------------------------------------------------------------ */
struct flops_work {
    double (*peak)(size_t n);
    size_t n;
};

static double flops_thread(void *ctx, size_t round, int thread, int n_threads) {
    const struct flops_work *w = ctx;
    (void)round, (void)thread, (void)n_threads;
    return w->peak(w->n);
}

double gw_peak_flops(const struct gw_arith *arith, struct gw_pool *pool, double seconds) {
    struct flops_work w = {
        arith->format == GW_PANEL_BF16X2 ? arith->kern->peak_dot : arith->kern->peak_f32, 1000};
    if (w.peak == NULL) return 0;
    for (double took = 0; took < 2e-3; w.n *= 2) { /* as many rounds as take 2 to 4 ms */
        const uint64_t start = gw_now_ns();
        w.peak(w.n);
        took = gw_seconds_since(start);
    }
    return measure(pool, flops_thread, &w, seconds).best;
}

/* --- reading -------------------------------------------------------------------------------- */
/* The buffer is read one slice after another: a slice is what a measurement takes. */
struct read_work {
    const struct gw_arith *arith;
    struct gw_pool *pool;
    char *data;
    size_t group_bytes, slice_groups, n_slices;
    const float *x;
    char *scratch;  /* gw_linear_scratch_bytes() for each thread */
    uint64_t *sums; /* a line for each thread, so that the reading is not for nothing */
};

enum { K = 2048 }; /* of the buffer seen as a matrix */

static void cut(struct read_work *w, size_t n_groups, size_t n_slices) {
    w->n_slices = n_slices;
    w->slice_groups = n_groups / n_slices;
}

static char *slice(const struct read_work *w, size_t round) {
    return w->data + round % w->n_slices * w->slice_groups * w->group_bytes;
}

/* A thread's part of a slice. */
static char *share(const struct read_work *w, size_t round, int thread, int n_threads,
                   size_t *n_lines) {
    size_t begin, end;
    gw_share(w->slice_groups * w->group_bytes / GW_CACHE_LINE, thread, n_threads, &begin, &end);
    *n_lines = end - begin;
    return slice(w, round) + begin * GW_CACHE_LINE;
}

static uint64_t word(const char *at) {
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* One word of each line, `streams` lines at a time from as many equal pieces; asks for memory
 * `ahead` bytes further on. */
static inline double read_lines(void *ctx, size_t round, int thread, int n_threads, size_t streams,
                                size_t ahead) {
    const struct read_work *w = ctx;
    size_t n_lines;
    const char *from = share(w, round, thread, n_threads, &n_lines);
    const size_t each = n_lines / streams;
    uint64_t sum = 0;
    for (size_t i = 0; i < each; i++) {
        for (size_t s = 0; s < streams; s++) {
            const char *at = from + (s * each + i) * GW_CACHE_LINE;
            if (ahead > 0) __builtin_prefetch(at + ahead);
            sum += word(at);
        }
    }
    w->sums[(size_t)thread * GW_CACHE_LINE / sizeof sum] = sum;
    return (double)(each * streams * GW_CACHE_LINE);
}

static double read_one(void *ctx, size_t round, int thread, int n_threads) {
    return read_lines(ctx, round, thread, n_threads, 1, 0);
}
static double read_one_ahead(void *ctx, size_t round, int thread, int n_threads) {
    return read_lines(ctx, round, thread, n_threads, 1, 4096);
}
static double read_four(void *ctx, size_t round, int thread, int n_threads) {
    return read_lines(ctx, round, thread, n_threads, 4, 0);
}
static double read_four_ahead(void *ctx, size_t round, int thread, int n_threads) {
    return read_lines(ctx, round, thread, n_threads, 4, 2048);
}

static void count_groups(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                         size_t c_stride) {
    uint64_t *counts = ctx;
    (void)m0, (void)m, (void)n0, (void)n, (void)c, (void)c_stride;
    counts[(size_t)thread * GW_CACHE_LINE / sizeof *counts]++;
}

/* What a decoding step of one row does to its weights. */
static double read_product(void *ctx, size_t round, int thread, int n_threads) {
    const struct read_work *w = ctx;
    struct gw_packed packed;
    uint64_t *done = &w->sums[(size_t)thread * GW_CACHE_LINE / sizeof *done], before = *done;
    (void)n_threads;
    gw_packed_init(&packed, w->arith->format, w->slice_groups * GW_GROUP_COLS, K, slice(w, round));
    gw_linear(w->arith, &packed, 1, w->x, gw_packed_x_stride(w->arith->format, K), count_groups,
              w->sums, w->scratch + (size_t)thread * gw_linear_scratch_bytes(), w->pool, thread);
    return (double)((*done - before) * w->group_bytes);
}

/* Writes a slice: pages that were never written are all the same page of zeros. */
static double touch(void *ctx, size_t round, int thread, int n_threads) {
    size_t n_lines;
    char *to = share(ctx, round, thread, n_threads, &n_lines);
    memset(to, 0, n_lines * GW_CACHE_LINE);
    return 0;
}

static bool has_format(const struct gw_arith *arith) {
    return arith->format != GW_PANEL_BF16X2 || arith->kern->gemm_bf16dot != NULL;
}

/* Measures every pattern, in slices that take about 4 ms. */
static void read_patterns(struct read_work *w, struct gw_pool *pool, size_t n_groups,
                          double seconds, struct gw_read_peak *out) {
    static const struct {
        const char *name;
        work_fn *work;
    } patterns[] = {{"one stream", read_one},
                    {"one stream, prefetched", read_one_ahead},
                    {"four streams", read_four},
                    {"four streams, prefetched", read_four_ahead},
                    {"product with one row", read_product}};
    cut(w, n_groups, 1);
    measure(pool, touch, w, 0);
    const double rough = measure(pool, read_one, w, 0).best, most = (double)(n_groups / 8);
    const double slices = (double)out->bytes / (rough * 4e-3);
    cut(w, n_groups, slices < 1 ? 1 : (size_t)(slices < most ? slices : most));
    for (size_t i = 0; i < GW_ARRAY_LEN(patterns); i++) {
        if (patterns[i].work == read_product && !has_format(w->arith)) continue;
        const double each = seconds / (double)GW_ARRAY_LEN(patterns);
        const struct rates rate = measure(pool, patterns[i].work, w, each);
        if (rate.best <= out->bytes_s) continue;
        out->bytes_s = rate.best;
        out->mean_bytes_s = rate.mean;
        out->pattern = patterns[i].name;
    }
}

/* All but what is read. */
static void lay_out(struct gw_layout *l, size_t n_threads, struct read_work *w) {
    w->scratch = gw_layout_take(l, n_threads, gw_linear_scratch_bytes());
    w->sums = gw_layout_take(l, n_threads, GW_CACHE_LINE);
    w->x = gw_layout_take(l, 1, gw_packed_x_stride(w->arith->format, K));
}

enum gwen_status gw_peak_read(const struct gw_arith *arith, struct gw_pool *pool, size_t max_bytes,
                              double seconds, struct gw_read_peak *out, struct gwen_err *err) {
    const size_t least = (size_t)16 << 20, most = (size_t)1 << 30;
    const size_t group = GW_GROUP_PANELS * gw_panel_bytes(arith->format, K);
    const size_t n_threads = (size_t)gw_pool_threads(pool);
    struct read_work w = {.arith = arith, .pool = pool, .group_bytes = group};
    struct gw_layout l = {0};
    lay_out(&l, n_threads, &w);
    const size_t extra = l.used;
    if (max_bytes < least + extra)
        return gw_fail(err, GWEN_ERR_NOMEM,
                       "measuring the read bandwidth needs %zu MiB of memory, %zu MiB are left",
                       (least + extra) >> 20, max_bytes >> 20);

    struct gw_mem buffer, rest = {0};
    const size_t n_groups = GW_MIN(max_bytes - extra, most) / group;
    GW_TRY(gw_mem_map(&buffer, n_groups * group, err));
    enum gwen_status status = gw_layout_map(&l, extra, &rest, err);
    if (status == GWEN_OK) {
        lay_out(&l, n_threads, &w);
        status = gw_layout_end(&l, "measuring the read bandwidth", err);
    }
    if (status != GWEN_OK) {
        gw_mem_unmap(&rest);
        gw_mem_unmap(&buffer);
        return status;
    }
    w.data = buffer.data;
    *out = (struct gw_read_peak){
        .bytes = buffer.bytes, .huge_pages = buffer.huge_advised, .pattern = ""};
    read_patterns(&w, pool, n_groups, seconds, out);
    gw_mem_unmap(&rest);
    gw_mem_unmap(&buffer);
    return GWEN_OK;
}
