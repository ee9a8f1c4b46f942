/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short way of a path down the learner's tree, when every segment of it is known: in place, without cutting it into
 * segments or judging any. Entry point: tb_route_walk_known. Writes nothing but small counts.
 */
#include "route_known.h"
#include "route_walk.h"

/* Letters, dashes and underscores that begin with a letter: nothing to normalise, no version, no file name. */
static bool is_simple_word(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)((p[i] | 0x20) - 'a') >= 26 && (!i || (p[i] != '-' && p[i] != '_')))
            return false;
    return len <= TB_ROUTE_LITERAL_MAX;
}

uint32_t tb_route_walk_known(struct tb_core *core, struct tb_bytes path)
{
    uint32_t node = 0, before = 0;
    size_t i = 0;
    while (i < path.len) {
        const uint8_t *at = path.ptr + ++i; /* behind the slash */
        struct tb_segment_met m = tb_segment_meet(at, path.len - i);
        if (!m.len)
            return UINT32_MAX;
        i += m.len;
        uint32_t parent = node;
        node = m.number ? tb_load_acquire(&tb_learn_node(core, parent)->values)
                        : tb_learn_child(core, parent, TB_KIND_LITERAL, m.hash, tb_bytes(at, m.len));
        if (!node && is_simple_word(at, m.len)) {
            node = tb_route_place_of_words(core, parent, m.hash, tb_bytes(at, m.len));
            if (node)
                tb_learn_note_value(core, node, m.hash);
        }
        if (!node)
            return UINT32_MAX;
        struct tb_route_node *n = tb_learn_node(core, node);
        if (tb_load_relaxed(&n->visits) < TB_NODE_VISITS || (tb_load_relaxed(&n->flags) & TB_NODE_MERGED))
            return UINT32_MAX;
        if (n->kind == TB_KIND_LITERAL && tb_learn_node(core, parent)->kind != TB_KIND_LITERAL && parent) {
            if (tb_load_relaxed(&n->via) == tb_learn_via(before))
                return UINT32_MAX; /* nothing but this word leads there: is it a literal after all? */
            tb_learn_note_via(n, before);
        }
        before = m.number ? 0 : m.hash;
    }
    return tb_load_relaxed(&tb_learn_node(core, node)->flags) & TB_NODE_ANSWERED ? node : UINT32_MAX;
}
