/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots for tests: one series at a time, or any number whose label values hold any byte. Repeatable by `seed`. */
#ifndef TB_TEST_RANDOM_SNAPSHOT_H
#define TB_TEST_RANDOM_SNAPSHOT_H

#include <string.h>

#include "exporter/snapshot.h"

/* Adds so many durations to a series. */
static inline struct tb_snap_series *add(struct tb_snapshot *s, const char *service, struct tb_snap_key key,
                                         uint64_t ns, uint64_t times)
{
    struct tb_snap_series *e = tb_snapshot_series(s, tb_snapshot_service(s, service, strlen(service)), &key);
    *tb_values_cell(&e->base, key.bound_set, ns) += times;
    e->base.sum_ns += ns * times;
    e->base.first_byte_ns += ns * times / 2;
    return e;
}

static uint32_t seed;

static inline uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static inline void random_text(char *to, size_t space)
{
    static const char nasty[] = "\\\"\n{},= #\r\t\x01\x7f\x80\xff\xc3\xa9";
    size_t len = random_below((uint32_t)space - 1);
    for (size_t i = 0; i < len; i++)
        to[i] = random_below(2) ? nasty[random_below(sizeof nasty - 1)] : (char)(1 + random_below(255));
    to[len] = 0;
}

static inline struct tb_snapshot *random_snapshot(unsigned series)
{
    struct tb_snapshot *s = tb_snapshot_new();
    while (series--) {
        char service[12], route[40], target[12];
        random_text(service, sizeof service);
        random_text(route, sizeof route);
        random_text(target, sizeof target);
        struct tb_snap_key key = {.family = (uint8_t)(1 + random_below(4)),
                                  .role = (uint8_t)random_below(3),
                                  .method = (uint8_t)random_below(256),
                                  .status = (uint16_t)(100 + random_below(900)),
                                  .route = route,
                                  .target = random_below(2) ? target : "",
                                  .ext = ""};
        if (key.family == TB_FAMILY_ABORTED)
            key.status = (uint16_t)(1 + random_below(4));
        if (key.role == TB_ROLE_SERVER)
            key.target = "";
        for (unsigned i = random_below(6); i; i--)
            add(s, service, key, UINT64_C(1) << random_below(40), random_below(1000));
    }
    return s;
}

#endif
