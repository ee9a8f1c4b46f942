/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file of a running exporter: read again when asked or when it changed. A file that is wrong changes
 * nothing: the rules of before stay, and a metric and the log say so.
 */
#ifndef TB_RELOAD_H
#define TB_RELOAD_H

#include "exposition.h"
#include "rules_publish.h"

struct tb_reload {
    struct tb_config *config; /* in force; NULL: none was named */
    struct tb_publisher *publisher;
    bool is_successful;       /* the last attempt */
    uint64_t success_ns;      /* CLOCK_REALTIME of the last successful one */
    uint64_t seen;            /* what its files looked like at the last attempt */
    uint64_t written, failed; /* regions, by publishers of before */
};

/* tb_reload_start - the first reading. Returns 0, or -EINVAL with the errors, the caller's to free. */
int tb_reload_start(struct tb_reload *r, const char *path, char **ret_errors);
void tb_reload_free(struct tb_reload *r);

/* tb_reload_again - read the file again; @is_asked: even when it looks as before. Returns whether another configuration
 * is in force. */
bool tb_reload_again(struct tb_reload *r, bool is_asked);

/* tb_reload_names - what families and labels are called now; until the next reading. */
const struct tb_names *tb_reload_names(const struct tb_reload *r);

/* tb_reload_expose - append the metrics of it; none without a file. @metrics as in families.h. */
void tb_reload_expose(struct tb_exposition *x, const struct tb_reload *r, const struct tb_metric *metrics);

#endif
