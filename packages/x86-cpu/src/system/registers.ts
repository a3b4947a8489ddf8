import type { CpuHost } from '../state/host.ts'
import { R_LENGTH } from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { ATTR_DB, ATTR_L, CR0_PE, EFER_LMA } from '../state/architecture.ts'
import type { Cpu } from './cpu.ts'

/** One vCPU's registers as system instructions see them: the state by offset, and the modes that it is in. */
export class Registers {
  readonly cpu: Cpu
  readonly host: CpuHost
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array

  constructor(cpu: Cpu) {
    this.cpu = cpu
    this.host = cpu.host
    this.u8 = cpu.u8
    this.u16 = cpu.u16
    this.u32 = cpu.u32
    this.i32 = cpu.i32
  }

  /** The 32-bit word at a state offset, unsigned. */
  get(offset: number): number {
    return this.u32[offset >>> 2]!
  }

  set(offset: number, value: number): void {
    this.u32[offset >>> 2] = value
  }

  /** Sets both words of a 64-bit field. */
  set64(offset: number, lo: number, hi: number): void {
    this.u32[offset >>> 2] = lo
    this.u32[(offset >>> 2) + 1] = hi
  }

  gpr(number: number): number {
    return this.u32[(S.S_GPR >>> 2) + 2 * number]!
  }

  gprHi(number: number): number {
    return this.u32[(S.S_GPR >>> 2) + 2 * number + 1]!
  }

  /** Writes a general register as an instruction of operand size 2, 4 or 8 does. */
  setGpr(number: number, size: number, lo: number, hi = 0): void {
    this.writeRegister(S.S_GPR + 8 * number, size, lo, hi)
  }

  /** The same for a register given by its state offset; size 1 too. */
  writeRegister(offset: number, size: number, lo: number, hi: number): void {
    if (size === 8) this.set64(offset, lo, hi)
    else if (size === 4) this.set64(offset, lo, 0)
    else if (size === 2) this.u16[offset >>> 1] = lo
    else this.u8[offset] = lo
  }

  segmentField(segment: number, field: number): number {
    return this.u32[(S.S_SEGMENTS + segment * S.SEG_BYTES + field) >>> 2]!
  }

  attributes(segment: number): number {
    return this.segmentField(segment, S.SEG_ATTRIBUTES)
  }

  get cpl(): number {
    return this.get(S.S_CPL)
  }

  get iopl(): number {
    return (this.get(S.S_EFLAGS) & S.FLAG_IOPL) >>> 12
  }

  get protectedMode(): boolean {
    return (this.get(S.S_CR0) & CR0_PE) !== 0
  }

  get v86(): boolean {
    return (this.get(S.S_EFLAGS) & S.FLAG_VM) !== 0
  }

  /** Real-address or virtual-8086 mode. */
  get realSegments(): boolean {
    return !this.protectedMode || this.v86
  }

  /** IA-32e mode: compatibility or 64-bit mode. */
  get longMode(): boolean {
    return (this.get(S.S_EFER) & EFER_LMA) !== 0
  }

  get mode64(): boolean {
    return this.longMode && (this.attributes(S.CS) & ATTR_L) !== 0
  }

  /** Bytes of the stack pointer in use: 2, 4 or 8. */
  get stackAddressSize(): number {
    return this.mode64 ? 8 : (this.attributes(S.SS) & ATTR_DB) === 0 ? 2 : 4
  }

  /** Sets RIP to the instruction that follows the current one. */
  advance(record: number): void {
    const lo = this.get(S.S_RIP) + this.cpu.memory.u8[record + R_LENGTH]!
    if (this.mode64) this.set64(S.S_RIP, lo, this.get(S.S_RIP + 4) + (lo > 0xffff_ffff ? 1 : 0))
    else this.set64(S.S_RIP, lo, 0)
  }
}
