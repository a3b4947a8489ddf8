import {
  CodeFetch,
  STATUS_ERROR,
  STATUS_FAULT,
  TLB_EXECUTE,
  UnitTable,
  type FunctionTable,
  type UnitRunner,
  type Tlb,
  OP_BITS,
  OP_CROSS,
  OP_FIRST_FORM,
  OP_LEAVE,
  OP_UNIT,
  RECORD_BYTES,
  R_LENGTH,
  R_LINK,
  R_OFFSET,
  R_OP,
  type CodeTranslation,
} from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { ArmCodeSpace } from './access/code-space.ts'
import type { ArmEngine } from './engine.ts'
import type { MemoryAccess } from './access/memory-access.ts'
import { STATE_LAYOUT, S_PINNED, S_PC } from './state/state-layout.ts'
import type { SystemInstructions } from './system/instructions.ts'
import type { Translation } from './access/translation.ts'
import { R_WORD } from './state/record.ts'

/** The parts of a processor that generated code calls. */
export interface GeneratedCodeParts {
  readonly tlb: Tlb
  readonly translation: Translation
  readonly space: ArmCodeSpace
  readonly accesses: MemoryAccess
  readonly instructions: SystemInstructions
}

/** A processor's instances of generated code: the interpreter, and the units that it calls. */
export class GeneratedCode {
  readonly #state: number
  readonly #space: ArmCodeSpace
  readonly #fetch: CodeFetch<ReturnType<ArmCodeSpace['newTranslation']>>
  readonly #pinned: PinnedInstruction
  /** The processor's interface for its units. */
  readonly runner: UnitRunner
  readonly #interpret: (state: number, record: number) => number
  #error: unknown
  /** Ends the use of compiled code. */
  readonly close: () => void

  /** @param state - machine address of the processor's state */
  constructor(
    engine: ArmEngine,
    state: number,
    { tlb, translation, space, accesses, instructions }: GeneratedCodeParts,
  ) {
    const { memory, codeCache, jit } = engine
    this.#state = state
    this.#space = space
    this.#fetch = new CodeFetch(memory, state, STATE_LAYOUT, codeCache, tlb, space)
    this.#pinned = new PinnedInstruction(memory, state, this.#fetch)
    const imports = {
      memory: memory.memory,
      access: this.#guarded((lo, hi, flags) => accesses.access(lo, hi, flags)),
      probe(lo: number, hi: number, flags: number): number {
        try {
          return accesses.probe(lo >>> 0, hi >>> 0, flags)
        } catch {
          // The interpreter makes the access next, and gets the same fault.
          return STATUS_FAULT
        }
      },
      system: this.#guarded((number, record) => instructions.execute(number, record)),
    }
    const instance = new WebAssembly.Instance(engine.module as WebAssembly.Module, {
      cpu: {
        ...imports,
        fetch: (lo: number, hi: number) => this.#fetch.fetch(lo >>> 0, space.untagged(hi >>> 0)),
        cross: (record: number) => this.#fetch.cross(record >>> 0),
        hot: (record: number) => jit?.hot(record >>> 0, this.runner) ?? record,
      },
    })
    this.runner = {
      state,
      executeSlots: (lo, hi) => tlb.lookup(translation.executeSet, TLB_EXECUTE, lo, hi),
    }
    const units = new UnitTable({ table: instance.exports['table'] as FunctionTable, imports })
    jit?.addTable(units)
    this.close = () => jit?.removeTable(units)
    this.#interpret = instance.exports['run'] as (state: number, record: number) => number
  }

  /** Runs from the program counter, until the budget in the state is used up or something else comes. @returns a status */
  run(): number {
    return this.#interpret(this.#state, 0)
  }

  /** Finds the instruction at the program counter, to execute it alone. @returns the instruction; −1: none */
  pin(): number {
    this.#space.alone = true
    const word = this.#pinned.pin()
    this.#space.alone = false
    return word
  }

  /** Executes the instruction that {@link GeneratedCode.pin} has found. @returns a status */
  runPinned(): number {
    return this.#interpret(this.#state, this.#state + S_PINNED)
  }

  /** Returns the error that was thrown, once: after a status that no instruction has. */
  takeError(status: number): unknown {
    const error = status === STATUS_ERROR ? (this.#error ?? this.#fetch.error) : new Error(`status ${status}`)
    this.#error = undefined
    return error
  }

  /** An import of generated code, across which nothing is thrown. Its arguments come signed. */
  #guarded(call: (a: number, b: number, c: number) => number): (a: number, b: number, c: number) => number {
    return (a, b, c) => {
      try {
        return call(a >>> 0, b >>> 0, c)
      } catch (error) {
        this.#error = error
        return STATUS_ERROR
      }
    }
  }
}

/** The record of one instruction, which is executed alone: a copy, with a record after it that leaves. */
class PinnedInstruction {
  readonly #memory: MachineMemory
  readonly #state: number
  readonly #fetch: Pick<CodeFetch<CodeTranslation>, 'fetchOne'>

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, state: number, fetch: Pick<CodeFetch<CodeTranslation>, 'fetchOne'>) {
    this.#memory = memory
    this.#state = state
    this.#fetch = fetch
  }

  /** Copies the record of the instruction at the program counter. @returns the instruction; −1: none */
  pin(): number {
    const { u8, u16, u32 } = this.#memory
    const counter = (this.#state + S_PC) >>> 2
    const found = this.#fetch.fetchOne(u32[counter]!, u32[counter + 1]!)
    if (found === 0) return -1
    let record = u16[(found + R_OP) >>> 1] === OP_UNIT ? u32[(found + R_LINK) >>> 2]! : found
    if (u16[(record + R_OP) >>> 1] === OP_CROSS) record += RECORD_BYTES
    const at = this.#state + S_PINNED
    u8.copyWithin(at, record, record + RECORD_BYTES)
    const op = u16[(at + R_OP) >>> 1]! & OP_BITS
    u16[(at + R_OP) >>> 1] = op
    // The link of a branch, which is an inlined form, would lead on past the instruction.
    if (op >= OP_FIRST_FORM) u32[(at + R_LINK) >>> 2] = 0
    const next = at + RECORD_BYTES
    u16[(next + R_OP) >>> 1] = OP_LEAVE
    u16[(next + R_OFFSET) >>> 1] = u16[(at + R_OFFSET) >>> 1]! + u8[at + R_LENGTH]!
    return u32[(at + R_WORD) >>> 2]!
  }
}
