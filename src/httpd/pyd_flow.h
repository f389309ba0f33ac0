/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYD_FLOW_H
#define PYD_FLOW_H

#include "pyd_wire.h"

/**
 * Which frame a worker may send when (pyd_wire.h says it in words). Pure. A
 * worker is not trusted: whatever is out of order ends the exchange.
 */
enum pyd_flow_stage { PYD_FLOW_NEW, PYD_FLOW_RUNNING, PYD_FLOW_HEAD, PYD_FLOW_ENDED };

struct pyd_flow {
    enum pyd_flow_stage stage;
    int may_read; /* the request has a body which is not in its frame */
};

void pyd_flow_init(struct pyd_flow *flow, int may_read);

/** Take the next frame of a worker. @return NULL, or what is wrong with it: static text to follow "the worker sent" */
const char *pyd_flow_accept(struct pyd_flow *flow, const struct pyd_wire_frame *frame);

/** True once HEAD was seen. */
int pyd_flow_has_head(const struct pyd_flow *flow);

#endif
