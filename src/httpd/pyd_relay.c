/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The exchange with one worker: frames in, bytes out. Waits are slices of at
 * most SLICE_MS, after which it looks whether the worker or the client has gone
 * without a sign on its descriptor. They end when the worker is late.
 */
#include "pyd_timeout.h"

#include <apr_portable.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "pyd_clock.h"
#include "pyd_process.h"
#include "pyd_wire.h"

#define SLICE_MS 1000

/* As long as the worker waits for the client, too, the time it has left stands still: not to ask too often. */
#define CLIENT_STEP_US (50 * 1000)

/*
 * A reset; or, on a hard stop, closed by the MPM under our hands (close_worker_sockets() in server/mpm/event/event.c).
 * A client that only closed its sending side (FIN) is not gone: it gives POLLIN and POLLRDHUP, which are not asked for.
 */
#define CLIENT_GONE (POLLERR | POLLHUP | POLLNVAL)

/* Each time anew: on a hard stop the MPM closes the socket, and its number may be another one's already. -1: closed. */
static int client_fd(const struct pyd_relay *relay)
{
    apr_os_sock_t fd = -1;

    return apr_os_sock_get(&fd, relay->client) == APR_SUCCESS ? fd : -1;
}

int pyd_relay_client_gone(struct pyd_relay *relay)
{
    struct pollfd poller = {.fd = -1, .events = 0};

    if (relay->r->connection->aborted)
        return 1;
    if (!relay->client)
        return 0;
    poller.fd = client_fd(relay);
    return poller.fd < 0 || (poll(&poller, 1, 0) > 0 && (poller.revents & CLIENT_GONE));
}

int pyd_relay_worker_gone(const struct pyd_relay *relay)
{
    return pyd_claim_worker_gone(relay->board, &relay->claim) ||
           (relay->pid_start && pyd_process_has_ended((pid_t)relay->pid, relay->pid_start));
}

/* Rounded up: not to look a moment too early, and again, and again. */
static int slice_ms(int64_t left_us)
{
    if (left_us <= 0)
        return 0;
    return left_us < SLICE_MS * 1000 ? (int)((left_us + 999) / 1000) : SLICE_MS;
}

/* Until there is something to be looked at: how long it is if nothing comes. */
static int next_look_ms(const struct pyd_relay *relay, int64_t left_us, int64_t now_us)
{
    int64_t begin_us = relay->begin_by_us - now_us;

    return slice_ms(begin_us > 0 && begin_us < left_us ? begin_us : left_us);
}

/* Nothing has come within the last slice, or for as long as the worker had. */
static enum pyd_relay_state judge_silence(struct pyd_relay *relay, struct pollfd *poller, int64_t left_us)
{
    /* The other end may be in a rendezvous socket nobody reads any more, or in a process the application has
     * forked: no EOF will come then. What a worker sent before it died is still readable. */
    if (pyd_relay_worker_gone(relay))
        return poll(poller, 1, 0) > 0 ? PYD_RELAY_OPEN : PYD_RELAY_LOST;
    if (left_us <= 0)
        return PYD_RELAY_LATE;
    return pyd_timeout_leave(relay, pyd_clock_us()) ? PYD_RELAY_UNBEGUN : PYD_RELAY_OPEN;
}

/* Wait until the worker's descriptor is ready for events. */
static enum pyd_relay_state wait_worker(struct pyd_relay *relay, short events)
{
    struct pollfd pollers[2] = {
        {.fd = relay->backend->fd, .events = events},
        {.fd = -1, .events = 0},
    };

    for (;;) {
        int64_t now_us = pyd_clock_us(), left_us = pyd_timeout_left_us(relay, now_us);
        enum pyd_relay_state state;
        int ready;

        if (relay->client) {
            pollers[1].fd = client_fd(relay);
            if (pollers[1].fd < 0)
                return PYD_RELAY_CLIENT;
        }
        ready = poll(pollers, relay->client ? 2 : 1, next_look_ms(relay, left_us, now_us));
        if (ready > 0 && pollers[0].revents)
            return PYD_RELAY_OPEN;
        if (ready > 0 && (pollers[1].revents & CLIENT_GONE))
            return PYD_RELAY_CLIENT;
        if (relay->r->connection->aborted)
            return PYD_RELAY_CLIENT;
        state = ready == 0 ? judge_silence(relay, pollers, left_us) : PYD_RELAY_OPEN;
        if (state != PYD_RELAY_OPEN)
            return state;
    }
}

int pyd_relay_wait_client(struct pyd_relay *relay)
{
    struct pollfd pollers[2] = {
        {.fd = relay->backend->fd, .events = 0},
        {.fd = client_fd(relay), .events = POLLIN},
    };
    int64_t left_us = pyd_timeout_left_us(relay, pyd_clock_us());
    int ready;

    if (left_us <= 0)
        return 0;
    ready = poll(pollers, 2, slice_ms(left_us > CLIENT_STEP_US ? left_us : CLIENT_STEP_US));
    return !(ready > 0 && pollers[0].revents) && !(ready == 0 && pyd_relay_worker_gone(relay));
}

enum pyd_relay_state pyd_relay_send(struct pyd_relay *relay, struct iovec *vectors, size_t count)
{
    while (count > 0) {
        struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
        ssize_t sent = sendmsg(relay->backend->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && APR_STATUS_IS_EAGAIN(errno)) {
            enum pyd_relay_state state = wait_worker(relay, POLLOUT);

            if (state != PYD_RELAY_OPEN)
                return state;
            continue;
        }
        if (sent < 0)
            return PYD_RELAY_LOST;
        while (count > 0 && (size_t)sent >= vectors->iov_len) {
            sent -= (ssize_t)vectors->iov_len;
            ++vectors;
            --count;
        }
        if (count > 0) {
            vectors->iov_base = (char *)vectors->iov_base + sent;
            vectors->iov_len -= (size_t)sent;
        }
    }
    return PYD_RELAY_OPEN;
}

static enum pyd_relay_state end_frame(struct pyd_relay *relay, const unsigned char *payload, size_t size)
{
    struct pyd_wire_reader reader;
    uint64_t spent_us;
    uint8_t how;

    pyd_wire_reader_init(&reader, payload, size);
    how = pyd_wire_read_u8(&reader);
    if (reader.bad || how > PYD_END_CUT)
        return pyd_report_broken(relay, "an END frame of an unknown kind");
    spent_us = pyd_wire_read_u64(&reader);
    relay->app_us = spent_us > INT64_MAX ? INT64_MAX : (int64_t)spent_us;
    return how == PYD_END_OK ? PYD_RELAY_DONE : PYD_RELAY_CUT;
}

static enum pyd_relay_state read_frame(struct pyd_relay *relay, const unsigned char *payload, size_t size)
{
    struct pyd_wire_reader reader;
    enum pyd_relay_state state = PYD_RELAY_OPEN;
    uint32_t wanted;

    pyd_wire_reader_init(&reader, payload, size);
    wanted = pyd_wire_read_u32(&reader);
    if (reader.bad || wanted == 0)
        return pyd_report_broken(relay, "READ for nothing");
    /* The client may wait for this part of the response before it sends more. */
    if (relay->unflushed || !pyd_brigade_is_empty(relay->output))
        state = pyd_response_pass(relay, 1);
    return state == PYD_RELAY_OPEN ? pyd_body_answer(relay, wanted) : state;
}

/* A frame of any type but BODY, complete and in order. */
static enum pyd_relay_state act(struct pyd_relay *relay, uint8_t type, const unsigned char *payload, size_t size)
{
    switch (type) {
    case PYD_FRAME_LOG:
        pyd_report_lines(relay, payload, size);
        return PYD_RELAY_OPEN;
    case PYD_FRAME_EARLY:
        return pyd_response_early(relay, payload, size);
    case PYD_FRAME_READ:
        return read_frame(relay, payload, size);
    case PYD_FRAME_HEAD:
        return pyd_response_head(relay, payload, size);
    case PYD_FRAME_END:
        return end_frame(relay, payload, size);
    case PYD_FRAME_FAIL:
        pyd_report_failure(relay, payload, size);
        return PYD_RELAY_FAILED;
    case PYD_FRAME_REFUSE:
        return PYD_RELAY_REFUSED;
    default:
        return pyd_report_broken(relay, "a frame of an unknown type");
    }
}

static void take_body(struct pyd_relay *relay)
{
    struct pyd_backend *backend = relay->backend;
    size_t size = backend->in_end - backend->in_at;

    if (size > relay->body_left)
        size = relay->body_left;
    pyd_response_body(relay, backend->in + backend->in_at, size);
    backend->in_at += size;
    relay->body_left -= (uint32_t)size;
}

/* Act on the next frame, if there is enough of it. *ret_more: there is not. */
static enum pyd_relay_state next_frame(struct pyd_relay *relay, int *ret_more)
{
    struct pyd_backend *backend = relay->backend;
    const unsigned char *at = backend->in + backend->in_at;
    size_t there = backend->in_end - backend->in_at;
    struct pyd_wire_frame frame;
    enum pyd_wire_result result = pyd_wire_peek(at, there, &frame);
    size_t bytes;
    const char *wrong;

    if (result == PYD_WIRE_BAD)
        return pyd_report_broken(relay, "bytes that are no frame");
    if (result == PYD_WIRE_MORE) {
        *ret_more = 1;
        return PYD_RELAY_OPEN;
    }
    bytes = PYD_WIRE_HEADER_BYTES + (size_t)frame.payload_bytes;
    if (frame.type != PYD_FRAME_BODY && there < bytes) {
        relay->frame_bytes = bytes;
        *ret_more = 1;
        return PYD_RELAY_OPEN;
    }
    wrong = pyd_flow_accept(&relay->flow, &frame);
    if (wrong)
        return pyd_report_broken(relay, wrong);
    if (frame.type == PYD_FRAME_BODY) {
        backend->in_at += PYD_WIRE_HEADER_BYTES;
        relay->body_left = frame.payload_bytes;
        return PYD_RELAY_OPEN;
    }
    backend->in_at += bytes;
    return act(relay, frame.type, at + PYD_WIRE_HEADER_BYTES, frame.payload_bytes);
}

/* Act on everything that has been received. */
static enum pyd_relay_state consume(struct pyd_relay *relay)
{
    enum pyd_relay_state state = PYD_RELAY_OPEN;
    int more = 0;

    relay->frame_bytes = 0;
    while (state == PYD_RELAY_OPEN && !more) {
        if (relay->body_left > 0) {
            take_body(relay);
            more = relay->body_left > 0;
        } else {
            state = next_frame(relay, &more);
        }
    }
    return state;
}

/* Receive what is there, or wait for it; before waiting, let the client have what there is so far. */
static enum pyd_relay_state receive(struct pyd_relay *relay)
{
    size_t before = relay->backend->in_end;
    enum pyd_relay_state state;
    apr_status_t rv;

    for (;;) {
        rv = pyd_backend_receive(relay->backend);
        if (rv == APR_SUCCESS) {
            pyd_timeout_received(relay, relay->backend->in_end - before);
            return PYD_RELAY_OPEN;
        }
        if (rv != APR_EAGAIN)
            return PYD_RELAY_LOST;
        if (relay->unflushed) {
            state = pyd_response_pass(relay, 1);
            if (state != PYD_RELAY_OPEN)
                return state;
        }
        state = wait_worker(relay, POLLIN);
        if (state != PYD_RELAY_OPEN)
            return state;
    }
}

enum pyd_relay_state pyd_relay_run(struct pyd_relay *relay)
{
    /* Nothing can be there yet: spare a call. */
    enum pyd_relay_state state = wait_worker(relay, POLLIN);

    while (state == PYD_RELAY_OPEN) {
        state = receive(relay);
        if (state == PYD_RELAY_OPEN && pyd_timeout_was_found(relay))
            return PYD_RELAY_LATE;
        if (state == PYD_RELAY_OPEN)
            state = consume(relay);
        if (state != PYD_RELAY_OPEN)
            return state;
        if (!pyd_brigade_is_empty(relay->output))
            state = pyd_response_pass(relay, 0);
        if (state == PYD_RELAY_OPEN && pyd_backend_reserve(relay->backend, relay->frame_bytes) != APR_SUCCESS) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, APR_ENOMEM, relay->r,
                          PYD_LOGNO(0222) "no memory for a frame of %" APR_SIZE_T_FMT
                                          " bytes from worker pid=%d of '%s' for %s",
                          relay->frame_bytes, (int)relay->pid, relay->name, relay->what);
            return PYD_RELAY_BROKEN;
        }
        if (state == PYD_RELAY_OPEN && pyd_timeout_is_over(relay))
            return PYD_RELAY_LATE;
    }
    return state;
}

void pyd_relay_let_go(struct pyd_relay *relay, enum pyd_relay_end end)
{
    struct pyd_backend *backend = relay->backend;

    relay->backend = NULL;
    pyd_backend_release(backend, end == PYD_RELAY_ENDED);
    if (!relay->claimed)
        return;
    relay->claimed = 0;
    if (end == PYD_RELAY_ABANDON)
        pyd_claim_orphan(relay->board, &relay->claim);
    else
        pyd_claim_release(relay->board, &relay->claim);
}
