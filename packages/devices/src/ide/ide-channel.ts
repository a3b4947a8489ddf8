import { type AccessSize, type DeviceContext, type InterruptLine, Stateful } from '@retrap/device'
import { type AtaDrive, drivePart, type DriveStep, ended } from '../ata/drive.ts'
import { MediumRequests, type MediumRequestsState } from '../ata/medium-requests.ts'
import { BSY, DEVICE_1, DRQ, ERR, type TaskfileState } from '../ata/taskfile.ts'
import { BusMaster } from './bus-master.ts'

// Command block registers.
const DATA = 0
const FEATURE = 1
const COUNT = 2
const LOW = 3
const MID = 4
const HIGH = 5
const DEVICE = 6
const COMMAND = 7

/** Registers of a drive that keep their content before the last write. */
const FIELDS: Readonly<Record<number, { readonly now: keyof TaskfileState; readonly previous: keyof TaskfileState }>> =
  {
    [FEATURE]: { now: 'feature', previous: 'previousFeature' },
    [COUNT]: { now: 'count', previous: 'previousCount' },
    [LOW]: { now: 'low', previous: 'previousLow' },
    [MID]: { now: 'mid', previous: 'previousMid' },
    [HIGH]: { now: 'high', previous: 'previousHigh' },
  }

// Device control.
const NIEN = 0x02
const SRST = 0x04
const HOB = 0x80

const DEVICE_RESET = 0x08
const EXECUTE_DIAGNOSTIC = 0x90

/** Device 0 and device 1; null: absent. */
export type IdeDrives = readonly [AtaDrive | null, AtaDrive | null]

/**
 * One cable with two drives: command block, control block, interrupt and bus master.
 *
 * Both drives see writes; the selected one answers. An absent drive reads as zeros, and so does a channel with none.
 * While a drive is busy or has data for the host, only a software reset and DEVICE RESET reach it.
 *
 * Source: ATA/ATAPI-7 volume 2 (T13/1532D), "Parallel interface register definitions" and "Transport protocols".
 */
export class IdeChannel extends Stateful {
  readonly busMaster: BusMaster
  readonly #drives: IdeDrives
  readonly #line: InterruptLine
  readonly #mayMaster: () => boolean
  /** The pending request for a medium. */
  readonly requests: MediumRequests
  readonly #r
  #level = false

  /** @param mayMaster - whether the function may write memory: its bus master bit */
  constructor(context: DeviceContext, drives: IdeDrives, line: InterruptLine, mayMaster: () => boolean) {
    super()
    this.#drives = drives
    this.#line = line
    this.#mayMaster = mayMaster
    this.busMaster = new BusMaster(context.dma, () => this.moveByDma())
    this.requests = new MediumRequests(context, (error) => this.#perform(this.#drives[this.#r.active]!.answered(error)))
    this.#r = this.keeps(
      {
        control: 0,
        selected: 0,
        /** An interrupt that the host has not taken note of. */
        pending: false,
        /** The drive that executes a command. */
        active: 0,
        step: ended(false) as DriveStep,
        /** Byte of the drive's buffer that the host is at. */
        position: 0,
        // The pending request for a medium is restored last: it may be asked again, from the drive's buffer.
        requests: { save: () => this.requests.save(), restore: () => undefined },
        busMaster: this.busMaster,
        drives: drives.map(drivePart),
      },
      { device: 'ide' },
    )
  }

  // ---- Registers ----

  /** Reads the data register. */
  readData(size: AccessSize): number {
    const { kind, end } = this.#r.step
    const drive = this.#drives[this.#r.active]
    if (kind !== 'pio-in' || drive === null || this.#r.selected !== this.#r.active) return 0
    const { buffer } = drive!
    const at = this.#r.position
    let value = 0
    for (let i = Math.min(size, end - at) - 1; i >= 0; i--) value = (value << 8) | buffer[at + i]!
    this.#advance(at + size)
    return value >>> 0
  }

  /** Writes the data register. */
  writeData(size: AccessSize, value: number): void {
    const { kind, end } = this.#r.step
    const drive = this.#drives[this.#r.active]
    if (kind !== 'pio-out' || drive === null || this.#r.selected !== this.#r.active) return
    const { buffer } = drive!
    const at = this.#r.position
    const length = Math.min(size, end - at)
    for (let i = 0; i < length; i++) buffer[at + i] = value >>> (8 * i)
    this.#advance(at + size)
  }

  #advance(to: number): void {
    this.#r.position = to
    if (to >= this.#r.step.end) this.#perform(this.#drives[this.#r.active]!.moved())
  }

  /** Reads a byte of the command block other than data. */
  read(register: number): number {
    const drive = this.#drives[this.#r.selected]
    if (register === COMMAND) {
      if (drive !== null) this.#acknowledge()
      return this.status
    }
    // A single drive also holds the device register for the absent one.
    if (register === DEVICE) return (drive ?? this.#drives[0] ?? this.#drives[1])?.registers.device ?? 0
    if (drive === null || drive === undefined) return 0
    const { registers } = drive
    const previous = (this.#r.control & HOB) !== 0
    if (register === FEATURE) return registers.error
    const field = FIELDS[register]
    return field === undefined ? 0 : registers[previous ? field.previous : field.now]
  }

  /** The alternate status register: the status, without an effect on the interrupt. */
  get status(): number {
    const drive = this.#drives[this.#r.selected]
    if (drive === null || drive === undefined) return 0
    const { status } = drive.registers
    if ((this.#r.control & SRST) !== 0) return BSY
    if (this.#r.selected !== this.#r.active) return status
    switch (this.#r.step.kind) {
      case 'idle':
        return status
      case 'pio-in':
      case 'pio-out':
        return status | DRQ
      default:
        return status | BSY
    }
  }

  /** Writes a byte of the command block other than data. */
  write(register: number, value: number): void {
    this.#r.control &= ~HOB
    if ((this.#r.control & SRST) !== 0) return
    if (register === COMMAND) this.#command(value)
    else if (this.#takesCommands)
      for (const drive of this.#drives) if (drive !== null) this.#set(drive, register, value)
  }

  #set({ registers }: AtaDrive, register: number, value: number): void {
    const field = FIELDS[register]
    if (field !== undefined) {
      registers[field.previous] = registers[field.now]
      registers[field.now] = value
    } else if (register === DEVICE) {
      registers.device = value
      this.#r.selected = (value & DEVICE_1) === 0 ? 0 : 1
    }
  }

  /** Writes the device control register. */
  writeControl(value: number): void {
    const before = this.#r.control
    this.#r.control = value & (NIEN | SRST | HOB)
    if ((value & ~before & SRST) !== 0) this.#abandon()
    if ((before & ~value & SRST) !== 0) this.#signatures()
    this.#updateLine()
  }

  /** Ends pending work, which no longer reaches the guest. */
  #abandon(): void {
    this.requests.cancel()
    this.#r.step = ended(false)
    this.#r.pending = false
    for (const drive of this.#drives) drive?.reset()
  }

  #signatures(): void {
    for (const drive of this.#drives) {
      drive?.reset()
      if (drive !== null) drive.registers.device = 0
    }
    this.#r.selected = 0
    this.#r.active = 0
  }

  /** No command is under way, or one that has failed: the host need not read the data that came with the error. */
  get #takesCommands(): boolean {
    const { kind } = this.#r.step
    return kind === 'idle' || (kind === 'pio-in' && (this.#drives[this.#r.active]!.registers.status & ERR) !== 0)
  }

  #command(opcode: number): void {
    const drive = this.#drives[this.#r.selected]
    if (!this.#takesCommands) {
      if (opcode !== DEVICE_RESET || drive?.packet !== true || this.#r.selected !== this.#r.active) return
      this.requests.cancel()
      this.#r.step = ended(false)
    }
    this.#acknowledge()
    if (opcode === EXECUTE_DIAGNOSTIC) {
      // Both drives execute the command; error 1 means that device 0 passed, and device 1 as well if present.
      if (this.#drives[0] === null && this.#drives[1] === null) return
      this.#abandon()
      this.#signatures()
      this.#perform(ended(true))
      return
    }
    if (drive === null || drive === undefined) return
    this.#r.active = this.#r.selected
    this.#perform(drive.command(opcode))
  }

  // ---- Steps of a command ----

  /** Performs a step and the following steps up to the first wait: a command has up to a thousand steps. */
  #perform(first: DriveStep): void {
    for (let step: DriveStep | null = first; step !== null;) step = this.#begin(step)
  }

  /** Begins a step. @returns the next step if no wait is needed */
  #begin(step: DriveStep): DriveStep | null {
    this.#r.step = step
    this.#r.position = step.start
    switch (step.kind) {
      case 'idle':
      case 'pio-in':
      case 'pio-out':
        if (step.interrupt) this.#interrupt()
        return null
      case 'dma-in':
      case 'dma-out':
        return this.#move()
      default:
        return this.#request(step)
    }
  }

  /** Asks the medium. By PIO a drive is busy for a while after each command, as drivers may expect. */
  #request(step: DriveStep): DriveStep | null {
    const drive = this.#drives[this.#r.active]!
    const result = step.byDma ? this.requests.performInPlace(drive, step) : undefined
    if (result !== undefined) return drive.answered(result)
    this.requests.start(drive, step)
    return null
  }

  /** Moves data, if the guest has started the bus master and permits the function to write memory. */
  moveByDma(): void {
    const next = this.#move()
    if (next !== null) this.#perform(next)
  }

  #move(): DriveStep | null {
    const { kind, end } = this.#r.step
    if ((kind !== 'dma-in' && kind !== 'dma-out') || !this.#mayMaster()) return null
    const drive = this.#drives[this.#r.active]!
    const bytes = drive.buffer.subarray(this.#r.position, end)
    this.#r.position += this.busMaster.move(bytes, kind === 'dma-in')
    return this.#r.position === end ? drive.moved() : null
  }

  // ---- Interrupt ----

  #interrupt(): void {
    this.#r.pending = true
    this.#updateLine()
  }

  #acknowledge(): void {
    this.#r.pending = false
    this.#updateLine()
  }

  #updateLine(): void {
    const level = this.#r.pending && (this.#r.control & NIEN) === 0
    if (level && !this.#level) this.busMaster.interrupted()
    this.#level = level
    this.#line.set(level)
  }

  // ---- Machine ----

  powerOn(): void {
    this.#abandon()
    this.#r.control = 0
    for (const drive of this.#drives) drive?.powerOn()
    this.#signatures()
    this.busMaster.reset()
    this.#updateLine()
  }

  override stateFault(state: unknown): string | undefined {
    const fault = super.stateFault(state)
    if (fault !== undefined) return fault
    const { active, step } = state as { readonly active: number; readonly step: DriveStep }
    if (step.kind === 'idle' || (this.#drives[active] ?? null) !== null) return undefined
    return `.active is ${active}, which executes a command: expected a drive that is there`
  }

  override restore(state: unknown): void {
    this.requests.cancel()
    super.restore(state)
    // A wire that comes up at its level is no edge.
    this.#level = this.#r.pending && (this.#r.control & NIEN) === 0
    this.#updateLine()
    const { requests } = state as { readonly requests: MediumRequestsState | null }
    this.requests.restore(requests, this.#drives[this.#r.active] ?? null, this.#r.step)
  }
}

/** The offset of the data register, which moves more than bytes. */
export const DATA_REGISTER: typeof DATA = DATA
