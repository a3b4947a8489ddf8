/**
 * Text → assembler → bytes for EVEX: every form with registers, memory, broadcast, masks and rounding is read by GNU as, NASM and
 * LLVM, and gives the same bytes or means the same.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliced } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { codes, decode, type DecodedInstruction, formatAtt, formatIntel, formatNasm } from '../src/index.ts'
import { bytesOf, hexOf } from './support/bytes.ts'
import { hasLlvm, llvmEncodings } from './support/llvm.ts'
import { assemble, assemblers, meaning, SLOT } from './support/reassemble.ts'

/** ModRM, SIB and what follows. */
const TAILS = [
  [0xca, 0x33],
  [0x01, 0x33],
  [0x44, 0xd1, 0x7f, 0x33],
  [0x84, 0x91, 0x10, 0x32, 0x54, 0x76, 0x33],
] as const

/** Each form with each tail, without and with broadcast or rounding, mask, zeroing. */
function samples(isWanted: (feature: string) => boolean): DecodedInstruction[] {
  const found: DecodedInstruction[] = []
  for (const info of codes) {
    if (info.encoding !== 'evex' || info.feature.startsWith('APX') || !isWanted(info.feature)) continue
    const pp = ['NP', '66', 'F3', 'F2'].indexOf(info.prefix)
    const w = info.sizeClass === 'y' ? Number(info.operandSize === 64) : Math.max(info.vexW, 0)
    TAILS.forEach((tail, turn) => {
      // b and the mask; the last has both.
      for (const extra of [0x00, 0x12, 0x85, 0x97]) {
        const bytes = new Uint8Array(16)
        const modrm = info.extension < 0 ? tail[0] : (tail[0] & 0xc7) | (info.extension << 3)
        for (const vvvv of [0x68, 0x78]) {
          const p2 = (Math.max(info.vexL, 0) << 5) | (extra ^ (vvvv === 0x78 || turn % 2 === 0 ? 8 : 0))
          bytes.set([
            0x62,
            (turn % 2 === 0 ? 0xb0 : 0xd0) | info.map,
            (w << 7) | vvvv | 4 | pp,
            p2,
            info.opcode,
            modrm,
            ...tail.slice(1),
          ])
          const decoded = decode(bytes, { address: BigInt(found.length * SLOT) })
          if (decoded.status !== 'decoded' || decoded.info.code !== info.code) continue
          found.push({ ...decoded, bytes: decoded.bytes.slice() })
          break
        }
      }
    })
  }
  return found
}

interface Exception {
  readonly text: RegExp
  readonly why: string
}

/** Texts that an assembler does not read, or reads as something else. Closed: anything more is a failure. */
const gas: readonly Exception[] = [
  { text: /^vcvtu?dq2pd .*sae\}/, why: 'the manual has no rounding there' },
  {
    text: /^(?:\{evex\} )?(vmovw|vpinsr[bw]|vpextr[bw]|vextractps) .*%?\br(dx|ax|cx|8|9)\b(?![*+\]])/,
    why: 'a 64-bit register is taken for the 32-bit one, or not read',
  },
]
const nasm: readonly Exception[] = [
  ...gas,
  {
    text: /^vdpbf16ps [yz]|^vpopcnt[dq] .*\{1to|^vp(dpbusds?|dpwssds?|madd52[lh]uq) .*\{1to/,
    why: 'NASM 2.16 does not have these forms',
  },
  { text: /^vcvtneps2bf16 /, why: 'NASM 2.16 wants {evex} in front' },
  { text: /^\{evex\} vpinsrw /, why: 'NASM 2.16 does not take {evex} there' },
]

/** Features that binutils 2.40 or NASM 2.16 do not know. */
const NEWER = /AVX10_2|AMX_AVX512/
const NASM_LACKS = /AVX10_2|AMX_AVX512|FP16|4FMAPS|4VNNIW|VP2INTERSECT/

/** Where objdump 2.40 prints something else. Closed. */
const objdumpSpeaks: readonly Exception[] = [
  { text: /^(\{evex\} )?(vp?cmp|vpclmul)/, why: 'it has names for the values of the immediate' },
  { text: /^vcvtu?dq2pd .*sae\}/, why: 'the manual has no rounding there' },
  {
    text: /^(?:\{evex\} )?(vmovw|vpinsr[bw]|vpextr[bw]|vextractps) .*%r[cd]x(?!,\d)/,
    why: 'it shows the 32-bit register whatever W says',
  },
]

test.skipIf(!hasProgram('objdump'))('AT&T syntax is what objdump prints', () => {
  const all = samples((feature) => !NEWER.test(feature)).filter(
    (decoded) => !objdumpSpeaks.some(({ text }) => text.test(formatAtt(decoded))),
  )
  const folder = temporaryFolder('evex')
  const file = join(folder, 'code')
  const image = new Uint8Array(all.length * 16).fill(0x90)
  all.forEach(({ bytes }, i) => image.set(bytes, i * 16))
  writeFileSync(file, image)
  const listing = execFileSync('objdump', ['-D', '-w', '-b', 'binary', '-m', 'i386:x86-64', file], {
    encoding: 'utf8',
    maxBuffer: 1 << 29,
  })
  const lines = new Map(
    [...listing.matchAll(/^\s*([0-9a-f]+):\t[0-9a-f ]+\t(.*)$/gm)].map(([, at, text]) => [
      parseInt(at as string, 16),
      (text as string)
        .replace(/\s*#.*$/, '')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    ]),
  )
  const wrong = all.flatMap((decoded, i) => {
    const ours = formatAtt(decoded, { spacing: 'tight', address: BigInt(i * 16) })
    const theirs = lines.get(i * 16)
    // Where {evex} is of use it decides by other bits too; that the bytes come back is what counts.
    return ours.replace('{evex} ', '') === theirs?.replace('{evex} ', '')
      ? []
      : [`${hexOf(decoded.bytes)}: ${ours}, objdump: ${theirs ?? 'nothing'}`]
  })
  console.log(`objdump: ${all.length} EVEX instructions`)
  expect(wrong.slice(0, 400)).toEqual([])
})

describe('what is printed is read again', () => {
  for (const { syntax, format, exceptions, lacks, program } of sliced(
    [
      { syntax: 'intel', format: formatIntel, exceptions: gas, lacks: NEWER, program: 'as' },
      { syntax: 'att', format: formatAtt, exceptions: gas, lacks: NEWER, program: 'as' },
      { syntax: 'nasm', format: formatNasm, exceptions: nasm, lacks: NASM_LACKS, program: 'nasm' },
    ] as const,
    3,
  )) {
    test.skipIf(!hasProgram(program))(
      `${syntax}${skipNote(hasProgram(program), `${program} is not installed`)}`,
      () => {
        const all = samples((feature) => !lacks.test(feature))
        const readable = all
          .filter((decoded) => !exceptions.some(({ text }) => text.test(format(decoded))))
          .map(({ bytes }, i) => decode(bytes, { address: BigInt(i * SLOT) }))
        const texts = readable.map((decoded) => format(decoded))
        const { image, complaints } = assemble(assemblers[syntax], 64, texts)
        expect(complaints).toEqual([])
        let sameBytes = 0
        const wrong: string[] = []
        readable.forEach((decoded, i) => {
          const again = decode(image, { offset: i * SLOT, address: decoded.address })
          if (hexOf(decoded.bytes) === hexOf(again.bytes)) sameBytes++
          else if (
            meaning(decoded, 'displacement') !== meaning(again, 'displacement') ||
            format(decoded) !== format(again)
          ) {
            wrong.push(`${hexOf(decoded.bytes)}: ${texts[i] as string}, back: ${hexOf(again.bytes)}: ${format(again)}`)
          }
        })
        console.log(
          `${syntax}: ${readable.length} of ${all.length} EVEX instructions, ${sameBytes} with the same bytes`,
        )
        expect(wrong.slice(0, 30)).toEqual([])
      },
    )
  }
  test.skipIf(!hasLlvm).each([
    { syntax: 'intel', format: formatIntel },
    { syntax: 'att', format: formatAtt },
  ] as const)('$syntax syntax of AVX10.2 by LLVM', ({ syntax, format }) => {
    const all = samples((feature) => NEWER.test(feature))
    const texts = all.map((decoded) => format(decoded))
    const wrong: string[] = []
    let sameBytes = 0
    // It wants a comma before the rounding, as NASM does.
    const spelled = texts.map((text) => (syntax === 'intel' ? text.replace(/\{(?=[nduzsr]*-?sae)/, ', {') : text))
    llvmEncodings(syntax, spelled).forEach((encoding, i) => {
      const { bytes } = all[i] as DecodedInstruction
      const again = /^[0-9a-f ]+$/.test(encoding) ? decode(bytesOf(encoding)) : undefined
      if (encoding === hexOf(bytes)) sameBytes++
      // A VEX form of the same instruction is shorter.
      else if (again === undefined || format(again).replace('{vex} ', '') !== texts[i]) {
        wrong.push(`${hexOf(bytes)}: ${texts[i] as string}, back: ${encoding}`)
      }
    })
    console.log(`${syntax}: ${all.length} instructions of AVX10.2, ${sameBytes} with the same bytes`)
    expect(wrong.slice(0, 30)).toEqual([])
    expect(sameBytes).toBeGreaterThan(all.length * 0.8)
  })
})

/** An EVEX instruction of map 1 with prefix 66, its registers by number. Source: SDM vol. 2A, 2.7.1, "Instruction Format and EVEX". */
function encode(
  opcode: number,
  reg: number,
  vvvv: number,
  rm: number,
  more: { l?: number; mask?: number } = {},
): number[] {
  const p0 = (((reg & 8) << 4) | ((rm & 16) << 2) | ((rm & 8) << 2) | (reg & 16)) ^ 0xf1
  const p1 = ((~vvvv & 15) << 3) | 5
  const p2 = ((more.l ?? 0) << 5) | ((~vvvv & 16) >> 1) | (more.mask ?? 0)
  return [0x62, p0, p1, p2, opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7), 1]
}

const textOf = (bytes: readonly number[]): string => {
  const decoded = decode(Uint8Array.from([...bytes, ...new Array<number>(16).fill(0)]))
  if (decoded.status !== 'decoded') throw new Error(decoded.status)
  return formatIntel(decoded)
}

// The forms that an assembler has a shorter encoding for, which it would take.
test('{evex} stands before what VEX can say, which is any of 16 registers without a mask, in 128 and 256 bits', () => {
  const numbers = [0, 7, 8, 15, 16, 23, 24, 31]
  for (const reg of numbers) {
    for (const vvvv of numbers) {
      for (const rm of numbers) {
        const name = (register: number): string => `xmm${register}`
        const isPossible = Math.max(reg, vvvv, rm) < 16
        expect(textOf(encode(0xfe, reg, vvvv, rm))).toBe(
          `${isPossible ? '{evex} ' : ''}vpaddd ${[reg, vvvv, rm].map(name).join(', ')}`,
        )
      }
    }
  }
  expect(textOf(encode(0xfe, 1, 2, 3, { l: 1 }))).toBe('{evex} vpaddd ymm1, ymm2, ymm3')
  expect(textOf(encode(0xfe, 1, 2, 3, { l: 2 }))).toBe('vpaddd zmm1, zmm2, zmm3')
  expect(textOf(encode(0xfe, 1, 2, 3, { mask: 5 }))).toBe('vpaddd xmm1{k5}, xmm2, xmm3')
  // VEX has VPAND alone.
  expect(textOf(encode(0xdb, 1, 2, 3))).toBe('vpandd xmm1, xmm2, xmm3')
})

// Bits 3 of the second byte and 2 of the third are the fifth ones of base and index: APX specification, "EVEX".
test.each([
  { bytes: [0x62, 0xf1, 0x6d, 0x08, 0xfe, 0x08], text: '{evex} vpaddd xmm1, xmm2, xmmword ptr [rax]' },
  { bytes: [0x62, 0xd1, 0x6d, 0x08, 0xfe, 0x0f], text: '{evex} vpaddd xmm1, xmm2, xmmword ptr [r15]' },
  { bytes: [0x62, 0xf9, 0x6d, 0x08, 0xfe, 0x08], text: 'vpaddd xmm1, xmm2, xmmword ptr [r16]' },
  { bytes: [0x62, 0xd9, 0x6d, 0x08, 0xfe, 0x0f], text: 'vpaddd xmm1, xmm2, xmmword ptr [r31]' },
  { bytes: [0x62, 0xb1, 0x6d, 0x08, 0xfe, 0x0c, 0x38], text: '{evex} vpaddd xmm1, xmm2, xmmword ptr [rax+r15*1]' },
  { bytes: [0x62, 0xf1, 0x69, 0x08, 0xfe, 0x0c, 0x00], text: 'vpaddd xmm1, xmm2, xmmword ptr [rax+r16*1]' },
  { bytes: [0x62, 0xb1, 0x69, 0x08, 0xfe, 0x0c, 0x38], text: 'vpaddd xmm1, xmm2, xmmword ptr [rax+r31*1]' },
  { bytes: [0x62, 0xf1, 0x6d, 0x08, 0xfe, 0x0d, 0, 0, 0, 0], text: '{evex} vpaddd xmm1, xmm2, xmmword ptr [rip+0x0]' },
  {
    bytes: [0x62, 0xf1, 0x6d, 0x08, 0xfe, 0x0c, 0x25, 0, 0, 0, 0],
    text: '{evex} vpaddd xmm1, xmm2, xmmword ptr ds:[0x0]',
  },
])('the same of memory: $text', ({ bytes, text }) => {
  expect(textOf(bytes)).toBe(text)
})

// With VEX they shift registers alone.
test.each([
  { opcode: 0x71, p1: 0x75, register: '{evex} vpsrlw xmm1, xmm2, 0x1', memory: 'vpsrlw xmm1, xmmword ptr [rax], 0x1' },
  { opcode: 0x72, p1: 0x75, register: '{evex} vpsrld xmm1, xmm2, 0x1', memory: 'vpsrld xmm1, xmmword ptr [rax], 0x1' },
  { opcode: 0x73, p1: 0xf5, register: '{evex} vpsrlq xmm1, xmm2, 0x1', memory: 'vpsrlq xmm1, xmmword ptr [rax], 0x1' },
  // Its neighbours: VPSHUFD, VPCMPEQB.
  {
    opcode: 0x70,
    p1: 0x7d,
    register: '{evex} vpshufd xmm2, xmm2, 0x1',
    memory: '{evex} vpshufd xmm2, xmmword ptr [rax], 0x1',
  },
  { opcode: 0x74, p1: 0x75, register: 'vpcmpeqb k2, xmm1, xmm2', memory: 'vpcmpeqb k2, xmm1, xmmword ptr [rax]' },
])('shifts by an immediate and their neighbours: $register', ({ opcode, p1, register, memory }) => {
  expect(textOf([0x62, 0xf1, p1, 0x08, opcode, 0xd2, 1])).toBe(register)
  expect(textOf([0x62, 0xf1, p1, 0x08, opcode, 0x10, 1])).toBe(memory)
})
