/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CONFIG_H
#define PYD_CONFIG_H

#include "pyd_httpd.h"

/* Shared by pyd_config*.c and pyd_check*.c: what the directives say, before and after it is checked. */

#define PYD_DEFAULT_CALLABLE "application"

/** A place that names a process group or a callable. Collected while the configuration is read, judged when all of it
 *  is known. */
struct pyd_config_ref {
    const char *name;
    const char *where;     /* "PyDaemonAlias in FILE:LINE" */
    server_rec *server;    /* of the directive */
    const char *section;   /* "<Directory", "<Location"…; NULL: not in a section */
    const char *path;      /* of the section */
    int is_regex;          /* path is a regular expression */
    int is_choice;         /* one of those that %{ENV:…} may choose */
};

/** Everything one reading of the configuration collects; in pconf. */
struct pyd_config_reading {
    apr_array_header_t *groups;  /* of struct pyd_group * */
    apr_array_header_t *refs;    /* of struct pyd_config_ref: groups */
    apr_array_header_t *callables; /* of struct pyd_config_ref: PyDaemonCallable */
    apr_array_header_t *aliases; /* of struct pyd_alias *, in file order, of all servers */
    const char *worker_dir, *worker_dir_where;
};

/** The reading in progress, or the last one. Never NULL once pre_config has run. */
struct pyd_config_reading *pyd_config_reading(void);

/** "FILE:LINE" of a directive. @param p for the result */
const char *pyd_config_where(cmd_parms *cmd, apr_pool_t *p);

/** Note in refs that a directive names something. @param is_choice it may be that one, as a variable says */
void pyd_config_refer(cmd_parms *cmd, apr_array_header_t *refs, const char *name, int is_choice);

/**
 * The next word of a directive's arguments: blanks end it, but not within '…' or "…", which may begin a word or
 * follow its '='; a backslash protects a quote or a backslash there.
 * @return NULL at the end; *error set if a quote is not closed
 */
const char *pyd_config_word(apr_pool_t *p, const char **args, const char **error);

/** Make a group; its spec is freed with p. @return NULL if out of memory */
struct pyd_group *pyd_config_add_group(apr_pool_t *p, const char *name);

/** Names of all groups, as "'a', 'b'". */
const char *pyd_config_group_names(apr_pool_t *p);

/** The path below ServerRoot if it is relative; NULL if it makes no sense. */
char *pyd_config_path(apr_pool_t *p, const char *path);

/** True if target is "package.module:callable". */
int pyd_config_is_module(const char *target);

/** Whether servers of this group may be used from server s (SPEC 1: a vhost's by the same ServerName). */
int pyd_config_may_use(const struct pyd_group *group, const server_rec *s);

/** The settings of the server config (no section). */
struct pyd_dir_config *pyd_config_server_dir(server_rec *s);

/* pyd_config_dir.c: directives of sections */
const char *pyd_config_set_group(cmd_parms *cmd, void *config, const char *args);
const char *pyd_config_set_callable(cmd_parms *cmd, void *config, const char *name);
const char *pyd_config_set_pass(cmd_parms *cmd, void *config, const char *value);
const char *pyd_config_set_error_override(cmd_parms *cmd, void *config, const char *value);
/** On, Off or Auto, in any case. @return 0 or EINVAL */
int pyd_config_read_pass(const char *value, int *ret_pass);
/** NULL, or what is wrong with it. */
const char *pyd_config_check_callable(apr_pool_t *p, const char *name);

/* pyd_config_alias.c */
const char *pyd_config_add_alias(cmd_parms *cmd, void *config, const char *args);
const char *pyd_config_add_alias_match(cmd_parms *cmd, void *config, const char *args);

#endif
