/* SPDX-License-Identifier: Apache-2.0 */

/*
 * request_rec to frames. The variables are those of ap_add_common_vars() and
 * ap_add_cgi_vars() by the same rules, without a copy of every one in
 * subprocess_env, and without what is httpd's own: PATH, LD_LIBRARY_PATH.
 */
#include "pyd_request.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>

#include "pyd_header.h"
#include "pyd_wire.h"

/* First guess at the size of CONST and REQUEST; doubled until they fit. */
#define GUESS_BYTES (8u << 10)

static void add(apr_array_header_t *pairs, const char *name, const char *value)
{
    if (value)
        *(struct pyd_pair *)apr_array_push(pairs) = (struct pyd_pair){name, value};
}

/* True where mod_ssl serves, or SetEnvIf tells so of a proxy in front. */
static int is_https(request_rec *r, const char *scheme)
{
    const char *https = apr_table_get(r->subprocess_env, "HTTPS");

    return strcmp(scheme, "https") == 0 || (https && (ap_cstr_casecmp(https, "on") == 0 || strcmp(https, "1") == 0));
}

static void collect_constants(struct pyd_relay *relay, const char *script_name)
{
    request_rec *r = relay->r;
    apr_array_header_t *to = relay->constants;
    const char *scheme = ap_http_scheme(r);
    int https = is_https(r, scheme);

    add(to, "GATEWAY_INTERFACE", "CGI/1.1");
    add(to, "SERVER_PROTOCOL", r->protocol);
    add(to, "SERVER_SOFTWARE", ap_get_server_banner());
    add(to, "SERVER_SIGNATURE", ap_psignature("", r));
    add(to, "SERVER_NAME", ap_escape_html(r->pool, ap_get_server_name_for_url(r)));
    add(to, "SERVER_ADDR", r->connection->local_ip);
    add(to, "SERVER_PORT", apr_psprintf(r->pool, "%u", ap_get_server_port(r)));
    add(to, "SERVER_ADMIN", r->server->server_admin);
    add(to, "DOCUMENT_ROOT", ap_document_root(r));
    add(to, "CONTEXT_PREFIX", ap_context_prefix(r));
    add(to, "CONTEXT_DOCUMENT_ROOT", ap_context_document_root(r));
    add(to, "REQUEST_SCHEME", scheme);
    add(to, "wsgi.url_scheme", https ? "https" : "http");
    if (https)
        add(to, "HTTPS", "on");
    add(to, "SCRIPT_NAME", script_name);
    /* A module has no file; httpd's r->filename would be a guess under DocumentRoot. */
    if (relay->mount.target[0] == '/')
        add(to, "SCRIPT_FILENAME", relay->mount.target);
}

static int is_constant(const struct pyd_relay *relay, const char *name)
{
    int i;

    for (i = 0; i < relay->constants->nelts; ++i) {
        if (strcmp(APR_ARRAY_IDX(relay->constants, i, struct pyd_pair).name, name) == 0)
            return 1;
    }
    return 0;
}

/*
 * SetEnv, mod_ssl, mod_unique_id and so on. Which of them change from request to request cannot be known, so all of
 * them travel with the request. They never replace what httpd itself says: the rest comes behind them, and the method,
 * which has to be the first of all variables, is left out.
 */
static void collect_environment(struct pyd_relay *relay)
{
    const apr_array_header_t *table = apr_table_elts(relay->r->subprocess_env);
    int i;

    for (i = 0; i < table->nelts; ++i) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(table, i, apr_table_entry_t);

        if (!entry->key || !entry->val || strncmp(entry->key, "wsgi.", 5) == 0 ||
            strncmp(entry->key, "pydaemon.", 9) == 0 || strcmp(entry->key, "REQUEST_METHOD") == 0)
            continue;
        if (!is_constant(relay, entry->key))
            add(relay->variables, entry->key, entry->val);
    }
}

/* AUTO: a password that httpd has checked is none of the application's business. */
static int passes_authorization(const struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    const char *type;

    if (relay->mount.pass_authorization != PYD_PASS_AUTO)
        return relay->mount.pass_authorization == PYD_PASS_ON;
    if (r->ap_auth_type)
        return 0;
    type = ap_auth_type(r);
    return !type || ap_cstr_casecmp(type, "none") == 0 || !ap_some_authn_required(r);
}

static void collect_header(struct pyd_relay *relay, const char *name, const char *value)
{
    char *room;

    if (ap_cstr_casecmp(name, "Content-Type") == 0) {
        add(relay->variables, "CONTENT_TYPE", value);
        return;
    }
    /* Of the body as the application reads it: it may have been unpacked, and is not chunked. */
    if (ap_cstr_casecmp(name, "Content-Length") == 0 || ap_cstr_casecmp(name, "Transfer-Encoding") == 0)
        return;
    if (ap_cstr_casecmp(name, "Authorization") == 0 && !passes_authorization(relay))
        return;
    if (ap_cstr_casecmp(name, "Proxy-Authorization") == 0 && relay->mount.pass_authorization != PYD_PASS_ON)
        return;
    room = apr_palloc(relay->r->pool, pyd_header_environ_bytes(name));
    if (pyd_header_environ_name(name, room))
        add(relay->variables, room, value);
}

static void collect_headers(struct pyd_relay *relay)
{
    const apr_array_header_t *table = apr_table_elts(relay->r->headers_in);
    int i;

    for (i = 0; i < table->nelts; ++i) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(table, i, apr_table_entry_t);

        if (entry->key && entry->val)
            collect_header(relay, entry->key, entry->val);
    }
    if (relay->content_bytes >= 0)
        add(relay->variables, "CONTENT_LENGTH", apr_off_t_toa(relay->r->pool, (apr_off_t)relay->content_bytes));
}

/* The URI of the request line, as the client wrote it: r->uri is decoded, and another one after a rewrite. */
static const char *original_uri(request_rec *r)
{
    const char *from = r->the_request ? r->the_request : "", *to;

    from += strcspn(from, " \t");
    from += strspn(from, " \t");
    to = from + strcspn(from, " \t");
    return apr_pstrmemdup(r->pool, from, (apr_size_t)(to - from));
}

static void collect_user(struct pyd_relay *relay)
{
    request_rec *r = relay->r, *back;

    add(relay->variables, "AUTH_TYPE", r->ap_auth_type);
    add(relay->variables, "REMOTE_IDENT", ap_get_remote_logname(r));
    if (r->user) {
        add(relay->variables, "REMOTE_USER", r->user);
        return;
    }
    for (back = r->prev; back; back = back->prev) {
        if (back->user) {
            add(relay->variables, "REDIRECT_REMOTE_USER", back->user);
            return;
        }
    }
}

static void collect_request(struct pyd_relay *relay, const char *path)
{
    request_rec *r = relay->r;
    apr_array_header_t *to = relay->variables;

    add(to, "REQUEST_URI", original_uri(r));
    add(to, "PATH_INFO", path);
    add(to, "QUERY_STRING", r->args ? r->args : "");
    add(to, "REMOTE_ADDR", r->useragent_ip);
    add(to, "REMOTE_PORT", apr_itoa(r->pool, r->connection->client_addr->port));
    add(to, "REMOTE_HOST", ap_get_useragent_host(r, REMOTE_HOST, NULL));
    /* CGI wants what PATH_INFO would be as a file. httpd looks that up with a subrequest, whose cost is many times that
     * of all else here; without aliases below the document root this is the same. */
    if (*path)
        add(to, "PATH_TRANSLATED", apr_pstrcat(r->pool, ap_document_root(r), path, NULL));
    if (r->prev) {
        add(to, "REDIRECT_QUERY_STRING", r->prev->args);
        add(to, "REDIRECT_URL", r->prev->uri);
    }
    collect_user(relay);
    if (!r->log_id)
        ap_run_generate_log_id(r->connection, r, &r->log_id);
    add(to, "pydaemon.request_id", r->log_id);
}

void pyd_request_collect(struct pyd_relay *relay)
{
    request_rec *r = relay->r;
    const char *script_name = "", *path_info = "";

    pyd_map_names(r, &script_name, &path_info);
    relay->constants = apr_array_make(r->pool, 20, sizeof(struct pyd_pair));
    relay->variables = apr_array_make(r->pool, 48, sizeof(struct pyd_pair));
    collect_constants(relay, script_name);
    add(relay->variables, "REQUEST_METHOD", r->method);
    collect_environment(relay);
    collect_headers(relay);
    collect_request(relay, path_info);
}

static void write_pairs(struct pyd_wire_writer *writer, const apr_array_header_t *pairs)
{
    int i;

    pyd_wire_write_u32(writer, (uint32_t)pairs->nelts);
    for (i = 0; i < pairs->nelts; ++i) {
        const struct pyd_pair *pair = &APR_ARRAY_IDX(pairs, i, struct pyd_pair);

        pyd_wire_write_pair(writer, pair->name, pair->value);
    }
}

static void write_const(struct pyd_wire_writer *writer, const struct pyd_relay *relay, uint16_t id)
{
    unsigned char *frame = pyd_wire_begin(writer, PYD_FRAME_CONST, 0);

    pyd_wire_write_const(writer, id, relay->mount.target, relay->mount.callable);
    write_pairs(writer, relay->constants);
    if (frame)
        pyd_wire_end(writer, frame);
}

static void write_request(struct pyd_wire_writer *writer, const struct pyd_relay *relay, uint16_t id)
{
    struct pyd_wire_request request = {
        .claim = relay->claim.claim,
        .seq = relay->claim.seq,
        .const_id = id,
        .content_bytes = relay->content_bytes,
        .request_start_us = (uint64_t)relay->r->request_time,
        .queue_start_us = relay->queue_start_us,
    };
    unsigned char *frame = pyd_wire_begin(writer, PYD_FRAME_REQUEST, 0);

    if (relay->has_body)
        request.flags |= PYD_REQUEST_HAS_BODY;
    if (relay->inline_body)
        request.flags |= PYD_REQUEST_BODY_INLINE;
    if (relay->sizes->processes > 1)
        request.flags |= PYD_REQUEST_MULTIPROCESS;
    pyd_wire_write_request(writer, &request);
    write_pairs(writer, relay->variables);
    if (relay->inline_body)
        pyd_wire_write_bytes(writer, relay->inline_body, relay->inline_bytes);
    if (frame)
        pyd_wire_end(writer, frame);
}

/* Both frames into room; *ret_skip: bytes of CONST at its beginning that need not be sent. */
static apr_status_t write_frames(struct pyd_relay *relay, struct pyd_wire_writer *writer, size_t *ret_skip)
{
    struct pyd_constset *known = &relay->backend->consts;
    size_t const_bytes;
    int id;

    write_const(writer, relay, 0);
    if (writer->bad)
        return APR_ENOSPC;
    const_bytes = (size_t)(writer->at - writer->start);
    id = pyd_constset_find(known, writer->start, const_bytes);
    *ret_skip = id >= 0 ? const_bytes : 0;
    if (id < 0) {
        id = pyd_constset_add(known, writer->start, const_bytes);
        if (id < 0)
            return APR_ENOMEM;
        writer->at = writer->start;
        write_const(writer, relay, (uint16_t)id);
    }
    write_request(writer, relay, (uint16_t)id);
    return writer->bad ? APR_ENOSPC : APR_SUCCESS;
}

apr_status_t pyd_request_encode(struct pyd_relay *relay, size_t *ret_at)
{
    struct pyd_buf *out = &relay->backend->out;
    size_t hello_bytes = out->size, room_bytes = GUESS_BYTES + relay->inline_bytes, skip = 0;
    struct pyd_wire_writer writer;
    apr_status_t rv;

    if (out->capacity > out->size && out->capacity - out->size > room_bytes)
        room_bytes = out->capacity - out->size;
    for (;; room_bytes *= 2) {
        unsigned char *room;

        /* The last try has all the room there may be: what is refused must not depend on the first guess. */
        if (room_bytes > PYD_WIRE_CONTROL_MAX)
            room_bytes = PYD_WIRE_CONTROL_MAX;
        room = pyd_buf_reserve(out, room_bytes);
        if (!room)
            return APR_ENOMEM;
        pyd_wire_writer_init(&writer, room, room_bytes);
        rv = write_frames(relay, &writer, &skip);
        /* A set that was added but never sent must not be believed to be there. */
        if (rv != APR_SUCCESS && skip == 0)
            pyd_constset_done(&relay->backend->consts);
        if (rv != APR_ENOSPC || room_bytes == PYD_WIRE_CONTROL_MAX)
            break;
    }
    if (rv != APR_SUCCESS)
        return rv;
    out->size += (size_t)(writer.at - writer.start);
    /* A new connection has no sets, so nothing is skipped behind a HELLO. */
    *ret_at = skip ? hello_bytes + skip : 0;
    return APR_SUCCESS;
}
