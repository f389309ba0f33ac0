/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_cpus.h"

static char top[64], cgroup_file[PATH_MAX];

static void write_file(const char *name, const char *content)
{
    char path[PATH_MAX];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", top, name);
    for (char *slash = strchr(path + strlen(top) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(top, sizeof(top), "/tmp/pyd_cpus.XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(cgroup_file, sizeof(cgroup_file), "%s/self", top);
    return 0;
}

static int tear_down(void **state)
{
    char command[200];

    (void)state;
    snprintf(command, sizeof(command), "rm -r '%s'", top);
    return system(command);
}

static void test_no_limit(void **state)
{
    (void)state;
    assert_int_equal(pyd_cpus_limit(6, cgroup_file, top), 6);
    write_file("self", "0::/a/b\n");
    assert_int_equal(pyd_cpus_limit(6, cgroup_file, top), 6);
    write_file("a/b/cpu.max", "max 100000\n");
    assert_int_equal(pyd_cpus_limit(6, cgroup_file, top), 6);
    write_file("self", "garbage\n\n::::\n0\n");
    assert_int_equal(pyd_cpus_limit(6, cgroup_file, top), 6);
}

static void test_version_2(void **state)
{
    (void)state;
    write_file("self", "0::/a/b\n");
    write_file("a/b/cpu.max", "350000 100000\n");
    assert_int_equal(pyd_cpus_limit(6, cgroup_file, top), 4);
    assert_int_equal(pyd_cpus_limit(2, cgroup_file, top), 2);
    /* A parent's quota counts too, the root's as well (a container sees its own there). */
    write_file("a/cpu.max", "200000 100000\n");
    assert_int_equal(pyd_cpus_limit(6, cgroup_file, top), 2);
    write_file("cpu.max", "50000 100000\n");
    assert_int_equal(pyd_cpus_limit(6, cgroup_file, top), 1);
}

static void test_container_without_namespace(void **state)
{
    (void)state;
    write_file("self", "0::/docker/0123456789\n");
    write_file("cpu.max", "300000 100000\n");
    assert_int_equal(pyd_cpus_limit(8, cgroup_file, top), 3);
}

static void test_version_1(void **state)
{
    (void)state;
    write_file("self", "3:memory:/x\n2:cpu,cpuacct:/y/z\n1:name=systemd:/x\n");
    write_file("cpu/y/z/cpu.cfs_quota_us", "-1\n");
    write_file("cpu/y/z/cpu.cfs_period_us", "100000\n");
    assert_int_equal(pyd_cpus_limit(8, cgroup_file, top), 8);
    write_file("cpu/y/z/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(pyd_cpus_limit(8, cgroup_file, top), 3);
    write_file("cpu/y/z/cpu.cfs_period_us", "0\n");
    assert_int_equal(pyd_cpus_limit(8, cgroup_file, top), 8);
}

static void test_this_machine(void **state)
{
    (void)state;
    assert_in_range(pyd_cpus_available(), 1, sysconf(_SC_NPROCESSORS_CONF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_version_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_container_without_namespace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_version_1, set_up, tear_down),
        cmocka_unit_test(test_this_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
