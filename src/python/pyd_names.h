/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_NAMES_H
#define PYD_NAMES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/**
 * Strings that every request needs, made and interned once. X(identifier, text):
 * the identifier is for code that asks for one; wire bytes find theirs by
 * pyd_names_str(). A name a client may invent is never interned here: the table
 * does not grow.
 */
#define PYD_NAMES(X)                                                                                                   \
    X(WSGI_VERSION, "wsgi.version")                                                                                    \
    X(WSGI_URL_SCHEME, "wsgi.url_scheme")                                                                              \
    X(WSGI_INPUT, "wsgi.input")                                                                                        \
    X(WSGI_INPUT_TERMINATED, "wsgi.input_terminated")                                                                  \
    X(WSGI_ERRORS, "wsgi.errors")                                                                                      \
    X(WSGI_MULTITHREAD, "wsgi.multithread")                                                                            \
    X(WSGI_MULTIPROCESS, "wsgi.multiprocess")                                                                          \
    X(WSGI_RUN_ONCE, "wsgi.run_once")                                                                                  \
    X(WSGI_FILE_WRAPPER, "wsgi.file_wrapper")                                                                          \
    X(PYD_PROCESS_GROUP, "pydaemon.process_group")                                                                     \
    X(PYD_VERSION_KEY, "pydaemon.version")                                                                             \
    X(PYD_REQUEST_ID, "pydaemon.request_id")                                                                           \
    X(PYD_REQUEST_START, "pydaemon.request_start")                                                                     \
    X(PYD_QUEUE_START, "pydaemon.queue_start")                                                                         \
    X(PYD_DISCONNECTED, "pydaemon.disconnected")                                                                       \
    X(PYD_EARLY_HINTS, "pydaemon.early_hints")                                                                         \
    X(CLOSE, "close")                                                                                                  \
    X(READ, "read")                                                                                                    \
    X(REQUEST_METHOD, "REQUEST_METHOD")                                                                                \
    X(REQUEST_URI, "REQUEST_URI")                                                                                      \
    X(REQUEST_SCHEME, "REQUEST_SCHEME")                                                                                \
    X(REQUEST_ID, "REQUEST_ID")                                                                                        \
    X(SCRIPT_NAME, "SCRIPT_NAME")                                                                                      \
    X(SCRIPT_FILENAME, "SCRIPT_FILENAME")                                                                              \
    X(PATH_INFO, "PATH_INFO")                                                                                          \
    X(PATH_TRANSLATED, "PATH_TRANSLATED")                                                                              \
    X(QUERY_STRING, "QUERY_STRING")                                                                                    \
    X(CONTENT_TYPE, "CONTENT_TYPE")                                                                                    \
    X(CONTENT_LENGTH, "CONTENT_LENGTH")                                                                                \
    X(CONTEXT_DOCUMENT_ROOT, "CONTEXT_DOCUMENT_ROOT")                                                                  \
    X(CONTEXT_PREFIX, "CONTEXT_PREFIX")                                                                                \
    X(DOCUMENT_ROOT, "DOCUMENT_ROOT")                                                                                  \
    X(GATEWAY_INTERFACE, "GATEWAY_INTERFACE")                                                                          \
    X(SERVER_ADDR, "SERVER_ADDR")                                                                                      \
    X(SERVER_ADMIN, "SERVER_ADMIN")                                                                                    \
    X(SERVER_NAME, "SERVER_NAME")                                                                                      \
    X(SERVER_PORT, "SERVER_PORT")                                                                                      \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                                                                              \
    X(SERVER_SIGNATURE, "SERVER_SIGNATURE")                                                                            \
    X(SERVER_SOFTWARE, "SERVER_SOFTWARE")                                                                              \
    X(REMOTE_ADDR, "REMOTE_ADDR")                                                                                      \
    X(REMOTE_HOST, "REMOTE_HOST")                                                                                      \
    X(REMOTE_PORT, "REMOTE_PORT")                                                                                      \
    X(REMOTE_USER, "REMOTE_USER")                                                                                      \
    X(AUTH_TYPE, "AUTH_TYPE")                                                                                          \
    X(HTTPS, "HTTPS")                                                                                                  \
    X(HTTP2, "HTTP2")                                                                                                  \
    X(H2PUSH, "H2PUSH")                                                                                                \
    X(H2_STREAM_ID, "H2_STREAM_ID")                                                                                    \
    X(H2_STREAM_TAG, "H2_STREAM_TAG")                                                                                  \
    X(SSL_TLS_SNI, "SSL_TLS_SNI")                                                                                      \
    X(UNIQUE_ID, "UNIQUE_ID")                                                                                          \
    X(HTTP_ACCEPT, "HTTP_ACCEPT")                                                                                      \
    X(HTTP_ACCEPT_CHARSET, "HTTP_ACCEPT_CHARSET")                                                                      \
    X(HTTP_ACCEPT_ENCODING, "HTTP_ACCEPT_ENCODING")                                                                    \
    X(HTTP_ACCEPT_LANGUAGE, "HTTP_ACCEPT_LANGUAGE")                                                                    \
    X(HTTP_AUTHORIZATION, "HTTP_AUTHORIZATION")                                                                        \
    X(HTTP_CACHE_CONTROL, "HTTP_CACHE_CONTROL")                                                                        \
    X(HTTP_CONNECTION, "HTTP_CONNECTION")                                                                              \
    X(HTTP_COOKIE, "HTTP_COOKIE")                                                                                      \
    X(HTTP_DNT, "HTTP_DNT")                                                                                            \
    X(HTTP_EXPECT, "HTTP_EXPECT")                                                                                      \
    X(HTTP_FORWARDED, "HTTP_FORWARDED")                                                                                \
    X(HTTP_HOST, "HTTP_HOST")                                                                                          \
    X(HTTP_IF_MATCH, "HTTP_IF_MATCH")                                                                                  \
    X(HTTP_IF_MODIFIED_SINCE, "HTTP_IF_MODIFIED_SINCE")                                                                \
    X(HTTP_IF_NONE_MATCH, "HTTP_IF_NONE_MATCH")                                                                        \
    X(HTTP_ORIGIN, "HTTP_ORIGIN")                                                                                      \
    X(HTTP_PRAGMA, "HTTP_PRAGMA")                                                                                      \
    X(HTTP_PRIORITY, "HTTP_PRIORITY")                                                                                  \
    X(HTTP_RANGE, "HTTP_RANGE")                                                                                        \
    X(HTTP_REFERER, "HTTP_REFERER")                                                                                    \
    X(HTTP_SEC_CH_UA, "HTTP_SEC_CH_UA")                                                                                \
    X(HTTP_SEC_CH_UA_MOBILE, "HTTP_SEC_CH_UA_MOBILE")                                                                  \
    X(HTTP_SEC_CH_UA_PLATFORM, "HTTP_SEC_CH_UA_PLATFORM")                                                              \
    X(HTTP_SEC_FETCH_DEST, "HTTP_SEC_FETCH_DEST")                                                                      \
    X(HTTP_SEC_FETCH_MODE, "HTTP_SEC_FETCH_MODE")                                                                      \
    X(HTTP_SEC_FETCH_SITE, "HTTP_SEC_FETCH_SITE")                                                                      \
    X(HTTP_SEC_FETCH_USER, "HTTP_SEC_FETCH_USER")                                                                      \
    X(HTTP_TE, "HTTP_TE")                                                                                              \
    X(HTTP_UPGRADE_INSECURE_REQUESTS, "HTTP_UPGRADE_INSECURE_REQUESTS")                                                \
    X(HTTP_USER_AGENT, "HTTP_USER_AGENT")                                                                              \
    X(HTTP_VIA, "HTTP_VIA")                                                                                            \
    X(HTTP_X_CSRFTOKEN, "HTTP_X_CSRFTOKEN")                                                                            \
    X(HTTP_X_FORWARDED_FOR, "HTTP_X_FORWARDED_FOR")                                                                    \
    X(HTTP_X_FORWARDED_HOST, "HTTP_X_FORWARDED_HOST")                                                                  \
    X(HTTP_X_FORWARDED_PROTO, "HTTP_X_FORWARDED_PROTO")                                                                \
    X(HTTP_X_REQUEST_ID, "HTTP_X_REQUEST_ID")                                                                          \
    X(HTTP_X_REQUEST_START, "HTTP_X_REQUEST_START")                                                                    \
    X(HTTP_X_REQUESTED_WITH, "HTTP_X_REQUESTED_WITH")                                                                  \
    X(VALUE_GET, "GET")                                                                                                \
    X(VALUE_POST, "POST")                                                                                              \
    X(VALUE_HEAD, "HEAD")                                                                                              \
    X(VALUE_PUT, "PUT")                                                                                                \
    X(VALUE_DELETE, "DELETE")                                                                                          \
    X(VALUE_OPTIONS, "OPTIONS")                                                                                        \
    X(VALUE_PATCH, "PATCH")                                                                                            \
    X(VALUE_HTTP_1_1, "HTTP/1.1")                                                                                      \
    X(VALUE_HTTP_2_0, "HTTP/2.0")

enum pyd_name {
#define X(identifier, text) PYD_NAME_##identifier,
    PYD_NAMES(X)
#undef X
        PYD_NAME_MAX_
};

/** Make them all. Once, with the GIL. @return 0, or -1 with an exception set */
int pyd_names_init(void);
/** One of them; borrowed, immortal. */
PyObject *pyd_names_get(enum pyd_name name);
/** A str of latin-1 bytes: of the table if it is there, else a new one. Returns owned; NULL: exception set. */
PyObject *pyd_names_str(const char *data, size_t size);

#endif
