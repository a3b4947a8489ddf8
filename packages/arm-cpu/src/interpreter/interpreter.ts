import {
  generateInterpreter,
  importDispatch,
  importMachineMemory,
  type DispatchLabels,
  type DispatchLoop,
  type FormCall,
  type I32Callee,
  type InterpreterCode,
  type InterpreterForms,
  type InterpreterOptions,
} from '@retrap/engine'
import { ModuleBuilder, type Callee, type FunctionBuilder } from '@retrap/wasm-emitter'
import { a32Sources } from '../semantics/aarch32/forms.ts'
import { FunctionContext, InlineContext } from '../semantics/form-context.ts'
import type { FormSource } from '../semantics/semantics.ts'
import { armForms } from '../semantics/index.ts'
import { ArmLibrary } from '../semantics/library.ts'
import { POISONED_LAYOUT, STATE_LAYOUT } from '../state/state-layout.ts'
import { valueOf, type ArmForm } from '../state/form.ts'

/** A64's forms, as the engine generates an interpreter from them. */
class ArmForms implements InterpreterForms<FormSource> {
  readonly forms: Iterable<FormSource>
  readonly hot: ReadonlySet<string>
  readonly #access: I32Callee
  readonly #library: ArmLibrary

  constructor(forms: Iterable<FormSource>, hot: ReadonlySet<string>, access: I32Callee, library: ArmLibrary) {
    this.forms = forms
    this.hot = hot
    this.#access = access
    this.#library = library
  }

  keyOf({ form }: FormSource): string {
    return form.key
  }

  emitFunction(f: FunctionBuilder, { form, semantics }: FormSource): FormCall {
    const context = new FunctionContext(f, form, this.#access, this.#library)
    semantics.emit(context, form)
    return context.jumps ? 'control' : context.usesFlags ? 'spilled' : 'plain'
  }

  get shared(): ReadonlyMap<string, Callee> {
    return this.#library.functions
  }

  emitInline(f: FunctionBuilder, { form, semantics }: FormSource, loop: DispatchLoop, labels: DispatchLabels): void {
    semantics.emit(new InlineContext({ f, form, access: this.#access, library: this.#library, loop, labels }), form)
  }
}

/** All forms that the interpreter executes; of several with one key the first counts. */
export const allForms = (): FormSource[] => [...armForms().values(), ...a32Sources().values()].flat()

/** Generates the interpreter of A64 and A32. */
export function generateArmInterpreter(options: InterpreterOptions): InterpreterCode<FormSource> {
  const module = new ModuleBuilder()
  importMachineMemory(module, options.shared)
  const access = module.importFunction('cpu', 'access', { params: ['i32', 'i32', 'i32'], result: 'i32' } as const)
  const imports = importDispatch(module)
  const forms = allForms()
  const hot = new Set(forms.filter(({ form }) => isHotForm(form)).map(({ form }) => form.key))
  return generateInterpreter(
    module,
    imports,
    options.poison === true ? POISONED_LAYOUT : STATE_LAYOUT,
    new ArmForms(forms, hot, access, new ArmLibrary(module)),
    options,
  )
}

/**
 * Forms that are inlined in the interpreter's main function, by their mnemonic: the most frequent ones in compiled programs,
 * as long as the main function stays below the 40 KB that V8 optimises quickly. Every other form is a separate function,
 * called through the table.
 */
const HOT: ReadonlyMap<string, (form: ArmForm) => boolean> = /*#__PURE__*/ hotForms()

function hotForms(): Map<string, (form: ArmForm) => boolean> {
  const always = (): boolean => true
  /** Of general-purpose registers: of immediates, and of registers that are shifted left if at all. */
  const plain = (form: ArmForm): boolean =>
    /^<[WXR]/.test(form.row.operands) && !form.row.fields.has('e') && valueOf(form, 'k') === 0
  const inPage = ({ target }: ArmForm): boolean => target !== 'far'
  /** At a base and an immediate offset, or a base and an index of 64 bits. */
  const simple = ({ row, values }: ArmForm): boolean =>
    /^<[WX]t>/.test(row.operands) && !row.attributes.has('literal') && (values.get('e') ?? 3) === 3
  const offset = (form: ArmForm): boolean => simple(form) && form.row.immediateScale !== 0
  const pair = (form: ArmForm): boolean => form.row.operands.startsWith('<Xt>') && valueOf(form, 'w') !== 0
  const table: readonly (readonly [mnemonics: string, isHot: (form: ArmForm) => boolean])[] = [
    ['ADD ADDS SUB SUBS AND ANDS ORR EOR', plain],
    ['MOVZ MOVN MOVK UBFM SBFM MADD ADR ADRP BL RET', always],
    ['B B.<cond> CBZ CBNZ TBZ TBNZ', inPage],
    ['LDR STR', simple],
    ['LDRB STRB LDRH STRH LDRSW LDUR STUR', offset],
    ['LDP STP', pair],
  ]
  return new Map(table.flatMap(([names, isHot]) => names.split(' ').map((name) => [name, isHot] as const)))
}

/** Whether the interpreter's main function executes a form by itself. */
function isHotForm(form: ArmForm): boolean {
  return HOT.get(form.row.mnemonic)?.(form) === true
}
