/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_WORKER_JOB_H
#define PYD_WORKER_JOB_H

#include <stddef.h>
#include <stdint.h>

#include "pyd_spec.h"

/**
 * What the manager tells a worker about itself, and the settings of its group.
 * Text: the lines ".generation=", ".group=", ".slot=", ".slots=", ".threads=",
 * ".epoch=", ".number=" in any order, each once, then the text form of struct pyd_spec.
 */
struct pyd_worker_job {
    uint32_t generation;
    uint32_t group;   /* index on the board, for log lines */
    uint32_t slot;    /* its record in the status file, below slots */
    uint32_t slots;
    uint32_t threads; /* at least 1 */
    uint32_t epoch;   /* at least 1 */
    uint32_t number;  /* as ps shows it */
    struct pyd_spec spec;
};

#define PYD_WORKER_THREADS_MAX 65536u
#define PYD_WORKER_SLOTS_MAX 65536u

/**
 * Parse a job. PURE.
 * @param error room for a message of at most size bytes
 * @return 0 and *ret_job, to be released with pyd_worker_job_done(); EINVAL (error is filled in) or ENOMEM
 */
int pyd_worker_job_parse(const char *text, struct pyd_worker_job *ret_job, char *error, size_t size);

/** Read all of fd from its beginning and parse it. Same returns, or another errno. */
int pyd_worker_job_read(int fd, struct pyd_worker_job *ret_job, char *error, size_t size);

/** Free the contents. NULL-safe. */
void pyd_worker_job_done(struct pyd_worker_job *job);

#endif
