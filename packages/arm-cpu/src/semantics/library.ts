import { FORM_SIGNATURE, type TableCallee } from '@retrap/engine'
import type { FloatModule, FloatRules, SharedFunction } from '@retrap/soft-float'
import type { Callee, FunctionBuilder, I32, ModuleBuilder, ValueOf, ValueType } from '@retrap/wasm-emitter'
import { FLOAT_RULES } from '../state/float-rules.ts'
import { S_FLOAT } from '../state/state-layout.ts'

/** The parameters of a function, as values. */
type Parameters<P extends readonly ValueType[]> = { [I in keyof P]: ValueOf[P[I]] }

/** Functions of a generated module that instructions share, each made on first use. */
export class ArmLibrary implements FloatModule {
  readonly floatScratch: number = S_FLOAT
  readonly floatRules: FloatRules = FLOAT_RULES
  protected readonly module: ModuleBuilder
  protected readonly made: Map<string, FunctionBuilder> = new Map<string, FunctionBuilder>()

  constructor(module: ModuleBuilder) {
    this.module = module
  }

  /** All functions made so far. */
  get functions(): ReadonlyMap<string, Callee> {
    return this.made
  }

  /**
   * The function of a name.
   *
   * @param build - builds the function's result from its parameters; called only on first use
   */
  function<const P extends readonly ValueType[], R extends ValueType>(
    name: string,
    params: P,
    result: R,
    build: (f: FunctionBuilder, ...values: Parameters<P>) => ValueOf[R],
  ): SharedFunction<R> {
    return this.shared(name, params, result, (f) => {
      const values = params.map((type, i) => f.param(i, type).get) as unknown as Parameters<P>
      f.return(build(f, ...values) as never)
    })
  }

  /** Calls a form by its table entry. @returns the form's status */
  callForm(f: FunctionBuilder, entry: I32, ...operands: [state: I32, record: I32, tlb: I32]): I32 {
    return f.callIndirect(FORM_SIGNATURE, this.module.typeIndex(FORM_SIGNATURE), entry, ...operands) as I32
  }

  /** {@link ArmLibrary.function} for code that returns by itself. */
  shared<R extends ValueType | undefined>(
    name: string,
    params: readonly ValueType[],
    result: R,
    build: (f: FunctionBuilder) => void,
  ): SharedFunction<R> {
    let made = this.made.get(name)
    if (made === undefined) {
      made = this.module.function(name, { params, result })
      this.made.set(name, made)
      build(made)
    }
    return made as SharedFunction<R>
  }
}

/** The same functions for units, which import the interpreter's. */
export class UnitLibrary extends ArmLibrary {
  readonly #entries: ReadonlyMap<string, number>

  /** @param entries - the functions' entries of the table */
  constructor(module: ModuleBuilder, entries: ReadonlyMap<string, number>) {
    super(module)
    this.#entries = entries
  }

  override shared<R extends ValueType | undefined>(
    name: string,
    params: readonly ValueType[],
    result: R,
  ): SharedFunction<R> {
    let made = this.made.get(name)
    if (made === undefined) {
      const entry = this.#entries.get(name)
      if (entry === undefined) throw new TypeError(`no shared function ${name}`)
      const signature = { params, result }
      const callee: TableCallee = { index: 0, signature, entry, typeIndex: this.module.typeIndex(signature) }
      made = callee as unknown as FunctionBuilder
      this.made.set(name, made)
    }
    return made as SharedFunction<R>
  }
}
