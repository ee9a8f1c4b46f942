/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird off` and `tickbird on`: the kill switch. A marker in the region directories is for programs that start
 * later, the on/off word of each region for those that run: they see it at their next call, without a restart. Marker
 * first, words then: a program that makes its region in between looks at the marker once it can be found.
 */
#include "exporter/region_head.h"
#include "view.h"
#include "exporter/marker_file.h"
#include "exporter/shared_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What could not be switched, in words for one line. */
struct tally {
    size_t switched, markers, untouched;
    char names[600];
    int error; /* of the last one */
};

static void untouched(struct tally *tally, const char *what, int error)
{
    char clean[256];
    size_t at = strlen(tally->names);
    tb_cli_text(clean, sizeof(clean), what);
    tally->error = error;
    if (tally->untouched++ < 8)
        snprintf(tally->names + at, sizeof(tally->names) - at, "%s%s", at ? ", " : "", clean);
    else if (tally->untouched == 9)
        snprintf(tally->names + at, sizeof(tally->names) - at, " and more");
}

static void switch_region(const struct tb_snap_region *region, bool is_off, struct tally *tally)
{
    char name[256], what[512];
    int result = tb_region_switch(region->path, is_off);
    tb_cli_text(name, sizeof(name), region->service->name);
    if (result == -ENOENT)
        return; /* removed meanwhile */
    if (result != 0) {
        snprintf(what, sizeof(what), "%s (%s)", name, region->path);
        untouched(tally, what, result);
        return;
    }
    tally->switched++;
    if (region->is_live)
        printf("%s: switched %s (%u process%s)\n", name, is_off ? "off" : "on", region->processes,
               region->processes == 1 ? "" : "es");
    else
        printf("%s: switched %s (no process uses it now)\n", name, is_off ? "off" : "on");
}

/* A region that cannot be read: whose it is cannot be told, so it matters only when all are meant. */
static bool is_untouched(const struct tb_view *view, const struct tb_snap_region *r)
{
    return !view->service && (r->unreadable == TB_UNREADABLE_PERMISSION || r->unreadable == TB_UNREADABLE_DIRECTORY ||
                              r->unreadable == TB_UNREADABLE_NEWER || r->unreadable == TB_UNREADABLE_ERROR);
}

static void switch_words(struct tb_view *view, bool is_off, struct tally *tally)
{
    for (size_t i = 0; i < view->snapshot->region_count; i++) {
        const struct tb_snap_region *r = &view->snapshot->regions[i];
        if (!r->unreadable && tb_view_wants(view, r->service))
            switch_region(r, is_off, tally);
        else if (r->unreadable && is_untouched(view, r))
            untouched(tally, r->path, r->unreadable == TB_UNREADABLE_NEWER ? -EPROTONOSUPPORT : -EACCES);
    }
}

static void switch_marker(const struct tb_view *view, const char *dir, bool is_off, struct tally *tally)
{
    char what[512];
    int r = is_off ? tb_marker_set(dir, view->service) : tb_marker_clear(dir, view->service);
    if (r == -ENOENT || r == -EACCES)
        return; /* no such directory; one that may not be looked into is told of by its regions */
    if (r < 0) {
        snprintf(what, sizeof(what), "programs that start later in %s", dir);
        untouched(tally, what, r);
        return;
    }
    tally->markers += is_off || r > 0;
    if (is_off || r > 0)
        printf("%s: programs that start later begin switched %s%s%s\n", dir, is_off ? "off" : "on",
               view->service ? ": " : "", view->service ? view->service : "");
}

/* One service cannot be on in a directory where everything is off. Returns that directory, or NULL. */
static const char *dir_all_off(const struct tb_view *view)
{
    for (size_t i = 0; i < view->snapshot->marker_count; i++)
        if (!view->snapshot->markers[i].marker.service[0])
            return view->snapshot->markers[i].dir;
    return NULL;
}

static void switch_markers(const struct tb_view *view, bool is_off, struct tally *tally)
{
    char **found = NULL;
    size_t count = view->dir_count;
    /* Who switches everything off means programs too that nobody made a directory for yet. */
    if (!count && is_off && geteuid() == 0)
        tb_region_dir_make(TB_REGION_DIR_SHARED);
    if (!count)
        count = tb_collect_default_dirs(&found);
    for (size_t i = 0; i < count; i++) {
        switch_marker(view, found ? found[i] : view->dirs[i], is_off, tally);
        if (found)
            free(found[i]);
    }
    free(found);
}

static int report(const struct tb_view *view, bool is_off, const struct tally *tally)
{
    char places[1024], clean[256];
    fflush(stdout); /* before the message, also when both go to one file */
    if (tally->untouched)
        tb_cli_message("not switched %s: %s: %s: %s", is_off ? "off" : "on", tally->names, tb_region_why(tally->error),
                       tally->error == -EACCES || tally->error == -EPERM
                           ? "ask as their user, as root or, for programs that run, as a member of group tickbird"
                           : "see tickbird status");
    else if (!tally->switched && !tally->markers)
        tb_cli_message("%s%s: no region in %s: see tickbird status", view->service ? "service " : "nothing to switch",
                       view->service ? tb_cli_text(clean, sizeof(clean), view->service) : "",
                       tb_view_places(view, places, sizeof(places)));
    return (tally->switched || tally->markers) && !tally->untouched ? TB_EXIT_OK : TB_EXIT_FAILED;
}

static int switch_all(struct tb_view *view, bool is_off)
{
    struct tally tally = {0};
    const char *dir = !is_off && view->service ? dir_all_off(view) : NULL;
    if (dir) {
        tb_cli_message(
            "%s: everything in %s is switched off: tickbird on, without a service, then tickbird off for the "
            "others",
            view->service, dir);
        return TB_EXIT_FAILED;
    }
    switch_markers(view, is_off, &tally);
    if (tb_view_refresh(view) != 0)
        return TB_EXIT_FAILED;
    switch_words(view, is_off, &tally);
    return report(view, is_off, &tally);
}

static int run_switch(int argc, char **argv, const struct tb_verb *verb, bool is_off)
{
    static const struct option options[] = {TB_VIEW_OPTIONS, {0}};
    struct tb_view view = {0};
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
    if (view.service && (!view.service[0] || strlen(view.service) > 127)) {
        tb_cli_message("%.20s: a service's name has 1 to 127 bytes: see tickbird status", view.service);
        return TB_EXIT_USAGE;
    }
    if (tb_view_open(&view) == 0)
        code = switch_all(&view, is_off);
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
    "Programs that record stop at their next call, without a restart; SERVICE alone, or all of them. Programs that "
    "start\n"
    "later begin switched off: a file in the region directory says so, `tickbird on` removes it. Totals stay.\n"
    "\n" TB_VIEW_HELP,
    run_off};

const struct tb_verb tb_verb_on = {"on", "record again",
                                   "Usage: tickbird on [OPTIONS] [SERVICE]\n"
                                   "Undoes `tickbird off`, for SERVICE alone or for all.\n"
                                   "\n" TB_VIEW_HELP,
                                   run_on};
