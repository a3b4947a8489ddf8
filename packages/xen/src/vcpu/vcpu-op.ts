import { Instant, type Clock } from '@retrap/device'
import { PAGE_BYTES } from '@retrap/memory'
import type { XenCall, XenHypercall } from '../call.ts'
import type { XenDomain } from '../domain.ts'
import { Layout } from '../layout.ts'
import { XenErrno } from '../numbers.ts'
import { loadContext, readContext } from './vcpu-context.ts'
import { GUEST_FRAMES } from '../guest-frames.ts'
import type { XenVcpu } from './xen-vcpu.ts'

const ADDRESS = new Layout({ linear: 'ulong' })
const PERIODIC = new Layout({ period: 'u64' })
const SINGLE_SHOT = new Layout({ timeout: 'u64', flags: 'u32' })
const VCPU_INFO = new Layout({ gfn: 'u64', offset: 'u32', reserved: 'u32' })

const SINGLE_SHOT_FUTURE = 1
const SHORTEST_PERIOD_NS = 1_000_000n
const LONGEST_PERIOD_NS = 2n ** 62n

/** A vCPU as an operation sees it: number and state, and whether the caller is that vCPU. */
interface Target {
  readonly id: number
  readonly state: XenVcpu
  readonly self: boolean
}

type Operation = (call: XenCall, target: Target, pointer: bigint) => number

/** The part of a domain that the operations of x86 guests act on. */
type X86Side = Pick<XenDomain, 'vcpus'>

function initialise(call: XenCall, { id, state }: Target, pointer: bigint, { vcpus }: X86Side): number {
  const context = readContext(call, pointer)
  if (typeof context === 'number') return context
  if (state.initialised) return XenErrno.EXIST
  state.initialised = true
  state.down = true
  const cpu = vcpus[id]?.cpu
  if (cpu !== undefined) loadContext(cpu, context)
  return 0
}

function up(call: XenCall, { state }: Target): number {
  if (!state.initialised) return XenErrno.INVAL
  state.down = false
  call.domain.wake()
  return 0
}

function down(call: XenCall, { id, state }: Target, { vcpus }: X86Side): number {
  if (!vcpus.some((each) => each.id !== id && call.xen.events.vcpus[each.id]?.isUp)) {
    // The last vCPU's end powers off the domain.
    call.domain.stop({ reason: 'power-off' })
    return 0
  }
  state.down = true
  if (id === call.vcpu.id) call.vcpu.endTurn()
  return 0
}

function getRunstate(call: XenCall, { state }: Target, pointer: bigint): number {
  return call.copyOut(pointer, state.runstate(call.compat)) ? 0 : XenErrno.FAULT
}

function registerArea(register: 'registerRunstateArea' | 'registerTimeArea'): Operation {
  return (call, { state, self }, pointer) => {
    const area = call.read(ADDRESS, pointer)
    if (area === null) return XenErrno.FAULT
    return state[register](area.linear, call.compat) || !self ? 0 : XenErrno.FAULT
  }
}

const registerRunstate = registerArea('registerRunstateArea')

function setPeriodic(call: XenCall, { state }: Target, pointer: bigint): number {
  const set = call.read(PERIODIC, pointer)
  if (set === null) return XenErrno.FAULT
  if (set.period < SHORTEST_PERIOD_NS || set.period > LONGEST_PERIOD_NS) return XenErrno.INVAL
  state.setPeriod(Instant.from(set.period))
  return 0
}

function setSingleShot(call: XenCall, { state, self }: Target, pointer: bigint): number {
  if (!self) return XenErrno.INVAL
  const set = call.read(SINGLE_SHOT, pointer)
  if (set === null) return XenErrno.FAULT
  if ((set.flags & SINGLE_SHOT_FUTURE) !== 0 && set.timeout < systemTime(call.domain.clock)) return XenErrno.TIME
  state.setSingleShot(Instant.from(set.timeout))
  return 0
}

function registerVcpuInfo(call: XenCall, { id, state, self }: Target, pointer: bigint): number {
  const place = call.read(VCPU_INFO, pointer)
  if (place === null) return XenErrno.FAULT
  const aligned = place.offset % (call.compat ? 4 : 8) === 0
  if (place.offset > PAGE_BYTES - call.xen.events.info.vcpuInfoBytes || !aligned || state.placed) return XenErrno.INVAL
  // Bits of a vCPU that runs meanwhile could get lost.
  if (!self && state.isUp) return XenErrno.INVAL
  // RAM that is to be populated first, or whose writes are logged, will do as well.
  const ma = place.gfn < GUEST_FRAMES ? call.domain.secondLevel.translateWrite(Number(place.gfn) * PAGE_BYTES) : -1
  if (ma < 0) return XenErrno.INVAL
  state.placed = true
  call.xen.events.placeVcpuInfo(id, ma + place.offset)
  return 0
}

/** By number, VCPUOP_* (public/vcpu.h). */
const x86Operations = (x86: X86Side): readonly Operation[] => [
  (call, target, pointer) => initialise(call, target, pointer, x86),
  up,
  (call, target) => down(call, target, x86),
  (_call, { state }) => (state.isUp ? 1 : 0),
  getRunstate,
  registerRunstate,
  setPeriodic,
  (_call, { state }) => {
    state.setPeriod(new Instant())
    return 0
  },
  setSingleShot,
  (_call, { state, self }) => {
    if (!self) return XenErrno.INVAL
    state.setSingleShot(null)
    return 0
  },
  registerVcpuInfo,
  // send_nmi
  (_call, { id }) => {
    x86.vcpus[id]?.apic.nmi()
    return 0
  },
  // Only a vCPU pinned to a physical processor could query its number.
  () => XenErrno.INVAL,
  registerArea('registerTimeArea'),
]

/** Operations that Arm guests have; all others are -EINVAL. */
const ARM_OPERATIONS: Readonly<Partial<Record<number, Operation>>> = { 5: registerRunstate, 10: registerVcpuInfo }

function operate(call: XenCall, operation: Operation | undefined, unknown: number): number {
  const id = call.word(1)
  const state = call.xen.events.vcpus[id]
  if (state === undefined) return XenErrno.NOENT
  return operation?.(call, { id, state, self: id === call.vcpu.id }, call.argument(2)) ?? unknown
}

/** `vcpu_op` of x86 guests: command, vCPU, pointer. */
export function x86VcpuOp(x86: X86Side): XenHypercall {
  const operations = x86Operations(x86)
  return (call) => operate(call, operations[call.word(0)], XenErrno.NOSYS)
}

/** `vcpu_op` of Arm guests. */
export const armVcpuOp: XenHypercall = (call) => {
  const operation = ARM_OPERATIONS[call.word(0)]
  return operation === undefined ? XenErrno.INVAL : operate(call, operation, XenErrno.INVAL)
}

/** Xen's system time: the domain's virtual time, exactly. */
export function systemTime(clock: Clock): bigint {
  const now = new Instant()
  clock.read(now)
  return now.toBigInt()
}
