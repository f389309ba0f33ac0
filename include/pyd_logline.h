/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_LOGLINE_H
#define PYD_LOGLINE_H

#include <stddef.h>

/**
 * Lines of applications on their way to httpd's log: how much of a line fits
 * into one message, and how a worker writes lines to its log pipe.
 *
 * What arrives on a log pipe without a tag is raw output (C code, child
 * processes) and is logged at warning; a tagged line begins with PYD_LOG_TAG, a
 * level digit '2' to '8', and the text.
 */
#define PYD_LOG_TAG '\x01'

/** Bytes of a message after escaping. httpd cuts its lines at 8,192 bytes, of which the prefixes need some. */
#define PYD_LOGLINE_MAX 7700

/**
 * How much of a line (no newline in it) fits into one message: httpd's escaping makes four bytes (\xhh) of one.
 * Does not cut within a UTF-8 sequence.
 * @return size or less; 0 only if size is 0
 */
size_t pyd_logline_fit(const char *line, size_t size);

/** Copy what fits, as a string: NUL, which would hide what follows it, becomes '?'. @param room PYD_LOGLINE_MAX + 1 */
void pyd_logline_copy(char *room, const char *line, size_t size);

/**
 * Write lines, tagged with their level, to a log pipe: each whole, whatever other threads of the process write in
 * this way. Newlines are between them or after the last one; a line that does not fit into one message goes on in
 * the next. A process forked by another thread's call may write at once.
 *
 * Waits for room in the pipe, but not for ever: its reader may be stopped. After 5 s the line is dropped, and so are
 * all others for which there is no room at once, until one gets through again.
 */
void pyd_logline_write(int fd, int level, const char *lines, size_t size);

/** The calling thread has no time: from now on a line of its own waits for a moment at most. */
void pyd_logline_hurry(void);

/** Say in one line that so many lines were lost. @param room for at most size bytes, terminated */
typedef void pyd_logline_loss(char *room, size_t size, unsigned long lines);

/** What comes, as a warning, before the next line that gets through. Call before any thread starts. */
void pyd_logline_on_loss(pyd_logline_loss *describe);

#endif
