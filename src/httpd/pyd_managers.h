/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_MANAGERS_H
#define PYD_MANAGERS_H

#include <httpd.h>

#include "pyd_board.h"

/**
 * The living generations and their managers, as the httpd parent knows them.
 *
 * A generation outlives pconf, and may outlive this very .so: what is kept
 * across a reload is plain numbers in retained data. Each configuration read
 * attaches the living boards anew and registers every living manager anew with
 * APR's other-child list, which forgets them when pconf is cleared.
 *
 * httpd parent only, but for pyd_managers_child_init().
 */

/** Attach and register what is left of earlier configurations. Call first in each post_config. */
void pyd_managers_resume(apr_pool_t *pconf, server_rec *s);

/** The number of the next generation, 1.. */
uint32_t pyd_managers_next_generation(void);

/**
 * Add a new generation, fork its manager and register it. Takes board (mapped, opened, locked by the caller).
 * @return APR_SUCCESS, or why the fork failed; then the board's descriptors and mapping are gone
 */
apr_status_t pyd_managers_add(struct pyd_board *board, apr_pool_t *pconf);

/** Wake every living manager: a child has died. */
void pyd_managers_poke(void);

/** Now and then: fork the managers that could not be forked when their predecessors had ended. */
void pyd_managers_retry(void);

/**
 * Before pconf is cleared for a reload: forget mappings and pointers, keep numbers. Drops the parent's locks: each
 * generation ends with its httpd children, whether or not a successor of this module takes it over.
 */
void pyd_managers_suspend(void);

/** httpd is ending: TERM all managers, wait (bounded), KILL what is left. */
void pyd_managers_stop(void);

/** In a new httpd child: close what belongs to other generations than its own. */
void pyd_managers_child_init(const struct pyd_board *own);

#endif
