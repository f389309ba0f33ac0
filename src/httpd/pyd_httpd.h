/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_HTTPD_H
#define PYD_HTTPD_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "pyd_board.h"
#include "pyd_spec.h"

/**
 * What the files of src/httpd share: the module's symbol, its configuration
 * records and the calls between its parts. Nothing here is seen by other folders.
 */
extern module AP_MODULE_DECLARE_DATA pydaemon_module;
#ifndef PYD_MODULE_RECORD
APLOG_USE_MODULE(pydaemon);
#endif

#define PYD_HANDLER "pydaemon"
#define PYD_DEFAULT_GROUP "default"

/** A process group as configured. One list for the whole server, in pconf, rebuilt by each configuration read. */
struct pyd_group {
    struct pyd_spec spec;
    server_rec *server;      /* whose ErrorLog it writes to; NULL: the main one's */
    const char *where;       /* "file:line" of its directive, for messages */
    uint32_t index;          /* on the board */
    const char *broken;      /* why it cannot work on this machine, or NULL */
    const char *worker_path; /* of its Python's worker program */
    unsigned defined : 1;    /* by PyDaemonProcess (the default group may not be) */
    unsigned in_vhost : 1;
};

enum pyd_pass_authorization { PYD_PASS_UNSET = -1, PYD_PASS_AUTO, PYD_PASS_ON, PYD_PASS_OFF };

/** One PyDaemonAlias or PyDaemonAliasMatch. */
struct pyd_alias {
    const char *url;         /* prefix without a slash at its end ("" for /), as SCRIPT_NAME; NULL with a regex */
    ap_regex_t *regex;
    const char *target;      /* with $1.. if regex */
    const char *group_name;  /* NULL: from PyDaemonProcessGroup or default */
    const char *callable;    /* NULL: from PyDaemonCallable or default */
    int pass_authorization;  /* enum pyd_pass_authorization */
    const char *where;
    server_rec *server;      /* whose directive it is */
};

struct pyd_server_config {
    apr_array_header_t *aliases; /* of struct pyd_alias *, in file order; a vhost's come before the main server's */
};

struct pyd_dir_config {
    const char *group_name;  /* as written: a name or %{ENV:var}; NULL: unset */
    apr_array_header_t *allowed_groups; /* of const char *, after %{ENV:var} */
    const char *callable;
    int pass_authorization;
    int error_override;      /* -1 unset, 0, 1 */
    const char *where;
};

/* pyd_config.c */
extern const command_rec pyd_config_commands[];
void *pyd_config_create_server(apr_pool_t *p, server_rec *s);
void *pyd_config_merge_server(apr_pool_t *p, void *base, void *add);
void *pyd_config_create_dir(apr_pool_t *p, char *dir);
void *pyd_config_merge_dir(apr_pool_t *p, void *base, void *add);
/** Groups of the configuration read last: array of struct pyd_group *. Valid as long as pconf. */
apr_array_header_t *pyd_config_groups(void);
struct pyd_group *pyd_config_find_group(const char *name);
const char *pyd_config_worker_dir(void);
void pyd_config_register(apr_pool_t *p);

/* pyd_check.c: after the whole configuration is read (check_config): users, Pythons, scripts, group names */
void pyd_check_register(apr_pool_t *p);

/* pyd_map.c: URL -> application (translate_name, and what SetHandler needs) */
struct pyd_mount { /* what a request runs; in the request's pool */
    const char *target;
    const char *callable;    /* "" with a module target, which says it itself */
    struct pyd_group *group;
    int pass_authorization; /* resolved: AUTO, ON or OFF */
    int error_override;
};
void pyd_map_register(apr_pool_t *p);
/** Resolve what r runs. @return OK, DECLINED (not ours), or an HTTP status after having logged why */
int pyd_map_resolve(request_rec *r, struct pyd_mount *ret_mount);
/** SCRIPT_NAME and PATH_INFO as PEP 3333 wants them, decoded; "" where empty. After pyd_map_resolve(). */
void pyd_map_names(request_rec *r, const char **ret_script_name, const char **ret_path_info);

/* pyd_launch.c: generations: post_config, fork of the manager, its maintenance, stop */
void pyd_launch_register(apr_pool_t *p);
/** The board of this process's generation; NULL before post_config. In children: mapped, locked, stable. */
struct pyd_board *pyd_launch_board(void);

/* pyd_logsink.c */
/** Make pyd_log() write to httpd's error logs, each group to its server's. */
void pyd_logsink_install(server_rec *main_server, apr_array_header_t *groups);
/**
 * In a manager: once *superseded is set, messages whose ErrorLog is a pipe go to relay_fd as tagged lines
 * (pyd_manager.h). httpd ended that piped logger when it reloaded; the youngest manager logs the lines instead.
 */
void pyd_logsink_relay(int relay_fd, const _Atomic uint32_t *superseded);

/* pyd_backend.c: connections of this httpd child to workers */
struct pyd_backend; /* one connection; used by one request at a time */
void pyd_backend_register(apr_pool_t *p);
/**
 * A pooled connection to the claimed worker, or a new one (HELLO is queued in it).
 * @return APR_SUCCESS, APR_EAGAIN (the rendezvous is full), or an error
 */
apr_status_t pyd_backend_acquire(const struct pyd_claim_ref *claim, struct pyd_backend **ret_backend);
/** Back to the pool if reusable, else closed. NULL-safe. */
void pyd_backend_release(struct pyd_backend *backend, int reusable);

/* pyd_cut.c: an output filter */
void pyd_cut_register(apr_pool_t *p);

/* pyd_notes.c: a hook before the access log is written */
void pyd_notes_register(apr_pool_t *p);

/* pyd_handler.c: the handler: claim, exchange, retry, errors to HTTP */
void pyd_handler_register(apr_pool_t *p);

#endif
