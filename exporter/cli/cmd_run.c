/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird run`: sets the environment of an observed program and becomes it (exec, no supervisor). Its flags are the
 * rows of agent/options.def that `run` reads; each sets the variable that the agent reads.
 *
 * A program that cannot be observed is started all the same, with one line on standard error, unless --strict.
 * Exit codes like env(1): 125 its own failure, 126 found but not executable, 127 not found; else the program's.
 */
#include "cli.h"
#include "object.h"
#include "exporter/region_dir.h"
#include "exporter/selection.h"
#include "verdict.h"
#include "exporter/config.h"
#include "exporter/options.h"
#include "exporter/rules_compile.h"
#include "exporter/rules_publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_OWN 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

enum { OPTION_STRICT = 1000 };

/* The longest service name a region keeps (agent/layout.h). */
#define SERVICE_MAX 127u

struct request {
    char include[TB_SELECT_LIST_MAX + 1], exclude[TB_SELECT_LIST_MAX + 1];
    const char *lib;
    const char *config;
    bool is_strict;
    bool wants_help;
};

static int set_service(const char *name)
{
    char clean[SERVICE_MAX + 2];
    if (!name[0] || strlen(name) > SERVICE_MAX || strcmp(tb_cli_text(clean, sizeof(clean), name), name) != 0) {
        tb_cli_message("--service: a name has 1 to %u bytes of printable UTF-8: choose another", SERVICE_MAX);
        return -1;
    }
    return setenv("TICKBIRD_SERVICE", name, 1);
}

/* A directory named here may be missing and may be relative: the program may change its own later. */
static int set_dir(const char *path)
{
    char full[PATH_MAX];
    int result = path[0] ? tb_region_dir_make(path) : -ENOENT;
    if (result == 0 && !realpath(path, full))
        result = -errno;
    if (result != 0) {
        tb_cli_message("--dir %s: %s: name a directory on a tmpfs, such as /dev/shm/tickbird", path, strerror(-result));
        return -1;
    }
    return setenv("TICKBIRD_DIR", full, 1);
}

/* The flags of one list together replace its variable. */
static int add_rule(const char *flag, const char *variable, char *list, const char *item)
{
    const char *why;
    if (tb_selection_join(list, item, &why) == 0)
        return setenv(variable, list, 1);
    tb_cli_message("%s %s: %s: see docs/configuration.md, or use the select file", flag, item, why);
    return -1;
}

static int apply(int id, const char *value, struct request *request)
{
    switch (id) {
    case OPTION_STRICT:
        request->is_strict = true;
        return 0;
    case TB_OPTION_HELP:
        request->wants_help = true;
        return 0;
    case TB_OPTION_LIB + 1:
        request->lib = value;
        return 0;
    case TB_OPTION_CONFIG + 1:
        request->config = value;
        return 0;
    case TB_OPTION_SERVICE + 1:
        return set_service(value);
    case TB_OPTION_DIR + 1:
        return set_dir(value);
    case TB_OPTION_INCLUDE + 1:
        return add_rule("--include", "TICKBIRD_INCLUDE", request->include, value);
    case TB_OPTION_EXCLUDE + 1:
        return add_rule("--exclude", "TICKBIRD_EXCLUDE", request->exclude, value);
    default:
        return setenv(tb_option_row((enum tb_option)(id - 1))->env, value ? value : "1", 1);
    }
}

/* Values of getopt: a row's number + 1, so that none is 0; below every letter. */
_Static_assert(TB_OPTION_COUNT < 'A', "row numbers must stay below the letters");

static int parse(int argc, char **argv, struct request *request)
{
    struct option options[TB_OPTION_COUNT + 3];
    size_t count = 0;
    int got;
    for (int i = 0; i < TB_OPTION_COUNT; i++) {
        const struct tb_option_row *row = tb_option_row((enum tb_option)i);
        if ((row->sides & TB_SIDE_RUN) && row->flag[0])
            options[count++] = (struct option){
                row->flag + 2, row->type == TB_TYPE_SWITCH ? no_argument : required_argument, NULL, i + 1};
    }
    options[count++] = (struct option){"strict", no_argument, NULL, OPTION_STRICT};
    options[count++] = (struct option){"help", no_argument, NULL, TB_OPTION_HELP};
    options[count] = (struct option){0};
    while ((got = tb_cli_option(argc, argv, "+h", options)) != TB_OPTION_END)
        if (got == TB_OPTION_BAD || apply(got, optarg, request) != 0)
            return -1;
    return 0;
}

/* --- the configuration file --- */

static bool is_set(enum tb_option id)
{
    const char *value = getenv(tb_option_row(id)->env);
    return value && value[0];
}

static int apply_list(enum tb_option id, const struct tb_text_list *list, struct request *request)
{
    for (size_t i = 0; i < list->count; i++)
        if (apply((int)id + 1, list->items[i], request) != 0)
            return -1;
    return 0;
}

/* What neither a flag nor a variable says. Flags have set their variables already. */
static int apply_config(const struct tb_config *c, struct request *request)
{
    bool has_include = is_set(TB_OPTION_INCLUDE), has_exclude = is_set(TB_OPTION_EXCLUDE);
    for (int id = 0; id < TB_OPTION_COUNT; id++) {
        const struct tb_option_row *row = tb_option_row((enum tb_option)id);
        if (!(row->sides & TB_SIDE_RUN) || !c->options[id].count || is_set((enum tb_option)id))
            continue;
        const char *value = c->options[id].items[0];
        if (row->type == TB_TYPE_SWITCH)
            value = strchr("0fnFN", value[0]) || strcmp(value, "off") == 0 ? NULL : "1";
        if (value && apply(id + 1, value, request) != 0)
            return -1;
    }
    if ((!has_include && apply_list(TB_OPTION_INCLUDE, &c->include, request) != 0) ||
        (!has_exclude && apply_list(TB_OPTION_EXCLUDE, &c->exclude, request) != 0))
        return -1;
    return 0;
}

static int read_config(struct request *request, struct tb_config **ret)
{
    char *errors = NULL;
    const char *variable = getenv("TICKBIRD_CONFIG");
    if (!request->config && variable && variable[0])
        request->config = variable;
    *ret = NULL;
    if (!request->config)
        return 0;
    *ret = tb_config_load(request->config, &errors);
    if (!*ret)
        fputs(errors, stderr);
    free(errors);
    return *ret ? apply_config(*ret, request) : -1;
}

/* The rules, compiled, beside the regions: one file for each user and configuration file. */
static void leave_rules(const struct tb_config *c)
{
    static struct tb_region_dir dir;
    struct tb_buffer bundle = {0};
    char full[PATH_MAX];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    tb_region_dir_look("", getenv("TICKBIRD_DIR"), geteuid(), true, &dir);
    tb_region_dir_make(dir.path);
    for (const char *p = realpath(c->path, full) ? full : c->path; *p; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    char *name = tb_format("rules-%u-%016llx", (unsigned)geteuid(), (unsigned long long)hash), *path = NULL;
    int result = tb_rules_bundle(c, TB_RULES_FROM_RUN, &bundle);
    if (result == 0)
        result = tb_rules_write(dir.path, name, &bundle);
    path = tb_format("%s/%s", dir.path, name);
    if (result == 0)
        (void)utimensat(AT_FDCWD, path, NULL, 0); /* needed again: an exporter removes old ones (exporter/stale.c) */
    if (result != 0 || setenv("TICKBIRD_RULES", path, 1) != 0)
        tb_cli_message("the rules of %s are not in force: %s: %s (started all the same)", c->path, path,
                       strerror(result ? -result : errno));
    free(path);
    free(name);
    tb_buffer_free(&bundle);
}

/* The shared directory is made by whoever may; an ordinary user's program makes its own. */
static bool prepare_dir(bool is_strict)
{
    static struct tb_region_dir dir;
    const char *wanted = getenv("TICKBIRD_DIR"), *force = getenv("TICKBIRD_DIR_FORCE");
    if (wanted && wanted[0] == '/')
        tb_region_dir_make(wanted);
    else if ((!wanted || !wanted[0]) && geteuid() == 0)
        tb_region_dir_make(TB_REGION_DIR_SHARED);
    /* Whether or not it could be made: what counts is what the program will find. */
    tb_region_dir_look("", wanted, geteuid(), force && force[0] && strcmp(force, "0") != 0, &dir);
    if (dir.is_fit)
        return true;
    tb_cli_message("nothing will be recorded: %s: %s: %s%s", dir.path, dir.why, dir.todo,
                   is_strict ? "" : " (started all the same)");
    return !is_strict;
}

static int preload(const struct tb_object *object)
{
    static char value[64 << 10];
    if (tb_object_preload(object->path, getenv("LD_PRELOAD"), value, sizeof(value)) != 0) {
        tb_cli_message("LD_PRELOAD: its value is too long: shorten it");
        return -1;
    }
    return setenv("LD_PRELOAD", value, 1);
}

/* One line when the program will not be observed. Returns false when --strict forbids to start it. */
static bool warn(char *const *argv, const struct tb_object *object, bool is_strict)
{
    static struct tb_verdict verdict;
    static struct tb_selection selection;
    const char *name = argv[0];
    tb_verdict_program(name, object, &verdict);
    if (verdict.obstacle == TB_OBSTACLE_NOT_FOUND || verdict.obstacle == TB_OBSTACLE_NOT_EXECUTABLE)
        return true; /* exec says it better */
    if (verdict.obstacle == TB_OBSTACLE_NONE)
        tb_selection_of_program(argv, verdict.program, verdict.binary, &selection);
    if (verdict.obstacle == TB_OBSTACLE_NONE && !selection.is_out)
        return true;
    bool is_left = selection.is_out;
    tb_cli_message("%s %s: %s: %s%s", name, is_left ? "is left alone" : "cannot be observed",
                   is_left ? selection.why : verdict.why, is_left ? selection.todo : verdict.todo,
                   is_strict ? "" : " (started all the same)");
    return !is_strict;
}

static int become(char **argv)
{
    execvp(argv[0], argv);
    int error = errno;
    bool is_missing = error == ENOENT || error == ENOTDIR;
    const char *why = strerror(error), *todo = "check the name, or give the full path";
    /* ENOENT for a file that exists: its interpreter or dynamic loader is what is missing. */
    if (is_missing && strchr(argv[0], '/') && access(argv[0], F_OK) == 0) {
        why = "its interpreter or dynamic loader does not exist";
        todo = "see tickbird doctor -- PROGRAM";
    } else if (!is_missing) {
        todo = "check that it is a program and may be executed";
    }
    tb_cli_message("%s: %s: %s", argv[0], why, todo);
    return is_missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int run(int argc, char **argv)
{
    struct request request = {0};
    static struct tb_object object;
    if (parse(argc, argv, &request) != 0)
        return EXIT_OWN;
    if (request.wants_help) {
        fputs(tb_verb_run.usage, stdout);
        return TB_EXIT_OK;
    }
    if (optind >= argc) {
        tb_cli_message("run: no program is named: tickbird run [OPTIONS] -- PROGRAM [ARGUMENTS]");
        return EXIT_OWN;
    }
    struct tb_config *config;
    if (read_config(&request, &config) != 0)
        return EXIT_OWN;
    const char *variable = getenv("TICKBIRD_LIB");
    if (!request.lib && variable && variable[0])
        request.lib = variable;
    if (tb_object_find(request.lib, &object) != 0)
        return EXIT_OWN;
    if (!warn(argv + optind, &object, request.is_strict) || !prepare_dir(request.is_strict))
        return EXIT_OWN;
    if (config && tb_config_has_rules(config))
        leave_rules(config);
    tb_config_free(config);
    if (preload(&object) != 0)
        return EXIT_OWN;
    return become(argv + optind);
}

const struct tb_verb tb_verb_run = {
    "run", "start a program and observe it",
    "Usage: tickbird run [OPTIONS] -- PROGRAM [ARGUMENTS]\n"
    "Starts PROGRAM with libtickbird.so preloaded, and becomes it. An LD_PRELOAD that is set is kept.\n"
    "\n"
    "  --service NAME   name in the metrics; default: the systemd unit, the interpreter's script, or the program\n"
    "  --dir DIR        directory of the regions, made when missing; default /dev/shm/tickbird\n"
    "  --config FILE    configuration file: rules for routes, options, programs to leave alone\n"
    "  --labels K=V,..  constant labels\n"
    "  --include GLOB   observe only what one of these matches: the executable, or arg=GLOB an argument; repeatable\n"
    "  --exclude GLOB   leave alone what one of these matches; wins over --include; repeatable\n"
    "  --dir-force      accept a directory on a disk file system, whose write-back may stall the program\n"
    "  --dir-quota MIB  the most that the files of the region directory may take, 3 for each; 0: no limit\n"
    "  --lib FILE       the object to preload; default: libtickbird.so beside this command, then the installed one\n"
    "  --strict         do not start a program that cannot be observed\n"
    "  --debug          the agent says on standard error what it does\n"
    "  --help           this text\n"
    "\n"
    "Exit status: the program's; 125 when tickbird failed, 126 when PROGRAM cannot be executed, 127 when not found.\n",
    run};
