/** What a processor, or a device's wire, does to a GIC; and our own board, which performs it. */
import type { GenericTimers, GicV3 } from '../../src/gic/index.ts'

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
/** ISR_EL1: which interrupts are pending at the processor. */
export const ISR_EL1: number = (3 << 14) | (12 << 7) | (1 << 3)
const ISR_IRQ = 0x80
const ISR_FIQ = 0x40

/** Describes an operation for a person. */
export function describe(each: Operation): string {
  if (each.kind === 'line') return `input ${each.intid} of CPU ${each.cpu} ${each.level ? 'up' : 'down'}`
  const value = each.write ? ` = ${each.value.toString(16)}` : ''
  if (each.kind === 'memory') return `CPU ${each.cpu} [${each.address.toString(16)}]${each.size}${value}`
  const { encoding } = each
  const name = `S3_${(encoding >> 11) & 7}_C${(encoding >> 7) & 15}_C${(encoding >> 3) & 15}_${encoding & 7}`
  return `CPU ${each.cpu} ${name}${value}`
}

/** Our GIC, and perhaps timers, on a board like QEMU's. */
export class OurGicV3 implements Board {
  readonly #make: () => GicV3
  readonly #makeTimers: ((gic: GicV3) => GenericTimers) | undefined
  gic: GicV3
  #timers: GenericTimers | undefined

  /** @param make - makes a GIC in its power-on state */
  constructor(make: () => GicV3, makeTimers?: (gic: GicV3) => GenericTimers) {
    this.#make = make
    this.#makeTimers = makeTimers
    this.gic = make()
    this.#timers = makeTimers?.(this.gic)
  }

  reset(): void {
    this.gic = this.#make()
    this.#timers = this.#makeTimers?.(this.gic)
  }

  perform(operations: readonly Operation[]): (bigint | string)[] {
    return operations.map((each) => this.#perform(each))
  }

  #perform(each: Operation): bigint | string {
    const { gic } = this
    if (each.kind === 'line') {
      if (each.intid >= 32) gic.setLine(each.intid, each.level)
      else gic.setPpi(each.cpu, each.intid, each.level)
      return 0n
    }
    const lo = Number(each.value & 0xffff_ffffn)
    const hi = Number(each.value >> 32n)
    const into = { lo: 0, hi: 0 }
    if (each.kind === 'system') {
      if (each.encoding === ISR_EL1) {
        return BigInt((gic.irqPending(each.cpu) ? ISR_IRQ : 0) | (gic.fiqPending(each.cpu) ? ISR_FIQ : 0))
      }
      const { cpu, encoding } = each
      const isTimer = each.write
        ? this.#timers?.writeSystemRegister(cpu, encoding, lo, hi)
        : this.#timers?.readSystemRegister(cpu, encoding, into)
      const done =
        isTimer === true ||
        (each.write
          ? gic.writeSystemRegister(each.cpu, each.encoding, lo, hi)
          : gic.readSystemRegister(each.cpu, each.encoding, into))
      if (!done) return 'UNDEFINED'
    } else {
      const inRedistributors = each.address >= REDISTRIBUTORS
      const frame = inRedistributors ? gic.redistributors : gic.distributor
      const offset = each.address - (inRedistributors ? REDISTRIBUTORS : DISTRIBUTOR)
      const masked = Number(BigInt.asUintN(8 * Math.min(each.size, 4), each.value))
      if (each.size === 8 && each.write) frame.write64(offset, lo, hi)
      else if (each.size === 8) frame.read64(offset, into)
      else if (each.write) frame.write(offset, each.size, masked)
      else into.lo = frame.read(offset, each.size)
    }
    return each.write ? 0n : (BigInt(into.hi >>> 0) << 32n) | BigInt(into.lo >>> 0)
  }
}
