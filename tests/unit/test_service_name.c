/* SPDX-License-Identifier: Apache-2.0 */
/* What services are called when nobody says so: command lines and cgroup files as they are found on machines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "service_name.h"

/* Words of @line, separated by one blank each, as the kernel shows them. Returns their bytes. */
static size_t as_argv(const char *line, char *ret, size_t size)
{
    size_t len = strlen(line) + 1;
    assert_true(len <= size);
    memcpy(ret, line, len);
    for (size_t i = 0; i < len; i++)
        if (ret[i] == ' ')
            ret[i] = 0;
    return len;
}

static const struct {
    const char *program, *line, *name;
} scripts[] = {
    {"java", "java -Xmx1g -jar /srv/shop/orders-service.jar --port 80", "orders-service"},
    {"java", "java -cp a.jar:b.jar -Dx=y com.example.Shop run", "com.example.Shop"},
    {"java", "java --module-path mods -m com.example/com.example.Shop", "com.example.Shop"},
    {"python3.11", "/usr/bin/python3 -u app.py", "app"},
    {"python3.11", "python3 -W ignore /srv/shop/__main__.py", "shop"},
    {"python3.11", "python3 -m http.server 8000", "http.server"},
    {"python3.11", "python3 -c import(x) app.py", ""},
    {"python3.11", "/usr/bin/python3 /usr/bin/gunicorn app:app", "app"},
    {"python3.11", "/usr/bin/python3 /usr/bin/gunicorn -w 4 -b 0.0.0.0:80 --preload shop.wsgi:application", "shop"},
    {"python3.11", "python3 -m gunicorn --bind=localhost:80 -k uvicorn.workers.UvicornWorker main:create_app()",
     "main"},
    {"python3.11", "/usr/bin/python3 /usr/bin/gunicorn -c conf.py", "gunicorn"},
    {"python3.11", "/usr/bin/python3 /usr/local/bin/uvicorn --host 0.0.0.0 --port 80 billing.asgi:app --reload",
     "billing"},
    {"python3.11", "/usr/bin/python3 -m uvicorn main:app", "main"},
    {"python3.11", "/usr/bin/python3 /usr/bin/flask --app shop run -p 80", "shop"},
    {"python3.11", "/usr/bin/python3 /usr/bin/flask run", "flask"},
    {"node", "node --max-old-space-size=4096 -r ./tracing.js /srv/shop/server.js", "server"},
    {"node", "node --require a.js b.mjs", "b"},
    {"node", "node -e require(x)", ""},
    {"bun", "bun run index.ts", "index"},
    {"ruby", "ruby -I lib bin/shop.rb", "shop"},
    {"perl", "perl -I lib shop.pl daemon", "shop"},
    {"perl", "/usr/bin/perl /usr/bin/starman --workers 4 -l :5000 shop.psgi", "shop"},
    {"perl", "/usr/bin/perl /usr/bin/plackup -a api.psgi -p 5000", "api"},
    {"php8.2", "php -S 127.0.0.1:80 -t public router.php", "router"},
    {"nginx", "nginx -g daemon(off)", ""},
    {"dotnet", "dotnet exec /srv/Shop.Web.dll", "Shop.Web"},
};

static void programs_of_interpreters(void **state)
{
    char argv[512], name[128];
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        size_t len = as_argv(scripts[i].line, argv, sizeof argv);
        tb_service_script(scripts[i].program, argv, len, name, sizeof name);
        if (strcmp(name, scripts[i].name) != 0)
            fail_msg("%s: %s, not %s", scripts[i].line, name, scripts[i].name);
    }
}

/* Every command line cut anywhere: what is read stays inside, and a name that is cut off is none. */
static void command_lines_that_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        char argv[512], name[128];
        size_t len = as_argv(scripts[i].line, argv, sizeof argv);
        for (size_t cut = 0; cut < len; cut++) {
            char *exact = test_malloc(cut + 1); /* cmocka looks for what is written behind it */
            memcpy(exact, argv, cut);
            tb_service_script(scripts[i].program, exact, cut, name, sizeof name);
            assert_true(strlen(name) < sizeof name);
            test_free(exact);
        }
        tb_service_script(scripts[i].program, argv, len, name, 3);
        assert_true(strlen(name) < 3);
    }
}

static void units_of_systemd(void **state)
{
    static const struct {
        const char *cgroup, *name;
    } cases[] = {
        {"0::/system.slice/shop.service\n", "shop"},
        {"0::/system.slice/system-shop.slice/shop@eu.service/worker\n", "shop@eu"},
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope\n", ""},
        {"12:cpu:/x.service\n1:name=systemd:/system.slice/old.service\n", "old"},
        {"0::/\n", ""},
        {"", ""},
    };
    char name[128];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tb_service_unit(cases[i].cgroup, strlen(cases[i].cgroup), name, sizeof name);
        assert_string_equal(name, cases[i].name);
    }
}

static void attributes_of_opentelemetry(void **state)
{
    static const struct {
        const char *list, *value;
    } cases[] = {
        {"service.name=shop", "shop"},
        {"a=b, service.name=my%20shop%2c%zz,c=d", "my shop,%zz"},
        {"service.namespace=x,xservice.name=y", ""},
        {"service.name=", ""},
        {"service.name", ""},
        {",,=,%", ""},
        {"service.name=a%4", "a%4"},
    };
    char value[16];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tb_service_attribute(cases[i].list, "service.name", value, sizeof value);
        assert_string_equal(value, cases[i].value);
    }
    tb_service_attribute("k=0123456789abcdefghij", "k", value, sizeof value);
    assert_string_equal(value, "0123456789abcde");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_of_interpreters),
        cmocka_unit_test(command_lines_that_are_cut),
        cmocka_unit_test(units_of_systemd),
        cmocka_unit_test(attributes_of_opentelemetry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
