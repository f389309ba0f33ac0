/* SPDX-License-Identifier: Apache-2.0 */

/* What faults.py can't do by itself; the tests make a shared library of it. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int stuck_sleep(int seconds);
int stuck_vfork(int seconds);
int stuck_recursion(int depth);

/* Signals that are handled do not end it. */
int stuck_sleep(int seconds)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += seconds;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
        continue;
    return 0;
}

/* The calling thread is in uninterruptible sleep until the child ends, which it does when that thread dies. */
int stuck_vfork(int seconds)
{
    pid_t pid = vfork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(stuck_sleep(seconds));
    }
    return (int)pid;
}

int stuck_recursion(int depth)
{
    volatile char room[4096];

    room[0] = (char)depth;
    if (depth > 0)
        room[1] = (char)stuck_recursion(depth + 1);
    return room[0] + room[1];
}
