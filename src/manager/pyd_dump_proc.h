/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_DUMP_PROC_H
#define PYD_DUMP_PROC_H

#include <sys/types.h>

#include "pyd_dump.h"

/**
 * What /proc tells of the threads of a process that does not answer: state, system call, wait channel, kernel
 * stack (as far as this manager may see them), as N and X lines below a T line each. At most PYD_DUMP_PROC_THREADS.
 */
void pyd_dump_proc(struct pyd_dump_writer *writer, pid_t pid);
#define PYD_DUMP_PROC_THREADS 1000

/** True if the process is stopped, by a signal or a debugger: it answers nothing. */
int pyd_dump_proc_is_stopped(pid_t pid);
/** True if the process has a handler for that signal, which would end it otherwise. */
int pyd_dump_proc_catches(pid_t pid, int number);

/*
 * Its parts. PURE. @return text in room
 */

/** Content of /proc/PID/task/TID/syscall -> "epoll_wait", "system call 281", "running"; "" if it says nothing. */
const char *pyd_dump_proc_syscall(const char *text, char *room, size_t size);
/** Of stack -> "a < b < c", innermost first, without what every system call begins with. */
const char *pyd_dump_proc_stack(const char *text, char *room, size_t size);
/** Of stat -> state: "stopped (T)", "in uninterruptible sleep (D)"; "" for the usual ones (S, R) and others. */
const char *pyd_dump_proc_state(const char *text, char *room, size_t size);
/** Of /proc/PID/status: is there a handler for that signal? */
int pyd_dump_proc_parse_caught(const char *text, int number);

#endif
