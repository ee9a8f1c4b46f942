/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird install --system` and `tickbird uninstall --system`: every program of a machine, by /etc/ld.so.preload.
 *
 * The one line there names $LIB, which the loader replaces by the library directory of the program's own kind: 64-bit
 * programs find the object, 32-bit ones the inert one (packaging/inert.c), and neither prints a word. Which directory
 * "lib" alone is (64 bits on some systems, 32 on others) is found by trying. File names have the version in them, so
 * nothing that a program has mapped is ever written to. In: objects, trial, line. Out: line, then objects.
 */
#include "cli.h"
#include "object.h"
#include "placing.h"
#include "system_preload.h"
#include "trial.h"

#include "exporter/buffer.h"
#include "exporter/selection.h"
#include "exporter/shared_dir.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef TB_SYSTEMDIR
#define TB_SYSTEMDIR "/usr/local/lib/tickbird"
#endif
#define BASE TB_SYSTEMDIR
#define FILE_NAME TB_OBJECT_NAME "." TB_VERSION
#define LINE BASE "/$LIB/" FILE_NAME
/* Where objects lie while they are tried: a file of this version may be in force already. */
#define TRIAL "trial/"
#define INERT_NAME "libtickbird-i386.so"
/* A program that started just before the line went may be about to open the file. */
#define GRACE_MS 200

/* What $LIB can be for programs of this kind, and, on x86-64, for 32-bit ones. "lib" can be either. */
#if defined(__x86_64__)
static const char *const own_dirs[] = {"lib64", "lib/x86_64-linux-gnu"};
static const char *const other_dirs[] = {"lib32", "lib/i386-linux-gnu", "lib/i686-linux-gnu", "lib"};
#define OTHER_COUNT (sizeof(other_dirs) / sizeof(other_dirs[0]))
#else
static const char *const own_dirs[] = {"lib64", "lib/aarch64-linux-gnu", "lib"};
static const char *const other_dirs[] = {""};
#define OTHER_COUNT 0u
#endif
#define OWN_COUNT (sizeof(own_dirs) / sizeof(own_dirs[0]))

struct request {
    struct tb_placing to;
    const char *lib, *directory, *regions; /* the latter two: of --to */
    bool is_system, is_everything, wants_help;
};

static int failed(const char *what, int error)
{
    tb_cli_message("%s: %s: %s", what, strerror(-error),
                   error == -EACCES || error == -EPERM ? "ask as root"
                   : error == -ELOOP                   ? "it is a link: make it a file first"
                                                       : "nothing more was changed");
    return TB_EXIT_FAILED;
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

/* @below: "" or TRIAL */
static int place(const struct tb_placing *to, const char *source, const char *below, const char *directory)
{
    char *path = tb_format(BASE "/%s%s/" FILE_NAME, below, directory);
    int r = tb_place_copy(to, source, path, 0644);
    if (r)
        failed(path, r);
    free(path);
    return r;
}

/* Objects of ours in one directory go, but those that @keep, the text of a preload file, names. */
static int clear(const struct tb_placing *to, const char *directory, const char *keep)
{
    char *path = tb_format("%s" BASE "/%s", to->root, directory);
    DIR *all = opendir(path);
    int r = 0;
    for (struct dirent *entry; all && !r && (entry = readdir(all));) {
        const char *name = entry->d_name;
        if (!tb_object_is_name(name, strlen(name)) || strstr(keep, name))
            continue;
        char *file = tb_format(BASE "/%s/%s", directory, name);
        r = tb_place_remove(to, file);
        free(file);
    }
    if (all)
        closedir(all);
    free(path);
    return r;
}

static int clear_all(const struct tb_placing *to, const char *below, const char *keep)
{
    int r = 0;
    for (size_t i = 0; i < OWN_COUNT + OTHER_COUNT && !r; i++) {
        char *directory = tb_format("%s%s", below, i < OWN_COUNT ? own_dirs[i] : other_dirs[i - OWN_COUNT]);
        r = clear(to, directory, keep);
        free(directory);
    }
    return r;
}

/* Those that are empty. */
static void remove_directories(const struct tb_placing *to, const char *below)
{
    for (size_t i = 0; i < OWN_COUNT + OTHER_COUNT; i++) {
        char *path = tb_format(BASE "/%s%s", below, i < OWN_COUNT ? own_dirs[i] : other_dirs[i - OWN_COUNT]);
        tb_place_remove_dir(to, path);
        free(path);
    }
    char *lib = tb_format(BASE "/%slib", below), *base = tb_format(BASE "/%s", below);
    tb_place_remove_dir(to, lib);
    tb_place_remove_dir(to, base);
    free(lib);
    free(base);
}

/* What is put in. */
struct objects {
    const char *own;
    char *inert;   /* for 32-bit programs; NULL: there is none; owned */
    bool owns_lib; /* "lib" is the directory of this kind of program */
};

static int place_objects(const struct tb_placing *to, const struct objects *objects, const char *below)
{
    int r = 0;
    for (size_t i = 0; i < OWN_COUNT && !r; i++)
        r = place(to, objects->own, below, own_dirs[i]);
    for (size_t i = 0; i < OTHER_COUNT && !r; i++) {
        const char *source = objects->owns_lib && !strcmp(other_dirs[i], "lib") ? objects->own : objects->inert;
        r = source ? place(to, source, below, other_dirs[i]) : 0;
    }
    return r;
}

/* Tries the line with objects of their own, and finds out whose directory "lib" is. */
static int try_line(const struct tb_placing *to, struct objects *objects)
{
    static const char line[] = BASE "/" TRIAL "$LIB/" FILE_NAME;
    char said[512] = "", clean[512];
    if (to->is_dry)
        return 0;
    int r = place_objects(to, objects, TRIAL);
    bool is_placed = !r;
    if (!r)
        r = tb_trial_preload(to->root, line, said, sizeof(said));
    if (r == -EIO && is_placed && OTHER_COUNT) {
        objects->owns_lib = true;
        r = place(to, objects->own, TRIAL, "lib");
        is_placed = !r;
        if (!r)
            r = tb_trial_preload(to->root, line, said, sizeof(said));
        if (r)
            objects->owns_lib = false;
    }
    if (r && is_placed)
        tb_cli_message("a trial failed: %s: nothing was changed",
                       tb_cli_text(clean, sizeof(clean), said[0] ? said : strerror(-r)));
    clear_all(to, TRIAL, "");
    remove_directories(to, TRIAL);
    return r;
}

/* --- the line ----------------------------------------------------------------------------------------------------- */

/* What the file holds, "" when there is none; the caller's to free. */
static int read_preload(const struct tb_placing *to, char **ret_text, mode_t *ret_mode)
{
    int r = tb_place_read(to, TB_SYSTEM_PRELOAD, ret_text, ret_mode);
    if (r == -ENOENT) {
        *ret_text = tb_strndup("", 0);
        *ret_mode = 0644;
        return 0;
    }
    if (r)
        failed(TB_SYSTEM_PRELOAD, r);
    return r;
}

/* Writes the file, which holds @text, with @line, or without any of ours (NULL); nothing left: removes it. */
static int edit_preload(const struct tb_placing *to, const char *text, mode_t mode, const char *line)
{
    char *after = tb_system_preload_edit(text, line);
    int r = 0;
    if (strcmp(after, text) != 0)
        r = after[strspn(after, " \t\n")] ? tb_place_text(to, TB_SYSTEM_PRELOAD, after, strlen(after), mode)
                                          : tb_place_remove(to, TB_SYSTEM_PRELOAD);
    if (r)
        failed(TB_SYSTEM_PRELOAD, r);
    free(after);
    return r;
}

/* --- verbs -------------------------------------------------------------------------------------------------------- */

/* Whether it is said which programs are observed. */
static bool is_selected(const struct request *request)
{
    char *path = tb_format("%s/etc/tickbird/select", request->to.root);
    static struct tb_selection_file file;
    tb_selection_file(path, &file);
    bool is_well = !file.why[0] && (file.exists || request->is_everything);
    if (file.why[0])
        tb_cli_message("%s: %s", file.why, file.todo);
    else if (!is_well)
        tb_cli_message("%s: it does not exist, so every program would be observed: write one (include exe nginx), or "
                       "say --everything",
                       path);
    free(path);
    return is_well;
}

/* The object alone, for containers that share a volume; and a directory of regions that their programs accept. */
static int copy_out(const struct request *request)
{
    static struct tb_object object;
    static char real[PATH_MAX];
    if (tb_object_find(request->lib, &object) != 0)
        return TB_EXIT_FAILED;
    char *path = tb_format("%s/" TB_OBJECT_NAME, request->directory);
    int r = realpath(object.path, real) ? tb_place_copy(&request->to, real, path, 0644) : -errno;
    if (r)
        failed(path, r);
    free(path);
    if (!r && request->regions && !request->to.is_dry) {
        r = tb_region_dir_make(request->regions);
        if (r)
            failed(request->regions, r);
    }
    return r ? TB_EXIT_FAILED : TB_EXIT_OK;
}

/* @before: what the preload file holds. Returns 0 or negative, reported. */
static int put_in(const struct tb_placing *to, struct objects *objects, const char *before, mode_t mode)
{
    int r = try_line(to, objects);
    if (!r)
        r = place_objects(to, objects, "");
    if (!r)
        r = edit_preload(to, before, mode, LINE);
    /* What the line named until now stays until the next change: a program may be about to open it. */
    char *keep = tb_format("%s%s", before, r ? "" : LINE);
    clear_all(to, "", keep);
    free(keep);
    remove_directories(to, "");
    return r;
}

/* The inert object beside the other one; NULL, said, when there is none. */
static char *find_inert(const char *object)
{
    char *inert = OTHER_COUNT ? tb_format("%.*s" INERT_NAME, (int)(strrchr(object, '/') + 1 - object), object) : NULL;
    if (!inert || access(inert, R_OK) == 0)
        return inert;
    tb_cli_message("%s: %s: 32-bit programs will print one line each at their start", inert, strerror(errno));
    free(inert);
    return NULL;
}

static int install(const struct request *request)
{
    static struct tb_object object;
    static char real[PATH_MAX];
    char *before;
    mode_t mode;
    if (request->directory)
        return copy_out(request);
    if (!is_selected(request) || tb_object_find(request->lib, &object) != 0)
        return TB_EXIT_FAILED;
    if (!realpath(object.path, real))
        return failed(object.path, -errno);
    if (read_preload(&request->to, &before, &mode) != 0)
        return TB_EXIT_FAILED;
    struct objects objects = {.own = real, .inert = find_inert(real)};
    int r = put_in(&request->to, &objects, before, mode);
    free(objects.inert);
    free(before);
    if (!r && !request->to.is_dry)
        printf("%s%s: " LINE "\nPrograms that start from now on are concerned: see tickbird status\n", request->to.root,
               TB_SYSTEM_PRELOAD);
    return r ? TB_EXIT_FAILED : TB_EXIT_OK;
}

static int uninstall(const struct request *request)
{
    char *before;
    mode_t mode;
    if (read_preload(&request->to, &before, &mode) != 0)
        return TB_EXIT_FAILED;
    int r = edit_preload(&request->to, before, mode, NULL);
    bool was_there = strstr(before, TB_OBJECT_NAME) != NULL;
    free(before);
    if (r)
        return TB_EXIT_FAILED;
    if (was_there && !request->to.is_dry)
        poll(NULL, 0, GRACE_MS);
    r = clear_all(&request->to, "", "");
    if (r)
        return failed(BASE, r);
    remove_directories(&request->to, "");
    return TB_EXIT_OK;
}

enum { OPTION_SYSTEM = 1000, OPTION_EVERYTHING, OPTION_LIB, OPTION_ROOT, OPTION_PRINT, OPTION_TO, OPTION_DIR };

static int parse(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"system", no_argument, NULL, OPTION_SYSTEM},
                                            {"everything", no_argument, NULL, OPTION_EVERYTHING},
                                            {"lib", required_argument, NULL, OPTION_LIB},
                                            {"root", required_argument, NULL, OPTION_ROOT},
                                            {"to", required_argument, NULL, OPTION_TO},
                                            {"dir", required_argument, NULL, OPTION_DIR},
                                            {"print", no_argument, NULL, OPTION_PRINT},
                                            {"help", no_argument, NULL, TB_OPTION_HELP},
                                            {0}};
    for (int got; (got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END;) {
        request->is_system |= got == OPTION_SYSTEM;
        request->is_everything |= got == OPTION_EVERYTHING;
        request->to.is_dry |= got == OPTION_PRINT;
        request->wants_help |= got == TB_OPTION_HELP;
        if (got == OPTION_LIB)
            request->lib = optarg;
        if (got == OPTION_TO)
            request->directory = optarg;
        if (got == OPTION_DIR)
            request->regions = optarg;
        if (got == OPTION_ROOT)
            request->to.root = strcmp(optarg, "/") == 0 ? "" : optarg;
        if (got == TB_OPTION_BAD)
            return -1;
    }
    if (request->wants_help)
        return 0;
    if (tb_cli_operands(argc, argv) != 0)
        return -1;
    if (request->directory && (request->directory[0] != '/' || request->is_system || argv[0][0] == 'u')) {
        tb_cli_message("%s: --to: it is for install without --system, with a path from / on", argv[0]);
        return -1;
    }
    if (!request->is_system && !request->directory) {
        tb_cli_message(
            "%s: what is meant is not said: --system for the whole machine; for one service, tickbird enable", argv[0]);
        return -1;
    }
    return 0;
}

static int run(int argc, char **argv, int (*act)(const struct request *), const char *usage)
{
    struct request request = {.to = {.root = ""}};
    if (parse(argc, argv, &request) != 0)
        return TB_EXIT_USAGE;
    if (request.wants_help) {
        fputs(usage, stdout);
        return TB_EXIT_OK;
    }
    return act(&request);
}

static int run_install(int argc, char **argv)
{
    return run(argc, argv, install, tb_verb_install.usage);
}

static int run_uninstall(int argc, char **argv)
{
    return run(argc, argv, uninstall, tb_verb_uninstall.usage);
}

const struct tb_verb tb_verb_install = {
    "install", "preload every program of this machine",
    "Usage: tickbird install --system [OPTIONS]\n"
    "       tickbird install --to DIR [--dir DIR]\n"
    "Puts the object under " BASE ", tries it, and names it in " TB_SYSTEM_PRELOAD ". What others have\n"
    "there stays. Programs that start afterwards are observed as /etc/tickbird/select says. The same to upgrade.\n"
    "\n"
    "  --system      the whole machine; must be said\n"
    "  --everything  without a select file: observe every program\n"
    "  --to DIR      copy the object alone into DIR, a volume that containers share\n"
    "  --dir DIR     with --to: make this directory of regions, if it is missing\n"
    "  --lib FILE    the object; default: libtickbird.so beside this command, then the installed one\n"
    "  --root DIR    another system, below DIR\n"
    "  --print       say what would be done, and do nothing\n"
    "  --help        this text\n",
    run_install};

const struct tb_verb tb_verb_uninstall = {"uninstall", "take the object out of every program that starts from now on",
                                          "Usage: tickbird uninstall --system [OPTIONS]\n"
                                          "Takes the line out of " TB_SYSTEM_PRELOAD
                                          ", and then the files away that `install` put there. Programs that run\n"
                                          "keep what they have mapped. /etc/tickbird/select stays.\n"
                                          "\n"
                                          "  --system      the whole machine; must be said\n"
                                          "  --root DIR    another system, below DIR\n"
                                          "  --print       say what would be done, and do nothing\n"
                                          "  --help        this text\n",
                                          run_uninstall};
