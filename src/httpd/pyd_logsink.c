/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pyd_log() in httpd's processes: each group's messages go to the ErrorLog of
 * the server that defined it. ap_log_error() escapes what it is given and knows
 * ErrorLogFormat, piped logs and syslog, in a forked manager as well.
 */
#include "pyd_httpd.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_portable.h>

#include "pyd_log.h"
#include "pyd_manager.h"

static struct {
    server_rec *main_server;
    apr_array_header_t *groups; /* of struct pyd_group *, or NULL */
    const _Atomic uint32_t *superseded; /* with relay_fd */
    int relay_fd;
} sink;

static server_rec *server_of(int group)
{
    const struct pyd_group *configured;

    if (!sink.groups || group < 0 || group >= sink.groups->nelts)
        return sink.main_server;
    configured = APR_ARRAY_IDX(sink.groups, group, struct pyd_group *);
    return configured->server ? configured->server : sink.main_server;
}

static int is_piped(const server_rec *s)
{
    struct stat about;
    apr_os_file_t fd;

    return s->error_log && apr_os_file_get(&fd, s->error_log) == APR_SUCCESS && fstat(fd, &about) == 0 &&
           S_ISFIFO(about.st_mode);
}

/* At most PIPE_BUF bytes at a time, so that lines of several managers do not mix. */
static void relay(enum pyd_log_level level, const char *message)
{
    char line[4096];
    size_t left = strlen(message);

    do {
        int size = snprintf(line, sizeof(line), "%c%d%.4000s\n", PYD_LOG_TAG, (int)level, message);

        if (write(sink.relay_fd, line, (size_t)size) < 0)
            return; /* full: nobody has read for 64 KiB; there is no other place to say so */
        size -= 3;
        message += size;
        left -= (size_t)size;
    } while (left > 0);
}

static void write_to_httpd(void *baton, enum pyd_log_level level, int group, const char *message)
{
    server_rec *s = server_of(group);

    (void)baton;
    if (sink.superseded && atomic_load(sink.superseded) && is_piped(s)) {
        relay(level, message);
        return;
    }
    /* Mapped by name: APLOG_* and enum pyd_log_level agree by design, and this keeps it checked. */
    AP_DEBUG_ASSERT((int)PYD_LOG_ERR == APLOG_ERR && (int)PYD_LOG_TRACE == APLOG_TRACE1);
    ap_log_error(APLOG_MARK, (int)level, 0, s, "%s", message);
}

void pyd_logsink_install(server_rec *main_server, apr_array_header_t *groups)
{
    sink.main_server = main_server;
    sink.groups = groups;
    /* httpd's own LogLevel filters, per server and module. */
    pyd_log_set(write_to_httpd, NULL, PYD_LOG_TRACE);
}

void pyd_logsink_relay(int relay_fd, const _Atomic uint32_t *superseded)
{
    sink.relay_fd = relay_fd;
    sink.superseded = relay_fd > 0 ? superseded : NULL;
}
