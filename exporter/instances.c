/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of live regions (instances.h). What a region says of itself may be anything: names are checked, values
 * cleaned. */
#include "instances.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/service_name.h"
#include "rules_ext.h"
#include "snapshot_labels.h"

#define CONTAINER_DIGITS 64u
#define UID_DIGITS 32u
#define CGROUP_MAX 4096u /* bytes of the file that are looked at */
#define OWN_LABELS 16u   /* of TICKBIRD_LABELS */

/* One sample: regions of the same labels are counted together. */
struct instance {
    char *labels; /* owned */
    uint64_t regions;
};

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Exactly 64 hex digits with none beside them. */
static void find_container(const char *text, size_t len, char *ret)
{
    for (size_t from = 0, to; from < len; from = to + 1) {
        for (to = from; to < len && is_hex(text[to]); to++)
            ;
        if (to - from == CONTAINER_DIGITS)
            snprintf(ret, CONTAINER_DIGITS + 1, "%.*s", (int)CONTAINER_DIGITS, text + from);
    }
}

/* pod and a UUID, whose dashes systemd's slices have as underscores. */
static void find_pod(const char *text, size_t len, char *ret)
{
    for (size_t at = 0; at + 3 + UID_DIGITS + 4 <= len; at++) {
        const char *uid = text + at + 3;
        size_t i = 0;
        if (strncmp(text + at, "pod", 3) != 0)
            continue;
        for (; i < UID_DIGITS + 4; i++) {
            bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
            if (is_dash ? uid[i] != '-' && uid[i] != '_' : !is_hex(uid[i]))
                break;
            ret[i] = uid[i];
            if (is_dash)
                ret[i] = '-';
        }
        if (i == UID_DIGITS + 4)
            return;
        ret[0] = 0;
    }
}

void tb_cgroup_read(const char *text, size_t len, struct tb_cgroup *ret)
{
    *ret = (struct tb_cgroup){0};
    tb_service_unit(text, len, ret->unit, sizeof ret->unit);
    find_container(text, len, ret->container);
    find_pod(text, len, ret->pod_uid);
}

static void read_cgroup(uint32_t pid, struct tb_cgroup *ret)
{
    char path[32], text[CGROUP_MAX];
    snprintf(path, sizeof path, "/proc/%u/cgroup", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    tb_cgroup_read(text, len > 0 ? (size_t)len : 0, ret);
}

/* Labels being put together. */
struct labels {
    struct tb_buffer text;
    const struct tb_names *names;
    bool is_of_series; /* they stand beside those of a series */
};

/* One more label, unless there is one of that name, which would make the sample nobody's. */
static bool put_once(struct labels *out, const char *name, const char *value)
{
    tb_put(&out->text, "", 1);
    out->text.len--;
    if (tb_ext_has_label(out->text.data, name) || tb_ext_has_label(out->names->constant, name))
        return false;
    for (size_t i = 0; out->is_of_series && i < TB_LABEL_COUNT; i++)
        if (out->names->labels[i] && tb_escape_meet(out->names->labels[i], name, true))
            return false;
    char *clean = tb_label_clean(value, strlen(value));
    tb_put_label(&out->text, name, clean);
    free(clean);
    return true;
}

/* A name of OpenTelemetry becomes one of Prometheus: deployment.environment is deployment_environment. */
static void spell_label(char *name)
{
    for (char *c = name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9')))
            *c = '_';
}

/* k=v,k=v, as TICKBIRD_LABELS and OTEL_RESOURCE_ATTRIBUTES have it: calls @use for each until it returns false. */
static void each_own(const char *list, bool (*use)(void *to, char *key, const char *value), void *to)
{
    char *copy = tb_strndup(list, strlen(list)), *save = NULL;
    for (char *pair = strtok_r(copy, ",", &save); pair; pair = strtok_r(NULL, ",", &save)) {
        char *value = strchr(pair, '=');
        if (!value)
            continue;
        *value++ = 0;
        if (!use(to, pair, value))
            break;
    }
    free(copy);
}

struct own_labels {
    struct labels *out;
    unsigned count;
};

/* What is no label, or there already, is left out. */
static bool put_own(void *to, char *key, const char *value)
{
    struct own_labels *own = to;
    spell_label(key);
    own->count += !tb_label_name_complaint(key, false) && put_once(own->out, key, value);
    return own->count < OWN_LABELS;
}

/* What a pod and its namespace are called, as Kubernetes' downward API tells programs. */
struct pod {
    char name[254], space[64];
};

static bool find_name(void *to, char *key, const char *value)
{
    struct pod *pod = to;
    if (strcmp(key, "k8s.pod.name") == 0 || strcmp(key, "pod") == 0)
        snprintf(pod->name, sizeof pod->name, "%s", value);
    if (strcmp(key, "k8s.namespace.name") == 0 || strcmp(key, "namespace") == 0)
        snprintf(pod->space, sizeof pod->space, "%s", value);
    return true;
}

static void put_labels(struct labels *out, const struct tb_snap_region *r, unsigned wanted)
{
    const unsigned of_cgroup =
        1u << TB_INSTANCE_UNIT | 1u << TB_INSTANCE_CONTAINER | 1u << TB_INSTANCE_POD_UID | 1u << TB_INSTANCE_POD;
    struct tb_cgroup cgroup = {0};
    struct pod pod = {0};
    struct own_labels own = {out, 0};
    char pid[16];
    if (wanted & of_cgroup && r->processes && r->is_near)
        read_cgroup(r->pids[0], &cgroup);
    if (r->labels)
        each_own(r->labels, find_name, &pod);
    snprintf(pid, sizeof pid, "%u", r->pids[0]);
    const char *const values[] = {[TB_INSTANCE_HOST] = r->host,
                                  [TB_INSTANCE_PID] = r->processes ? pid : "",
                                  [TB_INSTANCE_PROGRAM] = r->program,
                                  [TB_INSTANCE_UNIT] = cgroup.unit,
                                  [TB_INSTANCE_CONTAINER] = cgroup.container,
                                  [TB_INSTANCE_POD_UID] = cgroup.pod_uid,
                                  /* a pod's host name is its own, unless it has the node's network */
                                  [TB_INSTANCE_POD] = *pod.name || !*cgroup.pod_uid ? pod.name : r->host,
                                  [TB_INSTANCE_NAMESPACE] = pod.space};
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++)
        if (wanted & 1u << i)
            (void)put_once(out, tb_instance_key((enum tb_instance_label)i), values[i]);
    if (wanted & 1u << TB_INSTANCE_LABELS && r->labels)
        each_own(r->labels, put_own, &own);
    tb_put(&out->text, "", 1);
}

static char *labels_of(const struct tb_snap_region *r, const struct tb_names *names)
{
    struct labels out = {.names = names};
    tb_put(&out.text, r->service->label, r->service->label_len);
    put_labels(&out, r, names->instances);
    return out.text.data;
}

char *tb_instance_labels(const struct tb_snap_region *r, unsigned wanted, const struct tb_names *names)
{
    struct labels out = {.names = names, .is_of_series = true};
    put_labels(&out, r, wanted);
    return out.text.data;
}

/* A filter may have left services out; regions stay. Services are sorted, as those of any finished snapshot. */
static bool is_wanted(const struct tb_snapshot *s, const struct tb_snap_region *r)
{
    size_t low = 0, high = s->service_count;
    if (r->unreadable || !r->is_live)
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tb_snapshot_compare_services(s->services[middle], r->service) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->service_count && s->services[low] == r->service;
}

static int compare(const void *left, const void *right)
{
    const struct instance *a = left, *b = right;
    return strcmp(a->labels, b->labels);
}

void tb_expose_instances(struct tb_exposition *x, const struct tb_snapshot *s, const struct tb_names *names)
{
    if (!names->instances || !tb_expose_family(x, &names->metrics[TB_M_REGION_INFO]))
        return;
    struct instance *list = tb_alloc((s->region_count + 1) * sizeof *list);
    size_t count = 0;
    for (size_t i = 0; i < s->region_count; i++)
        if (is_wanted(s, &s->regions[i]))
            list[count++].labels = labels_of(&s->regions[i], names);
    qsort(list, count, sizeof *list, compare);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && strcmp(list[i].labels, list[next].labels) == 0; next++)
            ;
        tb_expose_value(x, tb_labels(list[i].labels), next - i, 0);
    }
    for (size_t i = 0; i < count; i++)
        free(list[i].labels);
    free(list);
}
