import type { Rng } from '@retrap/tooling/soak'
import { type Exit, type Vcpu, TR, saveVcpu } from '@retrap/x86-cpu'
import { Adversary, isStoredCode } from './adversary.ts'
import { compare, compareRam, compareRegisters, compareSaved, stillBusy } from './compare.ts'
import { corpus, type Choices, type Entry } from './corpus.ts'
import { Coverage, placeOf, type Place } from './coverage.ts'
import { cancelBy, isCancellation, logAsData, sendSmi, sendStartup, waitingFor } from './events.ts'
import type { Plan, WaitingFor } from './events.ts'
import { LOGGED } from './devices.ts'
import { hook } from './hooks.ts'
import {
  Choice,
  HAS_PROGRESS,
  INTERRUPT,
  arrange,
  drawProgram,
  drawStart,
  writeCode,
  type Program,
  type Start,
} from './kinds.ts'
import { drawPlan } from './plan.ts'
import { Rewound } from './rewound.ts'
import * as layout from './layout.ts'
import type { Mode } from './layout.ts'
import { ChaosMachine, type Transport } from './machine.ts'

/** More than an instruction, its prefix and a handler take, and any repetition that registers allow. */
const BUDGET = 30_000
/** The same for one that repeats: an iteration at a device costs as much as many instructions. */
const REPEAT_BUDGET = 200_000
/** Instructions that a program's next one, its prefix and a handler may be. */
const FEW = 8
/** Code that a jump has led into a device may wait without end. */
const MOST_WAITS = 1000
const ASTRAY: Exit = { reason: 'budget' }
/** An event has cancelled the instruction. */
const CANCELLED: Exit = { reason: 'budget' }
/** Instructions that may have retired before the one that an event cancels: STI. */
const MOST_BEFORE = 2
/** Bytes that the devices take at once. */
const DEVICE_BYTES = 4
const HANDLERS_BYTES = 0x400
/** Guest frames whose contents nobody but instructions changes: stacks and the window. */
const DATA_PAGES = [0xe, 0xf, 0x12, 0x14, 0x15, 0x16, 0x17] as const
/** Bytes of the frames that interrupts leave below the end of a stack. */
const FRAME_BYTES = 0x60
/** Selector of TR in the state. */
/** Offset of RCX among the general registers. */
const RCX_BYTES = 8
const FLAG_DF = 0x400
const LOST = 'lost'
const HALTS = new Uint8Array(64).fill(0xf4)
/** They may set IF, for a moment at least, or go where something does. */
export const LETS_THROUGH: RegExp = /^(STI|POPF|IRET|SYSRET|SYSEXIT|J|LOOP|CALL|RET)/
const ABSOLUTE = layout.WINDOW + 0x1ff8

/** What is done to a machine's parts before a test that must fail. */
export type Mutation = (machine: ChaosMachine) => void

/** A machine whose devices take their time, and who changes its memory meanwhile. */
interface Wild {
  readonly machine: ChaosMachine
  readonly adversary: Adversary
}

/**
 * One machine whose devices answer at once, and one whose devices take their time while an {@link Adversary} changes what
 * the waiting instruction has read. Programs run on both, an instruction at a time, and everything is compared.
 */
export class Oracle {
  readonly coverage = new Coverage()
  readonly #calm: ChaosMachine
  /** The one that executes, and the one that a snapshot is restored in. */
  #current: Wild
  #spare: Wild | undefined
  readonly #mutation: Mutation | undefined
  readonly #choices: Choices
  readonly #choice: Choice
  readonly #template = layout.template()
  /** Data pages when the current unit began. */
  readonly #before = new Uint8Array(DATA_PAGES.length * 0x1000)
  /** Page tables as the instruction found them. */
  readonly #tables = new Uint8Array(layout.TABLES_END - layout.TABLES)
  /** Units of the wild machine that have ended since the instruction began. */
  #units = 0
  /** Logged passes of instructions when the current unit began: deliveries of events count none. */
  #passes = 0
  #place: Place = 'RAM'
  /** Gives a machine the registers that a program has beyond those of older processors. */
  #extend: (machine: ChaosMachine) => void = () => undefined
  /** Units that the wild machine has begun; and words in its devices' log when the access was made that waits. */
  #begun = 0
  #heard = 0
  /** A log begins that is not another unit's. */
  #restoresLog = false
  /** The instruction is INT or one like it. */
  #raises = false
  /** The machine whose devices answer at once has run astray, and overwritten its page tables. */
  #astray = false

  get #wild(): ChaosMachine {
    return this.#current.machine
  }

  get #adversary(): Adversary {
    return this.#current.adversary
  }

  /** Whether it is an event's delivery that is being logged, and not the next instruction's bytes that are waited for. */
  get #delivers(): boolean {
    const { counts, log } = this.#wild.cpu
    return log.active && counts.loggedPasses === this.#passes
  }

  /** @param transport - how the slow devices are reached */
  static async make(transport: Transport = 'promise', mutation?: Mutation, choices: Choices = 'max'): Promise<Oracle> {
    const calm = await ChaosMachine.make('at once', choices)
    return new Oracle(calm, await ChaosMachine.make(transport, choices), choices, mutation)
  }

  private constructor(calm: ChaosMachine, wild: ChaosMachine, choices: Choices, mutation: Mutation | undefined) {
    this.#calm = calm
    this.#choices = choices
    this.#mutation = mutation
    this.#current = this.#prepared(wild)
    this.#choice = new Choice({ 16: this.#offered(16), 32: this.#offered(32), 64: this.#offered(64) })
    for (const form of this.#choice.forms) this.coverage.offer(form)
  }

  #prepared(machine: ChaosMachine): Wild {
    const adversary = new Adversary(machine, this.coverage)
    hook(machine, adversary, {
      began: () => {
        if (this.#restoresLog) return
        this.#begun++
        this.#passes = machine.cpu.counts.loggedPasses
        this.#remember()
      },
      ends: () => {
        // An exception's delivery is not the instruction, unless that was to raise it.
        if (this.#units++ === 0 && (!this.#delivers || this.#raises)) this.#place = placeOf(machine.cpu.log)
      },
    })
    this.#mutation?.(machine)
    return { machine, adversary }
  }

  /** Forms that the processor has: the others raise #UD. */
  #offered(bits: 16 | 32 | 64): readonly (readonly Entry[])[] {
    const mode = layout.MODES.findIndex((m) => m.bits === bits && !m.supervisor)
    const machine = this.#calm
    const all = corpus(bits, ABSOLUTE, this.#choices)
    // Those are the features of its model. To execute each would take longer than a few programs.
    if (this.#choices === 'extended') return all
    return all.filter(([entry]) => {
      machine.ram.set(this.#template)
      machine.devices.reset()
      machine.begin(mode, false)
      writeCode(machine, layout.CODE, (entry as Entry).bytes)
      runTurn(machine.cpu, BUDGET)
      return machine.cpu.registers.eip !== layout.HANDLERS + 6 * 16 + 1
    })
  }

  async close(): Promise<void> {
    await this.#wild.close()
    await this.#spare?.machine.close()
  }

  /** What has been seen, for people. */
  describe(): string {
    return this.coverage.describe(this.#wild.transport)
  }

  /**
   * Some instructions from one initial state.
   *
   * @param turn - number of the program: forms take turns
   * @param disturbed - instructions that wait are cancelled, or snapshots taken
   * @returns what differs, or undefined
   */
  async program(rng: Rng, instructions: number, turn: number, disturbed = false): Promise<string | undefined> {
    const number = rng.below(layout.MODES.length)
    const mode = layout.MODES[number] as Mode
    const program = drawProgram(rng, mode, disturbed, this.#choices)
    rng.note('program', `${program.kind}, ${mode.name}`)
    rng.note('devices', () => {
      const { stored, window } = program
      return `system pages ${stored.map((p) => p.toString(16)).join(' ')}; window ${window.join(', ')}`
    })
    this.#adversary.undo()
    this.#wild.pageIn()
    for (const machine of [this.#calm, this.#wild]) {
      machine.cpu.cancel()
      machine.vcpu.cancelRequest()
      if (machine.draining) await machine.drain()
      machine.ram.set(this.#template)
      machine.codeHasChanged()
      machine.devices.reset()
      // Where a program is lost, one of the two may have gone further.
      machine.domain.interrupts.i8259.reset()
      machine.devices.store.set(this.#template)
      for (const page of program.stored) layout.moveToStore(machine.view, page)
      arrange(machine, program)
    }
    for (const machine of [this.#calm, this.#wild]) await machine.acknowledged()
    this.#fillWindow(rng)
    if (this.#choices === 'extended') this.#drawExtended(rng, number)
    for (let i = 0; i < instructions; i++) {
      const entry = this.#choice.pick(rng, program, turn * instructions + i)
      const start = drawStart(rng, program, entry, this.#choice.follow(rng, program), this.#template)
      const plan = disturbed ? drawPlan(rng, start, mode) : undefined
      const difference = await this.#instruction(rng, number, program, start, plan)
      if (difference === LOST) break
      if (difference !== undefined) {
        const event = plan === undefined ? '' : `, ${plan.happening}`
        return `${mode.name}, ${start.form} (${Buffer.from(start.bytes).toString('hex')})${event}: ${difference}`
      }
    }
    return undefined
  }

  #fillWindow(rng: Rng): void {
    const seed = rng.u32()
    for (let i = 0; i < layout.WINDOW_PAGES; i++) {
      const at = layout.windowFrame(i)
      for (let w = 0; w < 0x1000; w += 4) {
        const value = Math.imul(seed + at + w, 0x9e37_79b1) >>> 0
        this.#calm.view.setUint32(at + w, (value & 0x300) === 0 ? value >>> 28 : value, true)
      }
      const page = this.#calm.ram.subarray(at, at + 0x1000)
      this.#wild.ram.set(page, at)
      for (const { devices } of [this.#calm, this.#wild]) devices.store.set(page, layout.storedWindow(i))
    }
    // Vector registers too, of which the upper halves stay zero.
    for (const { cpu } of [this.#calm, this.#wild]) {
      cpu.registers.vectors.fill(0)
      for (let i = 0; i < 16; i++)
        cpu.registers.vectors.set(
          this.#calm.ram.subarray(layout.windowFrame(0) + 16 * i, layout.windowFrame(0) + 16 * i + 16),
          64 * i,
        )
    }
  }

  /** Masks of all kinds, tiles of some rows, and registers that instructions of older processors do not see. */
  #drawExtended(rng: Rng, mode: number): void {
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
    const masks = rng.bytes(64)
    for (let i = 0; i < 8; i++) if (rng.below(3) === 0) masks.fill(0xff, 8 * i, 8 * i + 8)
    const tileConfiguration = new Uint8Array(64)
    tileConfiguration[0] = 1
    for (let i = 0; i < 8; i++) {
      tileConfiguration[16 + 2 * i] = 4 * (1 + rng.below(16))
      tileConfiguration[48 + i] = 1 + rng.below(rng.below(2) === 0 ? 4 : 16)
    }
    const [tiles, generalRegisters] = [rng.bytes(8192), rng.bytes(128)].map(hex) as [string, string]
    const all = { masks: hex(masks), tileConfiguration: hex(tileConfiguration), tiles, generalRegisters }
    this.#extend = (machine) => machine.extend(mode, all)
    for (const machine of [this.#calm, this.#wild]) {
      this.#extend(machine)
      machine.cpu.registers.vectors.set(this.#calm.ram.subarray(layout.windowFrame(1), layout.windowFrame(1) + 2048))
    }
  }

  /** Brings a machine to where an instruction begins. */
  #begin(machine: ChaosMachine, number: number, start: Start): void {
    this.#setRegisters(machine, number, start)
    if (start.clearAccessed) layout.clearAccessed(machine.ram)
    start.prepare(machine)
    // A jump may have led into what was written here: page tables, or the window.
    machine.codeHasChanged()
    machine.devices.clearLog()
    machine.romStores.length = 0
    if (start.interrupts === 'before' || start.interrupts === 'shadowed') machine.interrupt(INTERRUPT)
  }

  #setRegisters(machine: ChaosMachine, number: number, start: Start): void {
    const { cpu } = machine
    const { registers } = cpu
    const vectors = registers.vectors.slice()
    machine.begin(number, start.fullX87)
    registers.vectors.set(vectors)
    // The older model does not save the upper halves of its registers.
    const bytes = this.#choices === 'max' ? 32 : 64
    if (start.indices !== undefined) registers.vectors.set(start.indices.subarray(0, bytes), 64 * 5)
    new Uint8Array(registers.general.buffer, registers.general.byteOffset).set(start.registers)
    registers.eip = (layout.MODES[number] as Mode).bits === 16 ? start.linear - layout.CODE : start.linear
    cpu.setRflags(start.flags)
  }

  async #instruction(
    rng: Rng,
    number: number,
    program: Program,
    start: Start,
    plan: Plan | undefined,
  ): Promise<string | undefined> {
    const { coverage } = this
    coverage.instructions++
    const calm = this.#calm
    if (plan !== undefined)
      for (const machine of [calm, this.#wild]) machine.bootstrap = !/AP|SIPI$/.test(plan.happening)
    this.#begin(calm, number, start)
    this.#begin(this.#wild, number, start)
    if (plan !== undefined && plan.pagedOut >= 0) {
      this.#wild.pageOut(plan.pagedOut)
      await this.#wild.acknowledged()
    }
    this.#tables.set(calm.ram.subarray(layout.TABLES, layout.TABLES_END))
    const task = calm.cpu.registers.selector(TR)
    const { replayed } = coverage
    const interrupted = start.interrupts === 'during'
    const [calmExit, wildExit] = interrupted
      ? await this.#interrupted(rng, start, plan)
      : await this.#one(rng, number, start, plan)
    if (typeof wildExit === 'string') return wildExit
    const wild = this.#wild
    wild.pageIn()
    for (const machine of [calm, wild]) {
      machine.endInterrupts()
      writeCode(machine, start.code, HALTS.subarray(0, start.bytes.length))
    }
    if (await wild.acknowledged()) coverage.notices++
    // It has jumped into what is no code; where a budget ends is no part of the comparison. Nor is what follows where
    // that has overwritten its page tables: one TLB may have kept what the other has dropped. Nor where interrupts do not
    // arrive any more.
    const damaged =
      (start.repeats || start.followed) &&
      !(layout.tablesHold(calm.ram, this.#tables) && layout.systemHolds(calm.ram, this.#template))
    if (this.#astray || (damaged && interrupted) || calmExit.reason === 'budget' || wildExit.reason === 'budget') {
      coverage.lost++
      return LOST
    }
    if (calmExit.reason === 'error' || wildExit.reason === 'error')
      return `${describe(calmExit)} and ${describe(wildExit)}`
    if (calmExit.reason !== wildExit.reason) {
      if (!damaged) return `ends with ${calmExit.reason} and ${wildExit.reason}`
      coverage.lost++
      return LOST
    }
    if (coverage.replayed > replayed) coverage.romStores += calm.romStores.length
    if (start.repeats && coverage.replayed > replayed) this.#noteRepeat(start)
    if (calm.cpu.registers.selector(TR) !== task && coverage.replayed > replayed) coverage.taskSwitches++
    return compare(calm, wild) ?? (damaged ? LOST : undefined)
  }

  /** What became of a repeated instruction that has waited. */
  #noteRepeat({ form, flags, registers }: Start): void {
    const { coverage } = this
    coverage.noteRepeat(form, (flags & FLAG_DF) !== 0, this.#place)
    const { generalWords, eip } = this.#calm.cpu.registers
    const left = generalWords[RCX_BYTES >>> 2]!
    const handler = (eip - layout.HANDLERS) >>> 4
    const began = new DataView(registers.buffer).getUint32(RCX_BYTES, true)
    if (handler < 32 && left !== 0 && left < began) coverage.faultsMidway++
  }

  /** Executes an instruction on both. */
  async #one(rng: Rng, number: number, start: Start, plan: Plan | undefined): Promise<[Exit, Exit | string]> {
    const quiet = start.interrupts === 'none' && !LETS_THROUGH.test(start.form) && !this.#calm.cpu.interruptsEnabled
    const before = plan !== undefined && isCancellation(plan.happening) ? new Rewound(this.#calm) : undefined
    if (plan?.happening === 'set-context') plan.context = saveVcpu(this.#calm.cpu)
    const task = this.#calm.cpu.registers.selector(TR)
    const exit = this.#runCalm(start)
    // One that nothing lets through may come up at any time, and changes nothing.
    const interrupts = quiet && rng.below(2) === 1
    if (plan === undefined) return [exit, await this.#runWild(rng, start, interrupts)]
    before?.ended()
    const accesses = this.#calm.devices.logged / LOGGED
    if (this.#astray || !layout.tablesHold(this.#calm.ram, this.#tables) || exit.reason === 'budget') plan.left = 0
    else if (plan.pagedOut < 0 && plan.only === undefined) plan.left = 1 + rng.below(Math.max(1, accesses))
    plan.switchesTask = this.#calm.cpu.registers.selector(TR) !== task
    const wild = await this.#runWild(rng, start, interrupts, plan, before)
    return wild === CANCELLED ? this.#again(rng, number, start, plan) : [exit, wild]
  }

  /** After the event that has cancelled the instruction, whose answer may still be to come: it begins anew. */
  async #again(rng: Rng, number: number, start: Start, { happening }: Plan): Promise<[Exit, Exit | string]> {
    if (await this.#wild.acknowledged()) this.coverage.notices++
    if (happening === 'load' || happening === 'INIT and SIPI') {
      const exit = this.#runCalm(start)
      const wild = await this.#runWild(rng, start, false)
      if (typeof wild === 'string' || this.#astray || exit.reason !== 'hlt' || wild.reason !== 'hlt')
        return [exit, wild]
      const difference = compare(this.#calm, this.#wild)
      if (difference !== undefined) return [exit, `after ${happening}, ${difference}`]
    }
    if (happening !== 'cancel' && happening !== 'set-context')
      for (const machine of [this.#calm, this.#wild]) this.#setRegisters(machine, number, start)
    const exit = this.#runCalm(start)
    return [exit, await this.#runWild(rng, start, false)]
  }

  /** The same where interrupts come up: the machine whose devices answer at once takes as many before the instruction. */
  async #interrupted(rng: Rng, start: Start, plan: Plan | undefined): Promise<[Exit, Exit | string]> {
    const { taken } = this.#wild
    const exit = await this.#runWild(rng, start, true, plan)
    const count = this.#wild.taken - taken
    this.coverage.interrupts += count
    this.#calm.interrupt(start.vector, count)
    const calm = this.#runCalm(start)
    // The frames say where the instruction was.
    if (count > 0)
      for (const machine of [this.#calm, this.#wild]) {
        machine.ram.fill(0, start.frames - FRAME_BYTES, start.frames)
        machine.codeHasChanged()
      }
    return [calm, exit]
  }

  #runCalm(start: Start): Exit {
    const { cpu, ram } = this.#calm
    const { retired } = cpu
    const exit = runTurn(cpu, budgetOf(start))
    this.#astray = cpu.retired - retired > FEW && !layout.tablesHold(ram, this.#tables)
    return exit
  }

  /**
   * @param interrupts - they come up while it waits
   * @param plan - what happens while it waits; to an instruction that it cancels, `before` is what there was before
   */
  async #runWild(rng: Rng, start: Start, interrupts: boolean, plan?: Plan, before?: Rewound): Promise<Exit | string> {
    const { coverage } = this
    let wild = this.#wild
    let { cpu } = wild
    const began = cpu.retired
    const budget = budgetOf(start)
    this.#units = 0
    this.#place = 'RAM'
    this.#raises = /^(INT|BOUND)/.test(start.form)
    /** An access that waits has the number of its unit, and its own. */
    let access = ''
    const run = (): Exit => {
      const { logged } = wild.devices
      const result = runTurn(cpu, budget)
      const now = `${this.#begun} ${cpu.log.pending}`
      if (now !== access) this.#heard = logged
      access = now
      return result
    }
    let exit = run()
    const late = wild.draining
    // A vCPU that has a notice to send waits for the late answer with that.
    const map = plan === undefined || plan.drained
    let blocked = 0
    const strike = (): void => {
      this.#adversary.strike(rng, start.code, start.bytes.length, this.#delivers, map)
    }
    while (exit.reason === 'blocked') {
      if (blocked++ > MOST_WAITS) {
        // What has been asked for is done before the next program begins, which would find it in its devices' log.
        await wild.settle()
        cpu.cancel()
        return ASTRAY
      }
      coverage.passes++
      this.#adversary.undo()
      if (!this.#unchanged()) return 'memory has changed while the instruction waits'
      if (late && blocked === 1 && !wild.waitsForMemory) {
        coverage.late++
        if (wild.draining && wild.devices.logged > this.#heard)
          return 'the device is asked before its late answer has come'
      }
      strike()
      if (plan !== undefined && this.#isWaitOf(plan) && --plan.left === 0) {
        if (before !== undefined && isCancellation(plan.happening)) {
          if (this.#canCancel(plan, cpu.retired - began)) {
            const wrong = await this.#cancel(start, plan, before, cpu.retired - began)
            return wrong ?? CANCELLED
          }
        } else {
          coverage.noteHappening(plan.happening, this.#waitingFor(plan))
          if (plan.happening === 'SIPI') sendStartup(wild)
          else if (plan.happening === 'SMI') sendSmi(wild)
          else if (plan.happening === 'log as data') {
            this.#restoresLog = true
            logAsData(cpu.log)
            this.#restoresLog = false
          } else if (plan.happening === 'snapshot') {
            await this.#moveOn()
            wild = this.#wild
            cpu = wild.cpu
            exit = run()
            continue
          }
        }
      }
      if (interrupts && (start.interrupts === 'none' || rng.below(3) === 2)) wild.interrupt(start.vector)
      // Looked at again before there is an answer.
      for (let early = rng.below(6) - 4; early > 0; early--) {
        exit = run()
        coverage.passes++
        if (exit.reason !== 'blocked') return `ends with ${describe(exit)} without its answer`
        strike()
      }
      await wild.settle()
      // It has not begun: what has left the map since is told first.
      if (!cpu.busy && (await wild.acknowledged())) coverage.notices++
      exit = run()
    }
    this.#adversary.undo()
    if (blocked > 0) coverage.replayed++
    if (start.followed) {
      if (this.#units > 1) coverage.lines++
    } else if (blocked > 0 || this.#units === 0) coverage.note(start.form, this.#place)
    return exit
  }

  /** What the instruction, or the delivery of an event, waits for. */
  #waitingFor(plan: Plan): WaitingFor {
    if (plan.pagedOut >= 0) return plan.pagedOut < layout.TABLES_END >>> 12 ? 'page tables' : 'memory'
    if (plan.switchesTask) return 'task switch'
    return this.#delivers ? 'event delivery' : waitingFor(this.#wild.cpu.log, isStoredCode)
  }

  /** Whether it is a wait of the kind that a plan counts. */
  #isWaitOf(plan: Plan): boolean {
    if (plan.left === 0 || this.#wild.waitsForMemory !== plan.pagedOut >= 0) return false
    return plan.only === undefined || plan.only === this.#waitingFor(plan)
  }

  /**
   * Whether what waits is the instruction, or the delivery of its event, and none of what follows. An event in the shadow of
   * another instruction has ended that.
   *
   * @param retired - instructions that have retired
   */
  #canCancel({ happening }: Plan, retired: number): boolean {
    if (this.#delivers && retired > 0 && happening === 'cancel') return false
    const at = this.#wild.cpu.registers.eip - layout.HANDLERS
    return retired < MOST_BEFORE && (at < 0 || at >= HANDLERS_BYTES)
  }

  /**
   * An event cancels what waits; the same event comes before it on the machine that need not wait.
   *
   * @returns what differs
   */
  async #cancel(start: Start, plan: Plan, before: Rewound, retired: number): Promise<string | undefined> {
    const { coverage } = this
    const calm = this.#calm
    const wild = this.#wild
    const adversary = this.#adversary
    const waiting = this.#waitingFor(plan)
    coverage.noteHappening(plan.happening, waiting)
    // One that follows another late answer has not been sent yet.
    const device = !wild.waitsForMemory && !wild.draining
    // Of a request that is several accesses to the device, more may come after the event.
    const several = device && (waiting === 'iterations' || wild.cpu.log.size(wild.cpu.log.pending) > DEVICE_BYTES)
    if (device && plan.heard) await wild.hears(this.#heard)
    wild.endInterrupts()
    const shadowed = start.interrupts === 'shadowed'
    const own = retired === (shadowed ? 1 : 0)
    before.reach(retired, shadowed && retired > 0, own ? iterationsOf(start, wild) : 0)
    // It has changed nothing so far, whatever the others do.
    adversary.undo()
    before.adoptAccessed(wild)
    if (own && HAS_PROGRESS.test(start.form)) before.adoptParts(wild)
    let wrong = compareRegisters(calm, wild) ?? compareRam(calm, wild)
    if (wrong !== undefined) return `while it waits for ${waiting}, ${wrong}`
    for (const machine of [calm, wild]) cancelBy(machine, plan)
    if (device) await wild.hears(this.#heard)
    if (device && (plan.drained || several)) await wild.drain()
    if (waiting === 'iterations') before.adoptElements(wild)
    wrong = before.follow(wild) ?? stillBusy(wild) ?? compare(calm, wild) ?? compareSaved(calm, wild)
    return wrong === undefined ? undefined : `cancelled while it waits for ${waiting}, ${wrong}`
  }

  /** Goes on in another machine, where everything is that has been saved of this one. */
  async #moveOn(): Promise<void> {
    const { machine } = this.#current
    const saved = await machine.save()
    this.#adversary.undo()
    this.#spare ??= this.#prepared(await ChaosMachine.make(machine.transport, this.#choices))
    const next = this.#spare
    this.#extend(next.machine)
    await next.machine.restore(saved)
    this.#spare = this.#current
    this.#current = next
  }

  #remember(): void {
    const { ram } = this.#wild
    for (const [i, page] of DATA_PAGES.entries()) this.#before.set(ram.subarray(page << 12, (page + 1) << 12), i << 12)
  }

  #unchanged(): boolean {
    const { ram } = this.#wild
    const { log } = this.#wild.cpu
    // It has not begun: the bytes of the instruction are not there.
    if (!log.active) return true
    // A request for several iterations names memory that the device reads and writes by itself.
    if (log.pending >= 0 && log.tag(log.pending) >>> 16 >= 0x80) return true
    for (const [i, page] of DATA_PAGES.entries()) {
      const before = this.#before.subarray(i << 12, (i + 1) << 12)
      if (Buffer.compare(before, ram.subarray(page << 12, (page + 1) << 12)) !== 0) return false
    }
    return true
  }
}

/** Iterations of a repeated instruction that have been completed. */
function iterationsOf({ registers }: Start, { cpu }: ChaosMachine): number {
  return new DataView(registers.buffer).getUint32(RCX_BYTES, true) - cpu.registers.generalWords[RCX_BYTES >>> 2]!
}

/** Runs for a whole turn, however often the host has its own in between. */
function runTurn(cpu: Vcpu, budget: number): Exit {
  const end = cpu.cost + budget
  for (;;) {
    const exit = cpu.run(end - cpu.cost)
    if (exit.reason !== 'yield') return exit
  }
}

function budgetOf(start: Start): number {
  return start.repeats ? REPEAT_BUDGET : BUDGET
}

function describe(exit: Exit): string {
  return exit.reason === 'error' ? `error ${String(exit.error)}` : exit.reason
}
