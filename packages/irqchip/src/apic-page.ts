import type { ApicBase } from './apic-base.ts'
import { ERRORS, ESR, DFR, ICR, ICR2, LDR, REGISTER_WORDS, SVR } from './apic-layout.ts'
import {
  APIC_APR,
  APIC_DFR,
  APIC_EOI,
  APIC_ESR,
  APIC_ICR,
  APIC_ICR2,
  APIC_LDR,
  APIC_LVT_CMCI,
  APIC_LVT_TIMER,
  APIC_PPR,
  APIC_RRD,
  APIC_SELF_IPI,
  APIC_SVR,
  APIC_TDCR,
  APIC_TMCCT,
  APIC_TMICT,
  APIC_TPR,
  APIC_VERSION,
  DESTINATION_ALL,
  DM_FIXED,
  DM_LOWEST,
  ESR_ILLEGAL_REGISTER,
  ESR_SEND_ILLEGAL_VECTOR,
  FIRST_LEGAL_VECTOR,
  ICR_WRITABLE,
  isApicRegister,
  LVT_WRITABLE,
  SVR_ENABLE,
  SVR_SUPPRESS_EOI,
} from './apic-registers.ts'
import type { ApicTimerUnit } from './apic-timer.ts'
import type { LocalApicBus } from './local-apic-options.ts'
import type { LocalVectorTable } from './local-vector-table.ts'
import type { TaskPriority } from './task-priority.ts'
import type { VectorRegisters } from './vector-registers.ts'
import { isX2apicRegister, x2apicWriteAllowed } from './x2apic.ts'

/** Registers whose value is computed. */
const COMPUTED: readonly number[] = [APIC_VERSION, APIC_TPR, APIC_PPR, APIC_TMCCT]

/** Arbitration priority and remote read went with the APIC bus; EOI is write-only. */
const READS_ZERO: ReadonlySet<number> = new Set([APIC_APR, APIC_RRD, APIC_EOI])

/** By offset/16: 1 for the registers that every local APIC has and whose value is the word at their place. */
const STORED: Uint8Array = Uint8Array.from({ length: REGISTER_WORDS }, (_, i) => {
  const offset = i << 4
  return isApicRegister(offset) && !COMPUTED.includes(offset) && !READS_ZERO.has(offset) ? 1 : 0
})

/** The registers whose value is the word at their place, as bits by offset/16. */
export const STORED_REGISTERS: { readonly lo: number; readonly hi: number } = { lo: bitsFrom(0), hi: bitsFrom(32) }

function bitsFrom(first: number): number {
  let bits = 0
  for (let i = 0; i < 32; i++) bits |= STORED[first + i]! << i
  return bits >>> 0
}

/** The parts of a local APIC that its registers act on. */
export interface ApicParts {
  readonly cpu: number
  readonly words: Int32Array
  readonly base: ApicBase
  readonly bus: LocalApicBus
  readonly vectors: VectorRegisters
  readonly priority: TaskPriority
  readonly timer: ApicTimerUnit
  readonly lvt: LocalVectorTable
  /** The version register. */
  readonly version: number
  /** Whether there is an LVT CMCI. */
  readonly cmci: boolean
  /** Bits of the spurious-vector register that exist. */
  readonly svrWritable: number
  /** Computes the events anew, and tells the vCPU. */
  changed(): void
  /** Notes an error in the error status register. */
  error(bit: number): void
  /** Requests a fixed interrupt. */
  accept(vector: number, level: boolean): boolean
}

/**
 * The registers of a local APIC, as its page and as MSRs.
 *
 * Source: Intel SDM vol. 3A, "Local APIC Register Address Map", "x2APIC Register Address Space".
 */
export class ApicPage {
  readonly #parts: ApicParts
  readonly #words: Int32Array

  constructor(parts: ApicParts) {
    this.#parts = parts
    this.#words = parts.words
  }

  /** Reads a register of the page. Only offsets that are multiples of 16 are registers; the rest reads 0. */
  read(offset: number): number {
    if ((offset & 0xf) !== 0 || offset >>> 0 >= 0x400) return 0
    return STORED[offset >> 4] === 1 ? this.#words[offset >> 4]! >>> 0 : this.#readOther(offset)
  }

  #readOther(offset: number): number {
    if (this.#isRegister(offset)) return this.#get(offset)
    this.#parts.error(ESR_ILLEGAL_REGISTER)
    return 0
  }

  /** Writes a register of the page. */
  write(offset: number, value: number): void {
    if ((offset & 0xf) !== 0 || offset >= 0x400 || offset < 0) return
    if (!this.#isRegister(offset)) {
      this.#parts.error(ESR_ILLEGAL_REGISTER)
      return
    }
    this.#set(offset, value)
  }

  #isRegister(offset: number): boolean {
    return isApicRegister(offset) || (offset === APIC_LVT_CMCI && this.#parts.cmci)
  }

  #get(offset: number): number {
    if (READS_ZERO.has(offset)) return 0
    switch (offset) {
      case APIC_VERSION:
        return this.#parts.version
      case APIC_TPR:
        return this.#parts.priority.value
      case APIC_PPR:
        return this.#parts.priority.processorPriority(this.#parts.vectors.highestInService)
      case APIC_TMCCT:
        return this.#parts.timer.count()
      default:
        return this.#words[offset >> 4]! >>> 0
    }
  }

  #set(offset: number, value: number): void {
    const words = this.#words
    switch (offset) {
      case APIC_TPR:
        this.#parts.priority.value = value & 0xff
        this.#parts.changed()
        return
      case APIC_EOI:
        this.#endOfInterrupt()
        return
      case APIC_LDR:
        words[LDR] = value & 0xff00_0000
        this.#parts.bus.receptionChanged()
        return
      case APIC_DFR:
        words[DFR] = value | 0x0fff_ffff
        this.#parts.bus.receptionChanged()
        return
      case APIC_SVR:
        this.#setSvr(value & this.#parts.svrWritable)
        return
      case APIC_ESR:
        words[ESR] = words[ERRORS]!
        words[ERRORS] = 0
        return
      case APIC_ICR:
        words[ICR] = value & ICR_WRITABLE
        this.#sendIcr(words[ICR]!, this.#icrDestination())
        return
      case APIC_ICR2:
        words[ICR2] = value & 0xff00_0000
        return
      case APIC_TMICT:
        this.#parts.timer.start(value >>> 0)
        return
      case APIC_TDCR:
        this.#parts.timer.divide(value & 0xb)
        return
      default:
        if (LVT_WRITABLE[offset] !== undefined) this.#writeLvt(offset, value)
      // ID, version, ISR and their like are read-only: such a write is ignored.
    }
  }

  #icrDestination(): number {
    const high = this.#words[ICR2]!
    if (this.#parts.base.x2apic) return high >>> 0
    const destination = high >>> 24
    return destination === 0xff ? DESTINATION_ALL : destination
  }

  #sendIcr(icr: number, destination: number): void {
    const mode = (icr >>> 8) & 7
    if ((mode === DM_FIXED || mode === DM_LOWEST) && (icr & 0xff) < FIRST_LEGAL_VECTOR) {
      this.#parts.error(ESR_SEND_ILLEGAL_VECTOR)
      return
    }
    this.#parts.bus.sendIpi(this.#parts.cpu, icr, destination)
  }

  #setSvr(value: number): void {
    const words = this.#words
    words[SVR] = value
    if ((value & SVR_ENABLE) === 0) {
      this.#parts.lvt.maskAll()
    }
    this.#parts.changed()
    if ((value & SVR_ENABLE) !== 0) this.#parts.bus.receptionChanged()
  }

  #writeLvt(offset: number, value: number): void {
    // An expiry that is due happened before the write: with the old mode, vector and mask.
    if (offset === APIC_LVT_TIMER) this.#parts.timer.settle()
    const old = this.#words[offset >> 4]!
    this.#parts.lvt.write(offset, value, (this.#words[SVR]! & SVR_ENABLE) === 0)
    if (offset === APIC_LVT_TIMER) this.#parts.timer.modeChanged(old)
    this.#parts.changed()
  }

  #endOfInterrupt(): void {
    const vector = this.#parts.vectors.highestInService
    if (vector < 0) return
    this.#parts.vectors.end(vector)
    this.#parts.changed()
    if (!this.#parts.vectors.isLevel(vector)) return
    this.#parts.lvt.endOfInterrupt(vector)
    if ((this.#words[SVR]! & SVR_SUPPRESS_EOI) === 0) this.#parts.bus.broadcastEoi(vector)
  }

  /**
   * Reads an x2APIC register by MSR index (0x800–0x8FF) into `lo` and `hi`; see `readMsr`'s caller for #GP.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, or a write-only one
   */
  readMsr(index: number, into: { lo: number; hi: number }): boolean {
    const offset = (index & 0xff) << 4
    if (!this.#parts.base.x2apic || !this.#isX2Register(offset) || offset === APIC_EOI || offset === APIC_SELF_IPI)
      return false
    into.lo = this.#get(offset)
    into.hi = offset === APIC_ICR ? this.#words[ICR2]! >>> 0 : 0
    return true
  }

  /**
   * Writes an x2APIC register by MSR index.
   *
   * @returns false for #GP: not in x2APIC mode, no such register, a read-only one, or reserved bits
   */
  writeMsr(index: number, lo: number, hi: number): boolean {
    const offset = (index & 0xff) << 4
    if (
      !this.#parts.base.x2apic ||
      !this.#isX2Register(offset) ||
      !x2apicWriteAllowed(offset, lo, hi, this.#parts.svrWritable)
    ) {
      return false
    }
    if (offset === APIC_ICR) {
      // One 64-bit register; the destination is all of the high word.
      this.#words[ICR] = lo & ICR_WRITABLE
      this.#words[ICR2] = hi
      this.#sendIcr(this.#words[ICR]!, hi >>> 0)
    } else if (offset === APIC_SELF_IPI) {
      if (lo < FIRST_LEGAL_VECTOR) this.#parts.error(ESR_SEND_ILLEGAL_VECTOR)
      else this.#parts.accept(lo, false)
    } else {
      this.#set(offset, lo)
    }
    return true
  }

  #isX2Register(offset: number): boolean {
    return isX2apicRegister(offset) || (offset === APIC_LVT_CMCI && this.#parts.cmci)
  }
}
