/** Makes sequences of 5 to 20 random instructions of all families. */
import { OperandKind, REGISTER_RIP } from '@retrap/x86-decoder'
import type { CodeInfo } from '@retrap/x86-decoder'
import { CaseBuilder } from './cases.ts'
import { locksBus } from './check.ts'
import { edge, encode, modesOf, type Encoding } from './encode.ts'
import { familiesOn } from './families.ts'
import * as L from './layout.ts'
import type { NativeCpu } from './native.ts'
import type { Choice } from './random.ts'
import { undefinedAfter } from './sequences.ts'
import { randomUpperHalves, randomVectors } from './vectors.ts'

/** Parts in a hundred of a sequence's instructions. */
const WEIGHTS: Readonly<Record<string, number>> = {
  ...{
    alu: 12,
    move: 9,
    bits: 7,
    shift: 7,
    multiply: 4,
    decimal: 1,
    string: 6,
    control: 3,
    system: 2,
    privileged: 0.1,
  },
  ...{ x87: 14, mmx: 6, sse: 12, avx: 9, avx2: 4, fma: 2, cryptography: 2 },
}
/** Results that manuals do not define exactly: such an instruction ends a sequence, and is judged by `differences.ts`. */
const INEXACT = /^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS|V?(RCP|RSQRT)[PS]S|V?DPP[SD])$/
/** Branches whose targets are cut to 16 bits, gates and far transfers leave the sequence for good. */
const LEFT_OUT = /^(INT|INTO|INT3|BOUND|RET)$/
const [RAX, RDX, RSP] = [0, 2, 4]
/** Offset of the first sequence: beyond the first page, which jumps go to. */
export const FIRST = 0x1000
/** Bytes between two of them. */
export const GAP = 64
export const INT3 = 0xcc
const FORWARD: readonly number[] = [OperandKind.REL8, OperandKind.REL32]

/** An instruction, and what gives it operands that suit it: loads of registers, and stores. */
export interface Item {
  /** Linear address of the first of these. */
  readonly from: number
  readonly encoding: Encoding
  /** Flags that are undefined after it. */
  undefined: number
}

/** A sequence as one of `Encoding`: its `info` is that of no instruction whose differences are accepted. */
export interface LongSequence extends Encoding {
  readonly items: readonly Item[]
  /** The state that it begins with. */
  readonly input: Uint8Array
}

function littleEndian(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
}

/** A memory operand at an absolute address, with `reg` of its ModRM. */
function absolute(long: boolean, reg: number, address: number): number[] {
  const field = (reg & 7) << 3
  return [...(long ? [field | 4, 0x25] : [field | 5]), ...littleEndian(BigInt(address), 4)]
}

const movRegister = (long: boolean, register: number, value: bigint): number[] =>
  long
    ? [0x48 | (register >> 3), 0xb8 | (register & 7), ...littleEndian(value, 8)]
    : [0xb8 | register, ...littleEndian(value, 4)]
/** MOV DWORD PTR [address], value. */
const movMemory = (long: boolean, address: number, value: number): number[] => [
  0xc7,
  ...absolute(long, 0, address),
  ...littleEndian(BigInt(value >>> 0), 4),
]
/** VMOVDQU YMM, [address]. */
const movVector = (long: boolean, register: number, address: number): number[] => [
  ...[0xc5, (register < 8 ? 0x80 : 0) | 0x7e, 0x6f],
  ...absolute(long, register, address),
]

/** Makes sequences that a host can run, one behind another. */
export class SequenceMaker {
  readonly #random: Choice
  readonly #native: NativeCpu
  readonly #families: readonly (readonly [number, readonly CodeInfo[]])[]
  readonly #neutral: CodeInfo
  readonly code: Uint8Array = new Uint8Array(1 << 20).fill(INT3)
  /** Where the next sequence begins. */
  end = FIRST

  constructor(random: Choice, native: NativeCpu) {
    this.#random = random
    this.#native = native
    const all = familiesOn(native)
    this.#families = all.flatMap(({ name, forms }) => {
      const some = forms.filter(({ mnemonic }) => !LEFT_OUT.test(mnemonic))
      return some.length > 0 && WEIGHTS[name] !== undefined ? [[WEIGHTS[name], some] as const] : []
    })
    this.#neutral = all.flatMap(({ forms }) => forms).find(({ mnemonic }) => mnemonic === 'LEA')!
  }

  /** Forgets all sequences. */
  reset(): void {
    this.code.fill(INT3, 0, this.end)
    this.end = FIRST
  }

  #form(mode: L.Mode, undefinedFlags: number): CodeInfo {
    const total = this.#families.reduce((sum, [weight]) => sum + weight, 0)
    for (;;) {
      let rest = (this.#random.below(1000) / 1000) * total
      const forms = this.#families.find(([weight]) => (rest -= weight) < 0)?.[1] ?? this.#families[0]![1]
      const info = this.#random.pick(forms)
      if (!modesOf(info).includes(mode) || (info.flagsRead & undefinedFlags) !== 0) continue
      // An unmasked exception keeps it from setting flags.
      if (/^FU?COMIP?$/.test(info.mnemonic) && (undefinedFlags & 0x45) !== 0) continue
      // More than 16 is undefined.
      if (/^SH[LR]D$/.test(info.mnemonic) && info.operandSize === 16) continue
      if (info.operands.some(({ kind }) => kind === OperandKind.REL16)) continue
      return info
    }
  }

  /** A sequence, whose code is in `code`. */
  make(mode: L.Mode): LongSequence {
    const random = this.#random
    const long = mode === 64
    const input = new Uint8Array(L.IN_BYTES)
    const start = L.CODE + this.end
    const items: Item[] = []
    this.#begin(input, mode, start)
    let undefinedFlags = 0
    let branch: Encoding | undefined
    const length = 5 + random.below(16)
    for (let ends = false; items.length < length && !ends;) {
      const info = this.#form(mode, undefinedFlags)
      const from = L.CODE + this.end
      const item = this.#item(info, mode, from, input)
      if (item === undefined) continue
      const { encoding } = item
      const after = undefinedAfter(encoding, undefinedFlags)
      if (branch !== undefined) this.#join(branch, L.CODE + this.end - from)
      // An instruction that may have been skipped need not have set its flags.
      item.undefined = undefinedFlags = branch === undefined ? after : after | undefinedFlags
      branch = info.operands.some(({ kind }) => FORWARD.includes(kind)) ? encoding : undefined
      items.push(item)
      ends = INEXACT.test(info.mnemonic)
    }
    if (branch !== undefined) this.#join(branch, 0)
    const bytes = this.code.slice(start - L.CODE, this.end)
    this.end += GAP
    const instructions = items.map(({ encoding }) => encoding)
    const { modes } = this.#native
    return { ...instructions[0]!, info: this.#neutral, mode, modes, long, at: start, bytes, instructions, items, input }
  }

  /** Registers and memory of the beginning. */
  #begin(input: Uint8Array, mode: L.Mode, start: number): void {
    const random = this.#random
    const view = new DataView(input.buffer)
    view.setUint32(L.IN_RIP, start, true)
    view.setUint32(L.IN_CS, L.selectorOf(mode) | (L.USER_DATA << 16), true)
    view.setUint32(L.IN_RFLAGS, (random.u32() & 0x8d5) | (random.chance(1, 8) ? 0x400 : 0) | 0x202, true)
    for (let i = 0; i < (mode === 64 ? 16 : 8); i++) {
      view.setInt32(L.IN_GPR + 8 * i, edge(random), true)
      view.setInt32(L.IN_GPR + 8 * i + 4, mode === 64 && random.chance() ? edge(random) : 0, true)
    }
    view.setBigUint64(L.IN_GPR + 8 * RSP, BigInt(L.BAND + 0x100), true)
    randomVectors(random, input.subarray(L.IN_FX, L.IN_FX + L.FX_BYTES), true)
    randomUpperHalves(random, input.subarray(L.IN_YMM, L.IN_YMM + L.YMM_BYTES))
    for (let i = 0; i < L.BAND_BYTES; i += 4) view.setUint32(L.IN_BAND + i, random.u32(), true)
  }

  #item(info: CodeInfo, mode: L.Mode, from: number, input: Uint8Array): Item | undefined {
    const random = this.#random
    const drawn = encode(random, info, mode, from, this.#native.modes)
    if (drawn === undefined) return undefined
    const { insn, long } = drawn
    const made = new Uint8Array(L.IN_BYTES)
    const builder = new CaseBuilder(random, drawn, made)
    builder.build()
    if (this.#native.trapsBusLocks && locksBus(drawn, made)) return undefined
    const { mnemonic, flow } = info
    let wanted = builder.placed
    if (insn.isMemory !== 0) for (const one of [insn.base, insn.index]) if (one >= 0 && one < 16) wanted |= 1 << one
    if (/^I?DIV$/.test(mnemonic)) wanted |= (1 << RAX) | (1 << RDX) | (insn.isMemory === 0 ? 1 << insn.rm : 0)
    if (mnemonic.startsWith('CMPXCHG')) wanted |= 1 << RAX
    const popsFlags = mnemonic.startsWith('POPF')
    if (!popsFlags && insn.base !== RSP && random.chance(2, 3)) wanted &= ~(1 << RSP)
    const isGather = info.operands[1]?.kind === OperandKind.VSIB
    if (isGather) wanted &= ~(1 << insn.index) | (1 << insn.base)
    const bytes: number[] = []
    for (let i = 0; i < (long ? 16 : 8); i++)
      if (((wanted >> i) & 1) !== 0) bytes.push(...movRegister(long, i, builder.register(i)))
    const constants = isGather ? [...new Set([insn.index, insn.vvvv])] : []
    const controls = /^V?LDMXCSR$|^FLDCW$/.test(mnemonic) && builder.operandAt > 0
    const extra = constants.length * (long ? 9 : 8) + (controls || popsFlags ? (long ? 11 : 10) : 0)
    const at = from + bytes.length + extra
    const operandAt = builder.operandAt + (insn.base === REGISTER_RIP ? at - from : 0)
    if (popsFlags)
      bytes.push(...movMemory(long, Number(builder.register(RSP) & 0xffff_ffffn), (random.u32() & 0xcd5) | 0x202))
    else if (controls) bytes.push(...movMemory(long, operandAt, this.#control(mnemonic)))
    // What a gather reads lies behind it, where nothing is executed that does not jump there.
    const behind = at + drawn.bytes.length + 2
    constants.forEach((register, i) => bytes.push(...movVector(long, register, behind + 32 * i)))
    if (bytes.length !== at - from) throw new Error(`${bytes.length} bytes before an instruction, not ${at - from}`)
    bytes.push(...drawn.bytes)
    if (constants.length > 0) bytes.push(0xeb, 32 * constants.length)
    for (const register of constants)
      for (const half of [L.IN_FX + L.FX_XMM, L.IN_YMM])
        bytes.push(...made.subarray(half + 16 * register, half + 16 * register + 16))
    this.code.set(bytes, this.end)
    this.end += bytes.length
    this.#operand(made, input, builder.operandAt, operandAt)
    if (flow === 'return') this.#operand(made, input, Number(builder.register(RSP) & 0xffff_ffffn))
    return { from, encoding: { ...drawn, at }, undefined: 0 }
  }

  /** A value for MXCSR or the x87 control word. */
  #control(mnemonic: string): number {
    const fx = new Uint8Array(L.FX_BYTES)
    randomVectors(this.#random, fx, true)
    return new DataView(fx.buffer).getUint32(mnemonic === 'FLDCW' ? 0 : L.FX_MXCSR, true)
  }

  /** Copies a memory operand of a case to the beginning's memory. */
  #operand(made: Uint8Array, input: Uint8Array, at: number, to = at): void {
    const bytes = 32
    if (Math.min(at, to) < L.BAND || Math.max(at, to) + bytes > L.BAND + L.BAND_BYTES) return
    input.set(made.subarray(L.IN_BAND + at - L.BAND, L.IN_BAND + at - L.BAND + bytes), L.IN_BAND + to - L.BAND)
  }

  /** Has a branch lead beyond the next item, or to it. */
  #join({ info, at, bytes }: Encoding, length: number): void {
    const size = info.operands.some(({ kind }) => kind === OperandKind.REL8) ? 1 : 4
    const distance = size === 1 && length > 127 ? 0 : this.#random.chance() ? length : 0
    this.code.set(littleEndian(BigInt(distance), size), at - L.CODE + bytes.length - size)
  }
}
