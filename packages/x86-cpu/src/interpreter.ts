import { ModuleBuilder } from '@retrap/wasm-emitter'
import type { Callee } from '@retrap/wasm-emitter'
import { OP_CALL, OP_CALL_CONTROL, OP_CALL_FLAGS, OP_FIRST_FORM } from './record.ts'
import { formKey } from './semantics/form.ts'
import { buildLibrary } from './semantics/library.ts'
import { STATUS_DONE } from './state-layout.ts'

import { FunctionContext } from './form-context.ts'
import type { FormSource } from './form-context.ts'
import { MainLoop } from './main-loop.ts'

/** How the interpreter executes a form: what goes into R_OP and R_FUNCTION of its records. */
export interface FormCode {
  readonly op: number
  readonly fn: number
}

export interface InterpreterCode {
  readonly bytes: Uint8Array
  readonly codes: ReadonlyMap<string, FormCode>
  /** Bytes of the main function, which V8 must be able to optimise quickly (engine.md: under 40 KB). */
  readonly mainBytes: number
}

export interface InterpreterOptions {
  readonly shared: boolean
  /** Size of a shared memory, in 64 KiB pages. */
  readonly maximumPages: number
  /** Machine address of 64-bit counters, one for each case and then one for each table entry: how often it ran. */
  readonly profileAt?: number | undefined
}

/**
 * Generates the interpreter: one function with a loop over `br_table` for the hot forms, and a table of functions for
 * all others (engine.md, "Interpreter").
 *
 * @param hot - keys of the forms to inline, in order of their cases
 */
export function generateInterpreter(
  sources: Iterable<FormSource>,
  hot: ReadonlySet<string>,
  options: InterpreterOptions,
): InterpreterCode {
  const module = new ModuleBuilder()
  module.importMemory({
    module: 'cpu',
    name: 'memory',
    initialPages: 1,
    ...(options.shared ? { maximumPages: options.maximumPages, shared: true } : {}),
  })
  const slowAccess = module.importFunction('cpu', 'access', { params: ['i32', 'i32', 'i32'], result: 'i32' } as const)
  const system = module.importFunction('cpu', 'system', { params: ['i32', 'i32'], result: 'i32' } as const)
  const fetch = module.importFunction('cpu', 'fetch', { params: ['i32', 'i32'], result: 'i32' } as const)
  const cross = module.importFunction('cpu', 'cross', { params: ['i32'], result: 'i32' } as const)
  const library = buildLibrary(module, slowAccess)

  const codes = new Map<string, FormCode>()
  const elements: Callee[] = []
  const inline: FormSource[] = []
  for (const source of sources) {
    const key = formKey(source.form)
    if (codes.has(key)) continue
    if (hot.has(key)) {
      codes.set(key, { op: OP_FIRST_FORM + inline.length, fn: 0 })
      inline.push(source)
      continue
    }
    const f = module.function(key, { params: ['i32', 'i32', 'i32'], result: 'i32' } as const)
    const context = new FunctionContext(f, source, library)
    if (source.form.vex) context.requireVex()
    source.semantics.emit(context)
    f.return(STATUS_DONE)
    module.complete(f)
    const op = context.jumps ? OP_CALL_CONTROL : context.usesFlags ? OP_CALL_FLAGS : OP_CALL
    codes.set(key, { op, fn: elements.length })
    elements.push(f)
  }
  module.table(elements)
  const callType = module.typeIndex({ params: ['i32', 'i32', 'i32'], result: 'i32' })
  const main = module.function('run', { params: ['i32', 'i32'], result: 'i32' } as const, { export: true })
  new MainLoop(main, library, { system, fetch, cross, callType }, inline, options.profileAt).build()
  return { bytes: module.build(), codes, mainBytes: main.codeBytes }
}
