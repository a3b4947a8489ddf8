import type { MachineMemory } from '@retrap/memory'
import { EXCLUSIVE_ELSEWHERE, S_AUTHENTICATED, S_EXCLUSIVE_BYTES, S_PC, S_SP, S_V, S_X } from './state-layout.ts'
import * as places from './places.ts'
import { PSTATE_NRW, usesOwnStack } from './pstate.ts'
import type { SystemState } from './system-state.ts'

/** Registers that control translation and exceptions, as they are at any time; 64-bit ones are a low and a high word. */
export interface TrappedControls {
  /** EL1 is AArch64's. */
  readonly aarch64: boolean
  /** SCTLR_EL1. */
  readonly sctlr: number
  /** TCR_EL1, low word. */
  readonly tcrLo: number
  /** TCR_EL1, high word. */
  readonly tcrHi: number
  /** TTBR0_EL1, low word. */
  readonly ttbr0Lo: number
  /** TTBR0_EL1, high word. */
  readonly ttbr0Hi: number
  /** TTBR1_EL1, low word. */
  readonly ttbr1Lo: number
  /** TTBR1_EL1, high word. */
  readonly ttbr1Hi: number
  /** MAIR_EL1, low word. */
  readonly mairLo: number
  /** MAIR_EL1, high word. */
  readonly mairHi: number
  /** Register of AArch32 at EL1, which is not supported: 0. */
  readonly dacr: number
  /** VBAR_EL1, low word. */
  readonly vbarLo: number
  /** VBAR_EL1, high word. */
  readonly vbarHi: number
}

/** Registers that an abort fills in which the hypervisor gives to EL1. */
export interface TrappedException {
  /** ESR_EL1, low word. */
  esrEl1: number
  /** FAR_EL1, low word. */
  farLo: number
  /** FAR_EL1, high word. */
  farHi: number
  /** ELR_EL1, low word. */
  elrLo: number
  /** ELR_EL1, high word. */
  elrHi: number
  /** SPSR_EL1. */
  spsrEl1: number
  /** A register of AArch32 at EL1, which this processor does not have. */
  dfsr: number
  /** The same. */
  ifsr: number
  /** The same. */
  ifar: number
}

/**
 * A processor's state between an exception to EL2 and its next instruction, for a hypervisor that finishes the instruction
 * in its place: what `ArmEmulator` of `@retrap/arm-mmio` asks for. Valid from `begin` to `end`.
 */
export interface TrappedState {
  /** Number of the processor. */
  readonly id: number
  /** X0 to X30: the low word of Xn at 2n, the high word at 2n + 1. */
  readonly x: Uint32Array
  /** SP_EL0 and SP_EL1, two words each. */
  readonly sp: Uint32Array
  /** V0 to V31, four words for each. */
  readonly v: Uint32Array
  /** The program counter, two words. */
  readonly pc: Uint32Array
  /** PSTATE in SPSR_EL2's format. */
  pstate: number
  /** The SPSRs of AArch32 at EL1, which this processor does not have. */
  readonly spsr: Uint32Array
  /** Registers that control translation and exceptions. */
  readonly system: TrappedControls
  /** Registers that an exception to EL1 fills in. */
  readonly exception: TrappedException
  /**
   * The base of the LDRAA (`key` 0) or LDRAB (1) that has aborted, from the pointer in its register: the processor has
   * authenticated it.
   *
   * @param into - receives both words of the result
   * @returns false for another pointer or key
   */
  authenticate(key: number, lo: number, hi: number, into: Uint32Array): boolean
  /**
   * The exclusive monitor has marked an address that the host knows: for load-exclusives that the hypervisor has finished. Instructions that
   * open the monitor, such as CLREX and ERET, clear this.
   */
  marksElsewhere: boolean
  /** Takes the state from the processor. */
  begin(): void
  /** Gives the state back to the processor: the instruction has retired, or EL1 has got an exception. */
  end(): void
}

/** Places of control registers in the state area. */
const CONTROLS = {
  sctlr: places.S_SCTLR_EL1,
  tcrLo: places.S_TCR_EL1,
  tcrHi: places.S_TCR_EL1 + 4,
  ttbr0Lo: places.S_TTBR0_EL1,
  ttbr0Hi: places.S_TTBR0_EL1 + 4,
  ttbr1Lo: places.S_TTBR1_EL1,
  ttbr1Hi: places.S_TTBR1_EL1 + 4,
  mairLo: places.S_MAIR_EL1,
  mairHi: places.S_MAIR_EL1 + 4,
  vbarLo: places.S_VBAR_EL1,
  vbarHi: places.S_VBAR_EL1 + 4,
} as const

/** Places of the registers that an exception fills in. */
const OF_EXCEPTION = {
  esrEl1: places.S_ESR_EL1,
  farLo: places.S_FAR_EL1,
  farHi: places.S_FAR_EL1 + 4,
  elrLo: places.S_ELR_EL1,
  elrHi: places.S_ELR_EL1 + 4,
  spsrEl1: places.S_SPSR_EL1,
} as const

/**
 * Makes a class of views of the state area, whose properties are words of it and fixed values. ESR and SPSR are written as a
 * whole, with 0 in the upper half. Properties of objects alone would give each processor's view a shape of its own.
 */
function viewClass<F extends object, K extends string>(
  fixed: F,
  byName: Readonly<Record<K, number>>,
): new (u32: Uint32Array) => F & Record<K, number> {
  class View {
    readonly u32: Uint32Array
    constructor(u32: Uint32Array) {
      this.u32 = u32
      Object.assign(this, fixed)
    }
  }
  for (const [name, place] of Object.entries<number>(byName)) {
    const at = place >>> 2
    const isWhole = place === places.S_ESR_EL1 || place === places.S_SPSR_EL1
    Object.defineProperty(View.prototype, name, {
      get(this: View) {
        return this.u32[at]!
      },
      set(this: View, value: number) {
        this.u32[at] = value
        if (isWhole) this.u32[at + 1] = 0
      },
    })
  }
  return View as unknown as new (u32: Uint32Array) => F & Record<K, number>
}

const Controls = viewClass({ aarch64: true, dacr: 0 }, CONTROLS)
const ExceptionRegisters = viewClass({ dfsr: 0, ifsr: 0, ifar: 0 }, OF_EXCEPTION)

/** The state area for a hypervisor. */
export class ProcessorState implements TrappedState {
  readonly id: number
  readonly x: Uint32Array
  readonly sp: Uint32Array
  readonly v: Uint32Array
  readonly pc: Uint32Array = new Uint32Array(2)
  pstate = 0
  readonly spsr: Uint32Array = new Uint32Array(5)
  readonly system: TrappedControls
  readonly exception: TrappedException
  readonly #state: SystemState
  readonly #authenticated: Uint32Array
  #taken = 0

  /** @param state - machine address of the processor's state */
  constructor(id: number, memory: MachineMemory, state: number, system: SystemState) {
    const words = (place: number, count: number): Uint32Array =>
      memory.u32.subarray((state + place) >>> 2, ((state + place) >>> 2) + count)
    const u32 = memory.u32.subarray(state >>> 2)
    this.id = id
    this.x = words(S_X, 62)
    this.sp = words(places.S_SP_EL0, 4)
    this.v = words(S_V, 128)
    this.system = new Controls(u32)
    this.exception = new ExceptionRegisters(u32)
    this.#state = system
    this.#authenticated = words(S_AUTHENTICATED, 5)
  }

  authenticate(key: number, lo: number, hi: number, into: Uint32Array): boolean {
    const known = this.#authenticated
    if (known[2] !== lo >>> 0 || known[3] !== hi >>> 0 || known[4] !== key) return false
    into[0] = known[0]!
    into[1] = known[1]!
    return true
  }

  get marksElsewhere(): boolean {
    return this.#state.word(S_EXCLUSIVE_BYTES) === EXCLUSIVE_ELSEWHERE
  }
  set marksElsewhere(marks: boolean) {
    if (marks) this.#state.setWord(S_EXCLUSIVE_BYTES, EXCLUSIVE_ELSEWHERE)
    else if (this.marksElsewhere) this.#state.setWord(S_EXCLUSIVE_BYTES, 0)
  }

  begin(): void {
    const state = this.#state
    state.copy(S_SP, usesOwnStack(state.pstate) ? places.S_SP_EL1 : places.S_SP_EL0)
    this.#taken = state.status
    this.pstate = this.#taken
    const isAArch32 = (this.pstate & PSTATE_NRW) !== 0
    // Bit 0 is PSTATE.T.
    this.pc[0] = state.word(S_PC) & (isAArch32 ? ~1 : ~0)
    this.pc[1] = state.word(S_PC + 4)
  }

  end(): void {
    const state = this.#state
    const { pstate } = this
    state.copy(usesOwnStack(state.pstate) ? places.S_SP_EL1 : places.S_SP_EL0, S_SP)
    state.setWord(S_PC, this.pc[0]!)
    state.setWord(S_PC + 4, this.pc[1]!)
    // Bit 0 of the program counter is PSTATE.T.
    if (pstate === this.#taken && (pstate & PSTATE_NRW) === 0) return
    state.status = pstate
    state.settleAttention()
  }
}
