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

#include "pyd_identity.h"

static char top[64], message[5000];

static const char *in_top(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", top, name);
    return path;
}

static void make_file(const char *name, mode_t mode)
{
    FILE *file = fopen(in_top(name), "w");

    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(in_top(name), mode), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(top, sizeof(top), "/tmp/pyd_identity.XXXXXX");
    assert_non_null(mkdtemp(top));
    assert_int_equal(chmod(top, 0755), 0);
    return 0;
}

static int tear_down(void **state)
{
    char command[200];

    (void)state;
    snprintf(command, sizeof(command), "rm -r '%s'", top);
    return system(command);
}

static void test_users(void **state)
{
    struct pyd_identity identity;

    (void)state;
    assert_int_equal(pyd_identity_user("root", &identity), 0);
    assert_int_equal(identity.uid, 0);
    assert_string_equal(identity.name, "root");
    assert_int_equal(pyd_identity_user("#0", &identity), 0);
    assert_string_equal(identity.name, "root");
    /* A number needs no entry. */
    assert_int_equal(pyd_identity_user("#4123456789", &identity), 0);
    assert_true(identity.uid == 4123456789u);
    assert_string_equal(identity.name, "");
    assert_string_equal(identity.home, "");
    assert_int_equal(pyd_identity_user("no-such-user", &identity), ENOENT);
    assert_int_equal(pyd_identity_user("", &identity), ENOENT);
    assert_int_equal(pyd_identity_user("#", &identity), ENOENT);
    assert_int_equal(pyd_identity_user("#-1", &identity), ENOENT);
    assert_int_equal(pyd_identity_user("#4294967295", &identity), ENOENT);
    assert_int_equal(pyd_identity_user("#99999999999999999999999", &identity), ENOENT);
    assert_int_equal(pyd_identity_user("#1x", &identity), ENOENT);
}

static void test_groups(void **state)
{
    struct pyd_identity identity = {.gid = 5, .name = ""};
    char unknown[40] = "", text[100];
    gid_t gid = 7;

    (void)state;
    assert_int_equal(pyd_identity_group("#33", &gid), 0);
    assert_int_equal(gid, 33);
    assert_int_equal(pyd_identity_group("no-such-group", &gid), ENOENT);
    assert_int_equal(gid, 33);

    assert_int_equal(pyd_identity_supplement(&identity, "#4,#24", unknown, sizeof(unknown)), 0);
    pyd_identity_format_groups(&identity, text, sizeof(text));
    assert_string_equal(text, "4,24");
    assert_int_equal(pyd_identity_supplement(&identity, "#4,no-such-group", unknown, sizeof(unknown)), ENOENT);
    assert_string_equal(unknown, "no-such-group");
    assert_int_equal(pyd_identity_supplement(&identity, "#4,,#5", unknown, sizeof(unknown)), ENOENT);
    assert_string_equal(unknown, "");
    assert_int_equal(pyd_identity_supplement(&identity, "", unknown, sizeof(unknown)), 0);
    pyd_identity_format_groups(&identity, text, sizeof(text));
    assert_string_equal(text, "");
    /* A uid without a name has no groups of its own. */
    assert_int_equal(pyd_identity_supplement(&identity, NULL, unknown, sizeof(unknown)), 0);
    assert_int_equal(identity.group_count, 0);
    /* Root's group never comes in by itself. */
    assert_int_equal(pyd_identity_user("root", &identity), 0);
    assert_int_equal(pyd_identity_supplement(&identity, NULL, unknown, sizeof(unknown)), 0);
    for (int i = 0; i < identity.group_count; i++)
        assert_int_not_equal(identity.groups[i], 0);
}

/* What may be done, and the message if not. */
static int try_access(const struct pyd_identity *identity, const char *name, enum pyd_access access)
{
    message[0] = '\0';
    return pyd_identity_access(identity, in_top(name), access, message, sizeof(message));
}

static void test_own_access(void **state)
{
    struct pyd_identity self;

    (void)state;
    pyd_identity_self(&self);
    assert_int_equal(self.uid, geteuid());
    make_file("file", 0644);
    assert_int_equal(mkdir(in_top("directory"), 0755), 0);
    assert_int_equal(try_access(&self, "file", PYD_ACCESS_READ_FILE), 0);
    assert_int_equal(try_access(&self, "directory", PYD_ACCESS_ENTER_DIRECTORY), 0);
    assert_int_equal(try_access(&self, "directory", PYD_ACCESS_READ_FILE), EINVAL);
    assert_non_null(strstr(message, "is not a file"));
    assert_int_equal(try_access(&self, "file", PYD_ACCESS_ENTER_DIRECTORY), ENOTDIR);
    assert_non_null(strstr(message, "is not a directory"));
    assert_int_equal(try_access(&self, "a/b", PYD_ACCESS_SEARCH), ENOENT);
    assert_non_null(strstr(message, "/a/b does not exist ("));
    assert_non_null(strstr(message, top));
    /* Must not block on a FIFO. */
    assert_int_equal(mkfifo(in_top("fifo"), 0666), 0);
    assert_int_equal(try_access(&self, "fifo", PYD_ACCESS_READ_FILE), EINVAL);
}

static void assert_denied(const struct pyd_identity *identity, const char *name, enum pyd_access access,
                          const char *part)
{
    assert_int_equal(try_access(identity, name, access), EACCES);
    if (!strstr(message, part))
        fail_msg("'%s' lacks '%s'", message, part);
}

/* Needs root: to look with another user's eyes. */
static void test_another_users_access(void **state)
{
    struct pyd_identity other;

    (void)state;
    if (geteuid() != 0) {
        print_message("needs root\n");
        skip();
    }
    assert_int_equal(pyd_identity_user("#60123", &other), 0);
    other.gid = 60124;
    assert_int_equal(pyd_identity_supplement(&other, "#60125", message, sizeof(message)), 0);

    make_file("open", 0644);
    make_file("closed", 0600);
    make_file("for-group", 0640);
    assert_int_equal(chown(in_top("for-group"), 0, 60124), 0);
    make_file("for-supplement", 0640);
    assert_int_equal(chown(in_top("for-supplement"), 0, 60125), 0);
    assert_int_equal(mkdir(in_top("shut"), 0700), 0);
    make_file("shut/file", 0644);
    assert_int_equal(mkdir(in_top("list-only"), 0744), 0);
    assert_int_equal(symlink("shut/file", in_top("link")), 0);

    assert_int_equal(try_access(&other, "open", PYD_ACCESS_READ_FILE), 0);
    assert_int_equal(try_access(&other, "for-group", PYD_ACCESS_READ_FILE), 0);
    assert_int_equal(try_access(&other, "for-supplement", PYD_ACCESS_READ_FILE), 0);
    assert_denied(&other, "closed", PYD_ACCESS_READ_FILE, "/closed may not be read (r) by uid 60123");
    assert_denied(&other, "shut/file", PYD_ACCESS_READ_FILE, "/shut may not be entered (x)");
    assert_denied(&other, "shut/file", PYD_ACCESS_SEARCH, "cannot be reached by uid 60123");
    assert_denied(&other, "shut", PYD_ACCESS_ENTER_DIRECTORY, "/shut may not be entered (x) by uid 60123");
    assert_denied(&other, "list-only", PYD_ACCESS_ENTER_DIRECTORY, "may not be entered");
    /* Not the link is in the way, but what it leads through. */
    assert_denied(&other, "link", PYD_ACCESS_READ_FILE, "/link cannot be reached");
    assert_denied(&other, "link", PYD_ACCESS_READ_FILE, "/shut may not be entered (x)");

    /* The disguise is off again: root may read all of it, and has its groups. */
    pyd_identity_self(&other);
    assert_int_equal(other.uid, 0);
    assert_int_equal(try_access(&other, "shut/file", PYD_ACCESS_READ_FILE), 0);
    for (int i = 0; i < other.group_count; i++)
        assert_int_not_equal(other.groups[i], 60125);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_groups),
        cmocka_unit_test_setup_teardown(test_own_access, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_users_access, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
