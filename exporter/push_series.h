/* SPDX-License-Identifier: Apache-2.0 */
/* A table of what was noted of each series, by its key; part of a push state (push_state.c). One thread. */
#ifndef TB_PUSH_SERIES_H
#define TB_PUSH_SERIES_H

#include <stddef.h>
#include <stdint.h>

struct tb_push_known {
    struct tb_push_known *next; /* of its place in the table */
    uint64_t hash, when_ns;     /* of the last snapshot that is known to have had it */
    uint32_t key_len, len;
    char *data; /* owned */
    char key[];
};

/* Zero-initialise. */
struct tb_push_series {
    struct tb_push_known **table;
    size_t size, count;
    uint64_t bytes; /* what a file of them takes, more or less */
};

/* tb_push_series_set - make or replace; both texts are copied. */
void tb_push_series_set(struct tb_push_series *t, const char *key, size_t key_len, const char *data, size_t len,
                        uint64_t when_ns);
struct tb_push_known *tb_push_series_find(const struct tb_push_series *t, const char *key, size_t key_len);

/* tb_push_series_drop - those of before @when_ns go. */
void tb_push_series_drop(struct tb_push_series *t, uint64_t when_ns);

/* tb_push_series_next - the one behind @e, in no order; NULL: the first, or no more. */
const struct tb_push_known *tb_push_series_next(const struct tb_push_series *t, const struct tb_push_known *e);
void tb_push_series_free(struct tb_push_series *t);

#endif
