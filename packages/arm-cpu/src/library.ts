import type { Callee, FunctionBuilder, ModuleBuilder, ValueOf, ValueType } from '@retrap/wasm-emitter'

/** The parameters of a function, as values. */
type Parameters<P extends readonly ValueType[]> = { [I in keyof P]: ValueOf[P[I]] }

/** A function of the module that yields a value. */
type Yielding<R extends ValueType> = Callee & { readonly signature: { readonly result: R } }

/** Functions of a generated module that instructions share; each is made when the first of them asks for it. */
export class ArmLibrary {
  readonly #module: ModuleBuilder
  readonly #made = new Map<string, FunctionBuilder>()

  constructor(module: ModuleBuilder) {
    this.#module = module
  }

  /**
   * The function of a name.
   *
   * @param build - what it returns, from its parameters; only called if it is not there yet
   */
  function<const P extends readonly ValueType[], R extends ValueType>(
    name: string,
    params: P,
    result: R,
    build: (f: FunctionBuilder, ...values: Parameters<P>) => ValueOf[R],
  ): Yielding<R> {
    let made = this.#made.get(name)
    if (made === undefined) {
      made = this.#module.function(name, { params, result })
      this.#made.set(name, made)
      const values = params.map((type, i) => made!.param(i, type).get) as unknown as Parameters<P>
      made.return(build(made, ...values) as never)
    }
    return made as unknown as Yielding<R>
  }
}
