/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled rules to where programs find them: bundles in region directories, sets in the rules areas of regions. */
#ifndef TB_RULES_PUBLISH_H
#define TB_RULES_PUBLISH_H

#include "collect.h"
#include "config.h"

/* The rules of one configuration file, compiled; what an exporter keeps of them. */
struct tb_publisher;
struct tb_publisher *tb_publisher_new(const struct tb_config *c);
void tb_publisher_free(struct tb_publisher *p);

/*
 * tb_publish - every region of the last collection gets the rules of its service, unless it has them; every directory
 * the bundle for services yet to start. What this process may not write stays as it is and is counted.
 */
struct tb_publish_stats {
    uint64_t regions_written, regions_failed; /* since the publisher was made */
    uint64_t directories_failed;              /* at the last call */
};
void tb_publish(struct tb_publisher *p, const struct tb_snapshot *s, const char *const *dirs, size_t dir_count);
const struct tb_publish_stats *tb_publisher_stats(const struct tb_publisher *p);

/*
 * tb_rules_write - a bundle under @name in @dir, whole or not at all: readable by everybody, written by nobody else.
 * The same contents are left alone. Returns 0 or -errno.
 */
int tb_rules_write(const char *dir, const char *name, const struct tb_buffer *bundle);

/* tb_rules_in_force - the set in force in the region at @path, read into @ret with the layout of the rules section.
 * *ret_at, *ret_len: where it is; len 0: none. Returns 0 or -errno. */
int tb_rules_in_force(const char *path, struct tb_buffer *ret, uint32_t *ret_at, uint32_t *ret_len);

#endif
