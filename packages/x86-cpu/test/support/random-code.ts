import type { Rng } from '@retrap/tooling/soak'
import { WORLDS } from './worlds.ts'
import type { World } from './worlds.ts'

/** Registers that programs write: not RBX and RSP. */
const WRITTEN = [0, 1, 2, 5, 6, 7, 8, 9, 10, 15]
export const PREFIX_OPERAND = 0x66
export const PREFIX_ADDRESS = 0x67

/** Bytes of code for a mode, with random operands. */
export class RandomCode {
  protected readonly bytes: number[] = []
  protected readonly rng: Rng
  protected world: World = 'long'
  /** Index register of the operand in memory of the instruction that is emitted; undefined for none. */
  protected index: number | undefined

  constructor(rng: Rng) {
    this.rng = rng
  }

  protected get bits(): number {
    return WORLDS[this.world]
  }

  protected get isLong(): boolean {
    return this.bits === 64
  }

  protected patch(at: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.bytes[at + i] = (value >>> (8 * i)) & 0xff
  }

  protected emit32(value: number): void {
    for (let i = 0; i < 4; i++) this.bytes.push((value >>> (8 * i)) & 0xff)
  }

  /** Prefixes of an instruction whose operands have 32 bits, and of one with an address of 32 bits. */
  protected prefixes(address: boolean): void {
    if (this.bits !== 16) return
    this.bytes.push(PREFIX_OPERAND)
    if (address) this.bytes.push(PREFIX_ADDRESS)
  }

  /** A ModRM byte, and what follows it, for an operand at a linear address. */
  protected absolute(reg: number, address: number): void {
    // In 64-bit code the short form is relative to RIP.
    this.bytes.push((reg << 3) | (this.isLong ? 4 : 5), ...(this.isLong ? [0x25] : []))
    this.emit32(address)
  }

  /** MOV of a 32-bit immediate to a register. */
  protected load(register: number, value: number): void {
    this.prefixes(false)
    this.bytes.push(0xb8 | register)
    this.emit32(value)
  }

  /** MOV of 32 bits to a linear address. */
  protected store(address: number, value: number): void {
    this.prefixes(true)
    this.bytes.push(0xc7)
    this.absolute(0, address)
    this.emit32(value)
  }

  protected register(): number {
    return this.rng.pick(this.isLong ? WRITTEN : WRITTEN.filter((number) => number < 8))
  }

  /** Opcode with a register and a register or memory operand. */
  protected modrm(
    opcode: readonly number[],
    reg: number,
    options: { readonly memory?: boolean; readonly wide?: boolean } = {},
  ): void {
    const rng = this.rng
    const bytes = this.bytes
    const memory = options.memory ?? rng.chance(1, 3)
    const rm = memory ? 3 : this.register()
    const wide = options.wide ?? rng.chance(1, 2)
    if (this.bits === 16) {
      if (memory) bytes.push(PREFIX_ADDRESS)
      if (wide && options.wide === undefined) bytes.push(PREFIX_OPERAND)
    }
    // FS, and addresses of 32 bits, which 64-bit code truncates.
    if (memory && rng.chance(1, 10)) bytes.push(this.isLong && rng.chance(1, 2) ? PREFIX_ADDRESS : 0x64)
    if (this.isLong) {
      const rex = (wide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (!memory && rm >= 8 ? 1 : 0)
      if (rex !== 0 || rng.chance(1, 8)) bytes.push(0x40 | rex)
    }
    bytes.push(...opcode)
    if (!memory) {
      bytes.push(0xc0 | ((reg & 7) << 3) | (rm & 7))
      return
    }
    if (this.index === undefined) bytes.push(0x40 | ((reg & 7) << 3) | 3)
    else bytes.push(0x40 | ((reg & 7) << 3) | 4, (rng.below(4) << 6) | (this.index << 3) | 3)
    // Mostly aligned, sometimes across the end of the page, seldom a device.
    bytes.push(rng.chance(1, 6) ? 0x3b + rng.below(5) : 8 * rng.below(7))
  }
}
