/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: what emptied regions had counted, in one file that is replaced as a whole, and marks that say which lives
 * of which regions (id, generation) are in it, and which were served without being in it.
 *
 * Only the holder of the ledger's lock writes it and folds regions; every other reader (a second exporter, --once, the
 * command) is read-only and reloads it when it was replaced. The bases of a snapshot are the ledger's totals.
 */
#ifndef TB_LEDGER_H
#define TB_LEDGER_H

#include <sys/stat.h>

#include "snapshot.h"

enum tb_mark_kind {
    TB_MARK_SERVED = 1, /* counted in what was served, from the region itself */
    TB_MARK_FOLDED = 2, /* in the ledger's totals; never add it from the region */
    TB_MARK_LOST = 3    /* was served, then could not be read: if it comes back its service restarts */
};

struct tb_mark {
    uint64_t region_id;
    uint64_t generation;
    uint32_t uid;     /* of the file: a region says of itself what it likes, also that it is another's */
    uint64_t when_ns; /* CLOCK_REALTIME of its last change */
    uint8_t boot_id[16];
    enum tb_mark_kind kind;
    struct tb_snap_service *service;
    bool is_seen; /* in the current collection */
    struct tb_mark *next;
};

#define TB_MARK_BUCKETS 1024u
#define TB_MARKS_FOLDED_MAX 16384u

struct tb_ledger {
    char *dir;   /* owned */
    int dir_fd;  /* -1: the directory does not exist */
    int lock_fd; /* -1: read-only */
    uint64_t sequence;
    bool is_loaded;
    bool is_dirty; /* marks or bases that the file does not have yet */
    struct stat seen;
    uint8_t boot_id[16]; /* of this boot */
    struct tb_mark *marks[TB_MARK_BUCKETS];
    size_t mark_count;
    uint64_t writes, write_failures, corrupt;
};

/*
 * tb_ledger_open - the ledger in @dir.
 *
 * @may_write  make the directory when missing and try to become the one who writes
 *
 * Returns 0 (read-only when somebody else holds the lock: see tb_ledger_is_writer), or -errno when @may_write and the
 * directory cannot be made or written.
 */
int tb_ledger_open(const char *dir, bool may_write, struct tb_ledger **ret);
void tb_ledger_close(struct tb_ledger *l);
static inline bool tb_ledger_is_writer(const struct tb_ledger *l)
{
    return l && l->lock_fd >= 0;
}

/* tb_ledger_try_lock - become the writer if nobody is. The caller loads afterwards. Returns whether it now is. */
bool tb_ledger_try_lock(struct tb_ledger *l);

/* tb_ledger_give - a file just made (O_EXCL) by root in somebody's ledger belongs to whom the directory does. */
void tb_ledger_give(const struct tb_ledger *l, int fd);

/* tb_ledger_reset - marks gone, to be loaded anew; the lock stays. */
void tb_ledger_reset(struct tb_ledger *l);

/*
 * tb_ledger_load - replace the bases of @s and the marks by the file's. No file: all 0. Marks of regions that this
 * process itself served, and that the file does not know, are kept.
 * Returns 0; -EBADMSG when the file is damaged (a writer moves it aside and starts anew); -EPROTONOSUPPORT when it is
 * of a newer version; -errno.
 */
int tb_ledger_load(struct tb_ledger *l, struct tb_snapshot *s);

/* tb_ledger_has_changed - has the file been replaced since it was loaded or written here? */
bool tb_ledger_has_changed(struct tb_ledger *l);

/* tb_ledger_save - write bases and marks to a new file, fsync, rename. Returns 0, or -errno with the old file in place.
 */
int tb_ledger_save(struct tb_ledger *l, const struct tb_snapshot *s);

/* tb_ledger_find - the mark of a life of a region in a file of @uid. */
struct tb_mark *tb_ledger_find(struct tb_ledger *l, uint32_t uid, uint64_t region_id, uint64_t generation);
/* tb_ledger_mark - set the mark of (uid, id, generation), made when missing. */
struct tb_mark *tb_ledger_mark(struct tb_ledger *l, uint32_t uid, uint64_t region_id, uint64_t generation,
                               enum tb_mark_kind kind, struct tb_snap_service *service, uint64_t now_ns);
/* tb_ledger_prune - drop marks of earlier boots but for served ones, and old folded ones. Never one marked is_seen. */
void tb_ledger_prune(struct tb_ledger *l, uint64_t now_ns);

#define TB_LEDGER_DIR_SHARED "/var/lib/tickbird" /* of root, or of the user that root hands over to */

/* The default directory; the caller's to free. NULL when there is neither a home nor XDG_STATE_HOME. */
char *tb_ledger_default_dir(void);

/* Called between any two steps of saving, folding and collecting; NULL but in tests, which end the process there or let
 * another one act. */
extern void (*tb_ledger_step)(const char *step);
static inline void tb_step(const char *step)
{
    if (tb_ledger_step)
        tb_ledger_step(step);
}

#endif
