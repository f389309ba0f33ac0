/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_CLAIM_STATE_H
#define PYD_CLAIM_STATE_H

#include "pyd_board.h"

/* Shared by pyd_claim.c and pyd_deadline.c. */

/** Whether a claim with that owner may be taken. */
int pyd_claim_state_free(const struct pyd_board *board, uint32_t group, uint32_t slot, uint32_t claim, uint32_t owner);

#endif
