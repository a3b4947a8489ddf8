import type { RecordMemory } from '@retrap/engine'
import { I64, type I32, type Local } from '@retrap/wasm-emitter'
import { S_SINK, S_X, S_ZERO } from '../state/state-layout.ts'
import type { RecordFunction } from './record-function.ts'
import { UnitFlags } from './unit-flags.ts'

/** X0 to X30, and the stack pointer behind them. */
export const REGISTERS = 32
const ZERO: number = (S_ZERO - S_X) >>> 3
/** The place of register 31 as a destination, also of instructions that read their destination. */
const SINK: number = (S_SINK - S_X) >>> 3

/** A unit's general-purpose registers and flags in locals, loaded at the entry if the unit uses them. */
export class UnitRegisters {
  readonly flags: UnitFlags
  readonly #f: RecordFunction
  readonly #memory: RecordMemory
  readonly #state: I32
  readonly #locals: readonly Local<'i64'>[]
  readonly #used = new Set<number>()
  readonly #written = new Set<number>()
  #usesFlags = false

  constructor(f: RecordFunction, memory: RecordMemory, state: I32) {
    this.#f = f
    this.#memory = memory
    this.#state = state
    this.flags = new UnitFlags(f)
    this.#locals = Array.from({ length: REGISTERS }, () => f.local('i64'))
  }

  /** The number of the register that a field of a record names; {@link REGISTERS} or more if it is none of these. */
  numberOf(record: number, field: number): number {
    return (this.#memory.u16[(record + field) >>> 1]! - S_X) >>> 3
  }

  read(register: number): I64 {
    if (register === ZERO || register === SINK) return I64.of(0)
    this.#used.add(register)
    return this.#locals[register]!.get
  }

  write(register: number, value: I64): void {
    if (register === SINK) return
    this.#used.add(register)
    this.#written.add(register)
    this.#f.set(this.#locals[register]!, value)
  }

  /** Notes that an instruction of the unit reads or writes the flags. */
  noteFlags(): void {
    this.#usesFlags = true
  }

  /** Emits loads of all registers and flags that the unit uses, from the state into locals. */
  load(): void {
    this.#load(this.#used)
  }

  /** Emits stores of all registers and flags that the unit writes, from locals into the state. */
  store(): void {
    this.#store(this.#written)
  }

  /** Emits stores of some registers and of the flags, before a call of a function that may use them. */
  spill(registers: readonly number[]): void {
    for (const register of registers) {
      this.#used.add(register)
      this.#written.add(register)
    }
    this.#usesFlags = true
    this.#store(registers)
  }

  /** Emits loads of registers and flags that the function called after `spill` may have written. */
  reload(registers: readonly number[]): void {
    this.#load(registers)
  }

  #load(registers: Iterable<number>): void {
    for (const i of registers) {
      this.#f.set(this.#locals[i]!, this.#f.loadExpression('i64.load', this.#state, S_X + 8 * i))
    }
    if (this.#usesFlags) this.flags.load(this.#state)
  }

  #store(registers: Iterable<number>): void {
    for (const i of registers) this.#f.store('i64.store', this.#state, this.#locals[i]!.get, S_X + 8 * i)
    if (this.#usesFlags) this.flags.store(this.#state)
  }
}
