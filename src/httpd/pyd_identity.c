/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

/* "#33" -> 33. (uid_t)-1 means "nobody in particular" to the kernel and is refused. */
static int read_number(const char *text, unsigned *ret_id)
{
    unsigned long long id;
    char *end;

    if (text[0] != '#' || text[1] < '0' || text[1] > '9')
        return ENOENT;
    errno = 0;
    id = strtoull(text + 1, &end, 10);
    if (errno || *end || id >= UINT32_MAX)
        return ENOENT;
    *ret_id = (unsigned)id;
    return 0;
}

static void take_passwd(struct pyd_identity *identity, const struct passwd *entry)
{
    identity->gid = entry->pw_gid;
    snprintf(identity->name, sizeof(identity->name), "%s", entry->pw_name);
    snprintf(identity->home, sizeof(identity->home), "%s", entry->pw_dir ? entry->pw_dir : "");
}

void pyd_identity_self(struct pyd_identity *ret_identity)
{
    const struct passwd *entry = getpwuid(geteuid());
    int count = getgroups(PYD_IDENTITY_GROUPS_MAX, ret_identity->groups);

    ret_identity->name[0] = ret_identity->home[0] = '\0';
    if (entry)
        take_passwd(ret_identity, entry);
    ret_identity->uid = geteuid();
    ret_identity->gid = getegid();
    ret_identity->group_count = count > 0 ? count : 0;
}

int pyd_identity_user(const char *text, struct pyd_identity *ret_identity)
{
    const struct passwd *entry;
    unsigned id;

    if (text[0] == '#') {
        if (read_number(text, &id))
            return ENOENT;
        entry = getpwuid(id);
    } else {
        entry = getpwnam(text);
        if (!entry)
            return ENOENT;
        id = entry->pw_uid;
    }
    memset(ret_identity, 0, sizeof(*ret_identity));
    ret_identity->gid = (gid_t)-1;
    ret_identity->uid = id;
    if (entry)
        take_passwd(ret_identity, entry);
    return 0;
}

int pyd_identity_group(const char *text, gid_t *ret_gid)
{
    const struct group *entry;
    unsigned id;

    if (text[0] == '#') {
        if (read_number(text, &id))
            return ENOENT;
        *ret_gid = id;
        return 0;
    }
    entry = getgrnam(text);
    if (!entry)
        return ENOENT;
    *ret_gid = entry->gr_gid;
    return 0;
}

static int take_own_groups(struct pyd_identity *identity)
{
    int count = PYD_IDENTITY_GROUPS_MAX, kept = 0;

    identity->group_count = 0;
    if (!identity->name[0])
        return 0;
    if (getgrouplist(identity->name, identity->gid, identity->groups, &count) < 0)
        return E2BIG;
    for (int i = 0; i < count; i++) {
        if (identity->groups[i] != 0)
            identity->groups[kept++] = identity->groups[i];
    }
    identity->group_count = kept;
    return 0;
}

int pyd_identity_supplement(struct pyd_identity *identity, const char *text, char *ret_unknown, size_t size)
{
    int count = 0;

    if (!text)
        return take_own_groups(identity);
    while (*text) {
        size_t length = strcspn(text, ",");
        char word[256];

        snprintf(word, sizeof(word), "%.*s", (int)(length < 255 ? length : 255), text);
        if (count == PYD_IDENTITY_GROUPS_MAX)
            return E2BIG;
        if (pyd_identity_group(word, &identity->groups[count])) {
            snprintf(ret_unknown, size, "%s", word);
            return ENOENT;
        }
        count++;
        text += length;
        text += *text == ',';
    }
    identity->group_count = count;
    return 0;
}

void pyd_identity_format_groups(const struct pyd_identity *identity, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < identity->group_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%u", i ? "," : "", identity->groups[i]);
}

/*
 * File system ids are what the kernel checks paths with, and taking them away from 0 takes away
 * CAP_DAC_OVERRIDE as well (capabilities(7)), so this is what a worker will see. They cannot fail to be
 * given back.
 */
struct disguise {
    int worn;
    gid_t groups[PYD_IDENTITY_GROUPS_MAX];
    int group_count;
};

static void put_on(struct disguise *disguise, const struct pyd_identity *identity)
{
    disguise->worn = geteuid() == 0 && identity->uid != 0;
    if (!disguise->worn)
        return;
    disguise->group_count = getgroups(PYD_IDENTITY_GROUPS_MAX, disguise->groups);
    /* In a container without CAP_SETGID the workers cannot have them either. */
    if (disguise->group_count >= 0 && setgroups((size_t)identity->group_count, identity->groups) != 0)
        disguise->group_count = -1;
    setfsgid(identity->gid);
    setfsuid(identity->uid);
}

static void take_off(const struct disguise *disguise)
{
    int keep = errno;

    if (!disguise->worn)
        return;
    setfsuid(geteuid());
    setfsgid(getegid());
    if (disguise->group_count >= 0 && setgroups((size_t)disguise->group_count, disguise->groups) != 0)
        abort(); /* cannot happen: they were ours a moment ago */
    errno = keep;
}

/* The longest beginning of path that can be reached. @return 1 if what stops there is a symbolic link */
static int name_component(const char *path, char *component, size_t size)
{
    struct stat info;
    size_t end = 0;

    snprintf(component, size, "/");
    while (path[end]) {
        char part[PATH_MAX];

        end += strspn(path + end, "/");
        end += strcspn(path + end, "/");
        if (end >= sizeof(part))
            return 0;
        memcpy(part, path, end);
        part[end] = '\0';
        if (stat(part, &info) != 0)
            return lstat(part, &info) == 0 && S_ISLNK(info.st_mode);
        snprintf(component, size, "%s", part);
    }
    return 0;
}

static int try_access(const char *path, enum pyd_access access, const char **ret_problem)
{
    struct stat info;
    int fd, rv = 0;

    if (stat(path, &info) != 0)
        return errno;
    if (access == PYD_ACCESS_SEARCH)
        return 0;
    if (access == PYD_ACCESS_READ_FILE && !S_ISREG(info.st_mode)) {
        *ret_problem = "is not a file";
        return EINVAL;
    }
    if (access == PYD_ACCESS_ENTER_DIRECTORY) {
        char here[PATH_MAX];

        if (!S_ISDIR(info.st_mode)) {
            *ret_problem = "is not a directory";
            return ENOTDIR;
        }
        /* access(2) goes by the real ids; reaching "." in it needs the x bit that chdir needs. */
        if (snprintf(here, sizeof(here), "%s/.", path) >= (int)sizeof(here))
            return ENAMETOOLONG;
        return stat(here, &info) == 0 ? 0 : errno;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        rv = errno;
    else
        close(fd);
    return rv;
}

int pyd_identity_access(const struct pyd_identity *identity, const char *path, enum pyd_access access, char *error,
                        size_t size)
{
    char component[PATH_MAX] = "", who[300];
    const char *problem = NULL;
    char *real = realpath(path, NULL); /* with the caller's own eyes; NULL if it leads nowhere */
    struct disguise disguise;
    int rv;

    put_on(&disguise, identity);
    rv = try_access(path, access, &problem);
    if (rv && !problem && name_component(path, component, sizeof(component)) && real)
        name_component(real, component, sizeof(component));
    take_off(&disguise);
    free(real);
    if (!rv)
        return 0;

    if (identity->name[0])
        snprintf(who, sizeof(who), "user '%s'", identity->name);
    else
        snprintf(who, sizeof(who), "uid %u", identity->uid);
    if (problem)
        snprintf(error, size, "%s %s", path, problem);
    else if (rv == EACCES && strcmp(component, path) == 0)
        snprintf(error, size, "%s may not be %s by %s", path,
                 access == PYD_ACCESS_ENTER_DIRECTORY ? "entered (x)" : "read (r)", who);
    else if (rv == EACCES)
        snprintf(error, size, "%s cannot be reached by %s: directory %s may not be entered (x)", path, who, component);
    else if (rv == ENOENT)
        snprintf(error, size, "%s does not exist (%s does)", path, component);
    else
        snprintf(error, size, "%s: %s", path, strerror(rv));
    return rv;
}
