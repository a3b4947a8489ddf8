import { IOREQ_READ, IOREQ_TYPE_COPY, IOREQ_TYPE_PCI_CONFIG, IOREQ_TYPE_PIO } from '@retrap/ioreq'
import type { AccessRecord, TraceRecord } from './record.ts'
import type { TraceKind } from './spec.ts'
import { exceptionName, instructionText } from './text.ts'
import { type VcdChange, VcdFile, type VcdVariable } from './vcd-file.ts'

/** The parts of a guest that a {@link VcdTrace} has signals for. */
export interface VcdOptions {
  /** Virtual processors. */
  readonly cpus: number
  /** Kinds of records that come: other kinds have no signals. */
  readonly kinds: readonly TraceKind[]
  /** Returns the symbol of code at a linear address; undefined: the address is shown. */
  readonly symbolOf?: ((address: bigint) => string | undefined) | undefined
}

/** A signal of each vCPU, and the kinds of records that it changes with. */
interface Row extends Omit<VcdVariable, 'path'> {
  readonly path: string
  readonly of: readonly TraceKind[]
}

const CODE: readonly TraceKind[] = ['insn', 'block', 'irq', 'exceptions', 'ioreq']
const IRQ: readonly TraceKind[] = ['irq']
const EXCEPTIONS: readonly TraceKind[] = ['exceptions']
const WALKS: readonly TraceKind[] = ['pagewalk']
const IOREQ: readonly TraceKind[] = ['ioreq']

/** The signals of a vCPU. */
const ROWS = [
  { path: 'state', type: 'string', bits: 1, of: IOREQ },
  { path: 'code', type: 'string', bits: 1, of: CODE },
  { path: 'address', type: 'reg', bits: 64, of: CODE },
  { path: 'instruction', type: 'string', bits: 1, of: ['insn'] },
  { path: 'interrupt.delivered', type: 'event', bits: 1, of: IRQ },
  { path: 'interrupt.vector', type: 'reg', bits: 32, of: IRQ },
  { path: 'interrupt.source', type: 'string', bits: 1, of: IRQ },
  { path: 'exception.delivered', type: 'event', bits: 1, of: EXCEPTIONS },
  { path: 'exception.vector', type: 'reg', bits: 32, of: EXCEPTIONS },
  { path: 'exception.name', type: 'string', bits: 1, of: EXCEPTIONS },
  { path: 'exception.error', type: 'reg', bits: 32, of: EXCEPTIONS },
  { path: 'exception.fault_address', type: 'reg', bits: 64, of: EXCEPTIONS },
  { path: 'walk.ended', type: 'event', bits: 1, of: WALKS },
  { path: 'walk.linear', type: 'reg', bits: 64, of: WALKS },
  { path: 'walk.physical', type: 'reg', bits: 64, of: WALKS },
  { path: 'request.active', type: 'reg', bits: 1, of: IOREQ },
  { path: 'request.device', type: 'string', bits: 1, of: IOREQ },
  { path: 'request.access', type: 'string', bits: 1, of: IOREQ },
  { path: 'request.address', type: 'reg', bits: 64, of: IOREQ },
  { path: 'request.size', type: 'integer', bits: 32, of: IOREQ },
  { path: 'request.count', type: 'integer', bits: 32, of: IOREQ },
  { path: 'request.value', type: 'reg', bits: 64, of: IOREQ },
  { path: 'request.outcome', type: 'string', bits: 1, of: IOREQ },
] as const satisfies readonly Row[]

type Path = (typeof ROWS)[number]['path']
type Values = Readonly<Partial<Record<Path, VcdChange>>>

/** Instructions of all vCPUs, by which a replay goes to an instant. */
const INSTRUCTIONS = 'guest.instructions'

const SPACES: Readonly<Record<number, string>> = {
  [IOREQ_TYPE_PIO]: 'port',
  [IOREQ_TYPE_COPY]: 'mmio',
  [IOREQ_TYPE_PCI_CONFIG]: 'configuration',
}

/**
 * Writes a trace as a Value Change Dump on the guest's virtual time, for GTKWave and Surfer: beside the dump of a design
 * in Verilog that answers the guest.
 *
 * Each vCPU is a scope. Names are variables of the type `string`: an extension of the format that GTKWave, `vcd2fst` and
 * Surfer know. A blank is written as `_`. Changes of one signal at one instant follow each other by 1 ns; the guest's time is
 * the file's again with its next record. Two runs of one guest on deterministic time make the same bytes, of records of a
 * tracer with `guestOnly`; page walks depend on the compiler as well.
 *
 * Source: IEEE Std 1364-2001, clause 18, "Value change dump (VCD) files".
 */
export class VcdTrace {
  readonly #file: VcdFile
  readonly #cpus: number
  readonly #symbolOf: (address: bigint) => string | undefined
  #instructions = 0

  /** @param write - takes the text, piece by piece; each ends with a line */
  constructor(write: (text: string) => void, { cpus, kinds, symbolOf = () => undefined }: VcdOptions) {
    this.#cpus = cpus
    this.#symbolOf = symbolOf
    const has = ({ of }: Row): boolean => of.some((kind) => kinds.includes(kind))
    const scopes = Array.from({ length: cpus }, (_, vcpu) => `vcpu${vcpu}`)
    const rows = scopes.flatMap((scope) =>
      ROWS.filter(has).map(({ path, type, bits }): VcdVariable => ({ path: `guest.${scope}.${path}`, type, bits })),
    )
    this.#file = new VcdFile(write, [{ path: INSTRUCTIONS, type: 'integer', bits: 64 }, ...rows])
  }

  /**
   * Adds a record. A record of an earlier instant than the file's is written at the file's; a record of a vCPU that the file
   * does not have is left out.
   */
  add(record: TraceRecord): void {
    if (record.vcpu < 0 || record.vcpu >= this.#cpus) return
    this.#file.at(record.ns)
    switch (record.kind) {
      case 'insn':
        return this.#put(record, { ...this.#code(record.address), instruction: instructionText(record) })
      case 'block':
        return this.#put(record, this.#code(record.address))
      case 'irq': {
        const vector = record.vector < 0 ? undefined : BigInt(record.vector)
        const interrupt = { 'interrupt.vector': vector, 'interrupt.source': record.source }
        return this.#put(record, { ...this.#code(record.address), 'interrupt.delivered': true, ...interrupt })
      }
      case 'exceptions': {
        const error = record.syndrome ?? record.errorCode
        return this.#put(record, {
          ...this.#code(record.address),
          'exception.delivered': true,
          'exception.vector': BigInt(record.vector),
          'exception.name': exceptionName(record),
          'exception.error': error === undefined ? undefined : BigInt(error),
          'exception.fault_address': record.cr2 ?? record.far,
        })
      }
      case 'pagewalk': {
        const physical = record.gpa === undefined ? undefined : BigInt(record.gpa)
        return this.#put(record, { 'walk.ended': true, 'walk.linear': record.linear, 'walk.physical': physical })
      }
      default:
        return this.#access(record)
    }
  }

  /** Another machine is traced from now on: its time, which begins anew, is counted from where the file is. */
  begin(): void {
    this.#file.begin()
    this.#instructions = 0
  }

  /** Ends the file. Requests that are not answered yet stay as they are. */
  end(): void {
    this.#file.end()
  }

  #access(record: AccessRecord): void {
    const { code } = record
    const { event, request, device, lo, hi } = record.access
    // No vCPU waits for the answer to a cancelled request any more.
    if (event === 'drained') return
    const isRead = request.direction === IOREQ_READ
    const ends = event !== 'sent'
    const isKnown = !isRead || (ends && event !== 'cancelled')
    const address = (BigInt(request.addressHi) << 32n) | BigInt(request.addressLo >>> 0)
    const values: Values = {
      ...(code !== undefined && this.#code(code)),
      'request.device': device || 'nobody',
      'request.access': `${SPACES[request.type] ?? `type_${request.type}`}_${isRead ? 'read' : 'write'}`,
      'request.address': address,
      'request.size': BigInt(request.size),
      'request.count': BigInt(request.count),
      'request.value': isKnown ? (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0) : undefined,
      'request.outcome': event,
    }
    const wasSent = event === 'answered' || event === 'ended' || event === 'cancelled'
    if (!wasSent) this.#put(record, { ...values, 'request.active': 1n, state: ends ? 'running' : 'waiting' })
    if (ends) this.#put(record, { ...values, 'request.active': 0n, state: 'running' })
  }

  #code(address: bigint): Values {
    return { address, code: this.#symbolOf(address) ?? `0x${address.toString(16)}` }
  }

  #put({ vcpu, allInstructions }: TraceRecord, values: Values): void {
    // A block is reported at its end, with the time of its start.
    this.#instructions = Math.max(this.#instructions, allInstructions)
    const changes = Object.entries(values).map(([path, value]) => [`guest.vcpu${vcpu}.${path}`, value] as const)
    this.#file.change([[INSTRUCTIONS, BigInt(this.#instructions)], ...changes])
  }
}
