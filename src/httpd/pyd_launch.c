/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A generation's life as httpd sees it: made in post_config (the parent),
 * entered in child_init (each child), left when pconf is cleared.
 */
#include "pyd_httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <ap_listen.h>
#include <ap_mpm.h>
#include <http_core.h>
#include <mpm_common.h>

#include "pyd_generation.h"
#include "pyd_log.h"
#include "pyd_managers.h"

static struct {
    struct pyd_board *board; /* of the configuration read last; the managers list owns it */
    pid_t parent;            /* who may stop managers */
} launch;

struct pyd_board *pyd_launch_board(void)
{
    return launch.board;
}

/* Runs when pconf is cleared (reload) or destroyed (httpd ends), in the parent; forked processes that end by
 * exit() come here too. */
static apr_status_t leave_generation(void *data)
{
    (void)data;
    if (getpid() != launch.parent)
        return APR_SUCCESS;
    launch.board = NULL;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        /* So that nobody connects in vain while we wait, and a successor can bind. */
        ap_close_listeners();
        pyd_managers_stop();
    }
    pyd_managers_suspend();
    return APR_SUCCESS;
}

/* An upgrade while httpd runs must not mix versions: what is opened now is what this generation executes. */
static void open_worker(struct pyd_board *board, struct pyd_group *group)
{
    int fd;

    if (group->broken)
        return;
    fd = open(group->worker_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        group->broken = "its worker program cannot be opened";
        atomic_store(&pyd_board_group(board, group->index)->state, PYD_GROUP_BROKEN);
        ap_log_error(APLOG_MARK, APLOG_WARNING, errno, group->server,
                     PYD_LOGNO(0405) "mod_pydaemon: cannot open worker program %s of group '%s'; it answers 503 until "
                     "the program is installed and httpd reloaded",
                     group->worker_path, group->spec.name);
        return;
    }
    pyd_board_group(board, group->index)->worker_fd = fd;
}

static int plan_groups(apr_array_header_t *groups, struct pyd_board_group_plan *plans, char **texts)
{
    int i;

    for (i = 0; i < groups->nelts; ++i) {
        struct pyd_group *group = APR_ARRAY_IDX(groups, i, struct pyd_group *);

        group->index = (uint32_t)i;
        texts[i] = pyd_spec_format(&group->spec);
        if (!texts[i])
            return ENOMEM;
        plans[i] = (struct pyd_board_group_plan){
            .name = group->spec.name,
            .processes = (uint32_t)group->spec.processes,
            .threads = (uint32_t)group->spec.threads,
            .queue_limit = (uint32_t)group->spec.queue_limit,
            .spec_text = texts[i],
            .state = group->broken ? PYD_GROUP_BROKEN : PYD_GROUP_STARTING,
        };
    }
    return 0;
}

static int create_board(apr_array_header_t *groups, apr_pool_t *ptemp, struct pyd_board **ret_board)
{
    struct pyd_board_group_plan *plans = apr_pcalloc(ptemp, sizeof(*plans) * (size_t)groups->nelts);
    char **texts = apr_pcalloc(ptemp, sizeof(*texts) * (size_t)groups->nelts);
    struct pyd_board *board = NULL;
    int i, rv;

    rv = plan_groups(groups, plans, texts);
    if (!rv)
        rv = pyd_board_create(pyd_managers_next_generation(), plans, (uint32_t)groups->nelts, &board);
    for (i = 0; i < groups->nelts; ++i)
        free(texts[i]);
    if (rv)
        return rv;
    rv = pyd_generation_open(board);
    if (rv) {
        pyd_generation_close(board);
        pyd_board_unmap(board);
        return rv;
    }
    for (i = 0; i < groups->nelts; ++i)
        open_worker(board, APR_ARRAY_IDX(groups, i, struct pyd_group *));
    *ret_board = board;
    return 0;
}

static int start_generation(apr_array_header_t *groups, apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    struct pyd_board *board = NULL;
    apr_status_t rv;

    rv = create_board(groups, ptemp, &board);
    if (rv == APR_SUCCESS) {
        rv = pyd_generation_lock(board);
        if (rv == APR_SUCCESS) {
            rv = pyd_managers_add(board, pconf);
        }
        else {
            pyd_generation_close(board);
            pyd_board_unmap(board);
        }
    }
    if (rv != APR_SUCCESS) {
        /* Failing here would end a running httpd (server/main.c): everything else it serves goes on. */
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     PYD_LOGNO(0406) "mod_pydaemon: cannot set up %d process groups (memory files, descriptors: see "
                     "LimitNOFILE or ulimit -n; processes); all of them answer 503 until a reload succeeds",
                     groups->nelts);
        return OK;
    }
    launch.board = board;
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_array_header_t *groups = pyd_config_groups();

    (void)plog;
    /* The first of two passes at start: nothing of it stays. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    launch.parent = getpid();
    launch.board = NULL;
    pyd_logsink_install(s, groups);
    pyd_managers_resume(pconf, s);
    apr_pool_cleanup_register(pconf, NULL, leave_generation, apr_pool_cleanup_null);
    if (groups->nelts == 0)
        return OK;
    return start_generation(groups, pconf, ptemp, s);
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    int rv;

    (void)pchild;
    pyd_managers_child_init(launch.board);
    if (!launch.board)
        return;
    rv = pyd_generation_lock(launch.board);
    if (rv)
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     PYD_LOGNO(0407) "mod_pydaemon: httpd child cannot take its lock; if it is the last of its "
                     "generation its requests may find no worker");
    pyd_sweep_own(launch.board, (uint32_t)getpid());
}

/* Parent: an httpd child has come or gone; the manager frees what a dead one held. */
static void child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot, mpm_child_status state)
{
    (void)s;
    (void)pid;
    (void)generation;
    (void)slot;
    if (state != MPM_CHILD_STARTED)
        pyd_managers_poke();
}

/* Parent, about every ten seconds; httpd has nothing that runs more often. */
static int monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    if (getpid() == launch.parent)
        pyd_managers_retry();
    return DECLINED;
}

void pyd_launch_register(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);
}
