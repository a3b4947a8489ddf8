import { extract, findA64, type Form as Row } from '@retrap/arm-decoder'
import { R_LENGTH, STATUS_DONE, STATUS_EXIT, STATUS_JUMP } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { ArmHost } from '../state/host.ts'
import { branchTypeOf, BTYPE_CALL, BTYPE_GUARDED_JUMP, BTYPE_JUMP } from './branch-types.ts'
import * as P from '../state/pstate.ts'
import { HOST_FP, R_WORD } from '../state/record.ts'
import { hasFeature } from './id-registers.ts'
import { S_BRANCH, S_PAIR_LOCK, S_PC, S_RETURN, S_TRAPS, S_WAITING, S_X } from '../state/state-layout.ts'
import { callSyndrome, EC_BRK64, EC_HVC64, EC_SMC64, EC_SVC64, systemTrap, UNDEFINED } from '../state/syndrome.ts'
import { HCR_HCD, HCR_TPCP, HCR_TPU, HCR_TSC, HCR_TSW, HCR_TTLB, SCTLR_DZE, SCTLR_UCI } from '../state/controls.ts'
import type { Exceptions } from './exceptions.ts'
import { S_HCR_EL2, S_SCTLR_EL1 } from '../state/places.ts'
import { encodingOf } from './register-table.ts'
import { SystemInstructions32 } from './instructions32.ts'
import { SystemRegisters } from './system-registers.ts'
import type { SystemState } from '../state/system-state.ts'
import { Waits } from './waits.ts'

/** Fields of PSTATE that MSR sets to an immediate, by op1 and op2. */
const PSTATE_IMMEDIATES: ReadonlyMap<number, number> = new Map([
  [0o03, P.PSTATE_UAO],
  [0o04, P.PSTATE_PAN],
  [0o05, P.PSTATE_SP],
  [0o31, P.PSTATE_SSBS],
  [0o32, P.PSTATE_DIT],
])
const DAIF_SET = 0o36
const DAIF_CLEAR = 0o37
/** DC ZVA. */
const ZERO: number = encodingOf(1, 3, 7, 4, 1)
/** SCTLR_EL1: DAIF of EL0 is not trapped. */
const SCTLR_UMA = 1 << 9

/** A maintenance instruction of EL1: its subject, and the bit of HCR_EL2 that traps it. */
interface Maintenance {
  readonly operation: 'cache' | 'invalidate' | 'tlb' | 'translate'
  readonly trap: number
}

/** Maintenance instructions by `encodingOf`. Cache maintenance has no effect. */
const MAINTENANCE: ReadonlyMap<number, Maintenance> = new Map(maintenance())

function* maintenance(): Iterable<[number, Maintenance]> {
  const cache = (m: number, op2: number, trap: number): [number, Maintenance] => [
    encodingOf(1, 0, 7, m, op2),
    { operation: 'cache', trap },
  ]
  // IC IALLUIS, IC IALLU, DC IVAC; DC ISW, CSW, CISW.
  yield* [cache(1, 0, HCR_TPU), cache(5, 0, HCR_TPU)]
  yield [encodingOf(1, 0, 7, 6, 1), { operation: 'invalidate', trap: HCR_TPCP }]
  for (const m of [6, 10, 14]) yield cache(m, 2, HCR_TSW)
  for (const [m, last] of [
    [8, 3],
    [9, 1],
  ] as const) {
    for (let op2 = 0; op2 <= last; op2++) yield [encodingOf(1, 0, 7, m, op2), { operation: 'translate', trap: 0 }]
  }
  const tlb = (m: number, op2: number): [number, Maintenance] => [
    encodingOf(1, 0, 8, m, op2),
    { operation: 'tlb', trap: HCR_TTLB },
  ]
  // Of the outer and the inner shareable domain, and of this processor; by ranges of addresses.
  for (const m of [1, 3, 7]) for (const op2 of [0, 1, 2, 3, 5, 7]) yield tlb(m, op2)
  for (const m of [2, 5, 6]) for (const op2 of [1, 3, 5, 7]) yield tlb(m, op2)
}

const fieldOf = (row: Row, letter: string, word: number): number => extract(row.fields.get(letter), word)

/** Executes instructions that generated code leaves out, and raises exceptions for undefined ones. */
export class SystemInstructions {
  readonly #memory: MachineMemory
  readonly #state: SystemState
  readonly #exceptions: Exceptions
  readonly #registers: SystemRegisters
  readonly #waits: Waits
  readonly #instructions32: SystemInstructions32

  constructor(memory: MachineMemory, state: SystemState, exceptions: Exceptions, host: ArmHost) {
    this.#memory = memory
    this.#state = state
    this.#exceptions = exceptions
    this.#registers = new SystemRegisters(state, exceptions, host)
    this.#waits = new Waits(state, exceptions, host)
    this.#instructions32 = new SystemInstructions32(state, exceptions, this.#registers, this.#waits)
  }

  /** The import of generated code: executes the instruction of a record. @param number - `HOST_*` @returns a status */
  execute(number: number, record: number): number {
    if (number === HOST_FP) return this.#registers.trapFp()
    const word = this.#memory.u32[(record + R_WORD) >>> 2]!
    this.#state.hasMoved = false
    if ((this.#state.pstate & P.PSTATE_NRW) !== 0) {
      const bytes = this.#memory.u8[record + R_LENGTH]!
      const status = this.#instructions32.execute(word, bytes)
      return status === STATUS_DONE ? this.#retire(bytes) : status
    }
    // Most instructions here are MSR and MRS of a register.
    if ((word & 0xffd0_0000) >>> 0 === 0xd510_0000) {
      const status = this.#registers.access(((word >>> 5) & 0x7fff) | 0x8000, word & 31, (word & (1 << 21)) !== 0)
      return status === STATUS_DONE ? this.#retire(4) : status
    }
    const row = findA64(word)
    if (row === undefined || !hasFeature(row)) return this.#exceptions.raise(UNDEFINED)
    const status = this.#execute(row, word)
    return status === STATUS_DONE ? this.#retire(4) : status
  }

  #execute(row: Row, word: number): number {
    switch (row.operation) {
      case 'exception':
        return this.#call(row.mnemonic, fieldOf(row, 'i', word))
      case 'branch-register':
        return this.#branch(branchTypeOf(row, fieldOf(row, 'n', word)))
      case 'exception-return':
        return this.#exceptions.return(S_RETURN)
      case 'pstate':
        return this.#setField((fieldOf(row, 'o', word) << 3) | fieldOf(row, 'w', word), fieldOf(row, 'y', word))
      case 'hint':
        return this.#waits.execute((fieldOf(row, 'y', word) << 3) | fieldOf(row, 'w', word))
      case 'barrier':
        // DSB. Behind ISB, too, requests of other threads are served before the next instruction.
        this.#state.translation.completeInvalidations()
        return STATUS_DONE
      case 'store-exclusive':
      case 'compare-and-swap':
        // Another thread has the lock of pairs: the instruction is executed again.
        Atomics.wait(this.#memory.i32, this.#state.word(S_PAIR_LOCK) >>> 2, 1, 1)
        return STATUS_JUMP
      case 'zero':
      case 'system':
      case 'cache':
        return this.#maintain((word >>> 5) & 0x7fff, word & 31)
      default:
        return this.#exceptions.raise(UNDEFINED)
    }
  }

  /** An instruction has retired that may have changed the rights of accesses, or what interrupts are admitted. */
  #retire(bytes: number): number {
    const s = this.#state
    const ends = s.isUrgent || s.debugs || (s.pstate & P.PSTATE_IL) !== 0 || s.word(S_WAITING) !== 0
    if (!ends && !s.hasMoved) {
      s.advanceIt()
      return STATUS_DONE
    }
    s.advance(bytes)
    return ends ? STATUS_EXIT : STATUS_JUMP
  }

  /** Executes EL1's maintenance of caches and translations, and AT. @param encoding - from `encodingOf` */
  #maintain(encoding: number, general: number): number {
    const s = this.#state
    // Instructions of EL0 get here only if EL1 traps them.
    if (((encoding >>> 11) & 7) === 3 && s.word(S_TRAPS) !== 0) {
      const syndrome = systemTrap(encoding, general, false)
      const admitted = encoding === ZERO ? SCTLR_DZE : SCTLR_UCI
      const isEl1 = s.level === 0 && (s.word(S_SCTLR_EL1) & admitted) === 0
      return isEl1 ? this.#exceptions.raise(syndrome) : this.#exceptions.raiseToEl2(syndrome)
    }
    const kind = MAINTENANCE.get(encoding)
    if (kind === undefined || s.level === 0) return this.#exceptions.raise(UNDEFINED)
    if ((s.word(S_HCR_EL2) & kind.trap) !== 0) return this.#exceptions.raiseToEl2(systemTrap(encoding, general, false))
    const lo = general === 31 ? 0 : s.word(S_X + 8 * general)
    const hi = general === 31 ? 0 : s.word(S_X + 8 * general + 4)
    if (kind.operation === 'tlb') s.translation.invalidate(encoding, lo, hi)
    else if (kind.operation === 'translate') return s.translation.translateAddress(encoding, lo, hi)
    else if (kind.operation === 'invalidate') return s.translation.invalidateCache(lo, hi)
    return STATUS_DONE
  }

  /** BR or BLR: the target is checked before the next instruction. @param type - from `branchTypeOf` */
  #branch(type: number): number {
    const s = this.#state
    const isGuarded = s.translation.guardedWordAt(s.word(S_PC), s.word(S_PC + 4)) >= 0
    s.setWord(S_BRANCH + 4, type === BTYPE_GUARDED_JUMP && !isGuarded ? BTYPE_JUMP : type)
    if (type === BTYPE_CALL) {
      s.advance(4)
      s.copy(S_PC, S_X + 8 * 30)
    }
    s.copy(S_RETURN, S_PC)
    return STATUS_EXIT
  }

  /** SVC, HVC, SMC, BRK, HLT, DCPS. */
  #call(mnemonic: string, number: number): number {
    const s = this.#state
    const exceptions = this.#exceptions
    const control = s.word(S_HCR_EL2)
    switch (mnemonic) {
      case 'SVC':
        s.advance(4)
        s.setPstate(s.pstate & ~P.PSTATE_SS)
        exceptions.raise(callSyndrome(EC_SVC64, number))
        return STATUS_EXIT
      case 'HVC':
        if (s.level === 0 || (control & HCR_HCD) !== 0) return exceptions.raise(UNDEFINED)
        s.advance(4)
        s.setPstate(s.pstate & ~P.PSTATE_SS)
        exceptions.raiseToEl2(callSyndrome(EC_HVC64, number))
        return STATUS_EXIT
      case 'SMC':
        // There is no EL3. An SMC that EL2 traps has not retired.
        if (s.level === 0 || (control & HCR_TSC) === 0) return exceptions.raise(UNDEFINED)
        return exceptions.raiseToEl2(callSyndrome(EC_SMC64, number))
      case 'BRK':
        return exceptions.raise(callSyndrome(EC_BRK64, number))
      default:
        return exceptions.raise(UNDEFINED)
    }
  }

  /** MSR of an immediate. */
  #setField(field: number, immediate: number): number {
    const s = this.#state
    if (field === DAIF_SET || field === DAIF_CLEAR) {
      if (s.level === 0 && (s.word(S_SCTLR_EL1) & SCTLR_UMA) === 0) {
        const encoding = encodingOf(0, 3, 4, immediate, field & 7)
        return this.#exceptions.raise(systemTrap(encoding, 31, false))
      }
      const masks = (immediate << 6) & P.PSTATE_DAIF
      s.setPstate(field === DAIF_SET ? s.pstate | masks : s.pstate & ~masks)
      return STATUS_DONE
    }
    const bit = PSTATE_IMMEDIATES.get(field)
    // Fields of op1 0 are not for EL0.
    if (bit === undefined || (s.level === 0 && field < 8)) return this.#exceptions.raise(UNDEFINED)
    s.setPstate((immediate & 1) === 0 ? s.pstate & ~bit : s.pstate | bit)
    return STATUS_DONE
  }
}
