/* SPDX-License-Identifier: Apache-2.0 */

/* The worker's response: into headers_out and the output filters. */
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

#include "pyd_timeout.h"

#include <apr_strings.h>

#include "pyd_header.h"
#include "pyd_wire.h"

static const char *copy(request_rec *r, struct pyd_wire_str str)
{
    return apr_pstrmemdup(r->pool, str.data, str.size);
}

static const char *set_content_length(struct pyd_relay *relay, struct pyd_wire_str value)
{
    int64_t bytes;

    if (pyd_header_parse_length(value.data, value.size, &bytes))
        return "Content-Length is not a number";
    if (relay->declared_bytes >= 0 && relay->declared_bytes != bytes)
        return "there are two different Content-Lengths";
    relay->declared_bytes = bytes;
    /* RFC 9110 8.6: not with 204; httpd would send it. */
    if (relay->r->status != HTTP_NO_CONTENT)
        ap_set_content_length(relay->r, bytes);
    return NULL;
}

/* @return NULL, or the rule it breaks */
static const char *set_header(struct pyd_relay *relay, const struct pyd_wire_pair *header)
{
    request_rec *r = relay->r;
    const char *value;

    if (!pyd_header_name_ok(header->name.data, header->name.size))
        return "a header's name is no token";
    if (!pyd_header_value_ok(header->value.data, header->value.size))
        return "a header's value has control characters";
    value = copy(r, header->value);
    switch (pyd_header_classify(header->name.data, header->name.size)) {
    case PYD_HEADER_CONTENT_TYPE:
        ap_set_content_type(r, value);
        return NULL;
    case PYD_HEADER_CONTENT_LENGTH:
        return set_content_length(relay, header->value);
    case PYD_HEADER_HTTPD:
        return NULL;
    case PYD_HEADER_HOP:
        return "hop-by-hop headers are the server's business";
    case PYD_HEADER_STATUS:
        return "there is a Status header";
    case PYD_HEADER_ERROR:
        apr_table_addn(relay->replaced ? r->err_headers_out : r->headers_out, copy(r, header->name), value);
        return NULL;
    case PYD_HEADER_PLAIN:
    default:
        apr_table_addn(r->headers_out, copy(r, header->name), value);
        return NULL;
    }
}

/* httpd has words, and perhaps an ErrorDocument, for it; all others are 500 to it. */
static int is_known(int status)
{
    return atoi(ap_get_status_line(status)) == status;
}

/*
 * httpd takes only a status line with exactly this form (validate_status_line); without one it has no words for a
 * status it does not know, and says 500.
 */
static const char *set_status(struct pyd_relay *relay, const struct pyd_wire_head *head)
{
    request_rec *r = relay->r;

    if (head->status < 200 || head->status > 999)
        return "the status is not between 200 and 999";
    if (!pyd_header_value_ok(head->reason.data, head->reason.size))
        return "the reason phrase has control characters";
    /* As an ErrorDocument it can't leave out the status, as a CGI script would: 200 means that it has made its page. */
    if (head->status == HTTP_OK && ap_is_HTTP_ERROR(relay->error_status)) {
        r->status = relay->error_status;
        r->status_line = NULL;
        return NULL;
    }
    r->status = head->status;
    if (head->reason.size > 0)
        r->status_line = apr_psprintf(r->pool, "%03d %s", head->status, copy(r, head->reason));
    else if (is_known(head->status))
        r->status_line = ap_get_status_line(head->status);
    else
        r->status_line = apr_psprintf(r->pool, "%03d ", head->status);
    return NULL;
}

static const char *set_head(struct pyd_relay *relay, struct pyd_wire_head *head)
{
    request_rec *r = relay->r;
    const char *rule = set_status(relay, head);
    uint32_t i;

    relay->declared_bytes = -1;
    /* What mod_mime made of the script's name. */
    r->content_type = r->content_encoding = NULL;
    r->content_languages = NULL;
    relay->replaced = relay->body_status ||
                      (relay->mount.error_override && ap_is_HTTP_ERROR(head->status) && is_known(head->status));
    relay->bodiless =
        r->header_only || r->status == HTTP_NO_CONTENT || r->status == HTTP_NOT_MODIFIED || relay->replaced;
    for (i = 0; !rule && i < head->pair_count; ++i) {
        struct pyd_wire_pair header = pyd_wire_read_pair(&head->pairs);

        rule = set_header(relay, &header);
    }
    return rule;
}

enum pyd_relay_state pyd_response_head(struct pyd_relay *relay, const unsigned char *payload, size_t size)
{
    struct pyd_wire_head head;
    const char *rule;

    if (pyd_wire_decode_head(payload, size, &head))
        return pyd_report_broken(relay, "a HEAD frame that cannot be read");
    /* An input filter has answered; what it answered is for the access log to say. */
    if (relay->r->eos_sent) {
        relay->replaced = relay->bodiless = 1;
        return PYD_RELAY_OPEN;
    }
    rule = set_head(relay, &head);
    if (rule) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, relay->r,
                      PYD_LOGNO(0217) "response of application %s in '%s' to %s cannot be sent: %s; answered 500",
                      relay->mount.target, relay->name, relay->what, rule);
        relay->fail_status = HTTP_INTERNAL_SERVER_ERROR;
        return PYD_RELAY_BAD;
    }
    relay->unflushed = !relay->replaced;
    return PYD_RELAY_OPEN;
}

static const char *collect_early(request_rec *r, const unsigned char *payload, size_t size, apr_table_t *headers)
{
    struct pyd_wire_head early;
    uint32_t i;

    if (pyd_wire_decode_early(payload, size, &early))
        return "an EARLY frame that cannot be read";
    for (i = 0; i < early.pair_count; ++i) {
        struct pyd_wire_pair header = pyd_wire_read_pair(&early.pairs);

        if (!pyd_header_name_ok(header.name.data, header.name.size) ||
            !pyd_header_value_ok(header.value.data, header.value.size) ||
            !pyd_header_early_ok(header.name.data, header.name.size))
            return "EARLY with a bad header";
        apr_table_addn(headers, copy(r, header.name), copy(r, header.value));
    }
    return NULL;
}

enum pyd_relay_state pyd_response_early(struct pyd_relay *relay, const unsigned char *payload, size_t size)
{
    request_rec *r = relay->r;
    apr_table_t *headers = apr_table_make(r->pool, 4), *saved = r->headers_out;
    const char *wrong = collect_early(r, payload, size, headers);
    const char *saved_line = r->status_line;
    int saved_status = r->status;

    if (wrong)
        return pyd_report_broken(relay, wrong);
    /* A client that waits for 100 gets 103 first, which RFC 8297 allows. Subrequests have no client; 1.0 knows no 1xx,
     * httpd looks at that itself. Nothing may follow what an input filter has answered. */
    if (r->main || r->eos_sent)
        return PYD_RELAY_OPEN;
    r->headers_out = headers;
    r->status = 103;
    r->status_line = "103 Early Hints";
    pyd_timeout_pause(relay);
    ap_send_interim_response(r, 1);
    pyd_timeout_resume(relay);
    r->headers_out = saved;
    r->status = saved_status;
    r->status_line = saved_line;
    return r->connection->aborted ? PYD_RELAY_CLIENT : PYD_RELAY_OPEN;
}

void pyd_response_body(struct pyd_relay *relay, const unsigned char *data, size_t size)
{
    request_rec *r = relay->r;

    if (relay->bodiless)
        return;
    if (relay->declared_bytes >= 0 && (int64_t)size > relay->declared_bytes - relay->body_bytes) {
        size = (size_t)(relay->declared_bytes - relay->body_bytes);
        if (!relay->too_long)
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                          PYD_LOGNO(0218) "body of application %s in '%s' for %s is longer than its Content-Length of "
                                          "%" APR_INT64_T_FMT ": the rest is not sent",
                          relay->mount.target, relay->name, relay->what, relay->declared_bytes);
        relay->too_long = 1;
    }
    if (size == 0)
        return;
    relay->body_bytes += (int64_t)size;
    pyd_brigade_append(relay->output,
                       apr_bucket_transient_create((const char *)data, size, r->connection->bucket_alloc));
}

/*
 * How passing on ended. What the client's going away looks like depends on the filter that notices; c->aborted is
 * usually, not always set. sent_before: the headers had gone out before.
 */
static enum pyd_relay_state judge(struct pyd_relay *relay, apr_status_t rv, int sent_before)
{
    request_rec *r = relay->r;

    if (r->connection->aborted || APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_ECONNRESET(rv) ||
        APR_STATUS_IS_EPIPE(rv))
        return PYD_RELAY_CLIENT;
    if (rv == APR_SUCCESS)
        return PYD_RELAY_OPEN;
    relay->answered = rv == AP_FILTER_ERROR && !sent_before && (r->sent_bodyct || r->next);
    if (!relay->answered)
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv == AP_FILTER_ERROR ? 0 : rv, r,
                      PYD_LOGNO(0227) "an output filter failed with the response of application %s in '%s' to %s: %s",
                      relay->mount.target, relay->name, relay->what, r->sent_bodyct ? "response cut" : "answered 500");
    return PYD_RELAY_FILTER;
}

/* To filters, which may have to wait for the client. */
static apr_status_t pass_output(struct pyd_relay *relay, ap_filter_t *filters)
{
    apr_status_t rv;

    pyd_timeout_pause(relay);
    rv = ap_pass_brigade(filters, relay->output);
    pyd_timeout_resume(relay);
    apr_brigade_cleanup(relay->output);
    return rv;
}

/* Send what the filters of the request have passed on. mod_http2 sends it as it comes. */
static enum pyd_relay_state flush_connection(struct pyd_relay *relay)
{
    conn_rec *c = relay->r->connection;

    if (c->master || relay->r->main)
        return PYD_RELAY_OPEN;
    pyd_brigade_append(relay->output, apr_bucket_flush_create(c->bucket_alloc));
    return judge(relay, pass_output(relay, c->output_filters), 1);
}

enum pyd_relay_state pyd_response_pass(struct pyd_relay *relay, int flush)
{
    request_rec *r = relay->r;
    enum pyd_relay_state state;
    int sent_before = r->sent_bodyct != 0;

    if (flush)
        pyd_brigade_append(relay->output, apr_bucket_flush_create(r->connection->bucket_alloc));
    if (pyd_brigade_is_empty(relay->output))
        return PYD_RELAY_OPEN;
    /* An input filter has ended the response (pyd_cut.c). */
    if (r->eos_sent) {
        apr_brigade_cleanup(relay->output);
        relay->answered = 1;
        return PYD_RELAY_FILTER;
    }
    relay->passed = 1;
    relay->unflushed = !flush;
    state = judge(relay, pass_output(relay, r->output_filters), sent_before);
    /* httpd's header filter drops everything behind the head of a response without body, flushes too. */
    return state == PYD_RELAY_OPEN && flush && relay->bodiless ? flush_connection(relay) : state;
}

int pyd_response_is_whole(const struct pyd_relay *relay)
{
    return relay->passed && !relay->unflushed && pyd_brigade_is_empty(relay->output) &&
           (relay->bodiless || (relay->declared_bytes >= 0 && relay->body_bytes >= relay->declared_bytes));
}

void pyd_response_detach(struct pyd_relay *relay)
{
    apr_bucket *bucket;

    for (bucket = APR_BRIGADE_FIRST(relay->output); bucket != pyd_brigade_end(relay->output);
         bucket = APR_BUCKET_NEXT(bucket))
        apr_bucket_setaside(bucket, relay->r->pool);
}

int pyd_response_result(struct pyd_relay *relay, enum pyd_relay_state state)
{
    conn_rec *c = relay->r->connection;

    if (state == PYD_RELAY_FILTER)
        return pyd_cut_failed_filter(relay);
    if (state != PYD_RELAY_CLIENT)
        return OK;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, relay->r, "client has gone while it received the response to %s",
                  relay->what);
    if (c->aborted)
        return OK;
    c->keepalive = AP_CONN_CLOSE;
    return AP_FILTER_ERROR;
}

int pyd_response_finish(struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    enum pyd_relay_state state;

    if (relay->declared_bytes >= 0 && !relay->bodiless && relay->body_bytes < relay->declared_bytes) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PYD_LOGNO(0219) "body of application %s in '%s' for %s ended after %" APR_INT64_T_FMT
                                      " of %" APR_INT64_T_FMT " bytes that its Content-Length says: response cut",
                      relay->mount.target, relay->name, relay->what, relay->body_bytes, relay->declared_bytes);
        return pyd_cut_response(relay);
    }
    pyd_brigade_append(relay->output, apr_bucket_eos_create(r->connection->bucket_alloc));
    state = pyd_response_pass(relay, 0);
    /* httpd reads what is left of the client's body when the handler is done; the response would wait that long. */
    if (state == PYD_RELAY_OPEN && pyd_body_unread(relay))
        state = flush_connection(relay);
    return pyd_response_result(relay, state);
}

int pyd_response_replace(struct pyd_relay *relay, int status)
{
    request_rec *r = relay->r;

    apr_brigade_cleanup(relay->output);
    /* An input filter has answered already, with its own status. */
    if (status == AP_FILTER_ERROR || r->eos_sent)
        return AP_FILTER_ERROR;
    /* ap_die() tells by it an ErrorDocument that fails, which it must not call again, from a request that fails. */
    r->status = relay->error_status;
    r->status_line = NULL;
    r->content_type = NULL;
    apr_table_clear(r->headers_out);
    if (pyd_body_unread(relay))
        r->connection->keepalive = AP_CONN_CLOSE;
    return status;
}
