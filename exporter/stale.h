/* SPDX-License-Identifier: Apache-2.0 */
/* Files that a program or command left half made in a region directory when it was killed. */
#ifndef TB_STALE_H
#define TB_STALE_H

#include <stdint.h>

#include "collect.h"

/*
 * tb_stale_remove - remove temporary files (`.tb1-…`, `.off…`) of the collector's directories that nobody holds: older
 * than a minute, LOCK_EX granted, still under that name. Likewise rules of `tickbird run --config` (`rules-UID-HASH`)
 * @rules_after_ns after their last run, when no program of their user records and none that can be seen was started
 * with them. Files of others only as root. Returns how many were removed.
 */
size_t tb_stale_remove(struct tb_collector *c, uint64_t rules_after_ns);

#endif
