import { FORM_SIGNATURE, generateInterpreter, importDispatch, importMachineMemory } from '@retrap/engine'
import type { FunctionTable, InterpreterCode, InterpreterForms, InterpreterOptions } from '@retrap/engine'
import { ModuleBuilder } from '@retrap/wasm-emitter'
import { FunctionContext, InlineContext, type FormSource } from '../semantics/form-context.ts'
import { formKey, plainForm } from '../state/form.ts'
import { deliverThroughGate } from '../semantics/privileged/interrupt-gate.ts'
import { buildLibrary, type Library } from '../semantics/library.ts'
import { POISONED_LAYOUT, STATE_LAYOUT, STATUS_HANDLER } from '../state/state-layout.ts'

/** Functions of the generated module. */
export interface InterpreterExports {
  readonly run: (state: number, record: number) => number
  readonly address: (state: number, record: number, sizeAndFlags: number) => number
  /** Deliver the event at `EVENT_*` in usual cases: STATUS_JUMP, or STATUS_HANDLER where nothing has changed. */
  readonly deliver32: (state: number, record: number, tlb: number) => number
  readonly deliver64: (state: number, record: number, tlb: number) => number
  /** The functions that units call. */
  readonly flags: (...operands: never[]) => unknown
  readonly slowAccess: (...operands: never[]) => unknown
  readonly checkSegment: (...operands: never[]) => unknown
  /** Functions of forms, then units. */
  readonly table: FunctionTable
}

/** x86's forms, as the engine generates an interpreter from them. */
function x86Forms(
  forms: Iterable<FormSource>,
  hot: ReadonlySet<string>,
  library: Library,
  evexContext: typeof FunctionContext | undefined,
): InterpreterForms<FormSource> {
  return {
    forms,
    hot,
    get shared() {
      return library.shared
    },
    keyOf: ({ form }) => formKey(form),
    emitFunction: (f, source) => {
      const context = new (source.form.evex === undefined ? FunctionContext : evexContext!)(f, source, library)
      if (source.form.vex) context.requireVex()
      source.semantics.emit(context)
      return context.jumps ? 'control' : context.usesFlags ? 'spilled' : 'plain'
    },
    emitInline: (f, source, loop, labels) => source.semantics.emit(new InlineContext(f, source, library, loop, labels)),
  }
}

/** Builds the functions that deliver the event at `EVENT_*`: STATUS_JUMP, or STATUS_HANDLER where nothing has changed. */
function buildDelivery(module: ModuleBuilder, library: Library): void {
  for (const [name, size] of [
    ['deliver32', 4],
    ['deliver64', 8],
  ] as const) {
    const f = module.function(name, FORM_SIGNATURE, { export: true })
    const source = { form: plainForm('event', size), semantics: { emit: deliverThroughGate }, accessFlags: 0 }
    deliverThroughGate(new FunctionContext(f, source, library))
    f.return(STATUS_HANDLER)
    module.complete(f)
  }
}

/**
 * Generates the interpreter of x86.
 *
 * @param hot - keys of the forms to inline
 * @param evexContext - generates forms with EVEX; absent, there are none, and vector registers have 32 bytes
 */
export function generateX86Interpreter(
  forms: Iterable<FormSource>,
  hot: ReadonlySet<string>,
  options: InterpreterOptions,
  evexContext?: typeof FunctionContext,
): InterpreterCode<FormSource> {
  const module = new ModuleBuilder()
  importMachineMemory(module, options.shared)
  const access = module.importFunction('cpu', 'access', { params: ['i32', 'i32', 'i32'], result: 'i32' } as const)
  const timestamp = module.importFunction('cpu', 'timestamp', { params: [], result: undefined } as const)
  const imports = importDispatch(module)
  const library = buildLibrary(module, access, timestamp, evexContext === undefined ? 32 : 64)
  buildDelivery(module, library)
  const layout = options.poison === true ? POISONED_LAYOUT : STATE_LAYOUT
  return generateInterpreter(module, imports, layout, x86Forms(forms, hot, library, evexContext), options)
}
