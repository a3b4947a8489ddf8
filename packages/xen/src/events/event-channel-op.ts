import { ofStructure, type XenCall } from '../call.ts'
import type { EventChannels } from './event-channels.ts'
import { EventStatus } from './event-port.ts'
import { FIFO_LINK_BITS } from './fifo-events.ts'
import { Layout, type FieldType, type Values } from '../layout.ts'
import { XenErrno } from '../numbers.ts'
import { GUEST_FRAMES } from '../guest-frames.ts'

const ALLOC_UNBOUND = new Layout({ domain: 'u16', remote: 'u16', port: 'u32' })
const BIND_INTERDOMAIN = new Layout({ remote: 'u16', remotePort: 'u32', port: 'u32' })
const BIND_VIRQ = new Layout({ virq: 'u32', vcpu: 'u32', port: 'u32' })
const BIND_PIRQ = new Layout({ pirq: 'u32', flags: 'u32', port: 'u32' })
const BIND_IPI = new Layout({ vcpu: 'u32', port: 'u32' })
const PORT = new Layout({ port: 'u32' })
const STATUS = new Layout({ domain: 'u16', port: 'u32', status: 'u32', vcpu: 'u32', first: 'u32', second: 'u32' })
const BIND_VCPU = new Layout({ port: 'u32', vcpu: 'u32' })
const RESET = new Layout({ domain: 'u16' })
// The header pads it to 8 bytes by name, for 32-bit callers too.
const INIT_CONTROL = new Layout({ gfn: 'u64', offset: 'u32', vcpu: 'u32', linkBits: 'u8', padding: 'u32' })
const EXPAND_ARRAY = new Layout({ gfn: 'u64' })
const SET_PRIORITY = new Layout({ port: 'u32', priority: 'u32' })

type Operation = (call: XenCall, pointer: bigint) => number

/** An operation without results. */
const plain = <const F extends Readonly<Record<string, FieldType>>>(
  layout: Layout<F>,
  act: (channels: EventChannels, given: Values<F>) => number,
): Operation => ofStructure(layout, (call, given) => act(call.xen.events.channels, given))

/** An operation that gives a port. A port whose number the caller cannot be told is closed again. */
const opening =
  <const F extends Readonly<Record<string, FieldType>>>(
    layout: Layout<F & { readonly port: 'u32' }>,
    act: (channels: EventChannels, given: Values<F & { readonly port: 'u32' }>, xen: XenCall['xen']) => number,
  ): Operation =>
  (call, pointer) => {
    const given = call.read(layout, pointer)
    if (given === null) return XenErrno.FAULT
    const { channels } = call.xen.events
    const port = act(channels, given, call.xen)
    if (port < 0) return port
    const at = pointer + BigInt(layout.offset('port', call.compat))
    if (call.writeElement('u32', at, 0, port)) return 0
    channels.close(port)
    return XenErrno.FAULT
  }

const status = ofStructure(STATUS, (call, given) => {
  const port = call.xen.events.channels.status(given.domain, given.port)
  if (typeof port === 'number') return port
  const virq = port.status === EventStatus.virq
  return {
    status: port.status,
    vcpu: port.vcpu,
    first: virq ? port.virq : port.remoteDomain,
    second: port.remotePort,
  }
})

/** Machine frame of RAM that the guest can write; −1 for what is none. */
function writableFrame(call: XenCall, gfn: bigint): number {
  const { memory } = call.xen
  if (gfn >= GUEST_FRAMES || memory.isRom(Number(gfn))) return -1
  return memory.ramAt(Number(gfn))
}

const initControl = ofStructure(INIT_CONTROL, (call, given) => {
  const { channels } = call.xen.events
  const result = channels.initControl(given.vcpu, writableFrame(call, given.gfn), given.offset)
  return result < 0 ? result : { linkBits: FIFO_LINK_BITS }
})

const expandArray = ofStructure(EXPAND_ARRAY, (call, given) =>
  call.xen.events.channels.expandArray(writableFrame(call, given.gfn)),
)

/** By number, EVTCHNOP_* (public/event_channel.h). */
const OPERATIONS: readonly Operation[] = [
  opening(BIND_INTERDOMAIN, (channels, { remote, remotePort }) => channels.bindInterdomain(remote, remotePort)),
  opening(BIND_VIRQ, (channels, { virq, vcpu }) => channels.bindVirq(virq, vcpu)),
  // Devices' interrupts; without XENFEAT_hvm_pirqs they come through the interrupt controllers only.
  opening(BIND_PIRQ, (channels, { pirq }, { pirqs, hasPirqs }) =>
    hasPirqs && pirqs.exists(pirq) ? channels.bindPirq(pirq) : XenErrno.INVAL,
  ),
  plain(PORT, (channels, { port }) => channels.close(port)),
  plain(PORT, (channels, { port }) => channels.send(port)),
  status,
  opening(ALLOC_UNBOUND, (channels, { domain, remote }) => channels.allocateUnbound(domain, remote)),
  opening(BIND_IPI, (channels, { vcpu }) => channels.bindIpi(vcpu)),
  plain(BIND_VCPU, (channels, { port, vcpu }) => channels.bindVcpu(port, vcpu)),
  plain(PORT, (channels, { port }) => channels.unmask(port)),
  plain(RESET, (channels, { domain }) => channels.resetAll(domain)),
  initControl,
  expandArray,
  plain(SET_PRIORITY, (channels, { port, priority }) => channels.setPriority(port, priority)),
]

/** `event_channel_op`: command, pointer. */
export function eventChannelOp(call: XenCall): number {
  return OPERATIONS[call.word(0)]?.(call, call.argument(1)) ?? XenErrno.NOSYS
}
