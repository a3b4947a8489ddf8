/** The rows that a line of `table/a64-vector-sizes.ts` stands for: one for each precision or size of an element. */
import type { Row } from './row.ts'
import { a64FloatPrecisions, a64FloatThree, a64FloatTwo, a64Shifts } from './table/a64-vector-sizes.ts'

/** The lines of a table, their words apart. */
const lines = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split(/ +/))

/** Floating point of three registers and of two. */
export function floatVectorRows(): Row[] {
  return [
    ...lines(a64FloatThree).flatMap((line) => floatRows(line, ['d', 'n', 'm'])),
    ...lines(a64FloatTwo).flatMap((line) => floatRows(line, ['d', 'n'])),
  ]
}

/** Returns an instruction's rows, one for each precision. */
function floatRows(
  [u = '', a = '', opcode = '', shapes = '', mnemonic = '', zero]: readonly string[],
  fields: readonly string[],
): Row[] {
  return lines(a64FloatPrecisions)
    .filter(([shape = '']) => shapes.includes(shape))
    .map(([, start = '', group = '', three = '', two = '', register = '', ...attributes]) => {
      const operands = fields.map((field) => register.replace('*', field))
      if (zero !== undefined) operands.push('#0.0')
      const bits = (fields.length === 3 ? three : two).replace('*', opcode)
      return {
        encoding: `${start}${u}${group}${a}${bits}nnnnnddddd`,
        mnemonic,
        operands: operands.join(', '),
        attributes,
      }
    })
}

/** An element's size: the bits of immh:immb, letter of a scalar, vectors by Q, the whole vector, bits. */
const ELEMENTS = [
  { shift: '0001iii', letter: 'B', vector: '8b/16b', whole: '16b', width: 8 },
  { shift: '001iiii', letter: 'H', vector: '4h/8h', whole: '8h', width: 16 },
  { shift: '01iiiii', letter: 'S', vector: '2s/4s', whole: '4s', width: 32 },
  { shift: '1iiiiii', letter: 'D', vector: '2d', whole: '2d', width: 64 },
] as const

/** Shifts by an immediate, and conversions of fixed-point numbers. */
export function shiftVectorRows(): Row[] {
  return lines(a64Shifts).flatMap(shiftRows)
}

/** Returns an instruction's rows, one for each element size. */
function shiftRows([u = '', opcode = '', shapes = '', kind = '', name = '']: readonly string[]): Row[] {
  const rows: Row[] = []
  for (const [index, element] of ELEMENTS.entries()) {
    const { letter, vector, shift, width } = element
    const wider = ELEMENTS[index + 1]
    const target = kind === 'long' ? wider : element
    const source = kind === 'narrow' ? wider : element
    // Nothing is wider than a doubleword, and no fixed-point number is a byte.
    if (target === undefined || source === undefined || (kind === 'fixed' && letter === 'B')) continue
    const changes = target !== source
    // Narrow elements fill half of their register, wide ones the whole register.
    const shape = (each: (typeof ELEMENTS)[number]): string => (each === element ? vector : each.whole)
    const amount = kind === 'left' || kind === 'long' ? '<#i>' : `<#${width}-i>`
    const feature = kind === 'fixed' && letter === 'H' ? ['FP16'] : []
    const encoding = `${shift}${opcode}1nnnnnddddd`
    rows.push({
      encoding: `0${letter === 'D' ? '1' : 'Q'}${u}011110${encoding}`,
      mnemonic: changes ? `${name}<2>` : name,
      operands: `<Vd.${shape(target)}>, <Vn.${shape(source)}>, ${amount}`,
      attributes: ['vector', ...feature],
    })
    if (!shapes.includes('s') && !(shapes.includes('d') && letter === 'D')) continue
    rows.push({
      encoding: `01${u}111110${encoding}`,
      mnemonic: name,
      operands: `<${target.letter}d>, <${source.letter}n>, ${amount}`,
      attributes: ['scalar', ...feature],
    })
  }
  return rows
}
