/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes that the user declared, in the learner: each is a node whose text is the whole label, so that handles, labels,
 * caps and caches are those of every other route. Entry points: tb_route_ruled (called by tb_route_begin for what is
 * not in its cache), tb_route_declare, tb_route_reseed.
 */
#include "custom.h"
#include "route_cache.h"
#include "route_learner.h"
#include "route_rules.h"
#include "rules.h"

void tb_route_reseed(struct tb_core *core)
{
    struct tb_rules_view *v = core->rules_view;
    uint64_t seed = core->header->region_id ^ (core->header->generation << 32);
    uint64_t generation = tb_load_relaxed(&core->rules_word) >> 32;
    uint32_t flags = v ? tb_load_relaxed(&v->flags) : 0;
    uint8_t wants =
        (uint8_t)((flags & (TB_RULES_HOST_LABEL | TB_RULES_HOST_RULES) ? TB_HEAD_HOST : 0) |
                  (flags & TB_RULES_EXEMPLARS ? TB_HEAD_TRACE : 0) |
                  (flags & TB_RULES_REQUEST_SIZE || (v && v->custom.has_size) ? TB_HEAD_SIZE : 0) |
                  (flags & TB_RULES_PROBES ? TB_HEAD_PROBE : 0) | (v && v->custom.at_head ? TB_HEAD_CUSTOM : 0));
    tb_store_relaxed(&core->wants_head, wants);
    /* release: whoever finds a route under the new seed asked the new rules */
    tb_store_release(&core->route_seed, seed ^ (generation * TB_SEGMENT_MIX));
    tb_route_keep_head(core, tb_load_relaxed(&core->route_head));
}

void tb_route_keep_head(struct tb_core *core, struct tb_route_head *head)
{
    const struct tb_rules_view *v = core->rules_view;
    bool is_wanted = tb_load_relaxed(&core->wants_head) & ~TB_HEAD_CUSTOM || (v && v->custom.is_for_any);
    tb_store_release(&core->kept_head, is_wanted ? NULL : head);
}

void tb_route_remember(struct tb_core *core, uint64_t hash, struct tb_bytes path, uint32_t node)
{
    bool is_looked_into = tb_load_relaxed(&core->wants_head) & TB_HEAD_CUSTOM && tb_custom_looks(core, path, node);
    if (!is_looked_into)
        tb_route_cache_keep(core, hash, node);
}

static struct tb_route_step step_of(struct tb_bytes label)
{
    return (struct tb_route_step){
        .hash = tb_segment_hash(label), .kind = TB_KIND_WHOLE, .text_len = (uint8_t)label.len};
}

uint32_t tb_route_declare(struct tb_core *core, struct tb_bytes label)
{
    struct tb_route_step step = step_of(label);
    uint32_t node = label.len && label.len <= TB_ROUTE_LABEL_MAX ? tb_learn_add(core, 0, &step, label) : 0;
    if (node)
        tb_fetch_or_relaxed(&tb_learn_node(core, node)->flags, TB_NODE_ANSWERED | TB_NODE_RULE);
    return node;
}

/* The normalised path is the route; like any other, it stays a trial until it is answered. */
static uint32_t begin_path(struct tb_core *core, struct tb_bytes path, bool is_cut, uint64_t hash)
{
    struct tb_rules_path cut;
    char text[TB_RULES_LABEL_MAX];
    tb_rules_cut(path, is_cut, &cut);
    struct tb_bytes label = tb_bytes(text, tb_rules_path_label(&cut, text));
    struct tb_route_step step = step_of(label);
    uint32_t node = tb_learn_child(core, 0, TB_KIND_WHOLE, step.hash, label), handle = TB_ROUTE_OTHER;
    if (node && (tb_load_relaxed(&tb_learn_node(core, node)->flags) & TB_NODE_ANSWERED)) {
        if (hash)
            tb_route_remember(core, hash, path, node);
        return node + 1;
    }
    struct tb_route_trial *t = tb_trial_claim(core, &handle);
    if (!t) {
        tb_count(core, TB_COUNTER_ROUTES_OVERFLOW);
        return TB_ROUTE_OTHER;
    }
    t->base = 0;
    t->result = 0;
    t->other = 0;
    t->count = 1;
    t->words[0] = 0;
    t->steps[0] = step;
    tb_copy(t->text, label.ptr, label.len);
    return handle;
}

bool tb_route_ruled(struct tb_core *core, uint8_t method, struct tb_bytes host, struct tb_bytes path, bool is_cut,
                    uint64_t *hash, uint64_t shape, uint32_t *ret_handle)
{
    struct tb_rules_answer a = tb_rules_ask(core, method, host, path, is_cut);
    if (!a.is_for_all)
        *hash = 0; /* the cache knows paths only */
    switch (a.verdict) {
    case TB_RULES_SAY_DROP:
        *ret_handle = TB_ROUTE_IGNORED;
        return true;
    case TB_RULES_SAY_PATH:
        *ret_handle = begin_path(core, path, is_cut, *hash);
        return true;
    case TB_RULES_SAY_NODE:
        if (!a.node)
            return false; /* no room in the tree */
        if (*hash)
            tb_route_remember(core, shape ? shape : *hash, path, a.node);
        *ret_handle = a.node + 1;
        return true;
    default:
        return false;
    }
}
