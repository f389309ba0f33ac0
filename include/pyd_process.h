/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_PROCESS_H
#define PYD_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/**
 * What /proc tells of another process (proc(5)). Any thread.
 */

/** Its start time in clock ticks since boot, which together with the pid is unique; 0: no such process, a zombie, or
 *  /proc does not show it (hidepid). */
uint64_t pyd_process_start_time(pid_t pid);

/** True if that process has certainly ended, reaped or not. One that cannot be seen is believed to live. */
int pyd_process_has_ended(pid_t pid, uint64_t start_time);

/** Start time in the content of /proc/PID/stat. PURE. @return 0: a zombie, or there is none */
uint64_t pyd_process_parse_stat(const char *text);

#endif
