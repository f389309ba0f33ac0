/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The configuration as a whole. Group names and the like are judged always, and
 * what is wrong with them ends httpd as any syntax error does. What depends on
 * the machine is an error of configtest only: at start and reload it is a
 * warning and the group answers 503, because httpd would exit (server/main.c)
 * if a check failed during a reload.
 */
#include "pyd_check.h"

#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <stdarg.h>
#include <unistd.h>
#include <unixd.h>
#include <util_cfgtree.h>

#include "pyd_log.h"

/* Of the configuration read last, to be logged by post_config, when the error logs are open. */
static apr_array_header_t *pending;

void pyd_check_problem(struct pyd_check *check, struct pyd_group *group, enum pyd_problem_weight weight,
                       const char *format, ...)
{
    struct pyd_problem *problem = apr_array_push(check->problems);
    va_list args;

    va_start(args, format);
    problem->text = apr_pvsprintf(check->p, format, args);
    va_end(args);
    problem->group = group;
    problem->server = group ? group->server : NULL;
    problem->weight = weight;
    if (group && weight == PYD_PROBLEM_BREAKS && !group->broken)
        group->broken = problem->text;
}

/* Before the error logs are open, and for a person at a terminal, without time and pid. */
static int startup_level(int level)
{
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST ||
        ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return level | APLOG_STARTUP;
    return level;
}

static int starts_with_path(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);

    while (size && prefix[size - 1] == '/')
        size--;
    return strncmp(path, prefix, size) == 0 && (path[size] == '/' || !path[size]);
}

enum cover { COVERS_NOTHING, COVERS_ALL, COVERS_PERHAPS };

/* Whether the section that a group was named in holds for the requests of an alias. One that holds for some of its
 * URLs only (a deeper <Location>) does not change where the application belongs. */
static enum cover section_covers(const struct pyd_config_ref *ref, const struct pyd_alias *alias)
{
    if (!ref->section)
        return COVERS_NOTHING;
    if (ref->is_regex || apr_fnmatch_test(ref->path) || alias->regex)
        return COVERS_PERHAPS;
    if (ap_cstr_casecmp(ref->section, "<Directory") == 0)
        return alias->target[0] == '/' && starts_with_path(alias->target, ref->path) ? COVERS_ALL : COVERS_NOTHING;
    if (ap_cstr_casecmp(ref->section, "<Location") == 0)
        return starts_with_path(alias->url, ref->path) ? COVERS_ALL : COVERS_NOTHING;
    return COVERS_PERHAPS;
}

/*
 * What sections say for an alias of server s.
 * @param ret_name NULL: nothing
 * @return 0, or EAGAIN: it is known per request only
 */
static int section_value(const apr_array_header_t *refs, server_rec *s, const struct pyd_alias *alias,
                         const char **ret_name)
{
    const char *name = NULL;

    for (int i = 0; i < refs->nelts; i++) {
        const struct pyd_config_ref *ref = &APR_ARRAY_IDX(refs, i, struct pyd_config_ref);
        enum cover cover = ref->server == s || !ref->server->is_virtual ? section_covers(ref, alias) : COVERS_NOTHING;

        if (cover == COVERS_NOTHING)
            continue;
        /* Which of several sections wins is httpd's to merge. */
        if (cover == COVERS_PERHAPS || ref->is_choice || name)
            return EAGAIN;
        name = ref->name;
    }
    *ret_name = name;
    return 0;
}

/* The group an alias has in server s as far as that is certain; NULL: it is decided per request. */
static const char *static_group(server_rec *s, const struct pyd_alias *alias)
{
    const struct pyd_dir_config *config;
    const char *name;

    if (alias->group_name)
        return alias->group_name;
    if (section_value(pyd_config_reading()->refs, s, alias, &name))
        return NULL;
    if (name)
        return name;
    config = pyd_config_server_dir(s);
    if (!config->group_name)
        return PYD_DEFAULT_GROUP;
    return config->allowed_groups ? NULL : config->group_name;
}

/* The same for its callable. */
static const char *static_callable(server_rec *s, const struct pyd_alias *alias)
{
    const char *name;

    if (pyd_config_is_module(alias->target))
        return "";
    if (alias->callable)
        return alias->callable;
    if (section_value(pyd_config_reading()->callables, s, alias, &name))
        return NULL;
    if (!name)
        name = pyd_config_server_dir(s)->callable;
    return name ? name : PYD_DEFAULT_CALLABLE;
}

/* True if a SetHandler or AddHandler names us, in any section. */
static int handler_used(const ap_directive_t *directive)
{
    for (; directive; directive = directive->next) {
        size_t size = strlen(PYD_HANDLER);
        const char *args = directive->args ? directive->args : "";

        if ((ap_cstr_casecmp(directive->directive, "SetHandler") == 0 ||
             ap_cstr_casecmp(directive->directive, "AddHandler") == 0)) {
            args += *args == '"';
            if (ap_cstr_casecmpn(args, PYD_HANDLER, size) == 0 && !apr_isalnum(args[size]) && args[size] != '-')
                return 1;
        }
        if (handler_used(directive->first_child))
            return 1;
    }
    return 0;
}

static int default_group_used(server_rec *main_server)
{
    const struct pyd_config_reading *reading = pyd_config_reading();

    for (int i = 0; i < reading->refs->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(reading->refs, i, struct pyd_config_ref).name, PYD_DEFAULT_GROUP) == 0)
            return 1;
    }
    for (server_rec *s = main_server; s; s = s->next) {
        const struct pyd_server_config *config = ap_get_module_config(s->module_config, &pydaemon_module);

        for (int i = 0; i < config->aliases->nelts; i++) {
            const char *name = static_group(s, APR_ARRAY_IDX(config->aliases, i, struct pyd_alias *));

            if (name ? strcmp(name, PYD_DEFAULT_GROUP) == 0 : reading->groups->nelts == 0)
                return 1;
        }
    }
    return reading->groups->nelts == 0 && handler_used(ap_conftree);
}

static int add_default_group(struct pyd_check *check)
{
    struct pyd_group *group;

    if (pyd_config_find_group(PYD_DEFAULT_GROUP) || !default_group_used(check->main_server))
        return OK;
    group = pyd_config_add_group(check->p, PYD_DEFAULT_GROUP);
    if (!group)
        return HTTP_INTERNAL_SERVER_ERROR;
    group->where = "built in";
    return OK;
}

/* Every place that names a group: it exists, and is that server's to use. @return number of errors, logged */
static int check_names(struct pyd_check *check)
{
    const apr_array_header_t *refs = pyd_config_reading()->refs;
    int errors = 0;

    for (int i = 0; i < refs->nelts; i++) {
        const struct pyd_config_ref *ref = &APR_ARRAY_IDX(refs, i, struct pyd_config_ref);
        const struct pyd_group *group = pyd_config_find_group(ref->name);

        if (!group) {
            ap_log_error(APLOG_MARK, startup_level(APLOG_ERR), 0, NULL,
                         PYD_LOGNO(0001) "mod_pydaemon: %s: there is no process group '%s' (those defined: %s); "
                         "define it with PyDaemonProcess %s", ref->where, ref->name,
                         pyd_config_group_names(check->ptemp), ref->name);
            errors++;
        } else if ((ref->server->is_virtual || !ref->section) && !pyd_config_may_use(group, ref->server)) {
            ap_log_error(APLOG_MARK, startup_level(APLOG_ERR), 0, NULL,
                         PYD_LOGNO(0002) "mod_pydaemon: %s: process group '%s' is defined in %s, in a virtual "
                         "host with another ServerName (%s); define it outside of virtual hosts to use it from several",
                         ref->where, ref->name, group->where,
                         group->server->server_hostname ? group->server->server_hostname : "none");
            errors++;
        }
    }
    return errors;
}

/* As mod_alias does: an alias behind one that takes its URLs. */
static void check_order(struct pyd_check *check)
{
    const apr_array_header_t *aliases = pyd_config_reading()->aliases;

    for (int i = 0; i < aliases->nelts; i++) {
        const struct pyd_alias *late = APR_ARRAY_IDX(aliases, i, struct pyd_alias *);

        for (int k = 0; k < i && late->url; k++) {
            const struct pyd_alias *early = APR_ARRAY_IDX(aliases, k, struct pyd_alias *);

            if (early->server != late->server || !early->url || !starts_with_path(late->url, early->url))
                continue;
            pyd_check_problem(check, NULL, PYD_PROBLEM_WARNS,
                              PYD_LOGNO(0003) "mod_pydaemon: PyDaemonAlias %s in %s never gets a request, because that "
                              "of %s in %s comes first; put the longer one before it",
                              *late->url ? late->url : "/", late->where, *early->url ? early->url : "/", early->where);
            break;
        }
    }
}

/* The script of an alias: is it there, and may the workers read it? */
static void check_script(struct pyd_check *check, const struct pyd_alias *alias, struct pyd_group *group,
                         const struct pyd_identity *identity)
{
    struct pyd_identity httpd_user;
    char error[4500];

    if (pyd_identity_access(identity, alias->target, PYD_ACCESS_READ_FILE, error, sizeof(error))) {
        pyd_check_problem(check, group, PYD_PROBLEM_BREAKS,
                          PYD_LOGNO(0020) "mod_pydaemon: %s in %s, process group '%s': script %s%s",
                          alias->regex ? "PyDaemonAliasMatch" : "PyDaemonAlias", alias->where, group->spec.name, error,
                          strchr(alias->target, '/') && strstr(error, "does not exist")
                              ? "; if a module is meant, write package.module:callable" : "");
        return;
    }
    /* httpd's children look at the path for <Directory> and .htaccess, and answer 403 if they cannot. */
    if (geteuid() != 0 || pyd_identity_user(apr_psprintf(check->ptemp, "#%u", ap_unixd_config.user_id), &httpd_user))
        return;
    httpd_user.gid = ap_unixd_config.group_id;
    if (pyd_identity_supplement(&httpd_user, NULL, NULL, 0) == 0 &&
        pyd_identity_access(&httpd_user, alias->target, PYD_ACCESS_SEARCH, error, sizeof(error)))
        pyd_check_problem(check, NULL, PYD_PROBLEM_FAILS,
                          PYD_LOGNO(0021) "mod_pydaemon: %s in %s: script %s; httpd's own User must be able to reach "
                          "it, or requests get 403",
                          alias->regex ? "PyDaemonAliasMatch" : "PyDaemonAlias", alias->where, error);
}

/* What each server's aliases run in a group that is certain: loaded when its workers start. */
static void check_apps(struct pyd_check *check, struct pyd_group *group, const struct pyd_identity *identity)
{
    for (server_rec *s = check->main_server; s; s = s->next) {
        const struct pyd_server_config *config = ap_get_module_config(s->module_config, &pydaemon_module);

        for (int i = 0; i < config->aliases->nelts; i++) {
            const struct pyd_alias *alias = APR_ARRAY_IDX(config->aliases, i, struct pyd_alias *);
            const char *name = static_group(s, alias), *callable;

            if (!name || strcmp(name, group->spec.name) != 0 || !pyd_config_may_use(group, s) ||
                (alias->regex && strchr(alias->target, '$')))
                continue;
            callable = static_callable(s, alias);
            if (callable && pyd_spec_add_app(&group->spec, alias->target, callable))
                (void)pyd_check_no_memory(check, group);
            /* A vhost inherits the main server's aliases: one message is enough. */
            if (identity && alias->server == s && !pyd_config_is_module(alias->target))
                check_script(check, alias, group, identity);
        }
    }
}

static void check_machine(struct pyd_check *check)
{
    apr_array_header_t *groups = pyd_config_groups();
    struct pyd_identity *identity = apr_palloc(check->ptemp, sizeof(*identity));

    for (int i = 0; i < groups->nelts; i++) {
        struct pyd_group *group = APR_ARRAY_IDX(groups, i, struct pyd_group *);
        int rv = pyd_check_group(check, group, identity);

        check_apps(check, group, rv ? NULL : identity);
    }
    check_order(check);
}

/* The numbers are in the texts. */
static void log_problem(const struct pyd_problem *problem, int level, const server_rec *server, const char *outcome)
{
    ap_log_error(APLOG_MARK, level, 0, server, "%s%s", problem->text, outcome);
}

/* For configtest. @return number of those that make it fail */
static int report_now(const apr_array_header_t *problems)
{
    int errors = 0;

    for (int i = 0; i < problems->nelts; i++) {
        const struct pyd_problem *problem = &APR_ARRAY_IDX(problems, i, struct pyd_problem);
        int fails = problem->weight != PYD_PROBLEM_WARNS;

        log_problem(problem, startup_level(fails ? APLOG_ERR : APLOG_WARNING), NULL, "");
        errors += fails;
    }
    return errors;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    struct pyd_check check = {.p = pconf, .ptemp = ptemp, .main_server = s};
    int mode = ap_state_query(AP_SQ_RUN_MODE), errors;

    (void)plog;
    pending = check.problems = apr_array_make(pconf, 4, sizeof(struct pyd_problem));
    if (add_default_group(&check) != OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    errors = check_names(&check);
    if (mode == AP_SQ_RM_CONFIG_TEST) {
        check_machine(&check);
        errors += report_now(check.problems);
    } else if (!errors && mode == AP_SQ_RM_NORMAL && ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        /* Not in the first of the two readings at start: nothing of it stays. */
        check_machine(&check);
    }
    return errors ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

static int report_pending(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    for (int i = 0; i < pending->nelts; i++) {
        const struct pyd_problem *problem = &APR_ARRAY_IDX(pending, i, struct pyd_problem);

        log_problem(problem, APLOG_WARNING, problem->server ? problem->server : s,
                    problem->weight != PYD_PROBLEM_BREAKS ? "" :
                    apr_pstrcat(ptemp, ". Group '", problem->group->spec.name,
                                "' answers 503 until this is put right and httpd reloaded", NULL));
    }
    return OK;
}

void pyd_check_register(apr_pool_t *p)
{
    (void)p;
    /* After mod_unixd's, so that User and Group are final; httpd checks them in its own. */
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_post_config(report_pending, NULL, NULL, APR_HOOK_MIDDLE);
}
