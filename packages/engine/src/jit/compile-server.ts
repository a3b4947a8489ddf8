import type { HelperAnswer, HelperKind, HelperMessage } from './compile-helper.ts'
import type { UnitEmitter } from './instruction-set.ts'
import { processorTime } from './jit-statistics.ts'
import { type CompilerTarget, UnitCompiler } from './unit-compiler.ts'

/** An emitter of a thread that compiles, which knows forms by the names that `CompiledInstructionSet.nameOf` gives them. */
export interface NamedEmitter<Form> extends UnitEmitter<Form> {
  /** Returns the form of a name. */
  formOf(name: string): Form
}

/** Makes an emitter from an instruction set's own data: `CompiledInstructionSet.emitterKind`. */
export type OpenEmitter = (kind: object) => Promise<NamedEmitter<unknown>>

/** Compiles the jobs that a machine of another thread posts. */
export class CompileServer {
  readonly #openers: Readonly<Record<string, OpenEmitter>>
  readonly #answer: (answer: HelperAnswer) => void
  readonly #isFirstCaller: boolean
  #opened: Promise<JobCompiler> | undefined

  /**
   * @param openers - makers of emitters by the names of the instruction sets
   * @param answer - posts to the machine
   * @param isFirstCaller - units are called here first, for an access outside of memory: not for pages, whose hosts may crash.
   * Hosts make machine code at the first call, and share it between threads
   */
  constructor(
    openers: Readonly<Record<string, OpenEmitter>>,
    answer: (answer: HelperAnswer) => void,
    isFirstCaller = false,
  ) {
    this.#openers = openers
    this.#answer = answer
    this.#isFirstCaller = isFirstCaller
  }

  /** Receives a message of the machine's. */
  receive(message: HelperMessage): void {
    if (!('job' in message)) this.#opened = this.#open(message)
    else void this.#opened?.then((compiler) => this.#answer(compiler.answer(message)))
  }

  async #open({ name, emitter, target }: HelperKind): Promise<JobCompiler> {
    return new JobCompiler(await this.#openers[name]!(emitter), target, this.#isFirstCaller)
  }
}

/** Compiles the jobs of one machine. */
export class JobCompiler {
  readonly #emitter: NamedEmitter<unknown>
  readonly #compiler: UnitCompiler<unknown>
  readonly #forms = new Map<string, unknown>()
  /** Widths of addresses whose function by which units are left has been posted. */
  readonly #left = new Set<boolean>()
  readonly #isFirstCaller: boolean
  readonly #stubs: Readonly<Record<string, unknown>>

  constructor(emitter: NamedEmitter<unknown>, target: CompilerTarget, isFirstCaller = false) {
    this.#isFirstCaller = isFirstCaller
    this.#emitter = emitter
    this.#compiler = new UnitCompiler(emitter, target)
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: target.shared })
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 })
    const stub = (): never => {
      throw new TypeError('a unit of no machine')
    }
    this.#stubs = new Proxy({ memory, table } as Record<string, unknown>, {
      get: (all, name) => all[name as string] ?? stub,
    })
  }

  /** Executes a job. */
  answer({ number, job }: Exclude<HelperMessage, HelperKind>): HelperAnswer {
    const began = processorTime()
    const form = job.form.map((name) => name && this.#formOf(name))
    let unit: HelperAnswer['unit']
    try {
      const { module, marks, source } = this.#compiler.compile({ ...job, form })
      const compiled = new WebAssembly.Module(module as Uint8Array<ArrayBuffer>)
      if (this.#isFirstCaller) this.#call(compiled)
      unit = { compiled, module, marks, source, leave: this.#leave(job.mode) }
    } catch (error) {
      unit = String(error)
    }
    return { number, milliseconds: processorTime() - began, unit }
  }

  #leave(mode: number): object | undefined {
    const isWide = this.#emitter.isWide(mode)
    if (this.#left.has(isWide)) return undefined
    this.#left.add(isWide)
    return this.#compiler.compileLeave(isWide)
  }

  #formOf(name: string): unknown {
    let form = this.#forms.get(name)
    if (form === undefined) this.#forms.set(name, (form = this.#emitter.formOf(name)))
    return form
  }

  /** Calls a unit. Its first load, from its record, is outside of this module's memory. */
  #call(compiled: WebAssembly.Module): void {
    const { exports } = new WebAssembly.Instance(compiled, { cpu: this.#stubs as never })
    const outside = -0x1_0000
    try {
      ;(exports['unit'] as (...parameters: number[]) => unknown)(outside, outside, outside)
    } catch {
      // The trap is expected.
    }
  }
}
