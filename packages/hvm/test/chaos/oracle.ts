import type { Rng } from '@retrap/tooling/soak'
import type { Exit } from '@retrap/x86-cpu'
import { SEG_BYTES, SEG_SELECTOR, S_GPR, S_RIP, S_SCRATCH, S_SEGMENTS, S_XMM } from '@retrap/x86-cpu'
import { Adversary } from './adversary.ts'
import { compare } from './compare.ts'
import { corpus } from './corpus.ts'
import type { Entry } from './corpus.ts'
import { Coverage, placeOf } from './coverage.ts'
import type { Place } from './coverage.ts'
import { hook } from './hooks.ts'
import { Choice, INTERRUPT, arrange, drawProgram, drawStart, writeCode } from './kinds.ts'
import type { Program, Start } from './kinds.ts'
import {
  CODE,
  HANDLERS,
  MODES,
  TABLES,
  TABLES_END,
  WINDOW,
  WINDOW_PAGES,
  clearAccessed,
  moveToStore,
  storedWindow,
  systemHolds,
  tablesHold,
  template,
  windowFrame,
} from './layout.ts'
import type { Mode } from './layout.ts'
import { ChaosMachine } from './machine.ts'
import type { Transport } from './machine.ts'

/** More than an instruction, its prefix and a handler take, and any repetition that registers allow. */
const BUDGET = 30_000
/** The same for one that repeats: an iteration at a device costs as much as many instructions. */
const REPEAT_BUDGET = 200_000
/** Instructions that a program's next one, its prefix and a handler may be. */
const FEW = 8
/** Code that a jump has led into a device may wait without end. */
const MOST_WAITS = 1000
const ASTRAY: Exit = { reason: 'budget' }
/** Guest frames whose contents nobody but instructions changes: stacks and the window. */
const DATA_PAGES = [0xe, 0xf, 0x12, 0x14, 0x15, 0x16, 0x17] as const
/** Bytes of the frames that interrupts leave below the end of a stack. */
const FRAME_BYTES = 0x60
/** Selector of TR in the state. */
const S_TASK = S_SEGMENTS + 7 * SEG_BYTES + SEG_SELECTOR
/** Offset of RCX among the general registers. */
const RCX_BYTES = 8
const FLAG_DF = 0x400
const LOST = 'lost'
const HALTS = new Uint8Array(32).fill(0xf4)
/** They may set IF, for a moment at least, or go where something does. */
export const LETS_THROUGH: RegExp = /^(STI|POPF|IRET|SYSRET|SYSEXIT|J|LOOP|CALL|RET)/
const ABSOLUTE = WINDOW + 0x1ff8

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
  readonly #choice: Choice
  readonly #template = template()
  /** Data pages when the current unit began. */
  readonly #before = new Uint8Array(DATA_PAGES.length * 0x1000)
  /** Page tables as the instruction found them. */
  readonly #tables = new Uint8Array(TABLES_END - TABLES)
  /** Units of the wild machine that have ended since the instruction began. */
  #units = 0
  /** Logged passes of instructions when the current unit began: deliveries of events count none. */
  #passes = 0
  #place: Place = 'RAM'
  /** The instruction is INT or one like it. */
  #raises = false
  /** The machine whose devices answer at once has run astray, and overwritten its page tables. */
  #astray = false

  /** Whether it is an event's delivery that is being logged. */
  get #delivers(): boolean {
    return this.#wild.cpu.counts.loggedPasses === this.#passes
  }

  /** @param transport - how the slow devices are reached */
  static async make(transport: Transport = 'promise', mutation?: Mutation): Promise<Oracle> {
    return new Oracle(await ChaosMachine.make('at once'), await ChaosMachine.make(transport), mutation)
  }

  private constructor(calm: ChaosMachine, wild: ChaosMachine, mutation: Mutation | undefined) {
    this.#calm = calm
    this.#wild = wild
    this.#adversary = new Adversary(wild, this.coverage)
    hook(wild, this.#adversary, {
      began: () => {
        this.#passes = wild.cpu.counts.loggedPasses
        this.#remember()
      },
      ends: () => {
        // An exception's delivery is not the instruction, unless that was to raise it.
        if (this.#units++ === 0 && (!this.#delivers || this.#raises)) this.#place = placeOf(wild.cpu.log)
      },
    })
    mutation?.(this.#wild)
    this.#choice = new Choice({ 16: this.#offered(16), 32: this.#offered(32), 64: this.#offered(64) })
    for (const form of this.#choice.forms) this.coverage.offer(form)
  }

  /** Forms that the processor has: the others raise #UD. */
  #offered(bits: 16 | 32 | 64): readonly (readonly Entry[])[] {
    const mode = MODES.findIndex((m) => m.bits === bits && !m.supervisor)
    const machine = this.#calm
    return corpus(bits, ABSOLUTE).filter(([entry]) => {
      machine.ram.set(this.#template)
      machine.devices.reset()
      machine.begin(mode, false)
      writeCode(machine, CODE, (entry as Entry).bytes)
      machine.cpu.run(BUDGET)
      return machine.cpu.u32[S_RIP >>> 2] !== HANDLERS + 6 * 16 + 1
    })
  }

  async close(): Promise<void> {
    await this.#wild.close()
  }

  /** What has been seen, for people. */
  describe(): string {
    return this.coverage.describe(this.#wild.transport)
  }

  /**
   * Some instructions from one initial state.
   *
   * @param turn - number of the program: forms take turns
   * @returns what differs, or undefined
   */
  async program(rng: Rng, instructions: number, turn: number): Promise<string | undefined> {
    const number = rng.below(MODES.length)
    const mode = MODES[number] as Mode
    const program = drawProgram(rng, mode)
    rng.note('program', `${program.kind}, ${mode.name}`)
    rng.note('devices', () => {
      const { stored, window } = program
      return `system pages ${stored.map((p) => p.toString(16)).join(' ')}; window ${window.join(', ')}`
    })
    this.#adversary.undo()
    for (const machine of [this.#calm, this.#wild]) {
      machine.cpu.cancel()
      machine.vcpu.cancelRequest()
      machine.ram.set(this.#template)
      machine.codeHasChanged()
      machine.devices.reset()
      machine.devices.store.set(this.#template)
      for (const page of program.stored) moveToStore(machine.view, page)
      arrange(machine, program)
    }
    for (const machine of [this.#calm, this.#wild]) await machine.acknowledged()
    this.#fillWindow(rng)
    for (let i = 0; i < instructions; i++) {
      const entry = this.#choice.pick(rng, program, turn * instructions + i)
      const start = drawStart(rng, program, entry, this.#template)
      const difference = await this.#instruction(rng, number, program, start)
      if (difference === LOST) break
      if (difference !== undefined)
        return `${mode.name}, ${start.form} (${Buffer.from(start.bytes).toString('hex')}): ${difference}`
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
      for (const { devices } of [this.#calm, this.#wild]) devices.store.set(page, storedWindow(i))
    }
    // Vector registers too, of which the upper halves stay zero.
    for (const { cpu } of [this.#calm, this.#wild]) {
      cpu.u8.fill(0, S_XMM, S_SCRATCH)
      for (let i = 0; i < 16; i++)
        cpu.u8.set(this.#calm.ram.subarray(windowFrame(0) + 16 * i, windowFrame(0) + 16 * i + 16), S_XMM + 64 * i)
    }
  }

  /** Brings a machine to where an instruction begins. */
  #begin(machine: ChaosMachine, number: number, start: Start): void {
    const { cpu } = machine
    const vectors = cpu.u8.slice(S_XMM, S_SCRATCH)
    machine.begin(number, start.fullX87)
    cpu.u8.set(vectors, S_XMM)
    if (start.indices !== undefined) cpu.u8.set(start.indices, S_XMM + 64 * 5)
    cpu.u8.set(start.registers, S_GPR)
    cpu.u32[S_RIP >>> 2] = (MODES[number] as Mode).bits === 16 ? start.linear - CODE : start.linear
    cpu.setRflags(start.flags)
    if (start.clearAccessed) clearAccessed(machine.ram)
    start.prepare(machine)
    machine.devices.clearLog()
    machine.romStores.length = 0
    if (start.interrupts === 'before' || start.interrupts === 'shadowed') machine.interrupt(INTERRUPT)
  }

  async #instruction(rng: Rng, number: number, program: Program, start: Start): Promise<string | undefined> {
    const { coverage } = this
    coverage.instructions++
    const calm = this.#calm
    const wild = this.#wild
    this.#begin(calm, number, start)
    this.#begin(wild, number, start)
    this.#tables.set(calm.ram.subarray(TABLES, TABLES_END))
    const task = calm.cpu.u32[S_TASK >>> 2] as number
    const { replayed } = coverage
    const interrupted = start.interrupts === 'during'
    const [calmExit, wildExit] = interrupted ? await this.#interrupted(rng, start) : await this.#one(rng, start)
    for (const machine of [calm, wild]) {
      machine.endInterrupts()
      writeCode(machine, start.code, HALTS.subarray(0, start.bytes.length))
    }
    if (await wild.acknowledged()) coverage.notices++
    if (typeof wildExit === 'string') return wildExit
    // It has jumped into what is no code; where a budget ends is no part of the comparison. Nor is what follows where
    // that has overwritten its page tables: one TLB may have kept what the other has dropped. Nor where interrupts do not
    // arrive any more.
    const damaged = start.repeats && !(tablesHold(calm.ram, this.#tables) && systemHolds(calm.ram, this.#template))
    if (this.#astray || (damaged && interrupted) || calmExit.reason === 'budget' || wildExit.reason === 'budget') {
      coverage.lost++
      return LOST
    }
    if (calmExit.reason === 'error' || wildExit.reason === 'error')
      return `${describe(calmExit)} and ${describe(wildExit)}`
    if (calmExit.reason !== wildExit.reason) return `ends with ${calmExit.reason} and ${wildExit.reason}`
    if (coverage.replayed > replayed) coverage.romStores += calm.romStores.length
    if (start.repeats && coverage.replayed > replayed) this.#noteRepeat(start)
    if (calm.cpu.u32[S_TASK >>> 2] !== task && coverage.replayed > replayed) coverage.taskSwitches++
    return compare(calm, wild) ?? (damaged ? LOST : undefined)
  }

  /** What became of a repeated instruction that has waited. */
  #noteRepeat({ form, flags, registers }: Start): void {
    const { coverage } = this
    coverage.noteRepeat(form, (flags & FLAG_DF) !== 0, this.#place)
    const { u32 } = this.#calm.cpu
    const left = u32[(S_GPR + RCX_BYTES) >>> 2] as number
    const handler = ((u32[S_RIP >>> 2] as number) - HANDLERS) >>> 4
    const began = new DataView(registers.buffer).getUint32(RCX_BYTES, true)
    if (handler < 32 && left !== 0 && left < began) coverage.faultsMidway++
  }

  /** Executes an instruction on both. */
  async #one(rng: Rng, start: Start): Promise<[Exit, Exit | string]> {
    const exit = this.#runCalm(start)
    const quiet = start.interrupts === 'none' && !LETS_THROUGH.test(start.form) && !this.#calm.cpu.interruptsEnabled
    // One that nothing lets through may come up at any time, and changes nothing.
    return [exit, await this.#runWild(rng, start, quiet && rng.below(2) === 1)]
  }

  /** The same where interrupts come up: the machine whose devices answer at once takes as many before the instruction. */
  async #interrupted(rng: Rng, start: Start): Promise<[Exit, Exit | string]> {
    const { taken } = this.#wild
    const exit = await this.#runWild(rng, start, true)
    const count = this.#wild.taken - taken
    this.coverage.interrupts += count
    this.#calm.interrupt(start.vector, count)
    const calm = this.#runCalm(start)
    // The frames say where the instruction was.
    if (count > 0) for (const { ram } of [this.#calm, this.#wild]) ram.fill(0, start.frames - FRAME_BYTES, start.frames)
    return [calm, exit]
  }

  #runCalm(start: Start): Exit {
    const { cpu, ram } = this.#calm
    const { retired } = cpu
    const exit = cpu.run(budgetOf(start))
    this.#astray = cpu.retired - retired > FEW && !tablesHold(ram, this.#tables)
    return exit
  }

  /** @param interrupts - they come up while it waits */
  async #runWild(rng: Rng, start: Start, interrupts: boolean): Promise<Exit | string> {
    const { coverage } = this
    const adversary = this.#adversary
    const wild = this.#wild
    const { cpu } = wild
    const budget = budgetOf(start)
    this.#units = 0
    this.#place = 'RAM'
    this.#raises = /^(INT|BOUND)/.test(start.form)
    let exit = cpu.run(budget)
    // Others answer when they please.
    const { held } = wild
    let blocked = 0
    const strike = (): void => {
      adversary.strike(rng, start.code, start.bytes.length, this.#delivers)
    }
    while (exit.reason === 'blocked') {
      if (blocked++ > MOST_WAITS) {
        // What has been asked for is done before the next program begins, which would find it in its devices' log.
        await wild.settle()
        cpu.cancel()
        return ASTRAY
      }
      coverage.passes++
      adversary.undo()
      if (!this.#unchanged()) return 'memory has changed while the instruction waits'
      strike()
      if (interrupts && (start.interrupts === 'none' || rng.below(3) === 2)) wild.interrupt(start.vector)
      // Looked at again before there is an answer.
      for (let early = held ? rng.below(6) - 4 : 0; early > 0; early--) {
        exit = cpu.run(budget)
        coverage.passes++
        if (exit.reason !== 'blocked') return `ends with ${describe(exit)} without its answer`
        strike()
      }
      await wild.settle()
      exit = cpu.run(budget)
    }
    adversary.undo()
    if (blocked > 0) coverage.replayed++
    if (blocked > 0 || this.#units === 0) coverage.note(start.form, this.#place)
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
      const before = this.#before.subarray(i << 12, (i + 1) << 12)
      if (Buffer.compare(before, ram.subarray(page << 12, (page + 1) << 12)) !== 0) return false
    }
    return true
  }
}

function budgetOf(start: Start): number {
  return start.repeats ? REPEAT_BUDGET : BUDGET
}

function describe(exit: Exit): string {
  return exit.reason === 'error' ? `error ${String(exit.error)}` : exit.reason
}
