/* SPDX-License-Identifier: Apache-2.0 */
/* instances.c: what cgroup files say, and labels of live regions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "exporter/collect.h"
#include "exporter/instances.h"
#include "exporter/render.h"
#include "maker.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "0a1b2c3d-1111-2222-3333-444455556666"
#define POD_OF_SLICE "0a1b2c3d_1111_2222_3333_444455556666"

static void cgroups_of_each_manager_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *unit, *container, *pod_uid;
    } cases[] = {
        {"", "", "", ""},
        {"0::/\n", "", "", ""},
        {"0::/system.slice/nginx.service\n", "nginx", "", ""},
        {"0::/system.slice/docker-" ID ".scope\n", "", ID, ""},
        {"12:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n", "", ID, ""},
        {"0::/docker/" ID "0\n", "", "", ""}, /* 65 digits are no identifier */
        {"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_OF_SLICE ".slice/cri-containerd-" ID
         ".scope\n",
         "", ID, POD},
        {"0::/kubepods/besteffort/pod" POD "/" ID "\n", "", ID, POD},
        {"0::/kubepods/podling/pod0a1b2c3d-1111\n", "", "", ""},
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service\n", "shop", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tb_cgroup found;
        tb_cgroup_read(cases[i].text, strlen(cases[i].text), &found);
        assert_string_equal(found.unit, cases[i].unit);
        assert_string_equal(found.container, cases[i].container);
        assert_string_equal(found.pod_uid, cases[i].pod_uid);
    }
}

/* The exposition of the family; the caller's to free. */
static char *text_of(const struct tb_snapshot *s, unsigned instances, const char *constant)
{
    struct tb_names names = *tb_names_default();
    struct tb_exposition x = {0};
    struct tb_buffer out = {0};
    names.instances = instances;
    names.constant = constant;
    tb_expose_instances(&x, s, &names);
    tb_render(&tb_encoding_text, &x, &out);
    tb_exposition_free(&x);
    tb_put(&out, "", 1);
    return out.data;
}

static void assert_samples(const struct tb_snapshot *s, unsigned instances, const char *constant, const char *expected)
{
    char *text = text_of(s, instances, constant), *samples = strstr(text, "\ntickbird_region_info{");
    assert_string_equal(samples ? samples + 1 : "", expected);
    free(text);
}

static void set_labels(struct tb_core *core, const char *labels)
{
    snprintf(core->header->labels, sizeof core->header->labels, "%s", labels);
}

static void live_regions_have_the_labels_asked_for(void **state)
{
    (void)state;
    char *dir = maker_dir();
    const char *dirs[] = {dir};
    struct tb_collect_options options = {.dirs = dirs, .dir_count = 1};
    struct tb_collector *collector;
    struct tb_core *cores[3];
    for (int i = 0; i < 3; i++)
        cores[i] = maker_start(dir, "shop");
    set_labels(cores[0], "pod=web-1,namespace=shop,pod=again,service=x,9a=b,le=1,env=own,quote=a\"b");
    set_labels(cores[1], "pod=web-2");
    set_labels(cores[2], "pod=web-2");
    assert_int_equal(tb_collector_new(&options, &collector), 0);
    assert_int_equal(tb_collect(collector), 0);
    const struct tb_snapshot *s = tb_collector_snapshot(collector);
    assert_samples(s, 0, "", "");
    assert_samples(s, 1u << TB_INSTANCE_HOST, "", "tickbird_region_info{service=\"shop\",host=\"h\"} 3\n");
    assert_samples(s, 1u << TB_INSTANCE_LABELS, "env=\"prod\"",
                   "tickbird_region_info{service=\"shop\",pod=\"web-1\",namespace=\"shop\",quote=\"a\\\"b\"} 1\n"
                   "tickbird_region_info{service=\"shop\",pod=\"web-2\"} 2\n");
    char *expected =
        tb_format("tickbird_region_info{service=\"shop\",pid=\"%d\",program=\"/usr/sbin/tested\"} 3\n", (int)getpid());
    assert_samples(s, 1u << TB_INSTANCE_PID | 1u << TB_INSTANCE_PROGRAM, "", expected);
    free(expected);
    maker_kill(cores[0]);
    assert_int_equal(tb_collect(collector), 0);
    assert_samples(s, 1u << TB_INSTANCE_HOST, "host=\"mine\"", "tickbird_region_info{service=\"shop\"} 2\n");
    maker_kill(cores[1]);
    maker_kill(cores[2]);
    tb_collector_free(collector);
    maker_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cgroups_of_each_manager_are_read),
        cmocka_unit_test(live_regions_have_the_labels_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
