/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of a process from the outside where no machine at hand can show it: domains of security modules. The
 * process is this one, with what was read of it changed. The rest is in tests/servers/test_unobserved.py.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exporter/render.h"
#include "support.h"
#include "unobserved.h"

static void a_domain_is_told_from_raised_rights(void **state)
{
    static struct tb_process p;
    (void)state;
    assert_int_equal(tb_process_read(getpid(), NULL, &p), 0);
    p.domain[0] = 0;
    p.is_secure = 1;
    assert_string_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "secure");
    snprintf(p.domain, sizeof p.domain, "nginx_t");
    assert_string_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "domain_transition");
    /* A file that raises rights itself is reason enough, in any domain. */
    assert_int_equal(chmod("/proc/self/exe", 04755), 0);
    assert_string_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "secure");
    assert_int_equal(chmod("/proc/self/exe", 0755), 0);
    p.is_secure = 0;
    assert_string_not_equal(tb_unobserved_name(tb_unobserved_judge(&p)), "domain_transition");
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

/* A program of that name that listens, and nothing else. */
static pid_t listen_as(const char *path)
{
    int from = open("/bin/sleep", O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    struct stat st;
    assert_int_equal(fstat(from, &st), 0);
    assert_int_equal(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
    close(from);
    close(to);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || listen(fd, 1) < 0)
            _exit(1);
        execl(path, "sleep", "60", (char *)NULL);
        _exit(1);
    }
    return child;
}

static void names_that_no_label_tells_apart_are_one_sample(void **state)
{
    (void)state;
    static const char *const names[] = {"\x01", "\x02"};
    char dir[] = "/tmp/tb-unobserved-XXXXXX", label[200], path[2][100];
    struct tb_unobserved_scan *scan = tb_unobserved_new();
    struct tb_snapshot *s = tb_snapshot_new();
    struct tb_exposition x = {0};
    struct tb_buffer out = {0};
    pid_t children[2];
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/x%s", dir, names[i]);
        children[i] = listen_as(path[i]);
    }
    usleep(300000); /* until both have become what they are */
    tb_unobserved_scan(scan, 1, UINT64_C(10000000000), s);
    for (size_t i = 0; i < 2; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
        unlink(path[i]);
    }
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
