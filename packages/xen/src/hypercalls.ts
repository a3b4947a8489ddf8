import type { XenCall, XenHypercall } from './call.ts'
import { eventChannelOp } from './event-channel-op.ts'
import { consoleIo } from './console-io.ts'
import { grantTableOp } from './grant-table-op.ts'
import { hvmOp } from './hvm-op.ts'
import { memoryOp } from './memory-op.ts'
import { physdevOp } from './physdev-op.ts'
import { multicall } from './multicall.ts'
import { Hypercall, XenErrno } from './numbers.ts'
import { setTimerOp } from './set-timer-op.ts'
import { vcpuOp } from './vcpu-op.ts'
import { vmAssist } from './vm-assist.ts'
import { schedOp } from './sched-op.ts'
import { xenVersion } from './xen-version.ts'

/** Handlers by hypercall number; any other number is unknown to the guest. */
const HYPERCALLS: Readonly<Partial<Record<number, XenHypercall>>> = {
  [Hypercall.MEMORY_OP]: memoryOp,
  [Hypercall.MULTICALL]: multicall(dispatch),
  [Hypercall.SET_TIMER_OP]: setTimerOp,
  [Hypercall.XEN_VERSION]: xenVersion,
  [Hypercall.VM_ASSIST]: vmAssist,
  [Hypercall.VCPU_OP]: vcpuOp,
  [Hypercall.EVENT_CHANNEL_OP]: eventChannelOp,
  [Hypercall.CONSOLE_IO]: consoleIo,
  [Hypercall.GRANT_TABLE_OP]: grantTableOp,
  [Hypercall.SCHED_OP]: schedOp,
  [Hypercall.PHYSDEV_OP]: physdevOp,
  [Hypercall.HVM_OP]: hvmOp,
}

/** Answers a call whose number and arguments are set. */
export function dispatch(call: XenCall): number {
  return HYPERCALLS[call.number]?.(call) ?? XenErrno.NOSYS
}
