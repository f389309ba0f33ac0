/* SPDX-License-Identifier: Apache-2.0 */

/* Responses that have begun and will never be complete: whatever the protocol, the client can tell. */
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

#include "pyd_relay.h"

#include <sys/socket.h>

static ap_filter_rec_t *guard_handle;

/* Without length and chunks (HTTP/1.0) a client takes the end of the connection for the end of the response, unless it
 * is a reset. */
static void reset_if_unmarked(request_rec *r)
{
    conn_rec *c = r->connection;
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    apr_os_sock_t fd;

    if (!socket || r->chunked || apr_table_get(r->headers_out, "Content-Length"))
        return;
    if (apr_os_sock_get(&fd, socket) == APR_SUCCESS)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    c->aborted = 1;
}

static void mark(request_rec *r)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    r->no_cache = 1;
    if (r->main)
        r->main->no_cache = 1;
}

static void append_end(struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    apr_bucket_alloc_t *allocator = r->connection->bucket_alloc;

    /* The chunk filter leaves out the last chunk for this status only. */
    pyd_brigade_append(relay->output, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, allocator));
    pyd_brigade_append(relay->output, apr_bucket_eos_create(allocator));
}

int pyd_cut_response(struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    enum pyd_relay_state state;

    r->connection->keepalive = AP_CONN_CLOSE;
    if (relay->bodiless) /* its head is all of it */
        return pyd_response_finish(relay);
    mark(r);
    /* What there is goes out first: the end below is not a flush. */
    state = pyd_response_pass(relay, 1);
    if (state != PYD_RELAY_OPEN)
        return pyd_response_result(relay, state);
    append_end(relay);
    state = pyd_response_pass(relay, 0);
    if (state == PYD_RELAY_OPEN)
        reset_if_unmarked(r);
    return pyd_response_result(relay, state);
}

int pyd_cut_failed_filter(struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    conn_rec *c = r->connection;

    c->keepalive = AP_CONN_CLOSE;
    if (c->aborted || relay->answered || relay->bodiless || r->main)
        return AP_FILTER_ERROR;
    /* The header filters of HTTP/1 and HTTP/2 set it when they have sent the head. Before, ap_die() answers 500; about
     * the status see pyd_response_replace(). */
    if (!r->sent_bodyct) {
        r->status = relay->error_status;
        return AP_FILTER_ERROR;
    }
    mark(r);
    /* Past the filter that has failed and others of its kind, as ap_send_error_response() does it. */
    r->output_filters = r->proto_output_filters;
    append_end(relay);
    (void)ap_pass_brigade(r->output_filters, relay->output);
    apr_brigade_cleanup(relay->output);
    reset_if_unmarked(r);
    return AP_FILTER_ERROR;
}

/*
 * When the body is malformed or too large, httpd's input filter sends an error and the end of the response itself
 * (bail_out_on_error() in modules/http/http_filters.c). Behind a response that has begun, that would look like its
 * regular end. Our own responses bear no other error than that of a cut.
 */
static apr_status_t guard(ap_filter_t *filter, apr_bucket_brigade *brigade)
{
    apr_bucket *bucket;
    apr_status_t rv;
    int is_cut = 0;

    for (bucket = APR_BRIGADE_FIRST(brigade); bucket != pyd_brigade_end(brigade); bucket = APR_BUCKET_NEXT(bucket)) {
        if (AP_BUCKET_IS_ERROR(bucket)) {
            ((ap_bucket_error *)bucket->data)->status = HTTP_BAD_GATEWAY;
            is_cut = 1;
        }
    }
    if (is_cut)
        mark(filter->r);
    rv = ap_pass_brigade(filter->next, brigade);
    if (is_cut)
        reset_if_unmarked(filter->r);
    return rv;
}

void pyd_cut_guard(struct pyd_relay *relay)
{
    if (relay->guarded || relay->bodiless)
        return;
    relay->guarded = 1;
    ap_add_output_filter_handle(guard_handle, NULL, relay->r, relay->r->connection);
}

void pyd_cut_register(apr_pool_t *p)
{
    (void)p;
    guard_handle = ap_register_output_filter("PYDAEMON_GUARD", guard, NULL, AP_FTYPE_RESOURCE);
}
