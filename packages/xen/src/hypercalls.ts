import type { Hypercalls } from './call.ts'
import { eventChannelOp } from './event-channel-op.ts'
import { consoleIo } from './console-io.ts'
import { grantTableOp } from './grant-table-op.ts'
import { multicall } from './multicall.ts'
import { Hypercall } from './numbers.ts'
import { vmAssist } from './vm-assist.ts'
import { schedOp } from './sched-op.ts'
import { xenVersion } from './xen-version.ts'

/** The hypercalls that are the same for guests of every architecture. */
export const COMMON_HYPERCALLS: Hypercalls = {
  [Hypercall.MULTICALL]: multicall,
  [Hypercall.XEN_VERSION]: xenVersion,
  [Hypercall.VM_ASSIST]: vmAssist,
  [Hypercall.EVENT_CHANNEL_OP]: eventChannelOp,
  [Hypercall.CONSOLE_IO]: consoleIo,
  [Hypercall.GRANT_TABLE_OP]: grantTableOp,
  [Hypercall.SCHED_OP]: schedOp,
}
