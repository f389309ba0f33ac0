/* SPDX-License-Identifier: Apache-2.0 */

/* Directives that hold for a part of the site: which group, which callable, what is passed on. */
#include "pyd_config.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>

#define ENV_PREFIX "%{ENV:"

int pyd_config_read_pass(const char *value, int *ret_pass)
{
    static const struct {
        const char *word;
        int pass;
    } WORDS[] = {{"auto", PYD_PASS_AUTO}, {"on", PYD_PASS_ON}, {"off", PYD_PASS_OFF}};

    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (ap_cstr_casecmp(value, WORDS[i].word) == 0) {
            *ret_pass = WORDS[i].pass;
            return 0;
        }
    }
    return EINVAL;
}

/* A Python name, or several with dots between them. What is beyond ASCII is Python's to judge. */
static int is_dotted_name(const char *text, size_t size)
{
    int start = 1;

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '.') {
            if (start)
                return 0;
            start = 1;
        } else if (apr_isalpha(c) || c == '_' || c >= 0x80 || (!start && apr_isdigit(c))) {
            start = 0;
        } else {
            return 0;
        }
    }
    return !start;
}

int pyd_config_is_module(const char *target)
{
    const char *colon = strchr(target, ':');

    return colon && is_dotted_name(target, (size_t)(colon - target)) && is_dotted_name(colon + 1, strlen(colon + 1));
}

const char *pyd_config_check_callable(apr_pool_t *p, const char *name)
{
    if (is_dotted_name(name, strlen(name)))
        return NULL;
    return apr_psprintf(p, "'%s' is not the name of a callable; it must be a Python name, as 'application' or 'app'",
                        name);
}

/* The names after %{ENV:…}. */
static const char *set_allowed(cmd_parms *cmd, struct pyd_dir_config *config, const char *args)
{
    const char *word, *error = NULL;
    char message[300];

    config->allowed_groups = apr_array_make(cmd->pool, 4, sizeof(const char *));
    while ((word = pyd_config_word(cmd->pool, &args, &error))) {
        if (pyd_spec_check_name(word, message, sizeof(message)))
            return apr_psprintf(cmd->pool, "PyDaemonProcessGroup: %s", message);
        APR_ARRAY_PUSH(config->allowed_groups, const char *) = word;
        pyd_config_refer(cmd, pyd_config_reading()->refs, word, 1);
    }
    if (error)
        return apr_psprintf(cmd->pool, "PyDaemonProcessGroup: %s", error);
    if (config->allowed_groups->nelts == 0)
        return apr_psprintf(cmd->pool, "PyDaemonProcessGroup %s: list the groups that it may have: "
                            "PyDaemonProcessGroup %s NAME...", config->group_name, config->group_name);
    return NULL;
}

const char *pyd_config_set_group(cmd_parms *cmd, void *record, const char *args)
{
    struct pyd_dir_config *config = record;
    const char *error = NULL, *name = pyd_config_word(cmd->pool, &args, &error);
    char message[300];
    size_t size;

    if (error)
        return apr_psprintf(cmd->pool, "PyDaemonProcessGroup: %s", error);
    if (!name)
        return "PyDaemonProcessGroup needs the name of a process group, or %{ENV:VARIABLE} and the names it may have";
    config->group_name = name;
    config->allowed_groups = NULL;
    config->where = pyd_config_where(cmd, cmd->pool);
    if (strncmp(name, ENV_PREFIX, sizeof(ENV_PREFIX) - 1) == 0) {
        size = strlen(name);
        if (name[size - 1] != '}' || size == sizeof(ENV_PREFIX))
            return apr_psprintf(cmd->pool, "PyDaemonProcessGroup %s: write %%{ENV:VARIABLE}", name);
        return set_allowed(cmd, config, args);
    }
    if (name[0] == '%')
        return apr_psprintf(cmd->pool, "PyDaemonProcessGroup %s: only %%{ENV:VARIABLE} can be written here; "
                            "applications always run in daemon processes", name);
    if (pyd_spec_check_name(name, message, sizeof(message)))
        return apr_psprintf(cmd->pool, "PyDaemonProcessGroup: %s", message);
    pyd_config_refer(cmd, pyd_config_reading()->refs, name, 0);
    name = pyd_config_word(cmd->temp_pool, &args, &error);
    if (name)
        return apr_psprintf(cmd->pool, "PyDaemonProcessGroup %s %s: one name only; several follow %%{ENV:VARIABLE}",
                            config->group_name, name);
    return NULL;
}

const char *pyd_config_set_callable(cmd_parms *cmd, void *record, const char *name)
{
    struct pyd_dir_config *config = record;
    const char *error = pyd_config_check_callable(cmd->pool, name);

    if (error)
        return apr_psprintf(cmd->pool, "PyDaemonCallable: %s", error);
    config->callable = name;
    /* In .htaccess this runs in a request, on any thread. */
    if (!ap_check_cmd_context(cmd, NOT_IN_HTACCESS))
        pyd_config_refer(cmd, pyd_config_reading()->callables, name, 0);
    return NULL;
}

const char *pyd_config_set_pass(cmd_parms *cmd, void *record, const char *value)
{
    struct pyd_dir_config *config = record;

    if (pyd_config_read_pass(value, &config->pass_authorization))
        return apr_psprintf(cmd->pool, "PyDaemonPassAuthorization %s: must be Auto, On or Off", value);
    return NULL;
}

const char *pyd_config_set_error_override(cmd_parms *cmd, void *record, const char *value)
{
    struct pyd_dir_config *config = record;

    if (ap_cstr_casecmp(value, "on") != 0 && ap_cstr_casecmp(value, "off") != 0)
        return apr_psprintf(cmd->pool, "PyDaemonErrorOverride %s: must be On or Off", value);
    config->error_override = ap_cstr_casecmp(value, "on") == 0;
    return NULL;
}
