import { extract, findA32, findThumb } from '@retrap/arm-decoder'
import { STATUS_DONE, STATUS_EXIT } from '@retrap/engine'
import { PSTATE_SS } from '../state/pstate.ts'
import { S_IT, S_PC } from '../state/state-layout.ts'
import { callSyndrome, EC_BKPT32, EC_SVC32, ofHalfword, UNDEFINED } from '../state/syndrome.ts'
import { SCTLR_SED } from '../state/controls.ts'
import { CoprocessorRegisters } from './coprocessor-registers.ts'
import type { Exceptions } from './exceptions.ts'
import { S_SCTLR_EL1 } from '../state/places.ts'
import type { SystemRegisters } from './system-registers.ts'
import type { SystemState } from '../state/system-state.ts'
import type { Waits } from './waits.ts'

const ALWAYS = 14
/** Hints that T16 has names for, by their numbers. */
const HINTS: ReadonlyMap<string, number> = new Map([
  ['WFE', 2],
  ['WFI', 3],
  ['SEV', 4],
  ['SEVL', 5],
  ['ESB', 16],
])

/** Executes A32 and Thumb instructions that generated code leaves out, and raises exceptions for undefined ones. */
export class SystemInstructions32 {
  readonly #state: SystemState
  readonly #exceptions: Exceptions
  readonly #waits: Waits
  readonly #registers: CoprocessorRegisters

  constructor(state: SystemState, exceptions: Exceptions, registers: SystemRegisters, waits: Waits) {
    this.#state = state
    this.#exceptions = exceptions
    this.#waits = waits
    this.#registers = new CoprocessorRegisters(state, exceptions, registers)
  }

  /** @param word - T32: with the first halfword in the upper half @param bytes - its length @returns a status */
  execute(word: number, bytes: number): number {
    const s = this.#state
    const isThumb = (s.word(S_PC) & 1) !== 0
    const row = !isThumb ? findA32(word) : bytes === 4 ? findThumb(word >>> 16, word & 0xffff) : findThumb(word, 0)
    if (row === undefined) return this.#exceptions.raise(UNDEFINED)
    const name = row.name
    const number = extract(row.fields.get('i'), word)
    // BKPT has no condition.
    if (name === 'BKPT') return this.#exceptions.raise(this.#call(EC_BKPT32, number, bytes))
    if (!this.#holds(word, isThumb)) return STATUS_DONE
    switch (row.operation) {
      case 'exception':
        return name === 'SVC' ? this.#superviserCall(number & 0xffff, bytes) : this.#exceptions.raise(UNDEFINED)
      case 'hint':
        return this.#waits.execute(HINTS.get(name) ?? extract(row.fields.get('o'), word), bytes)
      case 'coprocessor':
        return this.#registers.execute(row, word)
      case 'system': {
        const isAdmitted = name === 'SETEND' && (s.word(S_SCTLR_EL1) & SCTLR_SED) === 0
        // Big-endian data is not supported, so SETEND has no effect.
        return isAdmitted ? STATUS_DONE : this.#exceptions.raise(UNDEFINED)
      }
      default:
        return this.#exceptions.raise(UNDEFINED)
    }
  }

  #holds(word: number, isThumb: boolean): boolean {
    const s = this.#state
    const it = s.word(S_IT)
    const condition = isThumb ? (it === 0 ? ALWAYS : it >>> 4) : word >>> 28
    return condition >= ALWAYS || holds(condition, s.flags)
  }

  #call(exceptionClass: number, number: number, bytes: number): number {
    const syndrome = callSyndrome(exceptionClass, number)
    return bytes === 2 ? ofHalfword(syndrome) : syndrome
  }

  /** SVC: the number is that of the instruction; of A32's 24 bits the lower 16. */
  #superviserCall(number: number, bytes: number): number {
    const s = this.#state
    s.advance(bytes)
    s.setPstate(s.pstate & ~PSTATE_SS)
    this.#exceptions.raise(this.#call(EC_SVC32, number, bytes))
    return STATUS_EXIT
  }
}

/**
 * Whether a condition holds.
 *
 * @param condition - 0 to 14
 * @param flags - N, Z, C and V in bits 31 to 28
 */
function holds(condition: number, flags: number): boolean {
  const [n, z, c, v] = [31, 30, 29, 28].map((bit) => ((flags >>> bit) & 1) !== 0)
  const base = [z, c, n, v, c && !z, n === v, n === v && !z, true][condition >> 1]!
  return base === ((condition & 1) === 0)
}
