/** Random operations on a GICv3, for two boards to agree on. */
import type { Rng } from '@retrap/tooling/soak'
import * as gic from '../../src/gic/index.ts'
import { DISTRIBUTOR, ISR_EL1, REDISTRIBUTORS, type Operation } from './operations.ts'

/** Interrupts that take part: few, so that they meet; the first and last of each kind are among them. */
const INTIDS = [0, 1, 15, 16, 27, 31, 32, 33, 34, 63, 64, 256, 287]
const SHARED = INTIDS.filter((intid) => intid >= 32)
const REGISTERS = [
  gic.ICC_PMR_EL1,
  gic.ICC_HPPIR0_EL1,
  gic.ICC_HPPIR1_EL1,
  gic.ICC_RPR_EL1,
  gic.ICC_BPR0_EL1,
  gic.ICC_BPR1_EL1,
  gic.ICC_CTLR_EL1,
  gic.ICC_SRE_EL1,
  gic.ICC_IGRPEN0_EL1,
  gic.ICC_IGRPEN1_EL1,
  gic.ICC_AP0R0_EL1,
  gic.ICC_AP1R0_EL1,
]
const BIT_REGISTERS = [0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380]

/** The frame and offset of an interrupt's registers, seen by a processor. */
const frameOf = (cpu: number, intid: number): number =>
  intid < 32 ? REDISTRIBUTORS + 0x2_0000 * cpu + 0x1_0000 : DISTRIBUTOR

/** Makes operations. */
export class RandomGicV3 {
  readonly #rng: Rng
  readonly #cpus: number

  constructor(rng: Rng, cpus: number) {
    this.#rng = rng
    this.#cpus = cpus
  }

  /** Operations from power-on, of which the first ones enable most. */
  operations(): Operation[] {
    const rng = this.#rng
    const list: Operation[] = []
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      list.push(this.#store(cpu, REDISTRIBUTORS + 0x2_0000 * cpu + 0x14, 4, 0))
      list.push(
        this.#msr(cpu, gic.ICC_PMR_EL1, 0xf0),
        this.#msr(cpu, gic.ICC_IGRPEN0_EL1, 1),
        this.#msr(cpu, gic.ICC_IGRPEN1_EL1, 1),
      )
    }
    list.push(this.#store(0, DISTRIBUTOR, 4, 3))
    for (const intid of INTIDS) {
      for (let cpu = 0; cpu < (intid < 32 ? this.#cpus : 1); cpu++) {
        list.push(this.#store(cpu, frameOf(cpu, intid) + 0x400 + intid, 1, 8 * rng.below(32)))
      }
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      list.push(
        this.#store(cpu, frameOf(cpu, 0) + 0x80, 4, rng.u32()),
        this.#store(cpu, frameOf(cpu, 0) + 0x100, 4, rng.chance(3, 4) ? 0xffff_ffff : rng.u32()),
      )
    }
    for (let n = 1; n < 9; n++) {
      list.push(
        this.#store(0, DISTRIBUTOR + 0x80 + 4 * n, 4, rng.u32()),
        this.#store(0, DISTRIBUTOR + 0x100 + 4 * n, 4, rng.chance(3, 4) ? 0xffff_ffff : rng.u32()),
      )
    }
    for (let left = rng.between(20, 200); left > 0; left--) {
      list.push(...this.#any())
      const cpu = rng.below(this.#cpus)
      list.push(this.#mrs(cpu, ISR_EL1))
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      list.push(...[...REGISTERS, ISR_EL1].map((encoding) => this.#mrs(cpu, encoding)))
      for (const offset of BIT_REGISTERS) list.push(this.#load(cpu, frameOf(cpu, 0) + offset, 4))
    }
    for (let n = 1; n < 9; n++)
      for (const offset of BIT_REGISTERS) list.push(this.#load(0, DISTRIBUTOR + offset + 4 * n, 4))
    return list
  }

  #any(): Operation[] {
    const rng = this.#rng
    const cpu = rng.below(this.#cpus)
    const intid = rng.pick(INTIDS)
    switch (rng.below(16)) {
      case 0:
      case 1:
      case 2:
        return intid < 16
          ? [this.#sgi(cpu)]
          : [{ kind: 'line', cpu: intid < 32 ? cpu : 0, intid, level: rng.chance(2, 3) }]
      case 3:
      case 4:
        return Array.from({ length: this.#cpus }, (_, each) => [
          this.#mrs(each, gic.ICC_IAR1_EL1),
          this.#mrs(each, gic.ICC_IAR0_EL1),
        ]).flat()
      case 5:
      case 6:
        return [
          this.#msr(
            cpu,
            rng.pick([gic.ICC_EOIR1_EL1, gic.ICC_EOIR0_EL1]),
            rng.chance(1, 8) ? rng.pick([256, 1020, 1023, 5000]) : intid,
          ),
        ]
      case 7:
        return [this.#msr(cpu, gic.ICC_DIR_EL1, intid)]
      case 8:
        return [this.#sgi(cpu)]
      case 9:
        return [this.#control(cpu)]
      case 10:
        return [this.#mrs(cpu, rng.pick(REGISTERS))]
      case 11:
        return [this.#store(cpu, frameOf(cpu, intid) + 0x400 + intid, 1, 8 * rng.below(32))]
      case 12:
        return this.#route()
      case 13:
        return [this.#odd(cpu)]
      default:
        return this.#bits(cpu, intid)
    }
  }

  #control(cpu: number): Operation {
    const rng = this.#rng
    switch (rng.below(9)) {
      case 0:
        return this.#msr(cpu, gic.ICC_PMR_EL1, rng.below(256))
      case 1:
        return this.#msr(cpu, gic.ICC_BPR0_EL1, rng.below(8))
      case 2:
        return this.#msr(cpu, gic.ICC_BPR1_EL1, rng.below(8))
      case 3:
        return this.#msr(cpu, gic.ICC_CTLR_EL1, rng.below(4))
      case 4:
        return this.#msr(cpu, rng.pick([gic.ICC_IGRPEN0_EL1, gic.ICC_IGRPEN1_EL1]), rng.chance(1, 4) ? 0 : 1)
      case 5:
        return this.#store(cpu, DISTRIBUTOR, 4, rng.chance() ? 3 : rng.u32())
      case 6:
        return this.#msr(cpu, gic.ICC_SRE_EL1, rng.below(8))
      default:
        return this.#msr(cpu, rng.pick([gic.ICC_AP0R0_EL1, gic.ICC_AP1R0_EL1]), rng.chance() ? 0 : 1 << rng.below(32))
    }
  }

  #sgi(cpu: number): Operation {
    const rng = this.#rng
    const register = rng.pick([gic.ICC_SGI1R_EL1, gic.ICC_SGI0R_EL1, gic.ICC_ASGI1R_EL1])
    const affinities = rng.chance(1, 8) ? BigInt(rng.pick([1, 255])) << BigInt(rng.pick([16, 32, 48])) : 0n
    const all = rng.chance(1, 4) ? 1n << 40n : 0n
    const value = (BigInt(rng.pick([0, 1, 15])) << 24n) | BigInt(rng.below(1 << this.#cpus)) | affinities | all
    return { kind: 'system', cpu, encoding: register, write: true, value }
  }

  #bits(cpu: number, intid: number): Operation[] {
    const rng = this.#rng
    const at = frameOf(cpu, intid)
    if (rng.chance(1, 8)) {
      const trigger = at + 0xc00 + (intid >> 4) * 4
      // The trigger of an interrupt may only be changed while that is disabled: IHI 0069, GICD_ICFGR<n>.
      const disable = this.#store(cpu, at + 0x180 + (intid >> 5) * 4, 4, 0xffff_ffff)
      return rng.chance() ? [disable, this.#store(cpu, trigger, 4, rng.u32())] : [this.#load(cpu, trigger, 4)]
    }
    const address = at + rng.pick(BIT_REGISTERS) + (intid >> 5) * 4
    if (rng.chance(1, 4)) return [this.#load(cpu, address, 4)]
    return [this.#store(cpu, address, 4, rng.chance(1, 8) ? rng.u32() : 2 ** (intid & 31))]
  }

  #route(): Operation[] {
    const rng = this.#rng
    const at = DISTRIBUTOR + 0x6000 + 8 * rng.pick(SHARED)
    const aff0 = rng.below(this.#cpus + 1)
    const list: Operation[] = []
    switch (rng.below(3)) {
      case 0:
        list.push(this.#store(0, at, 4, aff0))
        break
      case 1:
        list.push(this.#store(0, at + 4, 4, rng.chance(1, 4) ? 1 : 0))
        break
      default: {
        const value = BigInt(aff0) | (rng.chance(1, 8) ? 0x100n : 0n)
        list.push({ kind: 'memory', cpu: 0, address: at, size: 8, write: true, value })
      }
    }
    return [...list, this.#load(0, at, 4), this.#load(0, at + 4, 4), this.#load(0, at, 8)]
  }

  /** An access that the manual does not provide for, or one without effect. */
  #odd(cpu: number): Operation {
    const rng = this.#rng
    const size = rng.pick([1, 2, 4, 8] as const)
    const base = rng.pick([DISTRIBUTOR, REDISTRIBUTORS + 0x2_0000 * cpu, REDISTRIBUTORS + 0x2_0000 * cpu + 0x1_0000])
    const offset = rng.pick([
      0x8, 0xc, 0x84, 0x104, 0x800, 0x820, 0xd04, 0xe04, 0xf00, 0xf10, 0x1000, 0x6000, 0xffe8, 0xfff0,
    ])
    if ((offset & (size - 1)) !== 0) return this.#load(cpu, base + 0xffe8, 4)
    return rng.chance() ? this.#load(cpu, base + offset, size) : this.#store(cpu, base + offset, size, rng.u32())
  }

  #load(cpu: number, address: number, size: 1 | 2 | 4 | 8): Operation {
    return { kind: 'memory', cpu, address, size, write: false, value: 0n }
  }

  #store(cpu: number, address: number, size: 1 | 2 | 4 | 8, value: number): Operation {
    return { kind: 'memory', cpu, address, size, write: true, value: BigInt(value >>> 0) }
  }

  #mrs(cpu: number, encoding: number): Operation {
    return { kind: 'system', cpu, encoding, write: false, value: 0n }
  }

  #msr(cpu: number, encoding: number, value: number): Operation {
    return { kind: 'system', cpu, encoding, write: true, value: BigInt(value >>> 0) }
  }
}
