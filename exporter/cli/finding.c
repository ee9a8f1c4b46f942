/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges a running process: does it record, could it, and if not, why. It puts together what process.c read, what the
 * executable is (verdict.c), which directory the agent in it would use (region_dir.c) and what its region says.
 *
 * Entry point: tb_finding_process.
 */
#include "finding.h"
#include "exporter/region_dir.h"
#include "exporter/region_head.h"
#include "exporter/selection.h"
#include "exporter/unobserved.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void conclude(struct tb_finding *f, const char *what, const char *todo, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void conclude(struct tb_finding *f, const char *what, const char *todo, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->why, sizeof(f->why), format, args);
    va_end(args);
    f->what = what;
    f->todo = todo;
}

/* What makes TLS seen that a process answers and nobody follows, by the bits of its owner slots. */
static const char *todo_for_tls(uint64_t unobservable)
{
    if (unobservable & TB_UNOBSERVABLE_TLS_REFUSED)
        return "its own OpenSSL is seen by changing its code in memory, which is not permitted here "
               "(TICKBIRD_INLINE_HOOKS, a rule, a filter, SELinux; docs/limits.md)";
    if (unobservable & TB_UNOBSERVABLE_TLS_CODE)
        return "its own OpenSSL is not of a known form: observe what decrypts for it, or use a build with a shared "
               "OpenSSL (docs/limits.md)";
    return "observe what decrypts it, or use a shared OpenSSL or GnuTLS (docs/limits.md)";
}

static void judge_recording(const struct tb_process *p, struct tb_finding *f)
{
    static struct tb_region_head region;
    char root[TB_PROCESS_ROOT], path[PATH_MAX + 64], since[32];
    if (p->is_region_deleted) {
        conclude(f, "records where nobody can read it", "restart it", "its region %s was deleted", p->region);
        return;
    }
    snprintf(path, sizeof(path), "%s%s", tb_process_root(p, root), p->region);
    int result = tb_region_head_read(path, &region);
    f->is_fine = true;
    if (result != 0) {
        conclude(f, "records", "ask again as root, or as a member of group tickbird", "its region cannot be read: %s",
                 tb_region_why(result));
        return;
    }
    if (region.off) {
        f->is_fine = false;
        conclude(f, "does not record", "tickbird on", "it is switched off");
        return;
    }
    time_t seconds = (time_t)(region.header.adopted_ns / 1000000000u);
    struct tm tm;
    strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &tm));
    bool is_whole = !(region.unobservable & TB_UNOBSERVABLE_BUILT_TLS);
    conclude(f, is_whole ? "records" : "records in part",
             is_whole ? "tickbird status" : todo_for_tls(region.unobservable), "service %s, since %s%s",
             region.header.service, since,
             is_whole ? "" : ", but not what is inside the TLS that it answers or passes on");
}

static bool is_left_out(const struct tb_process *p, struct tb_finding *f)
{
    static struct tb_selection selection;
    tb_selection_of_process(p, &selection);
    if (selection.is_out)
        conclude(f, "is left alone", selection.todo, "%.500s", selection.why);
    return selection.is_out;
}

/* The object is in the process, but no region. */
static void judge_idle(const struct tb_process *p, struct tb_finding *f)
{
    static struct tb_region_dir dir;
    char root[TB_PROCESS_ROOT];
    /* nginx and others write their title over the environment: then the caller's own variable is all there is. */
    bool is_told = p->can_see_environ && p->has_environ;
    const char *wanted = is_told ? p->dir : getenv("TICKBIRD_DIR");
    tb_region_dir_look(tb_process_root(p, root), wanted, p->uid, p->is_dir_forced, &dir);
    tb_region_dir_limit(&dir, p->dir_quota_mib);
    if (p->is_secure == 1)
        conclude(f, "does not record", "start it as the user that it belongs to",
                 "it runs with raised rights (AT_SECURE), where the agent does nothing");
    else if (p->is_disabled)
        conclude(f, "does not record", "start it without TICKBIRD_DISABLE", "TICKBIRD_DISABLE is set");
    else if (is_left_out(p, f))
        return;
    else if (!dir.is_fit)
        conclude(f, "cannot record", dir.todo, "%s: %s", dir.path, dir.why);
    else if (p->fsize_limit < TB_REGION_BYTES)
        conclude(f, "cannot record", "raise the limit (ulimit -f) before it starts",
                 "its limit on file sizes (%llu bytes) is below that of a region", (unsigned long long)p->fsize_limit);
    else if (p->listeners > 0 && !is_told && !wanted)
        conclude(f, "does not record", "ask again with TICKBIRD_DIR set as it was for the program",
                 "it listens, but has no region; its environment, which names the directory, cannot be read any more");
    else if (p->listeners > 0)
        conclude(f, "does not record", "start it with TICKBIRD_DEBUG=1 and read what the agent says",
                 "it listens, but has no region");
    else {
        f->is_fine = true;
        conclude(f, "can be observed", "nothing: recording starts with its first listening socket or request",
                 "it has not listened and not spoken HTTP so far");
    }
}

static bool names_tickbird(const char *preload)
{
    return strstr(preload, TB_OBJECT_NAME) != NULL;
}

/* The loader was asked for the object, but it is not there. */
static void judge_not_loaded(const struct tb_process *p, struct tb_finding *f)
{
    char path[PATH_MAX * 2], root[TB_PROCESS_ROOT];
    const char *at = strstr(p->preload, TB_OBJECT_NAME);
    const char *from = at, *end = at + strcspn(at, " \t:");
    while (from > p->preload && !strchr(" \t:", from[-1]))
        from--;
    snprintf(path, sizeof(path), "%s%.*s", tb_process_root(p, root), (int)(end - from), from);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        conclude(f, "is not observed", "install the object where the program can see it, then restart the program",
                 "its LD_PRELOAD names %.*s, which does not exist%s", (int)(end - from), from,
                 p->is_other_mount_ns == 1 ? " in its mount namespace" : "");
    else
        conclude(f, "is not observed",
                 "check that its user may read the object and that the file system is not mounted noexec",
                 "its LD_PRELOAD names the object, but the loader did not load it");
}

/* Nothing in the executable stands in the way: how was it started? */
static void judge_start(const struct tb_process *p, struct tb_finding *f)
{
    enum tb_unobserved why = tb_unobserved_judge(p);
    if (why == TB_UNOBSERVED_DOMAIN)
        conclude(f, "cannot be observed", "allow its domain to be entered without AT_SECURE (docs/security-modules.md)",
                 "a security module put it into the domain %s when it started: the loader ignored LD_PRELOAD",
                 p->domain);
    else if (p->is_secure == 1)
        conclude(f, "cannot be observed", "start it as the user that it belongs to, without the set-user-ID bit",
                 "it changed its ids or capabilities when it started (AT_SECURE): the loader ignored LD_PRELOAD");
    else if (names_tickbird(p->preload))
        judge_not_loaded(p, f);
    else if (why == TB_UNOBSERVED_STARTED_BEFORE)
        conclude(f, "is not observed", "restart it", "it was started before /etc/ld.so.preload named the object");
    else if (why == TB_UNOBSERVED_NOT_LOADED)
        conclude(f, "is not observed",
                 "check that the object exists where the program sees it, and that its user may "
                 "read it",
                 "/etc/ld.so.preload names the object, but the loader did not load it");
    else if (!p->can_see_environ || !p->has_environ)
        conclude(f, "is not observed", "restart it with tickbird run, or with LD_PRELOAD",
                 "the object is not loaded; how it was started cannot be told");
    else
        conclude(f, "is not observed", "restart it with tickbird run, or with LD_PRELOAD",
                 "it was started without the preload");
}

/* No object: what the executable is, then how it was started. */
static void judge_absent(const struct tb_process *p, const struct tb_object *object, struct tb_finding *f)
{
    static struct tb_verdict verdict;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)p->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        tb_verdict_file(fd, p->exe, object, &verdict);
        close(fd);
        if (verdict.obstacle && verdict.obstacle != TB_OBSTACLE_NOT_FOUND) {
            conclude(f, "cannot be observed", verdict.todo, "%s", verdict.why);
            return;
        }
    }
    judge_start(p, f);
}

void tb_finding_process(const struct tb_process *p, const struct tb_object *object, struct tb_finding *f)
{
    static struct tb_verdict verdict; /* zero until a file was judged */
    verdict.obstacle = TB_OBSTACLE_NONE;
    *f = (struct tb_finding){0};
    if (p->is_kernel) {
        conclude(f, "cannot be observed", "name a program", "it is a kernel thread, or has ended");
    } else if (!p->can_see_maps) {
        f->is_unknown = true;
        conclude(f, "cannot be told", "ask again as its user or as root",
                 "this user has no right to look into the process");
    } else if (!p->object[0]) {
        judge_absent(p, object, f);
    } else {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/exe", (int)p->pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            tb_verdict_file(fd, p->exe, NULL, &verdict);
            close(fd);
        }
        if (verdict.obstacle == TB_OBSTACLE_GO)
            conclude(f, "cannot be observed", verdict.todo, "%s", verdict.why);
        else if (p->region[0])
            judge_recording(p, f);
        else
            judge_idle(p, f);
    }
}
