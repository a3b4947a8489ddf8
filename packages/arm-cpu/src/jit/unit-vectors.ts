import type { RecordMemory, RegionInstruction } from '@retrap/engine'
import type { FunctionBuilder, I32 } from '@retrap/wasm-emitter'
import { R_A, R_D, R_M, R_MORE, R_N } from '../state/record.ts'
import type { FormSource } from '../semantics/semantics.ts'
import { S_V } from '../state/state-layout.ts'
import { RegisterLocals } from './register-locals.ts'

const REGISTERS = 32
const REGISTER_BYTES = 16
const FIELDS: readonly number[] = [R_D, R_N, R_M, R_A]

/** The vector registers that the instructions of a unit name, in locals; the others stay in the state. */
export class UnitVectors extends RegisterLocals<'v128'> {
  readonly #memory: RecordMemory

  /** @param instructions - all of the unit: A64, as nothing else is compiled */
  constructor(
    f: FunctionBuilder,
    memory: RecordMemory,
    state: I32,
    instructions: Iterable<RegionInstruction<FormSource>>,
  ) {
    const named = new Set<number>()
    for (const insn of instructions) for (const register of namedBy(memory, insn)) named.add(register)
    const locals = Array.from({ length: REGISTERS }, (_, i) => (named.has(i) ? f.local('v128') : undefined))
    super(f, state, 'v128', (register) => S_V + REGISTER_BYTES * register, locals)
    this.#memory = memory
  }

  /** The register that a field of a record names, some numbers on, if it is in a local; else undefined. */
  find(record: number, field: number, distance = 0): number | undefined {
    const register = (after(this.#memory.u16[(record + field) >>> 1]!, distance) - S_V) / REGISTER_BYTES
    return this.locals[register] === undefined ? undefined : register
  }

  /** Emits stores of registers that an instruction's function may access, before its call. */
  spill(insn: RegionInstruction<FormSource>): void {
    this.spillAll(this.#reachedBy(insn))
  }

  /** Emits loads of registers that the function may have written. */
  reload(insn: RegionInstruction<FormSource>): void {
    this.load(this.#reachedBy(insn))
  }

  /** Registers held in locals that an instruction executed by the host may access. */
  #reachedBy(insn: RegionInstruction<FormSource>): readonly number[] {
    if (insn.form !== undefined) return [...new Set(namedBy(this.#memory, insn))]
    return [...this.locals.keys()].filter((register) => this.locals[register] !== undefined)
  }
}

/** The vector registers that an instruction names; empty for an instruction that the host executes. */
function namedBy({ u16 }: RecordMemory, { form, record }: RegionInstruction<FormSource>): number[] {
  if (form === undefined) return []
  const more = Array.from({ length: Math.max(0, form.form.row.registers - 1) }, (_, i) => R_MORE + 2 * i)
  return [...FIELDS, ...more]
    .map((field) => (u16[(record + field) >>> 1]! - S_V) / REGISTER_BYTES)
    .filter((register) => register >= 0 && register < REGISTERS)
}

/** Returns the address of the register `distance` numbers later, modulo 32. */
const after = (at: number, distance: number): number =>
  at < S_V ? at : S_V + ((at - S_V + REGISTER_BYTES * distance) % (REGISTERS * REGISTER_BYTES))
