/* SPDX-License-Identifier: Apache-2.0 */
/* The kill switch's marker files (agent/marker.h) as the command writes them and the collector reads them. */
#ifndef TB_MARKER_FILE_H
#define TB_MARKER_FILE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * tb_marker_set - everything (@service NULL) or one service is off in @dir from now on, for programs that start later.
 * A marker that is there already stays, with its time. Returns 0 or -errno; -EPERM: only root and the directory's
 * owner may.
 */
int tb_marker_set(const char *dir, const char *service);

/*
 * tb_marker_clear - the same taken back; @service NULL removes every marker. Returns the number removed, or -errno.
 */
int tb_marker_clear(const char *dir, const char *service);

/* tb_marker_is_name - may this be a marker, by its name? */
bool tb_marker_is_name(const char *name);

struct tb_marker {
    char service[128]; /* valid UTF-8; "" = everything */
    uint64_t since_ns; /* CLOCK_REALTIME */
};

/* tb_marker_read - the marker @name in the open directory @dir_fd. False when it is none that counts. */
bool tb_marker_read(int dir_fd, const char *name, struct tb_marker *ret);

#endif
