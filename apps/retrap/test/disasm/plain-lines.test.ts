import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SYNTAXES, type Syntax } from '../../src/commands/disasm/plain-lines.ts'
import { listSection } from '../../src/commands/disasm/listing.ts'
import type { Mode, Section } from '../../src/machine/programs/program.ts'

const SGR = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g')

function text(section: Section, mode: Mode, syntax: Syntax, colour: boolean): string {
  const decoder = new TextDecoder()
  let all = ''
  for (const piece of listSection(section, { mode, syntax, colour })) all += decoder.decode(piece)
  return all.replaceAll(SGR, '')
}

const byte = fc.integer({ min: 0, max: 0xff })
/** Displacements that lead to symbols, between them, and out of the section. */
const near = fc.integer({ min: -40, max: 40 }).map((value) => [value & 0xff])
const far = fc
  .oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }))
  .map((value) => [...new Uint8Array(Int32Array.of(value).buffer)])
const instruction = fc.oneof(
  near.map((d) => [0x74, ...d]),
  near.map((d) => [0xe2, ...d]),
  far.map((d) => [0xe8, ...d]),
  far.map((d) => [0xe9, ...d]),
  far.map((d) => [0x66, 0xe9, ...d]),
  far.map((d) => [0x0f, 0x85, ...d]),
  far.map((d) => [0xc7, 0xf8, ...d]),
  // MOV, with an immediate behind the displacement, LEA, JMP and CALL through memory; a 32-bit address.
  far.map((d) => [0x48, 0x8b, 0x05, ...d]),
  fc.tuple(far, byte).map(([d, i]) => [0x83, 0x3d, ...d, i]),
  far.map((d) => [0x4c, 0x8d, 0x3d, ...d]),
  far.map((d) => [0xff, 0x25, ...d]),
  far.map((d) => [0x67, 0x8b, 0x05, ...d]),
  far.map((d) => [0xa1, ...d, 0, 0, 0, 0]),
  // MOV from an absolute address of any size.
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((a) => [0x48, 0xa1, ...new Uint8Array(BigUint64Array.of(a).buffer)]),
  fc.constantFrom(
    [0x90],
    [0x55],
    [0x48, 0x89, 0xe5],
    [0xf3, 0x0f, 0x1e, 0xfa],
    [0x0f, 0x0b],
    [0xc3],
    [0xb8, 1, 0, 0, 0],
  ),
  fc.array(byte, { minLength: 1, maxLength: 8 }),
)

test('a line without colour is what one in colour says, whatever the mode, the syntax and the address', () => {
  const bases = [0n, 0x1000n, 0xfff0n, 0xffff_fff0n, 2n ** 53n - 64n, 0xffff_ffff_8100_0000n, 2n ** 64n - 512n]
  fc.assert(
    fc.property(
      fc.array(instruction, { minLength: 1, maxLength: 20 }),
      fc.constantFrom(...bases),
      fc.constantFrom<Mode>(16, 32, 64),
      fc.constantFrom(...SYNTAXES),
      fc.array(fc.tuple(fc.integer({ min: -64, max: 400 }), fc.constantFrom(0n, 1n, 16n, 2n ** 64n - 1n)), {
        maxLength: 8,
      }),
      (instructions, base, mode, syntax, places) => {
        // Each of them twice: the second time its form is known.
        const bytes = Uint8Array.from([...instructions, ...instructions].flat())
        const symbols = places.map(([place, size], i) => ({
          name: `s${i}_é`,
          address: BigInt.asUintN(64, base + BigInt(place)),
          size,
          rank: i,
        }))
        const section = { name: 'code', address: base, bytes, symbols }
        // Those in colour are written as text, anew each time.
        expect(text(section, mode, syntax, false)).toBe(text(section, mode, syntax, true))
      },
    ),
    { numRuns: 600 },
  )
})
