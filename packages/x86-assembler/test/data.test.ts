// Data, padding and distances between labels.
import { describe, expect, test } from 'vitest'
import { Assembler, AssemblerError, ax, cx, dword, eax, ebx, rbx, si, word } from '../src/index.ts'
import { decodeInto, DECODED, Instruction } from '@retrap/x86-decoder'

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (value) => value.toString(16).padStart(2, '0')).join(' ')
}

describe('data', () => {
  test.each<{ what: string; build: (asm: Assembler) => unknown; bytes: string }>([
    { what: 'bytes of all kinds', build: (asm) => asm.db(1, -1, 'ä', Uint8Array.of(7, 8)), bytes: '01 ff c3 a4 07 08' },
    { what: 'words', build: (asm) => asm.dw(0x1234, -2), bytes: '34 12 fe ff' },
    { what: 'double words', build: (asm) => asm.dd(0xdead_beef), bytes: 'ef be ad de' },
    {
      what: 'quad words',
      build: (asm) => asm.dq(-2n, 0x1234_5678_9abc_def0n),
      bytes: 'fe ff ff ff ff ff ff ff f0 de bc 9a 78 56 34 12',
    },
    { what: 'floats', build: (asm) => asm.float32(1, -0.5), bytes: '00 00 80 3f 00 00 00 bf' },
    { what: 'doubles', build: (asm) => asm.float64(Math.PI), bytes: '18 2d 44 54 fb 21 09 40' },
    { what: 'UTF-8 with a terminator', build: (asm) => asm.asciz('Ω'), bytes: 'ce a9 00' },
    { what: 'UTF-16, with a pair', build: (asm) => asm.utf16('a𝄞'), bytes: '61 00 34 d8 1e dd' },
    { what: 'equal bytes', build: (asm) => asm.fill(3, 0xcc).fill(2), bytes: 'cc cc cc 00 00' },
    { what: 'an address to go on at', build: (asm) => asm.db(1).org(4, 0xee).db(2), bytes: '01 ee ee ee 02' },
  ])('$what', ({ build, bytes }) => {
    const asm = new Assembler()
    build(asm)
    expect(hexOf(asm.assemble().bytes)).toBe(bytes)
  })

  test('an included image is copied, and may be large', () => {
    const image = new Uint8Array(1 << 20).fill(0x5a)
    const asm = new Assembler()
    asm.db(image)
    image.fill(0)
    const { bytes } = asm.assemble()
    expect([bytes.length, bytes[0], bytes.at(-1)]).toEqual([1 << 20, 0x5a, 0x5a])
    expect(new Assembler().ascii('x'.repeat(1 << 20)).assemble().bytes.length).toBe(1 << 20)
  })

  test.each<{ what: string; build: (asm: Assembler) => unknown; message: string }>([
    { what: 'a word that does not fit', build: (asm) => asm.dw(0x1_0000), message: '65536 does not fit in 16 bits' },
    { what: 'a filler that is no byte', build: (asm) => asm.fill(2, 256), message: '256 is not a byte' },
    { what: 'a fraction', build: (asm) => asm.dd(0.5), message: '0.5 is not an integer' },
    { what: 'a negative count', build: (asm) => asm.fill(-1), message: 'the number of bytes to fill is -1' },
    { what: 'an alignment of 0', build: (asm) => asm.align(0), message: 'the multiple to align to is 0' },
  ])('refused: $what', ({ build, message }) => {
    expect(() => build(new Assembler())).toThrow(AssemblerError)
    expect(() => build(new Assembler())).toThrow(message)
  })
})

describe('padding for code', () => {
  test.each([16, 32, 64] as const)('of every length is no-operations in %i-bit code', (bits) => {
    const insn = new Instruction()
    for (let length = 0; length <= 40; length++) {
      const { bytes } = new Assembler({ bits }).nops(length).assemble()
      let count = 0
      for (let at = 0; at < bytes.length; at += insn.length, count++) {
        expect(decodeInto(bytes, at, bytes.length, bits, insn)).toBe(DECODED)
      }
      expect(count).toBe(Math.ceil(length / (bits === 16 ? 4 : 9)))
    }
  })

  test('may be given up where it would take too much', () => {
    const asm = new Assembler()
    asm.fill(5).alignCode(16, 8).hlt().fill(4).alignCode(16, 8).hlt()
    expect(asm.assemble().bytes.length).toBe(17)
  })
})

describe('distances between labels', () => {
  test('are displacements of 8 bits where they fit, and immediates as short as can be', () => {
    const asm = new Assembler()
    asm.section('layout', { address: 0, load: 'none' })
    const record = asm.here('record')
    asm.fill(8)
    const near = asm.here('near')
    asm.fill(200)
    const far = asm.here('far')
    asm.section('text')
    asm.mov(eax, dword(rbx, { disp: near.minus(record) }))
    asm.mov(eax, dword(rbx, { disp: far.minus(record) }))
    asm.add(dword(rbx, { disp: near.minus(record) }), far.minus(record))
    asm.add(dword(rbx, { disp: far.minus(record) }), near.minus(record))
    asm.add(ebx, near.minus(record))
    expect(hexOf(asm.assemble().bytes)).toBe(
      '8b 43 08 8b 83 d0 00 00 00 81 43 08 d0 00 00 00 83 83 d0 00 00 00 08 83 c3 08',
    )
  })

  test('count what lies between after branches have grown', () => {
    const asm = new Assembler({ bits: 16 })
    const start = asm.label()
    const end = asm.label()
    const away = asm.label()
    asm.mov(cx, end.minus(start)).mov(ax, word(si, { disp: end.minus(start) }))
    asm.bind(start).jz(away).bind(end).fill(200).bind(away)
    // JZ is four bytes long here.
    expect(hexOf(asm.assemble().bytes.subarray(0, 10))).toBe('b9 04 00 8b 44 04 0f 84 c8 00')
  })

  test('make a table of offsets', () => {
    const asm = new Assembler()
    const table = asm.here()
    const cases = [asm.label(), asm.label(), asm.label()]
    asm.dd(...cases.map((label) => label.minus(table)))
    for (const label of cases) asm.bind(label).ret()
    expect(hexOf(asm.assemble().bytes)).toBe('0c 00 00 00 0d 00 00 00 0e 00 00 00 c3 c3 c3')
  })
})
