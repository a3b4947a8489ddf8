import type { XenCall, XenHypercall } from './call.ts'
import { eventChannelOp } from './event-channel-op.ts'
import { memoryOp } from './memory-op.ts'
import { Hypercall, XenError } from './numbers.ts'
import { vcpuOp } from './vcpu-op.ts'
import { xenVersion } from './xen-version.ts'

/** What each hypercall does; a number that is not here is unknown to the guest. */
const HYPERCALLS: Readonly<Partial<Record<number, XenHypercall>>> = {
  [Hypercall.MEMORY_OP]: memoryOp,
  [Hypercall.XEN_VERSION]: xenVersion,
  [Hypercall.VCPU_OP]: vcpuOp,
  [Hypercall.EVENT_CHANNEL_OP]: eventChannelOp,
}

/** Answers a call whose number and arguments are set. */
export function dispatch(call: XenCall): number {
  return HYPERCALLS[call.number]?.(call) ?? XenError.NOSYS
}
