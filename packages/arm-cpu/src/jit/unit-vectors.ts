import type { RecordMemory, RegionInstruction } from '@retrap/engine'
import {
  extractLane,
  replaceLane,
  type FunctionBuilder,
  type I32,
  type I64,
  type Local,
  type V128,
} from '@retrap/wasm-emitter'
import type { ElementSize } from '../state/form.ts'
import { R_A, R_D, R_M, R_MORE, R_N } from '../state/record.ts'
import type { FormSource } from '../semantics/semantics.ts'
import { S_V } from '../state/state-layout.ts'

const REGISTERS = 32
const REGISTER_BYTES = 16
const FIELDS: readonly number[] = [R_D, R_N, R_M, R_A]

/** The vector registers that the instructions of a unit name, in locals; the others stay in the state. */
export class UnitVectors {
  readonly #f: FunctionBuilder
  readonly #memory: RecordMemory
  readonly #state: I32
  /** Locals by register; undefined for registers in the state. */
  readonly #locals: readonly (Local<'v128'> | undefined)[]
  readonly #used = new Set<number>()
  readonly #written = new Set<number>()

  /** @param instructions - all of the unit: A64, as nothing else is compiled */
  constructor(
    f: FunctionBuilder,
    memory: RecordMemory,
    state: I32,
    instructions: Iterable<RegionInstruction<FormSource>>,
  ) {
    this.#f = f
    this.#memory = memory
    this.#state = state
    const named = new Set<number>()
    for (const insn of instructions) for (const register of this.#named(insn)) named.add(register)
    this.#locals = Array.from({ length: REGISTERS }, (_, i) => (named.has(i) ? f.local('v128') : undefined))
  }

  /** The vector registers that an instruction names; empty for an instruction that the host executes. */
  #named({ form, record }: RegionInstruction<FormSource>): number[] {
    if (form === undefined) return []
    const more = Array.from({ length: Math.max(0, form.form.row.registers - 1) }, (_, i) => R_MORE + 2 * i)
    return [...FIELDS, ...more]
      .map((field) => (this.#memory.u16[(record + field) >>> 1]! - S_V) / REGISTER_BYTES)
      .filter((register) => register >= 0 && register < REGISTERS)
  }

  /** The register that a field of a record names, some numbers on, if it is in a local; else undefined. */
  find(record: number, field: number, distance = 0): number | undefined {
    const register = (after(this.#memory.u16[(record + field) >>> 1]!, distance) - S_V) / REGISTER_BYTES
    return this.#locals[register] === undefined ? undefined : register
  }

  read(register: number): V128 {
    this.#used.add(register)
    return this.#locals[register]!.get
  }

  write(register: number, value: V128): void {
    this.#used.add(register)
    this.#written.add(register)
    this.#f.set(this.#locals[register]!, value)
  }

  /** Emits loads of all used registers. */
  load(): void {
    this.#load(this.#used)
  }

  /** Emits stores of all written registers. */
  store(): void {
    this.#store(this.#written)
  }

  /** Emits stores of registers that an instruction's function may access, before its call. */
  spill(insn: RegionInstruction<FormSource>): void {
    const registers = this.#reachedBy(insn)
    for (const register of registers) {
      this.#used.add(register)
      this.#written.add(register)
    }
    this.#store(registers)
  }

  /** Emits loads of registers that the function may have written. */
  reload(insn: RegionInstruction<FormSource>): void {
    this.#load(this.#reachedBy(insn))
  }

  /** Registers held in locals that an instruction executed by the host may access. */
  #reachedBy(insn: RegionInstruction<FormSource>): readonly number[] {
    if (insn.form !== undefined) return [...new Set(this.#named(insn))]
    return [...this.#locals.keys()].filter((register) => this.#locals[register] !== undefined)
  }

  #load(registers: Iterable<number>): void {
    for (const i of registers)
      this.#f.set(this.#locals[i]!, this.#f.loadExpression('v128.load', this.#state, S_V + REGISTER_BYTES * i))
  }

  #store(registers: Iterable<number>): void {
    for (const i of registers) this.#f.store('v128.store', this.#state, this.#locals[i]!.get, S_V + REGISTER_BYTES * i)
  }
}

/** Returns the address of the register `distance` numbers later, modulo 32. */
const after = (at: number, distance: number): number =>
  at < S_V ? at : S_V + ((at - S_V + REGISTER_BYTES * distance) % (REGISTERS * REGISTER_BYTES))

/** An element of a vector, zero-extended. */
export function elementOf(vector: V128, index: number, size: ElementSize): I64 {
  if (size === 8) return extractLane('i64x2.extract_lane', vector, index)
  if (size === 4) return extractLane('i32x4.extract_lane', vector, index).toI64U()
  return extractLane(size === 2 ? 'i16x8.extract_lane_u' : 'i8x16.extract_lane_u', vector, index).toI64U()
}

/** Returns a vector with one element replaced. */
export function withElement(vector: V128, index: number, size: ElementSize, value: I64): V128 {
  if (size === 8) return replaceLane('i64x2.replace_lane', vector, index, value)
  const op = size === 4 ? 'i32x4.replace_lane' : size === 2 ? 'i16x8.replace_lane' : 'i8x16.replace_lane'
  return replaceLane(op, vector, index, value.toI32())
}
