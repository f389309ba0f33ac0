/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The handler: one request is one exchange with one worker; if that worker went
 * away before it began, with another one. Every way out gives back the claim
 * and the connection once, and logs why if the answer is not the application's.
 */
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>
#include <unistd.h>

#include "pyd_timeout.h"

#include <apr_strings.h>
#include <apr_time.h>

#include "pyd_clock.h"
#include "pyd_notes.h"
#include "pyd_request.h"

/* Pooled connections that turn out to be closed are no sign of a worker in trouble, up to this number. */
#define STALE_MAX 4

/* Between two tries when every worker refuses: the manager will notice. */
#define REFUSED_PAUSE_US (20 * 1000)

/* As other servers log it; nobody receives it. */
#define STATUS_CLIENT_GONE 499

/* Longest wait for a client that is asked of APR, which passes milliseconds to poll(2) in an int. */
#define CLIENT_WAIT_MAX_US (INT64_C(500) * 3600 * 1000 * 1000)

/* How often an exchange was tried, and how that ended. */
struct tries {
    uint32_t counted, stale, refused;
    uint32_t avoid_slot;
};

/* getpid() is a system call. */
static uint32_t self;

/* Only when this process goes: the handler has killed it else. Prefork destroys its pools in a signal handler, which
 * may have interrupted malloc() or the holder of any lock: nothing but system calls and atomics here. */
static apr_status_t cleanup(void *data)
{
    struct pyd_relay *relay = data;

    if (relay->backend)
        (void)close(relay->backend->fd);
    relay->backend = NULL;
    pyd_relay_let_go(relay, PYD_RELAY_ABANDON);
    pyd_dispatch_drop_other(relay);
    return APR_SUCCESS;
}

static int client_gone(struct pyd_relay *relay)
{
    request_rec *r = relay->r;

    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "client has gone %s its response to %s",
                  relay->passed ? "while it received" : "before", relay->what);
    r->connection->keepalive = AP_CONN_CLOSE;
    if (relay->passed) {
        apr_brigade_cleanup(relay->output);
        /* Half closed in mid-body: it may still listen, and httpd would end the response as if it were whole. */
        return pyd_relay_client_gone(relay) ? OK : pyd_cut_response(relay);
    }
    pyd_response_replace(relay, OK);
    if (relay->body_status && !pyd_relay_client_gone(relay))
        return relay->body_status; /* half closed: it may still listen */
    r->connection->aborted = 1;
    r->status = STATUS_CLIENT_GONE;
    return OK;
}

static int answer_bad_gateway(struct pyd_relay *relay)
{
    atomic_fetch_add(&relay->group->failed_502, 1);
    return relay->passed ? pyd_cut_response(relay) : pyd_response_replace(relay, HTTP_BAD_GATEWAY);
}

/* The worker may go on with it: its manager sees to that. */
static int answer_late(struct pyd_relay *relay)
{
    /* What the client did wrong before is the answer to it. */
    int status = relay->body_status ? relay->body_status : HTTP_GATEWAY_TIME_OUT;
    const char *answer = pyd_response_is_whole(relay) ? "all of the response but its end was sent" : "response cut";

    if (!relay->passed)
        answer = status > 0 ? apr_psprintf(relay->r->pool, "answered %d", status) : "answered already";
    pyd_timeout_report(relay, answer);
    pyd_response_detach(relay);
    pyd_relay_let_go(relay, PYD_RELAY_ABANDON);
    atomic_fetch_add(&relay->group->failed_504, 1);
    if (relay->passed)
        return pyd_cut_response(relay);
    return pyd_response_replace(relay, status);
}

static int complete(struct pyd_relay *relay)
{
    int status = relay->r->status;

    /* The connection's buffer goes to the next request; a slow client must not hold a thread of the worker. */
    pyd_response_detach(relay);
    pyd_relay_let_go(relay, PYD_RELAY_ENDED);
    if (!relay->replaced)
        return pyd_response_finish(relay);
    return pyd_response_replace(relay, relay->body_status ? relay->body_status : status);
}

static int cut(struct pyd_relay *relay)
{
    pyd_response_detach(relay);
    pyd_relay_let_go(relay, PYD_RELAY_ENDED);
    if (relay->replaced)
        return complete(relay);
    /* The worker has logged why. Cut even if nothing went out yet: what a client gets must not depend on how the frames
     * happened to arrive. */
    return pyd_cut_response(relay);
}

/* The attempt's outcome is final: give everything back and answer. */
static int conclude(struct pyd_relay *relay, enum pyd_relay_state state)
{
    switch (state) {
    case PYD_RELAY_DONE:
        atomic_fetch_add(&relay->group->finished, 1);
        return complete(relay);
    case PYD_RELAY_CUT:
        return cut(relay);
    case PYD_RELAY_FAILED:
        atomic_fetch_add(&relay->group->finished, 1);
        pyd_relay_let_go(relay, PYD_RELAY_ENDED);
        return pyd_response_replace(relay, relay->fail_status);
    case PYD_RELAY_BAD:
        pyd_relay_let_go(relay, PYD_RELAY_ABANDON);
        return pyd_response_replace(relay, relay->fail_status);
    case PYD_RELAY_CLIENT:
        pyd_relay_let_go(relay, PYD_RELAY_ABANDON);
        return client_gone(relay);
    case PYD_RELAY_FILTER:
        pyd_relay_let_go(relay, PYD_RELAY_ABANDON);
        return pyd_cut_failed_filter(relay);
    case PYD_RELAY_LATE:
        return answer_late(relay);
    default: /* BROKEN */
        pyd_response_detach(relay);
        pyd_relay_let_go(relay, PYD_RELAY_ABANDON);
        return answer_bad_gateway(relay);
    }
}

/* Connect, send, exchange. *ret_rv: why no connection could be had. */
static enum pyd_relay_state attempt(struct pyd_relay *relay, apr_status_t *ret_rv)
{
    enum pyd_relay_state state;
    struct iovec vector;
    size_t at = 0;
    apr_status_t rv;

    /* First: of an attempt before this one nothing may be left, even if there is no connection. */
    pyd_flow_init(&relay->flow, relay->has_body && !relay->inline_body);
    rv = pyd_backend_acquire(&relay->claim, &relay->backend);
    if (rv == APR_SUCCESS)
        rv = pyd_request_encode(relay, &at);
    *ret_rv = rv;
    if (rv != APR_SUCCESS)
        return PYD_RELAY_LOST;
    vector.iov_base = relay->backend->out.data + at;
    vector.iov_len = relay->backend->out.size - at;
    state = pyd_relay_send(relay, &vector, 1);
    if (state == PYD_RELAY_OPEN)
        state = pyd_relay_run(relay);
    /* This thread was waiting for its client when the manager found it late, and has killed the worker meanwhile. */
    if (state == PYD_RELAY_LOST && pyd_claim_is_late(relay->board, &relay->claim))
        state = PYD_RELAY_LATE;
    return state;
}

/* The worker has never begun it. @return 1: another try */
static int may_retry(struct pyd_relay *relay, struct tries *tries)
{
    int stale = relay->backend && relay->backend->pooled;

    tries->avoid_slot = relay->claim.slot;
    pyd_backend_forget(relay->claim.group, relay->claim.slot);
    if (stale && tries->stale++ < STALE_MAX) {
        tries->avoid_slot = UINT32_MAX - 1; /* none, but do not queue up again */
        return 1;
    }
    return ++tries->counted <= relay->sizes->processes;
}

static int answer_unbegun(struct pyd_relay *relay, const struct tries *tries)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                  PYD_LOGNO(0212) "no worker of '%s' began %s in %u tries (the last one was pid=%d): answered 502",
                  relay->name, relay->what, tries->counted, (int)relay->pid);
    return answer_bad_gateway(relay);
}

/* The connection ended without an end of the response. @return OK: try again; else the handler's result in *ret_result
 */
static int lost(struct pyd_relay *relay, struct tries *tries, int *ret_result)
{
    int begun = pyd_flow_has_head(&relay->flow) || relay->body_taken || pyd_claim_begun(relay->board, &relay->claim);
    int gone = pyd_relay_worker_gone(relay);
    int retry;

    /* While it lives it may still begin it: not both of them. */
    if (!begun && !gone)
        begun = !pyd_timeout_take_back(relay);
    if (gone)
        pyd_backend_note_ended(&relay->claim);
    if (begun) {
        pyd_response_detach(relay);
        pyd_report_death(relay);
        pyd_relay_let_go(relay, gone ? PYD_RELAY_CLOSE : PYD_RELAY_ABANDON);
        *ret_result = relay->replaced ? complete(relay) : answer_bad_gateway(relay);
        return DONE;
    }
    retry = may_retry(relay, tries);
    pyd_relay_let_go(relay, gone ? PYD_RELAY_CLOSE : PYD_RELAY_ABANDON);
    if (retry) {
        relay->queue_from_us = pyd_clock_us(); /* that time was not spent in the queue */
        return OK;
    }
    *ret_result = answer_unbegun(relay, tries);
    return DONE;
}

/* Another worker is known. It is no fault of the request's that it has to wait for that one. */
static void go_elsewhere(struct pyd_relay *relay, struct tries *tries)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, relay->r,
                  "worker pid=%d of '%s' has not begun %s within %.1f s: another one gets it", (int)relay->pid,
                  relay->name, relay->what,
                  (double)pyd_claim_elapsed_us(relay->board, &relay->claim, pyd_clock_us()) / 1e6);
    ++tries->counted;
    tries->avoid_slot = relay->claim.slot;
    relay->queue_from_us = pyd_clock_us();
    pyd_relay_let_go(relay, PYD_RELAY_ABANDON);
}

/* httpd itself could not: no descriptors, no memory. */
static int answer_no_connection(struct pyd_relay *relay, apr_status_t rv)
{
    pyd_relay_let_go(relay, PYD_RELAY_CLOSE);
    if (rv == APR_ENOSPC) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                      PYD_LOGNO(0223) "variables and headers of %s exceed 16 MiB: answered 431", relay->what);
        return pyd_response_replace(relay, HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, relay->r,
                  PYD_LOGNO(0221) "cannot make a connection to worker pid=%d of '%s' for %s: answered 503",
                  (int)relay->pid, relay->name, relay->what);
    return pyd_response_replace(relay, pyd_dispatch_unavailable(relay, 1));
}

/* Before the next try after REFUSE. @return OK, or the answer */
static int pause_refused(struct pyd_relay *relay, struct tries *tries)
{
    int counts = pyd_timeout_refused_late(relay, pyd_clock_us());

    tries->avoid_slot = relay->claim.slot;
    pyd_relay_let_go(relay, PYD_RELAY_CLOSE);
    if (counts && ++tries->counted > relay->sizes->processes)
        return answer_unbegun(relay, tries);
    if (counts)
        relay->queue_from_us = pyd_clock_us();
    if (++tries->refused <= relay->sizes->slot_count)
        return OK;
    if (pyd_relay_client_gone(relay))
        return DONE;
    if (pyd_dispatch_expired(relay)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                      PYD_LOGNO(0224) "all workers of '%s' refused %s until queue-timeout: answered 503", relay->name,
                      relay->what);
        return pyd_dispatch_unavailable(relay, 1);
    }
    apr_sleep(REFUSED_PAUSE_US);
    return OK;
}

static int exchange(struct pyd_relay *relay)
{
    struct tries tries = {.avoid_slot = UINT32_MAX};
    int result = OK, status;

    for (;;) {
        enum pyd_relay_state state;
        apr_status_t rv;

        relay->may_leave = tries.counted < relay->sizes->processes;
        status = pyd_dispatch_claim(relay, tries.avoid_slot);
        if (status == OK) {
            state = attempt(relay, &rv);
            pyd_notes_ended(relay);
            if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv))
                return answer_no_connection(relay, rv);
            if (state == PYD_RELAY_REFUSED)
                status = pause_refused(relay, &tries);
            else if (state == PYD_RELAY_UNBEGUN)
                go_elsewhere(relay, &tries);
            else if (state != PYD_RELAY_LOST)
                return conclude(relay, state);
            else if (lost(relay, &tries, &result) != OK)
                return result;
        }
        if (status != OK)
            return status == DONE ? client_gone(relay) : pyd_response_replace(relay, status);
    }
}

static struct pyd_relay *create_relay(request_rec *r, const struct pyd_mount *mount, struct pyd_board *board)
{
    struct pyd_relay *relay = apr_pcalloc(r->pool, sizeof(*relay));

    relay->r = r;
    relay->mount = *mount;
    relay->board = board;
    relay->self = self;
    relay->group = pyd_board_group(board, mount->group->index);
    relay->sizes = pyd_board_settings(board, mount->group->index);
    relay->name = mount->group->spec.name;
    relay->what = apr_pstrcat(r->pool, r->method, " ", r->unparsed_uri ? r->unparsed_uri : r->uri, NULL);
    /* A stream of HTTP/2 has a dummy for a socket (h2_c2.c). */
    relay->client = r->connection->master ? NULL : ap_get_conn_socket(r->connection);
    relay->started_us = relay->queue_from_us = pyd_clock_us();
    relay->queue_start_us = (uint64_t)pyd_clock_wall_us();
    relay->declared_bytes = -1;
    relay->error_status = r->status;
    relay->output = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    atomic_fetch_add(&relay->group->requests, 1);
    return relay;
}

/* httpd's filters wait for the client as long as its socket says. @return what it said before */
static apr_interval_time_t limit_client(conn_rec *c, int64_t timeout_us)
{
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    apr_interval_time_t before = 0;

    if (!timeout_us || !socket || apr_socket_timeout_get(socket, &before) != APR_SUCCESS)
        return 0;
    (void)apr_socket_timeout_set(socket, timeout_us < CLIENT_WAIT_MAX_US ? timeout_us : CLIENT_WAIT_MAX_US);
    return before;
}

/* From the body's beginning to the response's end. @return as handlers do */
static int serve(request_rec *r, struct pyd_relay *relay)
{
    apr_interval_time_t before = limit_client(r->connection, relay->mount.group->spec.socket_timeout_us);
    int status = pyd_body_prepare(relay);

    /* An input filter has answered already: no application need be asked. */
    if (r->eos_sent)
        status = AP_FILTER_ERROR;
    if (status == OK) {
        pyd_request_collect(relay);
        apr_pool_cleanup_register(r->pool, relay, cleanup, apr_pool_cleanup_null);
        status = exchange(relay);
        apr_pool_cleanup_kill(r->pool, relay, cleanup);
    }
    (void)limit_client(r->connection, before);
    return status;
}

static int handler(request_rec *r)
{
    struct pyd_board *board = pyd_launch_board();
    struct pyd_mount mount = {0};
    int status;

    if (!r->handler || strcmp(r->handler, PYD_HANDLER) != 0)
        return DECLINED;
    status = pyd_map_resolve(r, &mount);
    if (status != OK)
        return status;
    if (!board || mount.group->index >= pyd_board_group_count(board)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0200) "no process group could be set up when httpd started: %s %s answered 503",
                      r->method, r->uri);
        apr_table_setn(r->err_headers_out, "Retry-After", "60");
        return HTTP_SERVICE_UNAVAILABLE;
    }
    return serve(r, create_relay(r, &mount, board));
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)pchild;
    (void)s;
    self = (uint32_t)getpid();
}

void pyd_handler_register(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}
