/** The rows of all of A64, and which of them an encoding belongs to. */
import { conditionsOf } from './conditions.ts'
import { allocatedLoadStoreA64, isLoadStoreA64, loadStoreFormsA64 } from './load-store-a64.ts'
import { Matcher } from './matcher.ts'
import { compileRow, expandChoices, type Form, parseRows, type Row } from './row.ts'
import { a64FloatRows } from './table/a64-float.ts'
import { a64IntegerAliases, a64IntegerRows } from './table/a64-integer.ts'
import { a64VectorAliases, a64VectorRows } from './table/a64-vector.ts'
import { floatVectorRows, shiftVectorRows } from './vector-sizes.ts'

/** Gives rows their place in the table. */
const compile = (rows: readonly Row[], first: number): Form[] =>
  rows.flatMap(expandChoices).map((each, index) => compileRow(each, first + index))

let forms: readonly Form[] | undefined
let matcher: Matcher | undefined
let aliasForms: readonly Form[] | undefined
let aliases: Matcher | undefined

/**
 * The A64 table, one form a row: loads and stores first, then all else. Of SVE and SME it only has rows that say so (their
 * operation is `scalable`). It is compiled when it is first asked for.
 */
export function a64Forms(): readonly Form[] {
  forms ??= [
    ...loadStoreFormsA64,
    ...compile(
      [
        ...parseRows(a64IntegerRows),
        ...parseRows(a64VectorRows),
        ...floatVectorRows(),
        ...shiftVectorRows(),
        ...parseRows(a64FloatRows),
      ],
      loadStoreFormsA64.length,
    ),
  ]
  return forms
}

const allowed = /*#__PURE__*/ conditionsOf()

const accept = (form: Form, word: number): boolean =>
  isLoadStoreA64(form) ? allocatedLoadStoreA64(form, word) : allowed(form, word)

/**
 * The row that an A64 instruction belongs to; undefined where none is allocated.
 *
 * @param word - the instruction
 */
export function findA64(word: number): Form | undefined {
  matcher ??= new Matcher(a64Forms())
  return matcher.find(word, accept)
}

/** The rows of other names, the first that fits before the others. */
export function a64Aliases(): readonly Form[] {
  aliasForms ??= compile(
    [...parseRows(a64IntegerAliases), ...parseRows(a64VectorAliases)].map((each) => ({
      ...each,
      attributes: ['alias', ...each.attributes],
    })),
    0,
  )
  return aliasForms
}

/** The other name by which people know an instruction, if it has one: `CMP` for a SUBS without a result. */
export function findA64Alias(word: number): Form | undefined {
  aliases ??= new Matcher(a64Aliases())
  return aliases.find(word, allowed)
}
