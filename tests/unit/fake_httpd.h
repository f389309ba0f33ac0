/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_HTTPD_H
#define FAKE_HTTPD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyd_board.h"
#include "pyd_buf.h"
#include "pyd_wire.h"

/**
 * httpd and the manager as a worker sees them: a real process that runs
 * pyd_worker_main() with the fake application, real descriptors, and the frames
 * that an httpd child sends. Everything waits with a deadline and fails the
 * cmocka test when it passes.
 */
#define FAKE_GENERATION 7u
#define FAKE_EPOCH 3u
#define FAKE_SLOTS 3u
#define FAKE_SLOT 1u

#if defined(__SANITIZE_THREAD__)
#define FAKE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FAKE_THREAD_SANITIZER 1
#endif
#endif
#ifndef FAKE_THREAD_SANITIZER
#define FAKE_THREAD_SANITIZER 0
#endif

struct fake_worker {
    pid_t pid;
    uint32_t threads;
    int rendezvous, control, lifeline, lock, log, status_fd;
    void *status_map;
    size_t status_bytes; /* that are mapped */
    struct pyd_status_worker *status;
    uint64_t seq; /* of the last request */
    unsigned looks; /* so many have been taken */
    struct pyd_buf log_text;
};

struct fake_setup {
    uint32_t threads;
    const char *spec_text;  /* further lines of the spec */
    const char *job_text;   /* instead of a good job, or NULL */
    size_t status_bytes;    /* of the status file, or 0: what is needed */
    const char *left;       /* what a worker before it has left in the area for crashes, or NULL */
    int is_unprivileged;    /* it runs as nobody */
};

/** Give the arguments of main(), whose memory becomes the worker's title. */
void fake_httpd_init(int argc, char **argv);
/** Fork a worker; it is not ready yet. */
void fake_worker_start(struct fake_worker *worker, const struct fake_setup *setup);
/** Wait until its status says so. Waiting is for its bytes on the control socket. */
void fake_worker_wait_state(struct fake_worker *worker, enum pyd_worker_state state);
/** Start and wait until it is ready. */
void fake_worker_run(struct fake_worker *worker, uint32_t threads);
/** Tell it to stop (control byte). */
void fake_worker_stop(struct fake_worker *worker);
/** @return its wait status; the test fails if it does not end */
int fake_worker_wait_exit(struct fake_worker *worker);
/** Stop it, expect exit status 0, release everything. */
void fake_worker_finish(struct fake_worker *worker);
/** Release everything of a worker that has ended; kills it if it has not. For teardown too. */
void fake_worker_clean(struct fake_worker *worker);
/** Wait until its log has text. */
void fake_worker_wait_log(struct fake_worker *worker, const char *text);
/** Fill up the pipe of its log, which nobody reads. */
void fake_worker_fill_log(struct fake_worker *worker);
/** Wait for a byte on the control socket. */
void fake_worker_wait_look(struct fake_worker *worker);
/** Ask for a dump as the manager does. */
void fake_worker_ask_dump(struct fake_worker *worker, uint32_t dump, pid_t tid, int no_signals);
struct fake_dump {
    struct pyd_area_head head;
    char *text; /* owned */
};
/** Wait until it says that there is one, and read it. */
void fake_worker_wait_dump(struct fake_worker *worker, struct fake_dump *ret_dump);
void fake_dump_done(struct fake_dump *dump);

/** Take what its log has without waiting, so that the pipe does not fill up. @return lines */
size_t fake_worker_drain_log(struct fake_worker *worker);
/** What ps shows. */
void fake_worker_read_title(const struct fake_worker *worker, char *room, size_t size);

/** The most memory it has had so far. */
long fake_worker_peak_kib(const struct fake_worker *worker);
/** The peak has grown by no more than that; not checked with sanitizers, which keep what was freed. */
void fake_worker_expect_flat(const struct fake_worker *worker, long before_kib, long allowed_kib);

/** Wait for a byte of fake_app_events and check it. */
void fake_wait_event(char event);
/** Let count requests (or start) pass the gate. */
void fake_open_gate(int count);

/** A new connection, without and with a greeting. @return the descriptor */
int fake_connect_raw(struct fake_worker *worker);
int fake_connect(struct fake_worker *worker);

struct fake_request {
    const char *act;       /* "hello" */
    uint32_t claim;
    uint64_t seq;          /* 0: the next one */
    uint16_t const_id;
    const char *target;    /* send CONST with it first; NULL: the worker knows it */
    uint8_t flags;         /* PYD_REQUEST_* */
    const void *body;      /* inline */
    size_t body_bytes;
};

void fake_add_hello(struct pyd_buf *out, uint32_t version, uint32_t generation, uint32_t epoch);
void fake_add_const(struct pyd_buf *out, uint16_t id, const char *target);
void fake_add_request(struct pyd_buf *out, struct fake_worker *worker, const struct fake_request *request);
void fake_add_frame(struct pyd_buf *out, enum pyd_frame_type type, uint8_t flags, const void *payload, size_t size);

/** Send all of it; 0 or an errno. */
int fake_send(int fd, const void *data, size_t size);
/** Send one request, with its CONST if it has a target. */
void fake_send_request(struct fake_worker *worker, int fd, const struct fake_request *request);

struct fake_frame {
    uint8_t type, flags;
    unsigned char *payload; /* valid until the next frame is read */
    uint32_t size;
};

/** @return 1 and the next frame, 0 at the end of the connection */
int fake_read_frame(int fd, struct fake_frame *ret_frame);
/** Read a frame and check its type. */
void fake_expect(int fd, enum pyd_frame_type type, struct fake_frame *ret_frame);
/** Expect the connection to be closed. */
void fake_expect_end(int fd);

struct fake_response {
    int ended;             /* type of the last frame, or 0: end of the connection */
    int end;               /* enum pyd_wire_end of END, enum pyd_wire_fail of FAIL */
    uint64_t spent_us;
    int status, headers, early, reads;
    struct pyd_buf body, log;
    char rule[64];
};

/** What the client sends as its body, and how. */
struct fake_source {
    const unsigned char *data;
    size_t size, at;
    size_t piece;          /* longest BODY; 0: what READ asks for; more than that is sent if it is larger */
    int fail_status;       /* answer READ with BODY_FAIL after the data; -1: never */
};

/** Relay until the response has ended, as a handler does. */
void fake_relay(int fd, struct fake_source *source, struct fake_response *ret_response);
void fake_response_done(struct fake_response *response);
/** Send, relay, and expect a clean end with that body. */
void fake_expect_body(struct fake_worker *worker, int fd, const struct fake_request *request, const char *body);

#endif
