// REX2 where the decoder has it and nowhere else: the assembler's rule (forms.ts) against the decoder's (byte-classes.ts).
import { codes, decodeInto, DECODED, Instruction, MODE_64, type CodeInfo } from '@retrap/x86-decoder'
import { expect, test } from 'vitest'
import { formOfCode } from '../src/forms.ts'

const MANDATORY: Readonly<Record<string, readonly number[]>> = { '66': [0x66], F2: [0xf2], F3: [0xf3] }

/** The form with this prefix before its opcode, and operands that are as much 0 as they can be. */
function encoded(row: CodeInfo, rex: readonly number[]): Uint8Array {
  const size = row.operandSize === 16 && row.sizeClass !== '' ? [0x66] : []
  const addressSize = row.addressSize === 32 ? [0x67] : []
  const mod = row.memory === 'only' ? 0 : 0xc0
  const modrm = row.modrmByte >= 0 ? row.modrmByte : mod | (Math.max(row.extension, 0) << 3)
  const start = [...size, ...addressSize, ...(MANDATORY[row.prefix] ?? []), ...rex, row.opcode]
  return Uint8Array.from([...start, ...(row.modrm ? [modrm] : []), ...Array<number>(12).fill(0)])
}

test('REX2 goes with the same forms in the assembler and in the decoder', () => {
  const insn = new Instruction()
  const codeOf = (bytes: Uint8Array): number =>
    decodeInto(bytes, 0, bytes.length, 64, insn) === DECODED ? insn.code : 0
  let compared = 0
  for (const row of codes) {
    const { code, encoding, map, modes, operandSize, sizeClass, default64, force64 } = row
    if (encoding !== 'legacy' || map > 1 || (modes & MODE_64) === 0) continue
    const w = operandSize === 64 && sizeClass !== '' && !default64 && !force64 ? 8 : 0
    const escape = map === 1 ? [0x0f] : []
    // What these bytes are not with REX they need not be with REX2.
    if (codeOf(encoded({ ...row }, [...(w === 0 ? [] : [0x48]), ...escape])) !== code) continue
    compared++
    const hasRex2 = codeOf(encoded(row, [0xd5, (map << 7) | w])) === code
    expect(`${row.form}: ${hasRex2}`).toBe(`${row.form}: ${formOfCode(code)?.rex2}`)
  }
  expect(compared).toBeGreaterThan(700)
})
