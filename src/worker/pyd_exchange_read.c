/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "pyd_exchange_core.h"

/* What may be thrown away to save a connection. */
#define DRAIN_BYTES (64u << 10)

/* First what came in one piece with the request, then the socket. *ret_got is at least 1. 0, EAGAIN, ECONNRESET */
static int take_bytes(struct pyd_exchange *exchange, void *data, size_t size, size_t *ret_got)
{
    struct pyd_conn *conn = exchange->conn;
    size_t left = conn->in.size - conn->in_at;
    ssize_t got;

    if (pyd_exchange_is_broken(exchange))
        return ECONNRESET;
    if (left) {
        *ret_got = left < size ? left : size;
        memcpy(data, conn->in.data + conn->in_at, *ret_got);
        conn->in_at += *ret_got;
        return 0;
    }
    do
        got = recv(conn->fd, data, size, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return EAGAIN;
    if (got <= 0) {
        exchange->broken = 1;
        return ECONNRESET;
    }
    *ret_got = (size_t)got;
    return 0;
}

static int wait_bytes(struct pyd_exchange *exchange, void *data, size_t size, size_t *ret_got)
{
    for (;;) {
        int rv = take_bytes(exchange, data, size, ret_got);

        if (rv != EAGAIN)
            return rv;
        rv = pyd_exchange_wait(exchange, POLLIN);
        if (rv)
            return rv;
    }
}

static int wait_exactly(struct pyd_exchange *exchange, unsigned char *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        size_t got = 0;
        int rv = wait_bytes(exchange, data + have, size - have, &got);

        if (rv)
            return rv;
        have += got;
    }
    return 0;
}

static int send_read(struct pyd_exchange *exchange, size_t size)
{
    unsigned char frame[PYD_WIRE_HEADER_BYTES + 4];
    struct pyd_wire_writer writer;
    unsigned char *start;

    pyd_wire_writer_init(&writer, frame, sizeof(frame));
    start = pyd_wire_begin(&writer, PYD_FRAME_READ, 0);
    pyd_wire_write_u32(&writer, (uint32_t)(size < PYD_WIRE_BODY_MAX ? size : PYD_WIRE_BODY_MAX));
    pyd_wire_end(&writer, start);
    pyd_buf_append(&exchange->lane->out, frame, sizeof(frame));
    return pyd_exchange_flush(exchange);
}

/* The answer to READ, up to where its payload begins. */
static int take_answer(struct pyd_exchange *exchange)
{
    unsigned char header[PYD_WIRE_HEADER_BYTES], status[2];
    struct pyd_wire_frame frame;
    struct pyd_wire_reader reader;
    int rv = wait_exactly(exchange, header, sizeof(header));

    if (rv)
        return rv;
    if (pyd_wire_peek(header, sizeof(header), &frame) != PYD_WIRE_FRAME)
        goto bad;
    if (frame.type == PYD_FRAME_BODY) {
        exchange->body_left = frame.payload_bytes;
        exchange->body_last = (frame.flags & PYD_FRAME_FLAG_LAST) != 0;
        return 0;
    }
    if (frame.type != PYD_FRAME_BODY_FAIL || frame.payload_bytes != sizeof(status))
        goto bad;
    rv = wait_exactly(exchange, status, sizeof(status));
    if (rv)
        return rv;
    pyd_wire_reader_init(&reader, status, sizeof(status));
    exchange->body_status = pyd_wire_read_u16(&reader);
    if (exchange->body_status)
        return 0;
    /* httpd is there and waits for the end of this exchange, the client is not. */
    exchange->gone = 1;
    return ECONNRESET;

bad:
    exchange->broken = 1;
    return ECONNRESET;
}

static int read_inline(struct pyd_exchange *exchange, void *data, size_t size, size_t *ret_size)
{
    const struct pyd_wire_str *body = &exchange->request.body;
    size_t left = body->size - exchange->inline_at;
    size_t part = left < size ? left : size;

    if (part)
        memcpy(data, body->data + exchange->inline_at, part);
    exchange->inline_at += part;
    *ret_size = part;
    return 0;
}

/* httpd leaves out of the request's time what passes while it waits for the client, from READ on: so this side has to
 * be waiting by then. */
static int ask_body(struct pyd_exchange *exchange, size_t size)
{
    int begun = pyd_exchange_wait_begin(exchange);
    int rv = send_read(exchange, size);

    if (!rv)
        rv = take_answer(exchange);
    pyd_exchange_wait_end(exchange, begun);
    return rv;
}

int pyd_exchange_read(struct pyd_exchange *exchange, void *data, size_t size, size_t *ret_size, int *ret_status)
{
    if (exchange->request.flags & PYD_REQUEST_BODY_INLINE)
        return read_inline(exchange, data, size, ret_size);
    if (pyd_exchange_is_broken(exchange) || exchange->gone || exchange->ended)
        return ECONNRESET;
    for (;;) {
        int rv;

        if (exchange->body_status) {
            *ret_status = exchange->body_status;
            return EIO;
        }
        if (exchange->body_left) {
            size_t part = size < exchange->body_left ? size : exchange->body_left, got = 0;

            rv = wait_bytes(exchange, data, part, &got);
            if (rv)
                return rv;
            exchange->body_left -= (uint32_t)got;
            *ret_size = got;
            return 0;
        }
        if (exchange->body_last || !(exchange->request.flags & PYD_REQUEST_HAS_BODY)) {
            *ret_size = 0;
            return 0;
        }
        rv = ask_body(exchange, size);
        if (rv)
            return rv;
    }
}

int pyd_exchange_drain(struct pyd_exchange *exchange)
{
    unsigned char thrown[4096];

    if (exchange->body_left > DRAIN_BYTES)
        return 0;
    while (exchange->body_left) {
        size_t part = exchange->body_left < sizeof(thrown) ? exchange->body_left : sizeof(thrown), got = 0;

        if (take_bytes(exchange, thrown, part, &got))
            return 0;
        exchange->body_left -= (uint32_t)got;
    }
    return 1;
}
