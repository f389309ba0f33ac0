/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Directives: the table, the records they fill in, and PyDaemonProcess. What
 * can be judged from the text alone is judged here; the rest by pyd_check.c when
 * all of the configuration is known.
 */
#include "pyd_config.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>

static struct pyd_config_reading *reading;

struct pyd_config_reading *pyd_config_reading(void)
{
    return reading;
}

apr_array_header_t *pyd_config_groups(void)
{
    return reading->groups;
}

const char *pyd_config_worker_dir(void)
{
    return reading->worker_dir;
}

struct pyd_group *pyd_config_find_group(const char *name)
{
    for (int i = 0; i < reading->groups->nelts; i++) {
        struct pyd_group *group = APR_ARRAY_IDX(reading->groups, i, struct pyd_group *);

        if (strcmp(group->spec.name, name) == 0)
            return group;
    }
    return NULL;
}

const char *pyd_config_group_names(apr_pool_t *p)
{
    const char *names = "";

    for (int i = 0; i < reading->groups->nelts; i++)
        names = apr_pstrcat(p, names, i ? ", '" : "'",
                            APR_ARRAY_IDX(reading->groups, i, struct pyd_group *)->spec.name, "'", NULL);
    return *names ? names : "none";
}

int pyd_config_may_use(const struct pyd_group *group, const server_rec *s)
{
    if (!group->in_vhost || group->server == s)
        return 1;
    return group->server->server_hostname && s->server_hostname &&
           ap_cstr_casecmp(group->server->server_hostname, s->server_hostname) == 0;
}

struct pyd_dir_config *pyd_config_server_dir(server_rec *s)
{
    return ap_get_module_config(s->lookup_defaults, &pydaemon_module);
}

const char *pyd_config_where(cmd_parms *cmd, apr_pool_t *p)
{
    return apr_psprintf(p, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
}

void pyd_config_refer(cmd_parms *cmd, apr_array_header_t *refs, const char *name, int is_choice)
{
    struct pyd_config_ref *ref = apr_array_push(refs);
    const ap_directive_t *parent = cmd->directive->parent;

    ref->name = name;
    ref->where = apr_psprintf(cmd->pool, "%s in %s", cmd->cmd->name, pyd_config_where(cmd, cmd->temp_pool));
    ref->server = cmd->server;
    ref->is_choice = is_choice;
    ref->section = cmd->path && parent ? apr_pstrdup(cmd->pool, parent->directive) : NULL;
    ref->path = cmd->path ? apr_pstrdup(cmd->pool, cmd->path) : NULL;
    /* <DirectoryMatch …>, or the older <Directory ~ …> */
    ref->is_regex = ref->section && (ap_strstr_c(ref->section, "Match") || (parent->args && parent->args[0] == '~'));
}

char *pyd_config_path(apr_pool_t *p, const char *path)
{
    return ap_server_root_relative(p, path);
}

/* Copy to, taking backslashes off, until the quote's end. NULL: there is none. */
static const char *copy_quoted(const char *from, char **to)
{
    char quote = *from++;

    for (; *from && *from != quote; from++) {
        if (*from == '\\' && (from[1] == quote || from[1] == '\\'))
            from++;
        *(*to)++ = *from;
    }
    return *from ? from + 1 : NULL;
}

const char *pyd_config_word(apr_pool_t *p, const char **args, const char **error)
{
    const char *from = *args;
    char *word, *to, last = '=';

    while (apr_isspace(*from))
        from++;
    *args = from;
    if (!*from)
        return NULL;
    word = to = apr_palloc(p, strlen(from) + 1);
    while (*from && !apr_isspace(*from)) {
        if ((*from == '"' || *from == '\'') && last == '=') {
            const char *quote = from;

            from = copy_quoted(quote, &to);
            if (!from) {
                *error = apr_psprintf(p, "the quote that begins with %.40s is not closed", quote);
                return NULL;
            }
            last = '\0';
        } else {
            last = *to++ = *from++;
        }
    }
    *to = '\0';
    *args = from;
    return word;
}

static apr_status_t free_spec(void *spec)
{
    pyd_spec_done(spec);
    return APR_SUCCESS;
}

struct pyd_group *pyd_config_add_group(apr_pool_t *p, const char *name)
{
    struct pyd_group *group = apr_pcalloc(p, sizeof(*group));

    if (pyd_spec_init(&group->spec, name))
        return NULL;
    apr_pool_cleanup_register(p, &group->spec, free_spec, apr_pool_cleanup_null);
    APR_ARRAY_PUSH(reading->groups, struct pyd_group *) = group;
    return group;
}

static const char *option_names(apr_pool_t *p)
{
    const char *names = "";
    struct pyd_spec_row row;

    for (size_t i = 0; pyd_spec_describe(i, &row); i++)
        names = apr_pstrcat(p, names, i ? ", " : "", row.key, NULL);
    return names;
}

/* The options of a PyDaemonProcess. */
static const char *set_options(cmd_parms *cmd, struct pyd_group *group, const char *args)
{
    char *seen = apr_pcalloc(cmd->temp_pool, 256), message[600] = "";
    const char *word, *error = NULL;
    struct pyd_spec_row row;

    while ((word = pyd_config_word(cmd->temp_pool, &args, &error))) {
        int index = pyd_spec_find(word);

        if (pyd_spec_set(&group->spec, word, message, sizeof(message)))
            return apr_psprintf(cmd->pool, "PyDaemonProcess %s: %s%s%s", group->spec.name,
                                *message ? message : "out of memory", index < 0 ? " The options are: " : "",
                                index < 0 ? option_names(cmd->temp_pool) : "");
        if (index < 0 || index > 255 || !pyd_spec_describe((size_t)index, &row) || row.repeatable)
            continue;
        if (seen[index])
            return apr_psprintf(cmd->pool, "PyDaemonProcess %s: option '%s' is given twice; keep one of them (%s)",
                                group->spec.name, row.key, word);
        seen[index] = 1;
    }
    if (error)
        return apr_psprintf(cmd->pool, "PyDaemonProcess %s: %s", group->spec.name, error);
    if (pyd_spec_validate(&group->spec, message, sizeof(message)))
        return apr_psprintf(cmd->pool, "PyDaemonProcess %s: %s", group->spec.name, message);
    return NULL;
}

static int is_root(const char *text)
{
    size_t zeros = *text == '#' ? strspn(text + 1, "0") : 0;

    return strcmp(text, "root") == 0 || (zeros && !text[1 + zeros]);
}

/* Root as such. Other names of id 0 are found when users are looked up. */
static const char *refuse_root(cmd_parms *cmd, const struct pyd_spec *spec)
{
    const struct {
        const char *option, *value;
    } ids[] = {{"user", spec->user}, {"group", spec->group}};

    for (int i = 0; i < 2; i++) {
        if (ids[i].value && is_root(ids[i].value))
            return apr_psprintf(cmd->pool, "PyDaemonProcess %s: %s=%s: workers never run as root; name another %s",
                                spec->name, ids[i].option, ids[i].value, ids[i].option);
    }
    return NULL;
}

static const char *add_process(cmd_parms *cmd, void *config, const char *args)
{
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT), *name;
    struct pyd_group *group;
    char message[300];

    (void)config;
    if (error)
        return error;
    name = pyd_config_word(cmd->pool, &args, &error);
    if (error)
        return apr_psprintf(cmd->pool, "PyDaemonProcess: %s", error);
    if (!name)
        return "PyDaemonProcess needs a name: PyDaemonProcess NAME [OPTION=VALUE]...";
    if (pyd_spec_check_name(name, message, sizeof(message)))
        return apr_psprintf(cmd->pool, "PyDaemonProcess: %s", message);
    group = pyd_config_find_group(name);
    if (group)
        return apr_psprintf(cmd->pool, "PyDaemonProcess %s: a process group of this name is already defined in %s; "
                            "names are unique in the whole server", name, group->where);
    group = pyd_config_add_group(cmd->pool, name);
    if (!group)
        return "PyDaemonProcess: out of memory";
    group->where = pyd_config_where(cmd, cmd->pool);
    group->server = cmd->server;
    group->defined = 1;
    group->in_vhost = cmd->server->is_virtual != 0;
    error = set_options(cmd, group, args);
    return error ? error : refuse_root(cmd, &group->spec);
}

static const char *set_worker_dir(cmd_parms *cmd, void *config, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT), *path;

    (void)config;
    if (error)
        return error;
    path = *value ? pyd_config_path(cmd->pool, value) : NULL;
    if (!path)
        return apr_psprintf(cmd->pool, "PyDaemonWorkerDir %s: must be the directory with the pydaemon-worker-X.Y "
                            "programs", value);
    if (reading->worker_dir_where && strcmp(reading->worker_dir, path) != 0)
        return apr_psprintf(cmd->pool, "PyDaemonWorkerDir %s: it is already %s, set in %s; there is one for the whole "
                            "server", value, reading->worker_dir, reading->worker_dir_where);
    reading->worker_dir = path;
    reading->worker_dir_where = pyd_config_where(cmd, cmd->pool);
    return NULL;
}

void *pyd_config_create_server(apr_pool_t *p, server_rec *s)
{
    struct pyd_server_config *config = apr_pcalloc(p, sizeof(*config));

    (void)s;
    config->aliases = apr_array_make(p, 4, sizeof(struct pyd_alias *));
    return config;
}

void *pyd_config_merge_server(apr_pool_t *p, void *base, void *add)
{
    struct pyd_server_config *config = apr_pcalloc(p, sizeof(*config));

    config->aliases = apr_array_append(p, ((struct pyd_server_config *)add)->aliases,
                                       ((struct pyd_server_config *)base)->aliases);
    return config;
}

void *pyd_config_create_dir(apr_pool_t *p, char *dir)
{
    struct pyd_dir_config *config = apr_pcalloc(p, sizeof(*config));

    (void)dir;
    config->pass_authorization = PYD_PASS_UNSET;
    config->error_override = -1;
    return config;
}

void *pyd_config_merge_dir(apr_pool_t *p, void *base, void *add)
{
    const struct pyd_dir_config *outer = base, *inner = add;
    struct pyd_dir_config *config = apr_pmemdup(p, outer, sizeof(*outer));

    if (inner->group_name) {
        config->group_name = inner->group_name;
        config->allowed_groups = inner->allowed_groups;
        config->where = inner->where;
    }
    if (inner->callable)
        config->callable = inner->callable;
    if (inner->pass_authorization != PYD_PASS_UNSET)
        config->pass_authorization = inner->pass_authorization;
    if (inner->error_override != -1)
        config->error_override = inner->error_override;
    return config;
}

const command_rec pyd_config_commands[] = {
    AP_INIT_RAW_ARGS("PyDaemonProcess", add_process, NULL, RSRC_CONF,
                     "a name and options of a group of daemon processes: NAME [OPTION=VALUE]..."),
    AP_INIT_RAW_ARGS("PyDaemonAlias", pyd_config_add_alias, NULL, RSRC_CONF,
                     "a URL path and an application: URL SCRIPT|PACKAGE.MODULE:CALLABLE [OPTION=VALUE]..."),
    AP_INIT_RAW_ARGS("PyDaemonAliasMatch", pyd_config_add_alias_match, NULL, RSRC_CONF,
                     "a regular expression for URL paths and an application, with $1: REGEX TARGET [OPTION=VALUE]..."),
    AP_INIT_RAW_ARGS("PyDaemonProcessGroup", pyd_config_set_group, NULL, RSRC_CONF | ACCESS_CONF,
                     "the process group that applications run in: NAME, or %{ENV:VARIABLE} and the NAMEs it may have"),
    AP_INIT_TAKE1("PyDaemonCallable", pyd_config_set_callable, NULL, OR_FILEINFO,
                  "the name of the application in a script; 'application' if not set"),
    AP_INIT_TAKE1("PyDaemonPassAuthorization", pyd_config_set_pass, NULL, OR_FILEINFO,
                  "whether applications see the Authorization header: Auto, On or Off"),
    AP_INIT_TAKE1("PyDaemonErrorOverride", pyd_config_set_error_override, NULL, OR_FILEINFO,
                  "whether ErrorDocument replaces the bodies of an application's 4xx and 5xx responses: On or Off"),
    AP_INIT_TAKE1("PyDaemonWorkerDir", set_worker_dir, NULL, RSRC_CONF,
                  "the directory with the pydaemon-worker-X.Y programs"),
    {.name = NULL},
};

/* Runs before each reading of the configuration; what the last one left is gone with its pool. */
static int begin_reading(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    reading = apr_pcalloc(pconf, sizeof(*reading));
    reading->groups = apr_array_make(pconf, 4, sizeof(struct pyd_group *));
    reading->refs = apr_array_make(pconf, 4, sizeof(struct pyd_config_ref));
    reading->callables = apr_array_make(pconf, 4, sizeof(struct pyd_config_ref));
    reading->aliases = apr_array_make(pconf, 4, sizeof(struct pyd_alias *));
    reading->worker_dir = PYD_WORKER_DIR;
    return OK;
}

void pyd_config_register(apr_pool_t *p)
{
    (void)p;
    ap_hook_pre_config(begin_reading, NULL, NULL, APR_HOOK_MIDDLE);
}
