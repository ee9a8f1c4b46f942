/* SPDX-License-Identifier: Apache-2.0 */
/* How far a function is, from the headers of its regions (agent/invocation.h), without collecting. */
#ifndef TB_LAMBDA_PROGRESS_H
#define TB_LAMBDA_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tb_lambda_progress {
    uint64_t asked; /* requests for work */
    uint64_t begun; /* of these, answered with some */
    bool is_alive;  /* some process of it runs */
};

/* tb_lambda_progress - of all regions in @dirs together. What cannot be read counts nothing. */
void tb_lambda_progress(const char *const *dirs, size_t count, struct tb_lambda_progress *ret);

#endif
