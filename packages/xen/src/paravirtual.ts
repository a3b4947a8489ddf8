import { PAGE_BYTES } from '@retrap/memory'
import { MODE_64, STATUS_CONTINUE, STATUS_DONE, STATUS_FAULT } from '@retrap/x86-cpu'
import { XenCall } from './call.ts'
import { XEN_CPUID_BASE, XEN_MSR_HYPERCALL_PAGE, xenCpuid } from './cpuid.ts'
import type { XenCalls, XenDomain } from './domain.ts'
import { DomainCalls } from './domain-calls.ts'
import type { EventUpcalls } from './events/upcalls.ts'
import { x86Architecture, x86Hypercalls } from './x86-architecture.ts'
import { type XenOptions, XenState } from './xen-state.ts'
import type { XenGuest } from './guest.ts'
import { Hypercall } from './numbers.ts'

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
