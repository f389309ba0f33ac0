/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_WORKER_H
#define FAKE_WORKER_H

/*
 * A worker program for the manager's tests: the test executes itself, with the
 * environment variable FAKE saying how to behave, in one word or several ("stubborn,mute"). It speaks the protocol of
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
 *   large        has 4 MiB of memory
 *   nogil        says that its dumps were made without the GIL
 *   mute         makes no dump
 *   frozen       stops itself (SIGSTOP) when it is asked for a dump
 *   lifeless     shows no sign of life, and its watch thread waits for the GIL
 *
 * Once ready it shows a sign of life each 200 ms, and makes a dump when it is asked for one by the manager or by
 * SIGUSR2: the thread FAKE_TID in FAKE_FRAME. The signals below make it do other things.
 */
#include <signal.h>

#define FAKE_EXIT SIGUSR1   /* exit with status 0 */
#define FAKE_BEGIN SIGALRM  /* begin, on each of its request records, the request numbered as its epoch */
#define FAKE_FINISH SIGHUP  /* count one request as finished, and say so to the manager */
#define FAKE_LEAVE SIGVTALRM /* say STOPPING, and stay */

#define FAKE_TID 4711
#define FAKE_FRAME "/srv/fake.py\t7\tserve\tpoll()"

int fake_worker_main(const char *behaviour);

#endif
