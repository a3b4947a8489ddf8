import { PAGE_BYTES } from '@retrap/memory'
import { MODE_64, STATUS_CONTINUE, STATUS_DONE, STATUS_FAULT } from '@retrap/x86-cpu'
import { type Hypercalls, XenCall } from './call.ts'
import { tscScale, XEN_CPUID_BASE, XEN_MSR_HYPERCALL_PAGE, xenCpuid } from './cpuid.ts'
import type { XenCalls, XenDomain, XenDomainVcpu } from './domain.ts'
import { DomainCalls } from './domain-calls.ts'
import { EventUpcalls } from './events/upcalls.ts'
import { type XenOptions, XenState } from './xen-state.ts'
import type { XenGuest } from './guest.ts'
import { Hypercall, XenFeature } from './numbers.ts'
import { ACCESS_AC } from '@retrap/paging'
import type { CallRegisters, XenArchitecture, XenProcessor } from './architecture.ts'
import { x86HvmOp } from './hvm-op.ts'
import { COMMON_HYPERCALLS } from './hypercalls.ts'
import { x86MemoryOp } from './memory/memory-op.ts'
import { physdevOp } from './events/physdev-op.ts'
import { X86_LAYOUTS } from './shared/shared-layouts.ts'
import { systemTime, x86VcpuOp } from './vcpu/vcpu-op.ts'
import { Instant } from '@retrap/device'

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
function x86Architecture(domain: XenDomain): XenArchitecture<EventUpcalls> {
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
function x86Hypercalls(domain: XenDomain, upcalls: EventUpcalls): Hypercalls {
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

/** Number of Xen's CPUID leaves. */
const RANGE = 0x100

/** Xen as the guest's domain calls it: CPUID leaves, the hypercall page, hypercalls, events. */
class Paravirtual extends DomainCalls implements XenCalls {
  readonly #domain: XenDomain
  readonly #xen: XenState<EventUpcalls>
  readonly #calls: readonly XenCall[]

  constructor(domain: XenDomain, xen: XenState<EventUpcalls>) {
    super(xen)
    this.#domain = domain
    this.#xen = xen
    const handlers = x86Hypercalls(domain, xen.events.upcalls)
    this.#calls = xen.architecture.vcpus.map((vcpu) => new XenCall(xen, vcpu, handlers))
  }

  pendingVector(vcpu: number): number {
    return this.#xen.events.upcalls.pendingVector(vcpu)
  }

  eventsChanged(vcpu: number): void {
    this.#xen.blocked.wake(vcpu)
  }

  apicReset(vcpu: number): void {
    this.#xen.events.upcalls.apicReset(vcpu)
  }

  started(vcpu: number): void {
    const state = this.#xen.events.vcpus[vcpu]
    if (state === undefined) return
    state.down = false
    state.initialised = true
  }

  timeMoved(): void {
    this.#xen.events.updateTime()
  }

  /** Leaves the vCPU's registers as the call's end, or its next part, has them. STATUS_CONTINUE: execute VMCALL again. */
  hypercall(vcpu: number): number {
    return this.#calls[vcpu]!.make() ? STATUS_CONTINUE : STATUS_DONE
  }

  cpuid(vcpu: number, leaf: number, subleaf: number, into: Uint32Array): boolean {
    const index = (leaf >>> 0) - XEN_CPUID_BASE
    if (index < 0 || index >= RANGE) return false
    const { domainId } = this.#xen
    xenCpuid(
      leaf,
      subleaf,
      { vcpu, domainId, tscKhz: this.#domain.tscPerNs * 1e6, tscOffsetLo: 0, tscOffsetHi: 0 },
      into,
    )
    return true
  }

  readMsr(_vcpu: number, index: number, into: { lo: number; hi: number }): number {
    if (index >>> 0 !== XEN_MSR_HYPERCALL_PAGE) return STATUS_FAULT
    // The register exists only to be written, and reads as zero.
    into.lo = 0
    into.hi = 0
    return STATUS_DONE
  }

  /** A guest-physical address has that page filled with the hypercall page. */
  writeMsr(vcpu: number, index: number, lo: number, hi: number): number {
    const { domain, memory, events } = this.#xen
    if (index >>> 0 !== XEN_MSR_HYPERCALL_PAGE) return STATUS_FAULT
    // Bits 11:0 select the page, of which only 0 exists.
    if ((lo & (PAGE_BYTES - 1)) !== 0 || hi >= 0x10_0000) return STATUS_FAULT
    const gpa = hi * 0x1_0000_0000 + (lo >>> 0)
    const gfn = Math.floor(gpa / PAGE_BYTES)
    if (memory.ramAt(gfn) < 0 || memory.isRom(gfn)) return STATUS_FAULT
    domain.guestMemory.write(gpa, hypercallPage())
    // Drivers begin with this write: the shared structures take the layout of the mode that they run in.
    events.info.latch(this.#domain.vcpus[vcpu]!.cpu.registers.mode === MODE_64)
    return STATUS_DONE
  }
}

/** Makes Xen's state of a guest, and attaches it to the domain. */
export function plugState(domain: XenDomain, options: XenOptions = {}): XenState<EventUpcalls> {
  const xen = new XenState(domain, x86Architecture(domain), options)
  domain.plug(new Paravirtual(domain, xen))
  return xen
}

/**
 * Lets a domain's guest see Xen: CPUID leaves, MSR, hypercalls, events, store, console.
 *
 * To be called once, before the domain runs and before its memory is populated to the last frame: a few pages and guest
 * frames below 4 GiB are taken for what guest and hypervisor share.
 */
export function plugXen(domain: XenDomain, options: XenOptions = {}): XenGuest {
  return plugState(domain, options)
}

const STUB_BYTES = 32

/** Opcodes of the stubs: MOV EAX, imm32; VMCALL; RET; UD2; INT3 between them. */
const MOV_EAX = 0xb8
const VMCALL = [0x0f, 0x01, 0xc1] as const
const RET = 0xc3
const UD2 = [0x0f, 0x0b] as const
const INT3 = 0xcc

/**
 * The page through which a guest makes hypercalls: a stub of 32 bytes for each number. IRET is no hypercall of hardware
 * guests, and its stub faults.
 */
function hypercallPage(): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES).fill(INT3)
  for (let number = 0; number < PAGE_BYTES / STUB_BYTES; number++) {
    const at = number * STUB_BYTES
    if (number === Hypercall.IRET) page.set(UD2, at)
    else page.set([MOV_EAX, number, 0, 0, 0, ...VMCALL, RET], at)
  }
  return page
}
