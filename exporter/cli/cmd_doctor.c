/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird doctor`: can this program, or does this process, be observed, and if not, why and what to do. It puts in
 * words what verdict.c (a program's file), finding.c (a running process), region_dir.c and crash.c (a core file) found.
 *
 * Exit codes: 0 observable, 1 not (or it cannot be told), 2 wrong usage or no such process; of a crash, 0 is that the
 * object has no part in it.
 */
#include "agent/place.h"
#include "cli.h"
#include "crash.h"
#include "finding.h"
#include "listeners.h"
#include "exporter/region_dir.h"
#include "exporter/selection.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES (PATH_MAX + 256)

static void line(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *label, const char *format, ...)
{
    char raw[LINE_MAX_BYTES], clean[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    printf("  %-10s %s\n", label, tb_cli_text(clean, sizeof(clean), raw));
}

static void headline(const char *who, const char *what, const char *why)
{
    char clean[LINE_MAX_BYTES], reason[LINE_MAX_BYTES];
    printf("%s: %s%s%s\n", tb_cli_text(clean, sizeof(clean), who), what, why[0] ? ": " : "",
           tb_cli_text(reason, sizeof(reason), why));
}

/* "1.9 GiB" */
static const char *size_text(char *buffer, size_t size, uint64_t bytes)
{
    if (bytes == UINT64_MAX)
        snprintf(buffer, size, "unlimited");
    else if (bytes >= UINT64_C(1) << 30)
        snprintf(buffer, size, "%.1f GiB", (double)bytes / (double)(1u << 30));
    else
        snprintf(buffer, size, "%.1f MiB", (double)bytes / (double)(1u << 20));
    return buffer;
}

static void describe_file(const char *label, const char *path, const struct tb_elf_file *file)
{
    char machine[32];
    static const char *const libcs[] = {"unknown C library", "glibc", "musl"};
    if (file->kind != TB_FILE_ELF)
        line(label, "%s", path);
    else if (file->is_foreign)
        line(label, "%s (%s)", path, tb_elf_machine_name(file->machine, file->bits, machine));
    else
        line(label, "%s (%s, %s%s)", path, tb_elf_machine_name(file->machine, file->bits, machine),
             file->is_static ? "statically linked" : libcs[file->libc], file->is_go ? ", Go" : "");
}

static void describe_object(const struct tb_object *object)
{
    char machine[32];
    line("object", "%s (%s)", object->path, tb_elf_machine_name(object->file.machine, object->file.bits, machine));
}

static void describe_dir(const struct tb_region_dir *dir)
{
    char room[32];
    if (!dir->exists) {
        line("directory", "%s (%s)", dir->path, dir->is_fit ? "the program will make it" : dir->why);
    } else {
        const struct passwd *user = getpwuid(dir->owner);
        const struct group *group = getgrgid(dir->group);
        line("directory", "%s (%s:%s 0%o, %s, %s free%s%s)", dir->path, user ? user->pw_name : "?",
             group ? group->gr_name : "?", (unsigned)(dir->mode & 07777), dir->is_memory ? "in memory" : "on a disk",
             size_text(room, sizeof(room), dir->free_bytes), dir->is_fit ? "" : "; not usable: ", dir->why);
    }
}

static bool environment_says(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] && strcmp(value, "0") != 0;
}

/* --- a program ---------------------------------------------------------------------------------------------------- */

static int doctor_program(char **argv, const struct tb_object *object)
{
    static struct tb_verdict verdict;
    static struct tb_region_dir dir;
    static struct tb_selection selection;
    const char *name = argv[0];
    tb_verdict_program(name, object, &verdict);
    tb_region_dir_look("", getenv("TICKBIRD_DIR"), geteuid(), environment_says("TICKBIRD_DIR_FORCE"), &dir);
    tb_region_dir_limit(&dir, tb_place_quota(getenv("TICKBIRD_DIR_QUOTA")));
    if (!verdict.obstacle)
        tb_selection_of_program(argv, verdict.program, verdict.binary, &selection);

    bool is_observable = verdict.obstacle == TB_OBSTACLE_NONE && dir.is_fit && !selection.is_out;
    const char *why = verdict.obstacle   ? verdict.why
                      : selection.is_out ? selection.why
                      : dir.is_fit       ? ""
                                         : "its region directory is not usable";
    headline(name,
             verdict.obstacle == TB_OBSTACLE_UNREADABLE ? "cannot be told"
             : selection.is_out                         ? "is left alone"
             : is_observable                            ? "can be observed"
                                                        : "cannot be observed",
             why);
    if (verdict.obstacle != TB_OBSTACLE_NOT_FOUND || verdict.file.kind == TB_FILE_ELF) {
        if (strcmp(verdict.program, verdict.binary) != 0 && verdict.binary[0]) {
            line("program", "%s (a script)", verdict.program);
            describe_file("runs", verdict.binary, &verdict.file);
        } else {
            describe_file("program", verdict.program, &verdict.file);
        }
        describe_object(object);
        describe_dir(&dir);
    }
    for (size_t i = 0; i < verdict.note_count; i++)
        line("note", "%s", verdict.notes[i]);
    if (is_observable && environment_says("TICKBIRD_DISABLE"))
        line("note", "TICKBIRD_DISABLE is set here: a program started now records nothing");
    if (is_observable)
        line("next", "tickbird run -- %s", name);
    else
        line("next", "%s", verdict.obstacle ? verdict.todo : selection.is_out ? selection.todo : dir.todo);
    return is_observable ? TB_EXIT_OK : TB_EXIT_FAILED;
}

/* --- a process ---------------------------------------------------------------------------------------------------- */

static void describe_process(const struct tb_process *p)
{
    const struct passwd *user = getpwuid(p->uid);
    if (p->exe[0])
        line("program", "%s", p->exe);
    line("user", "%s (%u)", user ? user->pw_name : "?", (unsigned)p->uid);
    if (p->can_see_maps)
        line("object", "%s%s", p->object[0] ? p->object : "not loaded",
             p->is_object_deleted ? " (replaced since: the process keeps the old one until it restarts)" : "");
    if (p->region[0])
        line("region", "%s", p->region);
    if (p->listeners != TB_UNKNOWN)
        line("listens", "on %d socket%s", p->listeners, p->listeners == 1 ? "" : "s");
    if (p->is_other_mount_ns == 1)
        line("note", "it lives in another mount namespace: paths are as it sees them");
    if (p->seccomp == 1)
        line("note", "strict seccomp is on: the agent makes no system call");
    else if (p->seccomp == 2)
        line("note", "a seccomp filter is on; if the program installed it itself, some requests may be counted without "
                     "durations");
    if (p->has_uring == 1)
        line("note", "it has an io_uring open: what goes through it is not seen");
    if (p->has_php_curl)
        line("note", "PHP loads its modules with RTLD_DEEPBIND: what curl calls in clear is not seen, over TLS it is");
}

static int doctor_process(pid_t pid, const struct tb_object *object)
{
    static struct tb_process process;
    struct tb_finding finding;
    char who[64];
    int result = tb_process_read(pid, NULL, &process);
    if (result != 0) {
        tb_cli_message("doctor: pid %d: %s: give the pid of a running process", (int)pid,
                       result == -ESRCH ? "no such process" : strerror(-result));
        return TB_EXIT_USAGE;
    }
    tb_finding_process(&process, object, &finding);
    snprintf(who, sizeof(who), "pid %d (%s)", (int)pid, process.name);
    headline(who, finding.what, finding.why);
    describe_process(&process);
    line("next", "%s", finding.todo);
    return finding.is_fine ? TB_EXIT_OK : TB_EXIT_FAILED;
}

/* --- all that listen ---------------------------------------------------------------------------------------------- */

static int doctor_all(const struct tb_object *object)
{
    struct tb_listeners all;
    bool are_fine = true;
    tb_listeners_find(object, &all);
    for (size_t i = 0; i < all.count; i++) {
        const struct tb_listener *l = &all.found[i];
        char pids[TB_LISTENER_PIDS_TEXT], who[256];
        snprintf(who, sizeof(who), "%s (pid%s %s)", l->name, l->pid_count == 1 ? "" : "s", tb_listener_pids(l, pids));
        headline(who, l->finding.what, l->finding.why);
        if (l->exe[0])
            line("program", "%s", l->exe);
        line("next", "%s", l->todo);
        are_fine &= l->finding.is_fine;
    }
    if (!all.count)
        puts("No program that can be looked into listens on TCP here.");
    if (all.hidden)
        printf("%zu more listening socket%s cannot be told.\n", all.hidden, all.hidden == 1 ? "" : "s");
    if (all.is_partial)
        puts("The processes of this machine could not all be looked at in time: ask about one by its pid.");
    free(all.found);
    return are_fine && !all.is_partial ? TB_EXIT_OK : TB_EXIT_FAILED;
}

/* --- a crash ------------------------------------------------------------------------------------------------------ */

static void describe_frames(const struct tb_crash *crash)
{
    for (size_t i = 0; i < crash->count; i++) {
        const struct tb_crash_frame *f = &crash->frames[i];
        char number[16];
        snprintf(number, sizeof(number), "#%zu", i);
        line(number, "%s %s%s", f->module[0] ? f->module : "(no file)", f->symbol[0] ? f->symbol : "?",
             f->is_object ? "   <- the object" : "");
    }
}

static int doctor_core(const char *path)
{
    static struct tb_crash crash;
    const char *why;
    char who[PATH_MAX + 64];
    size_t at = 0;
    if (tb_crash_read(path, &crash, &why) != 0) {
        tb_cli_message("doctor: %s: %s: give the core file of a crash", path, why);
        return TB_EXIT_USAGE;
    }
    while (at < crash.count && !crash.frames[at].is_object)
        at++;
    bool is_through = at < crash.count, is_clear = !is_through && (crash.is_whole || !crash.has_object);
    snprintf(who, sizeof(who), "%s (%s, %s)", path, crash.program[0] ? crash.program : "?",
             crash.signal ? strsignal(crash.signal) : "unknown signal");
    if (is_through)
        headline(who, "its backtrace runs through the object",
                 at == 0 ? "it stopped inside it" : "it stopped in a function that was called through it");
    else if (is_clear)
        headline(who, "its backtrace does not run through the object",
                 crash.has_object ? "it was loaded, but no function of it is among the callers" : "it was not loaded");
    else
        headline(who, "cannot be told", "no function of the object is among the callers that could be followed");
    describe_frames(&crash);
    if (at == 0)
        line("next", "report it, with the lines above and the version of the object");
    else if (is_through)
        line("next",
             "look at what is above the object: it passes calls on as they are; repeat it with TICKBIRD_DISABLE=1 "
             "to be sure");
    else if (is_clear)
        line("next",
             "look for the cause in the program; TICKBIRD_DISABLE=1 tells whether it happens without the agent");
    else
        line("next", "ask where the program's files are the ones that crashed, or repeat it with TICKBIRD_DISABLE=1");
    return is_clear ? TB_EXIT_OK : TB_EXIT_FAILED;
}

/* --- the verb ----------------------------------------------------------------------------------------------------- */

/* `doctor NUMBER` asks for a process, `doctor -- NUMBER` for a program of that name. */
static bool is_pid(const char *word, unsigned long *ret_pid)
{
    char *end;
    errno = 0;
    *ret_pid = strtoul(word, &end, 10);
    return word[0] >= '0' && word[0] <= '9' && !*end && !errno && *ret_pid > 0 && *ret_pid <= INT32_MAX;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"core", required_argument, NULL, 'c'},
                                            {"lib", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, TB_OPTION_HELP},
                                            {0}};
    static struct tb_object object;
    const char *lib = getenv("TICKBIRD_LIB"), *core = NULL;
    unsigned long pid;
    bool is_all = false;
    int got;
    while ((got = tb_cli_option(argc, argv, "+h", options)) != TB_OPTION_END) {
        if (got == TB_OPTION_BAD)
            return TB_EXIT_USAGE;
        if (got == TB_OPTION_HELP) {
            fputs(tb_verb_doctor.usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == 'a')
            is_all = true;
        else if (got == 'c')
            core = optarg;
        else
            lib = optarg;
    }
    if ((is_all || core) && tb_cli_operands(argc, argv) != 0)
        return TB_EXIT_USAGE;
    if (core)
        return doctor_core(core);
    if (!is_all && optind >= argc) {
        tb_cli_message(
            "doctor: nothing is named: tickbird doctor PID, tickbird doctor -- PROGRAM, or tickbird doctor --all");
        return TB_EXIT_USAGE;
    }
    bool is_program = strcmp(argv[optind - 1], "--") == 0;
    if (tb_object_find(lib && lib[0] ? lib : NULL, &object) != 0)
        return TB_EXIT_FAILED;
    if (is_all)
        return doctor_all(&object);
    if (!is_program && is_pid(argv[optind], &pid)) {
        if (optind + 1 < argc) {
            tb_cli_message("doctor: %s: one process at a time: see tickbird doctor --help", argv[optind + 1]);
            return TB_EXIT_USAGE;
        }
        return doctor_process((pid_t)pid, &object);
    }
    return doctor_program(argv + optind, &object);
}

const struct tb_verb tb_verb_doctor = {
    "doctor", "explain whether a program or process can be observed",
    "Usage: tickbird doctor [--lib FILE] -- PROGRAM [ARGUMENTS]\n"
    "       tickbird doctor [--lib FILE] PID\n"
    "       tickbird doctor [--lib FILE] --all\n"
    "       tickbird doctor --core FILE\n"
    "Says whether PROGRAM can be observed, or whether the process PID is, and if not, why and what to do; or whether "
    "a\n"
    "crash has to do with the object.\n"
    "\n"
    "  --all       every process that listens on TCP\n"
    "  --core FILE the core file of a crash: does its backtrace run through the object?\n"
    "  --lib FILE  the object that would be preloaded\n"
    "  --help      this text\n"
    "\n"
    "Exit status: 0 observable (or not through the object), 1 not, or it cannot be told, 2 wrong usage or no such "
    "process "
    "or core file.\n",
    run};
