/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_privs.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX_ 1024

int pyd_privs_parse_groups(const char *text, gid_t *ids, size_t room, size_t *ret_count)
{
    size_t count = 0;

    while (*text) {
        unsigned long long id;
        char *end;

        if (*text < '0' || *text > '9' || count == room)
            return EINVAL;
        errno = 0;
        id = strtoull(text, &end, 10);
        /* (gid_t)-1 means "no change" to the kernel. */
        if (errno || id >= (gid_t)-1 || (*end != '\0' && *end != ',') || (*end == ',' && end[1] == '\0'))
            return EINVAL;
        ids[count++] = (gid_t)id;
        text = *end ? end + 1 : end;
    }
    *ret_count = count;
    return 0;
}

static int check(const struct pyd_spec *spec, char *error, size_t size)
{
    if (geteuid() != 0) {
        if (spec->uid >= 0 && spec->uid != (int64_t)geteuid()) {
            snprintf(error, size, "only a root httpd can start it as another user (uid %lld)", (long long)spec->uid);
            return EPERM;
        }
        return 0;
    }
    if (spec->uid <= 0 || spec->uid >= (int64_t)(uid_t)-1) {
        snprintf(error, size, "it must not run as root (uid %lld): give the group a user, or httpd a User",
                 (long long)spec->uid);
        return EPERM;
    }
    if (spec->gid <= 0 || spec->gid >= (int64_t)(gid_t)-1) {
        snprintf(error, size, "it must not run in the group of root (gid %lld): give it a group, or httpd a Group",
                 (long long)spec->gid);
        return EPERM;
    }
    return 0;
}

static int fail(const char *call, char *error, size_t size)
{
    int rv = errno ? errno : EPERM;

    snprintf(error, size, "%s failed: %s", call, strerror(rv));
    return rv;
}

static int set_ids(const struct pyd_spec *spec, char *error, size_t size)
{
    gid_t ids[GROUPS_MAX_];
    size_t count = 0;

    /* As root "keep the caller's groups" would be root's. */
    if (spec->groups && pyd_privs_parse_groups(spec->groups, ids, GROUPS_MAX_, &count)) {
        snprintf(error, size, "its supplementary groups '%s' are not a list of numbers", spec->groups);
        return EINVAL;
    }
    if (setgroups(count, ids) != 0)
        return fail("setgroups", error, size);
    if (setresgid((gid_t)spec->gid, (gid_t)spec->gid, (gid_t)spec->gid) != 0)
        return fail("setresgid", error, size);
    if (setresuid((uid_t)spec->uid, (uid_t)spec->uid, (uid_t)spec->uid) != 0)
        return fail("setresuid", error, size);
    return 0;
}

static int verify(const struct pyd_spec *spec, char *error, size_t size)
{
    uid_t real, effective, saved, wanted = (uid_t)spec->uid;
    gid_t real_group, effective_group, saved_group, wanted_group = (gid_t)spec->gid;

    if (getresuid(&real, &effective, &saved) != 0 ||
        getresgid(&real_group, &effective_group, &saved_group) != 0)
        return fail("getresuid", error, size);
    if (real != wanted || effective != wanted || saved != wanted || real_group != wanted_group ||
        effective_group != wanted_group || saved_group != wanted_group || setuid(0) == 0 || seteuid(0) == 0 ||
        setgid(0) == 0) {
        snprintf(error, size, "root could be had again after becoming uid %lld", (long long)spec->uid);
        return EPERM;
    }
    return 0;
}

int pyd_privs_drop(const struct pyd_spec *spec, char *error, size_t size)
{
    int rv = check(spec, error, size);

    if (rv)
        return rv;
    if (spec->umask >= 0)
        umask((mode_t)spec->umask);
    if (geteuid() == 0) {
        rv = set_ids(spec, error, size);
        if (!rv)
            rv = verify(spec, error, size);
    }
#ifdef PR_CAP_AMBIENT
    /* What systemd gave a rootless httpd (to bind port 80, say) is not for applications. Old kernels have none. */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
#endif
    return rv;
}

int pyd_privs_enter_home(const struct pyd_spec *spec, char *error, size_t size)
{
    const char *home = spec->home_dir ? spec->home_dir : "/";

    if (chdir(home) != 0) {
        int rv = errno;

        snprintf(error, size, "it can't enter '%s': %s", home, strerror(rv));
        return rv;
    }
    return 0;
}
