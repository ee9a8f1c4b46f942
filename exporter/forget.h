/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting a service whose programs are gone: its totals leave the ledger, its emptied regions are removed. Only the
 * holder of the ledger's lock can; others leave a request in the ledger's directory, which it obeys.
 */
#ifndef TB_FORGET_H
#define TB_FORGET_H

#include "collect.h"

/*
 * tb_forget - forget the service @name (as it is served) and begin anew: the collector's snapshot is another one
 * afterwards, as after a restart of the process.
 *
 * Returns 0; -ENOENT: no such service; -EBUSY: a program of it records; -EAGAIN: a region of it cannot be emptied now;
 * -EROFS: the ledger's lock is not held here; another -errno of the ledger. Then nothing is forgotten.
 */
int tb_forget(struct tb_collector *c, const char *name);

/* tb_forget_request - ask the holder of the lock of the ledger in @dir. Returns 0 or -errno. */
int tb_forget_request(const char *dir, const char *name);
/* tb_forget_is_asked - is that request still waiting? */
bool tb_forget_is_asked(const char *dir, const char *name);
/* tb_forget_withdraw - nobody obeyed in time. */
void tb_forget_withdraw(const char *dir, const char *name);

/* tb_forget_obey - obey and remove all requests in the ledger's directory. Returns how many services were forgotten. */
int tb_forget_obey(struct tb_collector *c);

/* tb_forget_watch - a descriptor that becomes readable when a request comes (inotify(7)), or -1. */
int tb_forget_watch(const char *dir);

#endif
