/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which entry of a set a path matches. The tree is searched with the most specific choice first: a literal, then a
 * segment with a parameter in it, then a parameter, then a wildcard; a choice that leads nowhere is taken back. Each
 * node is one place in the tree, so a sound set is searched in as many steps as it has nodes and entries; any other has
 * a bound.
 * Also globs, normalising paths, and paths as labels. Pure; hostile bytes on both sides.
 */
#include "route_path.h"
#include "rules.h"

#define LOOKS_MAX 8192u /* at nodes, edges and entries, for one path */

bool tb_glob(struct tb_bytes glob, struct tb_bytes text)
{
    uint32_t steps = UINT32_MAX;
    return tb_glob_within(glob, text, &steps);
}

bool tb_glob_within(struct tb_bytes glob, struct tb_bytes text, uint32_t *steps)
{
    size_t g = 0, t = 0, star = SIZE_MAX, retry = 0;
    while (t < text.len) {
        if (!*steps)
            return false;
        --*steps;
        uint8_t c = g < glob.len ? tb_load_relaxed(&glob.ptr[g]) : 0;
        if (g < glob.len && c == '*') {
            star = g++;
            retry = t;
        } else if (g < glob.len && (c == '?' || c == text.ptr[t])) {
            g++;
            t++;
        } else if (star != SIZE_MAX) {
            g = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (g < glob.len && tb_load_relaxed(&glob.ptr[g]) == '*')
        g++;
    return g == glob.len;
}

/* ---- paths ---- */

#define EACH(x) (UINT64_C(0x0101010101010101) * (x))

static inline uint64_t bytes_equal(uint64_t word, uint8_t c)
{
    uint64_t x = word ^ EACH(c);
    return ~(((x & EACH(0x7f)) + EACH(0x7f)) | x) & EACH(0x80); /* exact: bit 7 of each byte that is c */
}

/* Cuts a path in which nothing is to be normalised. False: there is something. */
static bool cut_plain(struct tb_bytes path, struct tb_rules_path *ret)
{
    size_t from = 1;
    for (size_t i = 0; i <= path.len; i += 8) {
        size_t left = path.len - i;
        uint64_t word = left >= 8 ? tb_load_8(path.ptr + i) : tb_load_few(path.ptr + i, left);
        if (left < 8)
            word |= (uint64_t)'/' << 8 * left; /* a slash behind the end closes the last segment */
        if (bytes_equal(word, '%') | bytes_equal(word, ';'))
            return false;
        for (uint64_t slashes = bytes_equal(word, '/'); slashes; slashes &= slashes - 1) {
            size_t at = i + (size_t)__builtin_ctzll(slashes) / 8;
            if (at == 0)
                continue; /* the first one */
            if (at <= from) {
                if (at == path.len) /* a slash at the end */
                    return true;
                return false;
            }
            if (ret->count == TB_RULES_DEPTH_MAX) {
                ret->has_rest = true;
                return true;
            }
            if (path.ptr[from] == '.')
                return false;
            ret->segments[ret->count++] = tb_bytes(path.ptr + from, at - from);
            from = at + 1;
        }
    }
    return true;
}

void tb_rules_cut(struct tb_bytes path, bool is_cut, struct tb_rules_path *ret)
{
    struct tb_route_path slow;
    ret->count = 0;
    ret->has_rest = false;
    if (!is_cut && path.len && path.ptr[0] == '/' && cut_plain(path, ret))
        return;
    tb_route_cut(path, is_cut, &slow);
    size_t used = slow.decoded_len <= sizeof ret->kept ? slow.decoded_len : 0;
    tb_copy(ret->kept, slow.decoded, used);
    ret->count = slow.count;
    ret->has_rest = slow.has_rest;
    for (uint32_t i = 0; i < slow.count; i++) {
        struct tb_bytes t = slow.segments[i].text;
        if (t.ptr >= slow.decoded && t.ptr < slow.decoded + used)
            t.ptr = ret->kept + (t.ptr - slow.decoded);
        ret->segments[i] = t;
    }
}

size_t tb_rules_path_label(const struct tb_rules_path *path, char *ret)
{
    static const char rest[] = "/:rest", hex[] = "0123456789ABCDEF";
    const size_t room = TB_RULES_LABEL_MAX - (sizeof rest - 1);
    size_t len = 0;
    bool has_rest = path->has_rest;
    for (uint32_t i = 0; i < path->count; i++) {
        struct tb_bytes t = path->segments[i];
        size_t start = len;
        ret[len++] = '/';
        for (size_t k = 0; k < t.len && len + 3 <= room; k++) {
            uint8_t c = t.ptr[k];
            if (c > ' ' && c < 127 && c != '%' && !(c == ':' && k == 0)) {
                ret[len++] = (char)c;
                continue;
            }
            ret[len++] = '%';
            ret[len++] = hex[c >> 4];
            ret[len++] = hex[c & 15];
        }
        if (len + 3 > room) {
            len = start; /* half a segment says nothing */
            has_rest = true;
            break;
        }
    }
    if (has_rest) {
        tb_copy(ret + len, rest, sizeof rest - 1);
        len += sizeof rest - 1;
    }
    if (!len)
        ret[len++] = '/';
    return len;
}

/* ---- the search ---- */

struct search {
    const uint8_t *section;
    const struct tb_rules_view *view;
    struct tb_bytes host;
    uint8_t method;
    uint32_t looks; /* left */
    uint32_t steps; /* of globs, left */
};

static inline bool may_look(struct search *s)
{
    return s->looks && s->looks--;
}

/* The first of @count entries whose method and host agree. */
static bool find_entry(struct search *s, uint32_t first, uint32_t count, struct tb_rules_match *ret)
{
    for (uint32_t i = first; i < first + count && may_look(s); i++) {
        struct tb_rules_entry e = tb_rules_entry(s->section, s->view, i);
        ret->is_conditional |= e.method || e.host;
        if (e.method && e.method != s->method + 1u)
            continue;
        if (e.host && !tb_glob_within(tb_rules_text(s->section, s->view, e.host), s->host, &s->steps))
            continue;
        ret->entry = i;
        ret->is = e;
        return true;
    }
    return false;
}

/* The edge of a literal; 0 = none. Edges are sorted by hash; two texts of one hash lie side by side. */
static uint32_t literal(struct search *s, const struct tb_rules_node *n, struct tb_bytes text)
{
    uint32_t hash = tb_segment_hash(text), low = 0, high = n->literals;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (tb_rules_edge(s->section, s->view, n->edges + middle).hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < n->literals && may_look(s); low++) {
        struct tb_rules_edge e = tb_rules_edge(s->section, s->view, n->edges + low);
        if (e.hash != hash)
            return 0;
        struct tb_bytes known = tb_rules_text(s->section, s->view, e.text);
        if (known.len == text.len && tb_same(known.ptr, text.ptr, text.len))
            return e.node;
    }
    return 0;
}

/* The next choice at a node after @choice: 0 = the literal, then globs, then the parameter. Returns its number + 1 and
 * the node, or 0 when there are no more. */
static uint32_t choose(struct search *s, const struct tb_rules_node *n, struct tb_bytes text, uint32_t choice,
                       uint32_t *ret_node)
{
    if (choice == 0 && n->literals && (*ret_node = literal(s, n, text)))
        return 1;
    uint32_t others = (uint32_t)n->globs + (n->params ? 1 : 0);
    for (uint32_t i = choice ? choice - 1 : 0; i < others && may_look(s); i++) {
        struct tb_rules_edge e = tb_rules_edge(s->section, s->view, (uint32_t)n->edges + n->literals + i);
        if (i < n->globs && !tb_glob_within(tb_rules_text(s->section, s->view, e.text), text, &s->steps))
            continue;
        *ret_node = e.node;
        return i + 2;
    }
    return 0;
}

bool tb_rules_match(const struct tb_core *core, const struct tb_rules_view *view, uint8_t method, struct tb_bytes host,
                    const struct tb_rules_path *path, struct tb_rules_match *ret)
{
    struct search s = {(const uint8_t *)core->rules, view, host, method, LOOKS_MAX, TB_RULES_GLOB_STEPS};
    uint32_t at[TB_RULES_DEPTH_MAX + 2] = {0}, choice[TB_RULES_DEPTH_MAX + 2] = {0}, depth = 0;
    ret->is_conditional = false;
    ret->params = 0;
    while (may_look(&s)) {
        struct tb_rules_node n = tb_rules_node(s.section, view, at[depth]);
        bool is_end = depth == path->count;
        uint32_t next = 0, chosen = 0;
        if (is_end && !path->has_rest && find_entry(&s, n.entries, n.ends, ret)) {
            ret->is_wild = false;
            ret->depth = depth;
            return true;
        }
        if (!is_end && depth <= TB_RULES_DEPTH_MAX)
            chosen = choose(&s, &n, path->segments[depth], choice[depth], &next);
        if (chosen && next) { /* the root is nobody's child */
            choice[depth] = chosen;
            ret->params = (ret->params & ~(1u << depth)) | (uint32_t)(chosen > 1) << depth;
            at[++depth] = next;
            choice[depth] = 0;
            continue;
        }
        if (n.wilds && find_entry(&s, (uint32_t)n.entries + n.ends, n.wilds, ret)) {
            ret->is_wild = true;
            ret->depth = depth;
            return true;
        }
        if (!depth--)
            return false;
    }
    return false;
}
