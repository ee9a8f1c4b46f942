/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that listen on TCP and are not recorded, found from outside through /proc, so that silence is not taken for
 * no traffic. Only what this user may look into is found. Nothing in a process is touched.
 */
#ifndef TB_UNOBSERVED_H
#define TB_UNOBSERVED_H

#include <stdint.h>
#include <sys/types.h>

#include "exposition.h"
#include "process.h"
#include "snapshot.h"

enum tb_unobserved {
    TB_OBSERVED,
#define UNOBSERVED(id, reason, help) TB_UNOBSERVED_##id,
#include "unobserved.def"
#undef UNOBSERVED
    TB_UNOBSERVED_COUNT
};

/* tb_unobserved_name - the reason label; "" for TB_OBSERVED. */
const char *tb_unobserved_name(enum tb_unobserved why);

/* tb_unobserved_judge - why @p, which listens, does not record. Opens its executable. TB_OBSERVED also when this user
 * may not tell. */
enum tb_unobserved tb_unobserved_judge(const struct tb_process *p);

/*
 * tb_unobserved_service - what its service would be called: TICKBIRD_SERVICE, OTEL_SERVICE_NAME, the systemd unit, the
 * script, module or jar of an interpreter, the program's base name. Any bytes, at most @size - 1 of them.
 */
void tb_unobserved_service(const struct tb_process *p, char *ret, size_t size);

struct tb_unobserved_scan;
struct tb_unobserved_scan *tb_unobserved_new(void);
void tb_unobserved_free(struct tb_unobserved_scan *scan);

/*
 * tb_unobserved_scan - brings @s->unobserved up to date.
 *
 * At most every 15 s, and for at most @budget_ns of processor time (five times that on the clock): what was not reached
 * is looked at the next time, and what is known of it stays until then. A pid that was reused is told by its start
 * time.
 */
void tb_unobserved_scan(struct tb_unobserved_scan *scan, uint64_t now_ns, uint64_t budget_ns, struct tb_snapshot *s);

/*
 * tb_unobserved_expose - the same by executable, at most TB_UNOBSERVED_EXES_MAX of them (the rest is `_other`), and how
 * many listening sockets nobody who can be looked into holds; that after the first whole round.
 *
 * @reason  what the label is called; NULL = left out
 */
#define TB_UNOBSERVED_EXES_MAX 64u
void tb_unobserved_expose(struct tb_exposition *x, const struct tb_unobserved_scan *scan, const char *reason,
                          const struct tb_metric *metrics);

#endif
