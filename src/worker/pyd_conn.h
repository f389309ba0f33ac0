/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CONN_H
#define PYD_CONN_H

#include <stdint.h>

#include "pyd_service.h"
#include "pyd_wire.h"

/**
 * A connection of an httpd child. One thread at a time serves it: the epoll set
 * hands it out once and gets it back when the thread is done with what came.
 * Nothing the peer sends is believed; what makes no sense closes the connection.
 */
struct pyd_conn_set { /* a constant set; unused while payload is NULL */
    unsigned char *payload; /* owned; what the strings of wire point into */
    struct pyd_wire_const wire;
    void *data; /* the runtime's, freed with free_fn */
    void (*free_fn)(void *data);
};

struct pyd_conn {
    int fd;            /* owned */
    int greeted;       /* HELLO has come and fits */
    struct pyd_buf in; /* received; has memory only while a frame is incomplete or the connection is being served */
    size_t in_at;      /* bytes of it that are done with */
    struct pyd_conn_set sets[PYD_WIRE_CONSTS_MAX];
    /* epoll lets one thread after the other have it; this says so to the language. */
    _Atomic int handed_over;
};

enum pyd_conn_next {
    PYD_CONN_WAIT, /* watch it for more */
    PYD_CONN_CLOSE
};

/** Takes fd. @return NULL if out of memory (fd is closed) */
struct pyd_conn *pyd_conn_create(int fd);
/** Close and free. Safe also when a forked child of the application holds a copy of the descriptor. NULL-safe. */
void pyd_conn_destroy(struct pyd_conn *conn);

/** It is readable: receive once without waiting, do what is complete (which may run requests), keep the rest. */
enum pyd_conn_next pyd_conn_serve(struct pyd_conn *conn, struct pyd_lane *lane);

#endif
