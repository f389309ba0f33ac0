/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_WSGI_H
#define PYD_WSGI_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyd_buf.h"
#include "pyd_exchange.h"
#include "pyd_loader.h"
#include "pyd_log.h"
#include "pyd_spec.h"

/**
 * WSGI (PEP 3333). What the files of src/python/pyd_wsgi*.c share.
 *
 * One struct pyd_wsgi_request a request: its Python objects (wsgi.input,
 * wsgi.errors, start_response, write()...) refer to it, and it refers to none of
 * them. The application may keep any of these objects beyond the request, and
 * use them in other threads: `exchange` is NULL once the request has ended, and is
 * used with the GIL held, or without it while `busy` is set. So of several
 * threads one at a time is in the exchange, and the request does not end under it.
 */
struct pyd_wsgi_request { /* Python object; callable: start_response */
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct pyd_exchange *exchange; /* NULL when the request has ended */
    struct pyd_target *target;     /* borrowed: of the constant set */
    PyObject *status;              /* str as given to start_response, or NULL: not called yet */
    PyObject *headers;             /* tuple of (name, value) tuples, all checked */
    int64_t content_bytes;         /* what Content-Length the head says; -1: none */
    int64_t sent_bytes;            /* body bytes given to the exchange */
    struct pyd_buf errors_line;    /* of wsgi.errors: a line begun */
    unsigned waiting;              /* threads that wait for their turn in the exchange */
    uint16_t code;                 /* of the status */
    unsigned busy : 1;             /* a thread is in the exchange without the GIL */
    unsigned head_done : 1;        /* the head is in the output: it can't be changed any more */
    unsigned own_length : 1;       /* content_bytes is ours: the head must say it */
    unsigned is_head : 1;          /* method HEAD */
    unsigned gone : 1;             /* client or httpd has gone: nothing more can be sent */
    unsigned input_failed : 1;     /* the body could not be had: client's fault */
    unsigned too_long : 1;         /* more body than Content-Length: logged, not sent */
};

/** pydaemon.ProtocolError, an AssertionError: the application broke a rule of PEP 3333. */
extern PyObject *pyd_wsgi_protocol_error;
/** Raise it; format as of PyErr_Format(). @return -1 */
int pyd_wsgi_broke(const char *format, ...);

/** The application has no such request any more, or the peer has gone: raise OSError. @return NULL */
PyObject *pyd_wsgi_raise_ended(void);
PyObject *pyd_wsgi_raise_gone(void);

/* pyd_wsgi.c */
int pyd_wsgi_init(const struct pyd_spec *spec);
/** Execute one request that has begun. GIL held; leaves no exception set. Ends the exchange. */
void pyd_wsgi_run(struct pyd_exchange *exchange);
/** Copy "GET /path" of a request for log lines; cut to size. */
void pyd_wsgi_describe(const struct pyd_exchange *exchange, char *text, size_t size);

/* pyd_wsgi_environ.c: environ, and what is kept with a constant set */
struct pyd_wsgi_const {
    struct pyd_wsgi_const *next; /* in the queue of those to free */
    PyObject *environ;           /* template: all that is the same in each request */
    struct pyd_target *target;
};
int pyd_wsgi_environ_init(const struct pyd_spec *spec);
/** What is kept for the exchange's constant set, made at its first request. NULL: exception set. */
struct pyd_wsgi_const *pyd_wsgi_const_get(struct pyd_exchange *exchange);
/** Free what connections have dropped since. */
void pyd_wsgi_const_reap(void);
/** A new environ. Returns owned, or NULL with an exception set. */
PyObject *pyd_wsgi_environ_create(struct pyd_wsgi_request *request, const struct pyd_wsgi_const *set);

/* pyd_wsgi_input.c, pyd_wsgi_errors.c: the stream objects of a request; return owned, or NULL */
int pyd_wsgi_input_init(void);
PyObject *pyd_wsgi_input_create(struct pyd_wsgi_request *request);
int pyd_wsgi_errors_init(void);
PyObject *pyd_wsgi_errors_create(struct pyd_wsgi_request *request);
/** End the line begun, if any: the request is about to end. */
void pyd_wsgi_errors_flush(struct pyd_wsgi_request *request);

/* pyd_wsgi_start.c: start_response, write(), early_hints(), disconnected() */
int pyd_wsgi_start_init(void);
/** exchange must outlive the request's end. Returns owned, or NULL. */
struct pyd_wsgi_request *pyd_wsgi_request_create(struct pyd_exchange *exchange, struct pyd_target *target);
/** pydaemon.disconnected and pydaemon.early_hints. Return owned, or NULL. */
PyObject *pyd_wsgi_disconnected_create(struct pyd_wsgi_request *request);
PyObject *pyd_wsgi_early_hints_create(struct pyd_wsgi_request *request);

/* pyd_wsgi_headers.c: the rules for what start_response is given */
/** Check a status: three digits, then nothing or a space and a reason. @return 0, or -1 with ProtocolError set */
int pyd_wsgi_check_status(PyObject *status, uint16_t *ret_code);
/**
 * Check a list of (name, value) tuples.
 * @param ret_headers a tuple of the same items, owned
 * @param ret_content_bytes value of Content-Length, or -1; NULL: they are early hints
 */
int pyd_wsgi_check_headers(PyObject *list, PyObject **ret_headers, int64_t *ret_content_bytes);

/* pyd_wsgi_output.c: the response; each call waits for its turn. 0, an errno (ECONNRESET: gone is set; ENOMEM), never
 * an exception. The request must not end meanwhile: they are for its own thread, or called after pyd_wsgi_enter(). */
/** Wait until no other thread is in the exchange. @return false if the request has ended */
int pyd_wsgi_enter(struct pyd_wsgi_request *request);
/**
 * The same, for what applications call: who comes again and again lets those go first who wait already.
 * @return 0, or -1 with OSError set: the request has ended, or belongs to the process that has forked this one
 */
int pyd_wsgi_enter_in_turn(struct pyd_wsgi_request *request);
/** Around calls to the exchange without the GIL. */
void pyd_wsgi_busy_begin(struct pyd_wsgi_request *request);
void pyd_wsgi_busy_end(struct pyd_wsgi_request *request);
/** Log whole lines with the request's context, after pyd_wsgi_enter(); nobody else is let in while it waits. */
void pyd_wsgi_log(struct pyd_wsgi_request *request, enum pyd_log_level level, const char *text, size_t size);
/** Put the head into the output unless it is there. start_response has been called. */
void pyd_wsgi_output_head(struct pyd_wsgi_request *request);
/** Append checked headers to the head begun. */
void pyd_wsgi_output_headers(struct pyd_exchange *exchange, PyObject *headers);
/** Body bytes (size > 0), after the head; what exceeds Content-Length is logged once and dropped. */
int pyd_wsgi_output_body(struct pyd_wsgi_request *request, const char *data, size_t size);
/** Send what is collected, waiting (without the GIL) if need be. */
int pyd_wsgi_output_flush(struct pyd_wsgi_request *request);
/** Bytes of body that may still be sent: INT64_MAX without Content-Length. */
int64_t pyd_wsgi_output_room(const struct pyd_wsgi_request *request);
/** True for a status that has no body (204, 304). */
int pyd_wsgi_output_bodiless(const struct pyd_wsgi_request *request);

/* pyd_wsgi_file.c: wsgi.file_wrapper */
extern PyTypeObject pyd_wsgi_file_type;
int pyd_wsgi_file_init(void);
/**
 * If the wrapped file is a regular one, send it from its current position; sets Content-Length unless that is set.
 * @return 0 or an errno as above; -1: exception set; EAGAIN: it is no such file, iterate over it
 */
int pyd_wsgi_file_send(struct pyd_wsgi_request *request, PyObject *wrapper);

#endif
