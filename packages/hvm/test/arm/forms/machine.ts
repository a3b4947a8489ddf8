/** A machine that executes one instruction at EL1 or EL0, at pages that are a device's or RAM. */
import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { defineDevice, type Word64 } from '@retrap/device'
import { TEST_JIT } from '@retrap/tooling/jit'
import type { ArmDomain } from '../../../src/arm/index.ts'
import { bareDomain } from '../../support/arm-guest.ts'
import { AROUND, type FormCase } from './cases.ts'
import * as L from './layout.ts'
import { guestImage } from './layout.ts'
import { words } from './layout.ts'
import type { TestPage } from './layout.ts'

/** SVC #0x77, which follows the instruction. */
const END = 0xd400_0ee1

const DEADLINE_MS = 60_000
/** More instructions than there are. */
const BUDGET = 10_000

/** What a run has come to. */
export interface Outcome {
  /** Registers that are not as before, and those of an exception, by name. */
  readonly registers: ReadonlyMap<string, bigint>
  /** The bytes around the border. */
  readonly contents: Uint8Array
  /** The device's accesses, in order. */
  readonly log: readonly string[]
}

/** How the device answers: at once; later, and the domain waits; or something happens at an access that waits. */
export type Answers =
  | { readonly kind: 'at once' }
  /** Those accesses later whose number the set has; absent: all. */
  | { readonly kind: 'later'; readonly which?: ReadonlySet<number> }
  /** At this access the machine is stopped and settled, as for a snapshot; all later ones are answered later too. */
  | { readonly kind: 'settle'; readonly at: number }
  /** At this access the machine is reset, and begins again; the answer comes in the middle of what follows. */
  | { readonly kind: 'reset'; readonly at: number }

/** The machine. Made once, used for many cases. */
export class FormMachine {
  readonly #domain: ArmDomain
  readonly #device: Uint8Array | undefined
  readonly #log: string[] = []
  #answers: Answers = { kind: 'at once' }
  #accesses = 0
  #reached = false
  /** Gives the answer that was asked for before the reset. */
  #late: (() => void) | undefined

  /** @param hasDevice - without it there is RAM in its place */
  constructor(hasDevice: boolean) {
    const domain = bareDomain(TEST_JIT === false ? {} : { jit: TEST_JIT })
    this.#domain = domain
    domain.p2m.populate(L.RAM / 4096, L.RAM_PAGES)
    if (!hasDevice) domain.p2m.populate(L.DEVICE / 4096, L.DEVICE_PAGES)
    else {
      this.#device = new Uint8Array(L.DEVICE_PAGES * 4096)
      this.#attach(new DataView(this.#device.buffer))
    }
    for (const { gpa, bytes } of guestImage()) domain.guestMemory.write(gpa, bytes)
  }

  #attach(view: DataView): void {
    this.#domain.attach(
      defineDevice({
        name: 'bytes',
        stateless: true,
        mmio: { base: L.DEVICE, size: L.DEVICE_PAGES * 4096, maximumAccess: 8 },
        read: (offset, size) => {
          const value =
            size === 1
              ? view.getUint8(offset)
              : size === 2
                ? view.getUint16(offset, true)
                : view.getUint32(offset, true)
          return this.#answer(`r${offset.toString(16)}:${size}`, value)
        },
        write: (offset, size, value) => {
          if (size === 1) view.setUint8(offset, value)
          else if (size === 2) view.setUint16(offset, value, true)
          else view.setUint32(offset, value, true)
          return this.#answer(`w${offset.toString(16)}:${size}=${value.toString(16)}`, undefined)
        },
        read64: (offset, into: Word64) => {
          const [lo, hi] = [view.getUint32(offset, true), view.getUint32(offset + 4, true)]
          const answered = this.#answer(`r${offset.toString(16)}:8`, undefined)
          const give = (): void => void Object.assign(into, { lo, hi })
          return answered === undefined ? give() : answered.then(give)
        },
        write64: (offset, lo, hi) => {
          view.setUint32(offset, lo, true)
          view.setUint32(offset + 4, hi, true)
          return this.#answer(`w${offset.toString(16)}:8=${hi.toString(16)},${lo.toString(16)}`, undefined)
        },
      }),
    )
  }

  #answer<T>(access: string, value: T): T | Promise<T> {
    this.#log.push(access)
    const number = this.#accesses++
    const answers = this.#answers
    if (answers.kind === 'at once') return value
    if (answers.kind === 'later') {
      return answers.which?.has(number) === false ? value : Promise.resolve(value)
    }
    if (number < answers.at) return value
    this.#reached = true
    if (answers.kind === 'settle' || number > answers.at) return Promise.resolve(value)
    const { promise, resolve } = Promise.withResolvers<T>()
    this.#late = () => resolve(value)
    return promise
  }

  async run(each: FormCase, answers: Answers): Promise<Outcome> {
    this.#begin(each)
    this.#answers = answers
    this.#accesses = 0
    this.#reached = false
    if (answers.kind === 'settle' || answers.kind === 'reset') await this.#interrupt(each, answers)
    const exit = await this.#domain.run()
    if (exit.reason !== 'power-off') throw new Error(`${each.text}: it ended by ${inspect(exit, { depth: 4 })}`)
    return { registers: this.#registers(each), contents: this.#contents(each), log: this.#log.slice() }
  }

  /** Comes to the access, and has it disturbed. */
  async #interrupt(each: FormCase, { kind }: Answers): Promise<void> {
    const domain = this.#domain
    const vcpu = domain.vcpus[0]!
    // Accesses of 8 bytes take a turn of the event loop, even if the model answers at once.
    let exit = domain.runVcpu(vcpu, BUDGET)
    for (; exit.reason === 'blocked' && !this.#reached; exit = domain.runVcpu(vcpu, BUDGET)) await setImmediate()
    // The device may not be reached: something else ends the instruction.
    if (!this.#reached) return
    if (exit.reason !== 'blocked') throw new Error(`${each.text}: ${exit.reason}, and an answer is owed`)
    if (kind === 'settle') {
      await domain.settle(DEADLINE_MS)
      return
    }
    this.#answers = { kind: 'later' }
    this.#begin(each)
    // The answer of before the reset comes while the new one is waited for.
    domain.runVcpu(vcpu, BUDGET)
    this.#late?.()
    this.#late = undefined
  }

  #begin(each: FormCase): void {
    const domain = this.#domain
    domain.reset()
    this.#log.length = 0
    domain.guestMemory.write(L.CODE_GPA, words(...each.code, END))
    const [before, after] = each.pages
    this.#write(before, 4096 - AROUND, each.contents.subarray(0, AROUND))
    this.#write(after, 0, each.contents.subarray(AROUND))
    const { registers } = domain.vcpus[0]!.processor
    registers.set('vbar_el1', BigInt(L.VECTORS))
    registers.set('cpacr_el1', 3n << 20n)
    registers.set('mair_el1', L.MAIR)
    registers.set('tcr_el1', L.TCR)
    registers.set('ttbr0_el1', L.TTBR0)
    registers.set('sctlr_el1', each.sctlr)
    registers.pc = BigInt(L.CODE)
    for (let i = 0; i < 31; i++) registers.setX(i, each.x[i]!)
    for (let i = 0; i < 32; i++) registers.setV(i, each.v[i]!)
    registers.pstate = (each.pstate & 0x0fff_ffff) >>> 0
    registers.nzcv = each.pstate & 0xf000_0000
    registers.sp = each.sp
  }

  #isDevice({ kind }: TestPage): boolean {
    return this.#device !== undefined && (kind === 'device' || kind === 'read-only')
  }

  #write(page: TestPage, offset: number, bytes: Uint8Array): void {
    if (page.kind === 'hole' || page.kind === 'unmapped') return
    if (this.#isDevice(page)) this.#device!.set(bytes, page.gpa - L.DEVICE + offset)
    else this.#domain.guestMemory.write(page.gpa + offset, bytes)
  }

  #read(page: TestPage, offset: number, into: Uint8Array): void {
    if (page.kind === 'hole' || page.kind === 'unmapped') return
    const at = page.gpa - L.DEVICE + offset
    if (this.#isDevice(page)) into.set(this.#device!.subarray(at, at + into.length))
    else this.#domain.guestMemory.read(page.gpa + offset, into)
  }

  #contents({ pages: [before, after] }: FormCase): Uint8Array {
    const bytes = new Uint8Array(2 * AROUND)
    this.#read(before, 4096 - AROUND, bytes.subarray(0, AROUND))
    this.#read(after, 0, bytes.subarray(AROUND))
    return bytes
  }

  #registers(each: FormCase): Map<string, bigint> {
    const { registers } = this.#domain.vcpus[0]!.processor
    const found = new Map<string, bigint>()
    for (const name of ['esr_el1', 'elr_el1', 'far_el1', 'spsr_el1', 'sp_el0', 'sp_el1', 'par_el1'] as const) {
      found.set(name, registers.get(name))
    }
    found.set('fpsr', BigInt(registers.fpsr))
    for (let i = 0; i < 31; i++) {
      // PSCI has used X0 since.
      const value = i === 0 ? registers.get('tpidr_el1') : registers.x(i)
      if (value !== each.x[i]) found.set(`x${i}`, value)
    }
    for (let i = 0; i < 32; i++) if (registers.v(i) !== each.v[i]) found.set(`v${i}`, registers.v(i))
    return found
  }
}
