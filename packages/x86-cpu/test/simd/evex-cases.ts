/** Random instructions with EVEX, with a state before them: on the host's processor by `evex-host.c`, and on ours. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { codes, OperandKind, type CodeInfo } from '@retrap/x86-decoder'
import { buildForHost, hostCpu } from '@retrap/tooling/host-cpu'
import { S_CR0, S_CR4, S_GPR, S_MXCSR, S_NO_MASK, S_OPMASK, S_XCR0, S_XMM } from '../../src/state/state-layout.ts'
import { S_ACTIVITY } from '../../src/state/system-state.ts'
import type { JitOptions } from '@retrap/x86-cpu'
import { BareCpu, PAGE_TABLE } from '../support/bare-cpu.ts'

// Layout of a case, as evex-host.c has it.
export const CASE_BYTES = 2560
export const MASKS = 2048
export const GENERAL = 2112
export const MXCSR = 2240
export const SIGNAL = 2244
export const FLAGS = 2248
export const CODE_AT = 2256
export const MEMORY = 2304
export const MEMORY_BYTES = 256
/** Behind the memory, which a page follows that is not there. */
export const END = 0x2_1000
const RBX = 3
/** General registers that a case must not name. */
export const KEPT = [3, 4, 5, 15]

export type Random = (limit: number) => number

/** A generator of the sequence that a seed begins. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const mixed = Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d)
    return Math.floor(((mixed ^ (mixed >>> 13)) >>> 0) / (2 ** 32 / limit))
  }
}

const PREFIXES = ['NP', '66', 'F3', 'F2']

/** Chooses among the instructions with EVEX on vectors, and those on masks, that have all of some features. */
export function evexCodes(has: (feature: string) => boolean): readonly CodeInfo[] {
  return codes.filter(
    ({ encoding, feature, mnemonic }) =>
      (encoding === 'evex' || (encoding === 'vex' && mnemonic.startsWith('K'))) &&
      !feature.startsWith('APX') &&
      feature !== '' &&
      has(feature),
  )
}

/** A case of one of the codes. */
export function caseOf(among: readonly CodeInfo[], random: Random): Uint8Array {
  const info = among[random(among.length)]!
  const isMemory = info.memory === 'only' || (info.memory === 'any' && random(2) === 0)
  const isIndexed = info.operands.some(({ kind }) => kind === OperandKind.VSIB)
  return randomCase(encode(info, random, isMemory), random, isIndexed)
}

/** Encodes an instruction with registers, mask, broadcast and rounding by chance. @param isMemory - its operand is at RBX and below */
export function encode(info: CodeInfo, random: Random, isMemory: boolean): number[] {
  const { operands, masking, broadcast, rounding } = info
  const kinds = operands.map(({ kind }) => kind)
  const has = (...some: readonly number[]): boolean => kinds.some((kind) => some.includes(kind))
  const general = (): number => {
    const number = random(16)
    return KEPT.includes(number) ? 0 : number
  }
  const reg = has(OperandKind.MASK_REG)
    ? random(8)
    : has(OperandKind.REG)
      ? general()
      : info.extension >= 0
        ? info.extension
        : random(32)
  const isGeneralRm = has(OperandKind.RM, OperandKind.RM_REG)
  let rm = isMemory
    ? RBX
    : has(OperandKind.MASK_RM_REG, OperandKind.MASK_RM)
      ? random(8)
      : isGeneralRm
        ? general()
        : random(32)
  let vvvv = has(OperandKind.XMM_VVVV, OperandKind.VVVV_REG) ? random(32) : 0
  const isIndexed = has(OperandKind.VSIB)
  const index = isIndexed ? random(32) : 0
  const mask = masking === 'none' ? 0 : masking === 'required' ? 1 + random(7) : random(3) === 0 ? 0 : random(8)
  const isZeroing =
    mask !== 0 &&
    masking === 'zero' &&
    !(isMemory && operands[0]!.access === 'w' && isVectorMemory(kinds[0]!)) &&
    random(2) === 0
  const isExtra = random(3) === 0 && (isMemory ? broadcast > 0 : rounding !== 'none')
  let length: number = info.vexL < 0 ? 0 : info.vexL
  if (isExtra && !isMemory) length = rounding === 'rounding' ? random(4) : 0
  // EVEX.b of registers means 512 bits, whatever the length says.
  const isRegisterRm = !isMemory
  const w =
    info.vexW < 0
      ? info.sizeClass === 'y' && info.operandSize === 64
        ? 1
        : info.sizeClass === 'y'
          ? 0
          : random(2)
      : info.vexW
  const bit = (value: number, position: number): number => (value >> position) & 1
  const rmHigh = isRegisterRm && !isGeneralRm ? bit(rm, 4) : isIndexed ? bit(index, 3) : 0
  const vHigh = isIndexed ? bit(index, 4) : bit(vvvv, 4)
  if (isMemory && isIndexed) rm = 4
  const isVex = info.encoding === 'vex'
  if (isVex) vvvv = has(OperandKind.MASK_VVVV) ? random(8) : 0
  const p0 =
    (bit(~reg, 3) << 7) | ((1 - rmHigh) << 6) | ((isMemory ? 1 : bit(~rm, 3)) << 5) | (bit(~reg, 4) << 4) | info.map
  const p1 = (w << 7) | ((~vvvv & 15) << 3) | 4 | Math.max(0, PREFIXES.indexOf(info.prefix))
  const p2 = ((isZeroing ? 1 : 0) << 7) | (length << 5) | ((isExtra ? 1 : 0) << 4) | ((1 - vHigh) << 3) | mask
  const vex = [0xc4, (p0 & 0xe0) | info.map, (p1 & ~4) | (length << 2), info.opcode]
  const bytes = isVex ? vex : [0x62, p0, p1, p2, info.opcode]
  if (isMemory) {
    bytes.push(0x80 | ((reg & 7) << 3) | (rm & 7))
    if (isIndexed) bytes.push((random(4) << 6) | ((index & 7) << 3) | RBX)
    const size = Math.max(...operands.map(({ memorySize }) => memorySize))
    // Some lie across the end of memory.
    const from = random(3) === 0 ? -random(size + 1) : -64 * (1 + random(4)) + (random(2) === 0 ? 0 : random(8))
    const distance = isIndexed ? -128 : Math.min(from, -1)
    for (let i = 0; i < 4; i++) bytes.push((distance >> (8 * i)) & 0xff)
  } else bytes.push(0xc0 | ((reg & 7) << 3) | (rm & 7))
  if (has(OperandKind.IMM8)) bytes.push(random(256))
  return bytes
}

const isVectorMemory = (kind: number): boolean =>
  kind === OperandKind.XMM_RM || kind === OperandKind.MEM || kind === OperandKind.VSIB

/** Numbers at the ends of ranges, and what floating point makes special: of 32 bits, and the halves of 64 bits. */
const SPECIAL = [
  0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0001, 0x7f80_0001, 1, 0x807f_ffff,
  0x0080_0000, 0x7f7f_ffff, 0x4f00_0000, 0x4b80_0001, 0xffff_ffff, 0x3fc0_0000,
]
const SPECIAL_UPPER = [
  0, 0x8000_0000, 0x3ff0_0000, 0xbff0_0000, 0x7ff0_0000, 0xfff0_0000, 0x7ff8_0000, 0x7ff0_0000, 0, 0x800f_0000,
  0x0010_0000, 0x7fef_ffff, 0x41e0_0000, 0x43e0_0000, 0xffff_ffff, 0x3ff8_0000,
]
const SPECIAL_LOWER = [0, 0, 0, 0, 0, 0, 5, 3, 7, 9, 0, 0xffff_ffff, 0, 0, 0xffff_ffff, 0]

/** A state by chance: vectors of plain bits, of numbers near 1, and of special numbers. */
export function randomCase(bytes: readonly number[], random: Random, isIndexed: boolean): Uint8Array {
  const image = new Uint8Array(CASE_BYTES)
  const view = new DataView(image.buffer)
  const fill = (from: number, length: number): void => {
    const way = random(5)
    for (let at = from; at < from + length; at += 8) {
      const size = way % 2 === 0 ? 4 : 8
      for (let part = at; part < at + 8; part += size) {
        const bits = (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))
        const near =
          size === 4 ? 0x3e00_0000n | (bits & 0x83ff_ffffn) : (0x3fcn << 52n) | (bits & 0x803f_ffff_ffff_ffffn)
        const rough = near & (size === 4 ? ~0x7fffn : ~0x3fff_ffffn)
        const i = random(16)
        const special =
          size === 4 ? BigInt(SPECIAL[i]!) : (BigInt(SPECIAL_UPPER[i]!) << 32n) | BigInt(SPECIAL_LOWER[i]!)
        const value = way < 2 ? bits : random(4) === 0 ? special : way === 4 ? rough : near
        if (size === 4) view.setUint32(part, Number(BigInt.asUintN(32, value)), true)
        else view.setBigUint64(part, BigInt.asUintN(64, value), true)
      }
    }
  }
  for (let i = 0; i < 32; i++) fill(64 * i, 64)
  fill(MEMORY, MEMORY_BYTES)
  // Indices of gathers lie within the memory, most of them.
  if (isIndexed)
    for (let at = 0; at < MASKS; at += 4) {
      const far = random(24) === 0
      const isUpper = (at & 4) !== 0 && image[CODE_AT] === 0 && random(2) === 0
      view.setInt32(at, isUpper ? 0 : far ? random(256) : random(12) - 6, true)
    }
  for (let i = 0; i < 8; i++) {
    const bits = [0n, (1n << 64n) - 1n, BigInt(random(2 ** 32)) | (BigInt(random(2 ** 32)) << 32n)][
      Math.min(2, random(8))
    ]!
    view.setBigUint64(MASKS + 8 * i, bits, true)
  }
  for (let i = 0; i < 16; i++)
    view.setBigUint64(GENERAL + 8 * i, BigInt(random(2 ** 32)) | (BigInt(random(2 ** 32)) << 32n), true)
  // Exceptions masked, in the most part, or all but one; rounding, DAZ and FTZ by chance; often an inexact result has been reported.
  const masks = [0x1f80 & ~(0x80 << random(6)), random(64) << 7][random(8)] ?? 0x1f80
  view.setUint32(
    MXCSR,
    masks |
      (random(2) << 13) |
      (random(2) << 14) |
      (random(4) === 0 ? 0x40 : 0) |
      (random(3) === 0 ? 0x8000 : 0) |
      (random(2) << 5),
    true,
  )
  if (random(4) === 0) view.setUint32(MXCSR, 0x1fa0, true)
  view.setBigUint64(FLAGS, 2n, true)
  image[CODE_AT] = bytes.length
  image.set(bytes, CODE_AT + 1)
  return image
}

/** The processor under the test, if it has AVX-512. */
export interface EvexProcessor {
  has(feature: string): boolean
  /** Executes cases; returns them as they are afterwards. */
  run(cases: readonly Uint8Array[]): readonly Uint8Array[]
}

/** Builds the program for the host's processor, or says why there is none to ask. */
export function openEvexHost(): EvexProcessor | string {
  const cpu = hostCpu()
  if (typeof cpu === 'string') return cpu
  if (!cpu.has('AVX512F+AVX512BW+AVX512DQ+AVX512VL')) return 'the host has no AVX-512'
  const program = buildForHost(join(import.meta.dirname, 'evex-host.c'), ['-O1', '-Wall', '-Wextra'])
  if (typeof program === 'string') return program
  return {
    has: (feature) => cpu.has(feature),
    run: (cases) => {
      const { status, stdout } = spawnSync(program.path, { input: Buffer.concat(cases), maxBuffer: 1 << 30 })
      if (status !== 0 || stdout.length !== cases.length * CASE_BYTES)
        throw new Error(`host processor: status ${status}`)
      return cases.map((_, i) => Uint8Array.from(stdout.subarray(i * CASE_BYTES, (i + 1) * CASE_BYTES)))
    },
  }
}

const CODE = 0x1000
const HLT = 0xf4
const HANDLERS = 0x5000
/** The entry of the 2 MiB in which tables are. */
const TABLES_ENTRY = PAGE_TABLE - 0x1000 + 8
/** Rounds of a loop: the first is interpreted. */
const ROUNDS = 4
/** Exceptions as signals of Linux. */
export const SIGNALS: Readonly<Record<number, number>> = { 6: 4, 13: 11, 14: 11, 19: 8 }
const VECTORS = Object.keys(SIGNALS).map(Number)

const instructionOf = (image: Uint8Array): number[] => [...image.subarray(CODE_AT + 1, CODE_AT + 1 + image[CODE_AT]!)]

/** The bytes of a case's instruction. */
export const codeOf = (image: Uint8Array): string =>
  instructionOf(image)
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(' ')

export class OurProcessor {
  readonly #pc: BareCpu
  readonly #view: DataView
  #isGoingOn: boolean | undefined
  /** RBX, and the end of the memory of cases. */
  #end = END

  /** @param jit - compiles hot code; default: nothing is compiled */
  constructor(cpu: string, jit: JitOptions | false = false) {
    this.#pc = new BareCpu({ cpu, jit, poison: true })
    const { cpu: vcpu } = this.#pc
    this.#view = new DataView(vcpu.u32.buffer, vcpu.u32.byteOffset)
    vcpu.u32[S_CR0 >>> 2]! |= 1 << 16
    vcpu.u32[S_CR4 >>> 2]! |= 1 << 18
    vcpu.u32[S_XCR0 >>> 2] = 0xe7
    this.#view.setBigUint64(S_NO_MASK, ~0n, true)
    this.#pc.host.controlChanged()
    vcpu.modeChanged()
    this.#pc.write64(PAGE_TABLE + 8 * (END >>> 12), 0n)
    // Scatters cannot write to code, to handlers of faults, or to tables.
    for (const page of [CODE, HANDLERS]) this.#pc.write64(PAGE_TABLE + (page >>> 9), BigInt(page | 5))
    this.#pc.write64(TABLES_ENTRY, 0x20_0085n)
    for (const vector of VECTORS) this.#pc.vector(vector, HANDLERS + 16 * vector)
  }

  /** Has handlers of faults go on behind the 16 bytes that the instruction is in, or end. */
  #handle(isGoingOn: boolean): void {
    if (isGoingOn === this.#isGoingOn) return
    this.#isGoingOn = isGoingOn
    // OR BYTE [RSP], 15; INC QWORD [RSP]; IRETQ, above the error code that there may be.
    const skip = [0x80, 0x0c, 0x24, 15, 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf]
    for (const vector of VECTORS) {
      const error = vector === 13 || vector === 14 ? [0x48, 0x83, 0xc4, 8] : []
      this.#pc.load(HANDLERS + 16 * vector, isGoingOn ? [...error, ...skip] : [HLT])
    }
  }

  /** Puts the end of the memory of later cases elsewhere, and has the page at `END` be there. The TLB is empty then. */
  place(end: number, isNextThere: boolean): void {
    this.#end = end
    this.#pc.write64(PAGE_TABLE + 8 * (END >>> 12), isNextThere ? BigInt(END | 7) : 0n)
    this.#pc.cpu.flushTlb(true)
  }

  get jitCounts(): unknown {
    return this.#pc.engine.jitCounts
  }

  /** Executes a case. */
  run(image: Uint8Array): Uint8Array {
    this.#handle(false)
    this.#pc.load(CODE, [...instructionOf(image), HLT])
    return this.#execute(image)
  }

  /**
   * Executes the instructions of cases several times in a loop, which has their flags in RAX, from each of some states. An
   * instruction is in each 16 bytes, and handlers of its faults go on behind them.
   */
  runLoop(images: readonly Uint8Array[], states: readonly Uint8Array[]): readonly Uint8Array[] {
    this.loadLoop(images)
    return states.map((state) => this.again(state, ROUNDS))
  }

  /** Loads the loop of {@link runLoop}. */
  loadLoop(images: readonly Uint8Array[]): void {
    this.#handle(true)
    const slot = (...bytes: number[]): number[] => [...bytes, ...Array<number>(16 - bytes.length).fill(0x90)]
    const body = images.flatMap((image) => slot(...instructionOf(image), 0x9f))
    const back = -body.length - 9
    this.#pc.load(CODE, [...body, ...slot(0x41, 0xff, 0xcf, 0x0f, 0x85, back, back >> 8, -1, -1, HLT)])
  }

  /** Executes the code that was loaded last, from a state. */
  again(image: Uint8Array, rounds = 1): Uint8Array {
    this.#view.setBigUint64(S_GPR + 8 * 15, BigInt(rounds), true)
    return this.#execute(image)
  }

  #execute(image: Uint8Array): Uint8Array {
    const pc = this.#pc
    const view = this.#view
    const from = new DataView(image.buffer, image.byteOffset)
    for (let at = 0; at < MASKS; at += 8) view.setBigUint64(S_XMM + at, from.getBigUint64(at, true), true)
    for (let at = 0; at < 64; at += 8) view.setBigUint64(S_OPMASK + at, from.getBigUint64(MASKS + at, true), true)
    for (let at = 0; at < 120; at += 8) view.setBigUint64(S_GPR + at, from.getBigUint64(GENERAL + at, true), true)
    view.setBigUint64(S_GPR + 8 * RBX, BigInt(this.#end), true)
    view.setBigUint64(S_GPR + 8 * 4, 0x8_0000n, true)
    view.setUint32(S_MXCSR, from.getUint32(MXCSR, true), true)
    pc.load(this.#end - MEMORY_BYTES, image.subarray(MEMORY, MEMORY + MEMORY_BYTES))
    pc.rip = CODE
    pc.cpu.u32[S_ACTIVITY >>> 2] = 0
    pc.cpu.setRflags(2)
    const exit = pc.run()
    if (exit.reason !== 'hlt') throw new Error(`ended with ${exit.reason}`)
    const { rip } = pc
    const out = Uint8Array.from(image)
    const to = new DataView(out.buffer)
    for (let at = 0; at < MASKS; at += 8) to.setBigUint64(at, view.getBigUint64(S_XMM + at, true), true)
    for (let at = 0; at < 64; at += 8) to.setBigUint64(MASKS + at, view.getBigUint64(S_OPMASK + at, true), true)
    to.setUint32(MXCSR, view.getUint32(S_MXCSR, true), true)
    const vector = rip >= HANDLERS && rip < 0x6000 ? (rip - HANDLERS) >> 4 : -1
    to.setUint32(SIGNAL, vector < 0 ? 0 : (SIGNALS[vector] ?? 255), true)
    if (vector < 0)
      for (let i = 0; i < 16; i++)
        if (!KEPT.includes(i)) to.setBigUint64(GENERAL + 8 * i, view.getBigUint64(S_GPR + 8 * i, true), true)
    const { ramMa } = pc.host
    out.set(pc.memory.u8.subarray(ramMa + this.#end - MEMORY_BYTES, ramMa + this.#end), MEMORY)
    to.setBigUint64(FLAGS, vector < 0 ? BigInt(pc.cpu.materialiseFlags()) : 2n, true)
    return out
  }
}

/** What a case's instruction is on, for people who read counts. */
export function groupOf(image: Uint8Array): string {
  const [first, , , p2, , modrm] = instructionOf(image)
  if (first !== 0x62) return 'masks'
  const isMemory = modrm! < 0xc0
  const mask = (p2! & 7) === 0 ? 'no mask' : p2! & 0x80 ? 'zeroing' : 'merging'
  const extra = p2! & 0x10 ? (isMemory ? ', broadcast' : ', rounding') : ''
  return `${isMemory ? 'memory' : 'registers'}, ${mask}${extra}`
}

/** The signal that a case ended with, or 0. */
const signalOf = (image: Uint8Array): number => new DataView(image.buffer, image.byteOffset).getUint32(SIGNAL, true)

/** Whether a case ended with a fault. */
export const isFault = (image: Uint8Array): boolean => signalOf(image) !== 0

/** Flags that instructions change. */
const ARITHMETIC = 0x8d5

/** Where two cases differ, by the names of fields. */
export function differences(expected: Uint8Array, found: Uint8Array): string[] {
  const [a, b] = [expected, found].map((image) => new DataView(image.buffer, image.byteOffset)) as [DataView, DataView]
  const out: string[] = []
  // VCVTPS2PH whose store faults has raised nothing here. An exception of numbers may come before the fault, or after it: the order
  // of faults within one class is the processor's (SDM vol. 3A, "Priority Among Concurrent Events").
  const isConverted = isFault(expected) && expected[CODE_AT + 5] === 0x1d && (expected[CODE_AT + 2]! & 7) === 3
  const isEither = isConverted && signalOf(expected) === SIGNALS[14] && signalOf(found) === SIGNALS[19]
  for (let at = 0; at < CASE_BYTES; at += 4) {
    const kept = at === FLAGS ? ARITHMETIC : at === FLAGS + 4 || (at === MXCSR && isConverted) ? 0 : -1
    if (at === SIGNAL && isEither) continue
    if (((a.getUint32(at, true) ^ b.getUint32(at, true)) & kept) === 0) continue
    const name =
      at < MASKS
        ? `zmm${at >> 6}+${at & 63}`
        : at < GENERAL
          ? `k${(at - MASKS) >> 3}`
          : at < MXCSR
            ? `r${(at - GENERAL) >> 3}`
            : at === MXCSR
              ? 'mxcsr'
              : at === SIGNAL
                ? 'signal'
                : at < CODE_AT
                  ? 'rflags'
                  : `memory+${at - MEMORY}`
    out.push(`${name}: ${a.getUint32(at, true).toString(16)} found ${b.getUint32(at, true).toString(16)}`)
  }
  return out
}
