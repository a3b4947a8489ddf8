import { ModuleBuilder } from '@retrap/wasm-emitter'
import type { FunctionBuilder, ValueType } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import type { InterpreterCode } from '@retrap/engine'
import type { FormSource } from '../form-context.ts'
import { R_FUNCTION, R_OP } from '../record.ts'
import type { Library } from '../semantics/library.ts'
import { MemorySites } from './memory-sites.ts'
import { RegionBuilder } from './region-builder.ts'
import type { TableCallee } from './region-builder.ts'
import { RegionTranslator } from './region-translator.ts'
import type { Region, RegionInstruction } from './region.ts'

/** Bytes of a form's function above which it is called instead of generated in place. */
const LONGEST_INLINE = 800
const CALL_SIGNATURE = { params: ['i32', 'i32', 'i32'], result: 'i32' } as const

/** A compiled region. */
export interface CompiledUnit {
  readonly bytes: Uint8Array
  /** Bytes of its function. */
  readonly codeBytes: number
  readonly exits: number
}

/** Compiles regions to modules of one function. */
export class UnitCompiler {
  readonly #memory: MachineMemory
  readonly #code: InterpreterCode<FormSource>
  readonly #countersAt: number

  /** What is known of accesses to memory. */
  readonly sites: MemorySites = new MemorySites()

  /** @param countersAt - machine address of the counters of hot code */
  constructor(memory: MachineMemory, code: InterpreterCode<FormSource>, countersAt: number) {
    this.#memory = memory
    this.#code = code
    this.#countersAt = countersAt
  }

  /**
   * @param state - of the vCPU that the region was found by
   * @param unitRecord - the record by which it is entered
   */
  compile(region: Region, state: number, mode: number, unitRecord: number): CompiledUnit {
    const module = new ModuleBuilder()
    module.importMemory({
      module: 'cpu',
      name: 'memory',
      initialPages: 1,
      ...(this.#memory.shared ? { maximumPages: this.#memory.byteLength / 0x1_0000, shared: true } : {}),
    })
    module.importTable('cpu', 'table')
    const callType = module.typeIndex(CALL_SIGNATURE)
    const library = this.#library(module)
    const f = module.function('unit', CALL_SIGNATURE, {
      export: true,
      builder: RegionBuilder,
    }) as unknown as RegionBuilder
    const translator = new RegionTranslator(f, region, {
      memory: this.#memory,
      state,
      mode,
      library,
      unitRecord,
      countersAt: this.#countersAt,
      onMiss: (record) => this.sites.actionOf(record),
      callType,
      isCalled: (insn) => this.#isCalled(insn),
    })
    translator.build()
    const bytes = module.build()
    return { bytes, codeBytes: f.codeBytes, exits: translator.exits }
  }

  #isCalled({ record, source }: RegionInstruction): boolean {
    const { u16 } = this.#memory
    const [op, fn] = [u16[(record + R_OP) >>> 1] as number, u16[(record + R_FUNCTION) >>> 1] as number]
    const { semantics } = source!
    // The interpreter calls the handler where the simple cases do not suffice.
    if (semantics.partial === true) return false
    return this.#code.functionBytes(op, fn) > LONGEST_INLINE
  }

  /** What semantics call, in the interpreter's module. */
  #library(module: ModuleBuilder): Library {
    const flags = module.importFunction('cpu', 'flags', {
      params: ['i32', 'i64', 'i64', 'i64'],
      result: 'i32',
    } as const)
    const checkSegment = module.importFunction('cpu', 'checkSegment', {
      params: ['i32', 'i32', 'i64', 'i32'],
      result: 'i64',
    } as const)
    const slowAccess = module.importFunction('cpu', 'slowAccess', {
      params: ['i32', 'i32', 'i32', 'i32'],
      result: 'i32',
    } as const)
    const absent = (name: string): never => {
      throw new TypeError(`${name} is not called by a region`)
    }
    const entries = this.#code.sharedEntries
    return {
      flags,
      checkSegment,
      slowAccess,
      get offset() {
        return absent('offset')
      },
      get slowAddress() {
        return absent('slowAddress')
      },
      get checkedAddress() {
        return absent('checkedAddress')
      },
      get slowAddressMoved() {
        return absent('slowAddressMoved')
      },
      shared: new Map(),
      define: (name: string, params: readonly ValueType[], result: ValueType | undefined): FunctionBuilder => {
        const entry = entries.get(name)
        if (entry === undefined) throw new TypeError(`no shared function ${name}`)
        const signature = { params, result }
        const callee: TableCallee = { index: 0, signature, entry, typeIndex: module.typeIndex(signature) }
        return callee as unknown as FunctionBuilder
      },
      complete: () => undefined,
    }
  }
}
