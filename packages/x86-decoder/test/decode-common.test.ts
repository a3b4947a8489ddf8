import { sliced } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { decodeInto } from '../src/decode-common.ts'
import { decodeAny } from '../src/decode-into.ts'
import { DECODE_AMD, DECODED, Instruction } from '../src/index.ts'

/** All option bits: `DECODE_AMD` and everything absent. */
const NO_FEATURE = 0x7fff_ff00

type Field = Exclude<keyof Instruction, 'maskRegister' | 'zeroing' | 'broadcast' | 'rounding' | 'noFlags'>
const fields = Object.keys(new Instruction()) as Field[]

/** The first field that differs when both decode `bytes`; '' if none does. */
function difference(bytes: Uint8Array, mode: number, quick: Instruction, full: Instruction): string {
  const status = decodeInto(bytes, 0, bytes.length, mode, quick)
  const expected = decodeAny(bytes, 0, bytes.length, mode, full)
  if (status !== expected) return `status ${status}, not ${expected}`
  // What other fields hold after a failure means nothing.
  if (status !== DECODED) return quick.length === full.length ? '' : 'length'
  for (const field of fields) if (quick[field] !== full[field]) return `${field} ${quick[field]}, not ${full[field]}`
  return ''
}

describe('the short way through the decoder ends where the long way ends', () => {
  // SIB bytes of each kind in front of a displacement and an immediate.
  const tails = [0x24, 0x25, 0x8d, 0xe4].map((sib) => [sib, 0x81, 0x92, 0xa3, 0xf4, 0x85, 0x76, 0xe7, 0x18])
  const rexes = [0, ...sliced([0x40, 0x41, 0x42, 0x44, 0x4f], 5)]

  test.each([
    { name: '64-bit mode', mode: 64, prefixes: rexes },
    { name: '64-bit mode of AMD processors', mode: 64 | DECODE_AMD, prefixes: [0, 0x48] },
    { name: '64-bit mode without any feature that decides', mode: 64 | NO_FEATURE, prefixes: [0, 0x48] },
    { name: '32-bit mode', mode: 32, prefixes: [0] },
    { name: '32-bit mode without any feature that decides', mode: 32 | NO_FEATURE, prefixes: [0] },
    { name: '16-bit mode', mode: 16, prefixes: [0] },
  ])('every opcode of the first two maps with every ModRM byte in $name', ({ mode, prefixes }) => {
    const quick = new Instruction()
    const full = new Instruction()
    const problems: string[] = []
    for (const prefix of prefixes) {
      for (let opcode = 0; opcode < 512; opcode++) {
        const head = [...(prefix === 0 ? [] : [prefix]), ...(opcode < 256 ? [] : [0x0f]), opcode & 0xff]
        // What neither sets must not look the same.
        for (const field of fields) {
          quick[field] = 77
          full[field] = 99
        }
        for (let modrm = 0; modrm < 256; modrm++) {
          const bytes = new Uint8Array(16)
          bytes.set([...head, modrm, ...(tails[(modrm >> 3) & 3] as number[])])
          const problem = difference(bytes, mode, quick, full)
          if (problem !== '') problems.push(`${Buffer.from(bytes).toString('hex')}: ${problem}`)
        }
      }
    }
    expect(problems).toEqual([])
  })
})
