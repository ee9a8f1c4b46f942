/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the shim's parts that need no preloading: the descriptor table near its bounds, the memory of connections
 * under contention and without memory, names of services, symbol lookup. `parts WHAT`; exit 0 = fine.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../shim/clock.h"
#include "../../shim/fdtable.h"
#include "../../agent/service_name.h"
#include "../../shim/identity.h"
#include "../../shim/resolve.h"

struct tb_core tb_core;
static int is_out_of_memory;

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
    if (nr == SYS_mmap && is_out_of_memory)
        return -12;
    long ret = syscall(nr, a, b, c, d, e, f);
    return ret;
}

#define CHECK(claim)                                                                                                   \
    do {                                                                                                               \
        if (!(claim)) {                                                                                                \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);                                                 \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void slots(void)
{
    static const int numbers[] = {0, 1, 4095, 4096, 4607, 4608, 1 << 19, (1 << 20) - 1};
    CHECK(tb_fd_limit() == 0);
    CHECK(tb_fd_slot(4096) == NULL && tb_fd_slot((1 << 20) - 1) == NULL && tb_fd_slot(0) != NULL);
    CHECK(tb_fd_slot(1 << 20) == NULL && tb_fd_slot(-1) == NULL && tb_fd_word(-5) == 0);
    CHECK(tb_fd_slot_make(1 << 20) == NULL && tb_fd_slot_make(-1) == NULL);
    is_out_of_memory = 1;
    CHECK(tb_fd_slot_make(5000) == NULL);
    is_out_of_memory = 0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uint64_t *slot = tb_fd_slot_make(numbers[i]);
        CHECK(slot && *slot == 0 && slot == tb_fd_slot(numbers[i]));
        *slot = TB_FD_BORN | tb_fd_new_birth();
        CHECK(tb_fd_limit() == (uint32_t)numbers[i] + 1);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        CHECK(tb_fd_state(tb_fd_word(numbers[i])) == TB_FD_BORN);
    struct tb_conn *conn = tb_conn_alloc();
    uint64_t *low = tb_fd_slot(1), *high = tb_fd_slot((1 << 20) - 1);
    *low = *high = TB_FD_CONN | TB_FD_DUP | (uintptr_t)conn | tb_fd_new_birth();
    CHECK(tb_fd_conn(*high) == conn && tb_fd_has_other(low, conn) && tb_fd_has_other(high, conn));
    *low = 0;
    CHECK(!tb_fd_has_other(high, conn));
    /* births of neighbours differ, and none is 0 */
    uint64_t before = tb_fd_new_birth();
    for (int i = 0; i < 20000; i++) {
        uint64_t birth = tb_fd_new_birth();
        CHECK(birth && !tb_fd_same_birth(birth, before) && !(birth & ~TB_FD_BIRTH_MASK));
        before = birth;
    }
}

/* Each connection that is held carries its holder's mark; two holders of one would overwrite it. */
static void *hold(void *arg)
{
    uint64_t me = (uintptr_t)arg;
    struct tb_conn *mine[200];
    unsigned seed = (unsigned)me;
    size_t count = 0;
    for (uint64_t round = 0; round < 300000; round++) {
        if (count < 200 && (count == 0 || rand_r(&seed) % 2)) {
            struct tb_conn *c = tb_conn_alloc();
            CHECK(c);
            memcpy(c, &me, sizeof(me));
            memcpy((char *)c + TB_CONN_BYTES - sizeof(me), &me, sizeof(me));
            mine[count++] = c;
        } else {
            size_t at = (size_t)rand_r(&seed) % count;
            CHECK(!memcmp(mine[at], &me, sizeof(me)));
            CHECK(!memcmp((char *)mine[at] + TB_CONN_BYTES - sizeof(me), &me, sizeof(me)));
            tb_conn_free(mine[at]);
            mine[at] = mine[--count];
        }
    }
    while (count)
        tb_conn_free(mine[--count]);
    return NULL;
}

static void connections(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(!pthread_create(&threads[i], NULL, hold, (void *)(i + 1)));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* a freed one is not the next one */
    struct tb_conn *first = tb_conn_alloc();
    tb_conn_free(first);
    for (unsigned i = 0; i < TB_CONN_REST - 1; i++) {
        struct tb_conn *c = tb_conn_alloc();
        CHECK(c != first);
        tb_conn_free(c);
    }
    /* without memory: what is there is used up, then none; nothing breaks */
    is_out_of_memory = 1;
    size_t got = 0;
    while (got < 100000 && tb_conn_alloc())
        got++;
    CHECK(got > 0 && got < 100000);
    CHECK(!tb_conn_alloc());
    is_out_of_memory = 0;
    CHECK(tb_conn_alloc());
    /* to the bound, and not beyond */
    while (got < 3000000 && tb_conn_alloc())
        got++;
    CHECK(got < TB_CHUNKS * TB_CHUNK_CONNS && got > TB_CHUNKS * TB_CHUNK_CONNS - 2000);
}

static void script(const char *program, const char *argv, size_t len, const char *wanted)
{
    char found[64] = "?";
    tb_service_script(program, argv, len, found, sizeof(found));
    if (strcmp(found, wanted)) {
        printf("%s: %s, wanted %s\n", argv + strlen(argv) + 1, found, wanted);
        exit(1);
    }
}
#define SCRIPT(program, argv, wanted) script(program, argv, sizeof(argv), wanted)

static void scripts(void)
{
    SCRIPT("python3.11",
           "python3\0/srv/shop/app.py\0--port\0"
           "80",
           "app");
    SCRIPT("python3.11", "python\0-u\0-X\0dev\0app.py", "app");
    SCRIPT("python3",
           "python3\0-m\0http.server\0"
           "8000",
           "http.server");
    SCRIPT("python3", "python3\0/usr/bin/gunicorn\0app:app", "app");
    SCRIPT("python3", "python3\0-c\0import x", "");
    SCRIPT("python3", "python3\0/srv/shop/__main__.py", "shop");
    SCRIPT("python3", "python3", "");
    SCRIPT("node", "node\0--max-old-space-size=4096\0-r\0./trace.js\0/app/server.js", "server");
    SCRIPT("node", "node\0-e\0x", "");
    SCRIPT("java", "java\0-Xmx1g\0-cp\0/a/b.jar:/c\0com.example.Shop", "com.example.Shop");
    SCRIPT("java", "java\0-Xmx1g\0-jar\0/opt/orders-1.2.jar\0--x", "orders-1.2");
    SCRIPT("ruby", "ruby\0/usr/bin/puma\0-C\0x.rb", "puma");
    SCRIPT("php8.2",
           "php\0-S\0"
           "127.0.0.1:80\0-t\0/srv\0router.php",
           "router");
    SCRIPT("php8.2",
           "php\0-S\0"
           "127.0.0.1:80",
           "");
    SCRIPT("bun", "bun\0run\0api.ts", "api");
    SCRIPT("nginx", "nginx: master process\0x.py", "");
    SCRIPT("perl", "perl\0-I\0lib\0/usr/bin/starman\0app.psgi", "app");
    /* cut off in the middle of the name: nothing rather than half of it */
    script("python3", "python3\0/srv/shop/app.py", 15, "");
    script("python3", "", 0, "");
}

static void unit(const char *text, const char *wanted)
{
    char found[64] = "?";
    tb_service_unit(text, strlen(text), found, sizeof(found));
    if (strcmp(found, wanted)) {
        printf("%s: %s, wanted %s\n", text, found, wanted);
        exit(1);
    }
}

static void units(void)
{
    unit("0::/system.slice/nginx.service\n", "nginx");
    unit("0::/system.slice/system-shop.slice/shop@blue.service/worker\n", "shop@blue");
    unit("12:pids:/x.service\n1:name=systemd:/system.slice/cron.service\n0::/system.slice/cron.service\n", "cron");
    unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/shell.scope\n", "");
    unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", "web");
    unit("0::/\n", "");
    unit("0::/docker/0123456789abcdef\n", "");
    unit("", "");
    unit("0::/.service", "");
    unit("garbage without colons", "");
}

static void symbols(void)
{
    static const char *const names[] = {"read", "write", "fork", "quick_exit", "sendfile64", "syscall", "closefrom"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK(tb_resolve_next(names[i]) == dlsym(RTLD_DEFAULT, names[i]));
    CHECK(tb_resolve_next("no_such_function_anywhere") == NULL);
    CHECK(tb_auxval(6 /* AT_PAGESZ */) == (unsigned long)sysconf(_SC_PAGESIZE));
    CHECK(!tb_resolve_is_second_copy());
}

/* An object that defines nothing may have a hash table of no buckets and no filter; glibc passes over it. */
static void empty_tables(void)
{
    static const uint32_t no_buckets[4], no_sysv[2];
    static const ElfW(Sym) none;
    const ElfW(Dyn) dyn[] = {{DT_SYMTAB, {(uintptr_t)&none}},
                             {DT_STRTAB, {(uintptr_t) ""}},
                             {DT_GNU_HASH, {(uintptr_t)no_buckets}},
                             {DT_NULL, {0}}};
    const ElfW(Dyn) old[] = {dyn[0], dyn[1], {DT_HASH, {(uintptr_t)no_sysv}}, dyn[3]};
    static const char *const names[] = {"SSL_read", "SSL_write", "SSL_new", "SSL_free", "read", "a"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK(!tb_elf_symbol(0, dyn, names[i]) && !tb_elf_symbol(0, old, names[i]));
}

static void clock_runs(void)
{
    struct timespec before, after;
    tb_clock_init();
    for (int which = TB_CLOCK_VDSO; which <= TB_CLOCK_KERNEL; which++) {
        tb_clock_use((enum tb_clock)which);
        clock_gettime(CLOCK_MONOTONIC, &before);
        uint64_t now = tb_clock_monotonic_ns();
        clock_gettime(CLOCK_MONOTONIC, &after);
        CHECK(now >= (uint64_t)before.tv_sec * 1000000000u + (uint64_t)before.tv_nsec);
        CHECK(now <= (uint64_t)after.tv_sec * 1000000000u + (uint64_t)after.tv_nsec);
    }
    tb_clock_use(TB_CLOCK_NONE);
    CHECK(tb_clock_monotonic_ns() == 0);
}

int main(int argc, char **argv)
{
    tb_core.env.syscall = call;
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "slots"))
        slots();
    else if (!strcmp(what, "connections"))
        connections();
    else if (!strcmp(what, "scripts"))
        scripts();
    else if (!strcmp(what, "units"))
        units();
    else if (!strcmp(what, "symbols"))
        symbols();
    else if (!strcmp(what, "empty_tables"))
        empty_tables();
    else if (!strcmp(what, "clock"))
        clock_runs();
    else
        return 2;
    return 0;
}
