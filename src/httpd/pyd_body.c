/* SPDX-License-Identifier: Apache-2.0 */

/* The client's body: taken from httpd's input filters when the worker asks for it. */
#include <http_core.h>
#include <http_protocol.h>

#include "pyd_timeout.h"

#include <apr_strings.h>

#include "pyd_clock.h"
#include "pyd_wire.h"

/* A body up to this size that has already arrived goes into the REQUEST frame. */
#define INLINE_MAX (16 << 10)

/* Most bytes in one answer to READ: enough to make its cost small, little to hold for a slow worker. */
#define ANSWER_MAX (256u << 10)

/* Pieces in one send; httpd's buckets have 8 KiB. */
#define PIECES_MAX 48

/* Move what was fetched to input; ends are noted, other metadata is dropped. */
static apr_status_t keep_fetched(struct pyd_relay *relay)
{
    apr_bucket_brigade *from = relay->fetched;
    apr_status_t rv;

    while (!pyd_brigade_is_empty(from)) {
        apr_bucket *bucket = APR_BRIGADE_FIRST(from);

        if (APR_BUCKET_IS_METADATA(bucket) || bucket->length == 0) {
            if (APR_BUCKET_IS_EOS(bucket))
                relay->body_done = 1;
            apr_bucket_delete(bucket);
            continue;
        }
        /* mod_ssl's point into its buffer, which the next read overwrites. */
        rv = apr_bucket_setaside(bucket, relay->r->pool);
        if (rv != APR_SUCCESS && rv != APR_ENOTIMPL)
            return rv;
        APR_BUCKET_REMOVE(bucket);
        pyd_brigade_append(relay->input, bucket);
    }
    return APR_SUCCESS;
}

static apr_status_t fetch(struct pyd_relay *relay, apr_off_t wanted, apr_read_type_e block)
{
    apr_status_t rv = relay->input_error;

    if (rv != APR_SUCCESS)
        return rv;
    if (relay->passed)
        pyd_cut_guard(relay);
    rv = ap_get_brigade(relay->r->input_filters, relay->fetched, AP_MODE_READBYTES, block, wanted);
    /* The filter has answered itself, and may call that a success; what it read is no body. */
    if (relay->r->eos_sent)
        rv = AP_FILTER_ERROR;
    if (rv == APR_SUCCESS && block == APR_NONBLOCK_READ && pyd_brigade_is_empty(relay->fetched))
        return APR_EAGAIN;
    if (rv == APR_SUCCESS)
        rv = keep_fetched(relay);
    apr_brigade_cleanup(relay->fetched);
    /* Not to be read again after an error: what follows a bad chunk is not to be taken for a chunk. */
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv))
        relay->input_error = rv;
    return rv;
}

/*
 * Whether the socket tells when there is something to read. A filter of the content keeps what it has read; and an
 * error document gets no 100, which httpd decides in a blocking read.
 */
static int can_poll(const struct pyd_relay *relay)
{
    const request_rec *r = relay->r;

    return relay->client && r->input_filters->frec->ftype >= AP_FTYPE_PROTOCOL &&
           (!r->expecting_100 || (ap_is_HTTP_SUCCESS(r->status) && !relay->passed));
}

/* httpd does so in a blocking read only. */
static void send_continue(request_rec *r)
{
    int status = r->status;
    const char *line = r->status_line;

    if (!r->expecting_100)
        return;
    r->status = HTTP_CONTINUE;
    r->status_line = NULL;
    ap_send_interim_response(r, 0);
    r->status = status;
    r->status_line = line;
}

/*
 * Wait for some bytes, as long as a blocking read would (mod_reqtimeout's limits hold, too), but not when the worker
 * that asked for them has gone or is late: APR_EAGAIN.
 */
static apr_status_t wait_fetching(struct pyd_relay *relay, apr_off_t wanted)
{
    apr_interval_time_t timeout_us = relay->r->server->timeout;
    apr_socket_t *socket = ap_get_conn_socket(relay->r->connection);
    int64_t started_us = pyd_clock_us();

    /* socket-timeout, or what mod_reqtimeout has made of it. */
    if (socket)
        (void)apr_socket_timeout_get(socket, &timeout_us);
    if (!can_poll(relay))
        return fetch(relay, wanted, APR_BLOCK_READ);
    send_continue(relay->r);
    for (;;) {
        apr_status_t rv = fetch(relay, wanted, APR_NONBLOCK_READ);

        if (!APR_STATUS_IS_EAGAIN(rv))
            return rv;
        if (timeout_us >= 0 && pyd_clock_us() - started_us >= timeout_us)
            return relay->input_error = APR_TIMEUP;
        if (!pyd_relay_wait_client(relay))
            return APR_EAGAIN;
    }
}

static apr_status_t fetch_waiting(struct pyd_relay *relay, apr_off_t wanted)
{
    apr_status_t rv;

    pyd_timeout_pause(relay);
    rv = wait_fetching(relay, wanted);
    pyd_timeout_resume(relay);
    return rv;
}

static apr_off_t fetched_bytes(struct pyd_relay *relay)
{
    apr_off_t bytes = 0;

    if (apr_brigade_length(relay->input, 1, &bytes) != APR_SUCCESS)
        return 0;
    return bytes;
}

/* "SetInputFilter DEFLATE": the application reads another body than the client sends, of a length nobody knows yet. */
static int is_unpacked(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Content-Encoding") && r->input_filters &&
           r->input_filters->frec->ftype < AP_FTYPE_PROTOCOL;
}

/* Take the whole body if all of it has arrived; else what came is kept for READ, and so is an error. */
static void try_inline(struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    apr_off_t most = relay->content_bytes >= 0 ? relay->content_bytes : INLINE_MAX;

    while (!relay->body_done && fetched_bytes(relay) < most) {
        if (fetch(relay, most - fetched_bytes(relay), APR_NONBLOCK_READ) != APR_SUCCESS)
            return;
    }
    if (relay->content_bytes < 0 && !relay->body_done)
        return;
    if (apr_brigade_pflatten(relay->input, &relay->inline_body, &relay->inline_bytes, r->pool) != APR_SUCCESS ||
        !relay->inline_body) {
        relay->inline_body = NULL;
        return;
    }
    apr_brigade_cleanup(relay->input);
    relay->content_bytes = (int64_t)relay->inline_bytes;
    relay->body_done = 1;
}

int pyd_body_prepare(struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    apr_off_t limit = ap_get_limit_req_body(r);
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK), unpacked;

    if (status != OK)
        return status;
    relay->input = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    relay->fetched = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    relay->has_body = r->read_chunked || r->remaining > 0;
    relay->body_done = !relay->has_body;
    relay->content_bytes = !r->read_chunked && apr_table_get(r->headers_in, "Content-Length") ? r->remaining : -1;
    /* Nobody should import a megabyte to learn that it is not wanted, nor an application see such a request. */
    if (limit > 0 && relay->content_bytes > limit) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "body of %" APR_OFF_T_FMT " bytes is larger than LimitRequestBody (%" APR_OFF_T_FMT
                      "): answered 413",
                      (apr_off_t)relay->content_bytes, limit);
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    unpacked = relay->has_body && is_unpacked(r);
    if (unpacked)
        relay->content_bytes = -1;
    /* mod_deflate corrects the headers with the first look at the body: that has to be now. */
    if (relay->has_body && !r->expecting_100 &&
        (unpacked || (relay->content_bytes >= 0 && relay->content_bytes <= INLINE_MAX)))
        try_inline(relay);
    return OK;
}

int pyd_body_unread(const struct pyd_relay *relay)
{
    return relay->has_body && !relay->body_done;
}

static enum pyd_relay_state send_status(struct pyd_relay *relay, uint16_t status)
{
    unsigned char room[PYD_WIRE_HEADER_BYTES + 2];
    struct pyd_wire_writer writer;
    unsigned char *frame;
    struct iovec vector = {.iov_base = room};

    pyd_wire_writer_init(&writer, room, sizeof(room));
    frame = pyd_wire_begin(&writer, PYD_FRAME_BODY_FAIL, 0);
    pyd_wire_write_u16(&writer, status);
    pyd_wire_end(&writer, frame);
    vector.iov_len = (size_t)(writer.at - writer.start);
    return pyd_relay_send(relay, &vector, 1);
}

/* The rest of the body cannot be had. A client that ended in mid-body is gone, even if its socket is only half closed.
 */
static enum pyd_relay_state fail_body(struct pyd_relay *relay, apr_status_t rv)
{
    request_rec *r = relay->r;
    int status;

    r->connection->keepalive = AP_CONN_CLOSE;
    if (r->connection->aborted || APR_STATUS_IS_EOF(rv) || rv == APR_INCOMPLETE || APR_STATUS_IS_ECONNRESET(rv) ||
        APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_EPIPE(rv)) {
        if (!r->connection->aborted)
            relay->body_status = HTTP_BAD_REQUEST;
        return PYD_RELAY_CLIENT;
    }
    status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    relay->body_status = status;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, rv == AP_FILTER_ERROR ? 0 : rv, r, "cannot read the body of %s: answered %d",
                  relay->what, status > 0 ? status : r->status);
    return send_status(relay, (uint16_t)(ap_is_HTTP_ERROR(status) ? status : HTTP_BAD_REQUEST));
}

/* Point vectors at the first `most` bytes of input, or fewer if that takes too many pieces. */
static apr_status_t gather(struct pyd_relay *relay, apr_size_t most, struct iovec *vectors, size_t *ret_count,
                           apr_size_t *ret_bytes)
{
    apr_bucket *bucket = APR_BRIGADE_FIRST(relay->input);
    apr_size_t bytes = 0;
    size_t count = 0;

    while (bucket != pyd_brigade_end(relay->input) && count < PIECES_MAX && bytes < most) {
        const char *data;
        apr_size_t size;
        apr_status_t rv = apr_bucket_read(bucket, &data, &size, APR_BLOCK_READ);

        if (rv != APR_SUCCESS)
            return rv;
        if (size > most - bytes)
            size = most - bytes;
        /* The cast drops const: sendmsg() does not write. */
        vectors[count].iov_base = (void *)(uintptr_t)data;
        vectors[count++].iov_len = size;
        bytes += size;
        bucket = APR_BUCKET_NEXT(bucket);
    }
    *ret_count = count;
    *ret_bytes = bytes;
    return APR_SUCCESS;
}

static void drop_sent(struct pyd_relay *relay, apr_size_t bytes)
{
    apr_bucket *rest;

    if (apr_brigade_partition(relay->input, (apr_off_t)bytes, &rest) != APR_SUCCESS)
        rest = pyd_brigade_end(relay->input);
    while (APR_BRIGADE_FIRST(relay->input) != rest)
        apr_bucket_delete(APR_BRIGADE_FIRST(relay->input));
}

/* One BODY frame with up to most bytes of input. */
static enum pyd_relay_state send_body(struct pyd_relay *relay, apr_size_t most)
{
    unsigned char room[PYD_WIRE_HEADER_BYTES];
    struct iovec vectors[PIECES_MAX + 1];
    struct pyd_wire_writer writer;
    unsigned char *frame;
    apr_size_t bytes = 0;
    size_t count = 0;
    int last;
    apr_status_t rv = gather(relay, most, vectors + 1, &count, &bytes);
    enum pyd_relay_state state;

    if (rv != APR_SUCCESS)
        return fail_body(relay, rv);
    last = relay->body_done && fetched_bytes(relay) == (apr_off_t)bytes;
    pyd_wire_writer_init(&writer, room, sizeof(room));
    frame = pyd_wire_begin(&writer, PYD_FRAME_BODY, last ? PYD_FRAME_FLAG_LAST : 0);
    pyd_wire_end(&writer, frame);
    /* The payload is sent from where it is; only its size goes into the header. */
    pyd_wire_patch_u32(room, (uint32_t)bytes);
    vectors[0].iov_base = room;
    vectors[0].iov_len = sizeof(room);
    relay->body_taken = 1;
    state = pyd_relay_send(relay, vectors, count + 1);
    drop_sent(relay, bytes);
    return state;
}

enum pyd_relay_state pyd_body_answer(struct pyd_relay *relay, uint32_t wanted_bytes)
{
    apr_size_t most = wanted_bytes < ANSWER_MAX ? wanted_bytes : ANSWER_MAX;
    apr_off_t there = fetched_bytes(relay);

    if (relay->body_status)
        return send_status(relay, HTTP_BAD_REQUEST);
    while (!relay->body_done && there < (apr_off_t)most) {
        /* Wait for the first bytes only, then take what has arrived with them. */
        apr_status_t rv = there == 0 ? fetch_waiting(relay, (apr_off_t)most)
                                     : fetch(relay, (apr_off_t)most - there, APR_NONBLOCK_READ);

        if (there == 0 && APR_STATUS_IS_EAGAIN(rv))
            return PYD_RELAY_OPEN; /* to what the worker said last, and its end; or to find it late */
        if (rv != APR_SUCCESS) {
            if (there == 0)
                return fail_body(relay, rv);
            break; /* nothing more yet, or an error for the next READ */
        }
        there = fetched_bytes(relay);
    }
    return send_body(relay, most);
}
