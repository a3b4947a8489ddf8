import {
  type AccessSize,
  type ByteStreamBackend,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  type ModemInputs,
  type PlainState,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { ByteBatch } from './byte-batch.ts'
import { ByteQueue } from './byte-queue.ts'
import {
  inLoopback,
  interruptConnected,
  MODEM_READY,
  modemOutputs,
  readModemStatus,
  setModemLines,
  writeModemControl,
} from './uart16550-modem.ts'
import { BREAK, FIFO_BYTES, Receiver } from './uart16550-receiver.ts'

/** Options of a `Uart16550`. */
interface Uart16550Options {
  /** Names the port in errors and snapshots; default `serial` and the first port number. */
  readonly name?: string
  /** First of eight ports; default 0x3F8 (COM1). */
  readonly iobase?: number
  /** ISA line; default 4. */
  readonly irq?: number
  /** The other end of the line; default nothing is connected. */
  readonly stream?: ByteStreamBackend
  /** Interrupts pass only while MCR's OUT2 is set, as on a PC's board. Default false: always, as in QEMU. */
  readonly strict?: boolean
}

/** Registers other than the receiver's, at power-on. */
const POWER_ON = {
  ier: 0,
  lcr: 0,
  mcr: 0,
  /** Delta bits. */
  msr: 0,
  scr: 0,
  divisor: 12,
  thrEmptyPending: false,
  /** Lines of the far end as bits 7:4 of the Modem Status Register. */
  modem: MODEM_READY as number,
  /** The host holds the transmitter. */
  paused: false,
}

// Offsets of registers.
const RBR_THR_DLL = 0
const IER_DLM = 1
const IIR_FCR = 2
const LCR = 3
const MCR = 4
const LSR = 5
const MSR = 6

const IER_RDA = 0x01
const IER_THRE = 0x02
const IER_RLS = 0x04
const IER_MODEM = 0x08
const IER_WRITABLE = 0x0f

const IIR_MODEM = 0x00
const IIR_NONE = 0x01
const IIR_THRE = 0x02
const IIR_RDA = 0x04
const IIR_RLS = 0x06
const IIR_TIMEOUT = 0x0c
const IIR_FIFOS = 0xc0

const FCR_ENABLE = 0x01
const FCR_CLEAR_RX = 0x02
const FCR_CLEAR_TX = 0x04

const LCR_BREAK = 0x40
const LCR_DLAB = 0x80

/** Bits of the Line Status Register that are the transmitter's. */
const LSR_THRE = 0x20
const LSR_TEMT = 0x40

/** Clock of the baud generator after its fixed division by 16. */
const BAUD_BASE = 115_200

/**
 * 16550A UART with 16-byte FIFOs.
 *
 * Characters cross the line in no time: the transmitter is empty again at
 * once unless the host pauses it, and bytes that the host has for the guest
 * queue outside the receive FIFO until it has room, so none is lost. The
 * divisor matters only to the character timeout. OUT2 of MCR does not gate the
 * interrupt, unless `strict` says so: kernels that were written in emulators
 * leave it at 0, and would wait for ever.
 *
 * Source: National Semiconductor PC16550D data sheet (June 1995).
 */
export class Uart16550 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  readonly #options: Uart16550Options
  readonly #batch: ByteBatch
  readonly #receiver: Receiver
  /** The transmit FIFO, in use while the host pauses. */
  readonly #sending = new ByteQueue()
  readonly #r = this.keeps(
    {
      version: 2,
      receiver: (): Receiver => this.#receiver,
      ...POWER_ON,
      sending: this.#sending,
      /** The bytes that were sent just now, and are handed over together. */
      batch: (): ByteBatch => this.#batch,
    },
    {
      flat: ['receiver'],
      recent: ['batch'],
      lasting: ['divisor', 'modem', 'paused', 'batch'],
      settled: (): void => this.#update(),
    },
  )
  #line: InterruptLine | null = null

  constructor(options: Uart16550Options = {}) {
    super()
    const iobase = options.iobase ?? 0x3f8
    if (!Number.isInteger(iobase) || iobase < 0 || iobase > 0xfff8)
      throw new DeviceError('ERR_OPTION', `uart16550: iobase ${iobase}: expected an integer from 0 to 0xfff8`)
    this.#options = options
    this.name = options.name ?? `serial-${iobase.toString(16)}`
    this.#batch = new ByteBatch((bytes) => {
      // The stream has these, and takes no more for now: the guest's FIFO fills, and its driver waits.
      if (this.#options.stream?.send(bytes) === false) this.pauseTransmit()
    })
    this.#receiver = new Receiver({
      timeoutNs: () => this.#timeoutNs(),
      loopback: () => inLoopback(this.#r),
      ready: () => this.#options.stream?.ready?.(),
      timedOut: () => this.#update(),
    })
    this.#options.stream?.connect?.({
      receive: (bytes) => this.#offer(bytes),
      drained: () => this.resumeTransmit(),
      breakReceived: () => this.sendBreak(),
      modemChanged: (inputs) => this.setModemLines(inputs),
    })
  }

  /** Claims the eight ports and takes the interrupt line. */
  attach(context: DeviceContext): void {
    this.#line = context.interruptLine(this.#options.irq ?? 4)
    this.#receiver.attach(context)
    this.#batch.attach(context)
    const registers: SynchronousRangeHandler = {
      read: (offset: number): number => this.#read(offset),
      write: (offset: number, _size: AccessSize, value: number): void => this.#write(offset, value),
    }
    context.mapPorts(this.#options.iobase ?? 0x3f8, 8, registers, { maximumAccess: 1 })
  }

  /**
   * Sends bytes to the guest.
   * @returns how many bytes wait outside the FIFO, for a sender that wants to hold back
   */
  receive(bytes: Uint8Array): number {
    for (const byte of bytes) this.#receiver.waiting.push(byte)
    this.#received()
    return this.#receiver.waiting.length
  }

  /** Takes as many bytes of the stream as fit; the stream is notified when there is room again. */
  #offer(bytes: Uint8Array): number {
    const taken = this.#receiver.waiting.offer(bytes)
    if (taken > 0) this.#received()
    return taken
  }

  /** Called when characters have arrived over the line. */
  #received(): void {
    this.#receiver.refill()
    this.#update()
  }

  /** Bytes from the host that the guest's FIFO has not had room for yet. */
  get receiveQueueBytes(): number {
    return this.#receiver.waiting.length
  }

  /** Sends a break to the guest: a zero character with BI set, after characters already in transit. */
  sendBreak(): void {
    this.#receiver.waiting.push(BREAK)
    this.#received()
  }

  /** Sets the far end's modem lines; a change raises the guest's modem status interrupt. */
  setModemLines(lines: ModemInputs): void {
    setModemLines(this.#r, lines)
    this.#update()
  }

  /** Characters that have gone to the line since power-on. */
  get sent(): number {
    return this.#batch.sent
  }

  /** Holds the transmitter: the guest's FIFO fills, and its driver waits. */
  pauseTransmit(): void {
    this.#r.paused = true
  }

  /** Resumes the transmitter, beginning with held characters. */
  resumeTransmit(): void {
    this.#r.paused = false
    const had = this.#sending.length > 0
    for (let byte = this.#sending.shift(); byte >= 0; byte = this.#sending.shift()) this.#batch.push(byte)
    if (had) this.#r.thrEmptyPending = true
    this.#update()
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
    switch (offset) {
      case RBR_THR_DLL:
        return (this.#r.lcr & LCR_DLAB) === 0 ? this.#readCharacter() : this.#r.divisor & 0xff
      case IER_DLM:
        return (this.#r.lcr & LCR_DLAB) === 0 ? this.#r.ier : this.#r.divisor >> 8
      case IIR_FCR: {
        const iir = this.#identify()
        // Reading the identification register clears a THRE interrupt, if the register shows one.
        if (iir === IIR_THRE) {
          this.#r.thrEmptyPending = false
          this.#update()
        }
        return iir | (this.#receiver.fifos ? IIR_FIFOS : 0)
      }
      case LCR:
        return this.#r.lcr
      case MCR:
        return this.#r.mcr
      case LSR: {
        const status = this.#receiver.status() | (this.#transmitterEmpty() ? LSR_THRE | LSR_TEMT : 0)
        this.#receiver.clearErrors()
        this.#update()
        return status
      }
      case MSR: {
        const status = readModemStatus(this.#r)
        this.#update()
        return status
      }
      default:
        return this.#r.scr
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case RBR_THR_DLL:
        if ((this.#r.lcr & LCR_DLAB) === 0) this.#send(value)
        else this.#r.divisor = (this.#r.divisor & 0xff00) | value
        break
      case IER_DLM:
        if ((this.#r.lcr & LCR_DLAB) === 0) this.#writeInterruptEnable(value & IER_WRITABLE)
        else this.#r.divisor = (this.#r.divisor & 0xff) | (value << 8)
        break
      case IIR_FCR:
        this.#writeFifoControl(value)
        break
      case LCR:
        this.#writeLineControl(value)
        break
      case MCR:
        if (writeModemControl(this.#r, value)) this.#options.stream?.setModem?.(modemOutputs(this.#r))
        // The host's characters were held off while the receiver listened to the transmitter.
        this.#receiver.refill()
        break
      case LSR:
      case MSR:
        // Factory test writes have no effect.
        return
      default:
        this.#r.scr = value
        return
    }
    this.#update()
  }

  #writeInterruptEnable(value: number): void {
    // An empty transmitter interrupts anew each time that its enable is set.
    if ((value & IER_THRE) !== 0 && (this.#r.ier & IER_THRE) === 0 && this.#transmitterEmpty())
      this.#r.thrEmptyPending = true
    this.#r.ier = value
  }

  #writeFifoControl(value: number): void {
    const enable = (value & FCR_ENABLE) !== 0
    const toggled = enable !== this.#receiver.fifos
    this.#receiver.control(enable, enable ? value >> 6 : 0)
    // The other bits count only while bit 0 is written as 1.
    if (toggled || (enable && (value & FCR_CLEAR_RX) !== 0)) this.#receiver.clear()
    if (toggled || (enable && (value & FCR_CLEAR_TX) !== 0)) {
      if (this.#sending.length > 0) this.#r.thrEmptyPending = true
      this.#sending.reset()
    }
    this.#receiver.refill()
  }

  #writeLineControl(value: number): void {
    const changed = (this.#r.lcr ^ value) & LCR_BREAK
    this.#r.lcr = value
    if (changed === 0) return
    const active = (value & LCR_BREAK) !== 0
    if (!inLoopback(this.#r)) this.#options.stream?.setBreak?.(active)
    else if (active) this.#receiver.loopBack(BREAK)
  }

  #transmitterEmpty(): boolean {
    return this.#sending.length === 0
  }

  #send(byte: number): void {
    // Word lengths under eight bits never put the upper bits on the line.
    const character = byte & (0xff >> (3 - (this.#r.lcr & 3)))
    this.#r.thrEmptyPending = false
    if (inLoopback(this.#r)) {
      this.#receiver.loopBack(character)
    } else if (this.#r.paused) {
      // A byte more than fits is lost; a driver that looks at THRE sends none.
      const room = this.#receiver.fifos ? FIFO_BYTES : 1
      if (this.#sending.length < room) this.#sending.push(character)
      return
    } else {
      this.#batch.push(character)
    }
    this.#r.thrEmptyPending = true
  }

  #readCharacter(): number {
    const character = this.#receiver.read()
    this.#update()
    return character
  }

  /** Returns the time of four characters on the line: start, data, parity and stop bits. */
  #timeoutNs(): number {
    const bits = 1 + 5 + (this.#r.lcr & 3) + ((this.#r.lcr & 8) === 0 ? 0 : 1) + ((this.#r.lcr & 4) === 0 ? 1 : 2)
    return Math.ceil((4 * bits * Math.max(1, this.#r.divisor) * 1e9) / BAUD_BASE)
  }

  /** The pending interrupt of highest priority, or IIR_NONE. */
  #identify(): number {
    const ier = this.#r.ier
    if ((ier & IER_RLS) !== 0 && this.#receiver.failed()) return IIR_RLS
    if ((ier & IER_RDA) !== 0) {
      if (this.#receiver.triggered()) return IIR_RDA
      if (this.#receiver.timeoutPending()) return IIR_TIMEOUT
    }
    if ((ier & IER_THRE) !== 0 && this.#r.thrEmptyPending) return IIR_THRE
    if ((ier & IER_MODEM) !== 0 && this.#r.msr !== 0) return IIR_MODEM
    return IIR_NONE
  }

  /** Returns the registers to their state at power-on. */
  override reset(): void {
    this.#batch.end()
    super.reset()
  }

  /** Returns the state as plain data. */
  override save(): PlainState {
    this.flush()
    return super.save()
  }

  #update(): void {
    const isConnected = this.#options.strict !== true || interruptConnected(this.#r)
    this.#line?.set(isConnected && this.#identify() !== IIR_NONE)
  }
}
