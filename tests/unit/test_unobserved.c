/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of a process from the outside where no machine at hand can show it: domains of security modules. The
 * process is a copy of cat, with what was read of it changed. The rest is in tests/servers/test_unobserved.py.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exporter/render.h"
#include "support.h"
#include "unobserved.h"

struct program {
    char path[100];
    pid_t pid;
    int fd; /* its input and output */
};

/* A copy of cat at p->path that listens; it is running when this returns, and ends when p->fd does. */
static void start(struct program *p)
{
    int from = open("/bin/cat", O_RDONLY), to = open(p->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755), ends[2];
    struct stat st;
    char byte;
    assert_int_equal(fstat(from, &st), 0);
    assert_int_equal(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
    close(from);
    close(to);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    p->fd = ends[0];
    p->pid = fork();
    if (p->pid == 0) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd >= 0 && listen(fd, 1) == 0 && dup2(ends[1], 0) == 0 && dup2(ends[1], 1) == 1)
            execl(p->path, "cat", (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(send(p->fd, "", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(read(p->fd, &byte, 1), 1);
}

static void stop(struct program *p)
{
    close(p->fd);
    waitpid(p->pid, NULL, 0);
    unlink(p->path);
}

static void a_domain_is_told_from_raised_rights(void **state)
{
    static struct tb_process p;
    struct program program;
    char dir[] = "/tmp/tb-unobserved-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(program.path, sizeof program.path, "%s/program", dir);
    start(&program);
    assert_int_equal(tb_process_read(program.pid, NULL, &p), 0);
    p.domain[0] = 0;
    p.is_secure = 1;
    assert_string_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "secure");
    snprintf(p.domain, sizeof p.domain, "nginx_t");
    assert_string_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "domain_transition");
    /* A file that raises rights itself is reason enough, in any domain. */
    assert_int_equal(chmod(program.path, 04700), 0);
    assert_string_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "secure");
    assert_int_equal(chmod(program.path, 0700), 0);
    p.is_secure = 0;
    assert_string_not_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "domain_transition");
    stop(&program);
    rmdir(dir);
}

static void what_may_not_be_seen_is_no_reason(void **state)
{
    static struct tb_process p;
    (void)state;
    assert_int_equal(tb_process_read(getpid(), NULL, &p), 0);
    p.is_secure = 1;
    p.can_see_maps = false;
    assert_int_equal(tb_unobserved_judge(&p), TB_OBSERVED);
}

static void names_that_no_label_tells_apart_are_one_sample(void **state)
{
    (void)state;
    static const char *const names[] = {"\x01", "\x02"};
    char dir[] = "/tmp/tb-unobserved-XXXXXX", label[200];
    struct tb_unobserved_scan *scan = tb_unobserved_new();
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_exposition x = {0};
    struct tb_buffer out = {0};
    struct program programs[2];
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 2; i++) {
        snprintf(programs[i].path, sizeof programs[i].path, "%s/x%s", dir, names[i]);
        start(&programs[i]);
    }
    tb_unobserved_scan(scan, 1, UINT64_C(10000000000), s);
    for (size_t i = 0; i < 2; i++)
        stop(&programs[i]);
    rmdir(dir);
    tb_unobserved_expose(&x, scan, "reason", tb_metrics_default);
    tb_render(&tb_encoding_text, &x, &out);
    char *text = tb_buffer_text(&out);
    snprintf(label, sizeof label, "exe=\"%s/x\xef\xbf\xbd\",reason=\"not_preloaded\"} ", dir);
    const char *found = strstr(text, label);
    assert_non_null(found);
    assert_int_equal(found[strlen(label)], '2');
    assert_null(strstr(found + 1, label));
    free(text);
    tb_exposition_free(&x);
    tb_snapshot_free(s);
    tb_unobserved_free(scan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_domain_is_told_from_raised_rights),
        cmocka_unit_test(what_may_not_be_seen_is_no_reason),
        cmocka_unit_test(names_that_no_label_tells_apart_are_one_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
