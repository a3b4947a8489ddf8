import { type Domain, X86Domain } from '@retrap/hvm'
import { ArmDomain } from '@retrap/hvm/arm'
import { IOREQ_TYPE_INVALIDATE, type IoTraceRecord } from '@retrap/ioreq'
import { TracedArm } from './arm.ts'
import { Blocks } from './blocks.ts'
import { TracedPc } from './pc.ts'
import type { TracePlace, TraceRecord } from './record.ts'
import type { Told, TracedGuest } from './traced-guest.ts'
import { lets, type TraceKind, type TraceSpec, type TraceSubject } from './spec.ts'

/** Options of a {@link Tracer}. */
export interface TracerOptions {
  /**
   * Leaves out requests without an instruction of the guest: accesses while a machine is made, which a replay need not make,
   * and notices to drop mappings. Default: they are reported.
   */
  readonly guestOnly?: boolean
}

/** One requested trace. */
interface Wanted {
  readonly spec: TraceSpec
  /** Number of records until its limit. */
  left: number
}

/**
 * Traces a guest's execution, as it happens.
 *
 * A domain without a tracer has no cost. With `insn` and `block` instructions are executed one by one, which is far
 * slower; the program executes exactly as without. The other kinds leave compiled code as it is, but `ioreq` makes
 * every access to a device take the slow path.
 */
export class Tracer {
  /** The function for a machine's `trace` option, set at creation; undefined: accesses are not traced. */
  readonly access: ((record: IoTraceRecord) => void) | undefined
  readonly #wanted: readonly Wanted[]
  readonly #sink: (record: TraceRecord) => void
  readonly #guestOnly: boolean
  readonly #blocks = new Blocks((record) => this.#tell(record.kind, record, () => record))
  /** Times at which each vCPU's request was sent, in milliseconds of the host. */
  readonly #sent = new Map<number, number>()
  #domain: Pick<Domain, 'clock' | 'executingVcpu' | 'vcpus'> | null = null
  #guest: TracedGuest | null = null

  /**
   * @param specs - traces: a record that passes any of them is reported
   * @param sink - receives the records in order
   */
  constructor(specs: readonly TraceSpec[], sink: (record: TraceRecord) => void, options: TracerOptions = {}) {
    this.#wanted = specs.map((spec) => ({ spec, left: spec.limit ?? Infinity }))
    this.#sink = sink
    this.#guestOnly = options.guestOnly ?? false
    this.access = this.#wants('ioreq') ? (record) => this.#accessed(record) : undefined
  }

  /** Traces a domain from now on, and detaches a previous one. */
  attach(domain: Domain | X86Domain | ArmDomain): void {
    this.detach()
    this.#domain = domain
    const told: Told = {
      place: (vcpu) => this.#place(vcpu),
      wants: (kind) => this.#wants(kind),
      tell: (kind, subject, make) => this.#tell(kind, subject, make),
      blocks: this.#blocks,
    }
    if (domain instanceof X86Domain) this.#guest = new TracedPc(domain, told)
    else if (domain instanceof ArmDomain) this.#guest = new TracedArm(domain, told)
    this.#watch()
  }

  /** Ends the trace. Accesses under way are reported first. */
  detach(): void {
    this.#blocks.end()
    const guest = this.#guest
    this.#domain = null
    this.#guest = null
    guest?.end()
  }

  #wants(kind: TraceKind): boolean {
    return this.#wanted.some(({ spec, left }) => spec.kind === kind && left > 0)
  }

  /** Makes the processors report the kinds of records still wanted. */
  #watch(): void {
    const steps = this.#wants('insn') || this.#wants('block')
    const events = steps || this.#wants('irq') || this.#wants('exceptions')
    this.#guest?.watch(steps, events, this.#wants('pagewalk'))
  }

  /** Hands a record over if it is asked for. @param make - makes it only then */
  #tell(kind: TraceKind, subject: TraceSubject, make: () => TraceRecord): void {
    for (const wanted of this.#wanted) {
      if (wanted.spec.kind !== kind || wanted.left <= 0 || !lets(wanted.spec, subject)) continue
      wanted.left--
      this.#sink(make())
      if (wanted.left === 0) this.#watch()
      return
    }
  }

  #place(vcpu: number): TracePlace {
    const domain = this.#domain
    const guest = this.#guest
    const retired = (of: number): number => guest?.retiredOf(of) ?? 0
    return {
      vcpu,
      ns: domain?.clock.now() ?? 0,
      hostMs: performance.now(),
      instructions: retired(vcpu),
      allInstructions: domain?.vcpus.reduce((sum, { id }) => sum + retired(id), 0) ?? 0,
    }
  }

  #accessed(given: IoTraceRecord): void {
    if (!this.#wants('ioreq')) return
    const vcpu = given.vcpu >= 0 ? given.vcpu : (this.#domain?.executingVcpu ?? -1)
    const code = this.#guest?.addressOf(vcpu)
    if (this.#guestOnly && (code === undefined || given.request.type === IOREQ_TYPE_INVALIDATE)) return
    const now = performance.now()
    const sent = this.#sent.get(vcpu)
    const ends = given.event === 'answered' || given.event === 'ended' || given.event === 'cancelled'
    const waitedMs = ends && sent !== undefined ? now - sent : undefined
    if (given.event === 'sent') this.#sent.set(vcpu, now)
    else if (ends) this.#sent.delete(vcpu)
    const { addressLo, addressHi } = given.request
    const address = (BigInt(addressHi) << 32n) | BigInt(addressLo >>> 0)
    this.#tell('ioreq', { vcpu, address, device: given.device }, () => {
      const access = { ...given, vcpu, request: { ...given.request } }
      return { kind: 'ioreq', ...this.#place(vcpu), hostMs: now, access, code, waitedMs }
    })
  }
}
