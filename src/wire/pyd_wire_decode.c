/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wire_format.h"

#include <errno.h>
#include <string.h>

enum pyd_wire_result pyd_wire_peek(const unsigned char *data, size_t size, struct pyd_wire_frame *ret_frame)
{
    const struct pyd_wire_rule *rule;
    uint32_t payload_bytes;

    if (size < PYD_WIRE_HEADER_BYTES)
        return PYD_WIRE_MORE;
    rule = pyd_wire_rule(data[PYD_WIRE_AT_TYPE]);
    payload_bytes = pyd_wire_load_u32(data + PYD_WIRE_AT_SIZE);
    if (!rule->known || (data[PYD_WIRE_AT_FLAGS] & ~rule->flags) || pyd_wire_load_u16(data + PYD_WIRE_AT_ZERO) != 0 ||
        payload_bytes < rule->bytes_min || payload_bytes > rule->bytes_max)
        return PYD_WIRE_BAD;
    ret_frame->type = data[PYD_WIRE_AT_TYPE];
    ret_frame->flags = data[PYD_WIRE_AT_FLAGS];
    ret_frame->payload_bytes = payload_bytes;
    return PYD_WIRE_FRAME;
}

static inline void init(struct pyd_wire_reader *reader, const void *data, size_t size)
{
    static const unsigned char nothing[1];

    /* Never NULL, so that pointer arithmetic on an empty payload is defined. */
    reader->at = data ? data : nothing;
    reader->end = reader->at + (data ? size : 0);
    reader->bad = 0;
}

static inline size_t left(const struct pyd_wire_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The next size bytes, or NULL. After a failure nothing is left, so that one comparison is enough for each read. */
static inline const unsigned char *take(struct pyd_wire_reader *reader, size_t size)
{
    const unsigned char *at = reader->at;

    if (__builtin_expect(size > left(reader), 0)) {
        reader->bad = 1;
        reader->at = reader->end;
        return NULL;
    }
    reader->at = at + size;
    return at;
}

static inline void fail(struct pyd_wire_reader *reader)
{
    (void)take(reader, SIZE_MAX);
}

/*
 * The functions of the interface in a form that can be inlined: in position-independent code the compiler must not
 * inline an external symbol, since another library could replace it.
 */

static inline uint8_t read_u8(struct pyd_wire_reader *reader)
{
    const unsigned char *at = take(reader, 1);

    return at ? at[0] : 0;
}

static inline uint16_t read_u16(struct pyd_wire_reader *reader)
{
    const unsigned char *at = take(reader, 2);

    return at ? pyd_wire_load_u16(at) : 0;
}

static inline uint32_t read_u32(struct pyd_wire_reader *reader)
{
    const unsigned char *at = take(reader, 4);

    return at ? pyd_wire_load_u32(at) : 0;
}

static inline uint64_t read_u64(struct pyd_wire_reader *reader)
{
    const unsigned char *at = take(reader, 8);

    return at ? pyd_wire_load_u64(at) : 0;
}

static inline struct pyd_wire_str read_str(struct pyd_wire_reader *reader)
{
    uint32_t size = read_u32(reader);
    const unsigned char *at = take(reader, size);

    if (!at)
        return (struct pyd_wire_str){.data = "", .size = 0};
    return (struct pyd_wire_str){.data = (const char *)at, .size = size};
}

static inline uint32_t read_count(struct pyd_wire_reader *reader)
{
    uint32_t count = read_u32(reader);

    if (count > left(reader) / PYD_WIRE_PAIR_BYTES_MIN) {
        fail(reader);
        return 0;
    }
    return count;
}

static inline struct pyd_wire_str read_rest(struct pyd_wire_reader *reader)
{
    struct pyd_wire_str rest = {.data = (const char *)reader->at, .size = 0};

    if (left(reader) > UINT32_MAX) {
        fail(reader);
        return rest;
    }
    rest.size = (uint32_t)left(reader);
    reader->at = reader->end;
    return rest;
}

/* A string that becomes a C string at the other side. */
static inline struct pyd_wire_str read_text(struct pyd_wire_reader *reader)
{
    struct pyd_wire_str text = read_str(reader);

    if (__builtin_expect(memchr(text.data, '\0', text.size) != NULL, 0))
        fail(reader);
    return text;
}

/* Count and pairs: walks over all of them, and returns a reader of just these bytes. */
static struct pyd_wire_reader read_pairs(struct pyd_wire_reader *reader, uint32_t *ret_count)
{
    uint32_t count = read_count(reader);
    struct pyd_wire_reader pairs = {.at = reader->at, .end = reader->at, .bad = 0};

    for (uint32_t i = 0; i < count && !reader->bad; i++) {
        (void)read_text(reader);
        (void)read_text(reader);
    }
    pairs.end = reader->at;
    *ret_count = count;
    return pairs;
}

static int is_whole(const struct pyd_wire_reader *reader)
{
    return !reader->bad && reader->at == reader->end;
}

int pyd_wire_decode_const(const void *payload, size_t size, struct pyd_wire_const *ret_set)
{
    struct pyd_wire_reader reader;
    struct pyd_wire_const set;

    init(&reader, payload, size);
    set.id = read_u16(&reader);
    set.target = read_text(&reader);
    set.callable = read_text(&reader);
    set.pairs = read_pairs(&reader, &set.pair_count);
    if (!is_whole(&reader) || set.id >= PYD_WIRE_CONSTS_MAX)
        return EBADMSG;
    *ret_set = set;
    return 0;
}

int pyd_wire_decode_request(const void *payload, size_t size, struct pyd_wire_request *ret_request)
{
    struct pyd_wire_request request;
    struct pyd_wire_reader reader;

    init(&reader, payload, size);
    request.claim = read_u32(&reader);
    request.seq = read_u64(&reader);
    request.const_id = read_u16(&reader);
    request.flags = read_u8(&reader);
    request.content_bytes = (int64_t)read_u64(&reader);
    request.request_start_us = read_u64(&reader);
    request.queue_start_us = read_u64(&reader);
    request.pairs = read_pairs(&reader, &request.pair_count);
    request.body = (struct pyd_wire_str){.data = "", .size = 0};
    if (request.flags & PYD_REQUEST_BODY_INLINE)
        request.body = read_rest(&reader);
    if (!is_whole(&reader) || request.const_id >= PYD_WIRE_CONSTS_MAX || (request.flags & ~PYD_WIRE_REQUEST_FLAGS) ||
        request.content_bytes < -1)
        return EBADMSG;
    *ret_request = request;
    return 0;
}

int pyd_wire_decode_head(const void *payload, size_t size, struct pyd_wire_head *ret_head)
{
    struct pyd_wire_reader reader;
    struct pyd_wire_head head;

    init(&reader, payload, size);
    head.status = read_u16(&reader);
    head.reason = read_text(&reader);
    head.pairs = read_pairs(&reader, &head.pair_count);
    if (!is_whole(&reader) || !pyd_wire_status_valid(head.status))
        return EBADMSG;
    *ret_head = head;
    return 0;
}

int pyd_wire_decode_early(const void *payload, size_t size, struct pyd_wire_head *ret_head)
{
    struct pyd_wire_head head = {.status = 103, .reason = {.data = "", .size = 0}};
    struct pyd_wire_reader reader;

    init(&reader, payload, size);
    head.pairs = read_pairs(&reader, &head.pair_count);
    if (!is_whole(&reader))
        return EBADMSG;
    *ret_head = head;
    return 0;
}

void pyd_wire_reader_init(struct pyd_wire_reader *reader, const void *data, size_t size)
{
    init(reader, data, size);
}

uint8_t pyd_wire_read_u8(struct pyd_wire_reader *reader)
{
    return read_u8(reader);
}

uint16_t pyd_wire_read_u16(struct pyd_wire_reader *reader)
{
    return read_u16(reader);
}

uint32_t pyd_wire_read_u32(struct pyd_wire_reader *reader)
{
    return read_u32(reader);
}

uint64_t pyd_wire_read_u64(struct pyd_wire_reader *reader)
{
    return read_u64(reader);
}

struct pyd_wire_str pyd_wire_read_str(struct pyd_wire_reader *reader)
{
    return read_str(reader);
}

uint32_t pyd_wire_read_count(struct pyd_wire_reader *reader)
{
    return read_count(reader);
}

struct pyd_wire_str pyd_wire_read_rest(struct pyd_wire_reader *reader)
{
    return read_rest(reader);
}

struct pyd_wire_pair pyd_wire_read_pair(struct pyd_wire_reader *reader)
{
    struct pyd_wire_pair pair;

    pair.name = read_str(reader);
    pair.value = read_str(reader);
    return pair;
}
