/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may say what. Every user may leave regions in the shared directory, and a region says of itself what it likes:
 * only the owner of its file is certain. So a service belongs to one user, and what another user's region says under
 * its name is kept apart; and what the regions of one user may cost the exporter is bounded.
 *
 * One thread at a time; memory is the snapshot's.
 */
#ifndef TB_USERS_H
#define TB_USERS_H

#include "snapshot.h"

/* What one user may have, but for root and the user of this process, who are trusted. */
#define TB_QUOTA_REGIONS 1024u                          /* files that look like regions */
#define TB_QUOTA_BYTES (UINT64_C(256) << 20)            /* of memory that they hold */
#define TB_QUOTA_SERVICES 1024u                         /* names, as long as this process lives */
#define TB_QUOTA_SERIES 100000u                         /* over all its services, as long as this process lives */
#define TB_QUOTA_BOUND_SETS 32u                         /* that nobody had before, as long as this process lives */
#define TB_QUOTA_ALL_BOUND_SETS (TB_BOUND_SETS_MAX / 2) /* of all such users together */
#define TB_QUOTA_ALL_REGIONS (16u * TB_QUOTA_REGIONS)   /* of all such users together */

struct tb_snap_user {
    uint32_t uid;
    uint8_t rank; /* whose claim to a name goes first: 0 root and the user of this process, 1 system users, 2 others */
    size_t files; /* remembered by the collector, whether or not they could be read */
    size_t unopened;       /* of this collection: could not even be opened, so that nothing is remembered of them */
    size_t left_out_entry; /* of this collection: its entry of TB_UNREADABLE_QUOTA in the snapshot + 1 */
    uint64_t bytes;        /* of memory that the remembered files hold */
    size_t services;       /* names that are this user's */
    size_t series;         /* of them */
    size_t bound_sets;     /* found first in this user's regions */
    struct tb_snap_user *next_in_bucket;
};

static inline bool tb_user_is_trusted(const struct tb_snap_user *u)
{
    return u->rank == 0;
}

/* tb_snapshot_user - the entry of a uid, made when new. */
struct tb_snap_user *tb_snapshot_user(struct tb_snapshot *s, uint32_t uid);

/*
 * tb_snapshot_claim - the service that a region of @user may count under when it calls itself @name.
 *
 * The name itself when it is nobody's yet, or this user's. Root and the user of this process take it over from any
 * other user, and system users (below 1,000) from login users: the service restarts at 0, so that nothing forged
 * remains in it. Otherwise `NAME@UID`, which no other user can have: a name that ends like that of another uid is never
 * taken as it is. *ret_is_apart tells. NULL when the user has too many names.
 */
struct tb_snap_service *tb_snapshot_claim(struct tb_snapshot *s, const char *name, size_t len,
                                          struct tb_snap_user *user, bool *ret_is_apart);

/*
 * tb_user_bound_set - the number of a bound set (bounds.h) that @user brings up, made when new; NULL: this process.
 * -1: it makes no sense, or is one too many.
 */
int tb_user_bound_set(struct tb_snap_user *user, const struct tb_bounds *bounds);

/* tb_service_give - @service is @user's from now on (also read from the ledger). */
void tb_service_give(struct tb_snap_service *service, struct tb_snap_user *user);

#endif
