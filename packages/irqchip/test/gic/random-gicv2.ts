/** Random operations on a GICv2, for two boards to agree on. */
import type { Rng } from '@retrap/tooling/soak'
import { DISTRIBUTOR, INTERFACES, ISR_EL1, type Operation } from './operations.ts'

const INTIDS = [16, 27, 31, 32, 33, 34, 63, 64, 256, 287]
const CTLR = 0x00
const IAR = 0x0c
const EOIR = 0x10
const DIR = 0x1000
const SHOWN = [CTLR, 0x04, 0x08, 0x14, 0x18, 0x1c]

/** Makes operations. QEMU's GIC strays from the manual where the comments say; such cases are not made. */
export class RandomGicV2 {
  readonly #rng: Rng
  readonly #cpus: number
  readonly #list: Operation[] = []
  readonly #up = new Set<string>()
  /** Processors that shared interrupts go to. QEMU has the active state of these for each: they have one, and keep it. */
  readonly #owner = new Map<number, number>()

  constructor(rng: Rng, cpus: number) {
    this.#rng = rng
    this.#cpus = cpus
  }

  operations(): Operation[] {
    const rng = this.#rng
    for (let n = 0; n < 9; n++) {
      // QEMU has the triggers of PPIs once for all processors.
      const triggers = rng.u32()
      for (let cpu = 0; cpu < (n === 0 ? this.#cpus : 1); cpu++) {
        this.#store(cpu, DISTRIBUTOR + 0x80 + 4 * n, rng.u32())
        this.#store(cpu, DISTRIBUTOR + 0x100 + 4 * n, rng.chance(3, 4) ? 0xffff_ffff : rng.u32())
        this.#store(cpu, DISTRIBUTOR + 0xc04 + 8 * n, triggers)
      }
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      // A reset of QEMU's leaves the active priorities.
      for (const offset of [0xd0, 0xe0]) {
        for (let word = 0; word < 4; word++) this.#store(cpu, INTERFACES + offset + 4 * word, 0)
      }
      // QEMU compares the priority of a group with the whole one that runs: both groups have the same binary point.
      const point = rng.between(2, 6)
      this.#store(cpu, INTERFACES + 0x08, point)
      this.#store(cpu, INTERFACES + 0x1c, point + 1)
      this.#store(cpu, INTERFACES + 0x04, 0xf8)
      this.#store(cpu, INTERFACES + CTLR, 3 | (rng.below(8) << 2) | (rng.chance() ? 0x200 : 0))
      for (let intid = 0; intid < 32; intid += 5) this.#store(cpu, DISTRIBUTOR + 0x400 + intid, 8 * rng.below(32), 1)
    }
    for (const intid of INTIDS) {
      if (intid < 32) continue
      this.#store(0, DISTRIBUTOR + 0x400 + intid, 8 * rng.below(32), 1)
      this.#targets(intid)
    }
    this.#store(0, DISTRIBUTOR, 3)
    for (let left = rng.between(20, 150); left > 0; left--) {
      this.#any()
      for (let cpu = 0; cpu < this.#cpus; cpu++)
        this.#list.push({ kind: 'system', cpu, encoding: ISR_EL1, write: false, value: 0n })
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      for (const offset of SHOWN) this.#load(cpu, INTERFACES + offset)
      for (const offset of [0x80, 0x100, 0x200, 0x300, 0x400, 0x800, 0xc04, 0xf10, 0xf20])
        this.#load(cpu, DISTRIBUTOR + offset)
    }
    for (let n = 1; n < 9; n++)
      for (const offset of [0x80, 0x100, 0x200, 0x300]) this.#load(0, DISTRIBUTOR + offset + 4 * n)
    for (const offset of [0, 4, 8, 0xfe0, 0xfe8]) this.#load(0, DISTRIBUTOR + offset)
    return this.#list
  }

  #any(): void {
    const rng = this.#rng
    const cpu = rng.below(this.#cpus)
    const intid = rng.pick(INTIDS)
    switch (rng.below(15)) {
      case 0:
      case 1:
      case 2:
        this.#line(cpu, intid)
        break
      case 3:
      case 4:
      case 5:
        for (let each = 0; each < this.#cpus; each++) this.#load(each, INTERFACES + IAR)
        break
      case 6:
      case 7:
        this.#store(cpu, INTERFACES + EOIR, rng.chance(1, 8) ? rng.pick([1023, 600]) : this.#taken(cpu))
        break
      case 8:
        this.#store(cpu, INTERFACES + DIR, this.#taken(cpu))
        break
      case 9:
      case 10:
        this.#store(cpu, DISTRIBUTOR + 0xf00, (rng.below(3) << 24) | (rng.below(1 << this.#cpus) << 16) | rng.below(16))
        break
      case 11:
        this.#control(cpu)
        break
      case 12:
        this.#store(cpu, DISTRIBUTOR + 0x400 + intid, 8 * rng.below(32), 1)
        break
      case 13: {
        const sgi = rng.below(16)
        // QEMU stops with an assertion where an SGI has no sender.
        this.#store(cpu, DISTRIBUTOR + rng.pick([0xf10, 0xf20]) + sgi, rng.between(1, (1 << this.#cpus) - 1), 1)
        this.#load(cpu, DISTRIBUTOR + 0xf10 + sgi, 1)
        break
      }
      default:
        this.#bits(cpu, intid)
    }
  }

  #line(cpu: number, intid: number): void {
    const level = this.#rng.chance(2, 3)
    const key = intid < 32 ? `${cpu}:${intid}` : `${intid}`
    if (level) this.#up.add(key)
    else this.#up.delete(key)
    this.#list.push({ kind: 'line', cpu: intid < 32 ? cpu : 0, intid, level })
  }

  #control(cpu: number): void {
    const rng = this.#rng
    switch (rng.below(3)) {
      case 0:
        this.#store(cpu, INTERFACES + 0x04, rng.chance() ? 0xff : rng.below(256))
        break
      case 1:
        // QEMU takes an interrupt of a group that one of the registers disables for one that masks the other group's.
        this.#store(
          cpu,
          INTERFACES + CTLR,
          (rng.chance(7, 8) ? 3 : 0) | (rng.below(4) << 2) | (rng.chance() ? 0x200 : 0),
        )
        break
      default:
        this.#store(cpu, DISTRIBUTOR, rng.chance(3, 4) ? 3 : 0)
    }
  }

  #targets(intid: number): void {
    const cpu = this.#rng.below(this.#cpus)
    this.#owner.set(intid, cpu)
    this.#store(0, DISTRIBUTOR + 0x800 + intid, 1 << cpu, 1)
    this.#load(0, DISTRIBUTOR + 0x800 + intid, 1)
  }

  /** An interrupt that a processor may have taken. */
  #taken(cpu: number): number {
    const rng = this.#rng
    const intid = rng.pick(INTIDS)
    return rng.chance() || (this.#owner.get(intid) ?? cpu) !== cpu ? rng.below(16) : intid
  }

  #bits(cpu: number, intid: number): void {
    const rng = this.#rng
    const bit = 2 ** (intid & 31)
    const at = DISTRIBUTOR + 4 * (intid >> 5)
    const isUp = this.#up.has(intid < 32 ? `${cpu}:${intid}` : `${intid}`)
    // QEMU latches a level-sensitive interrupt that is enabled while its input is up, and has no pending writes for PPIs.
    const registers = [0x180, 0x380, ...(isUp ? [] : [0x100]), ...(intid < 32 ? [0x300] : [0x200, 0x280])]
    this.#store(cpu, at + rng.pick(registers), bit)
    this.#load(cpu, at + 0x200)
    this.#load(cpu, at + 0x300)
  }

  #load(cpu: number, address: number, size: 1 | 4 = 4): void {
    this.#list.push({ kind: 'memory', cpu, address, size, write: false, value: 0n })
  }

  #store(cpu: number, address: number, value: number, size: 1 | 4 = 4): void {
    this.#list.push({ kind: 'memory', cpu, address, size, write: true, value: BigInt(value >>> 0) })
  }
}
