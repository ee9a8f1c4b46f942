/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs that read regions have in common: the options that say where, and one snapshot of everything there.
 * Read-only: nothing in a region, in the ledger or on disk is changed.
 */
#ifndef TB_VIEW_H
#define TB_VIEW_H

#include "cli.h"
#include "exporter/collect.h"

struct tb_ledger;

#define TB_VIEW_DIRS_MAX 16u

struct tb_view {
    const char *dirs[TB_VIEW_DIRS_MAX]; /* borrowed from argv or the environment */
    size_t dir_count;                   /* 0 = the default ones */
    const char *storage;                /* of the ledger; NULL = the default one */
    const char *service;                /* NULL = all */
    struct tb_ledger *ledger;
    struct tb_collector *collector;
    struct tb_snapshot *snapshot;
};

/* Rows of the option table of a verb that reads regions, and the lines of its help text. */
#define TB_VIEW_OPTIONS                                                                                                \
    {"dir", required_argument, NULL, 'd'}, {"region.dir", required_argument, NULL, 'd'},                               \
        {"storage.path", required_argument, NULL, 'p'}, {"service", required_argument, NULL, 's'},                     \
    {                                                                                                                  \
        "help", no_argument, NULL, TB_OPTION_HELP                                                                      \
    }
#define TB_VIEW_HELP                                                                                                   \
    "  --service NAME       this service alone\n"                                                                      \
    "  --dir DIR            directory of regions, repeatable (also --region.dir); default: TICKBIRD_DIR, else\n"       \
    "                       /dev/shm/tickbird and /dev/shm/tickbird-UID\n"                                             \
    "  --storage.path DIR   where the exporter keeps totals of programs that are gone\n"                               \
    "  --help               this text\n"

/* tb_view_option - take one of TB_VIEW_OPTIONS. Returns false, reported, when its value is no good. */
bool tb_view_option(struct tb_view *view, int option, const char *value);

/* tb_view_open - read everything once. Returns 0, or -1 after reporting. tb_view_close also when it failed. */
int tb_view_open(struct tb_view *view);
/* tb_view_refresh - read again, into the same snapshot. */
int tb_view_refresh(struct tb_view *view);
void tb_view_close(struct tb_view *view);

/* tb_view_wants - is this service asked for? */
bool tb_view_wants(const struct tb_view *view, const struct tb_snap_service *service);

/* tb_view_places - the directories that were searched, as text for messages. Returns @buffer. */
const char *tb_view_places(const struct tb_view *view, char *buffer, size_t size);

#endif
