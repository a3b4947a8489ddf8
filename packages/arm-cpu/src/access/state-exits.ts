import type { MachineMemory } from '@retrap/memory'
import { accessSyndrome, tellsAccess } from './access-syndrome.ts'
import { PSTATE_NRW } from '../state/pstate.ts'
import * as S from '../state/state-layout.ts'
import type { SystemState } from '../state/system-state.ts'
import type { Translation } from './translation.ts'

/** Why a processor has returned. */
export type ArmExit =
  /** The budget is used up. */
  | { readonly reason: 'budget' }
  /**
   * An exception that is EL2's, for the party that runs the processor. The program counter is where it would return to: behind SVC
   * and HVC, else at the instruction, which has changed nothing.
   */
  | {
      readonly reason: 'exception'
      /** ESR_EL2: its class is in bits 31 to 26. */
      readonly syndrome: number
      /** FAR_EL2 of aborts and of a program counter that is not aligned. */
      readonly address: bigint
      /** HPFAR_EL2 of an abort that stage 2 has raised. */
      readonly hpfar?: bigint
      /** Stage 2 refuses the access's second page: the access that the syndrome describes begins before the address. */
      readonly beyond?: true
    }
  /**
   * WFI (`interrupt`) or WFE (`event`) waits: for an interrupt, or for an event too. `run` comes back at once as long as there
   * is none.
   */
  | { readonly reason: 'wait'; readonly until: 'interrupt' | 'event' }
  /** WFE waits for another processor to write exclusively marked memory: others should run. */
  | { readonly reason: 'pause' }
  /** A debugger has it stop: see `ArmDebugControl.stop`. */
  | { readonly reason: 'debug' }
  /** Something in the emulator or its host has thrown. */
  | { readonly reason: 'error'; readonly error: unknown }

const PAUSE: ArmExit = { reason: 'pause' }
const WAIT_FOR_INTERRUPT: ArmExit = { reason: 'wait', until: 'interrupt' }
const WAIT_FOR_EVENT: ArmExit = { reason: 'wait', until: 'event' }

/** Makes the exits for a processor's state. */
export class StateExits {
  readonly #u64: BigUint64Array
  readonly #system: SystemState
  readonly #translation: Translation

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, state: number, system: SystemState, translation: Translation) {
    this.#u64 = memory.u64.subarray(state >>> 3)
    this.#system = system
    this.#translation = translation
  }

  /** Of WFI or WFE, which waits. */
  wait(): ArmExit {
    switch (this.#system.word(S.S_WAITING)) {
      case S.WAIT_INTERRUPT:
        return WAIT_FOR_INTERRUPT
      case S.WAIT_EVENT:
        return WAIT_FOR_EVENT
      default:
        return PAUSE
    }
  }

  /** Of an exception that is EL2's, which the state has no more afterwards. */
  exception(): ArmExit {
    const s = this.#system
    const syndrome = s.word(S.S_FAULT_SYNDROME)
    const address = this.#u64[S.S_FAULT_ADDRESS >>> 3]!
    const stage = s.word(S.S_FAULT_STAGE)
    s.setWord(S.S_FAULT_SYNDROME, 0)
    s.setWord(S.S_FAULT_STAGE, 0)
    this.#u64[S.S_FAULT_ADDRESS >>> 3] = 0n
    if (stage < 2) return { reason: 'exception', syndrome, address }
    const hpfar = this.#u64[S.S_FAULT_HPFAR >>> 3]!
    const described = this.#withAccess(syndrome)
    if (stage !== S.STAGE_2_BEYOND) return { reason: 'exception', syndrome: described, address, hpfar }
    return { reason: 'exception', syndrome: described, address, hpfar, beyond: true }
  }

  /** Bytes of the instruction at the program counter. */
  instructionBytes(): number {
    const s = this.#system
    if ((s.word(S.S_PC) & 1) === 0 || (s.pstate & PSTATE_NRW) === 0) return 4
    return this.#word() > 0xffff ? 4 : 2
  }

  /** Returns the syndrome of a stage 2 abort, with details of the access. */
  #withAccess(syndrome: number): number {
    if (!tellsAccess(syndrome)) return syndrome
    const word = this.#word()
    return word < 0 ? syndrome : accessSyndrome(syndrome, word, this.#system.status)
  }

  /** Returns the instruction at the program counter; −1 if it cannot be fetched any more. */
  #word(): number {
    return this.#translation.wordAt(this.#system.word(S.S_PC), this.#system.word(S.S_PC + 4))
  }
}
