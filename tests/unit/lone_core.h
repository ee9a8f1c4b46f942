/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A core without a region, for tests of single connections: the clock is a variable, one owner line and 64 in-flight
 * lines are always there, a route's label is its handle and LONE_LABEL. Everything static; include it once, last. The
 * opening comment of who includes it replaces tb_owner_claim, tb_inflight_claim, tb_route_end and tb_dependency_asked,
 * _answered, _failed (LDFLAGS: -Wl,--wrap=...).
 */
#ifndef TB_TESTS_LONE_CORE_H
#define TB_TESTS_LONE_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "dependency.h"
#include "host.h"
#include "region.h"
#include "route_cache.h"

#define LONE_INFLIGHT 64
#define LONE_SLOT 1
#define LONE_LABEL 1000000u /* plus the handle of the route */
#define LONE_TARGETS 64u    /* references behind enum tb_runtime_call */

static struct tb_core core;
static struct tb_rules_head rules;
static struct tb_route_head route_head;
static struct tb_owner owners[LONE_SLOT + 1], *const owner = &owners[LONE_SLOT];
static uint64_t counters[TB_COUNTERS_MAX];
static struct tb_inflight inflight[LONE_INFLIGHT];
static uint64_t clock_ns, clock_reads;

bool __wrap_tb_owner_claim(struct tb_core *);
uint16_t __wrap_tb_inflight_claim(struct tb_core *, uint64_t, uint32_t, uint32_t, uint8_t);
uint32_t __wrap_tb_route_end(struct tb_core *, uint32_t, uint8_t, uint16_t);

/* Calls that failed, as text: "lost TARGET REASON\n" for each, the newest last. */
static char lone_failed[4000];
static char lone_targets[LONE_TARGETS][80];

uint32_t __wrap_tb_dependency_asked(struct tb_core *, const struct tb_conn *, struct tb_host *);
void __wrap_tb_dependency_answered(struct tb_core *, uint32_t, uint16_t, uint64_t);
void __wrap_tb_dependency_failed(struct tb_core *, uint32_t, enum tb_call_error);

uint32_t __wrap_tb_dependency_asked(struct tb_core *k, const struct tb_conn *c, struct tb_host *host)
{
    (void)k, (void)c;
    struct tb_bytes name = tb_host_authority(host);
    size_t len = name.len < sizeof lone_targets[0] - 1 ? name.len : sizeof lone_targets[0] - 1;
    for (uint32_t i = TB_RUNTIME_CALLS; len && i < LONE_TARGETS; i++) {
        if (!lone_targets[i][0])
            memcpy(lone_targets[i], name.ptr, len);
        if (strlen(lone_targets[i]) == len && memcmp(lone_targets[i], name.ptr, len) == 0)
            return i;
    }
    return 0;
}

void __wrap_tb_dependency_answered(struct tb_core *k, uint32_t target, uint16_t status, uint64_t now_ns)
{
    (void)k, (void)target, (void)status, (void)now_ns;
}

void __wrap_tb_dependency_failed(struct tb_core *k, uint32_t target, enum tb_call_error why)
{
    static const char *const reasons[] = {"", "refused", "timeout", "reset", "dns", "tls", "closed", "protocol"};
    size_t len = strlen(lone_failed);
    (void)k;
    snprintf(lone_failed + len, sizeof lone_failed - len, "lost %s %s\n", lone_targets[target], reasons[why]);
}

bool __wrap_tb_owner_claim(struct tb_core *k)
{
    k->owner = owner;
    k->owner_slot = LONE_SLOT;
    return true;
}

uint16_t __wrap_tb_inflight_claim(struct tb_core *k, uint64_t start_ns, uint32_t hint, uint32_t route, uint8_t method)
{
    (void)hint, (void)route, (void)method;
    for (uint16_t i = 0; i < LONE_INFLIGHT; i++) {
        uint64_t none = 0;
        if (tb_cas_acq_rel(&k->inflight[i].start_ns, &none, tb_inflight_word(start_ns, LONE_SLOT))) {
            k->inflight[i].owner = LONE_SLOT;
            return (uint16_t)(i + 1);
        }
    }
    return 0;
}

uint32_t __wrap_tb_route_end(struct tb_core *k, uint32_t handle, uint8_t method, uint16_t status)
{
    (void)k, (void)method, (void)status;
    return LONE_LABEL + handle;
}

static uint64_t read_clock(void)
{
    tb_add_relaxed(&clock_reads, 1);
    return clock_ns;
}

/* As at the start of a process. */
static void lone_core_reset(void)
{
    memset(&core, 0, offsetof(struct tb_core, path_blocks));
    memset(owners, 0, sizeof(owners));
    memset(counters, 0, sizeof(counters));
    memset(inflight, 0, sizeof(inflight));
    core.base = (uint8_t *)&core;
    core.counters = counters;
    core.owners = owners;
    core.inflight = inflight;
    core.rules = &rules;
    core.route_head = &route_head;
    core.env.monotonic_ns = read_clock;
    lone_failed[0] = 0;
    clock_ns = 1000;
    clock_reads = 0;
}

/* What is left although all connections are closed; NULL: nothing. */
static const char *lone_core_left(void)
{
    if (owner->in_flight)
        return "in_flight is not back at 0";
    for (int i = 0; i < LONE_INFLIGHT; i++)
        if (inflight[i].start_ns)
            return "an in-flight entry was left";
    if (core.path_taken || core.queue_taken[0] || core.queue_taken[1])
        return "a pool block was left";
    return NULL;
}

#endif
