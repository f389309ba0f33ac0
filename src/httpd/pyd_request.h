/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_REQUEST_H
#define PYD_REQUEST_H

#include "pyd_relay.h"

struct pyd_pair {
    const char *name, *value;
};

/**
 * Collect what becomes environ, once per request: relay->constants, which are
 * likely to be the same for the next one, and relay->variables, of which
 * REQUEST_METHOD is the first. Of two with the same name the later one counts.
 * Names and values are httpd's or of the request's pool.
 */
void pyd_request_collect(struct pyd_relay *relay);

/**
 * Write CONST, if the worker does not have it yet, and REQUEST for the current claim behind what waits in the
 * connection's `out`.
 * @param ret_at where in `out` to begin to send
 * @return APR_SUCCESS; APR_ENOSPC: larger than any frame may be; APR_ENOMEM
 */
apr_status_t pyd_request_encode(struct pyd_relay *relay, size_t *ret_at);

#endif
