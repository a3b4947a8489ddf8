import type { FunctionBuilder, ValueType, ModuleBuilder } from '@retrap/wasm-emitter'

/** A function that {@link FloatModule.shared} has made. */
export type SharedFunction<R extends ValueType | undefined = undefined> = FunctionBuilder & {
  readonly signature: { readonly result: R }
}

/** The choices that the standard leaves to architectures. */
export interface FloatRules {
  /** Sign of the NaN that an invalid operation gives: 0 or 1. */
  readonly defaultNanSign: 0 | 1
  /** The NaN operand that survives: the first operand, or the first signalling NaN, if any. */
  readonly survivingNan: 'first' | 'first-signalling'
  /** Whether the addend is the first among the NaN operands of a fused multiply-add, else the last. */
  readonly addendFirst: boolean
  /** Infinity times zero is invalid although the addend is a quiet NaN. */
  readonly invalidProductFirst: boolean
  /** Whether tininess is detected before rounding, or after. */
  readonly tininess: 'before-rounding' | 'after-rounding'
  /** When a denormal operand raises `FE_DENORMAL`: if it is used, or if it is flushed to zero. */
  readonly denormalOperand: 'raises' | 'raises-when-flushed'
  /** A tiny result that is replaced by zero is inexact too. */
  readonly flushedIsInexact: boolean
  /** `FC_DAZ` and `FC_FTZ` hold for half precision too. */
  readonly flushesHalf: boolean
}

/** The module for the generated functions. Each function is made on first use. */
export interface FloatModule {
  /**
   * Offset of the scratch area, `SCRATCH_BYTES` long and aligned to 16 bytes, from the address that functions take as their
   * first argument.
   */
  readonly floatScratch: number
  /** The choices of the architecture. */
  readonly floatRules: FloatRules
  /**
   * A function of the module.
   *
   * @param build - generates its body, the first time that a function of this name is asked for
   */
  shared<R extends ValueType | undefined>(
    name: string,
    params: readonly ValueType[],
    result: R,
    build: (f: FunctionBuilder) => void,
  ): SharedFunction<R>
}

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
