/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_TITLE_H
#define PYD_TITLE_H

/**
 * The process title, as ps shows it: "(pydaemon:blog) 1: 3 busy". Written over
 * the memory of argv and of the environment behind it; the environment is moved
 * away first. One per process. All calls but the first are for any thread.
 */

/** Take over the argv area. Call once, before any thread exists and before getenv() results are kept. */
void pyd_title_init(int argc, char **argv);

/** What comes before the colon: display name and worker number. */
void pyd_title_set_name(const char *display_name, unsigned number);

/** What the process is doing, in a word or two. Cut when there is no room. */
void pyd_title_set(const char *doing);

#endif
