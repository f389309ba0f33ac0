/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pyd_wire.h"

/*
 * The input is read twice: as a stream of frames, the way both ends read a connection; and as one frame whose header
 * may lie about its size, so that a mutation that makes a payload longer or shorter still reaches the decoders.
 *
 * Whatever decodes has all its pieces inside its payload, and encodes to the very same bytes: the encoding has no
 * choices.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct payload {
    const uint8_t *data;
    size_t size;
};

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_inside(struct payload payload, struct pyd_wire_str piece)
{
    const uint8_t *data = (const uint8_t *)piece.data;

    check(data != NULL);
    if (piece.size > 0)
        check(data >= payload.data && piece.size <= (size_t)(payload.data + payload.size - data));
}

static void check_text(struct payload payload, struct pyd_wire_str text)
{
    check_inside(payload, text);
    check(memchr(text.data, '\0', text.size) == NULL);
}

/* A string of the decoder's as the C string that some encoder functions take. */
static char *copy_text(struct pyd_wire_str text)
{
    char *copy = malloc((size_t)text.size + 1);

    check(copy != NULL);
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

static void copy_pairs(struct payload payload, struct pyd_wire_reader pairs, uint32_t count,
                       struct pyd_wire_writer *writer)
{
    pyd_wire_write_u32(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        struct pyd_wire_pair pair = pyd_wire_read_pair(&pairs);
        char *name = copy_text(pair.name), *value = copy_text(pair.value);

        check_text(payload, pair.name);
        check_text(payload, pair.value);
        pyd_wire_write_pair(writer, name, value);
        free(name);
        free(value);
    }
    check(!pairs.bad && pairs.at == pairs.end);
}

static int copy_const(struct payload payload, struct pyd_wire_writer *writer)
{
    struct pyd_wire_const set;
    char *target, *callable;

    if (pyd_wire_decode_const(payload.data, payload.size, &set))
        return 0;
    check_text(payload, set.target);
    check_text(payload, set.callable);
    target = copy_text(set.target);
    callable = copy_text(set.callable);
    pyd_wire_write_const(writer, set.id, target, callable);
    copy_pairs(payload, set.pairs, set.pair_count, writer);
    free(target);
    free(callable);
    return 1;
}

static int copy_request(struct payload payload, struct pyd_wire_writer *writer)
{
    struct pyd_wire_request request;

    if (pyd_wire_decode_request(payload.data, payload.size, &request))
        return 0;
    check(request.const_id < PYD_WIRE_CONSTS_MAX && request.content_bytes >= -1);
    check_inside(payload, request.body);
    check(request.body.size == 0 || (request.flags & PYD_REQUEST_BODY_INLINE));
    pyd_wire_write_request(writer, &request);
    copy_pairs(payload, request.pairs, request.pair_count, writer);
    pyd_wire_write_bytes(writer, request.body.data, request.body.size);
    return 1;
}

static int copy_head(struct payload payload, struct pyd_wire_writer *writer)
{
    struct pyd_wire_head head;

    if (pyd_wire_decode_head(payload.data, payload.size, &head))
        return 0;
    check(head.status >= 100 && head.status <= 999);
    check_text(payload, head.reason);
    pyd_wire_write_head(writer, head.status, head.reason.data, head.reason.size);
    copy_pairs(payload, head.pairs, head.pair_count, writer);
    return 1;
}

static int copy_early(struct payload payload, struct pyd_wire_writer *writer)
{
    struct pyd_wire_head head;

    if (pyd_wire_decode_early(payload.data, payload.size, &head))
        return 0;
    check(head.status == 103 && head.reason.size == 0);
    copy_pairs(payload, head.pairs, head.pair_count, writer);
    return 1;
}

/* The types without a decoder of their own are read field by field, as their receivers do. */
static int copy_fields(uint8_t type, struct payload payload, struct pyd_wire_writer *writer)
{
    struct pyd_wire_reader reader;
    struct pyd_wire_str text;

    pyd_wire_reader_init(&reader, payload.data, payload.size);
    if (type == PYD_FRAME_HELLO) {
        for (int i = 0; i < 3; i++)
            pyd_wire_write_u32(writer, pyd_wire_read_u32(&reader));
    } else if (type == PYD_FRAME_BODY_FAIL) {
        pyd_wire_write_u16(writer, pyd_wire_read_u16(&reader));
    } else if (type == PYD_FRAME_READ) {
        pyd_wire_write_u32(writer, pyd_wire_read_u32(&reader));
    } else if (type == PYD_FRAME_END) {
        pyd_wire_write_u8(writer, pyd_wire_read_u8(&reader));
        pyd_wire_write_u64(writer, pyd_wire_read_u64(&reader));
    } else if (type == PYD_FRAME_FAIL) {
        pyd_wire_write_u8(writer, pyd_wire_read_u8(&reader));
        text = pyd_wire_read_str(&reader);
        check_inside(payload, text);
        pyd_wire_write_str(writer, text.data, text.size);
    } else if (type == PYD_FRAME_LOG || type == PYD_FRAME_BODY) {
        if (type == PYD_FRAME_LOG)
            pyd_wire_write_u8(writer, pyd_wire_read_u8(&reader));
        text = pyd_wire_read_rest(&reader);
        check_inside(payload, text);
        pyd_wire_write_bytes(writer, text.data, text.size);
    }
    return !reader.bad && reader.at == reader.end;
}

static int copy_payload(uint8_t type, struct payload payload, struct pyd_wire_writer *writer)
{
    switch (type) {
    case PYD_FRAME_CONST:
        return copy_const(payload, writer);
    case PYD_FRAME_REQUEST:
        return copy_request(payload, writer);
    case PYD_FRAME_HEAD:
        return copy_head(payload, writer);
    case PYD_FRAME_EARLY:
        return copy_early(payload, writer);
    default:
        return copy_fields(type, payload, writer);
    }
}

/* Decode one payload and encode it again. peeked: type, flags and size are what peek lets through. */
static void check_payload(uint8_t type, uint8_t flags, struct payload payload, int peeked)
{
    size_t room_bytes = PYD_WIRE_HEADER_BYTES + payload.size;
    unsigned char *room = malloc(room_bytes), *frame;
    struct pyd_wire_frame header;
    struct pyd_wire_writer writer;

    check(room != NULL);
    pyd_wire_writer_init(&writer, room, room_bytes);
    frame = pyd_wire_begin(&writer, type, flags);
    check(frame == room);
    if (copy_payload(type, payload, &writer)) {
        check(!writer.bad && writer.at == writer.end);
        check(payload.size == 0 || memcmp(room + PYD_WIRE_HEADER_BYTES, payload.data, payload.size) == 0);
        /* The encoder refuses to end exactly what the decoder refuses to begin. */
        pyd_wire_end(&writer, frame);
        check(!peeked || !writer.bad);
        if (!writer.bad) {
            check(pyd_wire_peek(room, room_bytes, &header) == PYD_WIRE_FRAME);
            check(header.type == type && header.flags == flags && header.payload_bytes == payload.size);
        }
    }
    free(room);
}

static void check_stream(const uint8_t *data, size_t size)
{
    struct pyd_wire_frame frame;

    while (pyd_wire_peek(data, size, &frame) == PYD_WIRE_FRAME) {
        const uint8_t *payload = data + PYD_WIRE_HEADER_BYTES;

        check(frame.type > 0 && frame.type < PYD_FRAME_MAX_);
        check(frame.payload_bytes <= (frame.type == PYD_FRAME_BODY ? PYD_WIRE_BODY_MAX : PYD_WIRE_CONTROL_MAX));
        size -= PYD_WIRE_HEADER_BYTES;
        if (frame.payload_bytes > size)
            return;
        check_payload(frame.type, frame.flags, (struct payload){.data = payload, .size = frame.payload_bytes}, 1);
        data = payload + frame.payload_bytes;
        size -= frame.payload_bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_stream(data, size);
    if (size >= PYD_WIRE_HEADER_BYTES)
        check_payload(data[4], data[5],
                      (struct payload){.data = data + PYD_WIRE_HEADER_BYTES, .size = size - PYD_WIRE_HEADER_BYTES},
                      0);
    return 0;
}
