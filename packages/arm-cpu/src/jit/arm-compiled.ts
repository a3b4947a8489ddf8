import type {
  CompiledInstructionSet,
  DecodedInstruction,
  Flow,
  InstructionFlow,
  StateLayout,
  UnitDescription,
} from '@retrap/engine'
import { R_OFFSET } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { ModuleBuilder } from '@retrap/wasm-emitter'
import { HOST_EXECUTED, R_IMMEDIATE, R_N } from '../state/record.ts'
import type { FormSource } from '../semantics/semantics.ts'
import { STATE_LAYOUT, S_X } from '../state/state-layout.ts'
import { ArmUnit } from './arm-unit.ts'

const FLOWS: ReadonlyMap<string, Flow> = new Map<string, Flow>([
  ['B', 'jump'],
  ['BL', 'call'],
  ['BR', 'indirect'],
  ['BLR', 'indirect'],
  ['RET', 'indirect'],
  // With a pointer that is authenticated; returns are by X30.
  ...['BRAA', 'BRAAZ', 'BRAB', 'BRABZ', 'BLRAA', 'BLRAAZ', 'BLRAB', 'BLRABZ'].map(
    (name) => [name, 'indirect'] as const,
  ),
  ['RETAA', 'return'],
  ['RETAB', 'return'],
])

/** Bytes of a form's function from which units call it: mostly operations on many elements. */
const LARGE = 400

/** A64, as the engine compiles hot code of it. */
export class ArmCompiled implements CompiledInstructionSet<FormSource> {
  readonly name = 'arm64'
  /** There is one processor. */
  readonly configuration = ''
  readonly layout: StateLayout = STATE_LAYOUT
  readonly #memory: MachineMemory
  readonly #entries: ReadonlyMap<string, number>

  /** @param entries - functions that instructions share: their entries of the interpreter's table */
  constructor(memory: MachineMemory, entries: ReadonlyMap<string, number>) {
    this.#memory = memory
    this.#entries = entries
  }

  isWide(): boolean {
    return true
  }

  flowOf({ form: { form, semantics }, record }: DecodedInstruction<FormSource>): InstructionFlow {
    const { target, row } = form
    if (semantics.far === true) return { flow: 'far' }
    if (semantics.interpreted === true) return { flow: 'leave' }
    if (target === undefined) {
      const isReturn = row.mnemonic === 'RET' && this.#memory.u16[(record + R_N) >>> 1] === S_X + 8 * 30
      return { flow: isReturn ? 'return' : (FLOWS.get(row.mnemonic) ?? (semantics.ends === true ? 'leave' : 'next')) }
    }
    const immediate = Number(BigInt.asIntN(64, this.#memory.u64[(record + R_IMMEDIATE) >>> 3]!))
    return { flow: FLOWS.get(row.mnemonic) ?? 'branch', target: target === 'far' ? immediate : immediate >> 2 }
  }

  isCalled({ semantics }: FormSource, bytes: number): boolean {
    return bytes > LARGE && semantics.folds !== true && semantics.ends !== true
  }

  isHostCalled(fn: number, record: number): boolean {
    // The offsets of Thumb's instructions are not those of their bytes.
    return fn === HOST_EXECUTED && (this.#memory.u16[(record + R_OFFSET) >>> 1]! & 1) === 0
  }

  beginUnit(module: ModuleBuilder, unit: UnitDescription<FormSource>): ArmUnit {
    return new ArmUnit(module, this.#memory, this.#entries, unit)
  }
}
