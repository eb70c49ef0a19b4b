/* sizes.c - see sizes.h. */
#include "service/judge/sizes.h"

struct gw_judge_need gw_judge_need_of_bound(size_t longest, size_t criteria) {
    return (struct gw_judge_need){longest, gw_kv_blocks_for(longest) + 2 * criteria};
}

/* Without decoding only what is under way counts: two long prompts around the edge of a pass, and
 * short ones that fill it. */
size_t gw_judge_blocks(const struct gw_judge_need *need, size_t chunk, bool generates) {
    const size_t least = gw_kv_blocks_for(need->longest) + 1 + GW_SCORER_DEPTH;
    const size_t all = least + chunk * need->item_blocks;
    const size_t under_way = least + 3 * gw_kv_blocks_for(need->longest) + GW_JUDGE_ROWS / 4;
    return generates ? all : GW_MIN(all, under_way);
}

struct gw_plan_options gw_judge_plan_of(const struct gw_judge_sizes *sizes,
                                        const struct gw_judge_need *need, size_t chunk) {
    struct gw_plan_options plan = sizes->plan;
    plan.kind = GW_PLAN_SCORE;
    plan.scorer.rows = GW_JUDGE_ROWS;
    plan.scorer.max_len = GW_MIN(gw_round_up(need->longest, GW_KV_BLOCK), sizes->context);
    plan.scorer.n_blocks = gw_judge_blocks(need, chunk, sizes->verdict_tokens > 0);
    plan.scorer.temperature = 1;
    plan.scorer.keep_logits = true;
    plan.scorer.no_sharing = sizes->no_sharing;
    return plan;
}

struct chunk_search {
    const struct gw_judge_sizes *sizes;
    const struct gw_judge_need *need;
};

static bool chunk_fits(void *ctx, size_t chunk) {
    const struct chunk_search *s = ctx;
    const struct gw_plan_options o = gw_judge_plan_of(s->sizes, s->need, chunk);
    struct gw_plan plan;
    gw_plan_make(&o, &plan);
    return plan.total <= s->sizes->budget_bytes;
}

size_t gw_judge_largest_chunk(const struct gw_judge_sizes *sizes, const struct gw_judge_need *need,
                              size_t most) {
    struct chunk_search search = {sizes, need};
    return gw_largest(0, most, chunk_fits, &search);
}

size_t gw_judge_auto_chunk(const struct gw_plan_options *plan, size_t budget_bytes,
                           size_t text_tokens, size_t criteria) {
    const struct gw_judge_sizes sizes = {.plan = *plan,
                                         .budget_bytes = budget_bytes,
                                         .context = plan->cfg->max_position_embeddings,
                                         .verdict_tokens = GW_JUDGE_MAX_TOKENS};
    const size_t longest = text_tokens + GW_JUDGE_MAX_TOKENS;
    const struct gw_judge_need need = gw_judge_need_of_bound(longest, criteria);
    return longest > sizes.context ? 0 : gw_judge_largest_chunk(&sizes, &need, GW_JUDGE_CHUNK);
}
