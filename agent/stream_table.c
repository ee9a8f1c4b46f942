/* SPDX-License-Identifier: Apache-2.0 */
/* Entering and leaving the table of streams that have no descriptor (stream_table.h). */
#include "stream_table.h"

static struct tb_stream_bucket *level_of(struct tb_stream_table *t, unsigned n, void *(*map)(void **at, size_t len))
{
    struct tb_stream_bucket *level = tb_load_acquire(&t->levels[n]);
    return level || !n ? level : map((void **)&t->levels[n], sizeof(*level) << tb_stream_bits(n));
}

struct tb_stream *tb_stream_enter(struct tb_stream_table *t, uint64_t key, void *(*map)(void **at, size_t len))
{
    struct tb_stream *found = tb_stream_find(t, key);

    for (unsigned n = 0; !found && n < TB_STREAM_LEVELS; n++) {
        struct tb_stream_bucket *level = level_of(t, n, map);
        if (!level)
            break;
        struct tb_stream_bucket *b = tb_stream_bucket_of(level, n, key);
        for (unsigned i = 0; !found && i < TB_STREAM_WAYS; i++) {
            uint64_t none = 0;
            if (!tb_load_relaxed(&b->keys[i]) && tb_cas_acq_rel(&b->keys[i], &none, key))
                found = &b->streams[i];
        }
    }
    return found;
}

static bool remove_at(struct tb_stream_bucket *b, unsigned i, uint64_t key)
{
    if (tb_load_acquire(&b->keys[i]) != key)
        return false;
    struct tb_stream *s = &b->streams[i];
    tb_store_relaxed(&s->word, 0);
    tb_store_relaxed(&s->begun_ns, 0);
    tb_store_relaxed(&s->fd, 0);
    tb_store_relaxed(&s->flags, 0);
    /* release: whoever enters here next finds zeroes */
    return tb_cas_acq_rel(&b->keys[i], &key, 0);
}

bool tb_stream_remove(struct tb_stream_table *t, uint64_t key)
{
    for (unsigned n = 0; n < TB_STREAM_LEVELS; n++) {
        struct tb_stream_bucket *level = tb_load_acquire(&t->levels[n]);
        if (!level)
            return false;
        struct tb_stream_bucket *b = tb_stream_bucket_of(level, n, key);
        for (unsigned i = 0; i < TB_STREAM_WAYS; i++)
            if (remove_at(b, i, key))
                return true;
    }
    return false;
}

void tb_stream_each(struct tb_stream_table *t, void (*visit)(struct tb_stream *s, void *arg), void *arg)
{
    for (unsigned n = 0; n < TB_STREAM_LEVELS; n++) {
        struct tb_stream_bucket *level = tb_load_acquire(&t->levels[n]);
        for (size_t at = 0; level && at < (size_t)TB_STREAM_WAYS << tb_stream_bits(n); at++)
            if (tb_load_acquire(&level[at / TB_STREAM_WAYS].keys[at % TB_STREAM_WAYS]))
                visit(&level[at / TB_STREAM_WAYS].streams[at % TB_STREAM_WAYS], arg);
    }
}
