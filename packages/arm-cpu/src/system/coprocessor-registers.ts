import { extract, type Form as Row } from '@retrap/arm-decoder'
import { STATUS_DONE } from '@retrap/engine'
import type { SystemValue } from '../state/host.ts'
import { S_X } from '../state/state-layout.ts'
import {
  coprocessorPairTrap,
  coprocessorTrap,
  EC_CP14,
  EC_CP14_PAIR,
  EC_CP15,
  EC_CP15_PAIR,
  UNDEFINED,
} from '../state/syndrome.ts'
import { SCTLR_CP15BEN } from '../state/controls.ts'
import type { Exceptions } from './exceptions.ts'
import { S_HSTR_EL2, S_MDSCR_EL1, S_SCTLR_EL1, S_TPIDRRO_EL0, S_TPIDR_EL0 } from '../state/places.ts'
import { encodingOf } from './register-table.ts'
import type { SystemRegisters } from './system-registers.ts'
import type { SystemState } from '../state/system-state.ts'

/** MDSCR_EL1: EL0 has no debug communications channel. */
const MDSCR_TDCC = 1 << 12

/** opc1, CRn, CRm and opc2 of MCR and MRC in one number. */
const numberOf = (opc1: number, n: number, m: number, opc2: number): number => (opc1 << 12) | (n << 8) | (m << 4) | opc2

/** Registers of the timers that MCR and MRC access, and MCRR and MRRC, by opc1: their encodings in AArch64. */
const TIMERS: ReadonlyMap<number, number> = new Map([
  [numberOf(0, 14, 0, 0), encodingOf(3, 3, 14, 0, 0)],
  [numberOf(0, 14, 2, 0), encodingOf(3, 3, 14, 2, 0)],
  [numberOf(0, 14, 2, 1), encodingOf(3, 3, 14, 2, 1)],
  [numberOf(0, 14, 3, 0), encodingOf(3, 3, 14, 3, 0)],
  [numberOf(0, 14, 3, 1), encodingOf(3, 3, 14, 3, 1)],
])
const TIMER_PAIRS: readonly number[] = [
  encodingOf(3, 3, 14, 0, 1),
  encodingOf(3, 3, 14, 0, 2),
  encodingOf(3, 3, 14, 2, 2),
  encodingOf(3, 3, 14, 3, 2),
]
/** Older encodings of ISB, DSB and DMB, as coprocessor writes. */
const BARRIERS: ReadonlySet<number> = new Set([numberOf(0, 7, 5, 4), numberOf(0, 7, 10, 4), numberOf(0, 7, 10, 5)])
const TPIDRURW: number = numberOf(0, 13, 0, 2)
const TPIDRURO: number = numberOf(0, 13, 0, 3)
/** Coprocessor 14: DBGDIDR, DBGDSCRint, DBGDTRRXint and DBGDTRTXint, DBGDRAR, DBGDSAR. They read as zero. */
const DEBUG: ReadonlySet<number> = new Set([
  numberOf(0, 0, 0, 0),
  numberOf(0, 0, 1, 0),
  numberOf(0, 0, 5, 0),
  numberOf(0, 1, 0, 0),
  numberOf(0, 2, 0, 0),
])
/** Registers without a trap of HSTR_EL2. */
const NO_TRAPS: number = (1 << 4) | (1 << 14)

/** MCR, MRC, MCRR and MRRC of EL0. */
export class CoprocessorRegisters {
  readonly #state: SystemState
  readonly #exceptions: Exceptions
  readonly #registers: SystemRegisters
  readonly #value: SystemValue = { lo: 0, hi: 0 }

  constructor(state: SystemState, exceptions: Exceptions, registers: SystemRegisters) {
    this.#state = state
    this.#exceptions = exceptions
    this.#registers = registers
  }

  /** @returns a status */
  execute(row: Row, word: number): number {
    const field = (letter: string): number => extract(row.fields.get(letter), word)
    const name = row.name
    const reads = name.startsWith('MR')
    const isDebug = row.operands.startsWith('p14')
    if (name.endsWith('RR') || name === 'MRRC') {
      const syndrome = coprocessorPairTrap(
        isDebug ? EC_CP14_PAIR : EC_CP15_PAIR,
        { opc1: field('o'), m: field('m') },
        field('t'),
        field('u'),
        reads,
      )
      return isDebug
        ? this.#debug(field('o') === 0 && (field('m') & 12) === 0 && field('m') !== 0 && reads, syndrome, field('t'))
        : this.#pair(field('o'), field('m'), field('t'), field('u'), reads, syndrome)
    }
    const [opc1, n, m, opc2] = [field('o'), field('n'), field('m'), field('q')]
    const number = numberOf(opc1, n, m, opc2)
    // MRC of R15 sets the flags; it is written as without a field.
    const general = row.fields.has('t') ? field('t') : -1
    const syndrome = coprocessorTrap(
      isDebug ? EC_CP14 : EC_CP15,
      { opc1, n, m, opc2 },
      general < 0 ? 31 : general,
      reads,
    )
    if (isDebug) return this.#debug(DEBUG.has(number), syndrome, reads ? general : -2)
    return this.#one(number, n, general, reads, syndrome)
  }

  #one(number: number, n: number, general: number, reads: boolean, syndrome: number): number {
    const s = this.#state
    const value = this.#value
    if (!reads) value.lo = s.word(S_X + 8 * general)
    value.hi = 0
    const isTrapped = (((s.word(S_HSTR_EL2) & ~NO_TRAPS) >>> n) & 1) !== 0
    const isThread = number === TPIDRURW || (number === TPIDRURO && reads)
    const timer = TIMERS.get(number)
    const isBarrier = BARRIERS.has(number) && !reads && (s.word(S_SCTLR_EL1) & SCTLR_CP15BEN) !== 0
    if (isTrapped && (isThread || isBarrier)) return this.#exceptions.raiseToEl2(syndrome)
    if (isBarrier) return STATUS_DONE
    if (isThread) {
      const place = number === TPIDRURW ? S_TPIDR_EL0 : S_TPIDRRO_EL0
      if (reads) this.#give(general, s.word(place))
      else s.setWord(place, value.lo)
      return STATUS_DONE
    }
    if (timer === undefined) return this.#exceptions.raise(UNDEFINED)
    const status = this.#registers.accessTimer(timer, syndrome, reads, value)
    if (status === STATUS_DONE && reads) this.#give(general, value.lo)
    return status
  }

  #pair(opc1: number, m: number, general: number, second: number, reads: boolean, syndrome: number): number {
    const s = this.#state
    const value = this.#value
    const timer = m === 14 ? TIMER_PAIRS[opc1] : undefined
    // The counters are only read.
    if (timer === undefined || (!reads && opc1 < 2)) return this.#exceptions.raise(UNDEFINED)
    value.lo = s.word(S_X + 8 * general)
    value.hi = s.word(S_X + 8 * second)
    const status = this.#registers.accessTimer(timer, syndrome, reads, value)
    if (status === STATUS_DONE && reads) {
      this.#give(general, value.lo)
      this.#give(second, value.hi)
    }
    return status
  }

  /** Accesses a register of coprocessor 14. @param general - if 0 or more, the register that gets 0 */
  #debug(isThere: boolean, syndrome: number, general: number): number {
    if (!isThere) return this.#exceptions.raise(UNDEFINED)
    if ((this.#state.word(S_MDSCR_EL1) & MDSCR_TDCC) !== 0) return this.#exceptions.raise(syndrome)
    if (general > -2) this.#give(general, 0)
    return STATUS_DONE
  }

  /** @param general - −1: the flags */
  #give(general: number, value: number): void {
    const s = this.#state
    if (general < 0) {
      s.flags = value
      return
    }
    s.setWord(S_X + 8 * general, value)
    s.setWord(S_X + 8 * general + 4, 0)
  }
}
