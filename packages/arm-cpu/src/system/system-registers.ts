import { STATUS_DONE, STATUS_FAULT, STATUS_UNHANDLED } from '@retrap/engine'
import type { ArmHost, SystemValue } from '../state/host.ts'
import { S_X } from '../state/state-layout.ts'
import { FP_TRAP, systemTrap, UNDEFINED } from '../state/syndrome.ts'
import { HCR_TIDCP } from '../state/controls.ts'
import type { Exceptions } from './exceptions.ts'
import { S_HCR_EL2, S_CNTHCTL_EL2, S_CNTKCTL_EL1 } from '../state/places.ts'
import {
  encodingOf,
  MAY_READ_EL0,
  MAY_READ_EL1,
  systemRegisters,
  type SystemRegister,
  type RegisterTrap,
} from './register-table.ts'
import type { SystemState } from '../state/system-state.ts'

/** CNTKCTL_EL1: EL0 may read the physical and the virtual counter, and use the virtual and the physical timer. */
const EL0PCTEN = 1
const EL0VCTEN = 1 << 1
const EL0VTEN = 1 << 8
const EL0PTEN = 1 << 9
/** CNTHCTL_EL2: EL1 may read the physical counter, and use the physical timer. */
const EL1PCTEN = 1
const EL1PCEN = 1 << 1

const CNTFRQ: number = encodingOf(3, 3, 14, 0, 0)
const CNTPCT: number = encodingOf(3, 3, 14, 0, 1)
const CNTVCT: number = encodingOf(3, 3, 14, 0, 2)

/**
 * The bits that admit an access to a register of the generic timer: of EL0, and of EL1.
 *
 * Source: Arm ARM (DDI 0487) D24.10, "Generic Timer registers".
 */
const ADMITTED: ReadonlyMap<number, readonly [el0: number, el1: number]> = new Map([
  [CNTFRQ, [EL0PCTEN | EL0VCTEN, 0]],
  [CNTPCT, [EL0PCTEN, EL1PCTEN]],
  [CNTVCT, [EL0VCTEN, 0]],
  ...[0, 1, 2].map((op2) => [encodingOf(3, 3, 14, 2, op2), [EL0PTEN, EL1PCEN]] as const),
  ...[0, 1, 2].map((op2) => [encodingOf(3, 3, 14, 3, op2), [EL0VTEN, 0]] as const),
])

/** The registers of the generic timer, which the host has. */
class CounterRegisters {
  readonly #state: SystemState
  readonly #host: ArmHost

  constructor(state: SystemState, host: ArmHost) {
    this.#state = state
    this.#host = host
  }

  /** The exception level that an access is trapped to; 0 for none. */
  trapOf(encoding: number): number {
    const admitted = ADMITTED.get(encoding)
    if (admitted === undefined) return 0
    const s = this.#state
    const [el0, el1] = admitted
    if (s.level === 0 && (s.word(S_CNTKCTL_EL1) & el0) === 0) return 1
    return el1 !== 0 && (s.word(S_CNTHCTL_EL2) & el1) === 0 ? 2 : 0
  }

  /** Reads a register that the host has. @returns a status, as {@link ArmHost.readSystem} */
  read(encoding: number, into: SystemValue): number {
    const { counter } = this.#host
    if (counter === undefined || (encoding !== CNTFRQ && encoding !== CNTVCT)) {
      return this.#host.readSystem?.(encoding, into) ?? STATUS_UNHANDLED
    }
    const value = encoding === CNTFRQ ? BigInt(counter.frequency) : counter.count()
    into.lo = Number(BigInt.asUintN(32, value))
    into.hi = Number(BigInt.asUintN(32, value >> 32n))
    return STATUS_DONE
  }
}

const REGISTERS = systemRegisters()
const FPCR = encodingOf(3, 3, 4, 4, 0)
const FPSR = encodingOf(3, 3, 4, 4, 1)
const TTBR0_EL1 = encodingOf(3, 0, 2, 0, 0)
const TTBR1_EL1 = encodingOf(3, 0, 2, 0, 1)
const ID_AA64PFR0 = encodingOf(3, 0, 0, 4, 0)
/** ID_AA64PFR0_EL1.GIC. */
const PFR0_GIC = 15 << 24
const CNTKCTL = encodingOf(3, 0, 14, 1, 0)

/** Whether a number is one of the ID registers, whose reads by EL0 are trapped rather than undefined: FEAT_IDST. */
function isIdRegister(encoding: number): boolean {
  const op1 = (encoding >>> 11) & 7
  // CRn is 0, and CRm below 8.
  return encoding >>> 14 === 3 && (encoding & 0x7c0) === 0 && (op1 === 0 || op1 === 1 || op1 === 3)
}

/** Executes MSR and MRS of the table's registers, and of the host's. */
export class SystemRegisters {
  readonly #state: SystemState
  readonly #exceptions: Exceptions
  readonly #host: ArmHost
  readonly #counter: CounterRegisters
  readonly #value: SystemValue = { lo: 0, hi: 0 }

  constructor(state: SystemState, exceptions: Exceptions, host: ArmHost) {
    this.#state = state
    this.#exceptions = exceptions
    this.#host = host
    this.#counter = new CounterRegisters(state, host)
  }

  /**
   * Executes MRS or MSR.
   *
   * @param encoding - the register's encoding, from `encodingOf`
   * @param general - number of the general-purpose register
   * @returns a status
   */
  access(encoding: number, general: number, reads: boolean): number {
    const s = this.#state
    const value = this.#value
    if (!reads) {
      value.lo = general === 31 ? 0 : s.word(S_X + 8 * general)
      value.hi = general === 31 ? 0 : s.word(S_X + 8 * general + 4)
    }
    const register = REGISTERS.get(encoding)
    if (register === undefined) return this.#accessHost(encoding, general, reads)
    const may = (s.level === 0 ? MAY_READ_EL0 : MAY_READ_EL1) << (reads ? 0 : 1)
    if ((register.access & may) === 0) return this.#refuse(encoding, general, reads)
    for (const trap of register.traps) {
      if (this.#isTrapped(trap, reads)) return this.#trap(trap.toEl1 ? 1 : 2, encoding, general, reads)
    }
    if ((encoding === FPCR || encoding === FPSR) && s.trapsFp) return this.trapFp()
    const { special } = register
    if (!reads) {
      if (special === undefined) this.#write(register, encoding, value)
      else if (special.write?.(s, value) !== true) return this.#exceptions.raise(UNDEFINED)
      if (register.isDebug) s.debugChanged()
      return STATUS_DONE
    }
    if (special === undefined) this.#read(register, encoding, value)
    else if (!special.read(s, value)) return this.#exceptions.raise(UNDEFINED)
    this.#give(general, value)
    return STATUS_DONE
  }

  /**
   * An access of AArch32 to a register of the timers, which the host has.
   *
   * @param encoding - of the register in AArch64
   * @param syndrome - syndrome of a trapped access
   * @param value - the value read, or to write
   * @returns a status
   */
  accessTimer(encoding: number, syndrome: number, reads: boolean, value: SystemValue): number {
    const level = this.#counter.trapOf(encoding)
    if (level !== 0) return level === 1 ? this.#exceptions.raise(syndrome) : this.#exceptions.raiseToEl2(syndrome)
    const outcome = reads
      ? this.#counter.read(encoding, value)
      : (this.#host.writeSystem?.(encoding, value.lo, value.hi) ?? STATUS_UNHANDLED)
    if (outcome === STATUS_FAULT) return this.#exceptions.raiseToEl2(syndrome)
    return outcome === STATUS_DONE ? STATUS_DONE : this.#exceptions.raise(UNDEFINED)
  }

  /** An instruction of SIMD or floating point, or an access to one of their registers, is trapped. @returns a status */
  trapFp(): number {
    const s = this.#state
    if (!s.trapsFpToEl1(s.level)) return this.#exceptions.raiseToEl2(FP_TRAP)
    // As the host of EL0, EL2 only learns that the instruction is undefined.
    return this.#exceptions.raise(s.level === 0 && s.isHosted ? UNDEFINED : FP_TRAP)
  }

  #read({ place, constantLo, constantHi }: SystemRegister, encoding: number, value: SystemValue): void {
    const isOther = encoding === ID_AA64PFR0 && this.#host.hasInterruptRegisters === false
    value.lo = place < 0 ? (isOther ? constantLo & ~PFR0_GIC : constantLo) >>> 0 : this.#state.word(place)
    value.hi = place < 0 ? constantHi : this.#state.word(place + 4)
  }

  #write(register: SystemRegister, encoding: number, { lo, hi }: SystemValue): void {
    const { place, keptLo, keptHi, translatesLo, translatesHi } = register
    const s = this.#state
    if (place < 0) return
    const newLo = ((lo & keptLo) | register.fixed) >>> 0
    const newHi = (hi & keptHi) >>> 0
    const isTranslation =
      ((s.word(place) ^ newLo) & translatesLo) !== 0 || ((s.word(place + 4) ^ newHi) & translatesHi) !== 0
    s.setWord(place, newLo)
    s.setWord(place + 4, newHi)
    if (encoding === TTBR0_EL1 || encoding === TTBR1_EL1) s.tableWritten()
    else if (register.isControl) s.controlWritten(isTranslation)
    // The host has the event stream.
    if (encoding === CNTKCTL) this.#host.writeSystem?.(encoding, lo & keptLo, 0)
  }

  #give(general: number, { lo, hi }: SystemValue): void {
    if (general === 31) return
    this.#state.setWord(S_X + 8 * general, lo)
    this.#state.setWord(S_X + 8 * general + 4, hi)
  }

  #isTrapped({ place, bits, whenSet, reads, writes, toEl1 }: RegisterTrap, isRead: boolean): boolean {
    const s = this.#state
    if (!(isRead ? reads : writes) || (toEl1 && s.level !== 0)) return false
    return ((s.word(place) & bits) !== 0) === whenSet
  }

  #trap(level: number, encoding: number, general: number, reads: boolean): number {
    const syndrome = systemTrap(encoding, general, reads)
    return level === 1 ? this.#exceptions.raise(syndrome) : this.#exceptions.raiseToEl2(syndrome)
  }

  /** Refuses access to an unknown register, or one of another level. */
  #refuse(encoding: number, general: number, reads: boolean): number {
    if (reads && this.#state.level === 0 && isIdRegister(encoding)) return this.#trap(1, encoding, general, reads)
    return this.#exceptions.raise(UNDEFINED)
  }

  #accessHost(encoding: number, general: number, reads: boolean): number {
    const s = this.#state
    const operand = (encoding >>> 7) & 15
    if (encoding >>> 14 === 3 && (operand === 11 || operand === 15) && (s.word(S_HCR_EL2) & HCR_TIDCP) !== 0) {
      return this.#trap(2, encoding, general, reads)
    }
    // Registers of EL2 and EL3 do not exist, and EL0 cannot access EL1's.
    const op1 = (encoding >>> 11) & 7
    if (op1 > 3 || (s.level === 0 && op1 !== 3)) return this.#refuse(encoding, general, reads)
    const level = this.#counter.trapOf(encoding)
    if (level !== 0) return this.#trap(level, encoding, general, reads)
    const value = this.#value
    const outcome = reads
      ? this.#counter.read(encoding, value)
      : (this.#host.writeSystem?.(encoding, value.lo, value.hi) ?? STATUS_UNHANDLED)
    if (outcome === STATUS_FAULT) return this.#trap(2, encoding, general, reads)
    if (outcome !== STATUS_DONE) return this.#refuse(encoding, general, reads)
    if (reads) this.#give(general, value)
    return STATUS_DONE
  }
}
