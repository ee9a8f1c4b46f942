/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the service manager how the exporter is, by the datagrams of sd_notify(3). Without NOTIFY_SOCKET: nothing. */
#ifndef TB_NOTIFY_H
#define TB_NOTIFY_H

#include <stdint.h>

/* tb_notify - send @state: lines of `NAME=value`. Nothing is told when nobody listens. */
void tb_notify(const char *state);

/* tb_notify_reloading, tb_notify_ready - a reload begins; the exporter serves (again). */
void tb_notify_reloading(void);
void tb_notify_ready(void);

/* tb_notify_interval_ns - how often the watchdog is to be told WATCHDOG=1: half of what it waits. 0 = never. */
uint64_t tb_notify_interval_ns(void);

#endif
