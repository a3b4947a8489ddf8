/** Decodes A64 loads and stores. */
import { Addressing, beginLoadStore, Extend, InstructionSet, type LoadStore, NO_REGISTER } from './load-store.ts'
import { Matcher } from './matcher.ts'
import { compileRow, expandChoices, extract, fieldOf, type Form, parseRows, type Row } from './row.ts'
import { a64Rows, a64Transfers } from './table/a64-loads.ts'

/** Expands `*` to each of the transfers. */
function expandTransfers(row: Row): Row[] {
  const [, letter] = /^\*(.*)/.exec(row.mnemonic) ?? []
  if (letter === undefined) return [row]
  const rows: Row[] = []
  for (const line of a64Transfers.trim().split('\n')) {
    const [z = '', v = '', o = '', start = '', middle = '', end = '', register = '', ...attributes] = line.split(/ +/)
    if (row.attributes.includes('noprefetch') && attributes[0]?.startsWith('prefetch') === true) continue
    if (row.attributes.includes('general') && v === '1') continue
    const bits = row.encoding.replace('zz', z).replace('v', v).replace('oo', o)
    rows.push({
      encoding: bits,
      // LDUR, LDTR, PRFUM: the letter stands before the R or M.
      mnemonic: `${start}${letter}${middle}${end === '.' ? '' : end}`,
      operands: row.operands.replace('<t>', `<${register}>`),
      attributes: [...attributes, ...row.attributes.filter((each) => each !== 'noprefetch' && each !== 'general')],
    })
  }
  return rows
}

/** The A64 table, one form a row. */
export const loadStoreFormsA64: readonly Form[] = /*#__PURE__*/ parseRows(a64Rows)
  .flatMap(expandTransfers)
  .flatMap(expandChoices)
  .map(compileRow)

const matcher = /*#__PURE__*/ new Matcher(loadStoreFormsA64)

/** Whether a row of `a64Forms` is a load or store. */
export const isLoadStoreA64 = (form: Form): boolean => loadStoreFormsA64[form.index] === form

const even = (register: number): boolean => (register & 1) === 0

/** Whether the encoding is allocated, by rules that bit patterns cannot express. */
export function allocatedLoadStoreA64(form: Form, word: number): boolean {
  const { attributes, operation, fields } = form
  if (attributes.has('couple') || operation === 'load-64b' || operation === 'store-64b') {
    const t = fieldOf(form, 't', word)
    // ST64BV's Xs is any register.
    if (!even(t) || (attributes.has('couple') && !even(fieldOf(form, 's', word)))) return false
    if (!attributes.has('couple') && t > 22) return false
  }
  if (attributes.has('structure') && fields.has('z')) {
    // One doubleword a register leaves nothing to interleave.
    if (fieldOf(form, 'z', word) === 3 && fieldOf(form, 'Q', word) === 0) return false
  }
  if (fields.has('e') && (fieldOf(form, 'e', word) & 2) === 0) return false
  if (fields.has('w') && fieldOf(form, 'w', word) === 0) return false
  if (fields.has('p')) {
    if (fieldOf(form, 'p', word) === 3) return false
    return operation === 'other' || copyRegistersFit(form, word)
  }
  if (attributes.has('pair') && operation === 'atomic') {
    return fieldOf(form, 't', word) !== 31 && fieldOf(form, 'u', word) !== 31
  }
  return true
}

/** Memory copies need registers that differ, and addresses that are no zero register. */
function copyRegistersFit(form: Form, word: number): boolean {
  const t = fieldOf(form, 't', word)
  const s = fieldOf(form, 's', word)
  const n = fieldOf(form, 'n', word)
  if (t === s || t === n || s === n || t === 31) return false
  return form.operation === 'fill' || s !== 31
}

/** Bytes of the register that the first `<?t>` names. */
function registerSize(form: Form, elementSize: number): number {
  const letter = form.operands.charAt(form.operands.indexOf('t>') - 1)
  if (letter === 'W') return 4
  if (letter === 'X') return 8
  return elementSize < 4 && letter === 'R' ? 4 : elementSize
}

/**
 * Decodes one A64 instruction.
 *
 * @param word - the instruction
 * @param insn - filled in if it is a load, a store, or something else that accesses memory at an address from registers
 * @returns whether it is
 *
 * Source: Arm ARM (DDI 0487), "Loads and Stores".
 */
export function decodeLoadStoreA64(word: number, insn: LoadStore): boolean {
  const form = matcher.find(word, allocatedLoadStoreA64)
  if (form === undefined) return false
  fillLoadStoreA64(form, word, insn)
  return true
}

/** Takes an encoding of a row apart. */
export function fillLoadStoreA64(form: Form, word: number, insn: LoadStore): void {
  const { attributes, fields } = form
  beginLoadStore(InstructionSet.A64, form, word, insn)
  insn.acquire = attributes.has('acquire') || fieldOf(form, 'a', word) !== 0
  insn.release = attributes.has('release') || fieldOf(form, 'r', word) !== 0
  let { size } = form
  if (size === 0 && fields.has('z')) size = 1 << fieldOf(form, 'z', word)
  insn.elementSize = size
  insn.registerSize = registerSize(form, size)
  insn.offset = form.by
  insn.addressing = attributes.has('pre')
    ? Addressing.PRE_INDEX
    : attributes.has('post')
      ? Addressing.POST_INDEX
      : attributes.has('literal')
        ? Addressing.LITERAL
        : Addressing.OFFSET
  if (form.immediateScale !== 0) insn.offset = immediate(form, word)
  const wField = fields.get('w')
  if (wField !== undefined) {
    const w = extract(wField, word)
    insn.addressing = w === 1 ? Addressing.POST_INDEX : w === 3 ? Addressing.PRE_INDEX : Addressing.OFFSET
  }
  if (attributes.has('pair')) insn.elements = 2
  else if (attributes.has('couple')) {
    insn.elements = 2
    insn.rt2 = (insn.rt + 1) & 31
  }
  if (attributes.has('extended')) decodeExtend(form, word, insn)
  if (form.operation === 'load-64b' || form.operation === 'store-64b') {
    insn.elementSize = 64
    insn.registerSize = 8
  }
  if (form.registers !== 0) decodeStructure(form, word, insn)
  else insn.vector = /<[BHSDQ]t>/.test(form.operands)
}

/** The offset that the immediate stands for, in bytes. */
function immediate(form: Form, word: number): number {
  const field = form.fields.get('i')
  let value = extract(field, word)
  if (field !== undefined && form.immediateSigned && value >= 1 << (field.width - 1)) value -= 1 << field.width
  return value * form.immediateScale
}

/** By option: UXTW, UXTX (which LSL is written for), SXTW, SXTX. */
const EXTENDS = [Extend.UXTW, Extend.LSL, Extend.SXTW, Extend.SXTX] as const

function decodeExtend(form: Form, word: number, insn: LoadStore): void {
  const option = fieldOf(form, 'e', word)
  insn.extend = EXTENDS[((option >> 1) & 2) | (option & 1)]!
  insn.shift = fieldOf(form, 'S', word) === 0 ? 0 : Math.log2(insn.elementSize || 8)
}

function decodeStructure(form: Form, word: number, insn: LoadStore): void {
  const { fields, registers } = form
  insn.vector = true
  insn.list = registers
  const lane = fields.get('l')
  insn.registerSize = lane === undefined && fieldOf(form, 'Q', word) === 0 ? 8 : 16
  if (lane !== undefined) insn.lane = extract(lane, word)
  else if (form.attributes.has('lane')) insn.lane = fieldOf(form, 'Q', word)
  if (insn.lane >= 0 || form.attributes.has('replicate')) {
    insn.elements = registers
  } else insn.elements = (registers * insn.registerSize) / insn.elementSize
  if (insn.addressing === Addressing.POST_INDEX && insn.rm === 31) {
    insn.rm = NO_REGISTER
    insn.offset = insn.elements * insn.elementSize
  }
}
