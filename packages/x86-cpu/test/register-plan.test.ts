import * as decoder from '@retrap/x86-decoder'
import { REGISTER_HIGH_BYTE } from '@retrap/x86-decoder'
import type { OperandSpec } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { registerOffset, registerPlan } from '../src/interpreter/register-plan.ts'
import * as S from '../src/state/state-layout.ts'

const CONTROL: Readonly<Record<number, number>> = { 0: S.S_CR0, 2: S.S_CR2, 3: S.S_CR3, 4: S.S_CR4, 8: S.S_CR8 }

/** Where registers of a class lie, by the name of the operand's kind. */
const CLASSES: readonly (readonly [RegExp, (register: number) => number])[] = [
  [/^(REG|RM|RM_REG|OPCODE_REG|VVVV_REG|FIXED_REG)$/, general],
  [/SEGMENT/, (register) => S.S_SEGMENTS + S.SEG_BYTES * register],
  [/^CONTROL/, (register) => CONTROL[register] ?? S.S_CR0],
  [/^DEBUG/, (register) => S.S_DR + 8 * register],
  [/^MMX/, (register) => S.S_FPR + 16 * (register & 7)],
  [/^XMM/, (register) => S.S_XMM + 64 * register],
]

function general(register: number): number {
  const isHigh = register >= REGISTER_HIGH_BYTE
  if (isHigh) return S.S_GPR + 8 * (register - REGISTER_HIGH_BYTE - 4) + 1
  return register > 15 ? S.S_EGPR + 8 * (register - 16) : S.S_GPR + 8 * register
}

/** The offset by what the decoder says of the operand. */
function expected(insn: decoder.Instruction, spec: OperandSpec, i: number): number {
  if (spec.kind === decoder.OperandKind.VSIB) return S.S_XMM + 64 * insn.index
  if (decoder.operandIsMemory(insn, i)) return 0
  const name = Object.entries(decoder.OperandKind).find(([, kind]) => kind === spec.kind)![0]
  const place = CLASSES.find(([pattern]) => pattern.test(name))?.[1]
  return place === undefined ? 0 : place(decoder.operandRegister(insn, i))
}

/** What the bytes begin with, in turn. */
const PREFIXES: readonly (readonly number[])[] = [[], [0x0f], [0x4d, 0x0f], [0xc4]]

describe('the register that an operand names', () => {
  test.each([16, 32, 64])('of random bytes in %i bits is the one that the decoder names', (bits) => {
    const bytes = new Uint8Array(15)
    const insn = new decoder.Instruction()
    const kinds = new Set<number>()
    let seed = 21 + bits
    const differing: string[] = []
    for (let round = 0; round < 60_000; round++) {
      for (const i of bytes.keys()) {
        seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0
        bytes[i] = seed >>> 24
      }
      // Most kinds of registers are in the maps behind 0F and VEX, and some numbers of them need a REX prefix.
      bytes.set(PREFIXES[round % PREFIXES.length]!)
      if (decoder.decodeInto(bytes, 0, bytes.length, bits, insn) !== decoder.DECODED) continue
      for (const [i, spec] of decoder.codeInfo(insn.code).operands.entries()) {
        kinds.add(spec.kind)
        const offset = registerOffset(insn, registerPlan(spec))
        if (offset !== expected(insn, spec, i)) differing.push(`${Buffer.from(bytes).toString('hex')} operand ${i}`)
      }
    }
    expect(differing).toEqual([])
    const { REG, RM, SEGMENT_REG, MMX_RM, XMM_RM, XMM_VVVV, FIXED_REG } = decoder.OperandKind
    for (const kind of [REG, RM, SEGMENT_REG, MMX_RM, XMM_RM, XMM_VVVV, FIXED_REG]) expect(kinds).toContain(kind)
  })
})
