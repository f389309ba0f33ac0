/* SPDX-License-Identifier: Apache-2.0 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyd_pylog.h"

#include "pyd_exchange.h"

void pyd_pylog_lines(struct pyd_exchange *exchange, enum pyd_log_level level, const char *text, size_t size)
{
    size_t taken = exchange ? pyd_exchange_log(exchange, (int)level, text, size) : 0;

    if (taken == size)
        return;
    Py_BEGIN_ALLOW_THREADS
    pyd_log_lines(level, PYD_LOG_NO_GROUP, text + taken, size - taken);
    Py_END_ALLOW_THREADS
}
