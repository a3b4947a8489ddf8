import type { DispatchCounters } from './dispatch-loop.ts'
import type { InterpreterCode } from './interpreter.ts'

/** The machines of an interpreter: the memory that it accesses, and its counters. */
export interface InterpreterOptions extends DispatchCounters {
  /** Machine memory is shared between threads. */
  readonly shared: boolean
  /** Scratch areas of the state are overwritten before each instruction: for tests. Default false. */
  readonly poison?: boolean
}

/** An interpreter with its compiled module. */
export interface CompiledInterpreter<Form> {
  /** The interpreter. */
  readonly code: InterpreterCode<Form>
  /** The `WebAssembly.Module`; an object to users, because its type exists only where lib.dom does. */
  readonly module: object
}

/**
 * The interpreters of an instruction set, by the machines that they are for: all machines of a kind in a process have one.
 */
export class Interpreters<Form> {
  readonly #generate: (options: InterpreterOptions) => InterpreterCode<Form>
  readonly #compiled = new Map<string, CompiledInterpreter<Form>>()
  readonly #given = new Map<string, InterpreterCode<Form>>()

  /** @param generate - generates one; called once for each kind of machines */
  constructor(generate: (options: InterpreterOptions) => InterpreterCode<Form>) {
    this.#generate = generate
  }

  /**
   * Uses an interpreter that was generated elsewhere for the machines of a kind, unless one exists: it is compiled for the first of
   * them.
   */
  give(options: InterpreterOptions, code: InterpreterCode<Form>): void {
    this.#given.set(keyOf(options), code)
  }

  /** Returns the interpreter of the machines of a kind. */
  of(options: InterpreterOptions): CompiledInterpreter<Form> {
    const key = keyOf(options)
    let known = this.#compiled.get(key)
    if (known === undefined) {
      const code = this.#given.get(key) ?? this.#generate(options)
      known = { code, module: new WebAssembly.Module(code.bytes as Uint8Array<ArrayBuffer>) }
      this.#compiled.set(key, known)
    }
    return known
  }

  /**
   * Generates the interpreter that the first machine of a kind generates otherwise.
   *
   * @param shared - for machine memory that is shared between threads
   * @param jit - for machines that compile hot code
   */
  prepare(shared: boolean, jit: boolean): void {
    this.of({ shared, hot: jit })
  }
}

const keyOf = ({ shared, profileAt, hot, poison }: InterpreterOptions): string =>
  `${shared ? 'shared' : 'plain'} ${profileAt ?? ''} ${hot === true ? 'counted' : ''} ${poison === true ? 'poison' : ''}`
