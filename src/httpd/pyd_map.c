/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From a request to what it runs: PyDaemonAlias in translate_name, SetHandler
 * and AddHandler through the file httpd found; then the group and the settings
 * that hold for it.
 */
#include "pyd_config.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_request.h>
#include <util_script.h>

#include "pyd_log.h"

#define ENV_PREFIX "%{ENV:"
#define ENV_PREFIX_SIZE (sizeof(ENV_PREFIX) - 1)

/* The file name of a module target: nothing can be there, and <Directory "/"> holds for it, which by httpd's default
 * configuration denies everything. */
#define MODULE_FILENAME "/pydaemon:"

/* What an alias matched; in r->request_config. */
struct match {
    const struct pyd_alias *alias;
    const char *target;
    const char *filename; /* what r->filename was set to */
    const char *script_name, *path_info;
    int is_no_file; /* something else is there, which keep_handler has hidden from the rest of httpd */
};

static struct match *match_of(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &pydaemon_module);
}

/*
 * Length of the beginning of uri that the alias takes, or -1. A slash matches several (MergeSlashes Off), as in
 * mod_alias; a segment matches as a whole.
 */
static int match_prefix(const char *uri, const char *url)
{
    const char *at = uri;

    while (*url) {
        if (*url == '/') {
            if (*at != '/')
                return -1;
            while (*at == '/')
                at++;
            url++;
        } else if (*at++ != *url++) {
            return -1;
        }
    }
    return *at == '/' || !*at ? (int)(at - uri) : -1;
}

/* $1 may bring in whatever a client writes: no way up, no hidden end. */
static int is_safe_target(const char *target)
{
    const char *segment = target;

    if (pyd_config_is_module(target))
        return 1;
    if (target[0] != '/')
        return 0;
    while ((segment = strchr(segment, '/'))) {
        segment++;
        if (segment[0] == '.' && (segment[1] == '/' || !segment[1] ||
                                  (segment[1] == '.' && (segment[2] == '/' || !segment[2]))))
            return 0;
    }
    return 1;
}

/* @return bytes of the URI that the expression takes from its start, up to the end of a segment, or -1 */
static int match_regex(request_rec *r, const struct pyd_alias *alias, const char **ret_target)
{
    ap_regmatch_t matches[AP_MAX_REG_MATCH];
    const char *target;
    int end;

    if (ap_regexec(alias->regex, r->uri, AP_MAX_REG_MATCH, matches, 0))
        return -1;
    end = matches[0].rm_eo;
    while (end > 0 && r->uri[end - 1] == '/')
        end--;
    if (r->uri[end] && r->uri[end] != '/')
        return -1;
    target = ap_pregsub(r->pool, alias->target, r->uri, AP_MAX_REG_MATCH, matches);
    if (!target || !is_safe_target(target)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0035) "mod_pydaemon: PyDaemonAliasMatch in %s: target '%s' from URL %s is no script "
                      "file or module; not found", alias->where, target ? target : alias->target, r->uri);
        target = "";
    }
    *ret_target = target;
    return end;
}

static int match_alias(request_rec *r, const struct pyd_alias *alias, struct match *match)
{
    int end;

    match->target = alias->target;
    if (alias->regex) {
        end = match_regex(r, alias, &match->target);
        if (end < 0)
            return 0;
        match->script_name = apr_pstrmemdup(r->pool, r->uri, (apr_size_t)end);
    } else {
        end = match_prefix(r->uri, alias->url);
        if (end < 0)
            return 0;
        match->script_name = alias->url;
    }
    match->alias = alias;
    match->path_info = r->uri + end;
    return 1;
}

static int translate(request_rec *r)
{
    const struct pyd_server_config *config = ap_get_module_config(r->server->module_config, &pydaemon_module);
    struct match match = {0};

    if (r->proxyreq || !r->uri || r->uri[0] != '/')
        return DECLINED;
    for (int i = 0; i < config->aliases->nelts; i++) {
        if (!match_alias(r, APR_ARRAY_IDX(config->aliases, i, struct pyd_alias *), &match))
            continue;
        if (!*match.target)
            return HTTP_NOT_FOUND;
        /* r->uri may be rewritten later (mod_rewrite in a directory), so keep a copy. */
        match.path_info = apr_pstrdup(r->pool, match.path_info);
        match.filename = match.target[0] == '/' ? match.target
                                                : apr_pstrcat(r->pool, MODULE_FILENAME, match.target, NULL);
        ap_set_module_config(r->request_config, &pydaemon_module, apr_pmemdup(r->pool, &match, sizeof(match)));
        r->filename = apr_pstrdup(r->pool, match.filename);
        r->path_info = apr_pstrdup(r->pool, match.path_info);
        r->handler = PYD_HANDLER;
        return OK;
    }
    return DECLINED;
}

/* httpd has walked the directories: a script must have turned out to be a file. */
static int check_file(request_rec *r, const struct match *match)
{
    if (match && match->target[0] != '/')
        return OK;
    if (r->finfo.filetype == APR_REG && r->filename && (!match || strcmp(r->filename, match->filename) == 0))
        return OK;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, PYD_LOGNO(0034) "mod_pydaemon: script %s %s",
                  match ? match->target : r->filename ? r->filename : r->uri,
                  r->finfo.filetype == APR_NOFILE && !(match && match->is_no_file) ? "does not exist"
                                                                                   : "is not a file");
    return HTTP_NOT_FOUND;
}

/*
 * Before mod_mime's, which would give a script in .py or .cgi to another handler. SetHandler of a section still wins:
 * it comes in at the fixups (core_override_type in server/core.c). A target that is a directory is hidden here from
 * mod_dir and others, which would take the request into it; pyd_map_resolve() answers.
 */
static int keep_handler(request_rec *r)
{
    struct match *match = match_of(r);

    if (!match || !r->handler || strcmp(r->handler, PYD_HANDLER) != 0)
        return DECLINED;
    if (match->target[0] == '/' && r->finfo.filetype != APR_NOFILE && r->finfo.filetype != APR_REG) {
        match->is_no_file = 1;
        r->finfo.filetype = APR_NOFILE;
    }
    return OK;
}

static int is_allowed(const apr_array_header_t *allowed, const char *name)
{
    for (int i = 0; i < allowed->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(allowed, i, const char *), name) == 0)
            return 1;
    }
    return 0;
}

/* The group that %{ENV:variable} means now, or NULL after having logged why. */
static const char *group_of_variable(request_rec *r, const struct pyd_dir_config *config)
{
    const char *variable = apr_pstrmemdup(r->pool, config->group_name + ENV_PREFIX_SIZE,
                                          strlen(config->group_name) - ENV_PREFIX_SIZE - 1);
    const char *name = apr_table_get(r->subprocess_env, variable);

    if (!name) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0030) "mod_pydaemon: PyDaemonProcessGroup %s in %s: the variable is not set for this "
                      "request", config->group_name, config->where);
        return NULL;
    }
    if (!is_allowed(config->allowed_groups, name)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0031) "mod_pydaemon: PyDaemonProcessGroup %s in %s: '%s' is none of the groups listed "
                      "after it", config->group_name, config->where, name);
        return NULL;
    }
    return name;
}

static struct pyd_group *find_group(request_rec *r, const struct pyd_alias *alias, const struct pyd_dir_config *config)
{
    const char *name = PYD_DEFAULT_GROUP;
    struct pyd_group *group;

    if (alias && alias->group_name)
        name = alias->group_name;
    else if (config->group_name)
        name = config->allowed_groups ? group_of_variable(r, config) : config->group_name;
    if (!name)
        return NULL;
    group = pyd_config_find_group(name);
    if (!group) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0032) "mod_pydaemon: there is no process group '%s' (those defined: %s); set one with "
                      "PyDaemonProcessGroup, or define it with PyDaemonProcess %s",
                      name, pyd_config_group_names(r->pool), name);
        return NULL;
    }
    if (!pyd_config_may_use(group, r->server)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0033) "mod_pydaemon: process group '%s' is defined in %s, in a virtual host with "
                      "another ServerName, and cannot be used from this one", name, group->where);
        return NULL;
    }
    return group;
}

int pyd_map_resolve(request_rec *r, struct pyd_mount *ret_mount)
{
    const struct match *match = match_of(r);
    const struct pyd_alias *alias = match ? match->alias : NULL;
    const struct pyd_dir_config *config = ap_get_module_config(r->per_dir_config, &pydaemon_module);
    int rv;

    if (!r->handler || strcmp(r->handler, PYD_HANDLER) != 0)
        return DECLINED;
    ret_mount->group = find_group(r, alias, config);
    if (!ret_mount->group)
        return HTTP_INTERNAL_SERVER_ERROR;
    /* A script that was missing when the configuration was read: its group is broken, and answers 503. */
    rv = alias && !alias->regex && ret_mount->group->broken ? OK : check_file(r, match);
    if (rv != OK)
        return rv;
    ret_mount->target = match ? match->target : r->filename;
    ret_mount->callable = PYD_DEFAULT_CALLABLE;
    if (ret_mount->target[0] != '/')
        ret_mount->callable = "";
    else if (alias && alias->callable)
        ret_mount->callable = alias->callable;
    else if (config->callable)
        ret_mount->callable = config->callable;
    ret_mount->pass_authorization = PYD_PASS_AUTO;
    if (alias && alias->pass_authorization != PYD_PASS_UNSET)
        ret_mount->pass_authorization = alias->pass_authorization;
    else if (config->pass_authorization != PYD_PASS_UNSET)
        ret_mount->pass_authorization = config->pass_authorization;
    ret_mount->error_override = config->error_override == 1;
    return OK;
}

void pyd_map_names(request_rec *r, const char **ret_script_name, const char **ret_path_info)
{
    const struct match *match = match_of(r);
    const char *path_info = r->path_info ? r->path_info : "";
    size_t uri_size, info_size;

    if (match) {
        *ret_script_name = match->script_name;
        *ret_path_info = match->path_info;
        return;
    }
    *ret_path_info = path_info;
    uri_size = strlen(r->uri);
    info_size = strlen(path_info);
    if (info_size <= uri_size && strcmp(r->uri + uri_size - info_size, path_info) == 0)
        uri_size -= info_size;
    else /* slashes were merged between URL and file name */
        uri_size = (size_t)ap_find_path_info(r->uri, path_info);
    *ret_script_name = apr_pstrmemdup(r->pool, r->uri, uri_size);
}

void pyd_map_register(apr_pool_t *p)
{
    /* Alias, Redirect and ScriptAlias win whatever the order in the file: static files below an application. */
    static const char *const EARLIER[] = {"mod_alias.c", NULL};
    static const char *const LATER[] = {"mod_userdir.c", "mod_vhost_alias.c", NULL};
    static const char *const LATER_TYPES[] = {"mod_mime.c", "mod_mime_magic.c", NULL};

    (void)p;
    ap_hook_translate_name(translate, EARLIER, LATER, APR_HOOK_MIDDLE);
    ap_hook_type_checker(keep_handler, NULL, LATER_TYPES, APR_HOOK_FIRST);
}
