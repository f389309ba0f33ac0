/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_ending.h"

#include <stdio.h>
#include <string.h>

void pyd_ending_text(enum pyd_cause cause, uint32_t detail, char *text, size_t size)
{
    const char *words = "ended; the cause is not known";

    switch (cause) {
    case PYD_CAUSE_SIGNAL:
        snprintf(text, size, "was killed by signal %u (%s)", detail, strsignal((int)(detail & 0x7f)));
        return;
    case PYD_CAUSE_EXIT:
        snprintf(text, size, "exited with status %u", detail);
        return;
    case PYD_CAUSE_STARTUP:
        snprintf(text, size, "failed to start (exit status %u)", detail);
        return;
    case PYD_CAUSE_OOM:
        words = "was killed by the kernel for lack of memory (OOM)";
        break;
    case PYD_CAUSE_IMPORT:
        words = "exited because an application failed to import";
        break;
    case PYD_CAUSE_STARTUP_TIMEOUT:
        words = "was killed because it did not start within startup-timeout";
        break;
    case PYD_CAUSE_SHUTDOWN:
        words = "was shut down";
        break;
    case PYD_CAUSE_SHUTDOWN_TIMEOUT:
        words = "was killed because it did not stop within shutdown-timeout";
        break;
    case PYD_CAUSE_RETIRED:
        words = "was retired";
        break;
    case PYD_CAUSE_REQUEST_TIMEOUT:
        words = "was killed because a request exceeded request-timeout";
        break;
    case PYD_CAUSE_DEADLOCK:
        words = "was killed because it hung for deadlock-timeout";
        break;
    case PYD_CAUSE_MEMORY:
        words = "was ended because its memory exceeded memory-limit";
        break;
    case PYD_CAUSE_MEMORY_HARD:
        words = "was killed because its memory exceeded memory-hard-limit";
        break;
    case PYD_CAUSE_CPU_TIME:
        words = "was ended because it had used its cpu-time-limit";
        break;
    case PYD_CAUSE_REQUESTS:
        words = "was ended because it had served maximum-requests";
        break;
    case PYD_CAUSE_INTERVAL:
        words = "was ended because restart-interval was over";
        break;
    case PYD_CAUSE_INACTIVE:
        words = "was ended because it was idle for inactivity-timeout";
        break;
    case PYD_CAUSE_NONE:
    case PYD_CAUSE_UNKNOWN:
    default:
        break;
    }
    snprintf(text, size, "%s", words);
}
