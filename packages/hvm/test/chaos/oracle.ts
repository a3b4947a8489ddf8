import { AccessKind, AccessLog } from '@retrap/replay'
import type { Rng } from '@retrap/tooling/soak'
import type { Exit, Translation } from '@retrap/x86-cpu'
import { S_GPR, S_RIP, S_SCRATCH, S_XMM, saveVcpu } from '@retrap/x86-cpu'
import { Adversary } from './adversary.ts'
import { corpus } from './corpus.ts'
import type { Entry } from './corpus.ts'
import {
  BASE_16,
  CODE,
  HANDLERS,
  MODES,
  PORT,
  PORTS,
  RAM_BYTES,
  SYSTEM_PAGES,
  TABLES,
  TABLES_END,
  USER_STACK,
  WINDOW,
  WINDOW_PAGES,
  clearAccessed,
  moveToFifo,
  moveToStore,
  tablesHold,
  template,
  windowFrame,
} from './layout.ts'
import type { Mode } from './layout.ts'
import { LOGGED, describeAccess } from './devices.ts'
import { ChaosMachine } from './machine.ts'
import type { Transport } from './machine.ts'

/** More than an instruction, its prefix and a handler take, and any repetition that registers allow. */
const BUDGET = 30_000
/** Instructions that a program's next one, its prefix and a handler may be. */
const FEW = 8
/** Code that a jump has led into a device may wait without end. */
const MOST_WAITS = 3000
const ASTRAY: Exit = { reason: 'budget' }
/** Guest frames whose contents nobody but instructions changes: stacks and the window. */
const DATA_PAGES = [0xe, 0xf, 0x12, 0x14, 0x15, 0x16, 0x17] as const
const STI = 0xfb
const INTERRUPT = 0x31
/** They may set IF, for a moment at least, or go where something does. */
export const LETS_THROUGH: RegExp = /^(STI|POPF|IRET|SYSRET|SYSEXIT|JMP|CALL|RET)/
const ABSOLUTE = WINDOW + 0x1ff8

/** Where an instruction's accesses went. */
export const PLACES = ['RAM', 'MMIO', 'ports', 'RAM and MMIO', 'RAM and ports', 'all three'] as const
export type Place = (typeof PLACES)[number]

/** What has been seen, by form. */
export class Coverage {
  readonly #seen = new Map<string, number>()
  readonly #all = new Set<string>()
  instructions = 0
  replayed = 0
  passes = 0

  offer(form: string): void {
    this.#all.add(form)
  }

  note(form: string, place: Place): void {
    this.#seen.set(form, (this.#seen.get(form) ?? 0) | (1 << PLACES.indexOf(place)))
  }

  /** Forms that accesses of this kind have been seen of. */
  forms(place: Place): number {
    const bit = 1 << PLACES.indexOf(place)
    return [...this.#seen.values()].filter((bits) => (bits & bit) !== 0).length
  }

  /** Forms that have not been replayed. */
  missing(): string[] {
    return [...this.#all].filter((form) => ((this.#seen.get(form) ?? 0) & ~1) === 0)
  }

  describe(transport: string): string {
    const cells = PLACES.slice(1).map((place) => `${place} ${this.forms(place)}`)
    return `${transport}: ${this.instructions} instructions, ${this.replayed} replayed in ${this.passes} passes; forms of ${this.#all.size} with ${cells.join(', ')}; never replayed ${this.missing().length}`
  }
}

/** What is done to a machine's parts before a test that must fail. */
export type Mutation = (machine: ChaosMachine) => void

/**
 * One machine whose devices answer at once, and one whose devices take their time while an {@link Adversary} changes what
 * the waiting instruction has read. Programs run on both, an instruction at a time, and everything is compared.
 */
export class Oracle {
  readonly coverage = new Coverage()
  readonly #calm: ChaosMachine
  readonly #wild: ChaosMachine
  readonly #adversary: Adversary
  readonly #corpora: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  /** Those that access ports, and string instructions: few forms with much to go wrong. */
  readonly #strings: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  readonly #template = template()
  readonly #registers = new Uint8Array(128)
  readonly #words = new DataView(this.#registers.buffer)
  /** Data pages when the current unit began. */
  readonly #before = new Uint8Array(DATA_PAGES.length * 0x1000)
  /** Units of the wild machine that have ended since the instruction began. */
  #units = 0
  /** Page tables as the program found them. */
  readonly #tables = new Uint8Array(TABLES_END - TABLES)
  #place: Place | undefined

  /** @param transport - how the slow devices are reached */
  static async make(transport: Transport = 'promise', mutation?: Mutation): Promise<Oracle> {
    return new Oracle(await ChaosMachine.make('at once'), await ChaosMachine.make(transport), mutation)
  }

  private constructor(calm: ChaosMachine, wild: ChaosMachine, mutation: Mutation | undefined) {
    this.#calm = calm
    this.#wild = wild
    this.#adversary = new Adversary(wild)
    this.#hook()
    mutation?.(this.#wild)
    this.#corpora = { 16: this.#offered(16), 32: this.#offered(32), 64: this.#offered(64) }
    const strings = (bits: 16 | 32 | 64): readonly (readonly Entry[])[] =>
      this.#corpora[bits].filter(([entry]) =>
        /^(IN|OUT|INS[BWD]|OUTS[BWD]|(MOV|CMP|STO|LOD|SCA)S[BWDQ]) /.test((entry as Entry).form),
      )
    this.#strings = { 16: strings(16), 32: strings(32), 64: strings(64) }
    for (const bits of [16, 32, 64] as const)
      for (const [entry] of this.#corpora[bits]) this.coverage.offer((entry as Entry).form)
  }

  /** The adversary acts at every pass, and stops where the instruction reads something for the first time, or ends. */
  #hook(): void {
    const { cpu, vcpu } = this.#wild
    const { log } = cpu
    const adversary = this.#adversary
    const prototype = AccessLog.prototype
    log.beginWalk = () => {
      if (!log.replaying) adversary.undo()
      prototype.beginWalk.call(log)
    }
    // Both halves of an operand are translated before either is accessed: one that is new finds the map as it was.
    const translations = new Set<Translation>()
    const translate = vcpu.translate.bind(vcpu)
    vcpu.translate = (lo, hi, rights, into, logged) => {
      if (logged !== null) translations.add(into)
      return translate(lo, hi, rights, into, logged)
    }
    log.nextKind = () => {
      const kind = prototype.nextKind.call(log)
      if (kind < 0 && adversary.undo()) {
        const { p2m } = this.#wild.domain
        for (const each of translations) {
          each.ma = p2m.translate(each.gpa)
          each.writable = each.ma >= 0
        }
      }
      return kind
    }
    log.forEachHeldWrite = (visit) => {
      adversary.undo()
      prototype.forEachHeldWrite.call(log, visit)
    }
    log.end = () => {
      adversary.undo()
      if (this.#units++ === 0) this.#place = placeOf(log)
      prototype.end.call(log)
    }
    log.begin = () => {
      this.#remember()
      prototype.begin.call(log)
    }
    const ramAddress = vcpu.ramAddress.bind(vcpu)
    vcpu.ramAddress = (gpa) => {
      if (!log.replaying) adversary.undo()
      return ramAddress(gpa)
    }
  }

  /** Forms that the processor has. */
  #offered(bits: 16 | 32 | 64): readonly (readonly Entry[])[] {
    const mode = MODES.findIndex((m) => m.bits === bits && !m.supervisor)
    const machine = this.#calm
    return corpus(bits, ABSOLUTE).filter(([entry]) => {
      machine.ram.set(this.#template)
      machine.devices.reset()
      machine.begin(mode, false)
      this.#writeCode(machine, CODE, (entry as Entry).bytes)
      machine.cpu.run(BUDGET)
      return machine.cpu.u32[S_RIP >>> 2] !== HANDLERS + 6 * 16 + 1
    })
  }

  async close(): Promise<void> {
    await this.#wild.close()
  }

  /** What has been seen, in a line. */
  describe(): string {
    return this.coverage.describe(this.#wild.transport)
  }

  /** Some instructions from one initial state. @returns what differs, or undefined */
  async program(rng: Rng, instructions: number): Promise<string | undefined> {
    const number = rng.below(MODES.length)
    const mode = MODES[number] as Mode
    const entries = this.#corpora[mode.bits]
    rng.note('mode', mode.name)
    const stored = SYSTEM_PAGES.filter(() => rng.below(6) === 5)
    const fifo = Array.from({ length: WINDOW_PAGES }, (_, i) => i).filter(() => rng.below(2) === 1)
    rng.note(
      'devices',
      () => `system pages ${stored.map((p) => p.toString(16)).join(' ')}; window pages ${fifo.join(' ')}`,
    )
    this.#adversary.undo()
    for (const machine of [this.#calm, this.#wild]) {
      machine.cpu.cancel()
      machine.vcpu.cancelRequest()
      machine.ram.set(this.#template)
      machine.codeHasChanged()
      machine.devices.reset()
      machine.devices.store.set(this.#template)
      for (const page of stored) moveToStore(machine.view, page)
      for (const page of fifo) moveToFifo(machine.view, page)
    }
    this.#tables.set(this.#calm.ram.subarray(TABLES, TABLES_END))
    this.#fillWindow(rng)
    for (let i = 0; i < instructions; i++) {
      const among = rng.below(16) === 15 ? this.#strings[mode.bits] : entries
      const variants = among[rng.below(among.length)] as readonly Entry[]
      const entry = variants[rng.below(variants.length)] as Entry
      const difference = await this.#instruction(rng, number, mode, entry, stored)
      if (difference === LOST) break
      if (difference !== undefined)
        return `${mode.name}, ${entry.form} (${Buffer.from(entry.bytes).toString('hex')}): ${difference}`
    }
    return undefined
  }

  #fillWindow(rng: Rng): void {
    const seed = rng.u32()
    for (let i = 0; i < WINDOW_PAGES; i++) {
      const at = windowFrame(i)
      for (let w = 0; w < 0x1000; w += 4) {
        const value = Math.imul(seed + at + w, 0x9e37_79b1) >>> 0
        this.#calm.view.setUint32(at + w, (value & 0x300) === 0 ? value >>> 28 : value, true)
      }
      const page = this.#calm.ram.subarray(at, at + 0x1000)
      this.#wild.ram.set(page, at)
    }
    // Vector registers too, of which the upper halves stay zero.
    for (const { cpu } of [this.#calm, this.#wild]) {
      cpu.u8.fill(0, S_XMM, S_SCRATCH)
      for (let i = 0; i < 16; i++)
        cpu.u8.set(this.#calm.ram.subarray(windowFrame(0) + 16 * i, windowFrame(0) + 16 * i + 16), S_XMM + 64 * i)
    }
  }

  /** An address that an operand of `size` bytes may cross a page from, or lie wholly in one. */
  #address(rng: Rng, size: number): number {
    const page = WINDOW + 0x1000 * rng.below(WINDOW_PAGES)
    switch (rng.below(4)) {
      case 0:
        return page + 0x800 + 64 * rng.below(8)
      case 1:
        return page + 0x10 + rng.below(0x100)
      default: {
        const edge = WINDOW + 0x1000 * (1 + rng.below(WINDOW_PAGES - 1))
        return rng.below(2) === 0 ? edge - rng.below(size + 1) : (edge - rng.below(size + 16)) & -16
      }
    }
  }

  async #instruction(
    rng: Rng,
    number: number,
    mode: Mode,
    entry: Entry,
    stored: readonly number[],
  ): Promise<string | undefined> {
    const { coverage } = this
    coverage.instructions++
    const calm = this.#calm
    const wild = this.#wild
    const words = this.#words
    const base = mode.bits === 16 ? BASE_16 : 0
    for (let i = 0; i < (mode.bits === 64 ? 16 : 8); i++) {
      const value = rng.below(4) === 0 ? rng.below(0x100) - 0x80 : rng.u32()
      words.setInt32(8 * i, value, true)
      words.setInt32(8 * i + 4, mode.bits === 64 && rng.below(4) === 3 ? rng.u32() : 0, true)
    }
    const address = this.#address(rng, entry.size)
    const set = (register: number, value: number): void => {
      words.setUint32(8 * register, value, true)
      words.setUint32(8 * register + 4, 0, true)
    }
    const stack =
      rng.below(3) === 0 ? this.#address(rng, 64) : USER_STACK + 0x800 + rng.below(0x40) * (rng.below(2) === 0 ? 8 : 1)
    set(1, rng.below(8) === 7 ? rng.u32() & 0xff : rng.below(10))
    if (rng.below(2) === 0) set(2, PORT + rng.below(PORTS))
    set(3, address - base)
    set(4, (mode.supervisor && rng.below(4) === 3 && base === 0 ? 0xe800 + 8 * rng.below(0x40) : stack) - base)
    set(5, this.#address(rng, 64) - base)
    set(6, this.#address(rng, entry.size) - base)
    set(7, (rng.below(4) === 0 ? words.getUint32(48, true) + base : this.#address(rng, entry.size)) - base)
    // Indices of gathers, and masks.
    const vectors = wild.cpu.u8.subarray(S_XMM + 64 * 5, S_XMM + 64 * 5 + 32).slice()
    if (rng.below(2) === 0) for (let i = 0; i < 32; i++) vectors[i] = i % 8 === 0 ? rng.below(0x60) : 0
    const full = rng.below(2) === 1
    const flags = (rng.u32() & 0xcd5) | 0x3002 | (rng.below(16) === 15 ? 0x100 : 0)
    // An event may end a gather between two elements, if they had to be waited for.
    const interrupt = rng.below(24) === 23 && !entry.form.includes('GATHER')
    const sti = interrupt && rng.below(2) === 1
    const clear = rng.below(4) === 3
    // Near the end of a page, now and then.
    const length = entry.bytes.length + (sti ? 1 : 0)
    const place = CODE + (rng.below(3) === 2 ? 0x1000 - rng.below(length + 1) : 0x40)
    const bytes = sti ? Uint8Array.of(STI, ...entry.bytes) : entry.bytes
    const keep = [S_XMM, S_SCRATCH] as const
    for (const machine of [calm, wild]) {
      const { cpu } = machine
      const vector = cpu.u8.slice(keep[0], keep[1])
      machine.begin(number, full)
      cpu.u8.set(vector, keep[0])
      cpu.u8.set(vectors, S_XMM + 64 * 5)
      cpu.u8.set(this.#registers, S_GPR)
      cpu.u32[S_RIP >>> 2] = mode.bits === 16 ? place - CODE : place
      cpu.setRflags(interrupt && !sti ? flags | 0x200 : flags)
      if (clear) clearAccessed(machine.ram)
      this.#writeCode(machine, place, bytes)
      this.#writeFrame(machine, entry.form, words.getUint32(32, true) + base, address, stored)
      machine.devices.clearLog()
      if (interrupt) machine.domain.interrupts.signalMsi(0xfee0_0000, INTERRUPT)
    }
    const { retired } = calm.cpu
    const calmExit = calm.cpu.run(BUDGET)
    const astray = calm.cpu.retired - retired > FEW && !tablesHold(calm.ram, this.#tables)
    // One that nothing lets through may come up at any time, and changes nothing.
    const late = !interrupt && !LETS_THROUGH.test(entry.form) && !calm.cpu.interruptsEnabled && rng.below(2) === 1
    const wildExit = await this.#runWild(rng, place, length, entry.form, late)
    if (interrupt) endOfInterrupt(calm)
    if (interrupt || late) endOfInterrupt(wild)
    for (const machine of [calm, wild]) this.#writeCode(machine, place, HALTS.subarray(0, length))
    if (typeof wildExit === 'string') return wildExit
    // It has jumped into what is no code; where a budget ends is no part of the comparison. Nor is what follows where
    // that has overwritten its page tables: one TLB may have kept what the other has dropped.
    if (astray || calmExit.reason === 'budget' || wildExit.reason === 'budget') return LOST
    if (calmExit.reason === 'error' || wildExit.reason === 'error')
      return `${describe(calmExit)} and ${describe(wildExit)}`
    return calmExit.reason === wildExit.reason ? this.#compare() : `ends with ${calmExit.reason} and ${wildExit.reason}`
  }

  /** Lets the slow machine execute what the other has executed. */
  async #runWild(rng: Rng, place: number, length: number, form: string, late: boolean): Promise<Exit | string> {
    const { coverage } = this
    const adversary = this.#adversary
    const { cpu } = this.#wild
    this.#units = 0
    this.#place = undefined
    let exit = cpu.run(BUDGET)
    // Others answer when they please.
    const held = this.#wild.transport === 'promise'
    let blocked = 0
    while (exit.reason === 'blocked') {
      if (blocked++ > MOST_WAITS) {
        // What has been asked for is done before the next program begins, which would find it in its devices' log.
        await this.#wild.settle()
        return ASTRAY
      }
      coverage.passes++
      adversary.undo()
      if (!this.#unchanged()) return 'memory has changed while the instruction waits'
      adversary.strike(rng, place, length)
      if (late) this.#wild.interrupt(INTERRUPT)
      // Looked at again before there is an answer.
      for (let early = held ? rng.below(6) - 4 : 0; early > 0; early--) {
        exit = cpu.run(BUDGET)
        coverage.passes++
        if (exit.reason !== 'blocked') return `ends with ${describe(exit)} without its answer`
        adversary.strike(rng, place, length)
      }
      await this.#wild.settle()
      exit = cpu.run(BUDGET)
    }
    adversary.undo()
    if (blocked > 0) coverage.replayed++
    if (this.#place !== undefined && blocked > 0) coverage.note(form, this.#place)
    return exit
  }

  #remember(): void {
    const { ram } = this.#wild
    for (const [i, page] of DATA_PAGES.entries()) this.#before.set(ram.subarray(page << 12, (page + 1) << 12), i << 12)
  }

  #unchanged(): boolean {
    const { ram } = this.#wild
    // A request for several iterations names memory that the device reads and writes by itself.
    const { log } = this.#wild.cpu
    if (log.tag(log.pending) >>> 16 >= 0x80) return true
    for (const [i, page] of DATA_PAGES.entries()) {
      if (
        Buffer.compare(this.#before.subarray(i << 12, (i + 1) << 12), ram.subarray(page << 12, (page + 1) << 12)) !== 0
      )
        return false
    }
    return true
  }

  #writeCode(machine: ChaosMachine, at: number, bytes: Uint8Array): void {
    machine.memory.write(machine.machineAddress(at), bytes)
    machine.devices.store.set(bytes, at)
  }

  /** Far pointers and frames to return to that lead somewhere, where memory that can be written holds them. */
  #writeFrame(machine: ChaosMachine, form: string, stack: number, operand: number, stored: readonly number[]): void {
    const far = /^(RETF|IRET|CALLF|JMPF)/.exec(form)?.[1]
    if (far === undefined) return
    const put = (linear: number, value: number, size: number): void => {
      for (let i = 0; i < size; i++) {
        const at = linear + i
        const gpa = at >= WINDOW ? at - WINDOW + windowFrame(0) : at >= USER_STACK ? at - USER_STACK + 0x1_2000 : at
        if (gpa >= RAM_BYTES) continue
        if (stored.includes(gpa & ~0xfff)) machine.devices.store[gpa] = value >>> (8 * i)
        else machine.ram[gpa] = value >>> (8 * i)
      }
    }
    const word = form.includes('64') || form.includes('Q') ? 8 : form.includes('16:16') || form === 'IRET' ? 2 : 4
    const at = far === 'RETF' || far === 'IRET' ? stack : operand
    const supervisor = (machine.cpu.u32[S_RIP >>> 2] as number) % 2 === 0
    const values = [HANDLERS, supervisor ? 0x38 : 0x23, 0x3202, USER_STACK + 0x900, 0x2b]
    for (const [i, value] of values.entries())
      put(
        at + i * (far === 'RETF' || far === 'IRET' ? word : i === 0 ? 0 : word),
        value,
        i === 1 ? 2 : Math.min(word, 4),
      )
  }

  #compare(): string | undefined {
    const calm = this.#calm
    const wild = this.#wild
    const a = calm.devices
    const b = wild.devices
    for (let i = 0; i < Math.max(a.logged, b.logged); i += LOGGED) {
      for (let word = i; word < i + LOGGED; word++) {
        if (i >= a.logged || i >= b.logged || a.log[word] !== b.log[word])
          return `device access ${i / LOGGED} is ${describeAccess(a, i)} and ${describeAccess(b, i)}`
      }
    }
    if (calm.cpu.materialiseFlags() !== wild.cpu.materialiseFlags()) return this.#registersDiffer()
    const other = wild.registers()
    for (const [i, part] of calm.registers().entries()) {
      if (Buffer.compare(part, other[i] as Uint8Array) !== 0) return this.#registersDiffer()
    }
    if (Buffer.compare(calm.ram, wild.ram) !== 0) {
      const at = calm.ram.findIndex((byte, i) => byte !== wild.ram[i])
      return `memory at ${at.toString(16)} is ${calm.ram[at]?.toString(16)} and ${wild.ram[at]?.toString(16)}`
    }
    return Buffer.compare(calm.devices.store, wild.devices.store) === 0 ? undefined : 'what the device keeps differs'
  }

  #registersDiffer(): string {
    const a = saveVcpu(this.#calm.cpu)
    const b = saveVcpu(this.#wild.cpu)
    return firstDifference(a, b, '') ?? 'registers differ in what is not saved'
  }
}

const LOST = 'lost'
const HALTS = new Uint8Array(32).fill(0xf4)

function endOfInterrupt({ domain, cpu }: ChaosMachine): void {
  const apic = domain.interrupts.localApic(0)
  if (apic.hasInterrupt()) apic.acknowledge()
  apic.write(0xb0, 0)
  cpu.setInterruptPending(false)
}

function placeOf(log: AccessLog): Place {
  let ram = false
  let mmio = false
  let ports = false
  for (let i = 0; i < log.count; i++) {
    const kind = log.kind(i)
    if (kind === AccessKind.READ || kind === AccessKind.WRITE) ram = true
    else if (kind === AccessKind.MMIO_READ || kind === AccessKind.MMIO_WRITE) mmio = true
    else if (kind === AccessKind.PORT_READ || kind === AccessKind.PORT_WRITE) ports = true
  }
  if (mmio && ports) return 'all three'
  if (mmio) return ram ? 'RAM and MMIO' : 'MMIO'
  return ports ? (ram ? 'RAM and ports' : 'ports') : 'RAM'
}

function describe(exit: Exit): string {
  return exit.reason === 'error' ? `error ${String(exit.error)}` : exit.reason
}

/** Where two trees of plain data part. */
function firstDifference(a: unknown, b: unknown, path: string): string | undefined {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null)
    return Object.is(a, b) ? undefined : `${path}: ${String(a)} and ${String(b)}`
  for (const key of Object.keys(a)) {
    const found = firstDifference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      `${path}/${key}`,
    )
    if (found !== undefined) return found
  }
  return undefined
}
