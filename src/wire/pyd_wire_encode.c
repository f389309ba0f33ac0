/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wire_format.h"

#include <string.h>

void pyd_wire_writer_init(struct pyd_wire_writer *writer, void *room, size_t size)
{
    static unsigned char nothing[1];

    writer->start = room ? room : nothing;
    writer->at = writer->start;
    writer->end = writer->start + (room ? size : 0);
    writer->bad = 0;
}

/* Room for size bytes, or NULL. Unlike a reader's, a failing writer's cursor stays: `at` is used by callers. */
static inline unsigned char *place(struct pyd_wire_writer *writer, size_t size)
{
    unsigned char *at = writer->at;

    if (__builtin_expect(writer->bad || size > (size_t)(writer->end - at), 0)) {
        writer->bad = 1;
        return NULL;
    }
    writer->at = at + size;
    return at;
}

unsigned char *pyd_wire_begin(struct pyd_wire_writer *writer, enum pyd_frame_type type, uint8_t flags)
{
    unsigned char *frame = place(writer, PYD_WIRE_HEADER_BYTES);

    if (!frame)
        return NULL;
    pyd_wire_store_u32(frame + PYD_WIRE_AT_SIZE, 0);
    frame[PYD_WIRE_AT_TYPE] = (unsigned char)type;
    frame[PYD_WIRE_AT_FLAGS] = flags;
    pyd_wire_store_u16(frame + PYD_WIRE_AT_ZERO, 0);
    return frame;
}

void pyd_wire_end(struct pyd_wire_writer *writer, unsigned char *frame)
{
    const struct pyd_wire_rule *rule;
    size_t payload_bytes;

    if (!frame || writer->bad)
        return;
    rule = pyd_wire_rule(frame[PYD_WIRE_AT_TYPE]);
    payload_bytes = (size_t)(writer->at - frame) - PYD_WIRE_HEADER_BYTES;
    /* What the peer would call a broken connection is this side's bug or a request too large: say so here. */
    if (!rule->known || payload_bytes < rule->bytes_min || payload_bytes > rule->bytes_max ||
        (frame[PYD_WIRE_AT_FLAGS] & ~rule->flags)) {
        writer->bad = 1;
        return;
    }
    pyd_wire_store_u32(frame + PYD_WIRE_AT_SIZE, (uint32_t)payload_bytes);
}

/* As in the decoder: what can be inlined first, the interface after it. */

static inline void write_u8(struct pyd_wire_writer *writer, uint8_t value)
{
    unsigned char *at = place(writer, 1);

    if (at)
        *at = value;
}

static inline void write_u16(struct pyd_wire_writer *writer, uint16_t value)
{
    unsigned char *at = place(writer, 2);

    if (at)
        pyd_wire_store_u16(at, value);
}

static inline void write_u32(struct pyd_wire_writer *writer, uint32_t value)
{
    unsigned char *at = place(writer, 4);

    if (at)
        pyd_wire_store_u32(at, value);
}

static inline void write_u64(struct pyd_wire_writer *writer, uint64_t value)
{
    unsigned char *at = place(writer, 8);

    if (at)
        pyd_wire_store_u64(at, value);
}

void pyd_wire_write_bytes(struct pyd_wire_writer *writer, const void *data, size_t size)
{
    unsigned char *at = place(writer, size);

    if (at && size)
        memcpy(at, data, size);
}

static inline void write_str(struct pyd_wire_writer *writer, const char *data, size_t size)
{
    unsigned char *at;

    /* No frame is that long, and the sum below can't wrap around. */
    if (size > PYD_WIRE_CONTROL_MAX) {
        writer->bad = 1;
        return;
    }
    at = place(writer, 4 + size);
    if (!at)
        return;
    pyd_wire_store_u32(at, (uint32_t)size);
    if (size)
        memcpy(at + 4, data, size);
}

void pyd_wire_write_u8(struct pyd_wire_writer *writer, uint8_t value)
{
    write_u8(writer, value);
}

void pyd_wire_write_u16(struct pyd_wire_writer *writer, uint16_t value)
{
    write_u16(writer, value);
}

void pyd_wire_write_u32(struct pyd_wire_writer *writer, uint32_t value)
{
    write_u32(writer, value);
}

void pyd_wire_write_u64(struct pyd_wire_writer *writer, uint64_t value)
{
    write_u64(writer, value);
}

void pyd_wire_write_str(struct pyd_wire_writer *writer, const char *data, size_t size)
{
    write_str(writer, data, size);
}

void pyd_wire_write_pair(struct pyd_wire_writer *writer, const char *name, const char *value)
{
    write_str(writer, name, strlen(name));
    write_str(writer, value, strlen(value));
}

unsigned char *pyd_wire_reserve_u32(struct pyd_wire_writer *writer)
{
    unsigned char *at = place(writer, 4);

    if (at)
        pyd_wire_store_u32(at, 0);
    return at;
}

void pyd_wire_patch_u32(unsigned char *where, uint32_t value)
{
    if (where)
        pyd_wire_store_u32(where, value);
}

void pyd_wire_write_const(struct pyd_wire_writer *writer, uint16_t id, const char *target, const char *callable)
{
    if (id >= PYD_WIRE_CONSTS_MAX)
        writer->bad = 1;
    write_u16(writer, id);
    write_str(writer, target, strlen(target));
    write_str(writer, callable, strlen(callable));
}

void pyd_wire_write_request(struct pyd_wire_writer *writer, const struct pyd_wire_request *request)
{
    if (request->const_id >= PYD_WIRE_CONSTS_MAX || (request->flags & ~PYD_WIRE_REQUEST_FLAGS) ||
        request->content_bytes < -1)
        writer->bad = 1;
    write_u32(writer, request->claim);
    write_u64(writer, request->seq);
    write_u16(writer, request->const_id);
    write_u8(writer, request->flags);
    write_u64(writer, (uint64_t)request->content_bytes);
    write_u64(writer, request->request_start_us);
    write_u64(writer, request->queue_start_us);
}

void pyd_wire_write_head(struct pyd_wire_writer *writer, uint16_t status, const char *reason, size_t reason_bytes)
{
    if (!pyd_wire_status_valid(status))
        writer->bad = 1;
    write_u16(writer, status);
    write_str(writer, reason, reason_bytes);
}
