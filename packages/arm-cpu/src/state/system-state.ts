import { ATTENTION_ASKED, type Tlb } from '@retrap/engine'
import type { Neighbour } from '@retrap/memory'
import { LEVEL_PAN, LEVEL_UAO, STRICT, WATCHED } from './access-rights.ts'
import {
  bitsOfIt,
  itOf,
  PSTATE_EL,
  PSTATE_FIELDS32,
  PSTATE_NRW,
  PSTATE_PAN,
  PSTATE_T,
  PSTATE_UAO,
  usesOwnStack,
} from './pstate.ts'
import * as S from './state-layout.ts'
import * as C from './controls.ts'
import * as places from './places.ts'

/** The translation of addresses, as the system state tells it of changes. */
export interface SystemTranslation {
  /** Writes the fields of a level that are about accesses. @param at - as S_LEVEL @param flags - as of `Translation.writeLevel` */
  writeLevel(at: number, el: number, flags: number): void
  /** Has accesses and fetches be those of EL0 in AArch32, after the fields of EL0 have been written to S_LEVEL. */
  useAArch32(): void
  /** Registers that translation depends on have been written: all may have been. */
  controlsChanged(): void
  /** TTBR0_EL1 or TTBR1_EL1 has been written. @returns whether the address space is another */
  tableChanged(): boolean
  /** The instruction at an address if its page is guarded; else −1. */
  guardedWordAt(lo: number, hi: number): number
  /** TLBI: by its encoding, with the register's value. */
  invalidate(encoding: number, lo: number, hi: number): void
  /** DSB. */
  completeInvalidations(): void
  /** AT: by its encoding; writes PAR_EL1. @returns a status */
  translateAddress(encoding: number, lo: number, hi: number): number
  /** DC IVAC of an address. @returns a status */
  invalidateCache(lo: number, hi: number): number
}

/** Fields of PSTATE by which accesses have other rights. */
const RIGHTS = PSTATE_EL | PSTATE_NRW | PSTATE_PAN | PSTATE_UAO

/** MDSCR_EL1: software step, and breakpoints. */
const MDSCR_MDE = 1 << 15
const MDSCR_DEBUGS = 1 | MDSCR_MDE

const INTERRUPTS = S.EVENT_FIQ | S.EVENT_IRQ | S.EVENT_SERROR

/** Smallest and largest T0SZ and T1SZ: larger ones are with FEAT_TTST. */
const LEAST_SIZE = 16
const MOST_SIZE = 39

/** PSTATE with fields derived from it and from the control registers, and access rights. */
export class SystemState {
  readonly u32: Uint32Array
  /** The rights of accesses, or the mode of code, may have changed since this was last cleared. */
  hasMoved = false
  /** This thread, where others execute code of the memory: their requests ask for attention as events do. */
  neighbour: Neighbour | undefined = undefined
  readonly translation: SystemTranslation
  /** SVC is not taken by generated code: a debugger is to be told of it. */
  #catchesCalls = false
  readonly #tlb: Pick<Tlb, 'flushExecute'>

  /** @param u32 - the state area */
  constructor(u32: Uint32Array, translation: SystemTranslation, tlb: Pick<Tlb, 'flushExecute'>) {
    this.u32 = u32
    this.translation = translation
    this.#tlb = tlb
  }

  /** A 32-bit field of the state. */
  word(offset: number): number {
    return this.u32[offset >>> 2]!
  }

  setWord(offset: number, value: number): void {
    this.u32[offset >>> 2] = value
  }

  /** Copies a 64-bit field of the state. */
  copy(from: number, to: number): void {
    this.u32[to >>> 2] = this.u32[from >>> 2]!
    this.u32[(to >>> 2) + 1] = this.u32[(from >>> 2) + 1]!
  }

  // ---------------------------------------------------------------- PSTATE

  /** PSTATE without condition flags. */
  get pstate(): number {
    return this.word(S.S_PSTATE)
  }

  /** The complete PSTATE in SPSR_EL1's format. */
  get status(): number {
    const { pstate } = this
    if ((pstate & PSTATE_NRW) === 0) return (pstate | this.flags) >>> 0
    const thumb = (this.word(S.S_PC) & 1) === 0 ? 0 : PSTATE_T
    return (pstate | this.flags | thumb | bitsOfIt(this.word(S.S_IT))) >>> 0
  }
  set status(value: number) {
    this.flags = value
    if ((value & PSTATE_NRW) === 0) {
      this.setWord(S.S_IT, 0)
      this.setPstate(value & 0x0fff_ffff)
      return
    }
    this.setWord(S.S_IT, itOf(value))
    this.setWord(S.S_PC, ((this.word(S.S_PC) & ~1) | ((value & PSTATE_T) === 0 ? 0 : 1)) >>> 0)
    this.setPstate(value & PSTATE_FIELDS32)
  }

  /** Moves the program counter behind the instruction, and on in its IT block. */
  advance(bytes: number): void {
    const next = this.word(S.S_PC) + bytes
    this.setWord(S.S_PC, next >>> 0)
    if (next > 0xffff_ffff && (this.pstate & PSTATE_NRW) === 0) {
      this.setWord(S.S_PC + 4, (this.word(S.S_PC + 4) + 1) >>> 0)
    }
    this.advanceIt()
  }

  /** Advances within the IT block. */
  advanceIt(): void {
    const it = this.word(S.S_IT)
    this.setWord(S.S_IT, (it & 7) === 0 ? 0 : (it & 0xe0) | ((it << 1) & 0x1f))
  }

  /** The exception level, 0 or 1. */
  get level(): number {
    return (this.word(S.S_PSTATE) & PSTATE_EL) >>> 2
  }

  setPstate(value: number): void {
    const before = this.word(S.S_PSTATE)
    this.setWord(S.S_PSTATE, value)
    const own = usesOwnStack(before)
    if (usesOwnStack(value) !== own) {
      this.copy(S.S_SP, own ? places.S_SP_EL1 : places.S_SP_EL0)
      this.copy(own ? places.S_SP_EL0 : places.S_SP_EL1, S.S_SP)
    }
    if (((before ^ value) & RIGHTS) !== 0) this.#modeChanged()
  }

  /** Returns the offset of a level's stack pointer in the state. */
  placeOfStack(el: number): number {
    return usesOwnStack(this.pstate) === (el === 1) ? S.S_SP : el === 1 ? places.S_SP_EL1 : places.S_SP_EL0
  }

  /** N, Z, C and V, in bits 31 to 28. */
  get flags(): number {
    const u32 = this.u32
    const n = u32[(S.S_FLAG_N >>> 2) + 1]! & 0x8000_0000
    const z = (u32[S.S_FLAG_Z >>> 2]! | u32[(S.S_FLAG_Z >>> 2) + 1]!) === 0 ? 0x4000_0000 : 0
    return (n | z | (this.word(S.S_FLAG_C) << 29) | (this.word(S.S_FLAG_V) << 28)) >>> 0
  }
  set flags(value: number) {
    const u32 = this.u32
    u32[S.S_FLAG_N >>> 2] = 0
    u32[(S.S_FLAG_N >>> 2) + 1] = value & 0x8000_0000
    u32[S.S_FLAG_Z >>> 2] = (value & 0x4000_0000) === 0 ? 1 : 0
    u32[(S.S_FLAG_Z >>> 2) + 1] = 0
    this.setWord(S.S_FLAG_C, (value >>> 29) & 1)
    this.setWord(S.S_FLAG_V, (value >>> 28) & 1)
  }

  // ---------------------------------------------------------------- what follows from control registers

  /** A register has been written that fields of the state depend on. @param isTranslation - translation does, too */
  controlWritten(isTranslation: boolean): void {
    this.controlsChanged()
    if (isTranslation) this.translation.controlsChanged()
  }

  /** TTBR0_EL1 or TTBR1_EL1 has been written, from which no field of the state follows. */
  tableWritten(): void {
    if (this.translation.tableChanged()) this.hasMoved = true
  }

  /** Derives the fields that follow from control registers. */
  controlsChanged(): void {
    const control = this.word(places.S_SCTLR_EL1)
    let keys = 0
    for (let i = 0; i < C.SCTLR_KEYS.length; i++) keys |= ((control >>> C.SCTLR_KEYS[i]!) & 1) << i
    this.setWord(S.S_KEYS_ENABLED, keys)
    this.setWord(S.S_POINTERS, this.#pointers(0) | (this.#pointers(1) << 8))
    this.#writeLevels()
    this.#modeChanged()
  }

  /** Returns the bits of a range's pointers; see `S_POINTERS`. */
  #pointers(upper: number): number {
    const lo = this.word(places.S_TCR_EL1)
    const hi = this.word(places.S_TCR_EL1 + 4)
    const size = Math.min(Math.max((lo >>> (16 * upper)) & 0x3f, LEAST_SIZE), MOST_SIZE)
    const tagged = (hi >>> (5 + upper)) & 1
    const data = tagged << S.POINTER_TAGGED
    const code = (tagged & ~((hi >>> (19 + upper)) & 1)) << (S.POINTER_TAGGED + 1)
    return data | code | (64 - size)
  }

  /** Whether instructions of SIMD and floating point are trapped: to EL2, or to EL1. */
  get trapsFp(): boolean {
    return (this.word(S.S_MODE) & S.MODE_NO_FP) !== 0
  }

  /** Whether CPACR_EL1 traps floating point of a level. */
  trapsFpToEl1(level: number): boolean {
    const enabled = (this.word(places.S_CPACR_EL1) >>> C.CPACR_FPEN_SHIFT) & 3
    return (enabled & 1) === 0 || (enabled === 1 && level === 0)
  }

  /** MDSCR_EL1, the OS lock or a watchpoint has been written. */
  debugChanged(): void {
    this.#writeLevels()
    this.#modeChanged()
  }

  /** Sets whether SVC goes to TypeScript before it is taken. */
  catchCalls(caught: boolean): void {
    this.#catchesCalls = caught
    this.#writeLevels()
  }

  /** Whether watchpoints are enabled at any level: MDSCR_EL1.MDE, and DBGWCRn_EL1.E of one. */
  get #watches(): boolean {
    if ((this.word(places.S_MDSCR_EL1) & MDSCR_MDE) === 0) return false
    for (const place of places.WATCHPOINT_CONTROLS) if ((this.word(place) & 1) !== 0) return true
    return false
  }

  /** Software step or breakpoints are on: MDSCR_EL1.SS or MDE. */
  get debugs(): boolean {
    return (this.word(places.S_MDSCR_EL1) & MDSCR_DEBUGS) !== 0
  }

  #modeChanged(): void {
    const { level, pstate } = this
    const before = this.word(S.S_MODE)
    this.#writeLevel(S.S_LEVEL, level, pstate)
    if ((pstate & PSTATE_NRW) !== 0) {
      this.setWord(S.S_MODE, this.word(S.S_MODE) | S.MODE_A32)
      this.translation.useAArch32()
    }
    // A set of the TLB holds code of one mode; AArch32 has its own.
    if (((this.word(S.S_MODE) ^ before) & ~S.MODE_A32) !== 0) this.#tlb.flushExecute()
    this.hasMoved = true
  }

  /** Writes the fields of a level. @param at - as S_LEVEL @param pstate - only `PSTATE_PAN` and `PSTATE_UAO` are read */
  #writeLevel(at: number, level: number, pstate: number): void {
    const control = this.word(places.S_SCTLR_EL1)
    const isChecked = (control & (level === 0 ? C.SCTLR_SA0 : C.SCTLR_SA)) !== 0
    const trapsFp = (this.word(places.S_CPTR_EL2) & C.CPTR_TFP) !== 0 || this.trapsFpToEl1(level)
    const pan = (pstate & PSTATE_PAN) === 0 ? 0 : LEVEL_PAN
    const uao = (pstate & PSTATE_UAO) === 0 ? 0 : LEVEL_UAO
    const strict = (control & C.SCTLR_A) === 0 ? 0 : STRICT
    this.translation.writeLevel(at, level, pan | uao | strict | (this.#watches ? WATCHED : 0))
    this.setWord(at + S.S_MODE - S.S_LEVEL, trapsFp ? S.MODE_NO_FP : 0)
    this.setWord(at + S.S_SP_ALIGNMENT - S.S_LEVEL, isChecked ? 15 : 0)
    this.setWord(at + S.S_TRAPS - S.S_LEVEL, this.#trapped(control, level))
  }

  /** Writes the fields of all levels, for generated code that changes between them. */
  #writeLevels(): void {
    this.#writeLevel(S.S_LEVELS, 0, 0)
    this.#writeLevel(S.S_LEVELS + S.LEVEL_BYTES, 1, 0)
    this.#writeLevel(S.S_LEVELS + 2 * S.LEVEL_BYTES, 1, PSTATE_PAN)
    const modeAt = S.S_LEVELS + S.S_MODE - S.S_LEVEL
    const differs = this.word(modeAt) !== this.word(modeAt + S.LEVEL_BYTES)
    this.setWord(S.S_TAKES_EXCEPTIONS, this.isHosted || differs || this.debugs || this.#catchesCalls ? 1 : 0)
  }

  /** The bits of `S_TRAPS`. */
  #trapped(control: number, level: number): number {
    const hypervisor = this.word(places.S_HCR_EL2)
    const isLower = level === 0
    const maintenance = isLower && (control & C.SCTLR_UCI) === 0
    return (
      ((isLower && (control & C.SCTLR_DZE) === 0) || (hypervisor & C.HCR_TDZ) !== 0 ? S.TRAP_ZERO : 0) |
      (maintenance || (hypervisor & C.HCR_TPCP) !== 0 ? S.TRAP_COHERENCY : 0) |
      (maintenance || (hypervisor & C.HCR_TPU) !== 0 ? S.TRAP_UNIFICATION : 0)
    )
  }

  // ---------------------------------------------------------------- what comes from outside

  /** Sets or clears `EVENT_*`, of which other threads may change others. */
  setEvent(event: number, level: boolean): void {
    if (level) Atomics.or(this.u32, S.S_EVENTS >>> 2, event)
    else Atomics.and(this.u32, S.S_EVENTS >>> 2, ~event)
    if (level && this.isUrgent) this.setWord(S.S_ATTENTION, ATTENTION_ASKED)
  }

  /** The interrupt that can be taken now: `EVENT_IRQ`, `EVENT_FIQ` or `EVENT_SERROR`; 0 for none. */
  get dueInterrupt(): number {
    const events = this.word(S.S_EVENTS)
    if (events === 0 || (this.word(places.S_HCR_EL2) & C.HCR_TGE) !== 0) return 0
    // The masks are in the order of the events, six bits further up.
    const due = events & INTERRUPTS & ~(this.pstate >>> 6)
    return due & S.EVENT_SERROR || due & S.EVENT_FIQ || due & S.EVENT_IRQ
  }

  /** Whether WFI or WFE waits, and nothing has come since. */
  get isDormant(): boolean {
    const waiting = this.word(S.S_WAITING)
    if (waiting === 0) return false
    // The owner's wish that a run end wakes nobody: a run takes it, and goes on waiting.
    const wakes = waiting === S.WAIT_INTERRUPT ? INTERRUPTS : S.EVENT_REGISTER
    return (this.word(S.S_EVENTS) & wakes) === 0 && this.dueInterrupt === 0
  }

  /** Whether WFI or WFE still waits; otherwise ends the wait. */
  waits(): boolean {
    if (this.isDormant) return true
    if (this.word(S.S_WAITING) > S.WAIT_INTERRUPT) this.takeEvent()
    this.setWord(S.S_WAITING, 0)
    return false
  }

  /** Clears the event register. @returns whether it was set */
  takeEvent(): boolean {
    return this.#takes(S.EVENT_REGISTER)
  }

  /** The owner wants the run to end: once. */
  takeStop(): boolean {
    return this.#takes(S.EVENT_STOP)
  }

  /** Clears an event. @returns whether it was set */
  #takes(event: number): boolean {
    if ((this.word(S.S_EVENTS) & event) === 0) return false
    Atomics.and(this.u32, S.S_EVENTS >>> 2, ~event)
    return true
  }

  /** Something waits that comes before the next instruction. */
  get isUrgent(): boolean {
    if ((this.word(S.S_EVENTS) & S.EVENT_STOP) !== 0 || this.dueInterrupt !== 0) return true
    return this.neighbour?.isAsked === true
  }

  /**
   * Makes generated code check for attention only when something can be done. In this order: another thread asks for attention
   * after its event is there.
   */
  settleAttention(): void {
    Atomics.store(this.u32, S.S_ATTENTION >>> 2, 0)
    if (this.isUrgent) this.setWord(S.S_ATTENTION, ATTENTION_ASKED)
  }

  /** Whether exceptions of EL0 go to the host: HCR_EL2.TGE. */
  get isHosted(): boolean {
    return (this.word(places.S_HCR_EL2) & C.HCR_TGE) !== 0
  }
}
