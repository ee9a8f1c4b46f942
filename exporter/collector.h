/* SPDX-License-Identifier: Apache-2.0 */
/* The collector's inside, shared by collect.c and fold.c only. */
#ifndef TB_COLLECTOR_H
#define TB_COLLECTOR_H

#include <sys/stat.h>
#include <sys/types.h>

#include "collect.h"
#include "ledger.h"
#include "region_copy.h"
#include "region_read.h"
#include "split.h"
#include "users.h"

/* What is remembered of a region file between collections. */
struct tb_region_file {
    char *path;                /* owned */
    struct tb_snap_user *user; /* who owns the file; the snapshot's */
    uint64_t bytes;            /* of memory that it holds, as counted against its user's quota */
    dev_t dev;
    ino_t ino;
    bool is_seen; /* in the current collection */
    bool is_readable;
    uint64_t region_id, generation;
    uint32_t state;
    uint64_t idle_since_ns; /* CLOCK_MONOTONIC: without owners, in this state and life, since; 0 = it has owners */
    uint64_t idle_generation;
    uint32_t idle_state;
    struct tb_region_view view; /* open between collections, for as long as the name leads to this file */
    struct tb_slot_cache cache;
    struct tb_snap_service *service; /* that the cache is of */
    struct tb_split_part part;
    struct tb_region_file *next_in_bucket;
};

#define TB_FILE_BUCKETS 1024u

/* What stays open between collections: up to half of the descriptors that this process may have for files, and only for
 * those that hold little, for which opening them anew is most of what they cost; up to an eighth for processes. */
#define TB_KEEP_BYTES (UINT64_C(256) << 10)     /* that one of them holds */
#define TB_KEEP_ALL_BYTES (UINT64_C(128) << 20) /* that all hold together */

struct tb_collector {
    struct tb_collect_options options;
    struct tb_snapshot *snapshot;
    struct tb_region_copy copy;
    struct tb_region_file **files;
    size_t file_count, file_space;
    struct tb_region_file *file_buckets[TB_FILE_BUCKETS]; /* by inode */
    size_t others_files;                                  /* of users that are not trusted */
    size_t kept_files, kept_files_max;                    /* whose view is open */
    uint64_t kept_bytes;                                  /* that they held when they were last looked at */
    struct tb_processes *processes;                       /* NULL = none is remembered */
    struct tb_split *split;
    uint64_t pidns_inode;
    uint64_t deadline_ns;       /* of this collection */
    struct tb_ledger *marks;    /* options.ledger, or own_marks when there is none */
    struct tb_ledger own_marks; /* only its marks are used */
    bool has_warned;
    bool has_warned_apart;
    struct tb_collect_stats stats;
};

/*
 * tb_collector_service - the service that a region of that file's owner counts under (users.h), with the slot cache
 * made right for it. NULL when the user has too many.
 */
struct tb_snap_service *tb_collector_service(struct tb_collector *c, struct tb_region_file *f, bool *ret_is_apart);

/* tb_collector_restart - as a new process would begin: nothing is known but the ledger and the statistics. */
void tb_collector_restart(struct tb_collector *c);

/* files.c: what is remembered of @path; NULL when nothing is. */
struct tb_region_file *tb_files_find(struct tb_collector *c, ino_t ino, const char *path);
/* The same, made when new. NULL when it has become another file: it is new in the next collection. */
struct tb_region_file *tb_files_remember(struct tb_collector *c, const struct stat *st, const char *path);
void tb_files_forget(struct tb_collector *c, struct tb_region_file *f); /* frees; the caller takes it off c->files */
/* May one more file of this user be looked at? What is remembered from earlier collections always may. */
bool tb_files_have_room(const struct tb_collector *c, const struct tb_snap_user *u);
/* The memory of the file as it is now counts against its user's quota. Returns whether it is within it. */
bool tb_files_weigh(struct tb_region_file *f, const struct stat *st);
/* Notes that a file of @uid was not read. */
void tb_files_leave_out(struct tb_collector *c, const char *dir, uint32_t uid);

/*
 * tb_files_kept - is the file of that name in the directory on @dir_dev, remembered as @f, still open from the last
 * collection and as it was then, but for what its programs wrote? *ret_st is set if so. Else its view is closed.
 */
bool tb_files_kept(struct tb_collector *c, struct tb_region_file *f, dev_t dir_dev, struct stat *ret_st);
/* @opened, of which fstat said @st, becomes the view of @f, if there is room for one more; else it stays the caller's.
 */
void tb_files_keep(struct tb_collector *c, struct tb_region_file *f, struct tb_region_view *opened,
                   const struct stat *st);
size_t tb_files_limit(void);                                            /* RLIMIT_NOFILE */
void tb_files_let_go(struct tb_collector *c, struct tb_region_file *f); /* closes the view, if it is open */
/* Closes all views and forgets all processes; fewer are kept from now on. Returns whether there were any. */
bool tb_files_let_all_go(struct tb_collector *c);

/* An error of this process, not of the region: whatever exists would seem gone. */
bool tb_is_own_shortage(int error);
/* openat for reading; once more when descriptors ran out and some could be given back. Returns one, or -errno. */
int tb_files_open(struct tb_collector *c, int dir_fd, const char *name, int flags);

/* tb_region_file_age - keeps idle_since_ns up to date after @f was looked at. */
void tb_region_file_age(struct tb_region_file *f, bool is_live, uint64_t now_ns);

#endif
