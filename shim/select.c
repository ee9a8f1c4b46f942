/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the rules of agent/select.c about this process (select.h): where the rules and the process's own names come
 * from. Whatever cannot be read or trusted leaves the process out: in doubt nothing is observed.
 *
 * The arguments are found on the stack, where the kernel put them: libc passes them to constructors in glibc alone, and
 * procfs would cost three system calls.
 */
#include "select.h"

#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>

#include "filter.h"
#include "identity.h"
#include "raw.h"
#include "resolve.h"

#pragma GCC visibility push(hidden)
#include "../agent/atomics.h"
#include "../agent/select.h"
#pragma GCC visibility pop

#define SELECT_PATH TB_SYSCONFDIR "/tickbird/select"
#define ENTRIES_MAX (1u << 20)  /* of arguments and environment together, more than a kernel takes */
#define STRINGS_MAX (16u << 20) /* of their texts; a kernel takes 6 MiB */
#define AUXV_TYPE_MAX 255u      /* of an entry of the auxiliary vector; all known ones are below 64 */

/* Kept until the second question. */
static char file_text[TB_SELECT_FILE_MAX + 1];
static char exe_path[4096 + 1];
static struct tb_select_filter filters[2];
static size_t filter_count;
static uint32_t included;
static uint32_t is_pending;
static const char *reason = "";

static bool leave_out(const char *why)
{
    tb_store_relaxed(&is_pending, 0);
    reason = why;
    return false;
}

/* ---- the rules ---- */

static void add_text(struct tb_select_filter *filter, enum tb_select_form form, const char *bytes, size_t len)
{
    if (len)
        filter->texts[filter->count++] = (struct tb_select_text){form, tb_bytes(bytes, len)};
}

static bool add_variables(void)
{
    struct tb_select_filter *filter = &filters[filter_count];
    size_t includes = tb_strnlen(tb_settings.include, sizeof(tb_settings.include));
    size_t excludes = tb_strnlen(tb_settings.exclude, sizeof(tb_settings.exclude));
    if (includes > TB_SELECT_LIST_MAX || excludes > TB_SELECT_LIST_MAX)
        return leave_out("TICKBIRD_INCLUDE or TICKBIRD_EXCLUDE is too long");
    add_text(filter, TB_SELECT_INCLUDES, tb_settings.include, includes);
    add_text(filter, TB_SELECT_EXCLUDES, tb_settings.exclude, excludes);
    filter_count += filter->count != 0;
    return true;
}

/* Written by root alone, or, when another file is named for a test, by this user. */
static bool is_trusted(const struct stat *st)
{
    return S_ISREG(st->st_mode) && !(st->st_mode & (S_IWGRP | S_IWOTH)) &&
           (st->st_uid == 0 || (tb_settings.select_file[0] && st->st_uid == tb_auxval(AT_EUID)));
}

static bool add_file(void)
{
    const char *path = tb_settings.select_file[0] ? tb_settings.select_file : SELECT_PATH;
    struct stat st = {0};
    long fd = TB_RAW4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd == -ENOENT || fd == -ENOTDIR)
        return true;
    if (fd < 0)
        return leave_out("the select file cannot be opened");
    long got = tb_filter_fstat((int)fd, &st);
    bool is_ours = got == 0 && is_trusted(&st);
    if (is_ours) /* a regular file of this size comes in one piece */
        got = TB_RAW3(SYS_read, fd, file_text, sizeof(file_text));
    TB_RAW1(SYS_close, fd);
    if (!is_ours)
        return leave_out("the select file is not root's alone");
    if (got < 0)
        return leave_out("the select file cannot be read");
    if (got > TB_SELECT_FILE_MAX)
        return leave_out("the select file is too long");
    add_text(&filters[filter_count], TB_SELECT_FILE, file_text, (size_t)got);
    filter_count += filters[filter_count].count != 0;
    return true;
}

/* ---- the process ---- */

/*
 * The initial stack, from low to high (the ABI's "process initialization"): count of arguments, arguments, NULL,
 * environment, NULL, auxiliary vector, and above it the bytes that AT_RANDOM points at, then all strings, last the
 * one that AT_EXECFN points at (or argv[0]: glibc's loader, run as a program, turns it there). Read from AT_RANDOM
 * downwards; whatever is not as expected is no answer.
 */
static const uintptr_t *find_auxv(uintptr_t random)
{
    const uintptr_t *at = (const uintptr_t *)(random & ~(uintptr_t)15);
    for (int n = 0; n < 256; n++) {
        at--;
        if (at[0] != AT_RANDOM || at[1] != random)
            continue;
        while (at[-2] - 1 < AUXV_TYPE_MAX)
            at -= 2;
        return at;
    }
    return NULL;
}

/* The arguments without the program's name, or NULL. */
static const char *const *find_arguments(const char *name, size_t *ret_count)
{
    uintptr_t random = tb_auxval(AT_RANDOM);
    bool is_usual = random && random < (uintptr_t)name && (uintptr_t)name - random < STRINGS_MAX;
    const uintptr_t *auxv = is_usual ? find_auxv(random) : NULL;
    if (!auxv || auxv[-1])
        return NULL;
    size_t n = 0;
    const uintptr_t *at = auxv - 2; /* the last variable, or the NULL behind the arguments */
    for (; *at && n < ENTRIES_MAX; n++)
        at--;
    size_t count = 0;
    while (n++ < ENTRIES_MAX && at[-1] != count) {
        uintptr_t arg = *--at;
        if (arg <= random || arg - random >= STRINGS_MAX)
            return NULL;
        count++;
    }
    if (n >= ENTRIES_MAX)
        return NULL;
    *ret_count = count ? count - 1 : 0;
    return (const char *const *)(count ? at + 1 : at);
}

/* ---- the questions ---- */

static bool judge(const struct tb_select_program *program)
{
    static const char *const texts[] = {
        [TB_SELECT_EXCLUDED] = "excluded by a rule",
        [TB_SELECT_NOT_INCLUDED] = "no include matches",
        [TB_SELECT_MALFORMED] = "a rule cannot be read",
        [TB_SELECT_NO_ARGUMENTS] = "its arguments cannot be found",
    };
    struct tb_select_reason found;
    uint32_t bits = included;
    enum tb_select_answer answer = tb_select_decide(filters, filter_count, program, &bits, &found);
    if (answer == TB_SELECT_OUT)
        return leave_out(texts[found.why]);
    included = bits;
    tb_store_relaxed(&is_pending, answer == TB_SELECT_ASK);
    return true;
}

/* As it was executed, and with which arguments. */
static struct tb_select_program started_as(void)
{
    struct tb_select_program program = {.name = (const char *)tb_auxval(AT_EXECFN)};
    program.args = find_arguments(program.name, &program.arg_count);
    return program;
}

/* The full path of what runs, or NULL. */
static const char *find_exe(void)
{
    static const char mark[] = " (deleted)"; /* behind the path of a file that was replaced since (proc(5)) */
    long len = TB_RAW4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", exe_path, sizeof(exe_path) - 1);
    if (len <= 0 || exe_path[0] != '/')
        return NULL;
    size_t end = (size_t)len, mark_len = sizeof(mark) - 1;
    exe_path[end] = 0;
    if (end > mark_len && tb_equal(exe_path + end - mark_len, mark, mark_len))
        exe_path[end - mark_len] = 0;
    return exe_path;
}

bool tb_select_start(void)
{
    if (!add_variables() || !add_file())
        return false;
    if (filter_count == 0)
        return true;
    struct tb_select_program program = started_as();
    return judge(&program);
}

bool tb_select_finish(void)
{
    if (TB_LIKELY(!tb_load_relaxed(&is_pending)))
        return true;
    struct tb_select_program program = {.exe = find_exe()};
    return program.exe ? judge(&program) : leave_out("its path cannot be found");
}

bool tb_select_keep_code(void)
{
    if (filter_count == 0)
        return false;
    struct tb_select_program program = started_as();
    program.exe = find_exe();
    return tb_select_keeps_code(filters, filter_count, &program);
}

const char *tb_select_reason(void)
{
    return reason;
}
