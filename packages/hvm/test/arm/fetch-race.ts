/**
 * The race of seed 003 in a machine: between a vCPU's trap and the hypervisor's fetch of its instruction, or while a device
 * takes its time, another vCPU unmaps or remaps the page of the instruction, invalidates TLBs, and gives the frame to another
 * use, which writes to it. These bytes were never code at that address: they may not be executed, though they are a load that
 * would have made the same abort.
 */
import { setImmediate } from 'node:timers/promises'
import { defineDevice, type Word64 } from '@retrap/device'
import type { Rng } from '@retrap/tooling/soak'
import { type ArmDomain, PowerState, type ArmVcpu } from '../../src/arm/index.ts'
import { bareDomain } from '../support/arm-guest.ts'
import { MAIR, RAM, TCR, TTBR0, words } from './forms/layout.ts'

const LEVEL2 = RAM + 0x1000
const LEVEL3 = RAM + 0x2000
const VECTORS = RAM + 0x3000
const OTHER = RAM + 0x4000
/** The frame that the code is in at first, and the one that it may be moved to. */
const FIRST = RAM + 0x5000
const SECOND = RAM + 0x6000
/** A device that answers at once, and one that answers later. */
const DEVICES = [0x1000_0000, 0x1001_0000] as const
/** Virtual address of the code that is raced for. */
const CODE = 0x8000_0000
/** Normal memory of EL1. */
const PAGE = 0x707n

/** PSCI CPU_OFF. */
const OFF = [0xd2b0_8000, 0xf280_0040, 0xd400_0002] as const
/** The other vCPU: STR X2, [X1]; DSB ISH; TLBI VAAE1IS, X5; DSB ISH; ISB; STR W4, [X3]. */
const RECYCLE = [0xf900_0022, 0xd503_3b9f, 0xd508_8365, 0xd503_3b9f, 0xd503_3fdf, 0xb900_0064, ...OFF] as const
/** The vector: MOVZ X13, #1. */
const ABORTED = [0xd280_002d, ...OFF] as const

/** A load that no syndrome describes: its word without registers, and what it does beside its register. */
interface Load {
  readonly word: number
  readonly log: (offset: number) => readonly string[]
  readonly writeback: number
  /** Distance of what it loads from its base. */
  readonly distance: number
}

const LOADS: readonly Load[] = [
  // LDR Xt, [Xn], #8
  { word: 0xf840_8400, log: (at) => [`r${at}:8`], writeback: 8, distance: 0 },
  // LDP Xt, X30, [Xn]
  { word: 0xa940_7800, log: (at) => [`r${at}:8`, `r${at + 8}:8`], writeback: 0, distance: 0 },
  // LDADD X1, Xt, [Xn]
  { word: 0xf821_0000, log: (at) => [`r${at}:8`, `w${at}:8`], writeback: 0, distance: 0 },
  // LDR Wt, [Xn, #4]!
  { word: 0xb840_4c00, log: (at) => [`r${at + 4}:4`], writeback: 4, distance: 4 },
]

/** Registers that are loaded: by the instruction of the first frame, of the second, and by bytes that are none. */
const [MINE, MOVED, POISON] = [10, 11, 12] as const
const BASE = 20
/** What the devices hold. */
const VALUE = 0x77
const FLAG = 13

/** When the other vCPU acts. */
export const POINTS = ['trapped', 'translated', 'read', 'pending'] as const

export interface Round {
  /** What is wrong. */
  readonly problem: string | undefined
  /** The other vCPU has acted, and when. */
  readonly acted: (typeof POINTS)[number] | undefined
  /** How the instruction ended. */
  readonly end: string
}

/** The machine, for many rounds. */
export class FetchRace {
  /** Told when the other vCPU has acted within the fetch. */
  onActed: (() => void) | undefined
  readonly #domain: ArmDomain
  readonly #log: string[] = []
  #point: (typeof POINTS)[number] | undefined
  #acted: (typeof POINTS)[number] | undefined
  #act: () => void = () => {}

  constructor() {
    const domain = bareDomain({ vcpus: 2 })
    this.#domain = domain
    domain.p2m.populate(RAM / 4096, 16)
    this.#attach(DEVICES[0], false)
    this.#attach(DEVICES[1], true)
    this.#watch()
    domain.reset()
    const level1 = BigUint64Array.of(0x401n | (3n << 53n), BigInt(RAM) | 0x705n, BigInt(LEVEL2) | 3n)
    this.#write(RAM, new Uint8Array(level1.buffer))
    this.#write(LEVEL2, new Uint8Array(BigUint64Array.of(BigInt(LEVEL3) | 3n).buffer))
    this.#write(VECTORS + 0x200, words(...ABORTED))
    this.#write(OTHER, words(...RECYCLE))
    for (const vcpu of domain.vcpus) {
      const { registers } = vcpu.processor
      registers.set('vbar_el1', BigInt(VECTORS))
      registers.set('mair_el1', MAIR)
      registers.set('tcr_el1', TCR)
      registers.set('ttbr0_el1', TTBR0)
      registers.set('sctlr_el1', 0x30d0_1805n)
    }
  }

  #write(gpa: number, bytes: Uint8Array): void {
    this.#domain.guestMemory.write(gpa, bytes)
  }

  #attach(base: number, later: boolean): void {
    const seen = (access: string): void | Promise<void> => {
      this.#log.push(access)
      return later ? Promise.resolve() : undefined
    }
    const read64 = (offset: number, into: Word64): void | Promise<void> => {
      const give = (): void => void Object.assign(into, { lo: VALUE, hi: 1 })
      const when = seen(`r${offset}:8`)
      return when === undefined ? give() : when.then(give)
    }
    this.#domain.attach(
      defineDevice({
        name: later ? 'later' : 'at-once',
        mmio: { base, size: 0x1000, maximumAccess: 8 },
        read(offset, size) {
          const when = seen(`r${offset}:${size}`)
          return when === undefined ? VALUE : when.then(() => VALUE)
        },
        write: () => {},
        read64,
        write64: (offset) => seen(`w${offset}:8`),
      }),
    )
  }

  /** Has the other vCPU act between the steps of the fetch. */
  #watch(): void {
    const { p2m, secondLevel } = this.#domain
    const at = (point: (typeof POINTS)[number]): void => {
      if (this.#point !== point) return
      this.#actNow(point)
      if (point !== 'trapped') this.onActed?.()
    }
    const isCode = (gpa: number): boolean => gpa >= FIRST && gpa < FIRST + 4096
    const waits = secondLevel.waits.bind(secondLevel)
    secondLevel.waits = (vcpu) => {
      if (vcpu === 0) at('trapped')
      return waits(vcpu)
    }
    const regionOf = p2m.translate.bind(p2m)
    p2m.translate = (gpa) => {
      if (isCode(gpa)) at('translated')
      return regionOf(gpa)
    }
    const translate = secondLevel.translate.bind(secondLevel)
    secondLevel.translate = (gpa, vcpu) => {
      if (isCode(gpa)) at('read')
      return translate(gpa, vcpu)
    }
  }

  #actNow(point: (typeof POINTS)[number]): void {
    this.#point = undefined
    this.#acted = point
    this.#act()
  }

  #start(vcpu: ArmVcpu, pc: number, x: Readonly<Record<number, bigint>>): void {
    const { registers } = vcpu.processor
    vcpu.power = PowerState.ON
    registers.pc = BigInt(pc)
    for (const [number, value] of Object.entries(x)) registers.setX(Number(number), value)
  }

  async round(rng: Rng): Promise<Round> {
    const domain = this.#domain
    const [vcpu, other] = domain.vcpus as readonly [ArmVcpu, ArmVcpu]
    const point = rng.pick(POINTS)
    const later = point === 'pending' || rng.chance(1, 8)
    const offset = 8 * rng.below(64)
    const kind = rng.below(LOADS.length)
    const same = LOADS.filter(({ distance }) => distance === LOADS[kind]!.distance)
    const moved = rng.chance() ? rng.pick(LOADS) : undefined
    const [mine, poison] = [LOADS[kind]!, rng.pick(same)]
    const wordOf = ({ word }: Load, register: number): number => (word | (BASE << 5) | register) >>> 0
    this.#write(FIRST, words(wordOf(mine, MINE), ...OFF))
    if (moved !== undefined) this.#write(SECOND, words(wordOf(moved, MOVED), ...OFF))
    this.#write(LEVEL3, new Uint8Array(BigUint64Array.of(BigInt(FIRST) | PAGE).buffer))
    vcpu.processor.flushTlb()
    const base = BigInt(DEVICES[later ? 1 : 0] + offset)
    this.#start(vcpu, CODE, { 1: 3n, [MINE]: 0n, [MOVED]: 0n, [POISON]: 0n, [FLAG]: 0n, 30: 0n, [BASE]: base })
    this.#log.length = 0
    this.#acted = undefined
    this.#act = () => {
      const entry = moved === undefined ? 0n : BigInt(SECOND) | PAGE
      const word = BigInt(wordOf(poison, POISON))
      this.#start(other, OTHER, { 1: BigInt(LEVEL3), 2: entry, 3: BigInt(FIRST), 4: word, 5: BigInt(CODE) >> 12n })
      other.cpu.run(1000)
    }
    this.#point = point
    for (let tries = 0; vcpu.power === PowerState.ON; tries++) {
      if (tries === 100) return { problem: `no end after ${tries} turns`, acted: this.#acted, end: '' }
      const exit = domain.runVcpu(vcpu, 1000)
      if (exit.reason !== 'blocked') continue
      if (this.#point === 'pending') this.#actNow('pending')
      await (tries < 20 ? Promise.resolve() : setImmediate())
    }
    this.#point = undefined
    const end = this.#end(vcpu, base)
    const found = `${end}: ${this.#log.join(' ')}`
    const legal = [this.#expected(mine, MINE, offset)]
    if (this.#acted !== undefined && this.#acted !== 'pending') {
      legal.push(moved === undefined ? 'aborted: ' : this.#expected(moved, MOVED, offset))
    }
    const problem = legal.includes(found)
      ? undefined
      : `${found}, not ${legal.join(' or ')}, by one who has ${this.#acted}`
    return { problem, acted: this.#acted, end }
  }

  #expected(load: Load, register: number, offset: number): string {
    return `x${register} and ${load.writeback}: ${load.log(offset).join(' ')}`
  }

  /** Which instruction was executed: by the register that it has loaded, and how far its base has moved. */
  #end({ processor: { registers } }: ArmVcpu, base: bigint): string {
    const loaded = [MINE, MOVED, POISON].filter((register) => registers.x(register) !== 0n)
    if (loaded.length === 0 && registers.x(FLAG) === 1n) return 'aborted'
    return `x${loaded.join(', x')} and ${registers.x(BASE) - base}`
  }
}
