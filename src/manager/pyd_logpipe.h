/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_LOGPIPE_H
#define PYD_LOGPIPE_H

#include <stddef.h>
#include <sys/types.h>

/**
 * What a worker prints, made into whole log messages: see PYD_LOG_TAG in
 * pyd_manager.h. Text that does not fit into one message goes on in the next.
 * Control characters are left to the sink's escaping, but for NUL, which would
 * hide what follows it. Embed it; set up with pyd_logpipe_init().
 */
#define PYD_LOGPIPE_BYTES 8192

struct pyd_logpipe {
    int fd;    /* borrowed, non-blocking */
    int group; /* for pyd_log() */
    unsigned in_line : 1; /* the beginning of the current line has been logged */
    unsigned tagged : 1;
    int level; /* of the current line */
    char writer[96]; /* before each message: "'blog' (pid=1234): ", or nothing */
    size_t size;
    char data[PYD_LOGPIPE_BYTES];
};

void pyd_logpipe_init(struct pyd_logpipe *logpipe, int fd, int group);
/** Say whose lines come from now on: they are logged by the manager, whose pid httpd's prefix bears. */
void pyd_logpipe_name_writer(struct pyd_logpipe *logpipe, const char *group_name, pid_t pid);
/** Log what is there, a bounded amount, so that nobody who prints a lot holds up the others. Does not block. */
void pyd_logpipe_read(struct pyd_logpipe *logpipe);
/** The writer has ended: log all that is there, an unfinished last line too. Bounded by what a pipe holds. */
void pyd_logpipe_finish(struct pyd_logpipe *logpipe);
/** Take size bytes (any number) as if read. */
void pyd_logpipe_feed(struct pyd_logpipe *logpipe, const char *data, size_t size);
/** Log an unfinished line. */
void pyd_logpipe_flush(struct pyd_logpipe *logpipe);

#endif
