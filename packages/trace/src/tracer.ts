import { type Domain, type GuestWalk, interruptSource, X86Domain, type X86Vcpu } from '@retrap/hvm'
import type { IoTraceRecord } from '@retrap/ioreq'
import type { DeliveredEvent } from '@retrap/x86-cpu'
import { Blocks } from './blocks.ts'
import { codeAt, linearAddress, modeOf } from './code.ts'
import { TraceError } from './errors.ts'
import type { TracePlace, TraceRecord } from './record.ts'
import { lets, type TraceKind, type TraceSpec, type TraceSubject } from './spec.ts'

/** One of the traces that were asked for. */
interface Wanted {
  readonly spec: TraceSpec
  /** Records that it may still have. */
  left: number
}

/**
 * Traces what a guest does, as it happens.
 *
 * A domain without a tracer pays nothing for it. With `insn` and `block` instructions are executed one by one, which is far
 * slower; the program executes exactly as without. The other kinds leave compiled code as it is, but `ioreq` has every
 * access to a device take the long way.
 */
export class Tracer {
  /** What a machine is given as its `trace` when it is made; undefined: accesses are not traced. */
  readonly access: ((record: IoTraceRecord) => void) | undefined
  readonly #wanted: readonly Wanted[]
  readonly #sink: (record: TraceRecord) => void
  readonly #blocks = new Blocks((record) => this.#tell(record.kind, record, () => record))
  /** When each vCPU's request was sent, in milliseconds of the host. */
  readonly #sent = new Map<number, number>()
  /** The device that has last sent a message with a vector. */
  readonly #requesters = new Map<number, number>()
  #domain: Pick<Domain, 'clock' | 'executingVcpu' | 'vcpus'> | null = null
  #pc: X86Domain | null = null

  /**
   * @param specs - what is traced: each record that one of them lets through
   * @param sink - takes the records, in their order
   */
  constructor(specs: readonly TraceSpec[], sink: (record: TraceRecord) => void) {
    this.#wanted = specs.map((spec) => ({ spec, left: spec.limit ?? Infinity }))
    this.#sink = sink
    this.access = this.#wants('ioreq') ? (record) => this.#accessed(record) : undefined
  }

  /**
   * Traces a domain from now on. Another one that it has traced is let go of first.
   *
   * @throws TraceError `ERR_TRACE` for anything but `ioreq` of a domain that is no PC's
   */
  attach(domain: Domain | X86Domain): void {
    this.detach()
    const other = this.#wanted.find(({ spec }) => spec.kind !== 'ioreq')
    if (!(domain instanceof X86Domain)) {
      if (other !== undefined)
        throw new TraceError('ERR_TRACE', `trace ${other.spec.kind} of an Arm board: expected ioreq`)
      this.#domain = domain
      return
    }
    this.#domain = domain
    this.#pc = domain
    if (this.#wants('irq'))
      domain.architecture.onMessage = (data, requester) => this.#requesters.set(data & 0xff, requester)
    this.#watch()
  }

  /** Ends the trace. What is under way is told first. */
  detach(): void {
    this.#blocks.end()
    const domain = this.#pc
    this.#domain = null
    this.#pc = null
    if (domain === null) return
    domain.architecture.onMessage = null
    for (const vcpu of domain.vcpus) {
      vcpu.cpu.watch(null)
      vcpu.watchWalks(null)
    }
  }

  #wants(kind: TraceKind): boolean {
    return this.#wanted.some(({ spec, left }) => spec.kind === kind && left > 0)
  }

  /** Has the processors tell what is still asked for. */
  #watch(): void {
    const domain = this.#pc
    if (domain === null) return
    const stepping = this.#wants('insn') || this.#wants('block')
    const events = stepping || this.#wants('irq') || this.#wants('exceptions')
    for (const vcpu of domain.vcpus) {
      vcpu.cpu.watch({
        ...(stepping && { instruction: () => this.#instruction(domain, vcpu) }),
        ...(events && { event: (event) => this.#event(domain, vcpu, event) }),
      })
      vcpu.watchWalks(this.#wants('pagewalk') ? (walk) => this.#walked(vcpu, walk) : null)
    }
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
    return {
      vcpu,
      ns: domain?.clock.now() ?? 0,
      hostMs: performance.now(),
      instructions: domain?.vcpus[vcpu]?.cpu.retired ?? 0,
    }
  }

  #instruction(domain: X86Domain, vcpu: X86Vcpu): void {
    const address = linearAddress(vcpu)
    const mode = modeOf(vcpu)
    const { cpl } = vcpu.cpu.registers
    const where = { vcpu: vcpu.id, address, cpl }
    if (this.#wants('block')) {
      this.#blocks.add({ ...this.#place(vcpu.id), address, mode, cpl }, () => codeAt(domain, vcpu, address))
    }
    this.#tell('insn', where, () => {
      return { kind: 'insn', ...this.#place(vcpu.id), address, bytes: codeAt(domain, vcpu, address), mode, cpl }
    })
  }

  #event(domain: X86Domain, vcpu: X86Vcpu, { kind, vector, errorCode, address: cr2 }: DeliveredEvent): void {
    this.#blocks.interrupt(vcpu.id)
    const address = linearAddress(vcpu)
    const { cpl } = vcpu.cpu.registers
    const where = { vcpu: vcpu.id, address, cpl, vector }
    if (kind === 'exception') {
      const make = (): TraceRecord => {
        return { kind: 'exceptions', ...this.#place(vcpu.id), vector, errorCode, cr2, address, cpl }
      }
      return this.#tell('exceptions', where, make)
    }
    this.#tell('irq', where, () => {
      const source = kind === 'interrupt' ? this.#sourceOf(domain, vcpu.id, vector) : kind.toUpperCase()
      return { kind: 'irq', ...this.#place(vcpu.id), event: kind, vector, source, address, cpl }
    })
  }

  #sourceOf(domain: X86Domain, vcpu: number, vector: number): string {
    const source = interruptSource(domain, vcpu, vector)
    if (source !== 'message') return source
    const requester = this.#requesters.get(vector)
    return requester === undefined ? 'processor' : `message of ${functionName(requester)}`
  }

  #walked(vcpu: X86Vcpu, walk: GuestWalk): void {
    this.#tell('pagewalk', { vcpu: vcpu.id, address: walk.linear }, () => {
      return { kind: 'pagewalk', ...this.#place(vcpu.id), ...walk }
    })
  }

  #accessed(given: IoTraceRecord): void {
    const vcpu = given.vcpu >= 0 ? given.vcpu : (this.#domain?.executingVcpu ?? -1)
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
      return { kind: 'ioreq', ...this.#place(vcpu), hostMs: now, access, waitedMs }
    })
  }
}

/** `00:04.0`, of a bus, device and function. */
function functionName(requester: number): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
  return `${hex(requester >>> 8, 2)}:${hex((requester >>> 3) & 31, 2)}.${requester & 7}`
}
