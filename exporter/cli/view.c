/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens the collector for the command. TICKBIRD_DIR is what the agents of this environment use, so it is searched when
 * no directory is named; the ledger is read without its lock, so an exporter that runs is not disturbed.
 *
 * Entry points: tb_view_option, tb_view_open, tb_view_refresh, tb_view_close.
 */
#include "view.h"
#include "exporter/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool tb_view_option(struct tb_view *view, int option, const char *value)
{
    if (!value || !value[0]) {
        tb_cli_message("an option's value is empty: give one, or leave the option out");
        return false;
    }
    if (option == 's') {
        view->service = value;
    } else if (option == 'p') {
        view->storage = value;
    } else if (view->dir_count < TB_VIEW_DIRS_MAX) {
        view->dirs[view->dir_count++] = value;
    } else {
        tb_cli_message("--dir %s: more than %u directories: ask in several calls", value, TB_VIEW_DIRS_MAX);
        return false;
    }
    return true;
}

int tb_view_refresh(struct tb_view *view)
{
    int result = tb_collect(view->collector);
    if (result == 0)
        return 0;
    if (result == -EACCES && view->ledger)
        tb_cli_message("the ledger in %s cannot be read: %s: ask as root or as the exporter's user, or name another "
                       "directory with --storage.path",
                       view->ledger->dir, strerror(-result));
    else
        tb_cli_message("the regions cannot be read: %s: free descriptors or memory", strerror(-result));
    return -1;
}

int tb_view_open(struct tb_view *view)
{
    const char *variable = getenv("TICKBIRD_DIR"), *storage = getenv("TICKBIRD_STORAGE_PATH");
    if (!view->dir_count && variable && variable[0])
        view->dirs[view->dir_count++] = variable;
    if (!view->storage && storage && storage[0])
        view->storage = storage;
    char *own = view->storage ? NULL : tb_ledger_default_dir();
    const char *dir = view->storage ? view->storage : own;
    /* Nobody's ledger is no error: no exporter has run here yet. */
    if (dir && tb_ledger_open(dir, false, &view->ledger) != 0)
        view->ledger = NULL;
    free(own);
    struct tb_collect_options options = {
        .dirs = view->dir_count ? view->dirs : NULL, .dir_count = view->dir_count, .ledger = view->ledger};
    int result = tb_collector_new(&options, &view->collector);
    if (result != 0) {
        tb_cli_message("the regions cannot be read: %s: free descriptors or memory", strerror(-result));
        return -1;
    }
    view->snapshot = tb_collector_snapshot(view->collector);
    return tb_view_refresh(view);
}

void tb_view_close(struct tb_view *view)
{
    if (view->collector)
        tb_collector_free(view->collector);
    if (view->ledger)
        tb_ledger_close(view->ledger);
    view->collector = NULL;
    view->ledger = NULL;
}

bool tb_view_wants(const struct tb_view *view, const struct tb_snap_service *service)
{
    return !view->service || (service && strcmp(view->service, service->name) == 0);
}

const char *tb_view_places(const struct tb_view *view, char *buffer, size_t size)
{
    size_t at = 0;
    buffer[0] = 0;
    if (!view->dir_count)
        snprintf(buffer, size, "/dev/shm/tickbird or /dev/shm/tickbird-UID");
    for (size_t i = 0; i < view->dir_count && at < size; i++) {
        int len = snprintf(buffer + at, size - at, "%s%s", i ? ", " : "", view->dirs[i]);
        at += len > 0 ? (size_t)len : 0;
    }
    return buffer;
}
