/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, what they may cost, and whose a service is (users.h). The owner of a region's file is told by the kernel and
 * cannot be forged; everything inside the file can.
 */
#include "users.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buffer.h"

#define SYSTEM_UIDS 1000u /* below: services. The boundary of all common distributions. */

struct tb_snap_user *tb_snapshot_user(struct tb_snapshot *s, uint32_t uid)
{
    struct tb_snap_user **bucket = &s->user_buckets[uid % (sizeof s->user_buckets / sizeof *s->user_buckets)];
    for (struct tb_snap_user *u = *bucket; u; u = u->next_in_bucket)
        if (u->uid == uid)
            return u;
    struct tb_snap_user *u = tb_alloc(sizeof *u);
    u->uid = uid;
    u->rank = uid == 0 || uid == geteuid() ? 0 : uid < SYSTEM_UIDS ? 1 : 2;
    u->next_in_bucket = *bucket;
    *bucket = u;
    return u;
}

int tb_user_bound_set(struct tb_snap_user *user, const struct tb_bounds *bounds)
{
    static size_t others_sets; /* of users that are not trusted: sets stay as long as this process */
    int known = tb_bounds_find(bounds);
    bool is_other = user && !tb_user_is_trusted(user);
    if (known >= 0 || (is_other && (user->bound_sets >= TB_QUOTA_BOUND_SETS || others_sets >= TB_QUOTA_ALL_BOUND_SETS)))
        return known;
    others_sets += is_other;
    if (user)
        user->bound_sets++;
    return tb_bounds_intern(bounds);
}

void tb_service_give(struct tb_snap_service *service, struct tb_snap_user *user)
{
    if (service->user == user)
        return;
    if (service->user) {
        service->user->services--;
        service->user->series -= service->series_count;
    }
    service->user = user;
    user->services++;
    user->series += service->series_count;
}

/* Does @name end in `@UID` with another uid than this? */
static bool is_name_of_another(const char *name, uint32_t uid)
{
    const char *at = strrchr(name, '@');
    if (!at || !at[1] || at[1 + strspn(at + 1, "0123456789")])
        return false;
    char own[16];
    snprintf(own, sizeof own, "%u", uid);
    return strcmp(at + 1, own) != 0;
}

static struct tb_snap_service *find_or_make(struct tb_snapshot *s, const char *name, struct tb_snap_user *user)
{
    struct tb_snap_service *e = tb_snapshot_find_service(s, name, strlen(name));
    if (!e && !tb_user_is_trusted(user) && user->services >= TB_QUOTA_SERVICES)
        return NULL;
    if (!e)
        e = tb_snapshot_service(s, name, strlen(name));
    if (!e->user)
        tb_service_give(e, user);
    return e;
}

struct tb_snap_service *tb_snapshot_claim(struct tb_snapshot *s, const char *name, size_t len,
                                          struct tb_snap_user *user, bool *ret_is_apart)
{
    char *clean = len ? tb_label_clean(name, len) : tb_strndup("unknown", 7);
    bool is_other = is_name_of_another(clean, user->uid) && !tb_user_is_trusted(user);
    struct tb_snap_service *e = NULL;
    if (!is_other) {
        e = find_or_make(s, clean, user);
        is_other = e && e->user != user && e->user->rank <= user->rank;
        if (e && e->user != user && !is_other) {
            tb_service_give(e, user);
            e->must_restart = true; /* what it held so far is not this user's */
        }
    }
    *ret_is_apart = is_other;
    if (is_other) {
        char *apart = tb_format("%s@%u", clean, user->uid);
        e = find_or_make(s, apart, user);
        if (e && e->user != user) { /* only a trusted user may have made that name */
            e = NULL;
        }
        free(apart);
    }
    free(clean);
    return e;
}
