/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_USAGE_H
#define PYD_USAGE_H

#include <stdint.h>
#include <sys/types.h>

/**
 * What a process costs, from /proc (proc(5)). Nothing is allocated. -1: not known, as of a process that is gone; of a
 * zombie it may be 0.
 */

/**
 * Private resident memory, in bytes: what of it is of no file and not shared memory. Pages that it shares with
 * processes it has forked count. The finer account of smaps_rollup is not asked for: it takes milliseconds per 100 MiB,
 * and the lock of the address space, which a thread may hold that waits for a file server (mmap of a file there).
 */
int64_t pyd_usage_private(pid_t pid);
/** CPU time of all its threads so far, those that have ended too, in microseconds. */
int64_t pyd_usage_cpu_us(pid_t pid);

/** Parse /proc/PID/statm (what is private of it) and stat. PURE.
 *  @return -1: not found there */
int64_t pyd_usage_parse_statm(const char *text, int64_t page_bytes);
int64_t pyd_usage_parse_stat(const char *text, int64_t ticks_per_second);

#endif
