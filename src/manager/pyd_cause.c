/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_cause.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "pyd_manager.h"

static enum pyd_cause decide_signal(const struct pyd_end *end, uint32_t *ret_detail)
{
    int number = WTERMSIG(end->wait_status);

    if (end->told && number == SIGTERM) /* before it had a handler for it */
        return end->retired ? PYD_CAUSE_RETIRED : PYD_CAUSE_SHUTDOWN;
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
        return end->killed_for; /* else it was quicker */
    if (!end->has_wait_status) {
        if (!end->told)
            return PYD_CAUSE_UNKNOWN;
        return end->retired ? PYD_CAUSE_RETIRED : PYD_CAUSE_SHUTDOWN;
    }
    if (WIFSIGNALED(end->wait_status))
        return decide_signal(end, ret_detail);
    status = WEXITSTATUS(end->wait_status);
    if ((end->told || end->left) && status == PYD_EXIT_OK)
        return end->retired ? PYD_CAUSE_RETIRED : PYD_CAUSE_SHUTDOWN;
    *ret_detail = (uint32_t)status;
    if (end->was_ready || end->told)
        return PYD_CAUSE_EXIT;
    return status == PYD_EXIT_IMPORT ? PYD_CAUSE_IMPORT : PYD_CAUSE_STARTUP;
}

int pyd_cause_is_expected(enum pyd_cause cause)
{
    return cause == PYD_CAUSE_SHUTDOWN || cause == PYD_CAUSE_RETIRED;
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
    default:
        snprintf(room, size, "%s", (unsigned)cause <= PYD_CAUSE_UNKNOWN ? words[cause] : words[PYD_CAUSE_UNKNOWN]);
        break;
    }
}
