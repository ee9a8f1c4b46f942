/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes as text: of nodes of the learner's tree, of trials, of handles. Reads only, but for tb_route_line, which is a
 * request. Entry points: tb_route_label, tb_route_text, tb_route_line.
 */
#include "route_label.h"
#include "route.h"
#include "series.h"

struct writer {
    char *out;
    size_t len, room;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
    if (len > w->room - w->len)
        len = w->room - w->len;
    tb_copy(w->out + w->len, bytes, len);
    w->len += len;
}

/* One segment with its slash. A literal that begins like a placeholder is escaped: its colon becomes %3A. */
static void put_segment(struct writer *w, uint8_t kind, struct tb_bytes text)
{
    if (kind == TB_KIND_WHOLE) {
        put(w, text.ptr, text.len);
        return;
    }
    if (kind == TB_KIND_LITERAL && text.len == 1 && text.ptr[0] == '*') {
        put(w, "*", 1); /* asterisk-form: no slash */
        return;
    }
    put(w, "/", 1);
    if (kind != TB_KIND_LITERAL) {
        const char *name = tb_segment_placeholder(kind);
        put(w, name, tb_strnlen(name, 8));
    } else if (text.len && text.ptr[0] == ':') {
        put(w, "%3A", 3);
        text = tb_bytes(text.ptr + 1, text.len - 1);
    }
    put(w, text.ptr, text.len);
}

static void put_node(struct tb_core *core, uint32_t node, struct writer *w)
{
    uint16_t chain[TB_ROUTE_DEPTH];
    uint32_t n = 0;
    while (node && n < TB_ROUTE_DEPTH) {
        chain[n++] = (uint16_t)node;
        node = tb_learn_node(core, node)->parent;
    }
    while (n) {
        const struct tb_route_node *at = tb_learn_node(core, chain[--n]);
        put_segment(w, at->kind, tb_learn_text(core, at));
    }
}

static void put_trial(struct tb_core *core, const struct tb_route_trial *t, struct writer *w)
{
    put_node(core, t->base, w);
    uint32_t at = 0;
    for (uint32_t i = 0; i < t->count && i < TB_ROUTE_DEPTH; i++) {
        uint32_t len = t->steps[i].text_len;
        if (len > sizeof t->text - at)
            break;
        put_segment(w, t->steps[i].kind, tb_bytes(t->text + at, len));
        at += len;
    }
}

size_t tb_route_label(struct tb_core *core, uint32_t node, char *ret, size_t len)
{
    struct writer w = {ret, 0, len};
    put_node(core, node, &w);
    if (!w.len)
        put(&w, "/", 1);
    return w.len;
}

size_t tb_route_text(struct tb_core *core, uint32_t handle, char *ret, size_t len)
{
    struct writer w = {ret, 0, len};
    bool decided = false;
    if (handle == TB_ROUTE_OTHER || !core->learner) {
        put(&w, "_other", 6);
        return w.len;
    }
    if (!(handle & TB_TRIAL_HANDLE)) {
        put_node(core, handle - 1, &w);
    } else {
        struct tb_route_trial *t = handle == TB_ROUTE_IGNORED ? NULL : tb_trial_find(core, handle, &decided);
        if (handle == TB_ROUTE_IGNORED)
            put(&w, "_ignored", 8);
        else if (!t || (decided && t->other))
            put(&w, "_other", 6);
        else if (!decided)
            put_trial(core, t, &w);
        else if (t->result)
            put_node(core, t->result - 1u, &w);
        else
            put(&w, "_unmatched", 10);
    }
    if (!w.len)
        put(&w, "/", 1);
    return w.len;
}

size_t tb_route_line(struct tb_core *core, uint8_t method, struct tb_bytes path, uint16_t status, char *ret, size_t len)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] == '?' || path.ptr[i] == '#')
            path.len = i;
    uint32_t handle = tb_route_begin(core, method, path, false);
    size_t used = tb_route_text(core, handle, ret, len);
    if (tb_route_end(core, handle, method, status) == TB_STR_UNMATCHED) {
        struct writer w = {ret, 0, len};
        put(&w, "_unmatched", 10);
        used = w.len;
    }
    return used;
}
