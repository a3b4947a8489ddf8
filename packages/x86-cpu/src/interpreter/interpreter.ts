import { FORM_SIGNATURE, generateInterpreter, importDispatch, importMachineMemory } from '@retrap/engine'
import type {
  DispatchLabels,
  DispatchLoop,
  FormCall,
  FunctionTable,
  InterpreterCode,
  InterpreterForms,
  InterpreterOptions,
} from '@retrap/engine'
import { ModuleBuilder } from '@retrap/wasm-emitter'
import type { FunctionBuilder } from '@retrap/wasm-emitter'
import { FunctionContext, InlineContext } from '../semantics/form-context.ts'
import type { FormSource } from '../semantics/form-context.ts'
import { formKey, plainForm } from '../state/form.ts'
import { deliverThroughGate } from '../semantics/privileged/interrupt-gate.ts'
import { buildLibrary } from '../semantics/library.ts'
import type { Library } from '../semantics/library.ts'
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
class X86Forms implements InterpreterForms<FormSource> {
  readonly forms: Iterable<FormSource>
  readonly hot: ReadonlySet<string>
  readonly #library: Library

  readonly #evexContext: typeof FunctionContext | undefined

  constructor(
    forms: Iterable<FormSource>,
    hot: ReadonlySet<string>,
    library: Library,
    evexContext: typeof FunctionContext | undefined,
  ) {
    this.#evexContext = evexContext
    this.forms = forms
    this.hot = hot
    this.#library = library
  }

  keyOf({ form }: FormSource): string {
    return formKey(form)
  }

  emitFunction(f: FunctionBuilder, source: FormSource): FormCall {
    const context = new (source.form.evex === undefined ? FunctionContext : this.#evexContext!)(
      f,
      source,
      this.#library,
    )
    if (source.form.vex) context.requireVex()
    source.semantics.emit(context)
    return context.jumps ? 'control' : context.usesFlags ? 'spilled' : 'plain'
  }

  emitInline(f: FunctionBuilder, source: FormSource, loop: DispatchLoop, labels: DispatchLabels): void {
    source.semantics.emit(new InlineContext(f, source, this.#library, loop, labels))
  }

  get shared(): ReadonlyMap<string, FunctionBuilder> {
    return this.#library.shared
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
  return generateInterpreter(module, imports, layout, new X86Forms(forms, hot, library, evexContext), options)
}
