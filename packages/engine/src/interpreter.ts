import { STATUS_DONE } from '@retrap/replay'
import type { Callee, FunctionBuilder, ModuleBuilder } from '@retrap/wasm-emitter'
import { type DispatchCounters, DispatchLoop } from './dispatch-loop.ts'
import type { DispatchImports, DispatchLabels } from './loop-branches.ts'
import type { StateLayout } from './loop-state.ts'
import { OP_CALL, OP_CALL_CONTROL, OP_CALL_SPILLED, OP_FIRST_FORM } from './record.ts'
import { FORM_SIGNATURE } from './status.ts'

/** How the interpreter executes a form: {@link R_OP} and {@link R_FUNCTION} of its records. */
export interface FormCode {
  /** Case of the dispatch switch. */
  readonly op: number
  /** Entry of the function table; 0 for an inlined form. */
  readonly fn: number
}

/** A generated interpreter. */
export interface InterpreterCode<Form = unknown> {
  /** The module, in the WebAssembly binary format. */
  readonly bytes: Uint8Array
  /** Code of each form, by its key. */
  readonly codes: ReadonlyMap<string, FormCode>
  /** Returns the form of a record's case and table entry; undefined if none. */
  formOf(op: number, fn: number): Form | undefined
  /** Returns the size of a form's function, in bytes; 0 for an inlined form. */
  functionBytes(op: number, fn: number): number
  /** Entries of the function table that hold {@link InterpreterForms.shared}, by name. */
  readonly sharedEntries: ReadonlyMap<string, number>
  /** Number of entries of the function table, which the module exports as `table`. */
  readonly tableEntries: number
  /** Bytes of the main function. V8 optimises up to about 40 KB within a second; see {@link generateInterpreter}. */
  readonly mainBytes: number
}

/**
 * The work that a form's function is around its call: none; state that compiled code holds in locals, such as flags, has to be
 * in memory; or that, and a check of the next address, for a function that may end with {@link STATUS_JUMP} or
 * {@link STATUS_HANDLER} or uses the budget.
 */
export type FormCall = 'plain' | 'spilled' | 'control'

/** The forms of an instruction set, for {@link generateInterpreter}. A form is a kind of instruction with its operand kinds. */
export interface InterpreterForms<Form> {
  /** All forms; of several with one key the first is taken. */
  readonly forms: Iterable<Form>
  /** Keys of the forms to inline. */
  readonly hot: ReadonlySet<string>
  /** Returns a form's key. */
  keyOf(form: Form): string
  /**
   * Emits a form as a function `(state, record, tlb) → status`. Control that falls out of its code ends with
   * `STATUS_DONE`.
   *
   * @param f - of type {@link FORM_SIGNATURE}
   */
  emitFunction(f: FunctionBuilder, form: Form): FormCall
  /**
   * Emits a form in the main function. Control that falls out of its code goes on with the next record.
   *
   * @param f - the main function, with parameters `(state, record)`
   */
  emitInline(f: FunctionBuilder, form: Form, loop: DispatchLoop, labels: DispatchLabels): void
  /** Functions that forms share, by name; complete once all forms are emitted. They get entries of the table too. */
  readonly shared?: ReadonlyMap<string, Callee>
}

/** All that 32 bits address. A module that declares this much takes smaller memories too; a shared one has to be declared. */
const LARGEST_MEMORY_PAGES = 0x1_0000

/**
 * Imports machine memory of any size into a module, as `cpu.memory`.
 *
 * @param module - without a memory
 * @param shared - whether machine memory is shared between threads
 */
export function importMachineMemory(module: ModuleBuilder, shared: boolean): void {
  module.importMemory({
    module: 'cpu',
    name: 'memory',
    initialPages: 1,
    ...(shared ? { maximumPages: LARGEST_MEMORY_PAGES, shared: true } : {}),
  })
}

/**
 * Imports the dispatch loop's host functions into a module, as `cpu.system`, `cpu.fetch`, `cpu.cross` and `cpu.hot`.
 *
 * @param module - module without functions so far
 */
export function importDispatch(module: ModuleBuilder): DispatchImports {
  const system = module.importFunction('cpu', 'system', { params: ['i32', 'i32'], result: 'i32' } as const)
  const fetch = module.importFunction('cpu', 'fetch', { params: ['i32', 'i32'], result: 'i32' } as const)
  const cross = module.importFunction('cpu', 'cross', { params: ['i32'], result: 'i32' } as const)
  const hot = module.importFunction('cpu', 'hot', { params: ['i32'], result: 'i32' } as const)
  return { system, fetch, cross, hot }
}

const CALL_OPS: Readonly<Record<FormCall, number>> = {
  plain: OP_CALL,
  spilled: OP_CALL_SPILLED,
  control: OP_CALL_CONTROL,
}

/**
 * Generates an interpreter and completes its module.
 *
 * The exported function `run(state, record) → status` is a {@link DispatchLoop} with the hot forms inlined; every other
 * form is a function of the module's table. Keep the main function under 40 KB: the time that V8 takes to optimise it
 * grows faster than its size.
 *
 * @param module - already has its memory, imports and library functions
 * @param imports - result of {@link importDispatch}
 * @param layout - the fields of the processor's state
 * @param source - the instruction set
 * @param counters - addresses of counters; absent: nothing is counted
 */
export function generateInterpreter<Form>(
  module: ModuleBuilder,
  imports: DispatchImports,
  layout: StateLayout,
  source: InterpreterForms<Form>,
  counters: DispatchCounters = {},
): InterpreterCode<Form> {
  const codes = new Map<string, FormCode>()
  const elements: Callee[] = []
  const inlined: Form[] = []
  const called: { readonly form: Form; readonly bytes: number }[] = []
  for (const form of source.forms) {
    const key = source.keyOf(form)
    if (codes.has(key)) continue
    if (source.hot.has(key)) {
      codes.set(key, { op: OP_FIRST_FORM + inlined.length, fn: 0 })
      inlined.push(form)
      continue
    }
    const f = module.function(key, FORM_SIGNATURE)
    const call = source.emitFunction(f, form)
    f.return(STATUS_DONE)
    module.complete(f)
    called.push({ form, bytes: f.codeBytes })
    codes.set(key, { op: CALL_OPS[call], fn: elements.length })
    elements.push(f)
  }
  const sharedEntries = new Map<string, number>()
  for (const [name, f] of source.shared ?? []) {
    sharedEntries.set(name, elements.length)
    elements.push(f)
  }
  module.table(elements, 'table')
  const callType = module.typeIndex(FORM_SIGNATURE)
  const main = module.function('run', { params: ['i32', 'i32'], result: 'i32' } as const, { export: true })
  const loop = new DispatchLoop(main, layout, imports, callType, counters)
  loop.build(inlined.map((form) => (labels) => source.emitInline(main, form, loop, labels)))
  return {
    bytes: module.build(),
    codes,
    formOf: (op, fn) => (op >= OP_FIRST_FORM ? inlined[op - OP_FIRST_FORM] : called[fn]?.form),
    functionBytes: (op, fn) => (op >= OP_FIRST_FORM ? 0 : (called[fn]?.bytes ?? 0)),
    sharedEntries,
    tableEntries: elements.length,
    mainBytes: main.codeBytes,
  }
}
