import type { Rng, Soak } from '@retrap/tooling/soak'
import type { Exit } from '../../src/exit.ts'
import { saveVcpu } from '../../src/inspect.ts'
import { BareCpu, CODE, IDT, RAM_BYTES, TSS } from '../support/bare-cpu.ts'
import { EAGER_JIT } from '../support/jit.ts'

const MODES = ['long', 'long', 'protected'] as const
type Mode = (typeof MODES)[number]
/** RBX points near the end of a page: what lies beyond is in the next one. */
const DATA = 0x1_0000
const DATA_BYTES = 0x2000
const DATA_BASE = DATA + 0xfc0
const DEVICE_PAGE = 0x20
const HANDLERS = 0x20_0000
const HANDLER_STACK = 0x22_0000
const INTERRUPT = 0x40
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21])
const TURNS = 40
const LONGEST_TURN = 3000
/** Registers that programs write: not RBX and RSP. */
const WRITTEN = [0, 1, 2, 5, 6, 7, 8, 9, 10, 15]

/** Emits the bytes of a random program; targets of branches are blocks, which are resolved at the end. */
class ProgramBuilder {
  readonly bytes: number[] = []
  readonly #rng: Rng
  readonly #long: boolean
  readonly #blocks: number[] = []
  readonly #fixups: { readonly at: number; readonly block: number }[] = []
  readonly #tables: { readonly at: number; readonly blocks: readonly number[] }[] = []
  readonly #count: number

  constructor(rng: Rng, mode: Mode, count: number) {
    this.#rng = rng
    this.#long = mode === 'long'
    this.#count = count
  }

  build(): Uint8Array {
    for (let i = 0; i < this.#count; i++) {
      this.#blocks.push(this.bytes.length)
      for (let n = this.#rng.below(9); n > 0; n--) this.#instruction()
      this.#end()
    }
    // Whatever falls off the end starts again.
    this.#branch([0xe9], 0)
    for (const { at, blocks } of this.#tables) {
      const width = this.#long ? 8 : 4
      while ((CODE + this.bytes.length) % width !== 0) this.bytes.push(0x90)
      this.#patch(at, CODE + this.bytes.length)
      for (const block of blocks) {
        const target = CODE + (this.#blocks[block] as number)
        for (let i = 0; i < width; i++) this.bytes.push(i < 4 ? (target >>> (8 * i)) & 0xff : 0)
      }
    }
    for (const { at, block } of this.#fixups) this.#patch(at, (this.#blocks[block] as number) - (at + 4))
    return Uint8Array.from(this.bytes)
  }

  #patch(at: number, value: number): void {
    for (let i = 0; i < 4; i++) this.bytes[at + i] = (value >>> (8 * i)) & 0xff
  }

  #register(): number {
    return this.#rng.pick(this.#long ? WRITTEN : WRITTEN.filter((number) => number < 8))
  }

  /** Opcode with a register and a register or memory operand. */
  #modrm(
    opcode: readonly number[],
    reg: number,
    options: { readonly memory?: boolean; readonly wide?: boolean } = {},
  ): void {
    const rng = this.#rng
    const memory = options.memory ?? rng.chance(1, 3)
    const rm = memory ? 3 : this.#register()
    const wide = options.wide ?? rng.chance(1, 2)
    // FS, and addresses of 32 bits, which 64-bit code truncates.
    if (memory && rng.chance(1, 10)) this.bytes.push(this.#long && rng.chance(1, 2) ? 0x67 : 0x64)
    if (this.#long) {
      const rex = (wide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (!memory && rm >= 8 ? 1 : 0)
      if (rex !== 0 || rng.chance(1, 8)) this.bytes.push(0x40 | rex)
    }
    this.bytes.push(...opcode)
    // Mostly aligned, sometimes across the end of the page, seldom a device.
    if (memory) this.bytes.push(0x40 | ((reg & 7) << 3) | 3, rng.chance(1, 6) ? 0x3b + rng.below(5) : 8 * rng.below(7))
    else this.bytes.push(0xc0 | ((reg & 7) << 3) | (rm & 7))
  }

  #instruction(): void {
    const rng = this.#rng
    const { bytes } = this
    const reg = this.#register()
    const operation = rng.below(100)
    if (operation < 28) this.#modrm([8 * rng.below(8) + rng.pick([0, 1, 2, 3])], reg)
    else if (operation < 36) this.#modrm([rng.pick([0x88, 0x89, 0x8a, 0x8b])], reg)
    else if (operation < 44) {
      // Shifts and rotates by an immediate, by 1, by CL.
      const opcode = rng.pick([0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3])
      this.#modrm([opcode], rng.below(8))
      if (opcode < 0xc2) bytes.push(rng.below(70))
    } else if (operation < 50) {
      this.#modrm([0x83], rng.below(8))
      bytes.push(rng.below(256))
    } else if (operation < 54) this.#modrm([0x0f, 0x90 + rng.below(16)], 0)
    else if (operation < 58) this.#modrm([0x0f, 0x40 + rng.below(16)], reg)
    else if (operation < 62) this.#modrm([0x0f, rng.pick([0xb6, 0xb7, 0xbe, 0xbf, 0xaf, 0xc1, 0xb1])], reg)
    else if (operation < 65) this.#modrm([0xf7], rng.pick([2, 3, 4, 5, 6, 7]))
    else if (operation < 68) this.#modrm([rng.pick([0xfe, 0xff])], rng.below(2))
    else if (operation < 71) this.#modrm([0x8d], reg, { memory: true })
    else if (operation < 74) this.#modrm([rng.pick([0x84, 0x85, 0x86, 0x87])], reg)
    else if (operation < 78) bytes.push(...(reg >= 8 ? [0x41] : []), rng.pick([0x50, 0x58]) + (reg & 7))
    else if (operation < 80) bytes.push(rng.pick([0x9c, 0xf5, 0xf8, 0xf9, 0xfc, 0xfd, 0x98, 0x99]))
    else if (operation < 84)
      this.#modrm([0x0f, rng.pick([0x28, 0x58, 0x59, 0xef, 0xfe, 0x10, 0x11])], rng.below(8), { wide: false })
    else if (operation < 87) {
      bytes.push(rng.pick([0x66, 0xf2, 0xf3]))
      this.#modrm([0x0f, rng.pick([0x10, 0x11, 0x2c, 0x58, 0x59, 0x5c, 0x6f, 0xef, 0xd4])], rng.below(8), {
        wide: false,
      })
    } else if (operation < 89)
      this.#modrm([rng.pick([0xd8, 0xdc, 0xd9, 0xdd])], rng.pick([0, 1, 3]), { memory: true, wide: false })
    else if (operation < 91) bytes.push(...rng.pick([[0xa4], [0xaa], [0xac], [0xf3, 0xa4], [0xf3, 0xab], [0xf2, 0xae]]))
    else if (operation < 93) this.#modrm([0x0f, rng.pick([0xa3, 0xab, 0xbc, 0xbd, 0xa5])], reg)
    else if (operation < 95) {
      // A store into the program's own code: the low byte of an immediate, or anything.
      bytes.push(0xc6, this.#long ? 0x04 : 0x05, ...(this.#long ? [0x25] : []))
      const at = CODE + rng.below(0x400)
      for (let i = 0; i < 4; i++) bytes.push((at >>> (8 * i)) & 0xff)
      bytes.push(rng.below(256))
    } else if (operation < 97) {
      // A device: MOV EAX, or to it.
      bytes.push(rng.pick([0x8b, 0x89]), this.#long ? 0x04 : 0x05, ...(this.#long ? [0x25] : []))
      const at = DEVICE_PAGE * 0x1000 + 4 * rng.below(4)
      for (let i = 0; i < 4; i++) bytes.push((at >>> (8 * i)) & 0xff)
    } else bytes.push(...rng.pick([[0x90], [0x0f, 0xa2], [0xfb], [0xfa], [0x0f, 0x31], [0xf4], [0xcc]]))
  }

  #branch(opcode: readonly number[], block: number): void {
    this.bytes.push(...opcode)
    this.#fixups.push({ at: this.bytes.length, block })
    this.bytes.push(0, 0, 0, 0)
  }

  #end(): void {
    const rng = this.#rng
    const block = rng.below(this.#count)
    const how = rng.below(20)
    if (how < 11) this.#branch([0x0f, 0x80 + rng.below(16)], block)
    else if (how < 13) this.#branch([0xe8], block)
    else if (how < 14) this.bytes.push(0xc3)
    else if (how < 15) this.#branch([0xe9], block)
    else if (how < 17) {
      // Through a table, by the low bits of a register.
      const reg = rng.pick([0, 1, 2])
      this.bytes.push(0x83, 0xe0 | reg, 3)
      this.bytes.push(0xff, 0x24, (this.#long ? 0xc5 : 0x85) | (reg << 3))
      this.#tables.push({ at: this.bytes.length, blocks: Array.from({ length: 4 }, () => rng.below(this.#count)) })
      this.bytes.push(0, 0, 0, 0)
    } else if (how < 18) {
      // LOOP to what is near, if it is.
      const distance =
        (this.#blocks[Math.max(0, this.#blocks.length - 1 - rng.below(3))] as number) - (this.bytes.length + 2)
      if (distance >= -128) this.bytes.push(0xe2, distance & 0xff)
    }
  }
}

interface Case {
  readonly mode: Mode
  readonly code: Uint8Array
  readonly turns: readonly { readonly budget: number; readonly interrupt: boolean }[]
  readonly slow: boolean
}

function drawCase(rng: Rng): Case {
  const mode = rng.pick(MODES)
  const code = new ProgramBuilder(rng, mode, 4 + rng.below(40)).build()
  rng.note('mode', mode)
  rng.note('code', () => Buffer.from(code).toString('hex'))
  return {
    mode,
    code,
    turns: Array.from({ length: TURNS }, () => ({ budget: 1 + rng.below(LONGEST_TURN), interrupt: rng.chance(1, 5) })),
    slow: rng.chance(1, 3),
  }
}

function prepare({ mode, code, slow }: Case, compiled: boolean): BareCpu {
  const pc = new BareCpu({ mode, jit: compiled ? EAGER_JIT : false, codeCacheBytes: 1 << 20 })
  pc.load(CODE, code)
  pc.setRegister('rbx', DATA_BASE)
  for (const [i, name] of (['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'] as const).entries()) {
    pc.setRegister(name, DATA + 0x100 * i + 7)
  }
  if (mode === 'long') {
    // A handler steps over a byte of what faulted, on a stack of its own; that of the interrupt returns.
    pc.write64(TSS + 0x24, BigInt(HANDLER_STACK))
    for (let vector = 0; vector <= INTERRUPT; vector++) {
      const at = HANDLERS + 32 * vector
      const skip = vector < 32 && vector !== 3 ? [0x48, 0xff, 0x04, 0x24] : []
      pc.load(at, [...(WITH_ERROR.has(vector) ? [0x48, 0x83, 0xc4, 0x08] : []), ...skip, 0x48, 0xcf])
      pc.vector(vector, at)
      pc.load(IDT + 16 * vector + 4, [1])
    }
  }
  let asked = 0
  pc.host.devices.set(DEVICE_PAGE, {
    read: (offset) => (slow && ++asked % 2 === 1 ? undefined : BigInt(asked * 0x1_0001 + offset)),
    write: () => !(slow && ++asked % 2 === 1),
  })
  return pc
}

/** Runs a turn to its end; a device that has been waited for answers. */
function turn(pc: BareCpu, budget: number): Exit {
  const end = pc.cpu.cost + budget
  for (;;) {
    const exit = pc.turn(end - pc.cpu.cost)
    if (exit.reason !== 'blocked') return exit
  }
}

function describe(pc: BareCpu, exit: Exit, from: number, bytes: number): unknown {
  let hash = 0
  const { u32 } = pc.memory
  const end = (pc.host.ramMa + from + bytes) >>> 2
  for (let at = (pc.host.ramMa + from) >>> 2; at < end; at++) hash = (Math.imul(hash, 31) + (u32[at] as number)) | 0
  const { retired, cost } = pc.cpu
  return { exit: exit.reason, retired, cost, hash, seen: pc.host.seen.length, cpu: saveVcpu(pc.cpu) }
}

/** A program runs alike interpreted and compiled: state, counts and accesses to devices agree after each turn. */
export const soak: Soak = {
  name: 'jit',
  count: 2000,
  step(rng) {
    const given = drawCase(rng)
    const [plain, compiled] = [prepare(given, false), prepare(given, true)]
    for (const [i, { budget, interrupt }] of given.turns.entries()) {
      if (interrupt && given.mode === 'long') for (const pc of [plain, compiled]) pc.interrupt(INTERRUPT)
      const last = i === TURNS - 1
      const [expected, found] = [plain, compiled].map((pc) => {
        const exit = turn(pc, budget)
        return JSON.stringify(last ? describe(pc, exit, 0, RAM_BYTES) : describe(pc, exit, DATA, DATA_BYTES))
      })
      if (found !== expected) return `turn ${i}: ${difference(expected ?? '', found ?? '')}`
      if (/"(shutdown|error)"/.test(expected ?? '')) return
    }
    if (plain.host.seen.join() !== compiled.host.seen.join()) return 'the devices saw different accesses'
  },
}

function difference(expected: string, found: string): string {
  const at = [...expected].findIndex((character, i) => character !== found[i])
  const around = (text: string): string => text.slice(Math.max(0, at - 60), at + 80)
  return `compiled ${around(found)}, interpreted ${around(expected)}`
}
