/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where live regions are (host, process, systemd unit, container, ...), for those who ask for it in the configuration:
 * as labels of tickbird_region_info, a family of its own to be joined by `service`; or of series by program (split.h).
 */
#ifndef TB_INSTANCES_H
#define TB_INSTANCES_H

#include "exposition.h"
#include "names.h"
#include "snapshot.h"

/* What a cgroup file says of a process; "" = nothing. */
struct tb_cgroup {
    char unit[128];     /* systemd service, without .service */
    char container[65]; /* the 64 hex digits of docker, containerd and CRI-O */
    char pod_uid[37];   /* of a Kubernetes pod, with dashes */
};

/* tb_cgroup_read - out of the text of /proc/PID/cgroup, which may be anything. */
void tb_cgroup_read(const char *text, size_t len, struct tb_cgroup *ret);

/*
 * tb_instance_labels - the text of those labels that are in @wanted (a bit for each enum tb_instance_label), for the
 * series of one region: none that a series, or all samples, have already. The caller's to free.
 */
char *tb_instance_labels(const struct tb_snap_region *r, unsigned wanted, const struct tb_names *names);

/* tb_expose_instances - append the family; nothing when no label is asked for. @s as in families.h. */
void tb_expose_instances(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_names *names);

#endif
