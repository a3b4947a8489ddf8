import type { RecordMemory } from '@retrap/engine'
import { I64, type I32 } from '@retrap/wasm-emitter'
import { S_SINK, S_X, S_ZERO } from '../state/state-layout.ts'
import type { RecordFunction } from './record-function.ts'
import { RegisterLocals } from './register-locals.ts'
import { UnitFlags } from './unit-flags.ts'

/** X0 to X30, and the stack pointer behind them. */
export const REGISTERS = 32
const ZERO: number = (S_ZERO - S_X) >>> 3
/** The place of register 31 as a destination, also of instructions that read their destination. */
const SINK: number = (S_SINK - S_X) >>> 3

/** A unit's general-purpose registers and flags in locals, loaded at the entry if the unit uses them. */
export class UnitRegisters extends RegisterLocals<'i64'> {
  readonly flags: UnitFlags
  readonly #memory: RecordMemory
  readonly #flagState: I32
  #usesFlags = false

  constructor(f: RecordFunction, memory: RecordMemory, state: I32) {
    // The locals of the flags come first.
    const flags = new UnitFlags(f)
    const locals = Array.from({ length: REGISTERS }, () => f.local('i64'))
    super(f, state, 'i64', (register) => S_X + 8 * register, locals)
    this.flags = flags
    this.#memory = memory
    this.#flagState = state
  }

  /** The number of the register that a field of a record names; {@link REGISTERS} or more if it is none of these. */
  numberOf(record: number, field: number): number {
    return (this.#memory.u16[(record + field) >>> 1]! - S_X) >>> 3
  }

  override read(register: number): I64 {
    return register === ZERO || register === SINK ? I64.of(0) : super.read(register)
  }

  override write(register: number, value: I64): void {
    if (register !== SINK) super.write(register, value)
  }

  /** Notes that an instruction of the unit reads or writes the flags. */
  noteFlags(): void {
    this.#usesFlags = true
  }

  /** Emits stores of some registers and of the flags, before a call of a function that may use them. */
  spill(registers: readonly number[]): void {
    this.#usesFlags = true
    this.spillAll(registers)
  }

  override load(registers?: Iterable<number>): void {
    super.load(registers)
    if (this.#usesFlags) this.flags.load(this.#flagState)
  }

  override store(registers?: Iterable<number>): void {
    super.store(registers)
    if (this.#usesFlags) this.flags.store(this.#flagState)
  }
}
