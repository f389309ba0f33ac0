/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_wsgi.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "pyd_pylog.h"

/* Who waits for another thread to leave an exchange; rare, so one for all of them. */
static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static unsigned turn_waiters; /* guarded by turn_lock */
static uint64_t turn_round;   /* guarded by turn_lock: grows when somebody may go on */

/* What is waited for changes with the GIL held, and the round is noted under the GIL: no change is missed. */
static void wait_for_turn(void)
{
    uint64_t round;

    pthread_mutex_lock(&turn_lock);
    turn_waiters++;
    round = turn_round;
    pthread_mutex_unlock(&turn_lock);
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&turn_lock);
    while (turn_round == round)
        pthread_cond_wait(&turn_changed, &turn_lock);
    turn_waiters--;
    pthread_mutex_unlock(&turn_lock);
    Py_END_ALLOW_THREADS
}

static void give_turn(void)
{
    if (pyd_exchange_forked()) /* who held the lock has not come along, nor has who waits */
        return;
    pthread_mutex_lock(&turn_lock);
    if (turn_waiters) {
        turn_round++;
        pthread_cond_broadcast(&turn_changed);
    }
    pthread_mutex_unlock(&turn_lock);
}

int pyd_wsgi_enter(struct pyd_wsgi_request *request)
{
    if (request->busy && !pyd_exchange_forked()) {
        request->waiting++;
        while (request->exchange && request->busy)
            wait_for_turn();
        request->waiting--;
        give_turn();
    }
    return request->exchange != NULL;
}

/* Who waits has been woken, or will be at the end of what is busy, and gives the turn when it has had its own. */
int pyd_wsgi_enter_in_turn(struct pyd_wsgi_request *request)
{
    if (pyd_exchange_forked()) {
        pyd_wsgi_raise_gone();
        return -1;
    }
    while (request->exchange && request->waiting)
        wait_for_turn();
    if (pyd_wsgi_enter(request))
        return 0;
    pyd_wsgi_raise_ended();
    return -1;
}

void pyd_wsgi_busy_begin(struct pyd_wsgi_request *request)
{
    request->busy = 1;
}

void pyd_wsgi_busy_end(struct pyd_wsgi_request *request)
{
    request->busy = 0;
    give_turn();
}

void pyd_wsgi_log(struct pyd_wsgi_request *request, enum pyd_log_level level, const char *text, size_t size)
{
    pyd_wsgi_busy_begin(request);
    pyd_pylog_lines(request->exchange, level, text, size);
    pyd_wsgi_busy_end(request);
}

int pyd_wsgi_output_bodiless(const struct pyd_wsgi_request *request)
{
    return request->code == 204 || request->code == 304;
}

int64_t pyd_wsgi_output_room(const struct pyd_wsgi_request *request)
{
    return request->content_bytes < 0 ? INT64_MAX : request->content_bytes - request->sent_bytes;
}

void pyd_wsgi_output_headers(struct pyd_exchange *exchange, PyObject *headers)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(headers); i++) {
        PyObject *item = PyTuple_GET_ITEM(headers, i);
        PyObject *name = PyTuple_GET_ITEM(item, 0), *value = PyTuple_GET_ITEM(item, 1);

        pyd_exchange_header(exchange, (const char *)PyUnicode_1BYTE_DATA(name), (size_t)PyUnicode_GET_LENGTH(name),
                            (const char *)PyUnicode_1BYTE_DATA(value), (size_t)PyUnicode_GET_LENGTH(value));
    }
}

void pyd_wsgi_output_head(struct pyd_wsgi_request *request)
{
    struct pyd_exchange *exchange = request->exchange;
    const char *status;
    char length[24];
    size_t size;

    pyd_wsgi_enter(request); /* while it waits another thread may send the head, or replace it */
    if (request->head_done)
        return;
    request->head_done = 1;
    status = (const char *)PyUnicode_1BYTE_DATA(request->status);
    size = (size_t)PyUnicode_GET_LENGTH(request->status);
    pyd_exchange_head(exchange, request->code, size > 4 ? status + 4 : "", size > 4 ? size - 4 : 0);
    pyd_wsgi_output_headers(exchange, request->headers);
    if (request->own_length) {
        int bytes = snprintf(length, sizeof length, "%" PRId64, request->content_bytes);

        pyd_exchange_header(exchange, "Content-Length", strlen("Content-Length"), length, (size_t)bytes);
    }
    pyd_exchange_head_done(exchange);
}

static int note(struct pyd_wsgi_request *request, int rv)
{
    if (rv)
        request->gone = 1; /* ENOMEM, too: nothing sensible can follow */
    return rv;
}

static void log_too_long(struct pyd_wsgi_request *request)
{
    char what[256], message[1024];
    int size;

    request->too_long = 1;
    pyd_wsgi_describe(request->exchange, what, sizeof what);
    size = snprintf(message, sizeof message,
                    PYD_LOGNO(1013) "The application '%s' gave more body than the %" PRId64
                                    " bytes of its Content-Length (%s); the rest is not sent.",
                    pyd_loader_label(request->target), request->content_bytes, what);
    if (size >= (int)sizeof message)
        size = (int)sizeof message - 1;
    pyd_wsgi_log(request, PYD_LOG_ERR, message, (size_t)size);
}

int pyd_wsgi_output_body(struct pyd_wsgi_request *request, const char *data, size_t size)
{
    size_t taken = 0;
    int64_t room;
    int rv;

    pyd_wsgi_enter(request);
    if (pyd_wsgi_output_bodiless(request))
        return 0;
    room = pyd_wsgi_output_room(request);
    if ((uint64_t)room < size) {
        if (!request->too_long)
            log_too_long(request);
        size = (size_t)room;
    }
    request->sent_bytes += (int64_t)size;
    rv = size ? pyd_exchange_write(request->exchange, data, size, &taken) : 0;
    if (rv != EAGAIN)
        return note(request, rv);
    pyd_wsgi_busy_begin(request);
    Py_BEGIN_ALLOW_THREADS
    while (rv == EAGAIN) {
        data += taken;
        size -= taken;
        taken = 0;
        rv = pyd_exchange_flush(request->exchange);
        if (!rv && size)
            rv = pyd_exchange_write(request->exchange, data, size, &taken);
    }
    Py_END_ALLOW_THREADS
    pyd_wsgi_busy_end(request);
    return note(request, rv);
}

int pyd_wsgi_output_flush(struct pyd_wsgi_request *request)
{
    int rv;

    pyd_wsgi_enter(request);
    rv = pyd_exchange_push(request->exchange);
    if (rv == EAGAIN) {
        pyd_wsgi_busy_begin(request);
        Py_BEGIN_ALLOW_THREADS
        rv = pyd_exchange_flush(request->exchange);
        Py_END_ALLOW_THREADS
        pyd_wsgi_busy_end(request);
    }
    return note(request, rv);
}
