/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_WORKER_H
#define FAKE_WORKER_H

/*
 * A worker program for the manager's tests: the test executes itself, with the
 * environment variable FAKE saying how to behave. It speaks the protocol of
 * pyd_manager.h: job, status, control bytes, log pipe, exit statuses.
 *
 *   ready        works as it should
 *   import       exits 66
 *   hang         never gets ready and ignores SIGTERM
 *   stubborn     gets ready, then ignores all requests to stop
 *   early        gets ready and exits with status 3 at once
 *   print        prints raw, tagged and unfinished lines, and gets ready
 *   chatty       gets ready and prints without end
 *   look         reports its descriptors, environment, ids, and gets ready
 *   closed       gets ready and closes its control socket
 *
 * Once ready: SIGUSR1 makes it exit with status 0; SIGUSR2 begins, on each of
 * its request records, the request numbered as its epoch; SIGHUP counts one
 * request as finished and says so to the manager.
 */
int fake_worker_main(const char *behaviour);

#endif
