/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_cause.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "pyd_manager.h"

/* Why it was to go: for the limit that it had reached, or just so. */
static enum pyd_cause find_reason(const struct pyd_end *end)
{
    if (end->must_go != PYD_CAUSE_NONE)
        return end->must_go;
    return end->retired ? PYD_CAUSE_RETIRED : PYD_CAUSE_SHUTDOWN;
}

/* That it had to be killed in the end is not the reason where something was wrong with it before. */
static enum pyd_cause decide_killed(const struct pyd_end *end, uint32_t *ret_detail)
{
    if (end->killed_for != PYD_CAUSE_SHUTDOWN_TIMEOUT || !pyd_cause_is_limit(end->must_go))
        return end->killed_for;
    *ret_detail = SIGKILL;
    return end->must_go;
}

static enum pyd_cause decide_signal(const struct pyd_end *end, uint32_t *ret_detail)
{
    int number = WTERMSIG(end->wait_status);

    if (end->told && number == SIGTERM) /* before it had a handler for it */
        return find_reason(end);
    if (number == SIGKILL && end->oom)
        return PYD_CAUSE_OOM;
    *ret_detail = (uint32_t)number;
    return PYD_CAUSE_SIGNAL;
}

enum pyd_cause pyd_cause_decide(const struct pyd_end *end, uint32_t *ret_detail)
{
    int status;

    *ret_detail = 0;
    if (end->killed_for != PYD_CAUSE_NONE &&
        (!end->has_wait_status || (WIFSIGNALED(end->wait_status) && WTERMSIG(end->wait_status) == SIGKILL)))
        return decide_killed(end, ret_detail); /* else it was quicker */
    if (!end->has_wait_status)
        return end->told ? find_reason(end) : PYD_CAUSE_UNKNOWN;
    if (WIFSIGNALED(end->wait_status))
        return decide_signal(end, ret_detail);
    status = WEXITSTATUS(end->wait_status);
    if (status == PYD_EXIT_OK && (end->told || end->left || (end->killed && end->must_go != PYD_CAUSE_NONE)))
        return find_reason(end);
    *ret_detail = (uint32_t)status;
    if (end->was_ready || end->told)
        return PYD_CAUSE_EXIT;
    return status == PYD_EXIT_IMPORT ? PYD_CAUSE_IMPORT : PYD_CAUSE_STARTUP;
}

int pyd_cause_is_expected(enum pyd_cause cause)
{
    return cause == PYD_CAUSE_SHUTDOWN || cause == PYD_CAUSE_RETIRED || cause == PYD_CAUSE_MEMORY ||
           cause == PYD_CAUSE_CPU_TIME || cause == PYD_CAUSE_REQUESTS || cause == PYD_CAUSE_INTERVAL ||
           cause == PYD_CAUSE_INACTIVE;
}

int pyd_cause_is_limit(enum pyd_cause cause)
{
    return cause == PYD_CAUSE_REQUEST_TIMEOUT || cause == PYD_CAUSE_DEADLOCK || cause == PYD_CAUSE_MEMORY_HARD;
}

static void describe_startup(uint32_t status, char *room, size_t size)
{
    static const struct {
        uint32_t status;
        const char *words;
    } known[] = {
        {PYD_EXIT_JOB, "it did not understand its job (is the worker program of another version?)"},
        {PYD_EXIT_PYTHON, "the Python interpreter did not start"},
        {PYD_EXIT_SYSTEM, "the system refused it memory, descriptors or threads"},
        {PYD_EXIT_PRIVILEGE, "it could not become the group's user"},
        {PYD_EXIT_HOME, "it could not enter its home directory"},
        {PYD_EXIT_EXEC, "the worker program could not be executed"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].status == status) {
            snprintf(room, size, "exited with status %u while starting: %s", status, known[i].words);
            return;
        }
    }
    snprintf(room, size, "exited with status %u while starting", status);
}

void pyd_cause_words(enum pyd_cause cause, uint32_t detail, char *room, size_t size)
{
    static const char *const words[] = {
        [PYD_CAUSE_NONE] = "not known yet",
        [PYD_CAUSE_OOM] = "killed by the kernel for lack of memory (OOM killer)",
        [PYD_CAUSE_IMPORT] = "an application could not be imported",
        [PYD_CAUSE_STARTUP_TIMEOUT] = "killed because it was not ready within startup-timeout",
        [PYD_CAUSE_SHUTDOWN] = "stopped as told",
        [PYD_CAUSE_SHUTDOWN_TIMEOUT] = "killed because it did not stop within shutdown-timeout",
        [PYD_CAUSE_RETIRED] = "retired as told",
        [PYD_CAUSE_REQUEST_TIMEOUT] = "replaced because a request exceeded request-timeout",
        [PYD_CAUSE_DEADLOCK] = "killed because it was stuck for deadlock-timeout",
        [PYD_CAUSE_MEMORY] = "replaced because it exceeded memory-limit",
        [PYD_CAUSE_MEMORY_HARD] = "killed because it exceeded memory-hard-limit",
        [PYD_CAUSE_CPU_TIME] = "replaced because it exceeded cpu-time-limit",
        [PYD_CAUSE_REQUESTS] = "replaced after maximum-requests",
        [PYD_CAUSE_INTERVAL] = "replaced after restart-interval",
        [PYD_CAUSE_INACTIVE] = "stopped because it was idle for inactivity-timeout",
        [PYD_CAUSE_UNKNOWN] = "not known, no manager was watching",
    };
    const char *name;

    switch (cause) {
    case PYD_CAUSE_SIGNAL:
        name = detail < 128 ? strsignal((int)detail) : NULL;
        snprintf(room, size, "killed by signal %u (%s)", detail, name ? name : "unknown");
        break;
    case PYD_CAUSE_EXIT:
        snprintf(room, size, "exited with status %u without having been told to", detail);
        break;
    case PYD_CAUSE_STARTUP:
        describe_startup(detail, room, size);
        break;
    case PYD_CAUSE_REQUEST_TIMEOUT:
        snprintf(room, size, "%s%s", words[cause], detail == SIGKILL ? " (it had to be killed)" : "");
        break;
    default:
        snprintf(room, size, "%s", (unsigned)cause <= PYD_CAUSE_UNKNOWN ? words[cause] : words[PYD_CAUSE_UNKNOWN]);
        break;
    }
}
