import { ACCESS_AC } from '@retrap/paging'
import { MODE_64 } from '@retrap/x86-cpu'
import type { CallRegisters, XenArchitecture, XenProcessor } from './architecture.ts'
import type { XenDomain, XenDomainVcpu } from './domain.ts'
import { x86HvmOp } from './hvm-op.ts'
import type { Hypercalls, XenCall } from './call.ts'
import { COMMON_HYPERCALLS } from './hypercalls.ts'
import { x86MemoryOp } from './memory/memory-op.ts'
import { Hypercall, XenFeature } from './numbers.ts'
import { physdevOp } from './events/physdev-op.ts'
import { X86_LAYOUTS } from './shared/shared-layouts.ts'
import { EventUpcalls } from './events/upcalls.ts'
import { x86VcpuOp, systemTime } from './vcpu/vcpu-op.ts'
import { Instant } from '@retrap/device'
import { tscScale } from './cpuid.ts'

/** RDI RSI RDX R10 R8 R9, and EBX ECX EDX ESI EDI EBP (public header arch-x86/xen-x86_64.h, xen-x86_32.h). */
const NATIVE_ARGUMENTS = [7, 6, 2, 10, 8, 9] as const
const COMPAT_ARGUMENTS = [3, 1, 2, 6, 7, 5] as const
const RAX = 0

const FLAG_AC = 1 << 18

/** Number and result in RAX. Real mode counts as ring 0, virtual-8086 mode as ring 3. */
function callRegistersOf({ cpu }: XenDomainVcpu): CallRegisters {
  const isCompat = (): boolean => cpu.registers.mode !== MODE_64
  const registerOf = (argument: number): number => (isCompat() ? COMPAT_ARGUMENTS : NATIVE_ARGUMENTS)[argument]!
  const sized = (value: bigint): bigint => (isCompat() ? value & 0xffff_ffffn : value)
  const get = (index: number): bigint => sized(cpu.registers.general[index]!)
  const set = (index: number, value: bigint): void => void (cpu.registers.general[index] = sized(value))
  return {
    get compat() {
      return isCompat()
    },
    get allowed() {
      return cpu.registers.cpl === 0
    },
    get number() {
      return get(RAX)
    },
    set number(value) {
      set(RAX, value)
    },
    argument: (index) => get(registerOf(index)),
    setArgument: (index, value) => set(registerOf(index), value),
    setResult: (value) => set(RAX, value),
  }
}

function processorOf(vcpu: XenDomainVcpu): XenProcessor {
  const { id, cpu } = vcpu
  return {
    id,
    registers: callRegistersOf(vcpu),
    get isStarted() {
      return !cpu.waitsForStartup
    },
    get interruptWaits() {
      return cpu.interruptWaits
    },
    get copyRights() {
      return (cpu.materialiseFlags() & FLAG_AC) === 0 ? 0 : ACCESS_AC
    },
    guestPhysical: (lo, hi, access) => vcpu.translation.guestPhysical(lo, hi, access),
    endTurn: () => {
      // A stop alone could be one for a frame that has left the guest, after which the turn goes on.
      cpu.notePause()
      cpu.stop()
    },
    pause: () => vcpu.pause(),
    allowEvents: (info) => info.unmaskUpcalls(id),
  }
}

/** A PC, as Xen's interface depends on it. */
export function x86Architecture(domain: XenDomain): XenArchitecture<EventUpcalls> {
  const { interrupts } = domain
  return {
    vcpus: domain.vcpus.map((vcpu) => processorOf(vcpu)),
    layouts: X86_LAYOUTS,
    name: 'x86',
    parameterValues: [],
    // Where hvmloader's hosts put these pages: at the end of the area below 4 GiB that is no RAM.
    places: { store: 0xfeffc, console: 0xfefff },
    features:
      (1 << XenFeature.WRITABLE_PAGE_TABLES) |
      (1 << XenFeature.AUTO_TRANSLATED_PHYSMAP) |
      (1 << XenFeature.HVM_CALLBACK_VECTOR) |
      (1 << XenFeature.HVM_SAFE_PVCLOCK) |
      (1 << XenFeature.MEMORY_OP_VNODE_SUPPORTED) |
      (1 << XenFeature.NOT_DIRECT_MAPPED),
    capabilities: 'hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64',
    wires: { inputs: interrupts.ioApic.pins, asserted: (gsi) => interrupts.asserted(gsi) },
    intercept: (take) => {
      interrupts.intercept = take
    },
    makeUpcalls: (info) => new EventUpcalls(domain, info),
    timeInfo: (vcpu, version) => vcpuTimeInfo(domain, vcpu, version),
  }
}

/** The hypercalls of x86 guests. */
export function x86Hypercalls(domain: XenDomain, upcalls: EventUpcalls): Hypercalls {
  return {
    ...COMMON_HYPERCALLS,
    [Hypercall.MEMORY_OP]: x86MemoryOp,
    [Hypercall.SET_TIMER_OP]: setTimerOp,
    [Hypercall.VCPU_OP]: x86VcpuOp(domain),
    [Hypercall.PHYSDEV_OP]: physdevOp,
    [Hypercall.HVM_OP]: x86HvmOp({ domain, upcalls }),
  }
}

const TWO_32 = 0x1_0000_0000n
/** About 13 days. */
const FAR_NS = 2n ** 50n
const SOON_NS = 100_000_000n

/**
 * `set_timer_op`: nanoseconds of system time, in two arguments for 32-bit callers; 0: none. Raises VIRQ_TIMER. Some
 * guests set timers to negative or far away times, whether busy or idle: such a timer is due in
 * 100 ms.
 */
function setTimerOp(call: XenCall): number {
  const words = call.compat ? call.argument(0) + call.argument(1) * TWO_32 : call.argument(0)
  const timeout = BigInt.asIntN(64, words)
  const now = systemTime(call.domain.clock)
  const odd = timeout < 0n || timeout - now > FAR_NS
  const deadline = timeout === 0n ? null : Instant.from(odd ? now + SOON_NS : timeout)
  call.xen.events.vcpus[call.vcpu.id]?.setSingleShot(deadline)
  return 0
}

/* struct vcpu_time_info (public/xen.h). */
const VCPU_TIME_BYTES = 32
const VERSION = 0
const TSC_TIMESTAMP = 8
const SYSTEM_TIME = 16
const MULTIPLIER = 24
const SHIFT = 28
const FLAGS = 29
const TSC_STABLE = 1
const KHZ_OF_A_TICK_PER_NS = 1e6

/**
 * A vCPU's clock page: how its time-stamp counter becomes the domain's system time, which is its virtual time.
 *
 * The two always run at one rate, so that a page holds until the guest moves the counter.
 *
 * @param version - of the page now; it comes out 2 higher
 */
function vcpuTimeInfo(domain: XenDomain, vcpu: number, version: number): Uint8Array {
  const bytes = new Uint8Array(VCPU_TIME_BYTES)
  const view = new DataView(bytes.buffer)
  const now = systemTime(domain.clock)
  const kHz = domain.tscPerNs * KHZ_OF_A_TICK_PER_NS
  const ticks = (now * BigInt(Math.round(kHz))) / BigInt(KHZ_OF_A_TICK_PER_NS)
  const offset = domain.vcpus[vcpu]?.cpu.tscOffset ?? 0n
  const [multiplier, shift] = tscScale(kHz)
  view.setUint32(VERSION, ((version | 1) + 1) >>> 0, true)
  view.setBigUint64(TSC_TIMESTAMP, BigInt.asUintN(64, ticks + offset), true)
  view.setBigUint64(SYSTEM_TIME, now, true)
  view.setUint32(MULTIPLIER, multiplier, true)
  view.setInt8(SHIFT, shift)
  view.setUint8(FLAGS, countersAgree(domain) ? TSC_STABLE : 0)
  return bytes
}

/** Whether the time-stamp counters of all vCPUs are the same. */
function countersAgree({ vcpus }: XenDomain): boolean {
  const first = vcpus[0]?.cpu.tscOffset
  return vcpus.every(({ cpu }) => cpu.tscOffset === first)
}
