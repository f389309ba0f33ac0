/* SPDX-License-Identifier: Apache-2.0 */

/* What is logged about workers and applications, with the request's context. */
#include "pyd_relay.h"

#include <apr_strings.h>
#include <apr_time.h>
#include <string.h>

#include "pyd_ending.h"
#include "pyd_clock.h"
#include "pyd_logline.h"
#include "pyd_wire.h"

/* The manager needs to reap the worker first; architecture.md promises an answer within this. */
#define CAUSE_WAIT_US (1500 * 1000)
#define CAUSE_STEP_US (10 * 1000)

/* One call of ap_log_rerror a line, several for one that it would cut; it escapes control characters. */
static void report_line(const struct pyd_relay *relay, int level, const char *line, size_t size)
{
    char text[PYD_LOGLINE_MAX + 1];

    do {
        size_t piece = pyd_logline_fit(line, size);

        pyd_logline_copy(text, line, piece);
        ap_log_rerror(APLOG_MARK, level, 0, relay->r, "%s", text);
        line += piece;
        size -= piece;
    } while (size > 0);
}

void pyd_report_lines(struct pyd_relay *relay, const unsigned char *payload, size_t size)
{
    const char *at = (const char *)payload + 1, *end = (const char *)payload + size;
    int level = payload[0];

    if (level < APLOG_ERR)
        level = APLOG_ERR;
    if (level > APLOG_TRACE1)
        level = APLOG_TRACE1;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;

        report_line(relay, level, at, (size_t)(stop - at));
        at = stop + 1;
    }
}

void pyd_report_failure(struct pyd_relay *relay, const unsigned char *payload, size_t size)
{
    struct pyd_wire_reader reader;
    struct pyd_wire_str rule;
    const char *target = relay->mount.target, *text;
    uint8_t reason;

    pyd_wire_reader_init(&reader, payload, size);
    reason = pyd_wire_read_u8(&reader);
    rule = pyd_wire_read_str(&reader);
    text = reader.bad ? "" : apr_pstrmemdup(relay->r->pool, rule.data, rule.size);
    relay->fail_status = HTTP_INTERNAL_SERVER_ERROR;
    if (relay->body_status) {
        /* What the client did wrong is the answer; how the application took it is of no interest. */
        relay->fail_status = relay->body_status;
        return;
    }
    if (reason == PYD_FAIL_PROTOCOL)
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                      PYD_LOGNO(0215) "application %s in '%s' broke PEP 3333 in its response to %s: %s; answered 500",
                      target, relay->name, relay->what, *text ? text : "no rule given");
    else if (reason == PYD_FAIL_LOAD)
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                      PYD_LOGNO(0216) "application %s in '%s' cannot be loaded%s%s; %s answered 500", target,
                      relay->name, *text ? ": " : "", text, relay->what);
    else
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                      PYD_LOGNO(0214) "application %s in '%s' raised %s while it executed %s: answered 500", target,
                      relay->name, *text ? text : "an exception", relay->what);
}

/* In words: what the client gets in place of the rest. */
static const char *follows(const struct pyd_relay *relay)
{
    return relay->passed ? "response cut" : "answered 502";
}

enum pyd_relay_state pyd_report_broken(struct pyd_relay *relay, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                  PYD_LOGNO(0213) "worker pid=%d of '%s' sent %s while it executed %s: %s", (int)relay->pid,
                  relay->name, what, relay->what, follows(relay));
    return PYD_RELAY_BROKEN;
}

void pyd_report_death(struct pyd_relay *relay)
{
    int64_t deadline_us = pyd_clock_us() + CAUSE_WAIT_US;
    enum pyd_cause cause = PYD_CAUSE_UNKNOWN;
    uint32_t detail = 0;
    pid_t pid = (pid_t)relay->pid;
    char text[160];
    int rv;

    while ((rv = pyd_claim_cause(relay->board, &relay->claim, &cause, &detail, &pid)) == APR_EAGAIN &&
           pyd_clock_us() < deadline_us && !pyd_relay_client_gone(relay))
        apr_sleep(CAUSE_STEP_US);
    if (rv && !pyd_relay_worker_gone(relay))
        apr_cpystrn(text, "closed the connection", sizeof(text));
    else
        pyd_ending_text(cause, detail, text, sizeof(text));
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                  PYD_LOGNO(0210) "worker pid=%d of '%s' %s while it executed %s: %s", (int)pid, relay->name, text,
                  relay->what, follows(relay));
}
