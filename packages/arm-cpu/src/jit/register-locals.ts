import type { FunctionBuilder, I32, Local, ValueOf } from '@retrap/wasm-emitter'

/** Registers of one file in a unit's locals. They are loaded at the unit's entry if it uses them. */
export class RegisterLocals<T extends 'i64' | 'v128'> {
  readonly #f: FunctionBuilder
  readonly #state: I32
  readonly #type: T
  readonly #placeOf: (register: number) => number
  /** Locals by register; undefined for registers that stay in the state. */
  protected readonly locals: readonly (Local<T> | undefined)[]
  readonly #used = new Set<number>()
  readonly #written = new Set<number>()

  /** @param placeOf - offset of a register in the state */
  constructor(
    f: FunctionBuilder,
    state: I32,
    type: T,
    placeOf: (register: number) => number,
    locals: readonly (Local<T> | undefined)[],
  ) {
    this.#f = f
    this.#state = state
    this.#type = type
    this.#placeOf = placeOf
    this.locals = locals
  }

  read(register: number): ValueOf[T] {
    this.#used.add(register)
    return this.locals[register]!.get
  }

  write(register: number, value: ValueOf[T]): void {
    this.#used.add(register)
    this.#written.add(register)
    this.#f.set(this.locals[register]!, value)
  }

  /** Emits loads of registers from the state, by default of all that the unit uses. */
  load(registers: Iterable<number> = this.#used): void {
    const op = `${this.#type}.load` as 'i64.load'
    for (const i of registers) {
      const value = this.#f.loadExpression(op, this.#state, this.#placeOf(i)) as ValueOf[T]
      this.#f.set(this.locals[i]!, value)
    }
  }

  /** Emits stores of registers into the state, by default of all that the unit writes. */
  store(registers: Iterable<number> = this.#written): void {
    const op = `${this.#type}.store` as 'i64.store'
    for (const i of registers) this.#f.store(op, this.#state, this.locals[i]!.get as ValueOf['i64'], this.#placeOf(i))
  }

  /** Emits stores of registers before a call of a function that may access them. */
  protected spillAll(registers: readonly number[]): void {
    for (const register of registers) {
      this.#used.add(register)
      this.#written.add(register)
    }
    this.store(registers)
  }
}
