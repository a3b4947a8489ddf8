import type { Rng } from '@retrap/tooling/soak'
import { PAGE_TABLE } from './bare-cpu.ts'
import { PREFIX_ADDRESS, PREFIX_OPERAND, RandomCode } from './random-code.ts'
import * as W from './worlds.ts'
import type { Gates, World } from './worlds.ts'

/** Guest frame of a device, and its port. */
export const DEVICE_PAGE = 0x20
export const DEVICE_PORT = 0x80
/** Reads of this offset of the device request an interrupt. */
export const REQUESTING = 8
/** Opcodes after 0F of SSE instructions with an operand in memory or a register. */
const SSE = [
  [0x10, 0x17],
  [0x28, 0x2f],
  [0x50, 0x7f],
  [0xc2, 0xc2],
  [0xc6, 0xc6],
  [0xd0, 0xff],
] as const

/** String instructions, plain and repeated. */
const STRINGS: readonly (readonly number[])[] = [
  [0xa4],
  [0xaa],
  [0xac],
  [0xf3, 0xa4],
  [0xf3, 0xa5],
  [0xf3, 0xab],
  [0xf3, 0xac],
  [0xf2, 0xae],
  [0xf3, 0xa6],
]

/** A program of blocks in one or several modes. */
export interface RandomProgram {
  readonly bytes: Uint8Array
  /** Linear addresses of the blocks. */
  readonly blocks: readonly number[]
  readonly worlds: readonly World[]
}

/** What a random program is drawn with. */
export interface ProgramChoices {
  /** Linear address of its first byte. */
  readonly start: number
  readonly gates: Gates
  readonly worlds: readonly World[]
  readonly blocks: number
  /** It changes control registers, segments, page tables, debug registers and RFLAGS. */
  readonly system: boolean
}

/** Emits the bytes of a random program; targets of branches are blocks, which are resolved at the end. */
export class ProgramBuilder extends RandomCode {
  readonly #choices: ProgramChoices
  /** The mode of each block; those of one mode follow each other. */
  readonly #worlds: readonly World[]
  readonly #blocks: number[] = []
  readonly #fixups: { readonly at: number; readonly size: number; readonly block: number; readonly add: number }[] = []
  readonly #absolutes: { readonly at: number; readonly block: number; readonly add: number }[] = []
  readonly #tables: { readonly at: number; readonly width: number; readonly blocks: readonly number[] }[] = []

  constructor(rng: Rng, choices: ProgramChoices) {
    super(rng)
    this.#choices = choices
    const drawn = Array.from({ length: choices.blocks }, () => rng.pick(choices.worlds))
    this.#worlds = drawn.toSorted((a, b) => choices.worlds.indexOf(a) - choices.worlds.indexOf(b))
  }

  build(): RandomProgram {
    const bytes = this.bytes
    for (const [i, world] of this.#worlds.entries()) {
      this.world = world
      this.#blocks.push(bytes.length)
      for (let n = this.rng.below(9); n > 0; n--) this.#instruction()
      this.#end()
      if (this.#worlds[i + 1] !== undefined && this.#worlds[i + 1] !== world) this.#change(i + 1)
    }
    // Control that falls off the end starts again.
    this.#change(0)
    const { start } = this.#choices
    for (const { at, width, blocks } of this.#tables) {
      while ((start + bytes.length) % width !== 0) bytes.push(0x90)
      this.patch(at, 4, start + bytes.length)
      for (const block of blocks) {
        const target = start + this.#blocks[block]!
        for (let i = 0; i < width; i++) bytes.push(i < 4 ? (target >>> (8 * i)) & 0xff : 0)
      }
    }
    for (const { at, size, block, add } of this.#fixups) {
      this.patch(at, size, this.#blocks[block]! + add - (at + size))
    }
    for (const { at, block, add } of this.#absolutes) this.patch(at, 4, start + this.#blocks[block]! + add)
    return { bytes: Uint8Array.from(bytes), blocks: this.#blocks.map((offset) => start + offset), worlds: this.#worlds }
  }

  // ---------------------------------------------------------------- instructions

  #instruction(): void {
    const rng = this.rng
    const bytes = this.bytes
    const reg = this.register()
    this.index = rng.chance(1, 6) ? rng.pick([0, 1, 2, 6]) : undefined
    if (this.index !== undefined) {
      // An index of 0 to 7, for the operand in memory that the next instruction may have.
      this.prefixes(false)
      bytes.push(0x83, 0xe0 | this.index, 7)
    }
    const operation = rng.below(this.#choices.system ? 110 : 100)
    if (operation < 28) this.modrm([8 * rng.below(8) + rng.pick([0, 1, 2, 3])], reg)
    else if (operation < 36) this.modrm([rng.pick([0x88, 0x89, 0x8a, 0x8b])], reg)
    else if (operation < 44) {
      // Shifts and rotates by an immediate, by 1, by CL.
      const opcode = rng.pick([0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3])
      this.modrm([opcode], rng.below(8))
      if (opcode < 0xc2) bytes.push(rng.below(70))
    } else if (operation < 50) {
      this.modrm([0x83], rng.below(8))
      bytes.push(rng.below(256))
    } else if (operation < 54) this.modrm([0x0f, 0x90 + rng.below(16)], 0)
    else if (operation < 58) this.modrm([0x0f, 0x40 + rng.below(16)], reg)
    else if (operation < 62) this.modrm([0x0f, rng.pick([0xb6, 0xb7, 0xbe, 0xbf, 0xaf, 0xc1, 0xb1])], reg)
    else if (operation < 65) this.modrm([0xf7], rng.pick([2, 3, 4, 5, 6, 7]))
    else if (operation < 68) this.modrm([rng.pick([0xfe, 0xff])], rng.below(2))
    else if (operation < 71) this.modrm([0x8d], reg, { memory: true })
    else if (operation < 74) this.modrm([rng.pick([0x84, 0x85, 0x86, 0x87])], reg)
    else if (operation < 78) bytes.push(...(reg >= 8 ? [0x41] : []), rng.pick([0x50, 0x58]) + (reg & 7))
    else if (operation < 80) bytes.push(rng.pick([0x9c, 0xf5, 0xf8, 0xf9, 0xfc, 0xfd, 0x98, 0x99]))
    else if (operation < 85) this.#sse()
    else if (operation < 89) this.#x87()
    else if (operation < 91) bytes.push(...rng.pick(STRINGS))
    else if (operation < 92) this.modrm([0x0f, rng.pick([0xa3, 0xab, 0xbc, 0xbd, 0xa5])], reg)
    else if (operation < 93) this.modrm([0x0f, 0xc7], 1, { memory: true })
    else if (operation < 95) this.#storeToCode()
    else if (operation < 97) this.#device()
    else if (operation < 100) {
      bytes.push(...rng.pick([[0x90], [0x0f, 0xa2], [0xfb], [0xfa], [0x0f, 0x31], [0xf4], [0xcc], [0xf3, 0x90]]))
    } else this.#system()
  }

  #sse(): void {
    const rng = this.rng
    const bytes = this.bytes
    if (rng.chance(1, 10)) {
      // MXCSR: which exceptions are masked, how it rounds, DAZ and FTZ; or one that has flags.
      this.prefixes(true)
      bytes.push(0xc7, 0x43, 0x38)
      this.emit32(rng.pick([0x1f80, 0x1fbf, 0x1d80, 0x7f80, 0x9fc0]) ^ (rng.chance(1, 4) ? rng.below(0x1_0000) : 0))
      this.prefixes(true)
      bytes.push(0x0f, 0xae, 0x53, 0x38)
      return
    }
    const prefix = rng.pick([undefined, 0x66, 0xf2, 0xf3])
    if (prefix !== undefined) bytes.push(prefix)
    const [first, last] = rng.pick(SSE)
    const opcode = rng.between(first, last)
    this.modrm([0x0f, opcode], rng.below(8), { wide: false, memory: rng.chance(1, 3) })
    if (opcode === 0xc2 || opcode === 0xc6 || (opcode >= 0x70 && opcode <= 0x73)) bytes.push(rng.below(256))
  }

  #x87(): void {
    const rng = this.rng
    if (rng.chance(1, 2))
      this.modrm([rng.pick([0xd8, 0xdc, 0xd9, 0xdd])], rng.pick([0, 1, 3]), { memory: true, wide: false })
    else this.bytes.push(0xd8 + rng.below(8), 0xc0 + rng.below(0x40))
  }

  /** A store into the program's own code: the low byte of an immediate, or anything. */
  #storeToCode(): void {
    if (this.bits === 16) this.bytes.push(PREFIX_ADDRESS)
    this.bytes.push(0xc6)
    this.absolute(0, this.#choices.start + this.rng.below(0x400))
    this.bytes.push(this.rng.below(256))
  }

  /** A device: MOV EAX, or to it, IN or OUT. */
  #device(): void {
    const rng = this.rng
    if (rng.chance(1, 4)) {
      this.bytes.push(rng.pick([0xe4, 0xe5, 0xe6, 0xe7]), DEVICE_PORT)
      return
    }
    if (this.bits === 16) this.prefixes(true)
    this.bytes.push(rng.pick([0x8b, 0x89]))
    this.absolute(0, DEVICE_PAGE * 0x1000 + 4 * rng.below(4))
  }

  // ---------------------------------------------------------------- the state of the system

  #system(): void {
    const rng = this.rng
    const bytes = this.bytes
    const how = rng.below(14)
    if (how < 2) this.#toggleControl()
    else if (how < 3) {
      this.load(0, rng.pick([W.FIRST_ROOT, W.SECOND_ROOT]))
      bytes.push(0x0f, 0x22, 0xd8)
    } else if (how < 4) {
      // EFER.SCE or NXE.
      this.load(1, 0xc000_0080 | 0)
      bytes.push(0x0f, 0x32)
      this.#toggle(rng.pick([0, 11]))
      bytes.push(0x0f, 0x30)
    } else if (how < 5) this.#remap()
    else if (how < 6) {
      const segment = rng.pick([3, 0, 4, 5])
      this.load(0, rng.pick([W.SELECTORS.data, W.SELECTORS.moved, W.SELECTORS.data16, W.SELECTORS.readOnly, 0]))
      bytes.push(0x8e, 0xc0 | (segment << 3))
    } else if (how < 7) {
      // RFLAGS: TF, IF, AC, DF or ID.
      if (this.bits === 16) bytes.push(PREFIX_OPERAND)
      bytes.push(0x9c)
      this.prefixes(true)
      bytes.push(0x81, 0x34, 0x24)
      this.emit32(rng.pick([0x100, 0x200, 0x4_0000, 0x400, 0x20_0000]))
      if (this.bits === 16) bytes.push(PREFIX_OPERAND)
      bytes.push(0x9d)
    } else if (how < 8) this.#breakpoint()
    else if (how < 9) bytes.push(0xcd, rng.pick([0x40, 3, 0x80]))
    else if (how < 11) this.#returnInPlace()
    else this.#excursion()
  }

  /** The linear address of the code that follows after some bytes. */
  #after(bytes: number): number {
    return this.#choices.start + this.bytes.length + bytes
  }

  /** IRET to the next instruction. */
  #returnInPlace(): void {
    const { bytes } = this
    if (this.isLong) {
      const isUser = this.world.startsWith('user')
      // MOV RAX, RSP; PUSH SS, RAX; PUSHFQ; PUSH CS, RIP; IRETQ.
      bytes.push(0x48, 0x89, 0xe0, 0x6a, isUser ? W.SELECTORS.userData : W.SELECTORS.data, 0x50, 0x9c)
      bytes.push(0x6a, isUser ? W.SELECTORS.userCode64 : W.SELECTORS.code64, 0x68)
      this.emit32(this.#after(6))
      bytes.push(0x48, 0xcf)
      return
    }
    bytes.push(0x9c, 0x0e, 0x68)
    if (this.bits === 32) this.emit32(this.#after(5))
    else bytes.push(this.#after(3) & 0xff, (this.#after(3) >>> 8) & 0xff)
    bytes.push(0xcf)
  }

  /** To level 3 by SYSRET or SYSEXIT, and back by SYSCALL or SYSENTER. */
  #excursion(): void {
    const { rng, bytes, isLong } = this
    if (this.world !== 'long' && this.world !== 'protected32' && this.world !== 'pae32') return
    const between = rng.pick([[], [0x90], [0xff, 0xc0], [0x9c, 0x58], [0xcd, 0x40], [0x0f, 0x31], [0xf4], [0x8b, 0x03]])
    const back = (call: readonly number[]): void => {
      bytes.push(...between, 0xbe)
      this.emit32(this.#after(4 + call.length))
      bytes.push(...call)
    }
    if (isLong && rng.chance(1, 2)) {
      // EFER.SCE; MOV ECX, to; MOV R11D, flags; SYSRETQ.
      this.load(1, 0xc000_0080 | 0)
      bytes.push(0x0f, 0x32, 0x83, 0xc8, 1, 0x0f, 0x30, 0xb9)
      this.emit32(this.#after(13))
      bytes.push(0x41, 0xbb)
      this.emit32(rng.pick([2, 0x202, 0x8d7, 0x602, 0x4_0202, 0x102]))
      bytes.push(0x48, 0x0f, 0x07)
      back([0x0f, 0x05])
      return
    }
    // IA32_SYSENTER_CS.
    this.load(1, 0x174)
    this.load(0, isLong ? W.FAST_CALLS.long : W.FAST_CALLS.legacy)
    bytes.push(0x31, 0xd2, 0x0f, 0x30)
    const wide = isLong ? [0x48] : []
    // MOV ECX, ESP; MOV EDX, to; SYSEXIT; and at last MOV ESP, ECX.
    bytes.push(...wide, 0x89, 0xe1, 0xba)
    this.emit32(this.#after(6 + wide.length))
    bytes.push(...wide, 0x0f, 0x35)
    back([0x0f, 0x34])
    bytes.push(...wide, 0x89, 0xcc)
    if (isLong) return
    // What an IRET to level 3 has taken away.
    this.load(0, W.SELECTORS.data)
    bytes.push(0x8e, 0xd8, 0x8e, 0xc0)
  }

  /** BTC of a bit of EAX. */
  #toggle(bit: number): void {
    this.prefixes(false)
    this.bytes.push(0x0f, 0xba, 0xf8, bit)
  }

  /** A bit of CR0 or CR4 that does not change the mode. */
  #toggleControl(): void {
    const rng = this.rng
    if (rng.chance(1, 4)) {
      this.bytes.push(0x0f, 0x06)
      return
    }
    const [register, bits] = rng.pick([
      [0xc0, [3, 1, 2, 5, 16, 18]],
      [0xe0, [2, 3, 7, 8, 9, 10, 11]],
    ] as const)
    this.bytes.push(0x0f, 0x20, register)
    this.#toggle(rng.pick(bits))
    this.bytes.push(0x0f, 0x22, register)
  }

  /** Another entry of a page table, and INVLPG. */
  #remap(): void {
    const rng = this.rng
    const page = rng.pick([W.DATA >>> 12, (W.DATA >>> 12) + 1, W.SECOND_CODE_PAGE, W.ALIAS >>> 12])
    const own = page >= W.ALIAS >>> 12 ? page - (W.ALIAS >>> 12) + 1 : page
    const frame = rng.pick([own, page === W.SECOND_CODE_PAGE ? W.OTHER_CODE_FRAME : W.OTHER_DATA_FRAME])
    const table = rng.chance(1, 3) ? W.SECOND_ROOT + 0x3000 : PAGE_TABLE
    this.store(table + 8 * page, (frame << 12) | rng.pick([7, 7, 7, 5, 3, 0]))
    if (rng.chance(1, 4)) this.store(table + 8 * page + 4, rng.pick([0, 0x8000_0000 | 0]))
    if (this.bits === 16) this.bytes.push(PREFIX_ADDRESS)
    this.bytes.push(0x0f, 0x01)
    this.absolute(7, page << 12)
  }

  /** A breakpoint on data or on the program's code. */
  #breakpoint(): void {
    const rng = this.rng
    const isCode = rng.chance(1, 2)
    this.load(0, isCode ? this.#choices.start + rng.below(0x200) : W.DATA_BASE + 8 * rng.below(10))
    this.bytes.push(0x0f, 0x23, 0xc0)
    this.load(0, 0x400 | rng.pick([0, 1, 3]) | (isCode ? 0 : rng.pick([0xd_0000, 0xf_0000, 0x1_0000])))
    this.bytes.push(0x0f, 0x23, 0xf8)
  }

  // ---------------------------------------------------------------- branches

  /** A branch with a displacement of the code's width. */
  #branch(opcode: readonly number[], block: number, add = 0): void {
    this.bytes.push(...opcode)
    const size = this.bits === 16 ? 2 : 4
    this.#fixups.push({ at: this.bytes.length, size, block, add })
    for (let i = 0; i < size; i++) this.bytes.push(0)
  }

  /** A block of the mode that the code is in. */
  #near(): number {
    const first = this.#worlds.indexOf(this.world)
    return first + this.rng.below(this.#worlds.lastIndexOf(this.world) - first + 1)
  }

  /** Continues in another block, whatever its mode is. */
  #change(block: number): void {
    const world = this.#worlds[block]!
    const { gates, start } = this.#choices
    if (world === this.world) {
      this.#branch([0xe9], block)
      return
    }
    this.load(
      0,
      this.world === 'real' || this.world === 'virtual8086'
        ? 0
        : this.world.startsWith('user')
          ? W.SELECTORS.userData
          : W.SELECTORS.data,
    )
    this.bytes.push(0x8e, 0xd8)
    this.store(W.TARGET, 0)
    const add = this.#mayAlias(world) && this.rng.chance(1, 6) ? W.ALIAS - 0x1000 : 0
    this.#absolutes.push({ at: this.bytes.length - 4, block, add })
    this.store(W.WAY, gates.down[world])
    const size = this.bits === 16 ? 2 : 4
    this.bytes.push(0xe9)
    this.bytes.push(...Array.from({ length: size }, () => 0))
    const at = this.bytes.length - size
    this.patch(at, size, gates.up[this.world] - (start + at + size))
  }

  #mayAlias(world: World): boolean {
    return W.WORLDS[world] !== 16 && world !== 'protected32' && world !== 'pae32'
  }

  #end(): void {
    const rng = this.rng
    const bytes = this.bytes
    const block = this.#near()
    const how = rng.below(22)
    if (how < 11) this.#branch([0x0f, 0x80 + rng.below(16)], block)
    else if (how < 13) this.#branch([0xe8], block)
    else if (how < 14) bytes.push(0xc3)
    else if (how < 15) this.#branch([0xe9], block)
    else if (how < 17) {
      // Through a table, by the low bits of a register.
      const reg = rng.pick([0, 1, 2])
      if (this.bits === 16) bytes.push(PREFIX_OPERAND)
      bytes.push(0x83, 0xe0 | reg, 3)
      if (this.bits === 16) bytes.push(PREFIX_ADDRESS)
      bytes.push(0xff, 0x24, (this.isLong ? 0xc5 : 0x85) | (reg << 3))
      const width = this.isLong ? 8 : 4
      this.#tables.push({ at: bytes.length, width, blocks: Array.from({ length: 4 }, () => this.#near()) })
      this.emit32(0)
    } else if (how < 18) {
      // LOOP to what is near, if it is.
      const distance = this.#blocks[Math.max(0, this.#blocks.length - 1 - rng.below(3))]! - (bytes.length + 2)
      if (distance >= -128) bytes.push(0xe2, distance & 0xff)
    } else if (how < 20) {
      if (this.#choices.worlds.length > 1) this.#change(rng.below(this.#worlds.length))
    } else if (how < 21 && this.#mayAlias(this.world)) {
      // The same code, by another linear address.
      this.#branch([0xe9], block, W.ALIAS - 0x1000)
    }
  }
}
