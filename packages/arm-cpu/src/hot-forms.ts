import { valueOf } from './form.ts'
import type { ArmForm } from './form.ts'

/**
 * Forms that are inlined in the interpreter's main function, by their mnemonic: what compilers make most of their code of, as
 * long as the main function stays under the 40 KB that V8 optimises quickly. A form that is not here is a function of its own,
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
export function isHotForm(form: ArmForm): boolean {
  return HOT.get(form.row.mnemonic)?.(form) === true
}
