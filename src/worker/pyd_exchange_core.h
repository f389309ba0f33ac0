/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_EXCHANGE_CORE_H
#define PYD_EXCHANGE_CORE_H

#include "pyd_conn.h"
#include "pyd_exchange.h"

/**
 * The inside of an exchange, for src/worker only. It lives on the request thread's
 * stack while the runtime runs; the request's strings point into the connection's
 * receive buffer, which nobody moves meanwhile.
 *
 * Memory stays flat whatever the application and the peer do: small writes
 * are collected up to PYD_EXCHANGE_OUT_MAX; a larger one goes out frame by frame, and
 * only the rest of a frame the kernel took in part is kept. Body bytes are
 * received straight into the application's memory.
 */
struct pyd_exchange {
    struct pyd_conn *conn;
    struct pyd_lane *lane;
    struct pyd_conn_set *set;
    struct pyd_wire_request request;
    struct pyd_status_request *record;
    int64_t start_us;
    int64_t waited_us;        /* for the peer, in waits that are over */
    int64_t waiting_since_us; /* of the one that goes on, or 0 */

    size_t out_at;   /* bytes of lane->out that are sent */
    size_t count_at; /* in lane->head: where the number of headers goes */
    uint32_t header_count;

    size_t inline_at;    /* bytes of an inline body that are read */
    uint32_t body_left;  /* bytes of the BODY frame begun that are not received yet */
    int body_status;     /* of BODY_FAIL */
    unsigned body_last : 1;

    unsigned begun : 1;       /* the status says so */
    unsigned head_open : 1;   /* HEAD or EARLY begun, not done */
    unsigned head_final : 1;  /* it is a HEAD */
    unsigned head_done : 1;   /* a HEAD is in the output */
    unsigned ended : 1;       /* END or FAIL is */
    unsigned full : 1;        /* the last send found no room at all */
    unsigned gone : 1;        /* the client is, the connection is not */
    unsigned broken : 1;      /* the connection is of no use any more */
};

/** Collected output beyond which small writes must wait for room. */
#define PYD_EXCHANGE_OUT_MAX (64u << 10)
/** Writes up to this are copied. */
#define PYD_EXCHANGE_COPY_MAX (16u << 10)
/** Payload of the frames larger writes are cut into; as much may be kept of one that was sent in part. */
#define PYD_EXCHANGE_FRAME_MAX (128u << 10)
/** Collected output beyond which log lines take the log pipe instead. */
#define PYD_EXCHANGE_LOG_MAX (256u << 10)

/** The request has been decoded; it begins with pyd_exchange_begin(). */
void pyd_exchange_init(struct pyd_exchange *exchange, struct pyd_conn *conn, struct pyd_lane *lane,
                       const struct pyd_wire_request *request);
/** The runtime is back, having begun it: end what it has not ended, send the rest.
 *  @return true if the connection can be used again */
int pyd_exchange_done(struct pyd_exchange *exchange);

/** Before the application runs for the first time. @return 0 or an errno */
int pyd_exchange_watch_forks(void);

/** The connection is of no use, or another process's: touch neither it nor the status. */
int pyd_exchange_is_broken(const struct pyd_exchange *exchange);

/** From here on it waits for the peer: the status says so. @return false if it did before: then the end is not the
 *  caller's to tell */
int pyd_exchange_wait_begin(struct pyd_exchange *exchange);
/** @param begun what that returned */
void pyd_exchange_wait_end(struct pyd_exchange *exchange, int begun);
/** Wait for events of poll(2) or for the peer to close. @return 0 or ECONNRESET (and broken is set) */
int pyd_exchange_wait(struct pyd_exchange *exchange, short events);
/** Take what is left of a BODY frame the application did not read, if it is there and small. @return true if so */
int pyd_exchange_drain(struct pyd_exchange *exchange);

#endif
