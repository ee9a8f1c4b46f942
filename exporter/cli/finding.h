/* SPDX-License-Identifier: Apache-2.0 */
/* What a running process's state means: one verdict, its reason and the next step. */
#ifndef TB_FINDING_H
#define TB_FINDING_H

#include "object.h"
#include "exporter/process.h"

struct tb_finding {
    bool is_fine;     /* it records, or will */
    bool is_unknown;  /* this user may not look */
    const char *what; /* static: "records", "is not observed", ... */
    char why[512];
    const char *todo; /* static, or valid until the next call */
};

/* tb_finding_process - judge @p. One thread at a time. */
void tb_finding_process(const struct tb_process *p, const struct tb_object *object, struct tb_finding *ret_finding);

#endif
