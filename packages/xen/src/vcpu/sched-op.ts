import { Instant } from '@retrap/device'
import { ofStructure, type XenCall, type XenHypercall } from '../call.ts'
import { Layout } from '../layout.ts'
import { XenErrno } from '../numbers.ts'

const SHUTDOWN = new Layout({ reason: 'u32' })
const REMOTE_SHUTDOWN = new Layout({ domid: 'u16', reason: 'u32' })
const POLL = new Layout({ ports: 'pointer', count: 'u32', timeout: 'u64' })
/** Event channels that can be polled at once. */
const MOST_PORTS = 128
const WATCHDOG = new Layout({ id: 'u32', timeout: 'u32' })

/** `SCHEDOP_*` by number (public header sched.h). */
const OPERATIONS: readonly XenHypercall[] = [
  // yield
  (call) => {
    call.vcpu.pause()
    return 0
  },
  block,
  // shutdown
  ofStructure(SHUTDOWN, ({ xen, vcpu }, { reason }) => {
    xen.shutDown(vcpu.id, reason)
    return 0
  }),
  poll,
  // remote_shutdown: the toolstack's to make
  ofStructure(REMOTE_SHUTDOWN, ({ xen }, { domid }) => xen.ownDomain(domid) || XenErrno.PERM),
  // shutdown_code
  ofStructure(SHUTDOWN, ({ xen }, { reason }) => {
    xen.latchShutdown(reason)
    return 0
  }),
  // watchdog
  ofStructure(WATCHDOG, ({ xen }, { id, timeout }) => xen.watchdogs.set(id, timeout)),
  // pin_override: for who has processors of the host's
  () => XenErrno.PERM,
]

/** Waits for an interrupt; event channels may interrupt from now on. */
function block(call: XenCall): number {
  call.vcpu.allowEvents(call.xen.events.info)
  wait(call, [], null)
  return 0
}

/** Waits for one of some event channels, which may be masked, until a time. */
function poll(call: XenCall): number {
  const request = call.read(POLL, call.argument(1))
  if (request === null) return XenErrno.FAULT
  if (request.count > MOST_PORTS) return XenErrno.INVAL
  const { channels } = call.xen.events
  const ports: number[] = []
  for (let i = 0; i < request.count; i++) {
    const port = call.readElement('u32', request.ports, i)
    if (port === null) return XenErrno.FAULT
    if (!channels.isPort(Number(port))) return XenErrno.INVAL
    if (channels.pending(Number(port))) return 0
    ports.push(Number(port))
  }
  wait(call, ports, request.timeout === 0n ? null : Instant.from(request.timeout))
  return 0
}

function wait(call: XenCall, ports: readonly number[], deadline: Instant | null): void {
  const { vcpu, xen } = call
  if (vcpu.interruptWaits) return
  xen.blocked.block(vcpu.id, ports, deadline)
  vcpu.endTurn()
}

/** `sched_op`: command, pointer. */
export function schedOp(call: XenCall): number {
  return OPERATIONS[call.word(0)]?.(call) ?? XenErrno.NOSYS
}
