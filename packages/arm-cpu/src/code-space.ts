import { STATUS_DONE, STATUS_FAULT } from '@retrap/engine'
import type { CodeSpace } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { newTranslation, translate, TRANSLATE_FETCH } from './host.ts'
import type { ArmHost, ArmTranslation } from './host.ts'
import { S_FAULT_ADDRESS, S_FAULT_SYNDROME } from './state-layout.ts'
import { FSC_EXTERNAL, instructionAbort, PC_ALIGNMENT_FAULT } from './syndrome.ts'

/** Where a processor's instructions may lie, and the translation of fetches. */
export class ArmCodeSpace implements CodeSpace<ArmTranslation> {
  readonly executeSet = 0
  readonly secondPageSet = 0
  readonly #memory: MachineMemory
  readonly #u32: Uint32Array
  readonly #host: ArmHost

  /** @param u32 - the state area */
  constructor(memory: MachineMemory, u32: Uint32Array, host: ArmHost) {
    this.#memory = memory
    this.#u32 = u32
    this.#host = host
  }

  check(lo: number, hi: number): number {
    return (lo & 3) === 0 ? STATUS_DONE : this.#raise(lo, hi, PC_ALIGNMENT_FAULT)
  }

  translate(lo: number, hi: number, into: ArmTranslation): number {
    if (!translate(this.#host, this.#memory, lo, hi, TRANSLATE_FETCH, into)) {
      return this.#raise(lo, hi, instructionAbort(into.faultStatus))
    }
    return into.ma >= 0 ? STATUS_DONE : this.#raise(lo, hi, instructionAbort(FSC_EXTERNAL))
  }

  newTranslation(): ArmTranslation {
    return newTranslation()
  }

  nextHigh(hi: number): number {
    return (hi + 1) >>> 0
  }

  dropFault(): void {
    this.#u32[S_FAULT_SYNDROME >>> 2] = 0
  }

  #raise(lo: number, hi: number, syndrome: number): number {
    this.#u32[S_FAULT_SYNDROME >>> 2] = syndrome
    this.#u32[S_FAULT_ADDRESS >>> 2] = lo
    this.#u32[(S_FAULT_ADDRESS >>> 2) + 1] = hi
    return STATUS_FAULT
  }
}
