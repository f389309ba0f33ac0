/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_RELAY_H
#define PYD_RELAY_H

#include <util_filter.h>

#include "pyd_backend.h"
#include "pyd_brigade.h"
#include "pyd_flow.h"
#include "pyd_httpd.h"
#include "pyd_log.h"

/**
 * One request on its way through this httpd child: what its parts share. Lives
 * in the request's pool and belongs to the request's thread.
 *
 * It holds at most one claim and one connection at a time; pyd_relay_let_go()
 * gives both back, and runs as a cleanup of the pool if nothing else did.
 */
struct pyd_relay {
    request_rec *r;
    struct pyd_mount mount;
    struct pyd_board *board;
    struct pyd_board_group *group;
    const struct pyd_board_settings_group *sizes; /* threads, processes.. of the group */
    uint32_t self;    /* this process, as owner of claims */
    const char *name;                             /* of the group */
    const char *what;                             /* "GET /path?query", for log lines */
    apr_socket_t *client;                         /* to see a reset by; NULL: h2 stream, look at c->aborted only */

    int64_t started_us;      /* monotonic: the handler was called */
    int64_t queue_from_us;   /* monotonic: queue-timeout counts from here */
    uint64_t queue_start_us; /* the same, wall clock */

    /* pyd_request.c: what the frames are made of; arrays of struct pyd_pair */
    apr_array_header_t *constants, *variables;

    /* the attempt under way */
    struct pyd_claim_ref claim;
    struct pyd_backend *backend;
    int32_t pid;        /* of the claimed worker */
    uint64_t pid_start; /* when that process started, to tell whether it has ended; 0: not known */
    int32_t ended_pid;  /* of a worker that has ended, if that kept the last try from a claim; or 0 */
    unsigned none_lives : 1; /* ... and no READY one lives */
    struct pyd_flow flow;
    uint32_t body_left; /* bytes of the current BODY frame still to come */
    size_t frame_bytes; /* size of an incomplete control frame, to make room for */
    unsigned claimed : 1;
    unsigned other_claimed : 1;
    unsigned may_leave : 1;     /* there are tries left */
    struct pyd_claim_ref other; /* of another worker, which gets it next */
    unsigned queued : 1;        /* or this place in the queue is held */
    uint32_t waiter;
    int64_t app_us;             /* spent in the application, as END says; -1: it has not come */

    /* pyd_timeout.c; times are monotonic */
    int64_t begin_by_us;     /* else another worker may have it */
    int64_t paused_since_us; /* the wait for the client that goes on */
    int64_t last_word_by_us; /* late, but the worker has ended it: all has to have come; 0: not asked */
    int64_t late_bytes;      /* what had come when it was late and was not taken yet; -1: it is not late */

    /* pyd_body.c: from the client */
    apr_bucket_brigade *input, *fetched; /* read and not sent yet; scratch */
    int64_t content_bytes;               /* Content-Length; -1: none */
    char *inline_body;                   /* NULL: the worker pulls */
    apr_size_t inline_bytes;
    apr_status_t input_error; /* met while there was something to send first */
    int body_status;          /* HTTP status that ends this request because the body cannot be had, or 0 */
    unsigned has_body : 1;
    unsigned body_done : 1;  /* all of it was read from the client */
    unsigned body_taken : 1; /* some of it went to a worker: cannot be sent to another one */

    /* pyd_response.c: to the client */
    apr_bucket_brigade *output; /* may point into the connection's buffer: pass it on before receiving more */
    int64_t declared_bytes;     /* the application's Content-Length, or -1 */
    int64_t body_bytes;         /* of its body so far */
    int error_status;           /* of the request whose ErrorDocument this is, else 200 */
    int fail_status;            /* what PYD_RELAY_FAILED answers */
    unsigned bodiless : 1;      /* HEAD, 204, 304, or replaced by ErrorDocument: body frames are read and dropped */
    unsigned replaced : 1;      /* by ErrorDocument, or by body_status: nothing of it is sent */
    unsigned passed : 1;        /* something of it went to the client */
    unsigned unflushed : 1;     /* something was passed on, or headers are due, since the last flush */
    unsigned guarded : 1;       /* pyd_cut_guard() was called */
    unsigned too_long : 1;      /* its excess over Content-Length was logged */
    unsigned answered : 1;      /* a filter has ended the response in its own way: nothing may follow */
};

/** What became of an attempt, or of a step of it. */
enum pyd_relay_state {
    PYD_RELAY_OPEN,    /* goes on */
    PYD_RELAY_DONE,    /* response complete */
    PYD_RELAY_CUT,     /* the application could not complete it */
    PYD_RELAY_FAILED,  /* no response: answer fail_status, already logged; the worker has ended the request */
    PYD_RELAY_BAD,     /* the same, but the worker goes on with it */
    PYD_RELAY_REFUSED, /* worker is stopping */
    PYD_RELAY_LOST,    /* worker is gone, or closed the connection */
    PYD_RELAY_UNBEGUN, /* taken back from a worker that did not begin it, for another one */
    PYD_RELAY_LATE,    /* request-timeout */
    PYD_RELAY_BROKEN,  /* worker broke the protocol; logged */
    PYD_RELAY_CLIENT,  /* client is gone */
    PYD_RELAY_FILTER   /* an output filter has failed (logged) or answered in its own way */
};

/* pyd_relay.c: the exchange */

/** Send bytes, waiting for room. OPEN, LOST, CLIENT, LATE or UNBEGUN. The vectors are used up. */
enum pyd_relay_state pyd_relay_send(struct pyd_relay *relay, struct iovec *vectors, size_t count);
/** Exchange frames until the attempt has ended. */
enum pyd_relay_state pyd_relay_run(struct pyd_relay *relay);
/** True if the client was reset or httpd closed its socket (hard stop). One poll(2). */
int pyd_relay_client_gone(struct pyd_relay *relay);

/**
 * True if the claimed worker has ended: the board says so, or its process is certainly no more, which the manager may
 * not have noticed or may never notice. A few system calls.
 */
int pyd_relay_worker_gone(const struct pyd_relay *relay);

/** Wait a moment for bytes of the client, which has a socket. @return 0: the worker has gone meanwhile, or is late */
int pyd_relay_wait_client(struct pyd_relay *relay);

/** How an attempt's claim and connection are given back. */
enum pyd_relay_end {
    PYD_RELAY_ENDED,  /* the worker ended the request; the connection is good */
    PYD_RELAY_CLOSE,  /* the worker ended the request, never got it, or is dead; the connection is not good */
    PYD_RELAY_ABANDON /* the worker may be executing it */
};
/** Give back connection and claim, in this order. Harmless when there is none. */
void pyd_relay_let_go(struct pyd_relay *relay, enum pyd_relay_end end);

/* pyd_dispatch.c: a claim */

/** Claim a thread for the next attempt, waiting in the queue as needed. @return OK, or an HTTP status after having
 * logged why; DONE: the client is gone */
int pyd_dispatch_claim(struct pyd_relay *relay, uint32_t avoid_slot);
/** True once the request has waited for queue-timeout. */
int pyd_dispatch_expired(const struct pyd_relay *relay);
/** Answer 503: sets Retry-After, counts. Logs nothing. */
int pyd_dispatch_unavailable(struct pyd_relay *relay, int64_t retry_after_seconds);
/** Claim a thread of a worker that is not suspect, besides the one that is held, or enter the queue for one:
 *  pyd_dispatch_claim() goes on from there. @return 0: there is no such worker, or no place */
int pyd_dispatch_other(struct pyd_relay *relay);
void pyd_dispatch_drop_other(struct pyd_relay *relay);

/* pyd_body.c: the client's body */

/** Learn what body there is, check its limit, take a small one that has arrived. @return OK or an HTTP status */
int pyd_body_prepare(struct pyd_relay *relay);
/** Answer READ. */
enum pyd_relay_state pyd_body_answer(struct pyd_relay *relay, uint32_t wanted_bytes);
/** True if the client may still be sending, so that the connection must close for an answer to go out at once. */
int pyd_body_unread(const struct pyd_relay *relay);

/* pyd_response.c: the worker's response */

/** HEAD: OPEN, BAD (rule broken; logged) or BROKEN. */
enum pyd_relay_state pyd_response_head(struct pyd_relay *relay, const unsigned char *payload, size_t size);
/** EARLY: OPEN or BROKEN. */
enum pyd_relay_state pyd_response_early(struct pyd_relay *relay, const unsigned char *payload, size_t size);
/** Bytes of a BODY frame; they stay where they are until pyd_response_pass(). */
void pyd_response_body(struct pyd_relay *relay, const unsigned char *data, size_t size);
/** Pass on what has been collected; flush sends it, and the headers, right away. OPEN, CLIENT or FILTER. */
enum pyd_relay_state pyd_response_pass(struct pyd_relay *relay, int flush);
/** True if the client has been given all there can be of it, but for its end. */
int pyd_response_is_whole(const struct pyd_relay *relay);
/** Make what has been collected independent of the connection's buffer. */
void pyd_response_detach(struct pyd_relay *relay);
/** The response is complete: pass on the rest and its end. @return the handler's result */
int pyd_response_finish(struct pyd_relay *relay);
/** The handler's result after that state of passing on. */
int pyd_response_result(struct pyd_relay *relay, enum pyd_relay_state state);
/** Forget a response of which nothing was passed on, to answer status instead. @return status, for the handler to
 * return */
int pyd_response_replace(struct pyd_relay *relay, int status);

/* pyd_cut.c: responses that have begun and will never be complete */

/** Pass on what there is, and make sure that the client can tell. @return the handler's result */
int pyd_cut_response(struct pyd_relay *relay);
/** After FILTER: what it left is no whole response, unless it has answered itself. @return the handler's result */
int pyd_cut_failed_filter(struct pyd_relay *relay);
/** Before reading the body behind a response that has begun: if an input filter ends the response, it is a cut. */
void pyd_cut_guard(struct pyd_relay *relay);

/* pyd_report.c: log lines about workers and applications */

/** LOG frame: lines of wsgi.errors. */
void pyd_report_lines(struct pyd_relay *relay, const unsigned char *payload, size_t size);
/** FAIL frame: one line, and the status to answer. */
void pyd_report_failure(struct pyd_relay *relay, const unsigned char *payload, size_t size);
/** The worker broke the protocol: "the worker sent <what>". @return BROKEN */
enum pyd_relay_state pyd_report_broken(struct pyd_relay *relay, const char *what);
/** The worker died while it executed the request: waits a while for the manager to say why. The claim must be held. */
void pyd_report_death(struct pyd_relay *relay);

#endif
