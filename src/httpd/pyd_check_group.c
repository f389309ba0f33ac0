/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One process group on this machine: users, directories, Python. What is found
 * goes into the dotted fields of its spec; what cannot work is a problem.
 * Nothing is run and nothing waited for: a reload comes through here.
 */
#include "pyd_check.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_main.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unixd.h>

#include "pyd_cpus.h"
#include "pyd_log.h"
#include "pyd_python_find.h"

const char *pyd_check_place(const struct pyd_check *check, const struct pyd_group *group)
{
    if (!group->defined)
        return apr_psprintf(check->ptemp, "process group '%s' (built in)", group->spec.name);
    return apr_psprintf(check->ptemp, "PyDaemonProcess %s in %s", group->spec.name, group->where);
}

/* A problem that leaves the group broken. @return EINVAL */
#define BREAK(check, group, number, format, ...)                                                                       \
    (pyd_check_problem(check, group, PYD_PROBLEM_BREAKS, number "mod_pydaemon: %s: " format,                           \
                       pyd_check_place(check, group), ##__VA_ARGS__),                                                  \
     EINVAL)

int pyd_check_no_memory(struct pyd_check *check, struct pyd_group *group)
{
    return BREAK(check, group, PYD_LOGNO(0028), "out of memory");
}

static int find_user(struct pyd_check *check, struct pyd_group *group, const char *text, struct pyd_identity *identity)
{
    if (pyd_identity_user(text, identity))
        return BREAK(check, group, PYD_LOGNO(0010), "user=%s: there is no such user; create it or name another", text);
    return 0;
}

static int find_group(struct pyd_check *check, struct pyd_group *group, const char *text, gid_t *ret_gid)
{
    if (pyd_identity_group(text, ret_gid))
        return BREAK(check, group, PYD_LOGNO(0013), "group=%s: there is no such group; create it or name another",
                     text);
    return 0;
}

static int refuse_root(struct pyd_check *check, struct pyd_group *group, const char *option, const char *text)
{
    return BREAK(check, group, PYD_LOGNO(0011), "%s=%s is root, and workers never run as root; name another %s", option,
                 text ? text : "httpd's own", option);
}

static int refuse_change(struct pyd_check *check, struct pyd_group *group, const char *option, const char *text)
{
    return BREAK(check, group, PYD_LOGNO(0012), "%s=%s: httpd does not run as root, so its workers are who it is "
                 "(uid %u, gid %u); leave it out, or start httpd as root", option, text, geteuid(), getegid());
}

/* httpd is not root: workers are who it is, whatever else is asked for. */
static int resolve_self(struct pyd_check *check, struct pyd_group *group, struct pyd_identity *identity)
{
    const struct pyd_spec *spec = &group->spec;
    struct pyd_identity other;
    gid_t gid;

    pyd_identity_self(identity);
    identity->home[0] = '\0';
    if (spec->user) {
        if (find_user(check, group, spec->user, &other))
            return EINVAL;
        if (other.uid != identity->uid)
            return refuse_change(check, group, "user", spec->user);
    }
    if (spec->group) {
        if (find_group(check, group, spec->group, &gid))
            return EINVAL;
        if (gid != identity->gid)
            return refuse_change(check, group, "group", spec->group);
    }
    if (spec->supplementary_groups && *spec->supplementary_groups)
        return refuse_change(check, group, "supplementary-groups", spec->supplementary_groups);
    return 0;
}

static int resolve_user(struct pyd_check *check, struct pyd_group *group, struct pyd_identity *identity)
{
    const struct pyd_spec *spec = &group->spec;
    int rv;

    if (spec->user)
        rv = find_user(check, group, spec->user, identity);
    else
        rv = find_user(check, group, apr_psprintf(check->ptemp, "#%u", ap_unixd_config.user_id), identity);
    if (!rv && identity->uid == 0)
        rv = refuse_root(check, group, "user", spec->user);
    return rv;
}

static int resolve_group(struct pyd_check *check, struct pyd_group *group, struct pyd_identity *identity)
{
    const struct pyd_spec *spec = &group->spec;
    int rv;

    if (spec->group)
        rv = find_group(check, group, spec->group, &identity->gid);
    else
        rv = find_group(check, group, apr_psprintf(check->ptemp, "#%u", ap_unixd_config.group_id), &identity->gid);
    if (!rv && identity->gid == 0)
        rv = refuse_root(check, group, "group", spec->group);
    return rv;
}

static int resolve_supplement(struct pyd_check *check, struct pyd_group *group, struct pyd_identity *identity)
{
    const char *text = group->spec.supplementary_groups;
    char unknown[256] = "";
    int rv = pyd_identity_supplement(identity, text, unknown, sizeof(unknown));

    if (rv == ENOENT)
        return BREAK(check, group, PYD_LOGNO(0014), "supplementary-groups=%s: there is no group '%s'", text, unknown);
    if (rv)
        return BREAK(check, group, PYD_LOGNO(0024), "there are more than %d supplementary groups; list those that it "
                     "needs in supplementary-groups=", PYD_IDENTITY_GROUPS_MAX);
    for (int i = 0; i < identity->group_count; i++) {
        if (identity->groups[i] == 0)
            return refuse_root(check, group, "supplementary-groups", text);
    }
    return 0;
}

static const char *resolve_path(struct pyd_check *check, struct pyd_group *group, const char *option, const char *text)
{
    const char *path = pyd_config_path(check->ptemp, text);

    if (!path)
        (void)BREAK(check, group, PYD_LOGNO(0023), "%s=%s is not a path", option, text);
    return path;
}

static int store_identity(struct pyd_spec *spec, const struct pyd_identity *identity)
{
    char ids[PYD_IDENTITY_GROUPS_MAX * 11 + 1];

    spec->uid = spec->gid = -1;
    if (pyd_spec_assign(&spec->user_name, identity->name[0] ? identity->name : NULL))
        return ENOMEM;
    if (geteuid() != 0)
        return pyd_spec_assign(&spec->groups, NULL);
    spec->uid = identity->uid;
    spec->gid = identity->gid;
    pyd_identity_format_groups(identity, ids, sizeof(ids));
    return pyd_spec_assign(&spec->groups, ids);
}

static int check_home(struct pyd_check *check, struct pyd_group *group, const struct pyd_identity *identity)
{
    struct pyd_spec *spec = &group->spec;
    const char *path = identity->home;
    char error[4500];

    if (spec->home) {
        path = resolve_path(check, group, "home", spec->home);
        if (!path)
            return EINVAL;
        if (pyd_identity_access(identity, path, PYD_ACCESS_ENTER_DIRECTORY, error, sizeof(error)))
            return BREAK(check, group, PYD_LOGNO(0015), "home=%s: %s", spec->home, error);
        return pyd_spec_assign(&spec->home_dir, path);
    }
    /* A system user often has a home that does not exist, and httpd's own is the web space: neither is one. */
    if (identity->uid == ap_unixd_config.user_id || path[0] != '/' ||
        pyd_identity_access(identity, path, PYD_ACCESS_ENTER_DIRECTORY, error, sizeof(error)))
        path = NULL;
    return pyd_spec_assign(&spec->home_dir, path);
}

static int check_worker(struct pyd_check *check, struct pyd_group *group, const char *version)
{
    const char *dir = pyd_config_worker_dir();
    struct stat info;
    char found[200];

    group->worker_path = apr_pstrcat(check->p, dir, "/pydaemon-worker-", version, NULL);
    if (stat(group->worker_path, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111))
        return 0;
    pyd_python_workers(dir, found, sizeof(found));
    return BREAK(check, group, PYD_LOGNO(0017), "there is no worker program for Python %s, %s; those in that "
                 "directory are for: %s. Build it with configure --with-python=, or see PyDaemonWorkerDir",
                 version, group->worker_path, found);
}

static int check_python(struct pyd_check *check, struct pyd_group *group, const struct pyd_identity *identity)
{
    struct pyd_spec *spec = &group->spec;
    struct pyd_python python;
    char error[4500];
    const char *path;

    if (!spec->python)
        return check_worker(check, group, PYD_DEFAULT_PYTHON);
    path = resolve_path(check, group, "python", spec->python);
    if (!path)
        return EINVAL;
    if (pyd_python_find(path, &python, error, sizeof(error)))
        return BREAK(check, group, PYD_LOGNO(0016), "python=%s: %s", spec->python, error);
    if (pyd_identity_access(identity, python.executable, PYD_ACCESS_READ_FILE, error, sizeof(error)))
        return BREAK(check, group, PYD_LOGNO(0026), "python=%s: %s", spec->python, error);
    if (pyd_spec_assign(&spec->python_executable, python.executable))
        return ENOMEM;
    return check_worker(check, group, python.version);
}

static int check_env_file(struct pyd_check *check, struct pyd_group *group)
{
    struct pyd_spec *spec = &group->spec;
    struct pyd_identity self;
    char error[4500];
    const char *path;

    if (!spec->env_file)
        return 0;
    path = resolve_path(check, group, "env-file", spec->env_file);
    if (!path)
        return EINVAL;
    /* The manager reads it, before it becomes the group's user: secrets need not be that user's to read. */
    pyd_identity_self(&self);
    if (pyd_identity_access(&self, path, PYD_ACCESS_READ_FILE, error, sizeof(error)))
        return BREAK(check, group, PYD_LOGNO(0018), "env-file=%s: %s", spec->env_file, error);
    return pyd_spec_assign(&spec->env_file, path);
}

/* A missing one does no more harm than in PYTHONPATH, but is hardly meant. */
static int check_python_path(struct pyd_check *check, struct pyd_group *group, const struct pyd_identity *identity)
{
    struct pyd_strings *list = &group->spec.python_path;
    char error[4500];

    for (size_t i = 0; i < list->count; i++) {
        const char *path = resolve_path(check, group, "python-path", list->items[i]);

        if (!path)
            return EINVAL;
        if (pyd_identity_access(identity, path, PYD_ACCESS_ENTER_DIRECTORY, error, sizeof(error)))
            pyd_check_problem(check, group, PYD_PROBLEM_FAILS, PYD_LOGNO(0019) "mod_pydaemon: %s: python-path=%s: %s",
                              pyd_check_place(check, group), list->items[i], error);
        if (pyd_spec_assign(&list->items[i], path))
            return ENOMEM;
    }
    return 0;
}

static int check_numbers(struct pyd_check *check, struct pyd_group *group)
{
    char error[300];

    if (group->spec.processes == 0)
        pyd_spec_resolve_auto(&group->spec, pyd_cpus_available());
    if (pyd_spec_validate(&group->spec, error, sizeof(error)))
        return BREAK(check, group, PYD_LOGNO(0022), "%s", error);
    return pyd_spec_assign(&group->spec.server_root, ap_server_root);
}

int pyd_check_group(struct pyd_check *check, struct pyd_group *group, struct pyd_identity *ret_identity)
{
    int rv;

    rv = check_numbers(check, group);
    if (rv)
        goto leave;
    if (geteuid() == 0) {
        rv = resolve_user(check, group, ret_identity);
        if (!rv)
            rv = resolve_group(check, group, ret_identity);
        if (!rv)
            rv = resolve_supplement(check, group, ret_identity);
    } else {
        rv = resolve_self(check, group, ret_identity);
    }
    if (rv)
        goto leave;
    rv = store_identity(&group->spec, ret_identity);
    if (rv)
        goto leave;
    /* Independent of each other: report all of them. */
    if (check_home(check, group, ret_identity) == ENOMEM || check_python(check, group, ret_identity) == ENOMEM ||
        check_env_file(check, group) == ENOMEM || check_python_path(check, group, ret_identity) == ENOMEM)
        rv = ENOMEM;

leave:
    if (rv == ENOMEM)
        rv = pyd_check_no_memory(check, group);
    return rv;
}
