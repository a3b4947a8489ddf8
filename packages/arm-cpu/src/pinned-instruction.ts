import {
  OP_COLD,
  OP_CROSS,
  OP_FIRST_FORM,
  OP_LEAVE,
  OP_UNIT,
  RECORD_BYTES,
  R_LENGTH,
  R_LINK,
  R_OFFSET,
  R_OP,
} from '@retrap/engine'
import type { CodeFetch, CodeTranslation } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { R_WORD } from './record.ts'
import { S_PC, S_PINNED } from './state-layout.ts'

/** The record of one instruction, which is executed alone: a copy, with a record after it that leaves. */
export class PinnedInstruction {
  readonly #memory: MachineMemory
  readonly #state: number
  readonly #fetch: Pick<CodeFetch<CodeTranslation>, 'fetchOne'>

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, state: number, fetch: Pick<CodeFetch<CodeTranslation>, 'fetchOne'>) {
    this.#memory = memory
    this.#state = state
    this.#fetch = fetch
  }

  /** Copies the record of the instruction at the program counter. @returns the instruction; −1 where there is none */
  pin(): number {
    const { u8, u16, u32 } = this.#memory
    const counter = (this.#state + S_PC) >>> 2
    const found = this.#fetch.fetchOne(u32[counter]!, u32[counter + 1]!)
    if (found === 0) return -1
    let record = u16[(found + R_OP) >>> 1] === OP_UNIT ? u32[(found + R_LINK) >>> 2]! : found
    if (u16[(record + R_OP) >>> 1] === OP_CROSS) record += RECORD_BYTES
    const at = this.#state + S_PINNED
    u8.copyWithin(at, record, record + RECORD_BYTES)
    const op = u16[(at + R_OP) >>> 1]! & (OP_COLD - 1)
    u16[(at + R_OP) >>> 1] = op
    // The link of a branch, which is an inlined form, would lead on past the instruction.
    if (op >= OP_FIRST_FORM) u32[(at + R_LINK) >>> 2] = 0
    const next = at + RECORD_BYTES
    u16[(next + R_OP) >>> 1] = OP_LEAVE
    u16[(next + R_OFFSET) >>> 1] = u16[(at + R_OFFSET) >>> 1]! + u8[at + R_LENGTH]!
    return u32[(at + R_WORD) >>> 2]!
  }
}
