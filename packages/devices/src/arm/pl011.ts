import {
  type ByteStreamBackend,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  type ModemInputs,
  type PlainState,
  Stateful,
} from '@retrap/device'
import { ByteBatch } from '../byte-batch.ts'
import { ByteQueue } from '../byte-queue.ts'
import { FIFO_CHARACTERS, Pl011Receiver, triggerLevel } from './pl011-receiver.ts'
import * as R from './pl011-registers.ts'
import { PRIME_CELL_BYTES, primeCell } from './prime-cell.ts'

/** Each modem input: its flag, its interrupt, and the output that drives it in loopback. */
const INPUTS = [
  { flag: R.FR_CTS, interrupt: R.INT_CTS, output: R.CR_RTS },
  { flag: R.FR_DSR, interrupt: R.INT_DSR, output: R.CR_DTR },
  { flag: R.FR_DCD, interrupt: R.INT_DCD, output: R.CR_OUT1 },
  { flag: R.FR_RI, interrupt: R.INT_RI, output: R.CR_OUT2 },
] as const

/** Modem lines of a far end that is there and ready, as bits of the flag register. */
const MODEM_READY: number = R.FR_CTS | R.FR_DSR | R.FR_DCD

/** The far end's lines as bits of the flag register. */
const modemFlags = (lines: ModemInputs): number =>
  (lines.clearToSend ? R.FR_CTS : 0) |
  (lines.dataSetReady ? R.FR_DSR : 0) |
  (lines.carrierDetect ? R.FR_DCD : 0) |
  (lines.ringIndicator ? R.FR_RI : 0)

/** Returns the modem status inputs for the guest: the far end's, or in loopback its own outputs. */
function modemInputs(control: number, lines: number): number {
  if ((control & R.CR_LBE) === 0) return lines
  let flags = 0
  for (const { flag, output } of INPUTS) if ((control & output) !== 0) flags |= flag
  return flags
}

/** Raw interrupts of inputs that have changed. */
function modemInterrupts(before: number, now: number): number {
  let interrupts = 0
  for (const { flag, interrupt } of INPUTS) if (((before ^ now) & flag) !== 0) interrupts |= interrupt
  return interrupts
}

const DEFAULT_CLOCK_HZ = 24_000_000
/** Bits after which characters below the trigger level interrupt. */
const TIMEOUT_BITS = 32

/** Options of {@link Pl011}. */
export interface Pl011Options {
  /** Names the port in errors and snapshots; default `pl011` and the address. */
  readonly name?: string
  /** Guest-physical address of its 4 KiB of registers. */
  readonly base: number
  /** Interrupt line, as `DeviceContext.interruptLine` counts them. */
  readonly irq: number
  /** UARTCLK in hertz, which the baud rate is divided from; default 24 MHz. */
  readonly clockHz?: number
  /** The other end of the line; default nothing is connected. */
  readonly stream?: ByteStreamBackend
}

/**
 * PL011 UART with FIFOs of 16 characters (revision r1p4).
 *
 * Characters cross the line in no time: each write to the transmitter raises its interrupt at once unless the host pauses
 * it, and bytes that the host has for the guest wait outside the receive FIFO until there is room. The divisor matters only
 * to the receive timeout. The combined interrupt UARTINTR is connected.
 *
 * The transmitter works before the guest has enabled the UART, as it does where firmware has run: kernels write their first
 * messages without touching the control register, as characters of eight bits. Characters for a receiver that is off wait on the line. IrDA (SIR) is
 * absent; its bits are kept. There is no DMA: the bits of UARTDMACR are kept.
 *
 * Source: Arm DDI 0183F, "PrimeCell UART (PL011) Technical Reference Manual".
 */
export class Pl011 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  readonly #options: Pl011Options
  readonly #batch: ByteBatch
  readonly #receiver: Pl011Receiver
  /** The transmit FIFO, in use while the host pauses. */
  readonly #sending = new ByteQueue()
  readonly #r = this.keeps(
    {
      version: 1,
      receiver: (): Pl011Receiver => this.#receiver,
      ...R.POWER_ON,
      /** Lines of the far end as bits of the flag register. */
      modem: MODEM_READY,
      /** The host holds the transmitter. */
      paused: false,
      sending: this.#sending,
      /** The bytes that were sent just now, and are handed over together. */
      batch: (): ByteBatch => this.#batch,
    },
    {
      flat: ['receiver'],
      recent: ['batch'],
      lasting: ['modem', 'paused', 'batch'],
      settled: (): void => this.#update(),
    },
  )
  #line: InterruptLine | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: Pl011Options) {
    super()
    const { clockHz = DEFAULT_CLOCK_HZ } = options
    if (!(clockHz > 0 && clockHz < Infinity))
      throw new DeviceError('ERR_OPTION', `pl011: clockHz ${clockHz}: expected a positive number`)
    this.#options = options
    this.name = options.name ?? `pl011-${options.base.toString(16)}`
    this.#batch = new ByteBatch((bytes) => {
      // The stream has these, and takes no more for now: the guest's FIFO fills, and its driver waits.
      if (this.#options.stream?.send(bytes) === false) this.#r.paused = true
    })
    this.#receiver = new Pl011Receiver({
      listens: () => (this.#r.cr & (R.CR_UARTEN | R.CR_RXE | R.CR_LBE)) === (R.CR_UARTEN | R.CR_RXE),
      fifos: () => this.#hasFifos(),
      trigger: () => (this.#hasFifos() ? triggerLevel((this.#r.ifls >> 3) & 7) : 1),
      timeoutNs: () => this.#timeoutNs(),
      raise: (interrupts) => this.#setRaw(this.#r.ris | interrupts),
      lower: (interrupts) => this.#setRaw(this.#r.ris & ~interrupts),
      ready: () => this.#options.stream?.ready?.(),
    })
    this.#options.stream?.connect?.({
      receive: (bytes) => this.#offer(bytes),
      drained: () => this.#resumeTransmit(),
      breakReceived: () => this.#push(R.DR_BE),
      modemChanged: (inputs) => this.#setModemLines(inputs),
    })
  }

  /** Claims the registers and takes the interrupt line. */
  attach(context: DeviceContext): void {
    this.#line = context.interruptLine(this.#options.irq)
    this.#receiver.attach(context)
    this.#batch.attach(context)
    const registers = primeCell(R.PL011_ID, {
      read: (offset) => this.#read(offset),
      write: (offset, value) => this.#write(offset, value),
    })
    context.mapMmio(this.#options.base, PRIME_CELL_BYTES, registers)
  }

  /** Takes as many bytes of the stream as fit; the stream is notified when there is room again. */
  #offer(bytes: Uint8Array): number {
    const taken = this.#receiver.waiting.offer(bytes)
    this.#receiver.refill()
    return taken
  }

  #push(character: number): void {
    this.#receiver.waiting.push(character)
    this.#receiver.refill()
  }

  #setModemLines(inputs: ModemInputs): void {
    const before = this.#inputs()
    this.#r.modem = modemFlags(inputs)
    this.#modemChanged(before)
  }

  #modemChanged(before: number): void {
    this.#setRaw(this.#r.ris | modemInterrupts(before, this.#inputs()))
    if (!this.#holdsBack()) this.#drain()
  }

  #inputs(): number {
    return modemInputs(this.#r.cr, this.#r.modem)
  }

  #hasFifos(): boolean {
    return (this.#r.lcrH & R.LCR_FEN) !== 0
  }

  /** Whether characters stay in the transmit FIFO: the host has no room, or the far end asks for silence. */
  #holdsBack(): boolean {
    return this.#r.paused || ((this.#r.cr & R.CR_CTSEN) !== 0 && (this.#inputs() & R.FR_CTS) === 0)
  }

  #resumeTransmit(): void {
    this.#r.paused = false
    if (!this.#holdsBack()) this.#drain()
  }

  #drain(): void {
    if (this.#sending.length === 0) return
    for (let byte = this.#sending.shift(); byte >= 0; byte = this.#sending.shift()) this.#batch.push(byte)
    this.#setRaw(this.#r.ris | R.INT_TX)
  }

  /** Flushes output that would be lost with the machine. */
  quiesce(): void {
    this.#batch.flush()
  }

  /** Passes the guest's output so far to the host, without waiting for more. */
  flush(): void {
    this.#batch.flush()
  }

  #read(offset: number): number {
    if (offset === R.DR) return this.#receiver.read()
    if (offset === R.RSR_ECR) return this.#receiver.registers.rsr
    if (offset === R.FR) return this.#flags()
    if (offset === R.MIS) return this.#r.ris & this.#r.imsc
    const stored = R.STORED[offset]
    return stored === undefined ? 0 : this.#r[stored.name]
  }

  #write(offset: number, value: number): void {
    const stored = R.STORED[offset]
    if (stored !== undefined && stored.writable !== 0) this.#r[stored.name] = value & stored.writable
    switch (offset) {
      case R.DR:
        this.#send(value & 0xff)
        break
      case R.RSR_ECR:
        this.#receiver.registers.rsr = 0
        break
      case R.LCR_H:
        this.#writeLineControl(value & 0xff)
        break
      case R.CR:
        this.#writeControl(value & R.CR_WRITABLE)
        break
      case R.IFLS:
        this.#receiver.triggerChanged()
        break
      case R.IMSC:
        this.#update()
        break
      case R.ICR:
        this.#setRaw(this.#r.ris & ~value)
        if ((value & R.INT_RT) !== 0) this.#receiver.timeoutCleared()
        break
      // All other registers have no effect, are read-only or do not exist.
    }
  }

  #flags(): number {
    const sending = this.#sending.length
    return (
      this.#inputs() |
      (sending === 0 ? R.FR_TXFE : R.FR_BUSY) |
      (sending >= this.#transmitRoom() ? R.FR_TXFF : 0) |
      (this.#receiver.empty ? R.FR_RXFE : 0) |
      (this.#receiver.full ? R.FR_RXFF : 0)
    )
  }

  #transmitRoom(): number {
    return this.#hasFifos() ? FIFO_CHARACTERS : 1
  }

  #send(byte: number): void {
    // Word lengths under eight bits never put the upper bits on the line. The line of a UART that nobody has set up has eight.
    const isSetUp = (this.#r.cr & R.CR_UARTEN) !== 0
    const character = isSetUp ? byte & (0xff >> (3 - ((this.#r.lcrH >> R.LCR_WLEN_SHIFT) & 3))) : byte
    if ((this.#r.cr & R.CR_LBE) !== 0) {
      if ((this.#r.cr & (R.CR_UARTEN | R.CR_RXE)) === (R.CR_UARTEN | R.CR_RXE)) this.#receiver.loopBack(character)
    } else if (this.#holdsBack()) {
      // A character more than fits is lost; a driver that looks at TXFF sends none.
      if (this.#sending.length < this.#transmitRoom()) this.#sending.push(character)
      const level = this.#hasFifos() ? triggerLevel(this.#r.ifls & 7) : 0
      if (this.#sending.length > level) this.#setRaw(this.#r.ris & ~R.INT_TX)
      return
    } else this.#batch.push(character)
    // The character has left: the FIFO is down at its trigger level again.
    this.#setRaw(this.#r.ris | R.INT_TX)
  }

  #writeLineControl(value: number): void {
    const changed = this.#r.lcrH ^ value
    this.#r.lcrH = value
    if ((changed & R.LCR_FEN) !== 0) {
      // FIFOs and holding registers do not share their contents.
      if (this.#sending.length > 0) this.#setRaw(this.#r.ris | R.INT_TX)
      this.#sending.reset()
      this.#receiver.clear()
      this.#receiver.refill()
    }
    if ((changed & R.LCR_BRK) === 0) return
    const active = (value & R.LCR_BRK) !== 0
    if ((this.#r.cr & R.CR_LBE) === 0) this.#options.stream?.setBreak?.(active)
    else if (active) this.#receiver.loopBack(R.DR_BE)
  }

  #writeControl(value: number): void {
    const before = this.#inputs()
    const changed = this.#r.cr ^ value
    this.#r.cr = value
    if ((changed & (R.CR_DTR | R.CR_RTS | R.CR_LBE)) !== 0) this.#driveModem()
    this.#modemChanged(before)
    this.#receiver.refill()
  }

  /** In loopback the outputs do not leave the chip: the far end sees them inactive. */
  #driveModem(): void {
    const out = (this.#r.cr & R.CR_LBE) === 0 ? this.#r.cr : 0
    this.#options.stream?.setModem?.({
      dataTerminalReady: (out & R.CR_DTR) !== 0,
      requestToSend: (out & R.CR_RTS) !== 0,
    })
  }

  #timeoutNs(): number {
    const { clockHz = DEFAULT_CLOCK_HZ } = this.#options
    // The UART does not work with a divisor below 1 (§3.3.6, "Fractional Baud Rate Register").
    const divisor = Math.max(1, this.#r.ibrd + this.#r.fbrd / 64)
    return Math.ceil((TIMEOUT_BITS * 16 * divisor * 1e9) / clockHz)
  }

  #setRaw(ris: number): void {
    this.#r.ris = ris
    this.#update()
  }

  /** Returns the registers to their state at power-on. */
  override reset(): void {
    this.#batch.end()
    super.reset()
    this.#receiver.clear()
  }

  /** Returns the state as plain data. */
  override save(): PlainState {
    this.flush()
    return super.save()
  }

  #update(): void {
    this.#line?.set((this.#r.ris & this.#r.imsc) !== 0)
  }
}
