/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_exchange.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "pyd_clock.h"
#include "pyd_exchange_core.h"
#include "pyd_keeper.h"
#include "pyd_log.h"

static _Atomic int forked;

static void note_fork(void)
{
    atomic_store(&forked, 1);
}

int pyd_exchange_watch_forks(void)
{
    return pthread_atfork(NULL, NULL, note_fork);
}

int pyd_exchange_forked(void)
{
    return atomic_load_explicit(&forked, memory_order_relaxed);
}

void pyd_exchange_init(struct pyd_exchange *exchange, struct pyd_conn *conn, struct pyd_lane *lane,
                       const struct pyd_wire_request *request)
{
    memset(exchange, 0, sizeof(*exchange));
    exchange->conn = conn;
    exchange->lane = lane;
    exchange->set = &conn->sets[request->const_id];
    exchange->request = *request;
    exchange->record = &lane->service->status->request[request->claim];
    pyd_buf_clear(&lane->out);
    pyd_buf_clear(&lane->head);
}

int pyd_exchange_begin(struct pyd_exchange *exchange)
{
    struct pyd_service *service = exchange->lane->service;
    int rv;

    if (atomic_load(&service->stopping)) /* it may have waited for the runtime's lock since pyd_service_enter() */
        return ESTALE;
    /* Before the state that makes it count. If it does not come to that nobody reads it. */
    atomic_store(&exchange->record->memory_bytes, pyd_service_memory(service));
    exchange->start_us = pyd_clock_us();
    rv = pyd_status_begin(exchange->record, exchange->request.seq, exchange->start_us, exchange->lane->tid);
    exchange->begun = !rv;
    return rv;
}

const struct pyd_wire_request *pyd_exchange_request(const struct pyd_exchange *exchange)
{
    return &exchange->request;
}

const struct pyd_wire_const *pyd_exchange_const(const struct pyd_exchange *exchange)
{
    return &exchange->set->wire;
}

void *pyd_exchange_const_data(const struct pyd_exchange *exchange)
{
    return exchange->set->data;
}

void pyd_exchange_const_set_data(struct pyd_exchange *exchange, void *data, void (*free_fn)(void *data))
{
    if (exchange->set->free_fn)
        exchange->set->free_fn(exchange->set->data);
    exchange->set->data = data;
    exchange->set->free_fn = free_fn;
}

static int broken(struct pyd_exchange *exchange)
{
    exchange->broken = 1;
    return ECONNRESET;
}

int pyd_exchange_is_broken(const struct pyd_exchange *exchange)
{
    return exchange->broken || pyd_exchange_forked();
}

/* Once it has ended the record may be another request's. */
int pyd_exchange_wait_begin(struct pyd_exchange *exchange)
{
    if (exchange->waiting_since_us)
        return 0;
    exchange->waiting_since_us = pyd_clock_us();
    if (!exchange->ended)
        pyd_status_wait(exchange->record, exchange->waiting_since_us);
    return 1;
}

void pyd_exchange_wait_end(struct pyd_exchange *exchange, int begun)
{
    int64_t now_us;

    if (!begun)
        return;
    now_us = pyd_clock_us();
    exchange->waited_us += now_us - exchange->waiting_since_us;
    exchange->waiting_since_us = 0;
    if (!exchange->ended)
        pyd_status_wait_end(exchange->record, now_us);
}

int pyd_exchange_wait(struct pyd_exchange *exchange, short events)
{
    struct pollfd polled = {.fd = exchange->conn->fd, .events = (short)(events | POLLRDHUP)};
    int rv, begun;

    if (pyd_exchange_is_broken(exchange))
        return ECONNRESET;
    begun = pyd_exchange_wait_begin(exchange);
    do
        rv = poll(&polled, 1, -1);
    while (rv < 0 && errno == EINTR);
    pyd_exchange_wait_end(exchange, begun);
    if (rv < 0)
        return broken(exchange);
    if (polled.revents & events & POLLIN) /* what has come is read, also when it is the last */
        return 0;
    return polled.revents & (POLLERR | POLLHUP | POLLRDHUP | POLLNVAL) ? broken(exchange) : 0;
}

/* ---- Output ---- */

static size_t pending(const struct pyd_exchange *exchange)
{
    return exchange->lane->out.size - exchange->out_at;
}

static void clear_out(struct pyd_exchange *exchange)
{
    pyd_buf_clear(&exchange->lane->out);
    exchange->out_at = 0;
}

/* Bytes that are sent are dropped only now and then: moving the rest down each time would cost more than it saves. */
static void make_room(struct pyd_exchange *exchange)
{
    if (exchange->out_at && exchange->out_at >= pending(exchange)) {
        pyd_buf_consume(&exchange->lane->out, exchange->out_at);
        exchange->out_at = 0;
    }
}

static void fill_frame_header(unsigned char room[PYD_WIRE_HEADER_BYTES], enum pyd_frame_type type, size_t payload_bytes)
{
    struct pyd_wire_writer writer;
    unsigned char *frame;

    pyd_wire_writer_init(&writer, room, PYD_WIRE_HEADER_BYTES);
    frame = pyd_wire_begin(&writer, type, 0);
    pyd_wire_patch_u32(frame, (uint32_t)payload_bytes); /* the payload is written elsewhere */
}

/* A frame whose payload is prefix (may be empty) and data. */
static void append_frame(struct pyd_exchange *exchange, enum pyd_frame_type type, const struct pyd_wire_str *prefix,
                         const void *data, size_t size)
{
    struct pyd_buf *out = &exchange->lane->out;
    size_t total = PYD_WIRE_HEADER_BYTES + prefix->size + size;
    unsigned char *room;

    make_room(exchange);
    room = pyd_buf_reserve(out, total);
    if (!room)
        return;
    fill_frame_header(room, type, prefix->size + size);
    room += PYD_WIRE_HEADER_BYTES;
    if (prefix->size)
        memcpy(room, prefix->data, prefix->size);
    if (size)
        memcpy(room + prefix->size, data, size);
    out->size += total;
}

static const struct pyd_wire_str NOTHING;

int pyd_exchange_push(struct pyd_exchange *exchange)
{
    struct pyd_buf *out = &exchange->lane->out;
    size_t size = pending(exchange);
    ssize_t sent;

    if (pyd_exchange_is_broken(exchange))
        return ECONNRESET;
    if (out->failed || exchange->lane->head.failed) /* a frame is missing: nothing after it makes sense */
        return broken(exchange);
    if (!size)
        return 0;
    do
        sent = send(exchange->conn->fd, out->data + exchange->out_at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? EAGAIN : broken(exchange);
    if ((size_t)sent < size) {
        exchange->out_at += (size_t)sent;
        return EAGAIN;
    }
    clear_out(exchange);
    return 0;
}

int pyd_exchange_flush(struct pyd_exchange *exchange)
{
    if (pyd_exchange_is_broken(exchange))
        return ECONNRESET;
    if (exchange->full && !pending(exchange)) {
        int rv = pyd_exchange_wait(exchange, POLLOUT);

        if (rv)
            return rv;
    }
    exchange->full = 0;
    for (;;) {
        int rv = pyd_exchange_push(exchange);

        if (rv != EAGAIN)
            return rv;
        rv = pyd_exchange_wait(exchange, POLLOUT);
        if (rv)
            return rv;
    }
}

/*
 * One BODY frame, straight from the application's memory, behind what is pending. Its header promises all of it,
 * so once a byte of it has gone out the rest is kept, which is at most PYD_EXCHANGE_FRAME_MAX.
 * Returns 0, EAGAIN (nothing of this frame has been sent), ECONNRESET.
 */
static int send_body(struct pyd_exchange *exchange, const unsigned char *data, size_t size)
{
    struct pyd_buf *out = &exchange->lane->out;
    unsigned char header[PYD_WIRE_HEADER_BYTES];
    size_t before = pending(exchange), done;
    ssize_t sent;
    struct iovec parts[3] = {
        {.iov_base = before ? out->data + exchange->out_at : header, .iov_len = before},
        {.iov_base = header, .iov_len = sizeof(header)},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = size}, /* sendmsg does not write */
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};

    fill_frame_header(header, PYD_FRAME_BODY, size);
    do
        sent = sendmsg(exchange->conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return broken(exchange);
    done = sent < 0 ? 0 : (size_t)sent;
    if (done < before) {
        exchange->out_at += done;
        return EAGAIN;
    }
    clear_out(exchange);
    done -= before;
    if (!done) {
        exchange->full = 1;
        return EAGAIN;
    }
    if (done < sizeof(header)) {
        pyd_buf_append(out, header + done, sizeof(header) - done);
        done = sizeof(header);
    }
    done -= sizeof(header);
    pyd_buf_append(out, data + done, size - done);
    return out->failed ? broken(exchange) : 0;
}

int pyd_exchange_write(struct pyd_exchange *exchange, const void *data, size_t size, size_t *ret_taken)
{
    struct pyd_buf *out = &exchange->lane->out;
    size_t taken = 0;
    int rv = 0;

    *ret_taken = 0;
    if (pyd_exchange_is_broken(exchange) || exchange->gone || exchange->ended)
        return ECONNRESET;
    if (out->failed || exchange->lane->head.failed)
        return ENOMEM;
    if (size && size <= PYD_EXCHANGE_COPY_MAX && pending(exchange) + size <= PYD_EXCHANGE_OUT_MAX) {
        append_frame(exchange, PYD_FRAME_BODY, &NOTHING, data, size);
        if (out->failed)
            return ENOMEM;
        *ret_taken = size;
        return 0;
    }
    while (taken < size && !rv) {
        size_t part = size - taken < PYD_EXCHANGE_FRAME_MAX ? size - taken : PYD_EXCHANGE_FRAME_MAX;

        rv = send_body(exchange, (const unsigned char *)data + taken, part);
        if (!rv)
            taken += part;
    }
    *ret_taken = taken;
    return rv;
}

/* ---- Heads: built aside, since log lines may come between two headers ---- */

static void begin_head(struct pyd_exchange *exchange, enum pyd_frame_type type, uint16_t status,
                       const struct pyd_wire_str *reason)
{
    struct pyd_buf *head = &exchange->lane->head;
    size_t bytes = PYD_WIRE_HEADER_BYTES + 32 + reason->size;
    struct pyd_wire_writer writer;
    unsigned char *room;

    if (exchange->head_open || exchange->head_done || exchange->ended)
        return;
    pyd_buf_clear(head);
    room = pyd_buf_reserve(head, bytes);
    if (!room)
        return;
    pyd_wire_writer_init(&writer, room, bytes);
    pyd_wire_begin(&writer, type, 0);
    if (type == PYD_FRAME_HEAD)
        pyd_wire_write_head(&writer, status, reason->data, reason->size);
    exchange->count_at = (size_t)(writer.at - room);
    pyd_wire_reserve_u32(&writer);
    head->size = (size_t)(writer.at - room);
    head->failed = writer.bad; /* no such status */
    exchange->header_count = 0;
    exchange->head_open = 1;
    exchange->head_final = type == PYD_FRAME_HEAD;
}

void pyd_exchange_head(struct pyd_exchange *exchange, uint16_t status, const char *reason, size_t reason_bytes)
{
    struct pyd_wire_str text = {reason, (uint32_t)(reason_bytes < PYD_EXCHANGE_OUT_MAX ? reason_bytes : 0)};

    begin_head(exchange, PYD_FRAME_HEAD, status, &text);
}

void pyd_exchange_early(struct pyd_exchange *exchange)
{
    begin_head(exchange, PYD_FRAME_EARLY, 103, &NOTHING);
}

void pyd_exchange_header(struct pyd_exchange *exchange, const char *name, size_t name_bytes, const char *value,
                         size_t value_bytes)
{
    struct pyd_buf *head = &exchange->lane->head;
    struct pyd_wire_writer writer;
    unsigned char *room;

    if (!exchange->head_open || head->failed)
        return;
    if (name_bytes > PYD_WIRE_CONTROL_MAX || value_bytes > PYD_WIRE_CONTROL_MAX ||
        head->size + name_bytes + value_bytes + 8 > PYD_WIRE_CONTROL_MAX) {
        head->failed = 1; /* httpd would refuse the frame */
        return;
    }
    room = pyd_buf_reserve(head, name_bytes + value_bytes + 8);
    if (!room)
        return;
    pyd_wire_writer_init(&writer, room, name_bytes + value_bytes + 8);
    pyd_wire_write_str(&writer, name, name_bytes);
    pyd_wire_write_str(&writer, value, value_bytes);
    head->size += (size_t)(writer.at - room);
    exchange->header_count++;
}

void pyd_exchange_head_done(struct pyd_exchange *exchange)
{
    struct pyd_buf *head = &exchange->lane->head;
    struct pyd_wire_writer writer;

    if (!exchange->head_open)
        return;
    exchange->head_open = 0;
    if (head->failed)
        return;
    pyd_wire_patch_u32(head->data + exchange->count_at, exchange->header_count);
    pyd_wire_writer_init(&writer, head->data, head->size);
    writer.at += head->size;
    pyd_wire_end(&writer, head->data);
    make_room(exchange);
    pyd_buf_append(&exchange->lane->out, head->data, head->size);
    pyd_buf_clear(head);
    exchange->head_done = exchange->head_final;
}

/* ---- Log lines ---- */

/* Cut a long text at the end of a line where there is one. */
static size_t log_part(const char *text, size_t size)
{
    const char *newline;

    if (size <= PYD_EXCHANGE_OUT_MAX)
        return size;
    newline = memrchr(text, '\n', PYD_EXCHANGE_OUT_MAX);
    return newline ? (size_t)(newline - text) + 1 : PYD_EXCHANGE_OUT_MAX;
}

size_t pyd_exchange_log(struct pyd_exchange *exchange, int level, const char *text, size_t size)
{
    char level_byte = (char)level;
    struct pyd_wire_str prefix = {&level_byte, 1};
    size_t taken = 0;

    while (taken < size) {
        size_t part = log_part(text + taken, size - taken);

        if (pending(exchange) + part > PYD_EXCHANGE_LOG_MAX)
            pyd_exchange_push(exchange);
        if (exchange->ended || pyd_exchange_is_broken(exchange) ||
            pending(exchange) + part > PYD_EXCHANGE_LOG_MAX)
            break;
        append_frame(exchange, PYD_FRAME_LOG, &prefix, text + taken, part);
        if (exchange->lane->out.failed)
            break;
        taken += part;
    }
    return taken;
}

/* ---- The end ---- */

int pyd_exchange_disconnected(struct pyd_exchange *exchange)
{
    struct pollfd polled = {.fd = exchange->conn->fd, .events = POLLRDHUP};
    int rv;

    if (pyd_exchange_is_broken(exchange) || exchange->gone)
        return 1;
    do
        rv = poll(&polled, 1, 0);
    while (rv < 0 && errno == EINTR);
    if (rv < 0 || (polled.revents & (POLLERR | POLLHUP | POLLRDHUP | POLLNVAL))) {
        broken(exchange);
        return 1;
    }
    return 0;
}

/* The last frame. The status says DONE before it leaves: who has read it may use the claim again. */
static void finish(struct pyd_exchange *exchange, enum pyd_frame_type type, const void *payload, size_t size)
{
    exchange->ended = 1;
    if (pyd_exchange_forked())
        return;
    pyd_status_end(exchange->record, exchange->request.seq);
    atomic_fetch_add(&exchange->lane->service->status->requests, 1);
    append_frame(exchange, type, &NOTHING, payload, size);
    pyd_exchange_push(exchange);
}

void pyd_exchange_end(struct pyd_exchange *exchange, int cut)
{
    int64_t spent_us = pyd_clock_us() - exchange->start_us - exchange->waited_us;
    unsigned char payload[9];
    struct pyd_wire_writer writer;

    if (exchange->ended)
        return;
    if (!exchange->head_done) {
        pyd_exchange_fail(exchange, PYD_FAIL_EXCEPTION, NULL);
        return;
    }
    pyd_wire_writer_init(&writer, payload, sizeof(payload));
    pyd_wire_write_u8(&writer, (uint8_t)(cut ? PYD_END_CUT : PYD_END_OK));
    pyd_wire_write_u64(&writer, spent_us > 0 ? (uint64_t)spent_us : 0);
    finish(exchange, PYD_FRAME_END, payload, sizeof(payload));
}

void pyd_exchange_fail(struct pyd_exchange *exchange, enum pyd_wire_fail reason, const char *rule)
{
    unsigned char payload[512];
    struct pyd_wire_writer writer;
    size_t bytes = rule ? strnlen(rule, sizeof(payload) - 8) : 0;

    if (exchange->ended)
        return;
    if (exchange->head_done) { /* too late for another answer */
        pyd_exchange_end(exchange, 1);
        return;
    }
    pyd_buf_clear(&exchange->lane->head); /* one that grew too long, or was not finished, does not matter any more */
    exchange->head_open = 0;
    pyd_wire_writer_init(&writer, payload, sizeof(payload));
    pyd_wire_write_u8(&writer, (uint8_t)reason);
    pyd_wire_write_str(&writer, rule ? rule : "", bytes);
    finish(exchange, PYD_FRAME_FAIL, payload, (size_t)(writer.at - payload));
}

int pyd_exchange_done(struct pyd_exchange *exchange)
{
    int usable;

    if (!exchange->ended) {
        pyd_log(PYD_LOG_ERR, (int)exchange->lane->service->job.group,
                PYD_LOGNO(0810) "The runtime left a request without an end; the response is cut.");
        if (exchange->head_done)
            pyd_exchange_end(exchange, 1);
        else
            pyd_exchange_fail(exchange, PYD_FAIL_EXCEPTION, NULL);
    }
    usable = !pyd_exchange_flush(exchange) && pyd_exchange_drain(exchange);
    /* httpd has given the request up while it ran, and could not use the claim again: nobody there knows of its end. */
    if (exchange->broken)
        pyd_keeper_look();
    return usable;
}
