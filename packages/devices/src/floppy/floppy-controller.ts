import {
  type BlockBackend,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { commandOf, type FloppyCommand } from './commands.ts'
import { FloppyDrive, floppyFormat, MOST_KIB, SECTOR_BYTES } from './floppy-drive.ts'
import type { DmaChannel } from './i8237.ts'
import { copyOf, type FloppyRegisters, fresh, usesDma } from './registers.ts'
import { ABNORMAL, SECTOR_NS, SectorTransfers, ST1_NO_MARK } from './sector-transfers.ts'
import { DRIVES, INVALID, Seeks } from './seeks.ts'

/** Options of {@link FloppyController}. */
export interface FloppyControllerOptions {
  /** Drives A and B; null: a drive without a disk; absent: no drive. */
  readonly drives: readonly (BlockBackend | null)[]
  /** Channel 2 of the machine's DMA controllers. */
  readonly dma: DmaChannel
}

const IRQ = 6

// Digital output register.
const NOT_RESET = 0x04
const DMA_GATE = 0x08
// Main status register.
const READY = 0x80
const TO_HOST = 0x40
const NO_DMA = 0x20
const BUSY = 0x10

/** Whether a drive whose disk can be exchanged is empty. */
const hasNone = ({ tray, properties }: BlockBackend): boolean => tray !== undefined && properties.bytes === 0

/**
 * The floppy controller of a PC, with up to two drives.
 *
 * Source: Intel 82077AA data sheet (290166).
 */
export class FloppyController extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'floppy'
  /** Handlers answer at once: only the drive takes time, and the guest sees a busy controller. */
  readonly synchronous: boolean = true
  readonly #drives: readonly (FloppyDrive | null)[]
  readonly #dma: DmaChannel
  #registers = fresh()
  #line!: InterruptLine
  #sectors!: SectorTransfers
  #seeks!: Seeks
  /** Timers for the ends of seeks and of ID reads. */
  #timers: readonly Timer[] = []

  /** @throws DeviceError `ERR_OPTION` for an image that is larger than any floppy */
  constructor({ drives, dma }: FloppyControllerOptions) {
    super()
    if (drives.length > 2) throw new DeviceError('ERR_OPTION', `floppy: ${drives.length} drives: expected at most 2`)
    for (const medium of drives) {
      if (medium === null || hasNone(medium) || floppyFormat(medium.properties.bytes) !== null) continue
      const { bytes } = medium.properties
      throw new DeviceError('ERR_OPTION', `floppy: an image of ${bytes} bytes: expected at most ${MOST_KIB} KiB`)
    }
    this.#drives = Array.from({ length: DRIVES }, (_, i) => {
      const medium = drives[i]
      return medium === undefined ? null : new FloppyDrive(medium)
    })
    this.#dma = dma
    const state = {
      version: 1,
      registers: {
        save: () => copyOf(this.#registers),
        restore: (registers: FloppyRegisters): void => void (this.#registers = copyOf(registers)),
      },
      drives: () => this.#drives,
      deadlines: () => this.#timers,
      requests: () => this.#sectors.requests,
    }
    this.keeps(state, { settled: () => this.#drive() })
  }

  /** Claims the ports, the interrupt line and the DMA channel. */
  attach(context: DeviceContext): void {
    this.#line = context.interruptLine(IRQ)
    this.#sectors = new SectorTransfers({
      context,
      drives: this.#drives,
      dma: this.#dma,
      registers: () => this.#registers,
      fits: (drive) => this.#fits(drive),
      interrupt: () => this.#setInterrupt(true),
      finish: (result) => this.#finish(result),
    })
    this.#seeks = new Seeks({
      drives: this.#drives,
      registers: () => this.#registers,
      timer: (callback) => context.timer(callback),
      interrupt: (on) => this.#setInterrupt(on),
    })
    this.#timers = [...this.#seeks.timers, context.timer(() => this.#found())]
    this.#dma.onReady(() => this.#sectors.move())
    const ports: SynchronousRangeHandler = {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
    }
    context.mapPorts(0x3f0, 6, ports, { maximumAccess: 1 })
    const last: SynchronousRangeHandler = {
      read: () => this.#read(7),
      write: (_offset, _size, value) => this.#write(7, value),
    }
    context.mapPorts(0x3f7, 1, last, { maximumAccess: 1 })
  }

  // ---- Registers ----

  #read(offset: number): number {
    const registers = this.#registers
    switch (offset) {
      case 2:
        return registers.output
      case 3:
        return registers.tape
      case 4:
        return this.#status
      case 5:
        return this.#readData()
      case 7:
        return this.#hasChanged ? 0x80 : 0
      default:
        // Registers A and B exist in PS/2 mode only.
        return 0xff
    }
  }

  #write(offset: number, value: number): void {
    const registers = this.#registers
    if (offset === 2) this.#setOutput(value)
    else if (offset === 3) registers.tape = value & 3
    else if (offset === 5) this.#writeData(value)
    else if (offset === 4 || offset === 7) registers.rate = value & 3
    if (offset === 4 && (value & 0x80) !== 0 && (registers.output & NOT_RESET) !== 0) this.#restart()
  }

  get #status(): number {
    const { output, input, result, transfer, looking, at, seeking } = this.#registers
    if ((output & NOT_RESET) === 0) return 0
    if (result.length > 0) return READY | TO_HOST | BUSY | seeking
    if (transfer !== null || looking >= 0) {
      const isReady = usesDma(this.#registers) || at < 0 ? 0 : READY | (transfer?.kind === 'read' ? TO_HOST : 0)
      return BUSY | (usesDma(this.#registers) ? 0 : NO_DMA) | isReady
    }
    return READY | (input.length > 0 ? BUSY : 0) | seeking
  }

  /** The disk-change line of the selected drive, which it drives while its motor is on. */
  get #hasChanged(): boolean {
    const { output } = this.#registers
    const drive = output & 3
    return (output & (0x10 << drive)) !== 0 && (this.#drives[drive]?.changed ?? false)
  }

  #setOutput(value: number): void {
    const before = this.#registers.output
    this.#registers.output = value
    if ((value & NOT_RESET) === 0) this.#clear()
    else if ((before & NOT_RESET) === 0) this.#restart()
    this.#drive()
    // A request for the bus that the gate has held back.
    this.#sectors.move()
  }

  #setInterrupt(on: boolean): void {
    this.#registers.interrupt = on
    this.#drive()
  }

  #drive(): void {
    const { interrupt, output } = this.#registers
    this.#line.set(interrupt && (output & DMA_GATE) !== 0)
  }

  /** Ends the state that a reset of the controller ends; specified values stay, if they are locked or not touched by a reset. */
  #clear(): void {
    const { output, tape, rate, specify, configure, locked, end } = this.#registers
    const kept = { output, tape, rate, specify, locked, end, configure: locked ? configure : fresh().configure }
    this.#sectors.requests.cancel()
    for (const timer of this.#timers) timer.cancel()
    this.#registers = { ...fresh(), ...kept }
    this.#drive()
  }

  #restart(): void {
    this.#clear()
    this.#seeks.poll()
  }

  #readData(): number {
    const { result, transfer, at, buffer } = this.#registers
    if (result.length > 0) {
      this.#setInterrupt(false)
      return result.shift()!
    }
    if (transfer?.kind !== 'read' || usesDma(this.#registers) || at < 0) return 0
    this.#setInterrupt(false)
    const byte = buffer[at]!
    this.#registers.at++
    if (this.#registers.at === SECTOR_BYTES) this.#sectors.sectorDone()
    return byte
  }

  #writeData(value: number): void {
    const registers = this.#registers
    const { input, result, transfer, looking, at, buffer } = registers
    if ((registers.output & NOT_RESET) === 0 || result.length > 0 || looking >= 0) return
    if (transfer !== null) {
      if (usesDma(this.#registers) || at < 0 || transfer.kind === 'read') return
      this.#setInterrupt(false)
      buffer[at] = value
      registers.at++
      if (registers.at === buffer.length) this.#sectors.bufferFull()
      return
    }
    input.push(value)
    const { command, parameters } = commandOf(input[0]!)
    if (input.length <= parameters) return
    registers.input = []
    this.#execute(command, input)
  }

  // ---- Commands ----

  #execute(command: FloppyCommand, input: readonly number[]): void {
    const registers = this.#registers
    const [opcode = 0, first = 0, second = 0, third = 0] = input
    const number = first & 3
    switch (command) {
      case 'read':
      case 'write':
      case 'verify':
      case 'read-track':
      case 'format':
        this.#sectors.begin(command, input)
        break
      case 'read-id':
        registers.looking = first & 7
        this.#timers[DRIVES]!.armAfter(SECTOR_NS)
        break
      case 'recalibrate':
        this.#seeks.begin(number, 0)
        break
      case 'seek':
        this.#seeks.begin(number, second)
        break
      case 'relative-seek':
        this.#seeks.begin(number, (this.#drives[number]?.cylinder ?? 0) + ((opcode & 0x40) === 0 ? -second : second))
        break
      case 'sense-interrupt':
        registers.result = this.#seeks.sense()
        break
      case 'sense-drive':
        registers.result = [this.#senseDrive(first & 7)]
        break
      case 'specify':
        registers.specify = [first, second]
        break
      case 'configure':
        registers.configure = [first, second, third]
        break
      case 'perpendicular':
        registers.perpendicular = first
        break
      case 'lock':
        registers.locked = (opcode & 0x80) !== 0
        registers.result = [registers.locked ? 0x10 : 0]
        break
      case 'dump':
        registers.result = this.#dump()
        break
      case 'version':
        registers.result = [0x90]
        break
      default:
        registers.result = [INVALID]
    }
  }

  #dump(): number[] {
    const { specify, configure, perpendicular, locked, end } = this.#registers
    const cylinders = this.#drives.map((drive) => drive?.cylinder ?? 0)
    const [, control, precompensation] = configure
    const lock = (locked ? 0x80 : 0) | (perpendicular & 0x7f)
    return [...cylinders, ...specify, end, lock, control, precompensation]
  }

  #senseDrive(select: number): number {
    const drive = this.#drives[select & 3]
    const isAtZero = drive !== null && drive !== undefined && drive.cylinder === 0
    // Ready, and two-sided.
    return 0x28 | select | (isAtZero ? 0x10 : 0) | (drive?.isProtected === true ? 0x40 : 0)
  }

  /** The next sector that passes. */
  #found(): void {
    const select = this.#registers.looking
    this.#registers.looking = -1
    const drive = this.#drives[select & 3]
    const head = select >> 2
    const fits = this.#fits(select & 3) && (drive?.offset(head, 1, drive.cylinder) ?? -1) >= 0
    const status = (fits ? 0 : ABNORMAL) | select
    this.#finish([status, fits ? 0 : ST1_NO_MARK, 0, drive?.cylinder ?? 0, head, 1, 2])
  }

  /** Whether the drive holds a disk for the selected data rate. */
  #fits(number: number): boolean {
    const format = this.#drives[number]?.format
    return format?.rates.includes(this.#registers.rate) ?? false
  }

  #finish(result: number[]): void {
    this.#registers.transfer = null
    this.#registers.format = null
    this.#registers.at = -1
    this.#registers.result = result
    this.#setInterrupt(true)
  }

  // ---- Machine ----

  /** Drives unsubscribe from their disks. */
  removed(): void {
    for (const drive of this.#drives) drive?.removed()
  }

  /** Cancels pending work, and resets to power-on state. */
  override reset(): void {
    this.#clear()
    this.#registers = fresh()
    for (const drive of this.#drives) drive?.reset()
    this.#drive()
  }

  /** Waits for requests that the media are executing. Nothing is answered to the guest until `resume`. */
  async quiesce(): Promise<void> {
    await this.#sectors.requests.pause()
  }

  /** Answers again. */
  resume(): void {
    this.#sectors.requests.resume()
  }
}
