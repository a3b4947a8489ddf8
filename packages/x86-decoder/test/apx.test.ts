/** APX: rules that need no other decoder, and texts that LLVM assembles to the same bytes. */
import { describe, expect, test } from 'vitest'
import * as decoder from '../src/index.ts'
import { bytesOf, hexOf } from './support/bytes.ts'
import { hasLlvm, llvmEncodings } from './support/llvm.ts'

const text = (hex: string): string => {
  const decoded = decoder.decode(bytesOf(hex))
  return decoded.status === 'decoded' ? decoder.formatIntel(decoded) : decoded.reason
}

describe('REX2 (APX specification, "REX2 Prefix")', () => {
  test('means what REX and 0F mean, wherever its upper bits are 0 and its row is allowed', () => {
    const legacy = new decoder.Instruction()
    const extended = new decoder.Instruction()
    const wrong: string[] = []
    let compared = 0
    for (let opcode = 0; opcode < 512; opcode++) {
      const byte = opcode & 0xff
      const isSecond = opcode >= 256
      const row = byte >> 4
      const isAllowed = isSecond ? row !== 3 && row !== 8 : ![4, 7, 10, 14].includes(row)
      // Prefixes, escapes, what is new, and XSAVE's family.
      if (
        !isSecond &&
        [0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x62, 0x64, 0x65, 0x66, 0x67, 0xc4, 0xc5, 0xd5, 0xf0, 0xf2, 0xf3].includes(byte)
      )
        continue
      for (const prefix of ['', '66 ', 'f3 ', 'f2 ', '67 ']) {
        for (const rex of [0, 1, 2, 4, 8, 0xd]) {
          if (!isSecond && row === 5 && (rex & 8) !== 0) continue
          for (const modrm of ['05', '44', '82', 'c1', 'ca', 'f7']) {
            const tail = `${byte.toString(16).padStart(2, '0')} ${modrm} 24 10 20 30 40 50 60 70 00`
            const before = bytesOf(`${prefix}4${rex.toString(16)} ${isSecond ? '0f ' : ''}${tail}`)
            const after = bytesOf(`${prefix}d5 ${((isSecond ? 0x80 : 0) | rex).toString(16).padStart(2, '0')} ${tail}`)
            const status = decoder.decodeInto(before, 0, before.length, 64, legacy)
            // A REX in front of another prefix is void, and XOP's own.
            if (byte === 0x8f && !isSecond && (modrm === 'ca' || modrm === 'f7' || modrm === 'c1')) continue
            if (isSecond && (byte === 0x38 || byte === 0x3a)) continue
            const again = decoder.decodeInto(after, 0, after.length, 64, extended)
            compared++
            const isSave = /^X(SAVE|RSTOR)/.test(decoder.codes[legacy.code]?.mnemonic ?? '')
            const expected = isAllowed && !isSave ? status : 1
            // PUSHP and JMPABS have no counterpart.
            if (!isSecond && byte === 0xa1) continue
            const same =
              again === expected &&
              (again !== 0 ||
                (extended.code === legacy.code &&
                  extended.reg === legacy.reg &&
                  extended.rm === legacy.rm &&
                  extended.base === legacy.base &&
                  extended.index === legacy.index &&
                  extended.dispLo === legacy.dispLo &&
                  extended.immLo === legacy.immLo &&
                  extended.isMemory === legacy.isMemory))
            if (!same && wrong.length < 20)
              wrong.push(`${hexOf(after)}: ${text(hexOf(after))}, not ${text(hexOf(before))}`)
          }
        }
      }
    }
    expect(wrong).toEqual([])
    expect(compared).toBeGreaterThan(50_000)
  })

  test.each([
    { bytes: 'd5 11 8b 04 22', expected: 'mov eax, dword ptr [r26]' },
    { bytes: 'd5 50 01 c1', expected: 'add r17d, r16d' },
    { bytes: 'd5 50 88 e4', expected: 'mov r20b, r20b' },
    { bytes: 'd5 00 88 e4', expected: 'mov spl, spl' },
    { bytes: 'd5 33 03 84 c8 00 01 00 00', expected: 'add eax, dword ptr [r24+r25*8+0x100]' },
    { bytes: 'd5 c0 28 c1', expected: 'movaps xmm0, xmm1' },
    { bytes: 'd5 10 90', expected: 'xchg r16d, eax' },
    { bytes: 'd5 18 50', expected: 'pushp r16' },
    { bytes: 'd5 08 58', expected: 'popp rax' },
    { bytes: 'd5 00 a1 88 77 66 55 44 33 22 11', expected: 'jmpabs 0x1122334455667788' },
    // REX2.M0 and REX2.W are 0, the other bits are ignored.
    { bytes: 'd5 77 a1 88 77 66 55 44 33 22 11', expected: 'jmpabs 0x1122334455667788' },
    { bytes: 'd5 08 a1 88 77 66 55 44 33 22 11', expected: 'no such instruction in this mode' },
    { bytes: '66 d5 00 a1 88 77 66 55 44 33 22 11', expected: 'no such instruction in this mode' },
    { bytes: '48 d5 00 01 c1', expected: 'a prefix before VEX that must not be there' },
    { bytes: 'd5 80 ae 20', expected: 'no such instruction in this mode' },
    { bytes: 'd5 c0 20 c0', expected: 'no such register' },
  ])('$bytes is $expected', ({ bytes, expected }) => expect(text(bytes)).toBe(expected))
})

describe('EVEX (APX specification, "Extended EVEX Prefix")', () => {
  test.each([
    { bytes: '62 f4 74 18 01 c1', expected: 'add ecx, ecx, eax' },
    { bytes: '62 f4 74 1c 01 c1', expected: '{nf} add ecx, ecx, eax' },
    { bytes: '62 f4 7c 08 01 c1', expected: '{evex} add ecx, eax' },
    { bytes: '62 dc 7d 0c ff c7', expected: '{nf} inc r31w' },
    { bytes: '62 f4 14 04 38 c1', expected: 'ccmpe {dfv=zf} cl, al' },
    { bytes: '62 f4 7f 18 44 c0', expected: 'setzue al' },
    { bytes: '62 f4 7c 0c 44 01', expected: 'cfcmove dword ptr [rcx], eax' },
    { bytes: '62 f4 44 10 ff f1', expected: 'push2 r23, rcx' },
    { bytes: '62 f4 5c 18 ff f1', expected: 'no such register' },
    { bytes: '62 f4 74 18 8f c1', expected: 'registers that must differ are the same' },
    { bytes: '62 f9 7d 48 6f 00', expected: 'vmovdqa32 zmm0, zmmword ptr [r16]' },
    { bytes: '62 f9 79 48 6f 04 00', expected: 'vmovdqa32 zmm0, zmmword ptr [r16+r16*1]' },
    { bytes: '62 f1 7c 08 90 01', expected: '{evex} kmovw k0, word ptr [rcx]' },
    // EVEX.U is X4 with memory, and has to be 1 with registers, in each map.
    { bytes: '62 f4 70 18 01 01', expected: 'add ecx, dword ptr [rcx], eax' },
    { bytes: '62 f4 70 18 01 04 01', expected: 'add ecx, dword ptr [rcx+r16*1], eax' },
    { bytes: '62 f4 70 18 01 c1', expected: 'no such mask, broadcast or rounding here' },
    { bytes: '62 f4 10 04 38 c1', expected: 'no such mask, broadcast or rounding here' },
    { bytes: '62 f1 70 48 58 c1', expected: 'no such mask, broadcast or rounding here' },
  ])('$bytes is $expected', ({ bytes, expected }) => expect(text(bytes)).toBe(expected))

  test('without APX none of it exists', () => {
    const options = 64 | decoder.decoderOptions({ features: new Set(['AVX512F']) })
    const insn = new decoder.Instruction()
    const found: string[] = []
    for (const hex of [
      'd5 11 8b 04 22',
      '62 f4 74 18 01 c1',
      '62 f1 7c 08 90 01',
      '62 f9 7d 48 6f 00',
      '62 e1 7e 08 2c c1',
    ]) {
      const bytes = bytesOf(`${hex} 00 00 00 00 00`)
      if (decoder.decodeInto(bytes, 0, bytes.length, options, insn) === 0) found.push(hex)
    }
    expect(found).toEqual([])
  })
})

test.each([
  { bytes: '62 f4 44 10 ff f1', expected: 'r23=r rcx=r rsp=rw' },
  { bytes: 'd5 18 58', expected: 'r16=w rsp=rw' },
  { bytes: '62 f4 75 18 01 c1', expected: 'rcx=w cx=r ax=r' },
  { bytes: '62 f4 7f 18 44 c0', expected: 'rax=w' },
  { bytes: '62 f4 7d 0c 44 c1', expected: 'cx=cw ax=r' },
])('$bytes uses $expected', ({ bytes, expected }) => {
  const { registers } = decoder.usedResources(decoder.decode(bytesOf(bytes)).instruction)
  expect(registers.map(({ name, access }) => `${name}=${access}`).join(' ')).toBe(expected)
})

// Intel APX specification, CFCMOVcc: what is not wanted is neither read from memory nor written to it.
test.each([
  { text: 'cfcmove ecx, dword ptr [rax]', bytes: '62 f4 7c 08 44 08', expected: 'w cr' },
  { text: 'cfcmove dword ptr [rcx], eax', bytes: '62 f4 7c 0c 44 01', expected: 'cw r' },
  { text: 'cfcmove ecx, edx, dword ptr [rax]', bytes: '62 f4 74 1c 44 10', expected: 'w r cr' },
  { text: 'add ecx, edx, dword ptr [rax]', bytes: '62 f4 74 18 03 10', expected: 'w r r' },
])('$text has the operand accesses $expected', ({ text: printed, bytes, expected }) => {
  const decoded = decoder.decode(bytesOf(bytes))
  expect([
    text(bytes),
    decoder.codes[decoded.instruction.code]!.operands.map(({ access }) => access).join(' '),
  ]).toEqual([printed, expected])
})

/** Each form of APX with a register and with memory, with and without NF, with low registers and with high ones. */
function samples(): decoder.DecodedInstruction[] {
  const found: decoder.DecodedInstruction[] = []
  for (const info of decoder.codes) {
    if (info.encoding !== 'evex' || !info.feature.startsWith('APX')) continue
    const pp = ['NP', '66', 'F3', 'F2'].indexOf(info.prefix)
    const isSized = info.prefix === 'NFx'
    const prefix = isSized ? Number(info.operandSize === 16) : pp
    const w = info.vexW < 0 ? Number(info.operandSize === 64) : info.vexW
    const hasVvvv = info.operands.some(({ kind }) => kind === decoder.OperandKind.VVVV_REG)
    for (const p0 of [0xf0, 0x98]) {
      for (const modrm of [0xc1, 0x44]) {
        for (const nf of info.noFlags === 'possible' ? [0, 4] : info.noFlags === 'always' ? [4] : [0]) {
          const p2 = info.condition >= 0 ? info.condition : (info.evexNd === 1 ? 0x10 : 0) | nf | 8
          const vvvv = info.condition >= 0 ? 5 : hasVvvv ? 9 : 15
          const bytes = new Uint8Array(16).fill(0x11)
          const reg = info.extension < 0 ? 2 : info.extension
          bytes.set([
            0x62,
            p0 | info.map,
            (w << 7) | (vvvv << 3) | 4 | prefix,
            p2,
            info.opcode,
            modrm | (reg << 3),
            ...(modrm === 0x44 ? [0x51] : []),
          ])
          const decoded = decoder.decode(bytes)
          if (decoded.status === 'decoded' && decoded.info.code === info.code)
            found.push({ ...decoded, bytes: decoded.bytes.slice() })
        }
      }
    }
  }
  return found
}

/** What LLVM does not read, or reads as something else. Closed. */
const exceptions: readonly { readonly text: RegExp; readonly why: string }[] = [
  { text: /^\{nf\} imulzu /, why: 'NF and ZU together' },
]

describe.skipIf(!hasLlvm)('what is printed is read again by LLVM', () => {
  test.each([
    { syntax: 'intel', format: decoder.formatIntel },
    { syntax: 'att', format: decoder.formatAtt },
  ] as const)('$syntax syntax', ({ syntax, format }) => {
    const all = samples()
    const readable = all.filter((decoded) => !exceptions.some((row) => row.text.test(format(decoded))))
    const wrong: string[] = []
    let sameBytes = 0
    llvmEncodings(
      syntax,
      readable.map((decoded) => format(decoded)),
    ).forEach((encoding, i) => {
      const decoded = readable[i] as decoder.DecodedInstruction
      const again = /^[0-9a-f ]+$/.test(encoding) ? decoder.decode(bytesOf(encoding)) : undefined
      if (encoding === hexOf(decoded.bytes)) sameBytes++
      else if (again === undefined || format(again).replace('{evex} ', '') !== format(decoded).replace('{evex} ', '')) {
        wrong.push(`${hexOf(decoded.bytes)}: ${format(decoded)}, back: ${encoding}`)
      }
    })
    console.log(`${syntax}: ${readable.length} of ${all.length} APX instructions, ${sameBytes} with the same bytes`)
    expect(new Set(all.map(({ info }) => info.code)).size).toBe(
      // Those with a 32-bit address need 67.
      decoder.codes.filter(
        ({ encoding, feature, addressSize }) => encoding === 'evex' && feature.startsWith('APX') && addressSize !== 32,
      ).length,
    )
    expect(wrong.slice(0, 400)).toEqual([])
  })
})
