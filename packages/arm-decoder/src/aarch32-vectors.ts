/** VFP and Advanced SIMD of A32 and T32: expands the tables' lines to rows, and adds conditions that rows cannot express. */
import { parseRows, type Row } from './row.ts'
import { neonExtensionRows, neonLaneRows, neonRows, neonShiftRows } from './table/neon.ts'
import { vfpPrecisionRows, vfpRows, vfpUnconditionalRows } from './table/vfp.ts'

/** The columns of each line of a table. */
const lines = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split(/ {2,}/))

/** Half, single and double precision: bits 11 to 8, data type, letter of registers. */
const PRECISIONS = [
  { bits: '1001', type: 'F16', letter: 'S', feature: ['FP16'] },
  { bits: '1010', type: 'F32', letter: 'S', feature: [] },
  { bits: '1011', type: 'F64', letter: 'D', feature: [] },
] as const

function precisionRows(text: string, start: string): Row[] {
  return lines(text).flatMap(([high = '', low = '', mnemonic = '', operands = '']) =>
    PRECISIONS.map(({ bits, type, letter, feature }) => ({
      encoding: `${start}1110${high}${bits}${low}`.replaceAll(' ', ''),
      mnemonic: mnemonic.replaceAll('*', type),
      operands: operands.replaceAll('*', letter),
      attributes: ['float', ...feature],
    })),
  )
}

/** Bits 21 to 16 and 7 of shifts by an immediate, by the size of the elements; how many bits that is. */
const SHIFTED: Readonly<Record<string, readonly [immediate: string, long: string, width: number]>> = {
  b: ['001iii', '0', 8],
  h: ['01iiii', '0', 16],
  s: ['1iiiii', '0', 32],
  d: ['iiiiii', '1', 64],
}

function shiftRows(): Row[] {
  return neonShiftRows
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [u = '', opcode = '', quad = '', kind = '', sizes = '', mnemonic = ''] = line.split(/ +/)
      return [...sizes].map((size) => {
        const [bits, long, width] = SHIFTED[size]!
        // Fixed point of half precision has at most 16 bits behind the point.
        const immediate = kind === 'fixed' && size === 'h' ? '11iiii' : bits
        const named = kind === 'narrow' ? width * 2 : width
        const amount = kind === 'left' || kind === 'long' ? '<#i>' : `<#${width}-i>`
        const registers = kind === 'narrow' ? '<Dd>, <Qm>' : kind === 'long' ? '<Qd>, <Dm>' : '<Vd>, <Vm>'
        return {
          encoding: `${u}1d${immediate}dddd${opcode}${long}${quad}m1mmmm`,
          mnemonic: mnemonic.replace('*', String(named)),
          operands: `${registers}, ${amount}`,
          attributes: ['vector'],
        }
      })
    })
}

/** VSHLL by 0 has a separate mnemonic. */
const longMoves = (rows: readonly Row[]): Row[] =>
  rows.flatMap((row) => {
    const mnemonic = row.mnemonic.replace('VSHLL', 'VMOVL')
    if (mnemonic === row.mnemonic) return []
    const [encoding, operands] = [row.encoding.replace(/i/g, '0'), row.operands.replace(', <#i>', '')]
    return [{ ...row, encoding, mnemonic, operands }]
  })

/** Lanes of halfwords are in D0 to D7, lanes of words in D0 to D15. */
function laneRows(): Row[] {
  return lines(neonLaneRows).flatMap(([start = '', mnemonic = '', registers = '']) => {
    const [first = '', opcode = '', sizes = ''] = start.split(' ')
    return [...sizes].map((size) => ({
      encoding: `${first}1d${size === 'h' ? '01' : '10'}nnnndddd${opcode}n1l0${size === 'h' ? 'lmmm' : 'mmmm'}`,
      mnemonic: mnemonic.replace('*', size === 'h' ? '16' : '32'),
      operands: `${registers}, <Dm[l]>`,
      attributes: ['vector'],
    }))
  })
}

/** Returns rows of VFP, with `cccc` for the condition, and unconditional rows. */
export const vfpTable = (): Row[] => [...parseRows(vfpRows), ...precisionRows(vfpPrecisionRows, 'cccc')]

/** Rows of VFP and Advanced SIMD that are equal in A32 and T32. */
export const unconditionalVectorTable = (): Row[] => [
  ...precisionRows(vfpUnconditionalRows, '1111'),
  ...parseRows(neonExtensionRows),
]

/** Rows of Advanced SIMD; U is the first bit, and bits 23 to 0 follow. */
export function neonTable(): Row[] {
  const shifts = shiftRows()
  return [...parseRows(neonRows), ...laneRows(), ...longMoves(shifts), ...shifts]
}
