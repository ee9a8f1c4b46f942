/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program's service is called when nobody says so (service_name.h): by its systemd unit, or by the script that
 * an interpreter runs. Pure functions on text that is a stranger's; every length is bounded.
 */
#include "service_name.h"

#include "bytes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

size_t tb_text_copy(char *to, size_t size, const char *from, size_t len)
{
    if (len > size - 1)
        len = size - 1;
    tb_copy(to, from, len);
    to[len] = 0;
    return len;
}

static bool starts(const char *a, const char *b)
{
    size_t len = tb_strnlen(b, 64);
    return tb_strnlen(a, len) == len && tb_equal(a, b, len);
}

static bool ends(const char *a, size_t len, const char *end)
{
    size_t n = tb_strnlen(end, 64);
    return len > n && tb_equal(a + len - n, end, n);
}

const char *tb_base_name(const char *path, size_t len)
{
    const char *base = path;
    for (size_t i = 0; i + 1 < len; i++)
        if (path[i] == '/')
            base = path + i + 1;
    return base;
}

/* Up to the next comma. */
static void copy_attribute(const char *from, char *ret, size_t size)
{
    size_t used = 0;
    for (; *from && *from != ',' && used + 1 < size; from++) {
        char c = *from;
        uint8_t high = c == '%' ? tb_hex((uint8_t)from[1]) : 255, low = high < 16 ? tb_hex((uint8_t)from[2]) : 255;
        if (low < 16) {
            c = (char)(high << 4 | low);
            from += 2;
        }
        ret[used++] = c;
    }
    ret[used] = 0;
}

void tb_service_attribute(const char *list, const char *key, char *ret, size_t size)
{
    size_t len = tb_strnlen(key, 64);
    ret[0] = 0;
    for (const char *at = list; *at;) {
        while (*at == ' ' || *at == ',')
            at++;
        if (starts(at, key) && at[len] == '=') {
            copy_attribute(at + len + 1, ret, size);
            return;
        }
        while (*at && *at != ',')
            at++;
    }
}

void tb_service_unit(const char *cgroup, size_t len, char *ret, size_t size)
{
    ret[0] = 0;
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && cgroup[end] != '\n')
            end++;
        /* hierarchy:controllers:path; the unified one, or systemd's own */
        size_t path = at;
        for (int colons = 0; path < end && colons < 2; path++)
            colons += cgroup[path] == ':';
        bool is_ours = (at + 3 <= end && tb_equal(cgroup + at, "0::", 3)) ||
                       (path - at > 14 && ends(cgroup + at, path - at, ":name=systemd:"));
        for (size_t from = path; is_ours && from < end;) {
            size_t to = from;
            while (to < end && cgroup[to] != '/')
                to++;
            /* user@1000.service holds a whole session, not one service */
            if (ends(cgroup + from, to - from, ".service") && !(to - from > 5 && tb_equal(cgroup + from, "user@", 5)))
                tb_text_copy(ret, size, cgroup + from, to - from - 8);
            from = to + 1;
        }
        if (ret[0])
            return;
        at = end + 1;
    }
}

/* Interpreters by the start of their name; their options that take a value; options after which there is no script. */
static const struct interpreter {
    const char *name;
    const char *with_value; /* words separated by blanks, the text begins and ends with one */
    const char *no_script;
    const char *module;  /* the option whose value is the name */
    const char *command; /* first words that are not the script */
} interpreters[] = {
    {"python", " -W -X -Q ", " -c ", " -m ", " "},
    {"pypy", " -W -X ", " -c ", " -m ", " "},
    {"node", " -r --require --import --loader --experimental-loader -C --conditions ", " -e -p --eval --print ", " ",
     " "},
    {"bun", " -r --preload ", " -e --eval ", " ", " run "},
    {"deno", " -c --config --import-map ", " eval ", " ", " run serve "},
    {"java", " -cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports -d ", " ",
     " -jar -m --module ", " "},
    {"ruby", " -C -r -I -E ", " -e ", " ", " "},
    {"perl", " -I -M ", " -e -E ", " ", " "},
    {"php", " -S -t -d -c -z ", " -r -B -R ", " -f -F ", " "},
    {"lua", " -l ", " -e ", " ", " "},
    {"dotnet", " ", " ", " ", " exec run "},
};

/*
 * Programs in these languages that run an application: their options that take a value, the option whose value names
 * it, else the first word that is neither. Where none is found (it stands in a file of theirs), their own name remains.
 */
static const struct runner {
    const char *name;
    const char *with_value;
    const char *application;
    bool takes_word;
} runners[] = {
    {"gunicorn",
     " -b --bind -w --workers -k --worker-class -c --config -t --timeout -p --pid -u --user -g --group -e --env -n "
     "--name"
     " --threads --backlog --worker-connections --max-requests --max-requests-jitter --graceful-timeout --keep-alive"
     " --chdir --pythonpath --access-logfile --access-logformat --error-logfile --log-file --log-level --log-config"
     " --certfile --keyfile --forwarded-allow-ips --worker-tmp-dir --limit-request-line --statsd-host -m --umask ",
     " ", true},
    {"uvicorn",
     " --host --port --uds --fd --workers --loop --http --ws --lifespan --interface --env-file --log-config --log-level"
     " --root-path --limit-concurrency --backlog --limit-max-requests --timeout-keep-alive --ssl-keyfile --ssl-certfile"
     " --header --app-dir --reload-dir --forwarded-allow-ips --ws-max-size --h11-max-incomplete-event-size ",
     " ", true},
    {"hypercorn",
     " -b --bind -w --workers -k --worker-class -c --config --access-logfile --error-logfile --log-level "
     "--certfile --keyfile --root-path --keep-alive -p --pid -u --user -g --group ",
     " ", true},
    {"daphne",
     " -b --bind -p --port -u --unix-socket --fd -e --endpoint -v --verbosity -t --http-timeout --access-log "
     "--root-path --application-close-timeout ",
     " ", true},
    {"waitress-serve", " ", " ", true},
    {"flask", " -e --env-file -h --host -p --port --cert --key ", " -A --app ", false},
    {"starman", " -l --listen -p --port --workers --backlog --max-requests --user --group --pid --error-log -I -E -S ",
     " -a --app ", true},
    {"plackup", " -o --host -p --port -s --server -E --env -I -M -S --socket -l --listen -e ", " -a --app ", true},
};

static bool has_word(const char *words, const char *word)
{
    size_t len = tb_strnlen(word, 64);
    for (const char *at = words; len && *at; at++)
        if (*at == ' ' && tb_strnlen(at + 1, len) == len && tb_equal(at + 1, word, len) && at[1 + len] == ' ')
            return true;
    return false;
}

/* What a script, jar, module or class is called: no directory, no known extension. */
static void name_script(const char *arg, char *ret, size_t size)
{
    static const char *const extensions[] = {".py", ".pyc",  ".js",  ".mjs", ".cjs", ".ts",   ".jar", ".rb",
                                             ".pl", ".psgi", ".php", ".lua", ".dll", ".java", ".ru"};
    size_t len = tb_strnlen(arg, 4096);
    const char *base = tb_base_name(arg, len);
    size_t base_len = len - (size_t)(base - arg);
    if (base > arg && starts(base, "__main__.")) { /* a package: its directory has the name */
        len = (size_t)(base - arg) - 1;
        base = tb_base_name(arg, len);
        base_len = len - (size_t)(base - arg);
    }
    for (size_t i = 0; i < COUNT(extensions); i++)
        if (ends(base, base_len, extensions[i])) {
            base_len -= tb_strnlen(extensions[i], 8);
            break;
        }
    tb_text_copy(ret, size, base, base_len);
}

/* "shop.wsgi:application" is shop. */
static void name_application(const char *arg, char *ret, size_t size)
{
    size_t len = 0, end = tb_strnlen(arg, 4096);
    while (len < end && arg[len] != ':')
        len++;
    if (ends(arg, len, ".wsgi") || ends(arg, len, ".asgi"))
        len -= 5;
    char module[128];
    tb_text_copy(module, sizeof(module), arg, len);
    name_script(module, ret, size);
}

/* The application that the runner named in @ret runs, if it is one; @argv (@len bytes) from its first argument on. */
static void look_behind_runner(const char *argv, size_t len, char *ret, size_t size)
{
    const struct runner *found = NULL;
    bool is_application = false;
    for (size_t i = 0; i < COUNT(runners) && !found; i++)
        if (starts(ret, runners[i].name) && !ret[tb_strnlen(runners[i].name, 64)])
            found = &runners[i];
    for (size_t at = 0; found && at < len; at += tb_strnlen(argv + at, len - at) + 1) {
        const char *arg = argv + at;
        size_t arg_len = tb_strnlen(arg, len - at);
        if (at + arg_len >= len)
            return; /* cut off */
        bool is_word = arg_len && arg[0] != '-';
        if (is_application || (is_word && found->takes_word)) {
            name_application(arg, ret, size);
            return;
        }
        is_application = has_word(found->application, arg);
        if (!is_application && has_word(found->with_value, arg))
            at += arg_len + 1;
    }
}

void tb_service_script(const char *program, const char *argv, size_t len, char *ret, size_t size)
{
    const struct interpreter *found = NULL;
    ret[0] = 0;
    for (size_t i = 0; i < COUNT(interpreters) && !found; i++)
        if (starts(program, interpreters[i].name))
            found = &interpreters[i];
    size_t at = tb_strnlen(argv, len) + 1; /* past argv[0] */
    bool is_module = false;
    for (; found && at < len; at += tb_strnlen(argv + at, len - at) + 1) {
        const char *arg = argv + at;
        size_t next = at + tb_strnlen(arg, len - at) + 1;
        if (next > len)
            return; /* cut off */
        if (!is_module && has_word(found->no_script, arg))
            return;
        if (is_module || (arg[0] != '-' && !has_word(found->command, arg))) {
            name_script(arg, ret, size);
            look_behind_runner(argv + next, len - next, ret, size);
            return;
        }
        is_module = has_word(found->module, arg);
        if (!is_module && has_word(found->with_value, arg))
            at = next;
    }
}
