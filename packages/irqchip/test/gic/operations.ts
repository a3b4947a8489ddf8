/** What a processor, or a device's wire, does to a GIC; and our own board, which performs it. */
import type { GenericTimers, GicFrame, GicV2, GicV3, Its } from '../../src/gic/index.ts'

/** A load or store, an MRS or MSR, a change of an input (`cpu` counts for INTIDs below 32). */
export type Operation =
  | {
      readonly kind: 'memory'
      readonly cpu: number
      readonly address: number
      readonly size: 1 | 2 | 4 | 8
      readonly write: boolean
      readonly value: bigint
    }
  | {
      readonly kind: 'system'
      readonly cpu: number
      readonly encoding: number
      readonly write: boolean
      readonly value: bigint
    }
  | { readonly kind: 'line'; readonly cpu: number; readonly intid: number; readonly level: boolean }

/** What performs operations. */
export interface Board {
  /** Power-on state. */
  reset(): Promise<void> | void
  /** Performs operations in order. Returns what reads give, 0 for others; or which exception was taken. */
  perform(operations: readonly Operation[]): Promise<(bigint | string)[]> | (bigint | string)[]
}

export const DISTRIBUTOR = 0x0800_0000
export const REDISTRIBUTORS = 0x080a_0000
/** CPU interfaces of a GICv2. */
export const INTERFACES = 0x0801_0000
/** ISR_EL1: which interrupts are pending at the processor. */
export const ISR_EL1: number = (3 << 14) | (12 << 7) | (1 << 3)
const ISR_IRQ = 0x80
const ISR_FIQ = 0x40

export function describe(each: Operation): string {
  if (each.kind === 'line') return `input ${each.intid} of CPU ${each.cpu} ${each.level ? 'up' : 'down'}`
  const value = each.write ? ` = ${each.value.toString(16)}` : ''
  if (each.kind === 'memory') return `CPU ${each.cpu} [${each.address.toString(16)}]${each.size}${value}`
  const { encoding } = each
  const name = `S3_${(encoding >> 11) & 7}_C${(encoding >> 7) & 15}_C${(encoding >> 3) & 15}_${encoding & 7}`
  return `CPU ${each.cpu} ${name}${value}`
}

/** Guest RAM from this address on. */
export const RAM = 0x4800_0000
export const RAM_BYTES = 0x20_0000
export const ITS = 0x0808_0000
/** GITS_TRANSLATER: a write of a processor is a message of device 0. */
export const TRANSLATER: number = ITS + 0x1_0040

/** RAM of a board: accesses elsewhere fail. */
export class Ram {
  readonly bytes: Uint8Array = new Uint8Array(RAM_BYTES)

  read(address: number, into: Uint8Array): boolean {
    if (!this.#has(address, into.length)) return false
    into.set(this.bytes.subarray(address - RAM, address - RAM + into.length))
    return true
  }

  write(address: number, from: Uint8Array): boolean {
    if (!this.#has(address, from.length)) return false
    this.bytes.set(from, address - RAM)
    return true
  }

  #has(address: number, length: number): boolean {
    return address >= RAM && address + length <= RAM + RAM_BYTES
  }
}

/** Parts of our board, in their power-on state. */
export interface Parts {
  readonly gic: GicV3
  readonly timers?: GenericTimers
  readonly its?: Its
  readonly ram?: Ram
}

/** Our GIC, and perhaps more, on a board like QEMU's. */
export class OurBoard implements Board {
  readonly #make: () => Parts
  parts: Parts

  /** @param make - makes the parts of a board */
  constructor(make: () => Parts) {
    this.#make = make
    this.parts = make()
  }

  reset(): void {
    this.parts = this.#make()
  }

  perform(operations: readonly Operation[]): (bigint | string)[] {
    return operations.map((each) => this.#perform(each))
  }

  #perform(each: Operation): bigint | string {
    const { gic, timers, its, ram } = this.parts
    if (each.kind === 'line') {
      if (each.intid >= 32) gic.setLine(each.intid, each.level)
      else gic.setPpi(each.cpu, each.intid, each.level)
      return 0n
    }
    const lo = Number(each.value & 0xffff_ffffn)
    const hi = Number(each.value >> 32n)
    const into = { lo: 0, hi: 0 }
    if (each.kind === 'system') {
      const { cpu, encoding } = each
      if (encoding === ISR_EL1) {
        return BigInt((gic.irqPending(cpu) ? ISR_IRQ : 0) | (gic.fiqPending(cpu) ? ISR_FIQ : 0))
      }
      const done = each.write
        ? timers?.writeSystemRegister(cpu, encoding, lo, hi) === true || gic.writeSystemRegister(cpu, encoding, lo, hi)
        : timers?.readSystemRegister(cpu, encoding, into) === true || gic.readSystemRegister(cpu, encoding, into)
      if (!done) return 'UNDEFINED'
    } else if (each.address >= RAM) {
      const bytes = Buffer.alloc(8)
      if (each.write) {
        bytes.writeBigUInt64LE(each.value)
        ram!.write(each.address, bytes.subarray(0, each.size))
        return 0n
      }
      ram!.read(each.address, bytes.subarray(0, each.size))
      return bytes.readBigUInt64LE()
    } else if (each.address === TRANSLATER && each.write && each.size <= 4) {
      its!.translate(0, Number(BigInt.asUintN(8 * each.size, each.value)))
    } else {
      const [frame, offset] = this.#frame(each.address)
      const masked = Number(BigInt.asUintN(8 * Math.min(each.size, 4), each.value))
      if (each.size === 8 && each.write) frame.write64(offset, lo, hi)
      else if (each.size === 8) frame.read64(offset, into)
      else if (each.write) frame.write(offset, each.size, masked)
      else into.lo = frame.read(offset, each.size)
    }
    return each.write ? 0n : (BigInt(into.hi >>> 0) << 32n) | BigInt(into.lo >>> 0)
  }

  #frame(address: number): [GicFrame, number] {
    const { gic, its } = this.parts
    if (address >= REDISTRIBUTORS) return [gic.redistributors, address - REDISTRIBUTORS]
    if (address >= ITS) return [its!, address - ITS]
    return [gic.distributor, address - DISTRIBUTOR]
  }
}

/** Our GICv2, on a board like QEMU's. */
export class OurGicV2 implements Board {
  readonly #make: () => GicV2
  gic: GicV2

  /** @param make - makes a GIC in its power-on state */
  constructor(make: () => GicV2) {
    this.#make = make
    this.gic = make()
  }

  reset(): void {
    this.gic = this.#make()
  }

  perform(operations: readonly Operation[]): bigint[] {
    return operations.map((each) => BigInt(this.#perform(each)))
  }

  #perform(each: Operation): number {
    const { gic } = this
    const { cpu } = each
    if (each.kind === 'line') {
      if (each.intid >= 32) gic.setLine(each.intid, each.level)
      else gic.setPpi(cpu, each.intid, each.level)
      return 0
    }
    if (each.kind === 'system') return (gic.irqPending(cpu) ? ISR_IRQ : 0) | (gic.fiqPending(cpu) ? ISR_FIQ : 0)
    const inInterfaces = each.address >= INTERFACES
    const offset = each.address - (inInterfaces ? INTERFACES : DISTRIBUTOR)
    if (!each.write) {
      return inInterfaces ? gic.readInterface(cpu, offset, each.size) : gic.readDistributor(cpu, offset, each.size)
    }
    const value = Number(each.value)
    if (inInterfaces) gic.writeInterface(cpu, offset, each.size, value)
    else gic.writeDistributor(cpu, offset, each.size, value)
    return 0
  }
}
