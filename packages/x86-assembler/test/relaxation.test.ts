// Random programs of branches: each goes where it should, short exactly where it can be.
import fc from 'fast-check'
import { decodeInto, DECODED, Instruction, branchTarget } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { Assembler } from '../src/index.ts'

const PIECES = 24

/** A piece: `gap` bytes, a label, and a jump to the label of piece `to`. */
const piece = fc.record({
  gap: fc.oneof(fc.nat({ max: 20 }), fc.integer({ min: 100, max: 140 })),
  to: fc.nat({ max: PIECES - 1 }),
  kind: fc.constantFrom('jmp', 'jz', 'call'),
})

describe('branch relaxation', () => {
  test.each([16, 32, 64] as const)('in %i-bit code', (bits) => {
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: PIECES, maxLength: PIECES }),
        fc.nat({ max: 0x4000 }),
        (pieces, address) => {
          const asm = new Assembler({ bits, address })
          const labels = pieces.map(() => asm.label())
          const jumps = pieces.map(({ gap, to, kind }, index) => {
            asm.fill(gap, 0x90).bind(labels[index]!)
            const jump = asm.here()
            asm.instruction(kind, labels[to]!)
            return jump
          })
          const program = asm.assemble()
          const insn = new Instruction()
          for (const [index, { to, kind }] of pieces.entries()) {
            const from = Number(program.addressOf(jumps[index]!))
            expect(decodeInto(program.bytes, from - address, program.bytes.length, bits, insn)).toBe(DECODED)
            const target = program.addressOf(labels[to]!)
            expect(branchTarget(insn, BigInt(from))).toBe(target)
            if (kind === 'call') continue
            const isShort = insn.immSize === 1
            const distance = Number(target) - (from + 2)
            // A long one cannot be short: neither as the code lies nor, going back, with the bytes it would save.
            if (isShort) expect(distance).toBeGreaterThanOrEqual(-128)
            else expect(distance > 127 || distance < -128).toBe(true)
          }
        },
      ),
      { numRuns: 100 },
    )
  })
})
