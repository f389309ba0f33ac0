/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pyd_exchange_core.h"
#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_manager.h"

/* Room for one recv: a request of a browser with its cookies is a few KiB. */
#define RECEIVE_BYTES (16u << 10)
/* A frame that is announced to be longer gets memory as it comes, so that announcing costs the peer as much as us. */
#define RECEIVE_STEP (256u << 10)

static void clear_set(struct pyd_conn_set *set)
{
    if (set->free_fn)
        set->free_fn(set->data);
    free(set->payload);
    memset(set, 0, sizeof(*set));
}

struct pyd_conn *pyd_conn_create(int fd)
{
    struct pyd_conn *conn = calloc(1, sizeof(*conn));

    if (!conn) {
        pyd_fd_close(&fd);
        return NULL;
    }
    conn->fd = fd;
    return conn;
}

void pyd_conn_destroy(struct pyd_conn *conn)
{
    if (!conn)
        return;
    for (size_t i = 0; i < PYD_WIRE_CONSTS_MAX; i++)
        clear_set(&conn->sets[i]);
    pyd_buf_done(&conn->in);
    /* A process that the application forked without exec has a copy: the peer would wait for its end in vain. */
    shutdown(conn->fd, SHUT_RDWR);
    pyd_fd_close(&conn->fd);
    free(conn);
}

static enum pyd_conn_next refuse_peer(const struct pyd_conn *conn, const struct pyd_lane *lane, const char *why)
{
    pyd_log(PYD_LOG_INFO, (int)lane->service->job.group, "Connection %d from httpd closed: %s.", conn->fd, why);
    return PYD_CONN_CLOSE;
}

static enum pyd_conn_next take_hello(struct pyd_conn *conn, const struct pyd_lane *lane, const unsigned char *payload,
                                     size_t size)
{
    const struct pyd_worker_job *job = &lane->service->job;
    struct pyd_wire_reader reader;
    uint32_t version, generation, epoch;

    pyd_wire_reader_init(&reader, payload, size);
    version = pyd_wire_read_u32(&reader);
    generation = pyd_wire_read_u32(&reader);
    epoch = pyd_wire_read_u32(&reader);
    if (reader.bad || reader.at != reader.end || conn->greeted)
        return refuse_peer(conn, lane, "malformed or repeated greeting");
    if (version != PYD_WIRE_VERSION)
        return refuse_peer(conn, lane, "it speaks another version of the protocol");
    if (generation != job->generation || epoch != job->epoch) {
        /* Meant for the worker that had this slot before; httpd asks another one. */
        pyd_log(PYD_LOG_DEBUG, (int)job->group, "Connection for worker %u.%u closed: this is %u.%u.", generation, epoch,
                job->generation, job->epoch);
        return PYD_CONN_CLOSE;
    }
    conn->greeted = 1;
    return PYD_CONN_WAIT;
}

static enum pyd_conn_next take_const(struct pyd_conn *conn, const struct pyd_lane *lane, const unsigned char *payload,
                                     size_t size)
{
    struct pyd_wire_const wire;
    struct pyd_conn_set *set;
    unsigned char *copy;

    if (pyd_wire_decode_const(payload, size, &wire) || wire.id >= PYD_WIRE_CONSTS_MAX)
        return refuse_peer(conn, lane, "malformed constant set");
    copy = malloc(size);
    if (!copy)
        return refuse_peer(conn, lane, "out of memory");
    memcpy(copy, payload, size);
    set = &conn->sets[wire.id];
    clear_set(set);
    if (pyd_wire_decode_const(copy, size, &set->wire)) {
        free(copy);
        return refuse_peer(conn, lane, "malformed constant set");
    }
    set->payload = copy;
    return PYD_CONN_WAIT;
}

static enum pyd_conn_next send_refusal(const struct pyd_conn *conn)
{
    unsigned char room[PYD_WIRE_HEADER_BYTES];
    struct pyd_wire_writer writer;
    ssize_t sent;

    pyd_wire_writer_init(&writer, room, sizeof(room));
    pyd_wire_end(&writer, pyd_wire_begin(&writer, PYD_FRAME_REFUSE, 0));
    do
        sent = send(conn->fd, room, sizeof(room), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof(room) ? PYD_CONN_WAIT : PYD_CONN_CLOSE;
}

static enum pyd_conn_next run(struct pyd_conn *conn, struct pyd_lane *lane, const struct pyd_wire_request *request)
{
    struct pyd_service *service = lane->service;
    struct pyd_exchange exchange;
    int usable;

    if (!pyd_service_enter(service))
        return send_refusal(conn);
    pyd_exchange_init(&exchange, conn, lane, request);
    service->ops->run(lane->app_state, &exchange);
    /* What the application forked and let come back here (the runtime should have ended it) would be a second worker
     * on the same connections. The pid tells of clone(2), which runs no handlers. */
    if (pyd_exchange_forked() || getpid() != service->pid)
        _exit(PYD_EXIT_OK);
    if (!exchange.begun) {
        pyd_service_leave(service);
        return send_refusal(conn);
    }
    usable = pyd_exchange_done(&exchange);
    pyd_service_leave(service);
    return usable ? PYD_CONN_WAIT : PYD_CONN_CLOSE;
}

static enum pyd_conn_next take_request(struct pyd_conn *conn, struct pyd_lane *lane, const unsigned char *payload,
                                       size_t size)
{
    struct pyd_wire_request request;

    if (pyd_wire_decode_request(payload, size, &request))
        return refuse_peer(conn, lane, "malformed request");
    if (request.claim >= lane->service->job.threads)
        return refuse_peer(conn, lane, "request for a thread that does not exist");
    if (request.const_id >= PYD_WIRE_CONSTS_MAX || !conn->sets[request.const_id].payload)
        return refuse_peer(conn, lane, "request with an unknown constant set");
    return run(conn, lane, &request);
}

static enum pyd_conn_next take_frame(struct pyd_conn *conn, struct pyd_lane *lane, const struct pyd_wire_frame *frame,
                                     const unsigned char *payload)
{
    if (frame->type == PYD_FRAME_HELLO)
        return take_hello(conn, lane, payload, frame->payload_bytes);
    if (!conn->greeted)
        return refuse_peer(conn, lane, "no greeting");
    if (frame->type == PYD_FRAME_CONST)
        return take_const(conn, lane, payload, frame->payload_bytes);
    if (frame->type == PYD_FRAME_REQUEST)
        return take_request(conn, lane, payload, frame->payload_bytes);
    return refuse_peer(conn, lane, "unexpected frame");
}

/* Each frame is done with before it is handled: what follows it may be body bytes, which the exchange takes. */
static enum pyd_conn_next take_frames(struct pyd_conn *conn, struct pyd_lane *lane)
{
    for (;;) {
        const unsigned char *at = conn->in.data + conn->in_at;
        size_t left = conn->in.size - conn->in_at;
        struct pyd_wire_frame frame;
        enum pyd_wire_result result;

        if (!left)
            return PYD_CONN_WAIT;
        result = pyd_wire_peek(at, left, &frame);
        if (result == PYD_WIRE_BAD)
            return refuse_peer(conn, lane, "malformed frame");
        if (result == PYD_WIRE_MORE || left - PYD_WIRE_HEADER_BYTES < frame.payload_bytes)
            return PYD_CONN_WAIT;
        conn->in_at += PYD_WIRE_HEADER_BYTES + frame.payload_bytes;
        if (take_frame(conn, lane, &frame, at + PYD_WIRE_HEADER_BYTES) == PYD_CONN_CLOSE)
            return PYD_CONN_CLOSE;
    }
}

/* How much room the next recv should have. */
static size_t receive_bytes(const struct pyd_conn *conn)
{
    struct pyd_wire_frame frame;
    size_t missing;

    if (!conn->in.size)
        return RECEIVE_BYTES;
    if (pyd_wire_peek(conn->in.data, conn->in.size, &frame) != PYD_WIRE_FRAME)
        return PYD_WIRE_HEADER_BYTES;
    missing = PYD_WIRE_HEADER_BYTES + (size_t)frame.payload_bytes - conn->in.size;
    return missing < RECEIVE_STEP ? missing : RECEIVE_STEP;
}

static int receive(struct pyd_conn *conn)
{
    unsigned char *room = pyd_buf_reserve(&conn->in, receive_bytes(conn));
    ssize_t got;

    if (!room)
        return ENOMEM;
    do
        got = recv(conn->fd, room, conn->in.capacity - conn->in.size, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    conn->in.size += (size_t)got;
    return got ? 0 : ECONNRESET;
}

static void swap(struct pyd_buf *a, struct pyd_buf *b)
{
    struct pyd_buf kept = *a;

    *a = *b;
    *b = kept;
}

static void keep_small(struct pyd_buf *buf)
{
    if (buf->capacity > PYD_LANE_KEEP_BYTES)
        pyd_buf_done(buf);
    pyd_buf_clear(buf);
}

/* An idle connection has no buffer: memory follows the number of threads, not that of connections. */
static void give_back(struct pyd_conn *conn, struct pyd_lane *lane)
{
    pyd_buf_consume(&conn->in, conn->in_at);
    conn->in_at = 0;
    if (!conn->in.size) {
        if (lane->in.data)
            pyd_buf_done(&conn->in);
        else
            swap(&conn->in, &lane->in);
        keep_small(&lane->in);
    }
    keep_small(&lane->out);
    keep_small(&lane->head);
}

enum pyd_conn_next pyd_conn_serve(struct pyd_conn *conn, struct pyd_lane *lane)
{
    enum pyd_conn_next next = PYD_CONN_WAIT;
    int rv;

    if (!conn->in.data)
        swap(&conn->in, &lane->in);
    rv = receive(conn);
    if (rv && rv != EAGAIN && rv != EWOULDBLOCK)
        next = PYD_CONN_CLOSE; /* nothing to say: this is how idle connections end */
    else if (!rv)
        next = take_frames(conn, lane);
    give_back(conn, lane);
    return next;
}
