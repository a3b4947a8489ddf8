import * as I from 'iced-x86'
import { TEST_LONG } from '@retrap/tooling/long'
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { codeInfo, decodeInto, Instruction, usedResources } from '../src/index.ts'
import { DECODE_NO_APX } from '../src/kinds.ts'
import { bytesOf, hexOf } from './support/bytes.ts'
import { sameMnemonic } from './support/iced.ts'

const PLAIN: readonly (readonly number[])[] = [[], [0x66], [0xf2], [0xf3], [0x48], [0x66, 0x48], [0x67], [0x64]]
const MAPS: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]
const TAIL = [0x8b, 0x10, 0x02, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12]

/** ModRM bytes of every extension, with registers that differ from one another, and with memory. */
const MODRMS = Array.from({ length: 8 }, (_, reg) => [0xc1, 0xc2, 0x03, 0x44].map((byte) => byte | (reg << 3))).flat()
/** Opcodes of which every ModRM byte is another instruction: x87, and 0F 01, 0F AE, 0F C7. */
const isWhole = (opcode: number): boolean => (opcode & 0xf8) === 0xd8 || [0x01, 0xae, 0xc7].includes(opcode)
const isPrefix = (opcode: number): boolean =>
  [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(opcode) || (opcode & 0xf0) === 0x40

/** A run takes a quarter of them. */
const OPCODES = sliced([...Array(256).keys()], 4)

/** One instruction and what follows, in all maps and encodings. */
function* samples(): Generator<readonly number[]> {
  for (const opcode of OPCODES) {
    const modrms = isWhole(opcode) ? Array.from({ length: 256 }, (_, byte) => byte) : MODRMS
    for (const modrm of modrms) {
      const rest = [opcode, modrm, ...TAIL]
      for (const prefix of PLAIN) {
        for (const map of MAPS) if (map.length > 0 || !isPrefix(opcode)) yield [...prefix, ...map, ...rest]
      }
    }
    for (const modrm of MODRMS) {
      const rest = [opcode, modrm, ...TAIL]
      for (let bits = 0; bits < 16; bits++) {
        const last = (bits & 7) | ((bits & 8) << 4)
        for (const map of [1, 2, 3]) for (const vvvv of [0x78, 0x58]) yield [0xc4, 0xe0 | map, last | vvvv, ...rest]
      }
    }
    for (const modrm of MODRMS.slice(0, 4)) {
      const rest = [opcode, modrm, ...TAIL]
      for (const map of [1, 2, 3, 5, 6]) {
        for (const w of [0x7c, 0xfc, 0x5c, 0xdc]) {
          for (const p2 of [0x08, 0x28, 0x48, 0x09, 0x29, 0x49, 0xc9, 0x58]) {
            for (let pp = 0; pp < 4; pp++) yield [0x62, 0xf0 | map, w | pp, p2, ...rest]
          }
        }
      }
    }
  }
}

function spelled(name: string): string {
  const lower = name.toLowerCase()
  if (/^r\d+l$/.test(lower)) return `${lower.slice(0, -1)}b`
  const stack = /^st(\d)$/.exec(lower)
  return stack === null ? lower : stack[1] === '0' ? 'st' : `st(${stack[1]})`
}

/** Where iced-x86 lists something else. Each row is of use, or the test fails. */
const DIFFERENCES: readonly { readonly form: RegExp; readonly why: string }[] = [
  {
    form: /^(BZHI|SHLX|SARX|SHRX|BEXTR|INCSSP|VPBROADCAST[BW] [xyz]mm, r|ARPL|LEA)/,
    why: 'iced names the part of a register that counts; the operand is the whole register (SDM vol. 2, the form)',
  },
  { form: /^P(DEP|EXT)/, why: 'iced lets the source depend on the mask; the operation reads it (SDM vol. 2B, PDEP)' },
  { form: /^CBW$/, why: 'iced has AH alone written; the operation is AX := SignExtend(AL)' },
  { form: /^CMPXCHG/, why: 'iced has memory written under a condition; it always is (SDM vol. 2A, CMPXCHG)' },
  { form: /^RDSSP/, why: 'iced has the register always written; without shadow stacks it is a no-operation' },
  { form: /^TILE(LOAD|STORE)/, why: "iced leaves the index, which is the rows' distance, out of the address" },
  { form: /^(CLFLUSH|CLWB)/, why: 'iced has the line read; no data is' },
  { form: /^INSERTQ/, why: 'iced has the whole register written; a field of it is (APM vol. 4, INSERTQ)' },
  { form: /^(FNSAVE|FRSTOR)/, why: 'iced lists the x87 state as registers' },
  { form: /^SKINIT/, why: 'iced lists the registers that the new machine starts with' },
  { form: /^UD[01]/, why: 'iced has them read nothing; what they name is decoded, and nothing comes of it' },
  { form: /^(LEAVE|ENTER)/, why: 'iced goes by the operand size for rBP; a stack is as wide as its segment says' },
  { form: /^(ERETS|ERETU|UIRET)/, why: 'iced lists the frames of FRED and of user interrupts' },
  { form: /^(ENCL[SUV]|PCONFIG)/, why: 'iced has DS read for what some leaf functions address' },
  { form: /^PSUBUS/, why: 'iced knows that a register less itself is zero; here the form counts' },
]

const BITS: Readonly<Record<string, number>> = {
  Read: 1,
  Write: 2,
  CondRead: 4,
  CondWrite: 8,
  ReadWrite: 3,
  ReadCondWrite: 9,
}

const bitsOf = (access: I.OpAccess): number => BITS[I.OpAccess[access] as string] as number

function accessOf(bits: number): string {
  const reads = (bits & 5) !== 0
  if ((bits & 2) !== 0) return reads ? 'rw' : 'w'
  if ((bits & 8) !== 0) return reads ? 'crw' : 'cw'
  return (bits & 1) === 0 ? 'cr' : 'r'
}

const nameOf = (register: I.Register): string =>
  register === I.Register.None ? '-' : spelled(I.Register[register] as string)

/** A displacement as it counts at a register, or in an address without any. */
function cutTo(base: string, insn: Instruction, displacement: bigint): bigint {
  if (base === '-') return BigInt.asUintN(insn.addressSize, displacement)
  return BigInt.asUintN(base.length === 2 && !/^r\d/.test(base) ? 16 : base.startsWith('e') ? 32 : 64, displacement)
}

const joined = (registers: readonly string[], memory: readonly string[]): string =>
  `${registers.toSorted().join(' ')} | ${memory.toSorted().join(' ')}`

function icedUses(iced: I.Instruction, insn: Instruction, factory: I.InstructionInfoFactory): string {
  const info = factory.info(iced)
  const registers = new Map<string, number>()
  for (const used of info.usedRegisters()) {
    const name = nameOf(used.register)
    if (name !== '-') registers.set(name, (registers.get(name) ?? 0) | bitsOf(used.access))
    used.free()
  }
  const memory = info.usedMemory().map((used) => {
    const base = nameOf(used.base)
    const where = `${nameOf(used.segment)}:${base}:${nameOf(used.index)}:${used.scale}`
    const text = `${where}:${cutTo(base, insn, used.displacement)}=${accessOf(bitsOf(used.access))}`
    used.free()
    return text
  })
  info.free()
  return joined(
    Array.from(registers, ([name, bits]) => `${name}=${accessOf(bits)}`),
    memory,
  )
}

function ourUses(insn: Instruction): string {
  const { registers, memory } = usedResources(insn)
  return joined(
    registers.map(({ name, access }) => `${name}=${access}`),
    memory.map(
      ({ segment, base = '-', index = '-', scale, displacement, access }) =>
        `${segment}:${base}:${index}:${scale}:${cutTo(base, insn, displacement)}=${access}`,
    ),
  )
}

test.each([
  { hex: 'f7 e3', text: 'mul ebx', registers: 'ebx=r eax=r rax=w rdx=w', memory: '' },
  { hex: '50', text: 'push rax', registers: 'rax=r rsp=rw', memory: 'ss:[rsp-8] 8 w' },
  { hex: 'f3 a4', text: 'rep movsb', registers: 'rdi=crw rsi=crw rcx=crw', memory: 'es:[rdi] 0 cw, ds:[rsi] 0 cr' },
  { hex: '48 8d 04 cb', text: 'lea rax, [rbx+rcx*8]', registers: 'rax=w rbx=r rcx=r', memory: '' },
  {
    hex: 'f0 0f c7 4e 10',
    text: 'cmpxchg8b [rsi+16]',
    registers: 'rsi=r ecx=cr ebx=cr eax=r rax=cw edx=r rdx=cw',
    memory: 'ds:[rsi+16] 8 rw',
  },
  { hex: '62 f1 7c 49 58 c1', text: 'vaddps zmm0{k1}, zmm0, zmm1', registers: 'zmm0=crw zmm1=r k1=r', memory: '' },
])('$text uses $registers; $memory', ({ hex, registers, memory }) => {
  const bytes = bytesOf(hex)
  const insn = new Instruction()
  decodeInto(bytes, 0, bytes.length, 64, insn)
  const used = usedResources(insn)
  expect(used.registers.map(({ name, access }) => `${name}=${access}`).join(' ')).toBe(registers)
  expect(
    used.memory
      .map(({ segment, base, displacement, size, access }) => {
        const sum = displacement === 0n ? '' : displacement < 0n ? String(displacement) : `+${displacement}`
        return `${segment}:[${base}${sum}] ${size} ${access}`
      })
      .join(', '),
  ).toBe(memory)
})

test('registers and memory of every code are those that iced-x86 lists', () => {
  const factory = new I.InstructionInfoFactory()
  const insn = new Instruction()
  const iced = new I.Instruction()
  const seen = new Set<string>()
  const problems: string[] = []
  let compared = 0
  const covered = new Map<string, number>()
  for (const mode of [64, 32, 16]) {
    for (const sample of samples()) {
      const bytes = Uint8Array.from(sample)
      if (decodeInto(bytes, 0, bytes.length, mode | DECODE_NO_APX, insn) !== 0) continue
      const { code, prefixes, mod, maskRegister, zeroing, broadcast } = insn
      const key = [code, mode, prefixes & 0x15e, mod === 3, maskRegister, zeroing, broadcast].join()
      if (seen.has(key)) continue
      seen.add(key)
      const decoder = new I.Decoder(mode, bytes, I.DecoderOptions.MPX)
      decoder.decodeOut(iced)
      decoder.free()
      // What iced does not know it takes for a reserved no-operation, or for nothing.
      if (iced.length !== insn.length || !sameMnemonic(insn, iced)) continue
      compared++
      const theirs = icedUses(iced, insn, factory)
      const ours = ourUses(insn)
      if (ours === theirs) continue
      const { form } = codeInfo(code)
      const known = DIFFERENCES.find((row) => row.form.test(form))
      if (known !== undefined) covered.set(known.why, (covered.get(known.why) ?? 0) + 1)
      else problems.push(`${mode} ${form} ${hexOf(bytes.subarray(0, insn.length))}: ours ${ours}, iced ${theirs}`)
    }
  }
  factory.free()
  iced.free()
  for (const { why } of DIFFERENCES) console.log(`${String(covered.get(why) ?? 0).padStart(6)} encodings: ${why}`)
  expect(problems.slice(0, 30)).toEqual([])
  if (TEST_LONG) expect(DIFFERENCES.filter(({ why }) => !covered.has(why))).toEqual([])
  expect(compared).toBeGreaterThan(TEST_LONG ? 40_000 : 5000)
})
