/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tickbird enable UNIT` and `tickbird disable UNIT`: a drop-in that preloads the object into one systemd service. The
 * unit's own files stay as they are; an LD_PRELOAD that they set is kept behind ours.
 */
#include "cli.h"
#include "object.h"
#include "placing.h"
#include "unit_files.h"

#include "exporter/buffer.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sorts behind what others write: of several assignments the last one counts. */
#define DROP_IN "90-tickbird.conf"

struct request {
    struct tb_placing to;
    const char *lib, *service;
    bool has_root; /* a system is named, be it this one */
};

static int failed(const char *path, int error)
{
    tb_cli_message("%s: %s: %s", path, strerror(-error),
                   error == -EACCES || error == -EPERM ? "ask as root" : "nothing was changed");
    return TB_EXIT_FAILED;
}

static char *drop_in_path(const char *unit)
{
    return tb_format("/etc/systemd/system/%s.d/" DROP_IN, unit);
}

/* A quoted word of a unit file: specifiers, quotes and backslashes as they are meant. */
static void put_word(struct tb_buffer *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '%')
            tb_put(out, "%", 1);
        else if (*text == '"' || *text == '\\')
            tb_put(out, "\\", 1);
        tb_put(out, text, 1);
    }
}

static void put_variable(struct tb_buffer *out, const char *name, const char *value)
{
    tb_puts(out, "Environment=\"");
    tb_puts(out, name);
    tb_puts(out, "=");
    put_word(out, value);
    tb_puts(out, "\"\n");
}

/* The unit without its suffix, as the agent itself would call it: each instance of a template is one by itself. */
static void put_unit_as_service(struct tb_buffer *out, const char *unit)
{
    if (strstr(unit, "@.")) { /* a template: only systemd knows the instance */
        tb_puts(out, "Environment=\"TICKBIRD_SERVICE=%N\"\n");
        return;
    }
    char *service = tb_strndup(unit, (size_t)(strrchr(unit, '.') - unit));
    put_variable(out, "TICKBIRD_SERVICE", service);
    free(service);
}

static bool is_systemd_here(void)
{
    return access("/run/systemd/system", F_OK) == 0;
}

/* Makes systemd read its files again. A system that does not run needs no telling. */
static void reload(const struct request *request)
{
    extern char **environ;
    char *argv[] = {(char *)"systemctl", (char *)"daemon-reload", NULL};
    pid_t child;
    int status = 0;
    if (request->to.root[0] || request->to.is_dry || !is_systemd_here())
        return;
    if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ) != 0 || waitpid(child, &status, 0) < 0 || status != 0)
        tb_cli_message("systemctl daemon-reload: it failed: run it yourself");
}

static int write_drop_in(const struct request *request, const struct tb_unit *unit, const char *preload)
{
    struct tb_buffer out = {0};
    char *path = drop_in_path(unit->name);
    char *head = tb_format("# Written by `tickbird enable %s`; `tickbird disable %s` removes it.\n[Service]\n",
                           unit->name, unit->name);
    tb_puts(&out, head);
    put_variable(&out, "LD_PRELOAD", preload);
    if (request->service)
        put_variable(&out, "TICKBIRD_SERVICE", request->service);
    else
        put_unit_as_service(&out, unit->name);
    int r = tb_place_text(&request->to, path, out.data, out.len, 0644);
    if (r)
        failed(path, r);
    else if (!request->to.is_dry)
        printf("%s%s:\n%.*s", request->to.root, path, (int)out.len, out.data);
    tb_buffer_free(&out);
    free(head);
    free(path);
    return r ? TB_EXIT_FAILED : TB_EXIT_OK;
}

static int enable(const struct request *request, const char *name)
{
    static struct tb_object object;
    static char preload[64 << 10];
    struct tb_unit unit;
    int r = TB_EXIT_FAILED;
    if (!request->has_root && !request->to.is_dry && !is_systemd_here()) {
        tb_cli_message("systemd does not run here: start the program with tickbird run, or name a system with --root");
        return r;
    }
    tb_unit_look(request->to.root, name, DROP_IN, &unit);
    if (!unit.fragment)
        tb_cli_message("%s: no such service: see systemctl list-unit-files", name);
    else if (unit.winner)
        tb_cli_message("%s: it sets LD_PRELOAD and wins over a drop-in: add " TB_OBJECT_NAME " to it there",
                       unit.winner);
    else if (tb_object_find(request->lib, &object) == 0) {
        if (tb_object_preload(object.path, unit.preload, preload, sizeof(preload)) != 0)
            tb_cli_message("%s: its LD_PRELOAD is too long: shorten it", name);
        else
            r = write_drop_in(request, &unit, preload);
    }
    tb_unit_free(&unit);
    if (r != TB_EXIT_OK)
        return r;
    reload(request);
    if (!request->to.is_dry)
        printf("In force from its next start on: systemctl restart %s\n", name);
    return r;
}

static int disable(const struct request *request, const char *name)
{
    char *path = drop_in_path(name);
    int r = tb_place_remove(&request->to, path);
    if (r) {
        failed(path, r);
    } else {
        *strrchr(path, '/') = 0;
        tb_place_remove_dir(&request->to, path);
        reload(request);
        if (!request->to.is_dry)
            printf(
                "%s is no longer preloaded from its next start on: systemctl restart %s; tickbird off stops recording "
                "at once\n",
                name, name);
    }
    free(path);
    return r ? TB_EXIT_FAILED : TB_EXIT_OK;
}

enum { OPTION_LIB = 1000, OPTION_SERVICE, OPTION_ROOT, OPTION_PRINT };

static int run(int argc, char **argv, const struct tb_verb *verb,
               int (*act)(const struct request *request, const char *name))
{
    static const struct option options[] = {
        {"lib", required_argument, NULL, OPTION_LIB},   {"service", required_argument, NULL, OPTION_SERVICE},
        {"root", required_argument, NULL, OPTION_ROOT}, {"print", no_argument, NULL, OPTION_PRINT},
        {"help", no_argument, NULL, TB_OPTION_HELP},    {0}};
    struct request request = {.to = {.root = ""}};
    for (int got; (got = tb_cli_option(argc, argv, "h", options)) != TB_OPTION_END;) {
        if (got == TB_OPTION_HELP) {
            fputs(verb->usage, stdout);
            return TB_EXIT_OK;
        }
        if (got == TB_OPTION_BAD)
            return TB_EXIT_USAGE;
        request.to.is_dry |= got == OPTION_PRINT;
        if (got == OPTION_LIB)
            request.lib = optarg;
        if (got == OPTION_SERVICE)
            request.service = optarg;
        request.has_root |= got == OPTION_ROOT;
        if (got == OPTION_ROOT)
            request.to.root = strcmp(optarg, "/") == 0 ? "" : optarg;
    }
    char *name = optind < argc ? tb_unit_name(argv[optind]) : NULL;
    int code = TB_EXIT_USAGE;
    if (!name)
        tb_cli_message("%s: the name of a service is missing or wrong: tickbird %s nginx.service", verb->name,
                       verb->name);
    else if (optind++, tb_cli_operands(argc, argv) == 0)
        code = act(&request, name);
    free(name);
    return code;
}

static int run_enable(int argc, char **argv)
{
    return run(argc, argv, &tb_verb_enable, enable);
}

static int run_disable(int argc, char **argv)
{
    return run(argc, argv, &tb_verb_disable, disable);
}

const struct tb_verb tb_verb_enable = {
    "enable", "observe a systemd service",
    "Usage: tickbird enable [OPTIONS] UNIT\n"
    "Writes a drop-in that preloads the object into the systemd service UNIT, and shows it. An LD_PRELOAD that its "
    "files\n"
    "set is kept. It is in force from the next start of the service on.\n"
    "\n"
    "  --service NAME  name in the metrics; default: the unit's\n"
    "  --lib FILE      the object; default: libtickbird.so beside this command, then the installed one\n"
    "  --root DIR      another system, below DIR\n"
    "  --print         say what would be written, and do nothing\n"
    "  --help          this text\n",
    run_enable};

const struct tb_verb tb_verb_disable = {"disable", "undo enable",
                                        "Usage: tickbird disable [OPTIONS] UNIT\n"
                                        "Removes the drop-in that `tickbird enable` wrote.\n"
                                        "\n"
                                        "  --root DIR      another system, below DIR\n"
                                        "  --print         say what would be removed, and do nothing\n"
                                        "  --help          this text\n",
                                        run_disable};
