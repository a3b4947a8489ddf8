/** The rows of all of A64, and which of them an encoding belongs to. */
import { allowed } from './conditions.ts'
import { allocatedLoadStoreA64, loadStoreFormsA64 } from './load-store-a64.ts'
import { Matcher } from './matcher.ts'
import { compileRow, expandChoices, type Form, parseRows, type Row } from './row.ts'
import { a64FloatRows } from './table/a64-float.ts'
import { a64IntegerAliases, a64IntegerRows } from './table/a64-integer.ts'
import { a64FloatThree, a64FloatTwo, a64Shifts, a64VectorAliases, a64VectorRows } from './table/a64-vector.ts'

/** A line of a short table, its words apart. */
const lines = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))

const row = (encoding: string, mnemonic: string, operands: string, attributes: string): Row => ({
  encoding: encoding.replaceAll(' ', ''),
  mnemonic,
  operands,
  attributes: attributes.split(' '),
})

function floatRows(): Row[] {
  const rows: Row[] = []
  for (const [u = '', a = '', opcode = '', shapes = '', name = ''] of lines(a64FloatThree)) {
    if (shapes.includes('v')) {
      rows.push(
        row(`0Q ${u} 01110 ${a} x 1 mmmmm 11${opcode} 1 nnnnn ddddd`, name, '<Vd.F>, <Vn.F>, <Vm.F>', 'vector xQ!=2'),
        row(
          `0Q ${u} 01110 ${a} 10 mmmmm 00${opcode} 1 nnnnn ddddd`,
          name,
          '<Vd.4h/8h>, <Vn.4h/8h>, <Vm.4h/8h>',
          'vector FP16',
        ),
      )
    }
    if (shapes.includes('s')) {
      rows.push(
        row(`01 ${u} 11110 ${a} 0 1 mmmmm 11${opcode} 1 nnnnn ddddd`, name, '<Sd>, <Sn>, <Sm>', 'scalar'),
        row(`01 ${u} 11110 ${a} 1 1 mmmmm 11${opcode} 1 nnnnn ddddd`, name, '<Dd>, <Dn>, <Dm>', 'scalar'),
        row(`01 ${u} 11110 ${a} 10 mmmmm 00${opcode} 1 nnnnn ddddd`, name, '<Hd>, <Hn>, <Hm>', 'scalar FP16'),
      )
    }
  }
  for (const [u = '', a = '', opcode = '', shapes = '', name = '', zero] of lines(a64FloatTwo)) {
    const end = zero === undefined ? '' : ', #0.0'
    if (shapes.includes('v')) {
      rows.push(
        row(`0Q ${u} 01110 ${a} x 10000 ${opcode} 10 nnnnn ddddd`, name, `<Vd.F>, <Vn.F>${end}`, 'vector xQ!=2'),
        row(`0Q ${u} 01110 ${a} 111100 ${opcode} 10 nnnnn ddddd`, name, `<Vd.4h/8h>, <Vn.4h/8h>${end}`, 'vector FP16'),
      )
    }
    if (shapes.includes('s')) {
      rows.push(
        row(`01 ${u} 11110 ${a} 0 10000 ${opcode} 10 nnnnn ddddd`, name, `<Sd>, <Sn>${end}`, 'scalar'),
        row(`01 ${u} 11110 ${a} 1 10000 ${opcode} 10 nnnnn ddddd`, name, `<Dd>, <Dn>${end}`, 'scalar'),
        row(`01 ${u} 11110 ${a} 111100 ${opcode} 10 nnnnn ddddd`, name, `<Hd>, <Hn>${end}`, 'scalar FP16'),
      )
    }
  }
  return rows
}

/** Elements by their size: the bits of immh, letter of a scalar, arrangements by Q. */
const ELEMENTS = [
  { bits: '0001 iii', letter: 'B', arrangement: '8b/16b', width: 8 },
  { bits: '001 iiii', letter: 'H', arrangement: '4h/8h', width: 16 },
  { bits: '01 iiiii', letter: 'S', arrangement: '2s/4s', width: 32 },
  { bits: '1 iiiiii', letter: 'D', arrangement: '2d', width: 64 },
] as const

function shiftRows(): Row[] {
  const rows: Row[] = []
  for (const [u = '', opcode = '', shapes = '', kind = '', name = ''] of lines(a64Shifts)) {
    for (const [index, { bits, letter, arrangement, width }] of ELEMENTS.entries()) {
      const next = ELEMENTS[index + 1]
      const amount = kind === 'left' || kind === 'long' ? '<#i>' : `<#${width}-i>`
      const whole = letter === 'D' ? '1' : 'Q'
      const attributes = kind === 'fixed' && letter === 'H' ? ' FP16' : ''
      const changes = kind === 'narrow' || kind === 'long'
      if ((changes && next === undefined) || (kind === 'fixed' && letter === 'B')) continue
      const wide = next?.arrangement.replace(/^.*\//, '') ?? ''
      const vector = `${u} 011110 ${bits} ${opcode} 1 nnnnn ddddd`
      if (kind === 'narrow')
        rows.push(row(`0Q ${vector}`, `${name}<2>`, `<Vd.${arrangement}>, <Vn.${wide}>, ${amount}`, 'vector'))
      else if (kind === 'long')
        rows.push(row(`0Q ${vector}`, `${name}<2>`, `<Vd.${wide}>, <Vn.${arrangement}>, ${amount}`, 'vector'))
      else
        rows.push(
          row(
            `0${whole} ${vector}`,
            name,
            `<Vd.${arrangement}>, <Vn.${arrangement}>, ${amount}`,
            `vector${attributes}`,
          ),
        )
      if (!shapes.includes('s') && !(shapes.includes('d') && letter === 'D')) continue
      const source = kind === 'narrow' ? next!.letter : letter
      rows.push(
        row(
          `01 ${u} 111110 ${bits} ${opcode} 1 nnnnn ddddd`,
          name,
          `<${letter}d>, <${source}n>, ${amount}`,
          `scalar${attributes}`,
        ),
      )
    }
  }
  return rows
}

/** Gives rows their place in the table. */
const compile = (rows: readonly Row[], first: number): Form[] =>
  rows.flatMap(expandChoices).map((each, index) => compileRow(each, first + index))

let forms: readonly Form[] | undefined
let matcher: Matcher | undefined
let aliasForms: readonly Form[] | undefined
let aliases: Matcher | undefined

/**
 * The A64 table, one form a row: loads and stores first, then all else but SVE and SME, which are two rows that say so.
 * It is compiled when it is first asked for.
 */
export function a64Forms(): readonly Form[] {
  forms ??= [
    ...loadStoreFormsA64,
    ...compile(
      [
        ...parseRows(a64IntegerRows),
        ...parseRows(a64VectorRows),
        ...floatRows(),
        ...shiftRows(),
        ...parseRows(a64FloatRows),
      ],
      loadStoreFormsA64.length,
    ),
  ]
  return forms
}

const accept = (form: Form, word: number): boolean =>
  form.index < loadStoreFormsA64.length ? allocatedLoadStoreA64(form, word) : allowed(form, word)

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
