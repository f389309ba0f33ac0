/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_THREADS_H
#define PYD_THREADS_H

#include "pyd_service.h"

/**
 * The request threads. They share one epoll set of the rendezvous socket and all
 * connections: the kernel wakes the one that went idle last, whose caches are warm.
 * They wait without a time limit; an eventfd in the set sends them home.
 *
 * All calls are the main thread's but pyd_threads_refuse().
 */
struct pyd_threads;

/**
 * Start job.threads threads and wait until each has begun (ops->thread_begin).
 * @param rendezvous borrowed; non-blocking or not
 * @return 0 and returns owned, or an errno (threads that began are sent home; do not go on)
 */
int pyd_threads_start(struct pyd_service *service, int rendezvous, struct pyd_threads **ret_threads);

/** Stopping: take no new connection. Requests on known ones are refused as pyd_service_enter() says. */
void pyd_threads_close_rendezvous(struct pyd_threads *threads);

/** Send home the threads that execute nothing and wait for them until deadline_us. @return how many are still here */
unsigned pyd_threads_dismiss(struct pyd_threads *threads, int64_t deadline_us);

/** After that: readable when connections have something to say, for pyd_threads_refuse(). */
int pyd_threads_fd(const struct pyd_threads *threads);

/** Any one thread, after pyd_threads_dismiss(): answer what is there with REFUSE, without waiting. */
void pyd_threads_refuse(struct pyd_threads *threads);

#endif
