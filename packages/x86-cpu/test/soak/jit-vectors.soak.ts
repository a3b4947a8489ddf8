import type { Rng, Soak } from '@retrap/tooling/soak'
import { saveVcpu } from '../../src/inspect.ts'
import { BareCpu, CODE, IDT, TSS } from '../support/bare-cpu.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'

/** Numbers that the programs load and store; RBX points here. */
const DATA = 0x1_0000
const DATA_BYTES = 0x400
/** Values of MXCSR, four bytes each. */
const CONTROLS = DATA + DATA_BYTES
const CONTROL_COUNT = 8
const HANDLERS = 0x20_0000
const HANDLER_STACK = 0x22_0000
const TURNS = 12
const LONGEST_TURN = 2000

const PREFIXES: readonly (readonly number[])[] = [[], [0x66], [0xf2], [0xf3]]
/** ADD, MUL, SUB, MIN, DIV, MAX, SQRT: for each prefix. */
const ARITHMETIC = [0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f, 0x51, 0x58, 0x59, 0x5c]
/** Moves, shuffles, logic, comparisons and conversions, and the numbers of the prefixes that they have. */
const OTHERS: readonly (readonly [opcode: number, prefixes: readonly number[]])[] = [
  [0x10, [0, 1, 2, 3]],
  [0x12, [2, 3]],
  [0x14, [0, 1]],
  [0x15, [0, 1]],
  [0x16, [3]],
  [0x28, [0, 1]],
  [0x2e, [0, 1]],
  [0x2f, [0, 1]],
  [0x54, [0, 1]],
  [0x55, [0, 1]],
  [0x56, [0, 1]],
  [0x57, [0, 1]],
  [0x5a, [0, 1, 2, 3]],
  [0x5b, [0, 1, 3]],
  [0xe6, [1, 2, 3]],
  [0x7c, [1, 2]],
  [0xd0, [1, 2]],
]
const INTEGERS = [0x60, 0x62, 0x6c, 0x6f, 0x76, 0xd4, 0xdb, 0xef, 0xfa, 0xfe]
const STORES: typeof OTHERS = [
  [0x11, [0, 1, 2, 3]],
  [0x29, [0, 1]],
  [0x11, [2, 3]],
]
/** CMPccPS and its like, SHUFPS and SHUFPD, PSHUFD and its like. */
const WITH_IMMEDIATE: typeof OTHERS = [
  [0xc2, [0, 1, 2, 3]],
  [0xc6, [0, 1]],
  [0x70, [1, 2, 3]],
]

/** Emits a loop of instructions on vectors. */
class LoopBuilder {
  readonly bytes: number[] = []
  /** Where an iteration ends, with what has faulted in it too. */
  tail = 0
  readonly #rng: Rng
  readonly #avx: boolean
  /** Mostly x87 instructions. */
  readonly #x87: boolean

  constructor(rng: Rng) {
    this.#rng = rng
    this.#avx = rng.chance(1, 2)
    this.#x87 = rng.chance(1, 3)
  }

  build(): Uint8Array {
    const { bytes } = this
    const rng = this.#rng
    // CR4.OSXSAVE; XCR0 = x87, SSE, AVX.
    bytes.push(0x0f, 0x20, 0xe0, 0x0d, 0, 0, 4, 0, 0x0f, 0x22, 0xe0)
    bytes.push(0x31, 0xc9, 0x31, 0xd2, 0xb8, 7, 0, 0, 0, 0x0f, 0x01, 0xd1)
    for (let register = 0; register < 8; register++) this.#memory([0x0f, 0x10], register, 32 * rng.below(16))
    this.#control()
    // MOV R15D
    bytes.push(0x41, 0xbf, 40 + rng.below(200), 0, 0, 0)
    const top = bytes.length
    // Flags would all be set soon, and registers hold NaNs.
    const isFresh = rng.chance(3, 4)
    if (isFresh) {
      this.#control()
      for (let register = 0; register < 4; register++) this.#memory([0x0f, 0x10], register, 32 * rng.below(16))
    }
    const skips: number[] = []
    for (let n = 3 + rng.below(24); n > 0; n--) {
      if (rng.chance(1, 12)) {
        // TEST R15B, imm8; JNE over some of them.
        bytes.push(0x41, 0xf6, 0xc7, 1 << rng.below(4), 0x0f, 0x85)
        skips.push(bytes.length)
        bytes.push(0, 0, 0, 0)
      }
      this.#instruction()
      if (skips.length > 0 && rng.chance(1, 3)) this.#land(skips.pop()!)
    }
    for (const at of skips) this.#land(at)
    this.tail = bytes.length
    if (isFresh) {
      // STMXCSR; ADD R14, what was stored; ROL R14, 5: all that was raised leaves a trace.
      this.#memory([0x0f, 0xae], 3, DATA_BYTES + 4 * CONTROL_COUNT)
      this.#memory([0x4c, 0x03], 6, DATA_BYTES + 4 * CONTROL_COUNT)
      bytes.push(0x49, 0xc1, 0xc6, 5)
    }
    // DEC R15D; JNE to the top; and round again, another MXCSR now and then.
    bytes.push(0x41, 0xff, 0xcf, 0x0f, 0x85)
    this.#word(top - bytes.length - 4)
    if (rng.chance(1, 2)) this.#control()
    bytes.push(0x41, 0xbf, 50, 0, 0, 0, 0xe9)
    this.#word(top - bytes.length - 4)
    return Uint8Array.from(bytes)
  }

  #land(at: number): void {
    const distance = this.bytes.length - at - 4
    for (let i = 0; i < 4; i++) this.bytes[at + i] = (distance >>> (8 * i)) & 0xff
  }

  #word(value: number): void {
    for (let i = 0; i < 4; i++) this.bytes.push((value >>> (8 * i)) & 0xff)
  }

  /** LDMXCSR */
  #control(): void {
    this.#memory([0x0f, 0xae], 2, DATA_BYTES + 4 * this.#rng.below(CONTROL_COUNT))
  }

  /** ModRM of [RBX + disp32]. */
  #memory(opcode: readonly number[], reg: number, displacement: number): void {
    this.bytes.push(...opcode, 0x83 | (reg << 3))
    this.#word(displacement)
  }

  /** Registers below 6 are used most, so that chains arise. */
  #register(): number {
    return this.#rng.below(this.#rng.chance(1, 3) ? 8 : 4)
  }

  #instruction(): void {
    const rng = this.#rng
    const kind = rng.below(100)
    if (this.#x87 && rng.chance(3, 4)) this.#stack()
    else if (kind < 12) this.#load()
    else if (kind < 45) this.#vector(rng.pick(ARITHMETIC), rng.pick(PREFIXES))
    else if (kind < 70) this.#oneOf(OTHERS)
    else if (kind < 76) this.#vector(rng.pick(INTEGERS), [0x66])
    else if (kind < 82) this.#oneOf(STORES, true)
    else if (kind < 88) {
      this.#oneOf(WITH_IMMEDIATE)
      this.bytes.push(rng.below(256))
    } else if (kind < 92) {
      // CVTSI2SD, CVTTSD2SI, CVTSD2SI and their like: EAX, ECX, EDX.
      const opcode = rng.pick([0x2a, 0x2c, 0x2d])
      const [xmm, gpr] = [this.#register(), rng.below(3)]
      const [reg, rm] = opcode === 0x2a ? [xmm, gpr] : [gpr, xmm]
      this.bytes.push(rng.pick([0xf2, 0xf3]), ...(rng.chance(1, 2) ? [0x48] : []), 0x0f, opcode, 0xc0 | (reg << 3) | rm)
    } else if (kind < 94) {
      // MOVQ and MOVD to and from RAX, RCX, RDX.
      const opcode = rng.pick([0x6e, 0x7e])
      this.bytes.push(0x66, ...(rng.chance(1, 2) ? [0x48] : []), 0x0f, opcode)
      this.bytes.push(0xc0 | (this.#register() << 3) | rng.below(3))
    } else if (kind < 95) this.#control()
    else if (kind < 96) this.#memory([0x0f, 0xae], 3, DATA_BYTES + 4 * CONTROL_COUNT)
    else if (kind < 99) {
      // FMA: all three orders, scalar and packed.
      if (this.#avx) this.#vex(2, 1, rng.pick([0x98, 0x99, 0xa8, 0xa9, 0xb8, 0xb9, 0xbc, 0xae]), rng.chance(1, 3))
    } else if (this.#avx) this.bytes.push(0xc5, rng.chance(1, 3) ? 0xfc : 0xf8, 0x77)
    else this.bytes.push(0x0f, 0xa2)
  }

  /** MOVSD, MOVSS or MOVUPS from memory. */
  #load(): void {
    const rng = this.#rng
    this.bytes.push(...rng.pick(PREFIXES))
    this.#memory([0x0f, 0x10], this.#register(), 8 * rng.below(DATA_BYTES / 8 - 4))
  }

  /** An x87 instruction: one that keeps the stack from filling up, or any at all. */
  #stack(): void {
    const rng = this.#rng
    const { bytes } = this
    const i = rng.below(3)
    const kind = rng.below(12)
    if (kind < 2) this.#memory([rng.pick([0xdd, 0xd9])], 0, 8 * rng.below(DATA_BYTES / 8))
    else if (kind < 4) this.#memory([rng.pick([0xdd, 0xd9])], 3, 8 * rng.below(DATA_BYTES / 8))
    else if (kind < 6) this.#memory([rng.pick([0xdc, 0xd8])], rng.pick([0, 1, 4, 5, 6]), 8 * rng.below(DATA_BYTES / 8))
    else if (kind < 8) bytes.push(rng.pick([0xd8, 0xdc]), 0xc0 | (rng.pick([0, 1, 4, 5, 6]) << 3) | i)
    else if (kind < 9) bytes.push(0xd9, rng.pick([0xc0, 0xc8, 0xe0 - i, 0xe1 - i, 0xe8 - i, 0xee - i]) + i)
    else if (kind < 10) bytes.push(rng.pick([0xdb, 0xdf]), rng.pick([0xe8, 0xf0]) | i)
    else if (kind < 11)
      bytes.push(
        ...rng.pick([
          [0xdb, 0xe3],
          [0xde, 0xc1],
          [0xde, 0xc9],
          [0xdf, 0xe0],
          [0xdb, 0xe2],
        ]),
      )
    else if (rng.chance(1, 2)) this.#memory([0xd8 + rng.below(8)], rng.below(8), 8 * rng.below(DATA_BYTES / 8))
    else bytes.push(0xd8 + rng.below(8), 0xc0 + rng.below(64))
  }

  #oneOf(rows: typeof OTHERS, store = false): void {
    const [opcode, prefixes] = this.#rng.pick(rows)
    this.#vector(opcode, PREFIXES[this.#rng.pick(prefixes)]!, store)
  }

  /** A two-byte opcode in its legacy or its VEX encoding, which may be no instruction. */
  #vector(opcode: number, prefix: readonly number[], store = false): void {
    const rng = this.#rng
    if (this.#avx && rng.chance(1, 2)) {
      this.#vex(1, PREFIX_BITS[PREFIXES.indexOf(prefix)] ?? 0, opcode, rng.chance(1, 2), store)
      return
    }
    this.bytes.push(...prefix)
    this.#operands([0x0f, opcode], store)
  }

  #vex(map: number, prefix: number, opcode: number, wide: boolean, store = false): void {
    const single = map === 1 && (ONE_SOURCE.has(opcode) || (prefix < 2 && ONE_PACKED_SOURCE.has(opcode)))
    const source = single ? 15 : 15 - this.#register()
    this.bytes.push(0xc4, 0xe0 | map, (this.#rng.chance(1, 2) ? 0x80 : 0) | (source << 3) | (wide ? 4 : 0) | prefix)
    this.#operands([opcode], store)
  }

  #operands(opcode: readonly number[], store: boolean): void {
    const rng = this.#rng
    const reg = this.#register()
    if (store || rng.chance(1, 4)) {
      // Nearly always aligned.
      const at = rng.chance(1, 20) ? rng.below(DATA_BYTES - 32) : 32 * rng.below(DATA_BYTES / 32)
      this.#memory(opcode, reg, at)
    } else this.bytes.push(...opcode, 0xc0 | (reg << 3) | this.#register())
  }
}

/** Opcodes whose VEX encodings name no second source: all of them, or those of whole vectors. */
const ONE_SOURCE = new Set([0x10, 0x11, 0x28, 0x29, 0x2e, 0x2f, 0x5b, 0xe6, 0x70, 0x13, 0x17, 0x6f])
const ONE_PACKED_SOURCE = new Set([0x51, 0x5a])
const PREFIX_BITS = [0, 1, 3, 2]

/** Numbers of one width: simple ones, whatever rounds, and those that raise exceptions. */
function number(rng: Rng, bits: 32 | 64, wild: boolean): bigint {
  const view = new DataView(new ArrayBuffer(8))
  const kind = rng.below(wild ? 16 : 8)
  let value = 0
  if (kind < 3) value = rng.below(41) - 20
  else if (kind < 6) value = (rng.below(2000) - 1000) / 7
  else if (kind < 8) value = rng.below(1000) * 2 ** (rng.below(20) - 10)
  // About the smallest normal number: differences and products are denormal.
  else if (kind < 14) value = (1 + rng.below(8) / 8) * 2 ** ((bits === 64 ? -1018 : -122) - rng.below(8))
  else if (kind < 15) value = (1 + rng.below(8) / 8) * 2 ** (bits === 64 ? 600 : 80)
  else {
    const special = SPECIAL[rng.below(SPECIAL.length)]!
    return bits === 64 ? special << 32n : special
  }
  if (bits === 64) view.setFloat64(0, value)
  else view.setFloat32(4, value)
  return view.getBigUint64(0)
}

/** Infinities, NaNs of both kinds, and small denormals, as single-precision bits that do for the upper half of a double too. */
const SPECIAL = [0x7f80_0000n, 0x7ff0_0000n, 0xfff0_0000n, 0x7fc1_2345n, 0x7f81_2345n, 0x7ff4_0001n, 3n, 0x8000_0000n]

interface Case {
  readonly code: Uint8Array
  readonly tail: number
  readonly data: Uint8Array
  readonly turns: readonly number[]
}

function drawCase(rng: Rng): Case {
  const data = new Uint8Array(DATA_BYTES + 4 * CONTROL_COUNT)
  const view = new DataView(data.buffer)
  const wild = rng.chance(3, 4)
  for (let at = 0; at < DATA_BYTES; at += 8) {
    if (rng.chance(3, 4)) view.setBigUint64(at, number(rng, 64, wild), true)
    else for (const half of [0, 4]) view.setUint32(at + half, Number(number(rng, 32, wild) & 0xffff_ffffn), true)
  }
  for (let i = 0; i < CONTROL_COUNT; i++) {
    const masks = rng.chance(1, 12) ? rng.below(64) : 0x3f
    const rounding = rng.chance(1, 5) ? rng.below(4) : 0
    const extra = rng.chance(1, 5) ? rng.pick([0x40, 0x8000, 0x8040]) : 0
    view.setUint32(DATA_BYTES + 4 * i, (rng.chance(1, 2) ? 0x20 : 0) | (masks << 7) | (rounding << 13) | extra, true)
  }
  const loop = new LoopBuilder(rng)
  const code = loop.build()
  rng.note('code', () => Buffer.from(code).toString('hex'))
  return { code, data, tail: CODE + loop.tail, turns: Array.from({ length: TURNS }, () => 1 + rng.below(LONGEST_TURN)) }
}

function prepare({ code, data, tail }: Case, compiled: boolean): BareCpu {
  const pc = new BareCpu({ mode: 'long', jit: compiled ? EAGER_JIT : false, codeCacheBytes: 1 << 20 })
  pc.load(CODE, code)
  pc.load(DATA, data)
  pc.setRegister('rbx', DATA)
  pc.write64(TSS + 0x24, BigInt(HANDLER_STACK))
  for (let vector = 0; vector < 32; vector++) {
    // A handler goes on at the end of the iteration: MOV [RSP], tail; IRETQ.
    const at = HANDLERS + 32 * vector
    const hasError = vector === 13 || vector === 14
    const go = [0x48, 0xc7, 0x04, 0x24, tail & 0xff, (tail >>> 8) & 0xff, 0, 0, 0x48, 0xcf]
    pc.load(at, [...(hasError ? [0x48, 0x83, 0xc4, 0x08] : []), ...go])
    pc.vector(vector, at)
    pc.load(IDT + 16 * vector + 4, [1])
  }
  return pc
}

function describe(pc: BareCpu): string {
  const memory = Buffer.from(pc.memory.u8.slice(pc.host.ramMa + CONTROLS - DATA_BYTES, pc.host.ramMa + CONTROLS + 64))
  const { retired, cost } = pc.cpu
  return JSON.stringify({ retired, cost, memory: memory.toString('hex'), cpu: saveVcpu(pc.cpu) })
}

/** Loops of floating point run alike interpreted and compiled: registers, MXCSR and memory agree after each turn. */
export const soak: Soak = {
  name: 'jit-vectors',
  count: 2000,
  step(rng) {
    const given = drawCase(rng)
    const [plain, compiled] = [prepare(given, false), prepare(given, true)]
    for (const [i, budget] of given.turns.entries()) {
      for (const pc of [plain, compiled]) pc.turn(budget)
      const [expected, found] = [describe(plain), describe(compiled)]
      if (found !== expected) return `turn ${i}: ${difference(expected, found)}`
    }
    return
  },
}

function difference(expected: string, found: string): string {
  const at = [...expected].findIndex((character, i) => character !== found[i])
  const around = (text: string): string => text.slice(Math.max(0, at - 100), at + 80)
  return `compiled ${around(found)}, interpreted ${around(expected)}`
}
