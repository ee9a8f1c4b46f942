/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird off` and `tickbird on`: the kill switch. Sets the on/off word of the regions; programs see it at their next
 * call, without a restart. A region that lies unused is switched too: the next program that adopts it finds it so.
 */
#include "region_head.h"
#include "view.h"

#include <errno.h>
#include <string.h>

struct tally {
    size_t switched, failed, unreadable;
};

static void switch_region(const struct tb_snap_region *region, bool is_off, struct tally *tally)
{
    char name[256];
    int result = tb_region_switch(region->path, is_off);
    if (result != 0) {
        tally->failed++;
        tb_cli_message("%s: cannot be switched: %s: %s", region->path, tb_region_why(result),
                       result == -EACCES || result == -EPERM
                           ? "ask as its user, as root or as a member of group tickbird"
                           : "see tickbird status");
        return;
    }
    tally->switched++;
    tb_cli_text(name, sizeof(name), region->service->name);
    if (region->is_live)
        printf("%s: switched %s (%u process%s)\n", name, is_off ? "off" : "on", region->processes,
               region->processes == 1 ? "" : "es");
    else
        printf("%s: switched %s (no process uses it now)\n", name, is_off ? "off" : "on");
}

static int report(const struct tb_view *view, const struct tally *tally)
{
    char places[1024];
    if (tally->unreadable && !tally->switched)
        tb_cli_message("%zu region%s cannot be read: ask as root or as a member of group tickbird: see tickbird status",
                       tally->unreadable, tally->unreadable == 1 ? "" : "s");
    else if (!tally->switched && !tally->failed)
        tb_cli_message("%s%s: no region in %s: see tickbird status", view->service ? "service " : "nothing to switch",
                       view->service ? view->service : "", tb_view_places(view, places, sizeof(places)));
    return tally->switched && !tally->failed ? TB_EXIT_OK : TB_EXIT_FAILED;
}

static int run_switch(int argc, char **argv, const struct tb_verb *verb, bool is_off)
{
    static const struct option options[] = {TB_VIEW_OPTIONS, {0}};
    struct tb_view view = {0};
    struct tally tally = {0};
    int got, code = TB_EXIT_FAILED;
    while ((got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END) {
        if (got == TB_OPTION_HELP) {
            fputs(verb->usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == TB_OPTION_BAD || !tb_view_option(&view, got, optarg))
            return TB_EXIT_USAGE;
    }
    if (optind < argc && !view.service)
        view.service = argv[optind++];
    if (tb_cli_operands(argc, argv) != 0)
        return TB_EXIT_USAGE;
    if (tb_view_open(&view) == 0) {
        for (size_t i = 0; i < view.snapshot->region_count; i++) {
            const struct tb_snap_region *r = &view.snapshot->regions[i];
            if (r->unreadable)
                tally.unreadable++;
            else if (tb_view_wants(&view, r->service))
                switch_region(r, is_off, &tally);
        }
        code = report(&view, &tally);
    }
    tb_view_close(&view);
    return code;
}

static int run_off(int argc, char **argv)
{
    return run_switch(argc, argv, &tb_verb_off, true);
}

static int run_on(int argc, char **argv)
{
    return run_switch(argc, argv, &tb_verb_on, false);
}

const struct tb_verb tb_verb_off = {
    "off", "stop recording at once, without a restart",
    "Usage: tickbird off [OPTIONS] [SERVICE]\n"
    "Programs that record stop at their next call, without a restart; SERVICE alone, or all of them. Their totals "
    "stay.\n"
    "`tickbird on` makes them go on. A program of a service that has no region yet is not affected.\n"
    "\n" TB_VIEW_HELP,
    run_off};

const struct tb_verb tb_verb_on = {"on", "record again",
                                   "Usage: tickbird on [OPTIONS] [SERVICE]\n"
                                   "Undoes `tickbird off`, for SERVICE alone or for all.\n"
                                   "\n" TB_VIEW_HELP,
                                   run_on};
