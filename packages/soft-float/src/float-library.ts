import type { FunctionBuilder, ModuleBuilder, ValueType } from '@retrap/wasm-emitter'
import type { FloatModule, FloatRules, SharedFunction } from './float-module.ts'

/** The functions of a module that is generated as a whole. */
export class FloatLibrary implements FloatModule {
  /** See `FloatModule.floatScratch`. */
  readonly floatScratch: number
  /** The choices of the architecture. */
  readonly floatRules: FloatRules
  readonly #module: ModuleBuilder
  readonly #made = new Map<string, FunctionBuilder>()

  /** @param scratch - offset of the scratch area: see `FloatModule.floatScratch` */
  constructor(module: ModuleBuilder, scratch: number, rules: FloatRules) {
    this.#module = module
    this.floatScratch = scratch
    this.floatRules = rules
  }

  /** See `FloatModule.shared`. */
  shared<R extends ValueType | undefined>(
    name: string,
    params: readonly ValueType[],
    result: R,
    build: (f: FunctionBuilder) => void,
  ): SharedFunction<R> {
    let made = this.#made.get(name)
    if (made === undefined) {
      made = this.#module.function(name, { params, result })
      this.#made.set(name, made)
      build(made)
    }
    return made as SharedFunction<R>
  }
}
