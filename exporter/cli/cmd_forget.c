/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird forget`: takes a service whose programs are gone out of the ledger. It does that itself when no exporter
 * holds the ledger; else it asks the exporter and waits for its answer, which is seen in the ledger.
 */
#include "view.h"
#include "exporter/forget.h"
#include "exporter/ledger.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 40000 /* an exporter that cannot watch its directory looks every 30 s */
#define STEP_MS 50

static const struct tb_snap_service *find(const struct tb_view *view, const char *name)
{
    for (size_t i = 0; i < view->snapshot->service_count; i++)
        if (strcmp(view->snapshot->services[i]->name, name) == 0)
            return view->snapshot->services[i];
    return NULL;
}

static bool is_live(const struct tb_view *view, const struct tb_snap_service *service)
{
    for (size_t i = 0; i < view->snapshot->region_count; i++) {
        const struct tb_snap_region *r = &view->snapshot->regions[i];
        if (!r->unreadable && r->is_live && r->service == service)
            return true;
    }
    return false;
}

static int refuse(const char *name, int error)
{
    char clean[256];
    const char *why = strerror(-error), *todo = "see tickbird status";
    if (error == -ENOENT) {
        why = "no such service";
        todo = "see tickbird series";
    } else if (error == -EBUSY) {
        why = "a program of it records";
        todo = "stop it first, or use tickbird off";
    } else if (error == -EAGAIN) {
        why = "a region of it cannot be emptied";
        todo = "ask as root, or as the exporter's user";
    } else if (error == -EACCES || error == -EPERM || error == -EROFS) {
        why = "the ledger cannot be written";
        todo = "ask as root or as the exporter's user, or name the ledger with --storage.path";
    }
    tb_cli_message("forget %s: %s: %s", tb_cli_text(clean, sizeof(clean), name), why, todo);
    return TB_EXIT_FAILED;
}

/* The exporter holds the ledger. Returns 0 when the service is gone from it, or -errno. */
static int ask_exporter(struct tb_view *view, const char *dir, const char *name)
{
    int r = tb_forget_request(dir, name), waited = 0;
    if (r)
        return r;
    for (; waited < WAIT_MS && tb_forget_is_asked(dir, name); waited += STEP_MS)
        poll(NULL, 0, STEP_MS);
    if (waited >= WAIT_MS) {
        tb_forget_withdraw(dir, name);
        return -ETIMEDOUT;
    }
    tb_view_close(view);
    if (tb_view_open(view) != 0)
        return -EIO;
    const struct tb_snap_service *service = find(view, name);
    if (!service || (!service->requests && !service->regions))
        return 0;
    return is_live(view, service) ? -EBUSY : -EAGAIN;
}

static int forget(struct tb_view *view, const char *name)
{
    const struct tb_snap_service *service = find(view, name);
    struct tb_collector *collector = NULL;
    struct tb_ledger *ledger = NULL;
    int r = service ? is_live(view, service) ? -EBUSY : 0 : -ENOENT;
    char *own = view->storage ? NULL : tb_ledger_default_dir();
    const char *dir = view->storage ? view->storage : own;
    if (!r)
        r = dir ? tb_ledger_open(dir, true, &ledger) : -EACCES;
    if (!r && tb_ledger_is_writer(ledger)) {
        struct tb_collect_options options = {
            .dirs = view->dir_count ? view->dirs : NULL, .dir_count = view->dir_count, .ledger = ledger};
        r = tb_collector_new(&options, &collector);
        r = r ? r : tb_forget(collector, name);
    } else if (!r) {
        r = ask_exporter(view, dir, name);
    }
    tb_collector_free(collector);
    tb_ledger_close(ledger);
    free(own);
    return r;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {TB_VIEW_OPTIONS, {0}};
    struct tb_view view = {0};
    char clean[256];
    int got, r = 0;
    while ((got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END) {
        if (got == TB_OPTION_HELP) {
            fputs(tb_verb_forget.usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == TB_OPTION_BAD || !tb_view_option(&view, got, optarg))
            return TB_EXIT_USAGE;
    }
    const char *name = view.service;
    if (optind < argc && !name)
        name = argv[optind++];
    if (tb_cli_operands(argc, argv) != 0)
        return TB_EXIT_USAGE;
    if (!name) {
        tb_cli_message("forget: no service is named: tickbird forget SERVICE");
        return TB_EXIT_USAGE;
    }
    bool is_open = tb_view_open(&view) == 0;
    if (is_open)
        r = forget(&view, name);
    tb_view_close(&view);
    if (!is_open)
        return TB_EXIT_FAILED;
    if (r)
        return refuse(name, r);
    printf("%s: forgotten\n", tb_cli_text(clean, sizeof(clean), name));
    return TB_EXIT_OK;
}

const struct tb_verb tb_verb_forget = {
    "forget", "drop the totals of a service that is gone",
    "Usage: tickbird forget [OPTIONS] SERVICE\n"
    "Takes the totals of SERVICE out of the ledger, and removes what its programs left behind. Not while a program of\n"
    "it records. An exporter that runs does it when asked by this command.\n"
    "\n" TB_VIEW_HELP,
    run};
