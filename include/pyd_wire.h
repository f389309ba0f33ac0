/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_WIRE_H
#define PYD_WIRE_H

#include <stddef.h>
#include <stdint.h>

/**
 * The frames between an httpd child and a worker. Pure: no I/O, no malloc, no
 * globals; pointers that decoding returns point into the caller's buffer and
 * are valid as long as it is.
 *
 * A frame is an 8-byte header (u32 payload size, u8 type, u8 flags, u16 zero)
 * and its payload; integers are big-endian, a string is a u32 size and its
 * bytes. Names and values of pairs, target, callable and reason become C strings
 * on the other side: their decoders refuse a NUL in them. The httpd child is the client: on a new connection it sends
 * HELLO, then for each request the CONST it needs (if the worker does not have
 * it yet) and REQUEST. The worker answers LOG, EARLY and READ frames as it
 * likes, each READ being answered by one BODY or BODY_FAIL; then HEAD, BODY
 * frames, and END, or FAIL instead of HEAD. REFUSE instead of anything means:
 * not begun, ask another worker. EOF before END is a dead worker.
 */
#define PYD_WIRE_VERSION 1
#define PYD_WIRE_HEADER_BYTES 8

/** Constant sets a connection may hold at a time: ids 0 .. PYD_WIRE_CONSTS_MAX - 1. */
#define PYD_WIRE_CONSTS_MAX 8

/** Longest payload of a BODY frame; senders split what is longer. */
#define PYD_WIRE_BODY_MAX (16u << 20)
/** Longest payload of any other frame: far above what LimitRequestFields allows by default (800 KiB). */
#define PYD_WIRE_CONTROL_MAX (16u << 20)
/** Fewest bytes of a pair: two empty strings. */
#define PYD_WIRE_PAIR_BYTES_MIN 8u

enum pyd_frame_type {
    /* httpd to worker */
    PYD_FRAME_HELLO = 1, /* u32 version, u32 generation, u32 epoch the sender believes in */
    PYD_FRAME_CONST,     /* struct pyd_wire_const */
    PYD_FRAME_REQUEST,   /* struct pyd_wire_request */
    PYD_FRAME_BODY_FAIL, /* u16 HTTP status: the body cannot be had (400, 408, 413; 0: client gone) */
    /* both ways */
    PYD_FRAME_BODY, /* bytes; flag LAST from httpd: no more body after these */
    /* worker to httpd */
    PYD_FRAME_READ,  /* u32: wants up to so many body bytes */
    PYD_FRAME_EARLY, /* 103 Early Hints: u32 pair_count, pairs */
    PYD_FRAME_HEAD,  /* struct pyd_wire_head */
    PYD_FRAME_LOG,   /* u8 level, bytes: one or more lines of wsgi.errors */
    PYD_FRAME_END,   /* u8 enum pyd_wire_end, u64 microseconds spent in the application */
    PYD_FRAME_FAIL,  /* u8 enum pyd_wire_fail, string: the rule broken (may be empty) */
    PYD_FRAME_REFUSE, /* empty */
    /* Room for DESIGN 3.5: PYD_FRAME_BODY_FD both ways, with the descriptor as SCM_RIGHTS. */
    PYD_FRAME_MAX_
};

#define PYD_FRAME_FLAG_LAST 0x01

enum pyd_wire_end { PYD_END_OK, PYD_END_CUT };

enum pyd_wire_fail {
    PYD_FAIL_EXCEPTION, /* the application raised; its traceback went out in LOG frames */
    PYD_FAIL_PROTOCOL,  /* it broke PEP 3333; the string says which rule */
    PYD_FAIL_LOAD       /* it could not be imported, or has no such callable */
};

enum pyd_wire_result { PYD_WIRE_FRAME, PYD_WIRE_MORE, PYD_WIRE_BAD };

struct pyd_wire_frame {
    uint8_t type;
    uint8_t flags;
    uint32_t payload_bytes;
};

struct pyd_wire_str {
    const char *data; /* borrowed, not NUL-terminated */
    uint32_t size;
};

struct pyd_wire_pair {
    struct pyd_wire_str name, value;
};

/** A cursor over a payload; errors stick: read all fields, then test `bad` once. */
struct pyd_wire_reader {
    const unsigned char *at, *end;
    int bad;
};

/** A cursor over room to write; errors stick (`bad` when it does not fit). */
struct pyd_wire_writer {
    unsigned char *start, *at, *end;
    int bad;
};

/** What never changes from request to request on a connection. Payload: u16, 2 strings, u32 pair_count, pairs. */
struct pyd_wire_const {
    uint16_t id;
    struct pyd_wire_str target;   /* "/srv/app/wsgi.py" or "package.module:callable" */
    struct pyd_wire_str callable; /* attribute of a script target */
    uint32_t pair_count;
    struct pyd_wire_reader pairs; /* environ entries; read with pyd_wire_read_pair() */
};

#define PYD_REQUEST_HAS_BODY 0x01    /* a body exists: READ may be sent */
#define PYD_REQUEST_BODY_INLINE 0x02 /* all of it is in this frame: READ must not be sent */
#define PYD_REQUEST_MULTIPROCESS 0x04

/** Payload: the fields in this order; content_bytes is a u64 of all ones for -1; the body is what is left, unsized. */
struct pyd_wire_request {
    uint32_t claim;       /* index of the claim in the worker's slot */
    uint64_t seq;         /* the claim's sequence number */
    uint16_t const_id;
    uint8_t flags;        /* PYD_REQUEST_* */
    int64_t content_bytes; /* Content-Length, or -1: chunked or none */
    uint64_t request_start_us; /* wall clock: httpd read the request */
    uint64_t queue_start_us;   /* wall clock: the handler asked for a worker */
    uint32_t pair_count;
    struct pyd_wire_reader pairs; /* environ entries of this request; the first is REQUEST_METHOD */
    struct pyd_wire_str body;     /* with PYD_REQUEST_BODY_INLINE */
};

/** Payload: u16, string, u32 pair_count, pairs. */
struct pyd_wire_head {
    uint16_t status;
    struct pyd_wire_str reason; /* may be empty */
    uint32_t pair_count;
    struct pyd_wire_reader pairs; /* headers in the application's order, repeated ones repeated */
};

/* Decoding. */

/**
 * Look at the header of the next frame.
 * @return PYD_WIRE_FRAME: *ret_frame is filled in, the payload begins PYD_WIRE_HEADER_BYTES in and may not be
 *   complete; PYD_WIRE_MORE: fewer than PYD_WIRE_HEADER_BYTES; PYD_WIRE_BAD: unknown type, flag, or a
 *   payload longer or shorter than any of its type (so READ has its 4 bytes, END its 9, and so on)
 */
enum pyd_wire_result pyd_wire_peek(const unsigned char *data, size_t size, struct pyd_wire_frame *ret_frame);

void pyd_wire_reader_init(struct pyd_wire_reader *reader, const void *data, size_t size);
uint8_t pyd_wire_read_u8(struct pyd_wire_reader *reader);
uint16_t pyd_wire_read_u16(struct pyd_wire_reader *reader);
uint32_t pyd_wire_read_u32(struct pyd_wire_reader *reader);
uint64_t pyd_wire_read_u64(struct pyd_wire_reader *reader);
struct pyd_wire_str pyd_wire_read_str(struct pyd_wire_reader *reader);
struct pyd_wire_pair pyd_wire_read_pair(struct pyd_wire_reader *reader);
/** A u32 pair count; bad if the rest of the payload cannot hold so many pairs, so it is safe to allocate by. */
uint32_t pyd_wire_read_count(struct pyd_wire_reader *reader);
/** What is left, to its end; for unsized bytes (LOG, the body in REQUEST). */
struct pyd_wire_str pyd_wire_read_rest(struct pyd_wire_reader *reader);

/*
 * Payload decoders: 0, or EBADMSG: cut short, bytes left over, a NUL in a string, const id, status or flag out of
 * range. Pair lists are checked as a whole here, so that reading them later can't fail. What the values mean is the
 * caller's business: names may be empty, values may have control characters, an inline body need not have
 * content_bytes bytes (input filters change sizes).
 */
int pyd_wire_decode_const(const void *payload, size_t size, struct pyd_wire_const *ret_set);
int pyd_wire_decode_request(const void *payload, size_t size, struct pyd_wire_request *ret_request);
int pyd_wire_decode_head(const void *payload, size_t size, struct pyd_wire_head *ret_head);
/** An EARLY frame, as a head with status 103 and no reason. */
int pyd_wire_decode_early(const void *payload, size_t size, struct pyd_wire_head *ret_head);

/*
 * Encoding. A frame is begun, its fields written, and ended, which fills in its size. Nothing is written once `bad`
 * is set; frames ended before are whole, and writer->at is where the last field that fitted ends.
 */

void pyd_wire_writer_init(struct pyd_wire_writer *writer, void *room, size_t size);
/** @return where the frame starts, for pyd_wire_end(); NULL if it does not fit (bad is set) */
unsigned char *pyd_wire_begin(struct pyd_wire_writer *writer, enum pyd_frame_type type, uint8_t flags);
/** Sets bad if the payload's size is not one of its type's. */
void pyd_wire_end(struct pyd_wire_writer *writer, unsigned char *frame);
void pyd_wire_write_u8(struct pyd_wire_writer *writer, uint8_t value);
void pyd_wire_write_u16(struct pyd_wire_writer *writer, uint16_t value);
void pyd_wire_write_u32(struct pyd_wire_writer *writer, uint32_t value);
void pyd_wire_write_u64(struct pyd_wire_writer *writer, uint64_t value);
void pyd_wire_write_bytes(struct pyd_wire_writer *writer, const void *data, size_t size);
void pyd_wire_write_str(struct pyd_wire_writer *writer, const char *data, size_t size);
void pyd_wire_write_pair(struct pyd_wire_writer *writer, const char *name, const char *value);
/** A count to be known later: reserve it, then patch it (NULL if it did not fit: patching that does nothing). */
unsigned char *pyd_wire_reserve_u32(struct pyd_wire_writer *writer);
void pyd_wire_patch_u32(unsigned char *where, uint32_t value);

/** Fixed part of a CONST payload; the caller writes pair_count (u32) and the pairs after it. */
void pyd_wire_write_const(struct pyd_wire_writer *writer, uint16_t id, const char *target, const char *callable);
/** Fixed part of a REQUEST payload (all but pair_count, pairs, body); pair_count (u32), pairs, body bytes follow. */
void pyd_wire_write_request(struct pyd_wire_writer *writer, const struct pyd_wire_request *request);
/** Fixed part of a HEAD payload; pair_count (u32) and pairs follow. */
void pyd_wire_write_head(struct pyd_wire_writer *writer, uint16_t status, const char *reason, size_t reason_bytes);

#endif
