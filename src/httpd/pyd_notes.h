/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_NOTES_H
#define PYD_NOTES_H

#include "pyd_relay.h"

/** Notes of a request for the access log: docs/directives.md lists them. */

/** A thread was claimed, or none could be had. */
void pyd_notes_claimed(const struct pyd_relay *relay, int64_t now_us);
void pyd_notes_unclaimed(const struct pyd_relay *relay);
/** An attempt has ended; the claim is still held. */
void pyd_notes_ended(const struct pyd_relay *relay);

#endif
