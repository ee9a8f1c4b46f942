/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a push state (push_series.h): chains, and as many places as series at least. */
#include "push_series.h"

#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "checksum.h"

#define FIRST_SIZE 1024u /* a power of 2, as are all sizes */

static uint64_t hash_key(const char *key, size_t len)
{
    uint64_t hash = tb_checksum(key, len);
    return hash ^ hash >> 32;
}

static struct tb_push_known **place_of(const struct tb_push_series *t, uint64_t hash)
{
    return &t->table[hash & (t->size - 1)];
}

static struct tb_push_known *find(const struct tb_push_series *t, const char *key, size_t len, uint64_t hash)
{
    struct tb_push_known *e = t->size ? *place_of(t, hash) : NULL;
    while (e && (e->hash != hash || e->key_len != len || memcmp(e->key, key, len) != 0))
        e = e->next;
    return e;
}

static void grow(struct tb_push_series *t)
{
    struct tb_push_series old = *t;
    t->size = old.size ? old.size * 2 : FIRST_SIZE;
    t->table = tb_alloc(t->size * sizeof(struct tb_push_known *));
    for (size_t i = 0; i < old.size; i++) {
        for (struct tb_push_known *e = old.table[i], *next; e; e = next) {
            struct tb_push_known **place = place_of(t, e->hash);
            next = e->next;
            e->next = *place;
            *place = e;
        }
    }
    free(old.table);
}

static struct tb_push_known *add(struct tb_push_series *t, const char *key, size_t len, uint64_t hash)
{
    if (t->count >= t->size)
        grow(t);
    struct tb_push_known **place = place_of(t, hash), *e = tb_realloc(NULL, sizeof *e + len);
    *e = (struct tb_push_known){.next = *place, .hash = hash, .key_len = (uint32_t)len};
    memcpy(e->key, key, len);
    *place = e;
    t->count++;
    return e;
}

static uint64_t size_of(const struct tb_push_known *e)
{
    return e->key_len + e->len + 24u;
}

void tb_push_series_set(struct tb_push_series *t, const char *key, size_t key_len, const char *data, size_t len,
                        uint64_t when_ns)
{
    uint64_t hash = hash_key(key, key_len);
    struct tb_push_known *e = find(t, key, key_len, hash);
    if (e)
        t->bytes -= size_of(e);
    else
        e = add(t, key, key_len, hash);
    if (e->len != len || !e->data)
        e->data = tb_realloc(e->data, len);
    memcpy(e->data, data, len);
    e->len = (uint32_t)len;
    e->when_ns = when_ns;
    t->bytes += size_of(e);
}

struct tb_push_known *tb_push_series_find(const struct tb_push_series *t, const char *key, size_t key_len)
{
    return find(t, key, key_len, hash_key(key, key_len));
}

void tb_push_series_drop(struct tb_push_series *t, uint64_t when_ns)
{
    for (size_t i = 0; i < t->size; i++) {
        for (struct tb_push_known **at = &t->table[i], *e; (e = *at);) {
            if (e->when_ns >= when_ns) {
                at = &e->next;
                continue;
            }
            *at = e->next;
            t->bytes -= size_of(e);
            t->count--;
            free(e->data);
            free(e);
        }
    }
}

const struct tb_push_known *tb_push_series_next(const struct tb_push_series *t, const struct tb_push_known *e)
{
    if (e && e->next)
        return e->next;
    for (size_t i = e ? (e->hash & (t->size - 1)) + 1 : 0; i < t->size; i++)
        if (t->table[i])
            return t->table[i];
    return NULL;
}

void tb_push_series_free(struct tb_push_series *t)
{
    for (size_t i = 0; i < t->size; i++) {
        for (struct tb_push_known *e = t->table[i], *next; e; e = next) {
            next = e->next;
            free(e->data);
            free(e);
        }
    }
    free(t->table);
    *t = (struct tb_push_series){0};
}
