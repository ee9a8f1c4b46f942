/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of a process from the outside where no machine at hand can show it: domains of security modules. The
 * process is this one, with what was read of it changed. The rest is in tests/servers/test_unobserved.py.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    strcpy(p.domain, "nginx_t");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_domain_is_told_from_raised_rights),
        cmocka_unit_test(what_may_not_be_seen_is_no_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
