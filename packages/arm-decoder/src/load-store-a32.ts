/** Decodes A32, T32 and T16 loads and stores. */
import { Addressing, beginLoadStore, Extend, InstructionSet, type LoadStore, NO_REGISTER } from './load-store.ts'
import { Matcher, ones } from './matcher.ts'
import { compileRow, expandChoices, fieldOf, type Form, parseRows, type Row } from './row.ts'
import { a32Rows, coprocessorRows, structureRows } from './table/a32.ts'
import { t16Rows } from './table/t16.ts'
import { t32Rows } from './table/t32.ts'

const compile = (rows: () => readonly Row[]): readonly Form[] => rows().flatMap(expandChoices).map(compileRow)

/** Prepends bits to the rows' encodings, or replaces the condition by them. */
export const lead = (rows: readonly Row[], bits: string): Row[] =>
  rows.map((row) => ({
    ...row,
    encoding: row.encoding.length < 32 ? bits + row.encoding : row.encoding.replace('cccc', bits),
  }))

/** The A32 table, one form a row. */
export const loadStoreFormsA32: readonly Form[] = /*#__PURE__*/ compile(() => [
  ...parseRows(a32Rows),
  ...parseRows(coprocessorRows),
  ...lead(parseRows(structureRows), '11110100'),
])

/** The table of Thumb instructions of two halfwords, one form a row. */
export const loadStoreFormsT32: readonly Form[] = /*#__PURE__*/ compile(() => [
  ...parseRows(t32Rows),
  ...lead(parseRows(coprocessorRows), '1110'),
  ...lead(parseRows(structureRows), '11111001'),
])

/** The table of Thumb instructions of one halfword, one form a row. */
export const loadStoreFormsT16: readonly Form[] = /*#__PURE__*/ compile(() => parseRows(t16Rows))

const a32Matcher = /*#__PURE__*/ new Matcher(loadStoreFormsA32)
const t32Matcher = /*#__PURE__*/ new Matcher(loadStoreFormsT32)
const t16Matcher = /*#__PURE__*/ new Matcher(loadStoreFormsT16)

const PC = 15
const SP = 13
const LR = 14

/** Pre- and post-indexed. A form that would load PC without write-back is a hint. */
const writesBack = (form: Form, word: number): boolean =>
  form.fields.has('P') && (fieldOf(form, 'P', word) === 0 || fieldOf(form, 'W', word) !== 0)

/** Whether a form is one of the loads and stores of A32 or Thumb. */
export const isLoadStoreA32 = (form: Form): boolean =>
  loadStoreFormsA32[form.index] === form ||
  loadStoreFormsT32[form.index] === form ||
  loadStoreFormsT16[form.index] === form

/** Whether the encoding of a load or store is allocated: what bit patterns alone cannot say. */
export function allocatedLoadStoreA32(form: Form, word: number): boolean {
  const { attributes, fields } = form
  if (fields.has('c') && fieldOf(form, 'c', word) === 15) return false
  if (attributes.has('base') && fieldOf(form, 'n', word) === PC) return false
  if (attributes.has('notpc') && fieldOf(form, 't', word) === PC && !writesBack(form, word)) return false
  if (attributes.has('couple') && (fieldOf(form, 't', word) & 1) !== 0) return false
  if (attributes.has('couple') && fieldOf(form, 't', word) === LR) return false
  if (fields.has('j') && !attributes.has('link') && !attributes.has('return') && fieldOf(form, 'j', word) === 0)
    return false
  if (attributes.has('vectors') && !vectorsExist(form, word)) return false
  if (fields.has('P') && !indexingExists(form, word)) return false
  return form.registers === 0 || structureAllocated(form, word)
}

function indexingExists(form: Form, word: number): boolean {
  const p = fieldOf(form, 'P', word)
  const u = fieldOf(form, 'U', word)
  const w = fieldOf(form, 'W', word)
  // T32: neither index nor writeback is another instruction.
  if (form.attributes.has('base') || form.attributes.has('pair')) return p !== 0 || w !== 0
  if (form.attributes.has('couple') && p === 0 && w !== 0) return false
  // LDC and STC: P = U = W = 0 is MCRR and MRRC.
  return form.operation !== 'other' || p !== 0 || u !== 0 || w !== 0
}

/** VLDM and VSTM transfer at least one register, and none beyond the last; at most 16 doubles. */
function vectorsExist(form: Form, word: number): boolean {
  const count = fieldOf(form, 'i', word)
  const t = fieldOf(form, 't', word)
  if (form.size === 4) return count !== 0 && singleRegister(t) + count <= 32
  return count !== 0 && count <= 16 && t + count <= 32
}

/** Alignment and index bits of SIMD structures that are undefined. */
function structureAllocated(form: Form, word: number): boolean {
  const { attributes, registers, fields } = form
  if (!structureRegistersExist(form, word)) return false
  if (fields.has('l')) return laneAllocated(form, fieldOf(form, 'l', word))
  const z = fieldOf(form, 'z', word)
  const a = fieldOf(form, 'a', word)
  if (attributes.has('replicate')) {
    switch (registers) {
      case 1:
        return z !== 3 && (z !== 0 || a === 0)
      case 3:
        return z !== 3 && a === 0
      case 4:
        return z !== 3 || a === 1
      default:
        return z !== 3
    }
  }
  if (attributes.has('structure') && z === 3) return false
  const wide = registers === 4 || attributes.has('doubled')
  if (registers === 1 || registers === 3) return a < 2
  return wide || a !== 3
}

/** The last register of a structure is at most D31. */
function structureRegistersExist(form: Form, word: number): boolean {
  const { attributes, registers } = form
  const t = fieldOf(form, 't', word)
  if (attributes.has('doubled')) return t + 4 <= 32
  if (attributes.has('replicate') && registers === 1) return t + fieldOf(form, 'w', word) < 32
  const spaced =
    attributes.has('spaced') ||
    (attributes.has('replicate') && fieldOf(form, 'w', word) !== 0) ||
    (attributes.has('lane') && laneSpaced(form, fieldOf(form, 'l', word)))
  return t + (registers - 1) * (spaced ? 2 : 1) < 32
}

/** Whether the registers are every other one. */
function laneSpaced({ registers, size }: Form, l: number): boolean {
  return registers > 1 && (size === 2 ? (l & 2) !== 0 : size === 4 && (l & 4) !== 0)
}

/** By size and number of registers: index and alignment bits that must be 0; one word may also be all ones. */
function laneAllocated(form: Form, l: number): boolean {
  switch (form.registers) {
    case 1:
      return form.size === 1 ? (l & 1) === 0 : form.size === 2 ? (l & 2) === 0 : (l & 7) === 0 || (l & 7) === 3
    case 2:
      return form.size !== 4 || (l & 2) === 0
    case 3:
      return form.size === 4 ? (l & 3) === 0 : (l & 1) === 0
    default:
      return form.size !== 4 || (l & 3) !== 3
  }
}

/** Fills in a load or store of a row. */
export function fillLoadStoreA32(set: InstructionSet, form: Form, word: number, insn: LoadStore): void {
  const { attributes, fields } = form
  beginLoadStore(set, form, word, insn)
  if (set === InstructionSet.T16) insn.length = 2
  if (fields.has('c')) insn.condition = fieldOf(form, 'c', word)
  insn.acquire = attributes.has('acquire')
  insn.release = attributes.has('release')
  insn.elementSize = form.size
  insn.registerSize = 4
  insn.subtract = attributes.has('minus') || (fields.has('U') && fieldOf(form, 'U', word) === 0)
  insn.offset = fieldOf(form, 'i', word) * form.immediateScale
  if (insn.subtract) insn.offset = -insn.offset
  insn.addressing = indexing(form, word)
  if (attributes.has('stack')) insn.rn = SP
  if (insn.rn === PC || attributes.has('literal')) {
    insn.rn = PC
    if (insn.addressing === Addressing.OFFSET) insn.addressing = Addressing.LITERAL
  }
  if (attributes.has('shifted')) decodeShift(set, form, word, insn)
  if (form.operation === 'table-branch') insn.shift = form.size - 1
  if (attributes.has('pair')) insn.elements = 2
  else if (attributes.has('couple')) {
    insn.elements = 2
    insn.rt2 = (insn.rt + 1) & 15
  }
  if (attributes.has('multiple')) decodeMultiple(form, word, insn)
  else if (attributes.has('vectors')) decodeVectors(form, word, insn)
  else if (form.operation === 'return' || form.operation === 'save') decodeReturnState(form, word, insn)
  else if (form.registers !== 0) decodeStructure(form, word, insn)
  else if (/<[HSD]t>/.test(form.operands)) {
    insn.vector = true
    insn.registerSize = form.size
    if (form.size !== 8) insn.rt = singleRegister(insn.rt)
  }
}

/** Singles are numbered Vd:D, doubles D:Vd. */
const singleRegister = (number: number): number => ((number & 15) << 1) | (number >> 4)

function indexing(form: Form, word: number): Addressing {
  const { attributes, fields } = form
  if (attributes.has('post')) return Addressing.POST_INDEX
  const w = fieldOf(form, 'W', word)
  if (fields.has('P') && fieldOf(form, 'P', word) === 0) return Addressing.POST_INDEX
  return w !== 0 ? Addressing.PRE_INDEX : Addressing.OFFSET
}

function decodeShift(set: InstructionSet, form: Form, word: number, insn: LoadStore): void {
  const amount = fieldOf(form, 'i', word)
  insn.offset = 0
  if (set === InstructionSet.T32) {
    insn.shift = amount
    return
  }
  insn.extend = fieldOf(form, 'k', word) as Extend
  insn.shift = amount
  if (amount === 0 && insn.extend === Extend.ROR) insn.extend = Extend.RRX
  else if (amount === 0 && insn.extend !== Extend.LSL) insn.shift = 32
}

/** P and U of the increment and decrement modes. */
function multipleMode(form: Form, word: number): { before: boolean; up: boolean } {
  const { attributes, fields } = form
  if (fields.has('P')) return { before: fieldOf(form, 'P', word) !== 0, up: fieldOf(form, 'U', word) !== 0 }
  const down = attributes.has('down')
  return { before: down, up: !down }
}

/** Sets the offset of the first of `bytes`, and the base's new value. */
function blockTransfer(form: Form, word: number, bytes: number, writeback: boolean, insn: LoadStore): void {
  const { before, up } = multipleMode(form, word)
  insn.offset = up ? bytes : -bytes
  insn.start = up ? (before ? 4 : 0) : before ? -bytes : 4 - bytes
  insn.subtract = !up
  insn.addressing = writeback ? Addressing.PRE_INDEX : Addressing.OFFSET
}

function decodeMultiple(form: Form, word: number, insn: LoadStore): void {
  const { attributes, fields } = form
  insn.list = fieldOf(form, 'j', word)
  // SP is not in a T32 list.
  if (attributes.has('base')) insn.list = (insn.list & 0x1fff) | ((insn.list & ~0x1fff) << 1)
  if (attributes.has('return')) insn.list |= 1 << PC
  if (attributes.has('link')) insn.list |= 1 << (form.mnemonic === 'POP' ? PC : LR)
  insn.elements = ones(insn.list)
  const load = form.operation === 'load'
  // T16's LDM writes the base back unless it loads the base.
  const writeback = fields.has('W')
    ? fieldOf(form, 'W', word) !== 0
    : attributes.has('stack') || (attributes.has('up') && !(load && (insn.list & (1 << insn.rn)) !== 0))
  blockTransfer(form, word, insn.elements * 4, writeback, insn)
}

function decodeVectors(form: Form, word: number, insn: LoadStore): void {
  const count = fieldOf(form, 'i', word)
  insn.vector = true
  insn.registerSize = form.size
  insn.elements = count
  if (form.size === 4) insn.rt = singleRegister(insn.rt)
  insn.list = insn.elements
  const down = form.attributes.has('down')
  // FLDMX and FSTMX move the base by one word more.
  const bytes = form.size * count + (form.attributes.has('extra') ? 4 : 0)
  insn.offset = down ? -bytes : bytes
  insn.start = down ? -bytes : 0
  insn.subtract = down
  insn.addressing = down || fieldOf(form, 'W', word) !== 0 ? Addressing.PRE_INDEX : Addressing.OFFSET
}

function decodeReturnState(form: Form, word: number, insn: LoadStore): void {
  insn.elements = 2
  if (form.operation === 'save') {
    insn.rn = SP
    insn.list = fieldOf(form, 'i', word)
  }
  blockTransfer(form, word, 8, fieldOf(form, 'W', word) !== 0, insn)
}

function decodeStructure(form: Form, word: number, insn: LoadStore): void {
  const { attributes, registers, fields } = form
  insn.vector = true
  insn.registerSize = 8
  insn.list = registers
  insn.step = attributes.has('spaced') ? 2 : 1
  if (fields.has('l')) decodeLane(form, fieldOf(form, 'l', word), insn)
  else {
    const z = fieldOf(form, 'z', word)
    const a = fieldOf(form, 'a', word)
    insn.elementSize = 1 << z
    if (attributes.has('replicate')) {
      const wide = fieldOf(form, 'w', word) !== 0
      // A size of 11 is VLD4 of words with a stricter alignment.
      if (z === 3) insn.elementSize = 4
      if (registers === 1) insn.list = wide ? 2 : 1
      else insn.step = wide ? 2 : 1
      insn.elements = registers
      if (a !== 0) insn.alignment = registers * insn.elementSize
      if (registers === 4 && z === 2 && a !== 0) insn.alignment = 8
    } else {
      const all = attributes.has('doubled') ? 4 : registers
      insn.elements = (all * 8) / insn.elementSize
      if (attributes.has('doubled')) insn.list = 4
      if (a !== 0) insn.alignment = 4 << a
    }
  }
  // Rm 1111: no writeback; 1101: by the number of transferred bytes.
  insn.offset = 0
  insn.addressing = insn.rm === PC ? Addressing.OFFSET : Addressing.POST_INDEX
  if (insn.rm === SP) insn.offset = insn.elements * insn.elementSize
  if (insn.rm === SP || insn.rm === PC) insn.rm = NO_REGISTER
}

/** Index, spacing and alignment share four bits, in a way that depends on size and number of registers. */
function decodeLane(form: Form, l: number, insn: LoadStore): void {
  const { registers, size } = form
  insn.elements = registers
  insn.lane = size === 1 ? l >> 1 : size === 2 ? l >> 2 : l >> 3
  insn.step = laneSpaced(form, l) ? 2 : 1
  const align = l & (size === 4 ? 3 : 1)
  if (registers === 3 || align === 0) return
  insn.alignment = registers === 4 && size === 4 ? 4 << align : registers * size
}

/**
 * Decodes one A32 instruction.
 *
 * @param word - the instruction
 * @param insn - filled in for a memory access
 * @returns whether it does
 */
export function decodeLoadStoreA32(word: number, insn: LoadStore): boolean {
  const form = a32Matcher.find(word, allocatedLoadStoreA32)
  if (form === undefined) return false
  fillLoadStoreA32(InstructionSet.A32, form, word, insn)
  return true
}

/**
 * Whether a halfword is the first of two.
 *
 * Source: Arm ARM (DDI 0487), "T32 instruction set encoding".
 */
export function isWideThumb(first: number): boolean {
  return first >= 0xe800
}

/**
 * Decodes one Thumb instruction.
 *
 * @param first - its first halfword
 * @param second - the second halfword; used only if `isWideThumb(first)`
 * @param insn - filled in for a memory access
 * @returns whether it does
 */
export function decodeLoadStoreThumb(first: number, second: number, insn: LoadStore): boolean {
  const wide = isWideThumb(first)
  const word = wide ? ((first << 16) | second) >>> 0 : first
  const form = (wide ? t32Matcher : t16Matcher).find(word, allocatedLoadStoreA32)
  if (form === undefined) return false
  fillLoadStoreA32(wide ? InstructionSet.T32 : InstructionSet.T16, form, word, insn)
  return true
}
