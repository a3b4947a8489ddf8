// decode → assemble → decode, over encodings of every code that have been damaged at random: redundant prefixes, other
// registers and addresses, longer displacements than need be.
import fc from 'fast-check'
import { codes, decodeInto, DECODED, Instruction } from '@retrap/x86-decoder'
import { TEST_LONG } from '@retrap/tooling/long'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { Assembler, AssemblerError, formatOperand } from '../src/index.ts'
import { formOfCode } from '../src/forms.ts'
import { operandsOf, reassemble } from './support/operands-of.ts'
import { BRANCH_TARGET, Random, randomOperands } from './support/random-operands.ts'

const ADDRESS = 0x1000
const SEED = slicedSeed(0x5eed)
const RUNS = slicedCount(20_000, 4)

/** Every other time, so that half of the encodings are as they should be. */
function rarely(numbers: fc.Arbitrary<number[]>): fc.Arbitrary<number[]> {
  return fc.oneof({ weight: 2, arbitrary: fc.constant<number[]>([]) }, { weight: 1, arbitrary: numbers })
}

/** Which bits to turn, counted from the first byte. */
const damage = rarely(fc.array(fc.nat({ max: 63 }), { maxLength: 3 }))
const prefixes = rarely(
  fc.array(fc.constantFrom(0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3), { maxLength: 2 }),
)

/** Without an override that names the segment that is used anyway; [ecx*2] is written [ecx + ecx], which is shorter. */
function normalised(operand: string): string {
  return operand.replace(/\b[c-gs]s:/, '').replace(/\[(\w+)\*2\b/, '[$1 + $1')
}

/** MPX with 67 in 64-bit mode, which ignores it there. */
function ignoresAddressSize(insn: Instruction): boolean {
  const addressSize = codes[insn.code]?.addressSize ?? 0
  return addressSize !== 0 && addressSize !== insn.addressSize
}

/** The instruction as its code, operands and segment, which is what assembling again must keep. */
function meaningOf(insn: Instruction): string {
  const operands = operandsOf(insn, ADDRESS).map((operand) => normalised(formatOperand(operand)))
  return [codes[insn.code]?.form, ...operands, insn.isMemory ? `segment ${insn.segment}` : ''].join(' ')
}

/** The instruction assembled again; undefined where without its useless prefixes it does not reach its target. */
function reassembled(insn: Instruction, bits: 16 | 32 | 64): Uint8Array | undefined {
  try {
    return reassemble(insn, ADDRESS, bits)
  } catch (error) {
    if (error instanceof AssemblerError && error.message.startsWith('the distance to')) return undefined
    throw error
  }
}

describe('what is decoded assembles to the same instruction, no longer than it was', () => {
  test.each([16, 32, 64] as const)('in %i-bit mode', { timeout: 60_000 }, (bits) => {
    const forms = codes.flatMap(({ code }) => formOfCode(code) ?? []).filter((form) => form.sizing[bits] !== undefined)
    const seen = new Set<number>()
    const insn = new Instruction()
    const again = new Instruction()
    let identical = 0
    let compared = 0
    fc.assert(
      fc.property(
        fc.noBias(fc.nat({ max: forms.length - 1 })),
        fc.integer(),
        prefixes,
        damage,
        (index, seed, lead, turned) => {
          const form = forms[index]
          if (form === undefined) return
          const operands = randomOperands(form, bits, new Random(seed), bits === 64).map((operand) =>
            operand === BRANCH_TARGET ? ADDRESS + 64 : operand,
          )
          const asm = new Assembler({ bits, address: ADDRESS })
          try {
            asm.form(form.code, ...operands)
          } catch (error) {
            if (error instanceof AssemblerError) return
            throw error
          }
          const bytes = Uint8Array.from([...lead, ...asm.assemble().bytes, 0, 0, 0, 0, 0, 0, 0, 0])
          for (const bit of turned) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
          if (decodeInto(bytes, 0, bytes.length, bits, insn) !== DECODED) return
          // A reserved no-operation without its useless prefix may be a hint.
          if (ignoresAddressSize(insn) || (codes[insn.code]?.alias === true && codes[insn.code]?.mnemonic === 'NOP'))
            return
          const written = reassembled(insn, bits)
          if (written === undefined) return
          expect(written.length).toBeLessThanOrEqual(insn.length)
          expect(decodeInto(written, 0, written.length, bits, again)).toBe(DECODED)
          expect(meaningOf(again)).toBe(meaningOf(insn))
          seen.add(insn.code)
          compared++
          if (Buffer.compare(written, bytes.subarray(0, insn.length)) === 0) identical++
        },
      ),
      { numRuns: RUNS, seed: SEED + bits },
    )
    expect(compared).toBeGreaterThan(RUNS / 2)
    expect(identical).toBeGreaterThan(compared / 4)
    if (TEST_LONG) expect(seen.size).toBeGreaterThan(forms.length * 0.85)
  })
})
