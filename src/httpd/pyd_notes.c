/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the access log can say of a request: r->notes, for %{...}n. mod_log_config takes those of the request that
 * answered in the end (log_note is registered for the last of a chain of internal redirects), which an ErrorDocument or
 * a RewriteRule begins anew.
 */
#include "pyd_notes.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "pyd_clock.h"

#define QUEUE "pydaemon_queue_us"
#define APP "pydaemon_app_us"
#define PID "pydaemon_worker_pid"

static void note(const struct pyd_relay *relay, const char *name, int64_t value)
{
    request_rec *r = relay->r;

    apr_table_setn(r->notes, name, apr_off_t_toa(r->pool, (apr_off_t)value));
}

void pyd_notes_claimed(const struct pyd_relay *relay, int64_t now_us)
{
    note(relay, QUEUE, now_us - relay->started_us);
    note(relay, PID, relay->pid);
}

void pyd_notes_unclaimed(const struct pyd_relay *relay)
{
    note(relay, QUEUE, pyd_clock_us() - relay->started_us);
    note(relay, APP, 0);
    apr_table_unset(relay->r->notes, PID);
}

void pyd_notes_ended(const struct pyd_relay *relay)
{
    int64_t spent_us = relay->app_us;

    /* Without END: as long as we have waited for it. */
    if (spent_us < 0)
        spent_us = pyd_claim_elapsed_us(relay->board, &relay->claim, pyd_clock_us());
    note(relay, APP, spent_us);
}

static void copy(const request_rec *from, request_rec *to, const char *name)
{
    const char *value = apr_table_get(from->notes, name);

    if (value)
        apr_table_setn(to->notes, name, value);
}

/* All requests of a chain have one pool. */
static int copy_along(request_rec *r)
{
    request_rec *last = r;
    const request_rec *from;

    while (last->next)
        last = last->next;
    for (from = last; from && !apr_table_get(from->notes, QUEUE); from = from->prev)
        ;
    if (!from || from == last)
        return OK;
    copy(from, last, QUEUE);
    copy(from, last, APP);
    copy(from, last, PID);
    return OK;
}

void pyd_notes_register(apr_pool_t *p)
{
    (void)p;
    /* Before mod_log_config, which is in the middle. */
    ap_hook_log_transaction(copy_along, NULL, NULL, APR_HOOK_FIRST);
}
