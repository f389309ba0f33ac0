/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_LOG_H
#define PYD_LOG_H

#include <stddef.h>

/**
 * Logging for code that does not know where its log goes.
 *
 * Everything below src/httpd logs through one sink per program: the module
 * and the manager install one that calls ap_log_error(), the worker one that
 * writes tagged lines to its log pipe, unit tests one that records.
 *
 * Library folders (base, wire, spec, board) do not log at all: whoever decides
 * what to do about an error logs it, once. Messages of level WARNING and more
 * urgent begin with PYD_LOGNO(nnnn); each number has an entry in
 * docs/messages.md, is unique, and is never reused.
 */

/** Levels are httpd's (http_log.h), so that a sink passes them on as they are. */
enum pyd_log_level {
    PYD_LOG_CRIT = 2,    /* a group cannot serve */
    PYD_LOG_ERR = 3,     /* a request or a process failed */
    PYD_LOG_WARNING = 4, /* degraded, going on */
    PYD_LOG_NOTICE = 5,  /* life-cycle milestones; shown by default */
    PYD_LOG_INFO = 6,
    PYD_LOG_DEBUG = 7,
    PYD_LOG_TRACE = 8
};

#define PYD_LOGNO(number) "PYD" #number ": "

/** Group index of a message that belongs to no group. */
#define PYD_LOG_NO_GROUP (-1)

/**
 * Receives one message: one line, no newline at its end.
 * @param baton as given to pyd_log_set()
 * @param group the group's index on the board, or PYD_LOG_NO_GROUP
 */
typedef void pyd_log_sink(void *baton, enum pyd_log_level level, int group, const char *message);

/** Install the program's sink; messages above max are dropped. Call before any thread starts. */
void pyd_log_set(pyd_log_sink *sink, void *baton, enum pyd_log_level max);

/** True if a message of this level would be passed on. Any thread. */
int pyd_log_wants(enum pyd_log_level level);

/** Format and pass on one message (at most 8,000 bytes, cut beyond). Any thread; keeps errno. */
void pyd_log(enum pyd_log_level level, int group, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Pass on an application's lines, one message each; a long one in pieces (pyd_logline_fit()), NUL as '?'. Any thread.
 */
void pyd_log_lines(enum pyd_log_level level, int group, const char *lines, size_t size);

#endif
