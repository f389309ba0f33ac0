/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_flow.h"

void pyd_flow_init(struct pyd_flow *flow, int may_read)
{
    flow->stage = PYD_FLOW_NEW;
    flow->may_read = may_read;
}

int pyd_flow_has_head(const struct pyd_flow *flow)
{
    return flow->stage >= PYD_FLOW_HEAD;
}

static const char *check(const struct pyd_flow *flow, const struct pyd_wire_frame *frame)
{
    int head = flow->stage == PYD_FLOW_HEAD;

    if (flow->stage == PYD_FLOW_ENDED)
        return "a frame after the end";
    switch (frame->type) {
    case PYD_FRAME_LOG:
        return NULL;
    case PYD_FRAME_READ:
        return flow->may_read ? NULL : "READ for a request without a body to read";
    case PYD_FRAME_EARLY:
        return head ? "EARLY after HEAD" : NULL;
    case PYD_FRAME_HEAD:
        return head ? "HEAD twice" : NULL;
    case PYD_FRAME_BODY:
        return head ? NULL : "BODY before HEAD";
    case PYD_FRAME_END:
        return head ? NULL : "END without HEAD";
    case PYD_FRAME_FAIL:
        return head ? "FAIL after HEAD" : NULL;
    case PYD_FRAME_REFUSE:
        return flow->stage != PYD_FLOW_NEW ? "REFUSE for a request it had begun" : NULL;
    default:
        return "a frame that only httpd may send";
    }
}

const char *pyd_flow_accept(struct pyd_flow *flow, const struct pyd_wire_frame *frame)
{
    const char *wrong = check(flow, frame);

    if (wrong)
        return wrong;
    switch (frame->type) {
    case PYD_FRAME_HEAD:
        flow->stage = PYD_FLOW_HEAD;
        break;
    case PYD_FRAME_END:
    case PYD_FRAME_FAIL:
    case PYD_FRAME_REFUSE:
        flow->stage = PYD_FLOW_ENDED;
        break;
    default:
        if (flow->stage == PYD_FLOW_NEW)
            flow->stage = PYD_FLOW_RUNNING;
        break;
    }
    return NULL;
}
