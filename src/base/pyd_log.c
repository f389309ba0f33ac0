/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pyd_logline.h"

#define MESSAGE_MAX 8000 /* more than httpd's log takes of one message */
#define CUT_MARK "..."

/* Written before any thread starts, read by all of them. */
static struct {
    pyd_log_sink *sink;
    void *baton;
    enum pyd_log_level max;
} program;

void pyd_log_set(pyd_log_sink *sink, void *baton, enum pyd_log_level max)
{
    program.sink = sink;
    program.baton = baton;
    program.max = max;
}

int pyd_log_wants(enum pyd_log_level level)
{
    return program.sink && level <= program.max;
}

/* Say that it was cut, and do not leave half a UTF-8 character before the mark. */
static void mark_cut(char *message)
{
    size_t end = MESSAGE_MAX - (sizeof(CUT_MARK) - 1);

    for (int i = 0; i < 3 && ((unsigned char)message[end] & 0xc0) == 0x80; i++)
        end--;
    memcpy(message + end, CUT_MARK, sizeof(CUT_MARK));
}

/* A sink gets one line: what comes from outside (a path, an exception) must not begin a second one. */
static void join_lines(char *message)
{
    size_t size = strlen(message);

    while (size > 0 && (message[size - 1] == '\n' || message[size - 1] == '\r'))
        message[--size] = '\0';
    for (; *message; message++) {
        if (*message == '\n' || *message == '\r')
            *message = ' ';
    }
}

void pyd_log(enum pyd_log_level level, int group, const char *format, ...)
{
    char message[MESSAGE_MAX + 1];
    int saved_errno = errno;
    va_list arguments;
    int length;

    if (!pyd_log_wants(level))
        return;
    va_start(arguments, format);
    length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length < 0)
        snprintf(message, sizeof(message), "%s", format);
    else if (length > MESSAGE_MAX)
        mark_cut(message);
    join_lines(message);
    program.sink(program.baton, level, group, message);
    errno = saved_errno;
}

void pyd_log_lines(enum pyd_log_level level, int group, const char *lines, size_t size)
{
    char text[PYD_LOGLINE_MAX + 1];

    while (size > 0) {
        const char *newline = memchr(lines, '\n', size);
        size_t line = newline ? (size_t)(newline - lines) : size;
        size_t piece = pyd_logline_fit(lines, line);

        pyd_logline_copy(text, lines, piece);
        pyd_log(level, group, "%s", text);
        if (newline && piece == line)
            piece++;
        lines += piece;
        size -= piece;
    }
}
