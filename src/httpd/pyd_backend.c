/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Connections of this httpd process to workers, kept open between requests. A
 * claim is held while a connection is in use, so no more than a worker's
 * threads are ever open at a time, whatever the MPM.
 */
#include "pyd_backend.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pyd_fd.h"
#include "pyd_log.h"
#include "pyd_wire.h"

/* Idle connections kept per worker and httpd process; more are closed when they come back. */
#define IDLE_MAX 32

/* How long a full rendezvous socket may stay full: the worker is not taking connections at all. */
#define RENDEZVOUS_WAIT_MS 1000

/* Output scratch above this is not kept. */
#define OUT_KEEP_BYTES (64u << 10)

#define HELLO_BYTES (PYD_WIRE_HEADER_BYTES + 12)

struct idle_list {
    struct pyd_backend *first;
    unsigned count;
    _Atomic uint32_t ended_epoch; /* of the worker that was found to have ended here last; 0: none. Without the lock */
};

/* For as long as the process: handlers may outlive pchild (mod_http2 stops waiting for its threads after 5 s). */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the lists */
static struct {
    struct idle_list *lists;  /* one per slot of the board; NULL: no board */
    uint32_t *first_of_group; /* index of a group's first slot in lists */
    struct pyd_board *board;
    server_rec *server; /* for log lines */
} pool;

static void destroy(struct pyd_backend *backend)
{
    if (!backend)
        return;
    pyd_fd_close(&backend->fd);
    pyd_constset_done(&backend->consts);
    pyd_buf_done(&backend->out);
    free(backend->in);
    free(backend);
}

static void destroy_all(struct pyd_backend *backend)
{
    while (backend) {
        struct pyd_backend *next = backend->next;

        destroy(backend);
        backend = next;
    }
}

static struct idle_list *list_of(uint32_t group, uint32_t slot)
{
    return &pool.lists[pool.first_of_group[group] + slot];
}

/* Take a whole list; the caller closes its connections without the lock. */
static struct pyd_backend *take_list(uint32_t group, uint32_t slot)
{
    struct idle_list *list = list_of(group, slot);
    struct pyd_backend *first;

    pthread_mutex_lock(&lock);
    first = list->first;
    list->first = NULL;
    list->count = 0;
    pthread_mutex_unlock(&lock);
    return first;
}

void pyd_backend_forget(uint32_t group, uint32_t slot)
{
    if (pool.lists)
        destroy_all(take_list(group, slot));
}

void pyd_backend_note_ended(const struct pyd_claim_ref *claim)
{
    atomic_store(&list_of(claim->group, claim->slot)->ended_epoch, claim->epoch);
}

int pyd_backend_has_ended(const struct pyd_claim_ref *claim)
{
    return atomic_load(&list_of(claim->group, claim->slot)->ended_epoch) == claim->epoch;
}

/* A connection to exactly this worker; those to its predecessors in the slot are closed. */
static struct pyd_backend *take_idle(const struct pyd_claim_ref *claim)
{
    struct idle_list *list;
    struct pyd_backend *found, *stale = NULL;

    if (!pool.lists)
        return NULL;
    list = list_of(claim->group, claim->slot);
    pthread_mutex_lock(&lock);
    found = list->first;
    if (found && found->epoch == claim->epoch) {
        list->first = found->next;
        --list->count;
    } else {
        /* Epochs only grow, and a list is of one epoch: see put_idle(). */
        stale = found;
        found = NULL;
        list->first = NULL;
        list->count = 0;
    }
    pthread_mutex_unlock(&lock);
    destroy_all(stale);
    return found;
}

/* @return 0 if it is not wanted */
static int put_idle(struct pyd_backend *backend)
{
    struct idle_list *list;
    int wanted;

    if (!pool.lists)
        return 0;
    list = list_of(backend->group, backend->slot);
    pthread_mutex_lock(&lock);
    wanted = list->count < IDLE_MAX && (!list->first || list->first->epoch == backend->epoch);
    if (wanted) {
        backend->next = list->first;
        list->first = backend;
        ++list->count;
    }
    pthread_mutex_unlock(&lock);
    return wanted;
}

/* Slots whose worker has changed and which nobody claims keep dead connections; look when a new one is made, which is
 * rare. */
static void close_stale(uint32_t group)
{
    uint32_t slot, slots = pyd_board_settings(pool.board, group)->slot_count;

    for (slot = 0; slot < slots; ++slot) {
        uint32_t epoch = atomic_load(&pyd_board_slot(pool.board, group, slot)->epoch);
        struct pyd_backend *first;
        int stale;

        pthread_mutex_lock(&lock);
        first = list_of(group, slot)->first;
        stale = first && first->epoch != epoch;
        pthread_mutex_unlock(&lock);
        if (stale)
            destroy_all(take_list(group, slot));
    }
}

static apr_status_t queue_hello(struct pyd_backend *backend, uint32_t generation)
{
    struct pyd_wire_writer writer;
    unsigned char *frame, *room = pyd_buf_reserve(&backend->out, HELLO_BYTES);

    if (!room)
        return APR_ENOMEM;
    pyd_wire_writer_init(&writer, room, HELLO_BYTES);
    frame = pyd_wire_begin(&writer, PYD_FRAME_HELLO, 0);
    pyd_wire_write_u32(&writer, PYD_WIRE_VERSION);
    pyd_wire_write_u32(&writer, generation);
    pyd_wire_write_u32(&writer, backend->epoch);
    pyd_wire_end(&writer, frame);
    if (writer.bad)
        return APR_EGENERAL;
    backend->out.size += (size_t)(writer.at - writer.start);
    return APR_SUCCESS;
}

/* Hand one end of the pair to the worker. Full for long: it is stopped, or about to go. */
static apr_status_t pass_end(int rendezvous_fd, int fd)
{
    static const char greeting = 'c';
    struct pollfd poller = {.fd = rendezvous_fd, .events = POLLOUT};
    int rv;

    rv = pyd_fd_pass(rendezvous_fd, &greeting, sizeof(greeting), fd);
    if (rv != EAGAIN)
        return rv;
    if (poll(&poller, 1, RENDEZVOUS_WAIT_MS) < 0 && errno != EINTR)
        return errno;
    return pyd_fd_pass(rendezvous_fd, &greeting, sizeof(greeting), fd);
}

static apr_status_t connect_new(const struct pyd_claim_ref *claim, struct pyd_backend **ret_backend)
{
    struct pyd_board *board = pyd_launch_board();
    struct pyd_backend *backend = calloc(1, sizeof(*backend));
    int ends[2] = {-1, -1};
    apr_status_t rv = APR_ENOMEM;

    if (!backend)
        return rv;
    backend->fd = -1;
    backend->group = claim->group;
    backend->slot = claim->slot;
    backend->epoch = claim->epoch;
    backend->in = malloc(PYD_BACKEND_IN_BYTES);
    if (!backend->in)
        goto leave;
    backend->in_bytes = PYD_BACKEND_IN_BYTES;
    rv = queue_hello(backend, board->header->generation);
    if (rv != APR_SUCCESS)
        goto leave;
    rv = pyd_fd_socketpair(SOCK_STREAM, ends);
    if (rv != APR_SUCCESS)
        goto leave;
    backend->fd = ends[0];
    rv = pass_end(pyd_board_slot(board, claim->group, claim->slot)->rendezvous_child_fd, ends[1]);
    if (rv != APR_SUCCESS)
        goto leave;
    *ret_backend = backend;
    backend = NULL;

leave:
    pyd_fd_close(&ends[1]);
    destroy(backend);
    return rv;
}

/*
 * False if the worker has closed it, or if bytes have come while no request used it: they would be taken for the
 * next request's response. Once a request is sent nobody can tell the two apart, so it takes a call now.
 */
static int is_silent(const struct pyd_backend *backend)
{
    char byte;
    ssize_t got;

    do {
        got = recv(backend->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return APR_STATUS_IS_EAGAIN(errno);
    if (got > 0)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, pool.server,
                     PYD_LOGNO(0226) "worker pid=%d of '%s' sent something to no request; its connection is closed, no "
                     "response is affected",
                     (int)atomic_load(&pyd_board_slot(pool.board, backend->group, backend->slot)->pid),
                     pyd_board_settings(pool.board, backend->group)->name);
    return 0;
}

apr_status_t pyd_backend_acquire(const struct pyd_claim_ref *claim, struct pyd_backend **ret_backend)
{
    struct pyd_backend *backend;

    while ((backend = take_idle(claim))) {
        if (is_silent(backend)) {
            backend->next = NULL;
            backend->pooled = 1;
            *ret_backend = backend;
            return APR_SUCCESS;
        }
        destroy(backend);
    }
    if (pool.lists)
        close_stale(claim->group);
    return connect_new(claim, ret_backend);
}

/* Give back what an unusually large request or frame has made it grow to. */
static apr_status_t trim(struct pyd_backend *backend)
{
    backend->in_at = backend->in_end = 0;
    if (backend->out.capacity > OUT_KEEP_BYTES)
        pyd_buf_done(&backend->out);
    else
        pyd_buf_clear(&backend->out);
    if (backend->in_bytes > PYD_BACKEND_IN_BYTES) {
        unsigned char *smaller = realloc(backend->in, PYD_BACKEND_IN_BYTES);

        if (!smaller)
            return APR_ENOMEM;
        backend->in = smaller;
        backend->in_bytes = PYD_BACKEND_IN_BYTES;
    }
    return APR_SUCCESS;
}

void pyd_backend_release(struct pyd_backend *backend, int reusable)
{
    if (!backend)
        return;
    /* Bytes after the end are a worker's mistake: they must not become the next response. */
    if (!reusable || backend->in_at != backend->in_end || trim(backend) != APR_SUCCESS) {
        destroy(backend);
        return;
    }
    if (!put_idle(backend))
        destroy(backend);
}

apr_status_t pyd_backend_receive(struct pyd_backend *backend)
{
    ssize_t got;

    if (backend->in_end == backend->in_bytes)
        return APR_ENOSPC;
    do {
        got = recv(backend->fd, backend->in + backend->in_end, backend->in_bytes - backend->in_end, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        backend->in_end += (size_t)got;
        return APR_SUCCESS;
    }
    if (got == 0 || errno == ECONNRESET)
        return APR_EOF;
    return APR_STATUS_IS_EAGAIN(errno) ? APR_EAGAIN : errno;
}

apr_status_t pyd_backend_reserve(struct pyd_backend *backend, size_t frame_bytes)
{
    size_t left = backend->in_end - backend->in_at;

    if (backend->in_at > 0 && left > 0)
        memmove(backend->in, backend->in + backend->in_at, left);
    backend->in_at = 0;
    backend->in_end = left;
    if (frame_bytes > backend->in_bytes) {
        unsigned char *grown = realloc(backend->in, frame_bytes);

        if (!grown)
            return APR_ENOMEM;
        backend->in = grown;
        backend->in_bytes = frame_bytes;
    }
    return APR_SUCCESS;
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    struct pyd_board *board = pyd_launch_board();
    uint32_t group, slots = 0;

    (void)pchild;
    memset(&pool, 0, sizeof(pool));
    if (!board)
        return;
    pool.board = board;
    pool.server = s;
    pool.first_of_group = ap_calloc(pyd_board_group_count(board) + 1, sizeof(*pool.first_of_group));
    for (group = 0; group < pyd_board_group_count(board); ++group) {
        pool.first_of_group[group] = slots;
        slots += pyd_board_settings(board, group)->slot_count;
    }
    pool.lists = ap_calloc(slots + 1, sizeof(*pool.lists));
}

void pyd_backend_register(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_LAST);
}
