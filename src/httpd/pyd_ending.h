/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_ENDING_H
#define PYD_ENDING_H

#include <stddef.h>

#include "pyd_board.h"

/** Why a worker ended, in words that follow "worker pid=1234 of 'blog'". Pure; unknown numbers are fine. */
void pyd_ending_text(enum pyd_cause cause, uint32_t detail, char *text, size_t size);

#endif
