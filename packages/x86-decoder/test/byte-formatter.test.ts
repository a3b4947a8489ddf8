import { describe, expect, test } from 'vitest'
import * as decoder from '../src/index.ts'
import { bytesOf } from './support/bytes.ts'
import { randomInstructions } from './support/reassemble.ts'

const syntaxes = [
  ['intel', decoder.bytesIntel, decoder.formatIntel],
  ['att', decoder.bytesAtt, decoder.formatAtt],
  ['nasm', decoder.bytesNasm, decoder.formatNasm],
] as const

/** Lines as text. It never has more room than it was asked for. */
class Sink implements decoder.ByteSink {
  bytes = new Uint8Array(0)
  length = 0

  reserve(more: number): void {
    const bytes = new Uint8Array(this.length + more)
    bytes.set(this.bytes.subarray(0, this.length))
    this.bytes = bytes
  }

  write(text: string): void {
    this.reserve(text.length)
    for (const character of text) this.bytes[this.length++] = character.charCodeAt(0)
  }

  take(): string {
    const text = String.fromCharCode(...this.bytes.subarray(0, this.length))
    this.length = 0
    return text
  }
}

const nameOf = (address: bigint): string | undefined => (address % 2n === 0n ? `s${address % 100n}` : undefined)

function writeName(low: number, high: number, out: decoder.ByteSink): boolean {
  const name = nameOf((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0))
  if (name !== undefined) (out as Sink).write(name)
  return name !== undefined
}

const ADDRESSES = [0n, 0x1000n, 0xffff_fff0n, 1n << 52n, (1n << 53n) - 3n, 1n << 63n, 0xffff_ffff_8100_0000n, -5n]

describe.each(syntaxes)('%s', (_, bytes, format) => {
  const styles: decoder.ByteFormatOptions[] = [
    {},
    { spacing: 'tight', mnemonicWidth: 8 },
    { mnemonicWidth: 13, symbols: writeName },
  ]

  test.each([16, 32, 64] as const)('random instructions in %i-bit mode are the text of the other formatter', (mode) => {
    const out = new Sink()
    const formatters = styles.map((style) => bytes(style))
    const wrong: string[] = []
    let count = 0
    for (const decoded of randomInstructions(mode, 23, 3000)) {
      const address = BigInt.asUintN(64, ADDRESSES[count++ % ADDRESSES.length]!)
      formatters.forEach((formatter, i) => {
        formatter.write(
          decoded.instruction,
          Number(BigInt.asIntN(32, address)),
          Number(BigInt.asIntN(32, address >> 32n)),
          out,
        )
        const { symbols, ...style } = styles[i]!
        const expected = format(decoded.instruction, {
          ...style,
          address,
          ...(symbols === undefined ? {} : { symbols: nameOf }),
        })
        const text = out.take()
        if (text !== expected) wrong.push(`${text} for ${expected}`)
      })
    }
    expect(wrong).toEqual([])
  })

  test('each register of each operand has its name, whichever came first', () => {
    const out = new Sink()
    const formatter = bytes()
    const insn = new decoder.Instruction()
    const wrong: string[] = []
    const check = (code: readonly number[], mode: number): void => {
      const input = Uint8Array.of(...code, ...new Array<number>(15).fill(0x11))
      if (decoder.decodeInto(input, 0, input.length, mode, insn) !== 0) return
      formatter.write(insn, 0x7000, 0, out)
      const text = out.take()
      const expected = format(insn, { address: 0x7000n })
      if (text !== expected) wrong.push(`${text} for ${expected}`)
    }
    for (let modrm = 255; modrm >= 0; modrm--) {
      // Without and with REX, REX2, VEX: bytes, words, vectors; then each SIB byte.
      for (const opcode of [0x00, 0x89, 0x8b, 0x6b, 0xc7, 0xf6]) {
        for (const mode of [16, 32, 64])
          for (const prefix of [[], [0x66], [0x67]]) check([...prefix, opcode, modrm], mode)
        for (const rex of [0x36, 0x40, 0x41, 0x42, 0x4c]) check([rex, opcode, modrm], 64)
        for (const payload of [0x11, 0x7f]) check([0xd5, payload, opcode, modrm], 64)
      }
      for (const opcode of [0x10, 0x6f, 0x7e, 0xb6, 0xbe]) {
        for (const prefix of [[], [0x66], [0xf2], [0xf3], [0x41], [0x66, 0x4d]])
          check([...prefix, 0x0f, opcode, modrm], 64)
      }
      for (const vex of [0xf9, 0x7d, 0x01, 0xe5]) check([0xc5, vex, 0x58, modrm], 64)
      for (const rex of [0x48, 0x4f, 0x42]) check([rex, 0x8b, 0x84, modrm], 64)
      check([0x8b, 0x04, modrm], 32)
      check([0x8b, 0x44, modrm], 64)
      check([0xb0 + (modrm & 15)], 64)
      check([0x41, 0xb0 + (modrm & 15)], 64)
    }
    expect(wrong).toEqual([])
  })

  test('what is no instruction', () => {
    const out = new Sink()
    const insn = new decoder.Instruction()
    const formatter = bytes({ mnemonicWidth: 8 })
    for (const [code, mode] of [
      ['06 00', 64],
      ['48 8b 04', 64],
      ['f0 90', 16],
      ['', 64],
    ] as const) {
      const input = bytesOf(code)
      decoder.decodeInto(input, 0, input.length, mode, insn)
      formatter.write(insn, 0, 0, out)
      expect(out.take()).toBe(format(insn, { mnemonicWidth: 8 }))
    }
  })
})

const REGISTERS: readonly (readonly number[])[] = [[0xca], [0xd3]]
/** ModRM, SIB and displacement: without and with a short one, with an index, relative, absolute. */
const MEMORY: readonly (readonly number[])[] = [
  [0x01],
  [0x44, 0xd1, 0x7f],
  [0x84, 0x91, 0x10, 0x32, 0x54, 0x76],
  [0x05, 0x10, 0x32, 0x54, 0x76],
  [0x04, 0x65, 0xf0, 0xff, 0xff, 0xff],
]
/** EVEX.z, b, V' and aaa; for APX ND, NF or a condition. The most that a form can have comes before less. */
const PLAIN = 0x08
const DECORATIONS = [PLAIN, 0x00, 0x9b, 0x1b, 0x18, 0x0b, 0x0c, 0x1c] as const

/** Instructions of each form of EVEX, APX among it, with each of its decorations, and of each form that REX2 extends. */
function extendedInstructions(): readonly decoder.Instruction[] {
  const found: decoder.Instruction[] = []
  const seen = new Set<number>()
  const bytes = new Uint8Array(16)
  let insn = new decoder.Instruction()
  let turn = 0
  /** Tries an encoding with registers and with memory. @param all - or with each of the tails, until one is taken */
  const take = (
    head: readonly number[],
    { opcode, extension, modrmByte }: (typeof decoder.codes)[number],
    all = false,
  ): void => {
    turn++
    const tails = [REGISTERS, MEMORY].flatMap((each) => (all ? each : [each[turn % each.length]!]))
    for (const [first, ...rest] of tails) {
      const modrm = extension < 0 ? first! : (first! & 0xc7) | (extension << 3)
      bytes.fill(0x81)
      bytes.set([...head, opcode, modrmByte < 0 ? modrm : modrmByte, ...rest])
      if (decoder.decodeInto(bytes, 0, 15, 64, insn) !== 0) continue
      // Plain once, then with memory and without, each with a mask, zeroing, broadcast, rounding or no flags.
      const key = insn.code * 4 + (insn.evex === 0 ? 0 : 1 + insn.isMemory)
      if (seen.has(key)) continue
      seen.add(key)
      found.push(insn)
      insn = new decoder.Instruction()
    }
  }
  for (const info of decoder.codes) {
    const { encoding, map, prefix, vexW, vexL, evexNd, condition, noFlags } = info
    const required = ['NP', '66', 'F3', 'F2'].indexOf(prefix)
    const operandSizes = required < 0 ? [0, 1] : [required]
    if (encoding === 'evex') {
      for (const pp of operandSizes) {
        for (const w of vexW < 0 ? [0, 0x80] : [vexW << 7]) {
          for (const decoration of DECORATIONS) {
            let low = evexNd < 0 ? decoration : (decoration & ~0x10) | (evexNd << 4)
            if (condition >= 0) low = (low & 0x10) | condition
            if (noFlags === 'always') low |= 4
            for (const vvvv of [0x78, 0x50]) {
              const tail = [w | vvvv | 4 | pp, (Math.max(vexL, 0) << 5) | low]
              const before = info.addressSize === 32 ? [0x67] : []
              const needsAll = decoration === PLAIN || info.masking === 'required'
              if (needsAll) take([...before, 0x62, 0xf0 | map, ...tail], info, true)
              take([...before, 0x62, (turn % 3 === 0 ? 0xf0 : 0xd0) | map, ...tail], info)
            }
          }
        }
      }
    } else if ((encoding === 'legacy' || encoding === 'rex2') && map < 2) {
      const before = required < 1 ? [] : [[0x66, 0xf3, 0xf2][required - 1]!]
      take([...before, 0xd5, (map << 7) | (turn % 2 === 0 ? 0x15 : 0x5d)], info)
    }
  }
  return found
}

test('each form of EVEX, APX and REX2 is the text of the other formatters, with masks, broadcast and rounding', () => {
  const instructions = extendedInstructions()
  const met = new Set(instructions.map(({ code }) => code))
  const missed = decoder.codes.filter(
    ({ encoding, code }) => (encoding === 'evex' || encoding === 'rex2') && !met.has(code),
  )
  expect(missed.map(({ mnemonic }) => mnemonic)).toEqual([])
  for (const [, bytes, format] of syntaxes) {
    const out = new Sink()
    const style = { spacing: 'tight', mnemonicWidth: 9 } as const
    const formatter = bytes(style)
    const wrong: string[] = []
    for (const insn of instructions) {
      formatter.write(insn, 0x1000, 0, out)
      const text = out.take()
      const expected = format(insn, { ...style, address: 0x1000n })
      if (text !== expected) wrong.push(`${text} for ${expected}`)
    }
    expect(wrong).toEqual([])
  }
})

test.each(syntaxes)('%s: a name that is written and taken back leaves the line its room', (_, bytes, format) => {
  const out = new Sink()
  const undecided = bytes({
    mnemonicWidth: 1000,
    symbols: (_low, _high, into) => {
      ;(into as Sink).write('no')
      return false
    },
  })
  const insn = new decoder.Instruction()
  for (const code of [
    '48 8b 05 10 00 00 00',
    '62 f1 7c 1b 58 05 10 00 00 00',
    'e8 10 00 00 00',
    '8b 04 25 00 00 00 70',
  ]) {
    const input = bytesOf(code)
    decoder.decodeInto(input, 0, input.length, 64, insn)
    undecided.write(insn, 0, 0, out)
    expect(out.take()).toBe(format(insn, { mnemonicWidth: 1000 }))
  }
})

test('a symbol is asked for with the address in two words', () => {
  const asked: string[] = []
  const formatter = decoder.bytesIntel({
    symbols: (low, high) => {
      asked.push(`${high} ${low}`)
      return false
    },
  })
  const out = new Sink()
  const insn = new decoder.Instruction()
  for (const code of ['e9 f0 ff ff ff', '48 8b 05 10 00 00 00', '8b 04 25 00 00 00 80', '90']) {
    const input = bytesOf(code)
    decoder.decodeInto(input, 0, input.length, 64, insn)
    formatter.write(insn, -6, 0, out)
  }
  expect(asked).toEqual(['0 -17', '1 17', '-1 -2147483648'])
})

test('a formatter goes on when it has more lines than room', () => {
  const formatter = decoder.bytesAtt()
  const out = new Sink()
  const wrong: string[] = []
  const modes = [64, 32] as const
  const lines = modes.flatMap((mode) => randomInstructions(mode, 31, 12_000).map(({ instruction }) => instruction))
  for (const insn of [...lines, ...lines.slice(0, 1000)]) {
    formatter.write(insn, 0, 0, out)
    const text = out.take()
    if (text !== decoder.formatAtt(insn)) wrong.push(`${text} for ${decoder.formatAtt(insn)}`)
  }
  expect(wrong).toEqual([])
})

test('a code has a place among the kinds', () => {
  expect(decoder.codes.length).toBeLessThan(1 << 13)
})

test.each([
  { upperCase: true },
  { hex: 'suffix' },
  { spacing: 'loose' },
  { mnemonicWidth: -1 },
  { symbols: 'puts' },
  null,
] as unknown as decoder.ByteFormatOptions[])('options that bytes cannot be printed with: %o', (options) => {
  expect(() => decoder.bytesIntel(options)).toThrow(
    expect.objectContaining({ code: 'ERR_OPTION' }) as decoder.DecoderError,
  )
})

const CALL = new decoder.Instruction()
decoder.decodeInto(Uint8Array.of(0xe8, 0, 0, 0, 0), 0, 5, 64, CALL)
const MOVE = new decoder.Instruction()
decoder.decodeInto(Uint8Array.of(0x89, 0xc8), 0, 2, 64, MOVE)

test.each([
  { what: 'a bigint', words: [0x40_1000n, 0n] },
  { what: 'an object', words: [{}, 0] },
  { what: 'no high word', words: [0x40_1000] },
])('$what for an address is refused, whatever the instruction', ({ words }) => {
  const formatter = decoder.bytesIntel() as unknown as { write(insn: decoder.Instruction, ...more: unknown[]): void }
  const out: decoder.ByteSink = { bytes: new Uint8Array(2000), length: 0, reserve: () => {} }
  const [low, high] = words
  for (const insn of [CALL, MOVE]) {
    expect(() => formatter.write(insn, low, high, out)).toThrow(
      expect.objectContaining({ code: 'ERR_ADDRESS' }) as decoder.DecoderError,
    )
  }
})

test('symbols that give a name, as those of formatIntel do, are refused; what they write before they say no is gone', () => {
  const out: decoder.ByteSink = { bytes: new Uint8Array(2000), length: 0, reserve: () => {} }
  const named = decoder.bytesIntel({ symbols: (() => 'main') as unknown as () => boolean })
  expect(() => named.write(CALL, 0, 0, out)).toThrow(
    expect.objectContaining({ code: 'ERR_OPTION' }) as decoder.DecoderError,
  )
  out.length = 0
  const undecided = decoder.bytesIntel({
    symbols: (_low, _high, into) => {
      into.bytes[into.length++] = 0x3f
      return false
    },
  })
  undecided.write(CALL, 0, 0, out)
  expect(new TextDecoder().decode(out.bytes.subarray(0, out.length))).toBe('call 0x5')
})
