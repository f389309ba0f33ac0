/* SPDX-License-Identifier: Apache-2.0 */

/* PyDaemonAlias and PyDaemonAliasMatch. */
#include "pyd_config.h"

#include <apr_strings.h>
#include <http_core.h>

/* "/a//b/" -> "/a/b", "/" -> "": what SCRIPT_NAME will be. */
static const char *normal_url(apr_pool_t *p, const char *url)
{
    char *result = apr_palloc(p, strlen(url) + 1), *to = result;

    for (; *url; url++) {
        if (*url != '/' || to == result || to[-1] != '/')
            *to++ = *url;
    }
    while (to > result && to[-1] == '/')
        to--;
    *to = '\0';
    return result;
}

static const char *set_option(cmd_parms *cmd, struct pyd_alias *alias, const char *word)
{
    const char *value = strchr(word, '='), *error;
    size_t size = value ? (size_t)(value++ - word) : 0;
    char message[300];

    if (size == strlen("group") && strncmp(word, "group", size) == 0) {
        if (value[0] == '%')
            return apr_psprintf(cmd->pool, "%s: a group from a variable is set by PyDaemonProcessGroup %s NAME...",
                                word, value);
        if (pyd_spec_check_name(value, message, sizeof(message)))
            return apr_pstrdup(cmd->pool, message);
        alias->group_name = value;
        pyd_config_refer(cmd, pyd_config_reading()->refs, value, 0);
        return NULL;
    }
    if (size == strlen("callable") && strncmp(word, "callable", size) == 0) {
        error = pyd_config_check_callable(cmd->pool, value);
        alias->callable = value;
        return error;
    }
    if (size == strlen("pass-authorization") && strncmp(word, "pass-authorization", size) == 0) {
        if (pyd_config_read_pass(value, &alias->pass_authorization))
            return apr_psprintf(cmd->pool, "%s: must be Auto, On or Off", word);
        return NULL;
    }
    return apr_psprintf(cmd->pool, "'%s' is not an option; there are group=NAME, callable=NAME and "
                        "pass-authorization=Auto|On|Off", word);
}

/* A target with $1 in it can be judged only when it is known. */
static const char *set_target(cmd_parms *cmd, struct pyd_alias *alias, const char *target)
{
    const char *path;

    alias->target = target;
    if (alias->callable && pyd_config_is_module(target))
        return apr_psprintf(cmd->pool, "callable=%s: target %s already says it, after the colon", alias->callable,
                            target);
    if (pyd_config_is_module(target))
        return NULL;
    if (strchr(target, ':') && !strchr(target, '/') && alias->regex && strchr(target, '$'))
        return NULL;
    if (strchr(target, ':') && !strchr(target, '/'))
        return apr_psprintf(cmd->pool, "target %s: must be package.module:callable, in Python names, or a script file",
                            target);
    path = *target ? pyd_config_path(cmd->pool, target) : NULL;
    if (!path)
        return apr_psprintf(cmd->pool, "target '%s': must be a script file or package.module:callable", target);
    alias->target = path;
    return NULL;
}

static const char *set_url(cmd_parms *cmd, struct pyd_alias *alias, const char *url, int is_regex)
{
    if (is_regex) {
        alias->regex = ap_pregcomp(cmd->pool, url, AP_REG_EXTENDED);
        return alias->regex ? NULL : apr_psprintf(cmd->pool, "'%s' is not a regular expression", url);
    }
    if (url[0] != '/')
        return apr_psprintf(cmd->pool, "'%s' is not a URL path; it must begin with '/'", url);
    alias->url = normal_url(cmd->pool, url);
    return NULL;
}

static const char *read_alias(cmd_parms *cmd, struct pyd_alias *alias, const char *args, int is_regex)
{
    const char *error = NULL, *word;
    const char *url = pyd_config_word(cmd->pool, &args, &error);
    const char *target = url ? pyd_config_word(cmd->pool, &args, &error) : NULL;

    if (error)
        return error;
    if (!target)
        return apr_psprintf(cmd->pool, "needs a %s and a target, which is a script file or package.module:callable",
                            is_regex ? "regular expression" : "URL path");
    error = set_url(cmd, alias, url, is_regex);
    while (!error && (word = pyd_config_word(cmd->pool, &args, &error)))
        error = set_option(cmd, alias, word);
    return error ? error : set_target(cmd, alias, target);
}

static const char *add_alias(cmd_parms *cmd, const char *args, int is_regex)
{
    struct pyd_server_config *config = ap_get_module_config(cmd->server->module_config, &pydaemon_module);
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    struct pyd_alias *alias;

    if (error)
        return error;
    alias = apr_pcalloc(cmd->pool, sizeof(*alias));
    alias->where = pyd_config_where(cmd, cmd->pool);
    alias->server = cmd->server;
    alias->pass_authorization = PYD_PASS_UNSET;
    error = read_alias(cmd, alias, args, is_regex);
    if (error)
        return apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, error);
    APR_ARRAY_PUSH(config->aliases, struct pyd_alias *) = alias;
    APR_ARRAY_PUSH(pyd_config_reading()->aliases, struct pyd_alias *) = alias;
    return NULL;
}

const char *pyd_config_add_alias(cmd_parms *cmd, void *config, const char *args)
{
    (void)config;
    return add_alias(cmd, args, 0);
}

const char *pyd_config_add_alias_match(cmd_parms *cmd, void *config, const char *args)
{
    (void)config;
    return add_alias(cmd, args, 1);
}
