/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
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

#include "pyd_python_find.h"

static char top[64];

static const char *in_top(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", top, name);
    return path;
}

/* A file with its directories. */
static void make_file(const char *name, const char *content, mode_t mode)
{
    char path[PATH_MAX];
    FILE *file;

    snprintf(path, sizeof(path), "%s", in_top(name));
    for (char *slash = strchr(path + strlen(top) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void make_link(const char *target, const char *name)
{
    assert_int_equal(symlink(target, in_top(name)), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(top, sizeof(top), "/tmp/pyd_python_find.XXXXXX");
    assert_non_null(mkdtemp(top));
    return 0;
}

static int tear_down(void **state)
{
    char command[200];

    (void)state;
    snprintf(command, sizeof(command), "rm -r '%s'", top);
    return system(command);
}

static void assert_found(const char *path, const char *version, const char *executable)
{
    struct pyd_python python;
    char error[5000] = "";

    if (pyd_python_find(in_top(path), &python, error, sizeof(error)))
        fail_msg("%s: %s", path, error);
    assert_string_equal(python.version, version);
    assert_string_equal(python.executable, in_top(executable));
}

static void assert_refused(const char *path, const char *message_part)
{
    struct pyd_python python = {"untouched", ""};
    char error[5000] = "";

    if (pyd_python_find(in_top(path), &python, error, sizeof(error)) != EINVAL)
        fail_msg("%s was taken for %s", path, python.version);
    if (!strstr(error, message_part))
        fail_msg("%s: '%s' lacks '%s'", path, error, message_part);
    assert_string_equal(python.version, "untouched");
}

#define ELF "\x7f" "ELF"

static void test_interpreter(void **state)
{
    (void)state;
    make_file("usr/bin/python3.13", ELF, 0755);
    make_link("python3.13", "usr/bin/python3");
    make_link("python3", "usr/bin/python");
    assert_found("usr/bin/python3.13", "3.13", "usr/bin/python3.13");
    assert_found("usr/bin/python3", "3.13", "usr/bin/python3");
    assert_found("usr/bin/python", "3.13", "usr/bin/python");
    assert_found("usr", "3.13", "usr/bin/python3");
    assert_found("usr/", "3.13", "usr/bin/python3");
    make_file("usr/bin/python3.14t", ELF, 0755);
    assert_found("usr/bin/python3.14t", "3.14t", "usr/bin/python3.14t");
}

static void test_links_that_leave_the_directory(void **state)
{
    (void)state;
    make_file("opt/py/bin/python3.10", ELF, 0755);
    make_file("alt/keep", "", 0644);
    make_link("../opt/py/bin/python3.10", "alt/relative");
    make_link(in_top("opt/py/bin/python3.10"), "alt/absolute");
    assert_found("alt/relative", "3.10", "alt/relative");
    assert_found("alt/absolute", "3.10", "alt/absolute");
    make_link("loop", "alt/loop");
    assert_refused("alt/loop", "Too many levels");
}

static void test_virtual_environment(void **state)
{
    (void)state;
    make_file("base/bin/python3.12", ELF, 0755);
    make_file("venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.1\n", 0644);
    make_file("venv/bin/keep", "", 0644);
    make_link(in_top("base/bin/python3.12"), "venv/bin/python");
    make_link("python", "venv/bin/python3");
    assert_found("venv", "3.12", "venv/bin/python3");
    assert_found("venv/bin/python", "3.12", "venv/bin/python");

    /* As virtualenv writes it, without blanks, and CRLF; a copy instead of a link. */
    make_file("venv2/pyvenv.cfg", "implementation=CPython\r\nversion_info=3.9.18.final.0\r\n", 0644);
    make_file("venv2/bin/python3", ELF, 0755);
    assert_found("venv2", "3.9", "venv2/bin/python3");

    /* Without a version: by the link. */
    make_file("venv3/pyvenv.cfg", "home = /usr/bin\n", 0644);
    make_file("venv3/bin/keep", "", 0644);
    make_link(in_top("base/bin/python3.12"), "venv3/bin/python3");
    assert_found("venv3", "3.12", "venv3/bin/python3");
}

static void test_installation_by_its_library(void **state)
{
    (void)state;
    make_file("own/bin/python3", ELF, 0755);
    make_file("own/lib/python3.11/os.py", "", 0644);
    assert_found("own", "3.11", "own/bin/python3");
    make_file("own/lib/python3.12/os.py", "", 0644);
    assert_refused("own", "cannot be told");
}

static void test_what_is_no_python(void **state)
{
    (void)state;
    assert_refused("nothing", "No such file");
    make_file("shims/python", "#!/usr/bin/env bash\nexec pyenv\n", 0755);
    assert_refused("shims/python", "is a script that begins '#!/usr/bin/env bash'");
    make_file("empty/keep", "", 0644);
    assert_refused("empty", "has no bin/python3");
    make_file("plain/python3.11", ELF, 0644);
    assert_refused("plain/python3.11", "not an executable file");
    make_file("named/bin/snake", ELF, 0755);
    assert_refused("named/bin/snake", "cannot be told");
    make_file("named/bin/python3.11.bak", ELF, 0755);
    assert_refused("named/bin/python3.11.bak", "cannot be told");
    make_file("named/bin/pythonX", ELF, 0755);
    assert_refused("named/bin/pythonX", "cannot be told");
    make_file("gone/pyvenv.cfg", "version = 3.11.2\n", 0644);
    make_file("gone/bin/keep", "", 0644);
    make_link("/nowhere/python3.11", "gone/bin/python3");
    assert_refused("gone", "may have been removed");
}

static void test_unsupported_versions(void **state)
{
    (void)state;
    make_file("old/bin/python3.8", ELF, 0755);
    assert_refused("old/bin/python3.8", "is Python 3.8; 3.9 or newer is needed");
    make_file("old/bin/python2.7", ELF, 0755);
    assert_refused("old/bin/python2.7", "is Python 2.7");
    make_file("old/venv/pyvenv.cfg", "version = 3.6.9\n", 0644);
    make_file("old/venv/bin/python3", ELF, 0755);
    assert_refused("old/venv", "is Python 3.6");
    make_file("odd/pyvenv.cfg", "version = 99999999999.1\n", 0644);
    make_file("odd/bin/python3", ELF, 0755);
    assert_refused("odd", "cannot be told");
}

static void test_workers(void **state)
{
    char text[100], small[12];

    (void)state;
    pyd_python_workers(in_top("nowhere"), text, sizeof(text));
    assert_string_equal(text, "none");
    make_file("libexec/pydaemon-worker-3.13", ELF, 0755);
    make_file("libexec/pydaemon-worker-3.9", ELF, 0755);
    make_file("libexec/else", ELF, 0755);
    pyd_python_workers(in_top("libexec"), text, sizeof(text));
    assert_string_equal(text, "3.9, 3.13");
    pyd_python_workers(in_top("libexec"), small, 8);
    assert_true(strlen(small) < 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_interpreter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_that_leave_the_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_virtual_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_installation_by_its_library, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_python, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unsupported_versions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_workers, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
