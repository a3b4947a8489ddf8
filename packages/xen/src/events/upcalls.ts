import { Stateful } from '@retrap/device'
import type { Upcalls } from '../architecture.ts'
import type { XenDomain } from '../domain.ts'
import type { SharedInfo } from '../shared/shared-info.ts'

/* HVM_PARAM_CALLBACK_IRQ: the kind in the top byte (public/hvm/params.h). */
const CALLBACK_TYPE_GSI = 0
const CALLBACK_TYPE_PCI_INTX = 1
const CALLBACK_TYPE_VECTOR = 2

/** The second i8259's place is no wire. */
const CASCADE = 2

interface Wire {
  set(level: boolean): void
}

/**
 * How a vCPU hears that its `evtchn_upcall_pending` was set: by a vector of its own through its local APIC; by the
 * domain's callback vector, which asks no APIC; or, the first vCPU alone, by a wire, which is up while the flag is set.
 *
 * Source: Xen's public/hvm/params.h, HVM_PARAM_CALLBACK_IRQ; public/hvm/hvm_op.h, HVMOP_set_evtchn_upcall_vector.
 */
export class EventUpcalls extends Stateful implements Upcalls {
  readonly #domain: XenDomain
  readonly #info: SharedInfo
  readonly #r
  /** The domain's callback vector; 0: none. */
  #vector = 0
  #wire: Wire | null = null

  constructor(domain: XenDomain, info: SharedInfo) {
    super()
    this.#domain = domain
    this.#info = info
    this.#r = this.keeps({
      version: 2,
      callbackLo: 0,
      callbackHi: 0,
      /** Vector of each vCPU; 0: none. */
      vectors: domain.vcpus.map(() => 0),
      /** vCPUs with an undelivered upcall, because their local APIC was off or has been reset. */
      owed: domain.vcpus.map(() => false),
      /** The wire's level as it was driven last. */
      asserted: [false],
    })
    // An interrupt that ends while the wire is up comes again: so the wire is brought up to date first.
    domain.interrupts.beforeEndOfInterrupt = () => this.#settleWire()
  }

  /** The value of HVM_PARAM_CALLBACK_IRQ. */
  get callback(): { readonly lo: number; readonly hi: number } {
    return { lo: this.#r.callbackLo, hi: this.#r.callbackHi }
  }

  /** Sets HVM_PARAM_CALLBACK_IRQ, two words. An unknown way leaves the guest without callbacks. */
  setCallback(lo: number, hi: number): void {
    this.#choose(lo, hi)
    for (const { id } of this.#domain.vcpus) if (this.#info.upcallPending(id)) this.raise(id)
  }

  #choose(lo: number, hi: number): void {
    this.#dropWire()
    this.#r.callbackLo = lo >>> 0
    this.#r.callbackHi = hi >>> 0
    this.#vector = 0
    const type = hi >>> 24
    if (type === CALLBACK_TYPE_VECTOR) this.#vector = lo & 0xff
    else if (type === CALLBACK_TYPE_GSI) this.#wire = this.#gsi(lo & 0xff)
    else if (type === CALLBACK_TYPE_PCI_INTX) {
      // Device and function in bits 15:8, of which the functions share a pin's wire; pin in bits 1:0.
      this.#wire = this.#domain.ownPciInterrupt((lo >>> 11) & 0x1f, (lo & 3) + 1)
    }
  }

  #gsi(gsi: number): Wire | null {
    // A guest uses GSI 0 to mean none.
    if (gsi === 0 || gsi === CASCADE || gsi >= this.#domain.interrupts.ioApic.pins) return null
    return this.#domain.interrupts.line(gsi)
  }

  #dropWire(): void {
    this.#lower()
    this.#wire = null
  }

  /** A vCPU's own vector, 16–255. */
  setVector(vcpu: number, vector: number): void {
    this.#r.vectors[vcpu] = vector
    this.#domain.vcpus[vcpu]?.updateEvents()
    if (this.#info.upcallPending(vcpu)) this.raise(vcpu)
  }

  /** A vCPU's flag has just been set: interrupts it. */
  raise(vcpu: number): void {
    const target = this.#domain.vcpus[vcpu]
    if (target === undefined) return
    const own = this.#r.vectors[vcpu]!
    if (own !== 0) this.#r.owed[vcpu] = !target.apic.accept(own, false)
    else if (this.#vector !== 0) {
      target.updateEvents()
      this.#domain.wake()
    } else if (vcpu === 0 && this.#wire !== null) {
      // The flag was clear meanwhile, and so was the wire: inputs that look for edges must see one.
      this.#lower()
      this.#drive(this.#wire, true)
    }
  }

  /** Returns the vector to deliver at once, before the local APIC's; 0: none. */
  pendingVector(vcpu: number): number {
    const vector = this.#vector
    return vector !== 0 && this.#r.vectors[vcpu] === 0 && this.#info.upcallPending(vcpu) ? vector : 0
  }

  /** Before a vCPU runs: what its local APIC did not take is tried again. */
  retry(vcpu: number): void {
    if (this.#r.owed[vcpu] !== true) return
    this.#r.owed[vcpu] = false
    if (this.#info.upcallPending(vcpu)) this.raise(vcpu)
  }

  /** INIT has cleared a vCPU's local APIC. */
  apicReset(vcpu: number): void {
    this.#r.owed[vcpu] = true
  }

  #settleWire(): void {
    if (!this.#info.upcallPending(0)) this.#lower()
  }

  #lower(): void {
    if (this.#r.asserted[0] === true && this.#wire !== null) this.#drive(this.#wire, false)
  }

  #drive(wire: Wire, level: boolean): void {
    this.#r.asserted[0] = level
    wire.set(level)
  }

  /** Power-on: nobody is interrupted. */
  override reset(): void {
    this.#dropWire()
    this.#vector = 0
    super.reset()
  }

  /** Takes a saved state in place of a reset one. Interrupts that local APICs have taken, and levels, come with their own state. */
  override restore(state: unknown): void {
    super.restore(state)
    const [asserted] = this.#r.asserted
    this.#r.asserted = [false]
    this.#choose(this.#r.callbackLo, this.#r.callbackHi)
    if (asserted === true && this.#wire !== null) this.#drive(this.#wire, true)
    for (const vcpu of this.#domain.vcpus) {
      this.#r.vectors[vcpu.id] ??= 0
      this.#r.owed[vcpu.id] ??= false
      vcpu.updateEvents()
    }
  }
}
