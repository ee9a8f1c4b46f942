/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an output has taken and not yet delivered, in a file beside the ledger: of each series the totals that the last
 * snapshot took, and the requests made of the differences. Both change in one record, so that a crash at any moment
 * neither takes a difference twice nor loses it. A request leaves the file when it is accepted or given up.
 *
 * The file is a log of records, each with a checksum: what is cut short at its end never happened. It is written anew
 * (fsync, rename) when most of it is out of date. One thread.
 */
#ifndef TB_PUSH_STATE_H
#define TB_PUSH_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "push_kind.h"

struct tb_push_state;

/*
 * tb_push_state_open - that of the output @name in the directory @dir.
 * @now_ns   CLOCK_REALTIME
 * @is_lasting  false: nothing is written, whatever is taken
 * Returns 0 or -errno: it cannot be read or made.
 */
int tb_push_state_open(const char *dir, const char *name, bool is_lasting, uint64_t now_ns, struct tb_push_state **ret);
void tb_push_state_close(struct tb_push_state *s);

/* tb_push_state_born_ns - when the file was made, CLOCK_REALTIME: what counted before is not pushed. 0: everything is.
 */
uint64_t tb_push_state_born_ns(const struct tb_push_state *s);
/* tb_push_state_is_new - has nothing ever been taken? Then it may still be said from when on. */
bool tb_push_state_is_new(const struct tb_push_state *s);
void tb_push_state_set_born(struct tb_push_state *s, uint64_t born_ns);

/* tb_push_state_taken_ns - time of the last snapshot; 0 = none yet. */
uint64_t tb_push_state_taken_ns(const struct tb_push_state *s);

/* tb_push_state_find - what was noted of a series last; NULL: nothing. @ret_len bytes, valid until the next commit.
 * Each series of a snapshot is to be looked for: what nobody has looked for in a month is forgotten. */
const char *tb_push_state_find(struct tb_push_state *s, const char *key, size_t key_len, size_t *ret_len);

/* tb_push_state_take - note @data of a series, from the next commit on. Both are copied. */
void tb_push_state_take(struct tb_push_state *s, const char *key, size_t key_len, const char *data, size_t len);

/* tb_push_state_commit - what was taken, and the requests made of it, in one step. Their bodies are copied. Returns 0,
 * or -errno: then nothing of it has happened. */
int tb_push_state_commit(struct tb_push_state *s, uint64_t time_ns, const struct tb_push_requests *requests);

/* tb_push_state_head - the oldest request that is not delivered; NULL: none. Valid until it is done.
 * @ret_is_started  it was begun by a process that never said how it ended */
const struct tb_push_request *tb_push_state_head(const struct tb_push_state *s, bool *ret_is_started);

/* tb_push_state_begin - the head is about to be sent. tb_push_state_done - it is accepted or given up, and gone.
 * Both return 0, or -errno when the file does not know: done holds for this process all the same. */
int tb_push_state_begin(struct tb_push_state *s);
int tb_push_state_done(struct tb_push_state *s);

size_t tb_push_state_requests(const struct tb_push_state *s);
uint64_t tb_push_state_bytes(const struct tb_push_state *s); /* of the bodies that wait */

#endif
