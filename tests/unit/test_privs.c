/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pyd_limits.h"
#include "pyd_privs.h"

#define NOBODY 65534

/* What was dropped cannot be had back: each try is a process of its own, which reports by its exit status. */
static int in_child(int (*try)(struct pyd_spec *spec), struct pyd_spec *spec)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        _exit(try(spec));
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int drop(struct pyd_spec *spec)
{
    char error[300] = "";

    return pyd_privs_drop(spec, error, sizeof error) == 0 ? 0 : error[0] ? 1 : 2;
}

static void make(struct pyd_spec *spec, int64_t uid, int64_t gid)
{
    assert_int_equal(pyd_spec_init(spec, "blog"), 0);
    spec->uid = uid;
    spec->gid = gid;
}

static void test_parse_groups(void **state)
{
    static const char *const bad[] = {"x", "1,", ",1", "1,,2", "-1", "4294967295", "99999999999999999999", " 1", "1 "};
    gid_t ids[3];
    size_t count = 99;

    (void)state;
    assert_int_equal(pyd_privs_parse_groups("", ids, 3, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(pyd_privs_parse_groups("4,24,0", ids, 3, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 4);
    assert_int_equal(ids[1], 24);
    assert_int_equal(pyd_privs_parse_groups("1,2,3,4", ids, 3, &count), EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(pyd_privs_parse_groups(bad[i], ids, 3, &count), EINVAL);
    assert_int_equal(count, 3);
}

static int become_other(struct pyd_spec *spec)
{
    gid_t groups[8];
    uid_t real, effective, saved;

    if (drop(spec))
        return 10;
    if (getresuid(&real, &effective, &saved) || real != NOBODY || effective != NOBODY || saved != NOBODY)
        return 11;
    if (getgid() != NOBODY || getegid() != NOBODY)
        return 12;
    if (getgroups(8, groups) != 2 || groups[0] + groups[1] != 4 + 24)
        return 13;
    if (umask(0) != 027)
        return 14;
    if (setuid(0) == 0 || seteuid(0) == 0 || setreuid(0, 0) == 0 || setgid(0) == 0)
        return 15;
    return open("/etc/shadow", O_RDONLY) >= 0 ? 16 : 0;
}

/* Needs root. */
static void test_becomes_the_user_for_ever(void **state)
{
    struct pyd_spec spec;

    (void)state;
    if (geteuid() != 0)
        skip();
    make(&spec, NOBODY, NOBODY);
    assert_int_equal(pyd_spec_assign(&spec.groups, "4,24"), 0);
    spec.umask = 027;
    assert_int_equal(in_child(become_other, &spec), 0);
    pyd_spec_done(&spec);
}

static int has_no_groups(struct pyd_spec *spec)
{
    return drop(spec) ? 1 : getgroups(0, NULL) == 0 ? 0 : 2;
}

/* Needs root. */
static void test_roots_groups_are_not_kept(void **state)
{
    struct pyd_spec spec;

    (void)state;
    if (geteuid() != 0)
        skip();
    make(&spec, NOBODY, NOBODY);
    assert_null(spec.groups);
    assert_int_equal(in_child(has_no_groups, &spec), 0);
    pyd_spec_done(&spec);
}

/* Needs root. */
static void test_never_root(void **state)
{
    static const int64_t ids[][2] = {{0, NOBODY},  {-1, NOBODY}, {NOBODY, 0},
                                     {NOBODY, -1}, {-1, -1},     {UINT32_MAX, NOBODY}};
    struct pyd_spec spec;

    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        make(&spec, ids[i][0], ids[i][1]);
        assert_int_equal(in_child(drop, &spec), 1);
        pyd_spec_done(&spec);
    }
    make(&spec, NOBODY, NOBODY);
    assert_int_equal(pyd_spec_assign(&spec.groups, "4,x"), 0);
    assert_int_equal(in_child(drop, &spec), 1);
    pyd_spec_done(&spec);
}

static int as_nobody_first(struct pyd_spec *spec)
{
    if (geteuid() == 0 &&
        (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
        return 20;
    return drop(spec);
}

static void test_rootless_httpd_has_one_user(void **state)
{
    struct pyd_spec spec;

    (void)state;
    make(&spec, 12345, 12345);
    assert_int_equal(in_child(as_nobody_first, &spec), 1);
    spec.uid = spec.gid = -1;
    assert_int_equal(in_child(as_nobody_first, &spec), 0);
    pyd_spec_done(&spec);
}

static int enter_home(struct pyd_spec *spec)
{
    char error[300] = "", cwd[300];

    if (pyd_privs_enter_home(spec, error, sizeof error))
        return strstr(error, spec->home_dir) ? 1 : 2;
    return getcwd(cwd, sizeof cwd) && strcmp(cwd, spec->home_dir ? spec->home_dir : "/") == 0 ? 0 : 3;
}

static void test_home(void **state)
{
    struct pyd_spec spec;

    (void)state;
    make(&spec, -1, -1);
    assert_int_equal(in_child(enter_home, &spec), 0);
    assert_int_equal(pyd_spec_assign(&spec.home_dir, "/usr"), 0);
    assert_int_equal(in_child(enter_home, &spec), 0);
    assert_int_equal(pyd_spec_assign(&spec.home_dir, "/nowhere/at/all"), 0);
    assert_int_equal(in_child(enter_home, &spec), 1);
    pyd_spec_done(&spec);
}

static int apply_limits(struct pyd_spec *spec)
{
    struct rlimit files, core;
    char error[300];

    if (pyd_limits_apply(spec, error, sizeof error))
        return 1;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur != 99 || files.rlim_max != 99)
        return 2;
    if (getrlimit(RLIMIT_CORE, &core) || core.rlim_cur != 0)
        return 3;
    return getpriority(PRIO_PROCESS, 0) == 7 ? 0 : 4;
}

static int keep_limits(struct pyd_spec *spec)
{
    struct rlimit before, after;
    char error[300];

    getrlimit(RLIMIT_NOFILE, &before);
    if (pyd_limits_apply(spec, error, sizeof error) || getrlimit(RLIMIT_NOFILE, &after))
        return 1;
    return before.rlim_cur == after.rlim_cur && before.rlim_max == after.rlim_max ? 0 : 2;
}

static int exceed_limits(struct pyd_spec *spec)
{
    struct rlimit files = {.rlim_cur = 50, .rlim_max = 80};
    char error[300] = "";

    if (setrlimit(RLIMIT_NOFILE, &files) || as_nobody_first(spec))
        return 20;
    if (!pyd_limits_apply(spec, error, sizeof error) || !strstr(error, "open-files"))
        return 1;
    return getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur == 80 ? 0 : 2;
}

static void test_limits(void **state)
{
    struct pyd_spec spec;

    (void)state;
    make(&spec, -1, -1);
    assert_int_equal(in_child(keep_limits, &spec), 0);
    spec.open_files = 99;
    spec.core_bytes = 0;
    assert_int_equal(in_child(exceed_limits, &spec), 0);
    spec.cpu_priority = 7;
    assert_int_equal(in_child(apply_limits, &spec), 0);
    pyd_spec_done(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_groups),
        cmocka_unit_test(test_becomes_the_user_for_ever),
        cmocka_unit_test(test_roots_groups_are_not_kept),
        cmocka_unit_test(test_never_root),
        cmocka_unit_test(test_rootless_httpd_has_one_user),
        cmocka_unit_test(test_home),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
