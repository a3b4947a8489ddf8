/** The rows of A32 and Thumb, and which of them an encoding belongs to. */
import { bankedName, floatSystemName } from './banked-registers.ts'
import { conditionsOf } from './conditions.ts'
import {
  allocatedLoadStoreA32,
  isLoadStoreA32,
  isWideThumb,
  lead,
  loadStoreFormsA32,
  loadStoreFormsT16,
  loadStoreFormsT32,
} from './load-store-a32.ts'
import { Matcher } from './matcher.ts'
import { compileRow, expandChoices, fieldOf, type Form, parseRows, type Row } from './row.ts'
import { neonTable, unconditionalVectorTable, vfpTable } from './aarch32-vectors.ts'
import { a32IntegerRows, coprocessorIntegerRows } from './table/a32-integer.ts'
import { t16IntegerRows } from './table/t16-integer.ts'
import { t32IntegerRows } from './table/t32-integer.ts'

/** Compiles rows. A choice without a mnemonic stands for no row; 1111 is no condition. */
const compile = (rows: readonly Row[], first: number): Form[] =>
  rows
    .flatMap(expandChoices)
    .filter(({ mnemonic }) => !mnemonic.startsWith('.'))
    .map((row, index) => numbered(compileRow(withCondition(row), first + index)))

/** Vectors of 128 bits have even numbers. */
const ofVectors = (rows: readonly Row[]): Row[] =>
  rows.map((row) => ({
    ...row,
    attributes: [
      ...row.attributes,
      ...[...row.operands.matchAll(/<([QV])([dnm])>/g)].map(([, kind, letter]) =>
        kind === 'Q' ? `even:${letter}` : `whole:${letter}`,
      ),
    ],
  }))

/** The highest bit of a vector register's number may stand behind the others. */
function numbered(form: Form): Form {
  const fields = new Map(form.fields)
  for (const letter of 'nd') {
    const field = fields.get(letter)
    if (field?.width !== 5 || field.pieces[1]! >> 8 !== 1) continue
    fields.set(letter, { ...field, pieces: field.pieces.toReversed() })
  }
  return { ...form, fields }
}

const withCondition = (row: Row): Row =>
  row.encoding.startsWith('cccc') ? { ...row, attributes: [...row.attributes, 'c!=15'] } : row

/** A set's forms and their tree, made on first use. */
class Table {
  readonly #make: () => readonly Form[]
  #matcher: Matcher | undefined

  constructor(make: () => readonly Form[]) {
    this.#make = make
    this.#matcher = undefined
  }

  get matcher(): Matcher {
    return (this.#matcher ??= new Matcher(this.#make()))
  }
}

const after = (loads: readonly Form[], rows: readonly Row[]): readonly Form[] => [
  ...loads,
  ...compile(rows, loads.length),
]

const a32 = /*#__PURE__*/ new Table(() =>
  after(loadStoreFormsA32, [
    ...ofVectors(vfpTable()),
    ...ofVectors(unconditionalVectorTable()),
    ...ofVectors(neonTable()).map((row) => ({ ...row, encoding: `1111001${row.encoding}` })),
    ...parseRows(a32IntegerRows),
    ...parseRows(coprocessorIntegerRows),
  ]),
)
const t32 = /*#__PURE__*/ new Table(() =>
  after(loadStoreFormsT32, [
    ...lead(ofVectors(vfpTable()), '1110'),
    ...ofVectors(unconditionalVectorTable()),
    ...ofVectors(neonTable()).map((row) => ({ ...row, encoding: `111${row.encoding[0]}1111${row.encoding.slice(1)}` })),
    ...parseRows(t32IntegerRows),
    ...lead(parseRows(coprocessorIntegerRows), '1110'),
  ]),
)
const t16 = /*#__PURE__*/ new Table(() => after(loadStoreFormsT16, parseRows(t16IntegerRows)))

const allowed = /*#__PURE__*/ conditionsOf(() => ({
  fpsystem: (form, word) => floatSystemName(form, word) !== undefined,
  table: (form, word) => fieldOf(form, 'n', word) + fieldOf(form, 'l', word) < 32,
  banked: (form, word) => bankedName(form, word) !== undefined,
}))

const accept = (form: Form, word: number): boolean =>
  isLoadStoreA32(form) ? allocatedLoadStoreA32(form, word) : allowed(form, word)

/** Returns the A32 table, one form a row: loads and stores first, then the rest. Compiled on first use. */
export const a32Forms = (): readonly Form[] => a32.matcher.forms

/** The table of Thumb instructions of two halfwords, as `a32Forms`. */
export const t32Forms = (): readonly Form[] => t32.matcher.forms

/** The table of Thumb instructions of one halfword, as `a32Forms`. */
export const t16Forms = (): readonly Form[] => t16.matcher.forms

/**
 * Returns the row of an A32 instruction; undefined if unallocated.
 *
 * @param word - the instruction
 */
export function findA32(word: number): Form | undefined {
  return a32.matcher.find(word, accept)
}

/**
 * Returns the row of a Thumb instruction; undefined if unallocated.
 *
 * @param first - its first halfword
 * @param second - the second halfword; used only if `isWideThumb(first)`
 */
export function findThumb(first: number, second: number): Form | undefined {
  return isWideThumb(first) ? t32.matcher.find(((first << 16) | second) >>> 0, accept) : t16.matcher.find(first, accept)
}
