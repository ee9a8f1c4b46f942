/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickbird_region_info: where live regions are (host, process, systemd unit, container, ...), for those who ask for it
 * in the configuration. Counters are a program's, not a worker's or a pod's, so these labels stand on a family of their
 * own, to be joined by `service`.
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

/* tb_expose_instances - append the family; nothing when no label is asked for. @s as in families.h. */
void tb_expose_instances(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_names *names);

#endif
