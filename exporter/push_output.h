/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One output at work: snapshots become requests (push_points.h, push_kind.h), which wait in its state (push_state.h)
 * until they are accepted. In a thread of its own, so that a receiver that hangs holds nobody else up; or step by step
 * in the caller's, for --push.once.
 */
#ifndef TB_PUSH_OUTPUT_H
#define TB_PUSH_OUTPUT_H

#include "exposition.h"
#include "push_config.h"

struct tb_push_output;

/* Since the exporter started. Points are those of the output: a name with one set of labels. */
struct tb_push_stats {
    uint64_t accepted_points, accepted_requests;
    uint64_t failed_requests; /* attempts without success, to be made again */
    uint64_t uncertain_requests;
    uint64_t refused_points, expired_points, uncertain_points, unfit_points; /* given up, by reason */
    uint64_t skipped_snapshots;
    uint64_t waiting_requests, waiting_bytes;
    uint64_t success_ns; /* CLOCK_REALTIME; 0 = none yet */
};

/* What a snapshot is. Its time is that before its regions were read. */
struct tb_push_snapshot {
    struct tb_exposition exposition;
    uint64_t time_ns; /* CLOCK_REALTIME */
};

/*
 * tb_push_output_new - @c is borrowed until tb_push_output_free.
 * @dir      of the state
 * @is_once  a new state counts from the beginning, unless the configuration says otherwise
 * Returns 0, or -errno when the state cannot be had.
 */
int tb_push_output_new(const struct tb_push_output_config *c, const char *dir, bool is_once,
                       struct tb_push_output **ret);

/* tb_push_output_start - its thread. Returns 0 or -errno. */
int tb_push_output_start(struct tb_push_output *o);

/* tb_push_output_stop - ends the thread, if there is one, also amidst a request (which is then uncertain); the next
 * attempt need not wait. tb_push_output_free does so too; NULL does nothing. */
void tb_push_output_stop(struct tb_push_output *o);
void tb_push_output_free(struct tb_push_output *o);

/* tb_push_output_give - a snapshot for the thread, taken over. One that it has not come to yet is replaced: what it
 * would have counted the new one counts. */
void tb_push_output_give(struct tb_push_output *o, struct tb_push_snapshot *s);

/* tb_push_output_stats - any thread. */
void tb_push_output_stats(struct tb_push_output *o, struct tb_push_stats *ret);
const struct tb_push_output_config *tb_push_output_config(const struct tb_push_output *o);

/* Without a thread: tb_push_output_snapshot turns a snapshot (borrowed) into requests, tb_push_output_drain sends all
 * that wait, each @attempts times at most, none longer than to @deadline_ns (CLOCK_MONOTONIC). Both return 0; -errno:
 * the state could not be written; drain -EAGAIN: something still waits; -EREMOTEIO: something was refused. */
int tb_push_output_snapshot(struct tb_push_output *o, const struct tb_push_snapshot *s);
int tb_push_output_drain(struct tb_push_output *o, unsigned attempts, uint64_t deadline_ns);

#endif
