/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pyd_log.h"
#include "pyd_manager.h"
#include "pyd_manager_group.h"

#define IN_FLIGHT_SHOWN 5

static double seconds(int64_t us)
{
    return (double)us / 1e6;
}

static int is_running(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, uint32_t request)
{
    const struct pyd_status_worker *status = pyd_board_status(group->board, group->index, slot->index);

    return (atomic_load(&status->request[request].seq_state) & 1) == PYD_STATUS_RUNNING;
}

__attribute__((format(printf, 4, 5)))
static void append(char *room, size_t size, size_t *used, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room + *used, size - *used, format, args);
    va_end(args);
    if (n > 0)
        *used = *used + (size_t)n < size ? *used + (size_t)n : size - 1;
}

unsigned pyd_manager_report_in_flight(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                                      char *room, size_t size)
{
    unsigned count = 0;
    size_t used = 0;

    room[0] = '\0';
    for (uint32_t i = 0; i < group->threads; i++) {
        const struct pyd_claim_ref claim = {.group = group->index, .slot = slot->index, .claim = i};
        char what[128];

        if (!is_running(group, slot, i) || ++count > IN_FLIGHT_SHOWN)
            continue;
        pyd_claim_what(group->board, &claim, what, sizeof what);
        append(room, size, &used, "%s%s", count == 1 ? "in flight: " : ", ", what[0] ? what : "?");
    }
    if (count == 0)
        append(room, size, &used, "no request in flight");
    else if (count > IN_FLIGHT_SHOWN)
        append(room, size, &used, " and %u more", count - IN_FLIGHT_SHOWN);
    return count;
}

void pyd_manager_report_started(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    pyd_log(PYD_LOG_INFO, (int)group->index, "mod_pydaemon (pid=%d): Starting worker %u of '%s'.", (int)slot->pid,
            slot->number, group->name);
}

void pyd_manager_report_ready(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot)
{
    pyd_log(PYD_LOG_NOTICE, (int)group->index, "mod_pydaemon (pid=%d): Worker %u of '%s' is ready after %.2f s.",
            (int)slot->pid, slot->number, group->name, seconds(slot->ready_us - slot->started_us));
}

void pyd_manager_report_stop(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int is_error)
{
    if (is_error)
        pyd_log(PYD_LOG_ERR, (int)group->index, PYD_LOGNO(0610) "mod_pydaemon (pid=%d): Shutdown requested '%s'.",
                (int)slot->pid, group->name);
    else
        pyd_log(PYD_LOG_INFO, (int)group->index, "mod_pydaemon (pid=%d): Shutdown requested '%s'.", (int)slot->pid,
                group->name);
}

static int has_had_its_time(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot, int64_t now_us)
{
    int64_t timeout_us = group->spec.shutdown_timeout_us;

    return now_us - slot->since_us >= (timeout_us > 0 ? timeout_us : PYD_PLAN_SHUTDOWN_US);
}

void pyd_manager_report_kill(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                             int64_t now_us)
{
    char in_flight[800];

    pyd_manager_report_in_flight(group, slot, in_flight, sizeof in_flight);
    if (slot->killed_for == PYD_CAUSE_STARTUP_TIMEOUT)
        pyd_log(PYD_LOG_ERR, (int)group->index,
                PYD_LOGNO(0603) "mod_pydaemon (pid=%d): Worker %u of '%s' is not ready after %.1f s (startup-timeout), "
                                "killing it.",
                (int)slot->pid, slot->number, group->name, seconds(now_us - slot->started_us));
    else if (!has_had_its_time(group, slot, now_us))
        pyd_log(PYD_LOG_ERR, (int)group->index,
                PYD_LOGNO(0612) "mod_pydaemon (pid=%d): Worker %u of '%s' is killed before its time is over: so many "
                                "workers are leaving that there is no room for their successors; %s.",
                (int)slot->pid, slot->number, group->name, in_flight);
    else
        pyd_log(PYD_LOG_ERR, (int)group->index,
                PYD_LOGNO(0604) "mod_pydaemon (pid=%d): Worker %u of '%s' has not stopped after %.1f s "
                                "(shutdown-timeout), killing it; %s.",
                (int)slot->pid, slot->number, group->name, seconds(now_us - slot->since_us), in_flight);
}

void pyd_manager_report_ended(const struct pyd_manager_group *group, const struct pyd_manager_slot *slot,
                              enum pyd_cause cause, uint32_t detail, int repeated, int64_t now_us)
{
    char words[160], in_flight[800];
    int is_idle = pyd_manager_report_in_flight(group, slot, in_flight, sizeof in_flight) == 0;
    unsigned long long requests = pyd_manager_slot_requests(group, slot);
    double age = seconds(now_us - slot->started_us);

    pyd_cause_words(cause, detail, words, sizeof words);
    if (pyd_cause_is_expected(cause)) {
        pyd_log(PYD_LOG_NOTICE, (int)group->index,
                "mod_pydaemon (pid=%d): Worker %u of '%s' ended: %s, after %.1f s and %llu requests%s%s.",
                (int)slot->pid, slot->number, group->name, words, age, requests, is_idle ? "" : "; ",
                is_idle ? "" : in_flight);
        return;
    }
    if (pyd_cause_is_limit(cause)) {
        pyd_log(PYD_LOG_ERR, (int)group->index,
                PYD_LOGNO(0611) "mod_pydaemon (pid=%d): Worker %u of '%s' ended: %s, after %.1f s and %llu requests; "
                                "%s.",
                (int)slot->pid, slot->number, group->name, words, age, requests, in_flight);
        return;
    }
    pyd_log(repeated ? PYD_LOG_INFO : PYD_LOG_ERR, (int)group->index,
            PYD_LOGNO(0601) "mod_pydaemon (pid=%d): Worker %u of '%s' ended: %s, after %.1f s and %llu requests; %s.",
            (int)slot->pid, slot->number, group->name, words, age, requests, in_flight);
}

void pyd_manager_report_failing(const struct pyd_manager_group *group)
{
    pyd_log(PYD_LOG_CRIT, (int)group->index,
            PYD_LOGNO(0602) "mod_pydaemon (pid=%d): No worker of '%s' can be started: requests get 503 until one can. "
                            "Trying again in %.0f s, then less often, at least every %.0f s.",
            (int)getpid(), group->name, seconds(pyd_backoff_delay_us(group->backoff.failures)),
            seconds(PYD_BACKOFF_LIMIT_US));
}

void pyd_manager_report_degraded(const struct pyd_manager_group *group, uint32_t ready)
{
    pyd_log(PYD_LOG_ERR, (int)group->index,
            PYD_LOGNO(0608) "mod_pydaemon (pid=%d): No further worker of '%s' can be started: %u of %u serve. Trying "
                            "again in %.0f s, then less often, at least every %.0f s.",
            (int)getpid(), group->name, ready, group->processes,
            seconds(pyd_backoff_delay_us(group->backoff.failures)), seconds(PYD_BACKOFF_LIMIT_US));
}

void pyd_manager_report_recovered(const struct pyd_manager_group *group, unsigned failures)
{
    pyd_log(PYD_LOG_NOTICE, (int)group->index,
            "mod_pydaemon (pid=%d): Workers of '%s' can be started again after %u failure%s.", (int)getpid(),
            group->name, failures, failures == 1 ? "" : "s");
}
