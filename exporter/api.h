/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON interface below /api/v1/ (docs/api.md): snapshot and view in, bytes out. Field names are stable: they are
 * added to, not renamed. Always valid UTF-8 and valid JSON; a value that is not known is null. Pure: no I/O, no clock.
 */
#ifndef TB_API_H
#define TB_API_H

#include "buffer.h"
#include "history.h"
#include "overview.h"

/* What the exporter knows when somebody looks. All borrowed for the call. */
struct tb_look {
    const struct tb_snapshot *snapshot;
    const struct tb_history *history;
    uint64_t now_ns;     /* CLOCK_MONOTONIC of the collection */
    uint64_t started_ns; /* CLOCK_REALTIME of this process */
    const char *ledger;  /* "writable", "read_only" or "none" */
    const char *telemetry_path;
};

/* One address. The table ends with a NULL path. */
struct tb_api_page {
    const char *path;
    void (*render)(const struct tb_look *look, const struct tb_overview_query *query, struct tb_buffer *out);
};
extern const struct tb_api_page tb_api_pages[];

/* tb_api_error - append {"error": @message}. */
void tb_api_error(const char *message, struct tb_buffer *out);

#endif
