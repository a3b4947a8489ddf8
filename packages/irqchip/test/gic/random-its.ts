/** Random LPIs and commands of an ITS, for two boards to agree on. */
import type { Rng } from '@retrap/tooling/soak'
import * as gic from '../../src/gic/index.ts'
import { DISTRIBUTOR, ISR_EL1, ITS, RAM, REDISTRIBUTORS, TRANSLATER, type Operation } from './operations.ts'

const DEVICES = RAM
const COLLECTIONS = RAM + 0x1_0000
const QUEUE = RAM + 0x2_0000
const CONFIGURATION = RAM + 0x3_0000
const PENDING = RAM + 0x4_0000
const SECOND_LEVEL = RAM + 0xf_0000
const TRANSLATION = RAM + 0x10_0000
const QUEUE_BYTES = 0x1000
const VALID = 1n << 63n
const INTERRUPTS = [8192, 8193, 8200, 8223, 8224, 9000, 16_383]
/** The last one is beyond a flat table of a page, and its second level is missing from the other. */
const DEVICE_IDS = [0, 0, 1, 1, 511, 600]

/** Makes operations. */
export class RandomIts {
  readonly #rng: Rng
  readonly #cpus: number
  readonly #list: Operation[] = []
  #write = 0

  constructor(rng: Rng, cpus: number) {
    this.#rng = rng
    this.#cpus = cpus
  }

  /** Operations from power-on, and RAM that is 0. */
  operations(): Operation[] {
    const rng = this.#rng
    this.#start()
    for (const device of [0, 1, 511, 600]) if (rng.chance(7, 8)) this.#mapDevice(device)
    for (let icid = 0; icid < 4; icid++) if (rng.chance(7, 8)) this.#mapCollection(icid)
    for (let i = 0; i < 12; i++) this.#mapInterrupt()
    this.#send()
    for (let left = rng.between(10, 80); left > 0; left--) this.#any()
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      for (let i = 0; i < INTERRUPTS.length; i++) {
        this.#mrs(cpu, gic.ICC_IAR1_EL1)
        this.#mrs(cpu, ISR_EL1)
        for (const intid of INTERRUPTS.slice(0, 1)) this.#msr(cpu, gic.ICC_EOIR1_EL1, intid)
      }
    }
    return this.#list
  }

  #start(): void {
    const rng = this.#rng
    for (const offset of [0x80, 0x100, 0x108]) this.#load(ITS + offset, 8)
    this.#store(DISTRIBUTOR, 4, 3n)
    for (let n = 0; n < 8192 / 8; n++) {
      let value = 0n
      for (let i = 0; i < 8; i++) {
        const intid = 8192 + 8 * n + i
        if (INTERRUPTS.includes(intid)) value |= BigInt(this.#configuration()) << BigInt(8 * i)
      }
      if (value !== 0n) this.#store(CONFIGURATION + 8 * n, 8, value)
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      const frame = REDISTRIBUTORS + 0x2_0000 * cpu
      this.#store(frame + 0x14, 4, 0n)
      this.#store(frame + 0x70, 8, BigInt(CONFIGURATION) | 13n)
      this.#store(frame + 0x78, 8, BigInt(PENDING + 0x1_0000 * cpu))
      // LPIs that a kernel before this one has left pending.
      if (rng.chance(1, 4)) this.#store(PENDING + 0x1_0000 * cpu + 1024, 1, BigInt(rng.below(4)))
      if (rng.chance(7, 8)) this.#store(frame, 4, 1n)
      this.#load(frame + 0x70, 8)
      this.#load(frame, 4)
      this.#msr(cpu, gic.ICC_PMR_EL1, 0xf0)
      this.#msr(cpu, gic.ICC_IGRPEN1_EL1, 1)
    }
    const indirect = rng.chance()
    if (indirect) this.#store(DEVICES, 8, VALID | BigInt(SECOND_LEVEL))
    this.#store(ITS + 0x100, 8, VALID | (indirect ? 1n << 62n : 0n) | BigInt(DEVICES))
    this.#store(ITS + 0x108, 8, VALID | BigInt(COLLECTIONS))
    this.#store(ITS + 0x80, 8, VALID | BigInt(QUEUE) | BigInt(QUEUE_BYTES / 4096 - 1))
    this.#store(ITS, 4, 1n)
    for (const offset of [0, 4, 8, 12, 0x88, 0x90, 0xffe0, 0xffe8]) this.#load(ITS + offset, 4)
    for (const offset of [0x80, 0x88, 0x90, 0x100, 0x108, 0x110, 0x138]) this.#load(ITS + offset, 8)
  }

  #configuration(): number {
    const rng = this.#rng
    return 8 * rng.pick([2, 2, 10, rng.below(32)]) + (rng.chance(7, 8) ? 1 : 0)
  }

  #any(): void {
    const rng = this.#rng
    const cpu = rng.below(this.#cpus)
    const device = rng.pick(DEVICE_IDS)
    const event = rng.chance(1, 8) ? rng.below(6) : rng.below(4)
    const icid = rng.chance(1, 8) ? 5 : rng.below(4)
    switch (rng.below(20)) {
      case 0:
        this.#mapDevice(device)
        break
      case 1:
        this.#mapCollection(rng.below(6))
        break
      case 2:
        this.#mapInterrupt()
        break
      case 3:
        this.#command(0x01, device, event, icid)
        break
      case 4:
      case 5:
      case 14:
        this.#command(0x03, device, event, 0)
        break
      case 6:
        this.#command(0x04, device, event, 0)
        break
      case 7:
        this.#command(0x0f, device, event, 0)
        break
      case 8: {
        const intid = rng.pick(INTERRUPTS)
        this.#store(CONFIGURATION + intid - 8192, 1, BigInt(this.#configuration()))
        this.#command(0x0c, device, event, 0)
        // A redistributor may keep what it has read until a collection of its is invalidated.
        for (let each = 0; each < this.#cpus; each++) {
          this.#queue([0x09n, 0n, VALID | (BigInt(each) << 16n) | BigInt(8 + each), 0n])
          this.#command(0x0d, 0, 0, 8 + each)
        }
        this.#send()
        break
      }
      case 9:
        this.#queue([0x0en, 0n, BigInt(cpu) << 16n, BigInt(rng.below(this.#cpus)) << 16n])
        break
      case 10:
        this.#queue([BigInt(rng.pick([0, 2, 5, 0x10, 0xff])), 0n, 0n, 0n])
        break
      case 11:
      case 12:
        this.#store(TRANSLATER, rng.chance(1, 4) ? 2 : 4, BigInt(event))
        break
      case 13:
        this.#mrs(cpu, rng.pick([gic.ICC_HPPIR1_EL1, gic.ICC_RPR_EL1]))
        break
      case 15:
        this.#msr(cpu, gic.ICC_EOIR1_EL1, rng.pick(INTERRUPTS))
        break
      default:
        this.#mrs(cpu, gic.ICC_IAR1_EL1)
    }
    if (rng.chance(3, 4)) this.#send()
    for (let each = 0; each < this.#cpus; each++) this.#mrs(each, ISR_EL1)
  }

  #mapDevice(device: number): void {
    const rng = this.#rng
    const table = BigInt(TRANSLATION + 0x1000 * DEVICE_IDS.indexOf(device))
    const valid = rng.chance(15, 16) ? VALID : 0n
    this.#queue([(BigInt(device) << 32n) | 0x08n, BigInt(rng.pick([1, 1, 2, 3, 0])), valid | table, 0n])
  }

  #mapCollection(icid: number): void {
    const rng = this.#rng
    const cpu = BigInt(rng.below(this.#cpus + (rng.chance(1, 8) ? 1 : 0)))
    this.#queue([0x09n, 0n, (rng.chance(15, 16) ? VALID : 0n) | (cpu << 16n) | BigInt(icid), 0n])
  }

  #mapInterrupt(): void {
    const rng = this.#rng
    const device = BigInt(rng.pick(DEVICE_IDS))
    const intid = BigInt(rng.chance(1, 16) ? rng.pick([0, 8191, 0x1_0000]) : rng.pick(INTERRUPTS))
    const icid = BigInt(rng.below(4))
    if (rng.chance(1, 16)) this.#queue([(device << 32n) | 0x0bn, BigInt(rng.below(4)), icid, 0n])
    else this.#queue([(device << 32n) | 0x0an, (intid << 32n) | BigInt(rng.below(4)), icid, 0n])
  }

  #command(code: number, device: number, event: number, icid: number): void {
    this.#queue([(BigInt(device) << 32n) | BigInt(code), BigInt(event), BigInt(icid), 0n])
  }

  #queue(words: readonly [bigint, bigint, bigint, bigint]): void {
    words.forEach((word, i) => this.#store(QUEUE + this.#write + 8 * i, 8, word))
    this.#write = (this.#write + 32) % QUEUE_BYTES
    // The queue must not fill.
    if (this.#rng.chance(1, 8)) this.#send()
  }

  #send(): void {
    this.#store(ITS + 0x88, this.#rng.chance() ? 4 : 8, BigInt(this.#write))
    this.#load(ITS + 0x90, 8)
  }

  #load(address: number, size: 1 | 2 | 4 | 8): void {
    this.#list.push({ kind: 'memory', cpu: 0, address, size, write: false, value: 0n })
  }

  #store(address: number, size: 1 | 2 | 4 | 8, value: bigint): void {
    this.#list.push({ kind: 'memory', cpu: 0, address, size, write: true, value })
  }

  #mrs(cpu: number, encoding: number): void {
    this.#list.push({ kind: 'system', cpu, encoding, write: false, value: 0n })
  }

  #msr(cpu: number, encoding: number, value: number): void {
    this.#list.push({ kind: 'system', cpu, encoding, write: true, value: BigInt(value) })
  }
}
