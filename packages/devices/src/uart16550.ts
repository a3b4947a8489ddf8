import {
  type AccessSize,
  type ByteStreamBackend,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  type ModemInputs,
  savedState,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { ByteBatch } from './byte-batch.ts'
import { ByteQueue } from './byte-queue.ts'

const FIFO_BYTES = 16
const TRIGGERS = [1, 4, 8, 14] as const

// Register offsets.
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

const MCR_DTR = 0x01
const MCR_RTS = 0x02
const MCR_OUT1 = 0x04
const MCR_OUT2 = 0x08
const MCR_LOOP = 0x10
const MCR_WRITABLE = 0x1f

const LSR_DR = 0x01
const LSR_OE = 0x02
const LSR_PE = 0x04
const LSR_FE = 0x08
const LSR_BI = 0x10
const LSR_THRE = 0x20
const LSR_TEMT = 0x40
const LSR_FIFO_ERROR = 0x80
const LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI

const MSR_CTS = 0x10
const MSR_DSR = 0x20
const MSR_RI = 0x40
const MSR_DCD = 0x80
const MSR_DELTA_RI = 0x04

/** Clock of the baud generator after its fixed division by 16. */
const BAUD_BASE = 115_200
/** Errors of a received character ride above its byte in the queues. */
const ERRORS_SHIFT = 8
/** Characters of a stream that wait outside the FIFO before the stream has to. */
const MAX_WAITING = 256

/** Options of {@link Uart16550}. */
export interface Uart16550Options {
  /** Names the port in errors and snapshots; default `serial` and the first port number. */
  readonly name?: string
  /** First of eight ports; default 0x3F8 (COM1). */
  readonly iobase?: number
  /** ISA line; default 4. */
  readonly irq?: number
  /** The other end of the line; default nothing is connected. */
  readonly stream?: ByteStreamBackend
}

/** Saved form of a {@link Uart16550}. */
export interface Uart16550State {
  /** Layout of the state. */
  readonly version: 1
  /** Interrupt Enable Register. */
  readonly ier: number
  /** Whether the FIFOs are on. */
  readonly fifos: boolean
  /** Receive trigger level in characters. */
  readonly trigger: number
  /** Line Control Register. */
  readonly lcr: number
  /** Modem Control Register. */
  readonly mcr: number
  /** Error bits of the Line Status Register and the latched overrun; the rest is worked out. */
  readonly lsr: number
  /** Delta bits of the Modem Status Register. */
  readonly msr: number
  /** Scratch Register. */
  readonly scr: number
  /** Divisor latch. */
  readonly divisor: number
  /** The transmitter-empty interrupt is pending. */
  readonly thrEmptyPending: boolean
  /** The character timeout interrupt is pending. */
  readonly timeoutPending: boolean
  /** Virtual time of the next character timeout in nanoseconds; null: none is due. */
  readonly timeoutAt: number | null
  /** Lines of the far end as bits 7:4 of the Modem Status Register. */
  readonly modem: number
  /** The host holds the transmitter. */
  readonly paused: boolean
  /** Characters with their error bits above the byte. */
  readonly received: readonly number[]
  /** Characters from the host that the FIFO has had no room for. */
  readonly waiting: readonly number[]
  /** Characters in the transmit FIFO. */
  readonly sending: readonly number[]
}

/**
 * 16550A UART with 16-byte FIFOs.
 *
 * Characters cross the line in no time: the transmitter is empty again at
 * once unless the host pauses it, and bytes that the host has for the guest
 * queue outside the receive FIFO until it has room, so none is lost. The
 * divisor matters only to the character timeout. The interrupt output passes
 * MCR's OUT2 as on every PC.
 *
 * Source: National Semiconductor PC16550D data sheet (June 1995).
 */
export class Uart16550 implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  readonly #options: Uart16550Options
  readonly #batch: ByteBatch
  /** The receive FIFO (one deep while FIFOs are off). */
  readonly #received = new ByteQueue()
  /** What the host has sent and the FIFO has no room for yet. */
  readonly #waiting = new ByteQueue()
  /** The transmit FIFO; only ever holds something while the host pauses. */
  readonly #sending = new ByteQueue()
  #ier = 0
  #fifos = false
  #trigger = 0
  #lcr = 0
  #mcr = 0
  /** Error bits and the latched overrun only; the rest is worked out. */
  #lsr = 0
  /** Delta bits only. */
  #msr = 0
  #scr = 0
  #divisor = 12
  #thrEmptyPending = false
  #timeoutPending = false
  /** Far end's modem lines as MSR bits 7:4. */
  #modem = MSR_CTS | MSR_DSR | MSR_DCD
  #paused = false
  /** The stream was offered less room than it wanted. */
  #short = false
  #context: DeviceContext | null = null
  #line: InterruptLine | null = null
  #timer: Timer | null = null

  constructor(options: Uart16550Options = {}) {
    const iobase = options.iobase ?? 0x3f8
    if (!Number.isInteger(iobase) || iobase < 0 || iobase > 0xfff8)
      throw new DeviceError('ERR_OPTION', `uart16550: iobase ${iobase}: expected an integer from 0 to 0xfff8`)
    this.#options = options
    this.name = options.name ?? `serial-${iobase.toString(16)}`
    this.#batch = new ByteBatch((bytes) => {
      // The stream has these, and takes no more for now: the guest's FIFO fills, and its driver waits.
      if (this.#options.stream?.send(bytes) === false) this.pauseTransmit()
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
    this.#context = context
    this.#line = context.interruptLine(this.#options.irq ?? 4)
    this.#timer = context.timer(() => {
      this.#timeoutPending = this.#received.length > 0 && this.#fifos
      this.#update()
    })
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
    for (const byte of bytes) this.#waiting.push(byte)
    this.#refill()
    this.#update()
    return this.#waiting.length
  }

  /** Takes as many bytes of the stream as there is room for; it is told when there is more. */
  #offer(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, Math.max(0, MAX_WAITING - this.#waiting.length))
    this.#short = taken < bytes.length
    if (taken > 0) this.receive(bytes.subarray(0, taken))
    return taken
  }

  /** Bytes from the host that the guest's FIFO has not had room for yet. */
  get receiveQueueBytes(): number {
    return this.#waiting.length
  }

  /** Sends a break to the guest: a zero character with BI set, behind what is already on its way. */
  sendBreak(): void {
    this.#waiting.push((LSR_BI | LSR_FE) << ERRORS_SHIFT)
    this.#refill()
    this.#update()
  }

  /** Sets the far end's modem lines; a change raises the guest's modem status interrupt. */
  setModemLines(lines: ModemInputs): void {
    const before = this.#modemStatus()
    this.#modem =
      (lines.clearToSend ? MSR_CTS : 0) |
      (lines.dataSetReady ? MSR_DSR : 0) |
      (lines.ringIndicator ? MSR_RI : 0) |
      (lines.carrierDetect ? MSR_DCD : 0)
    this.#noteModemChange(before)
    this.#update()
  }

  /** Holds the transmitter: the guest's FIFO fills, and its driver waits. */
  pauseTransmit(): void {
    this.#paused = true
  }

  /** Lets the transmitter run on, beginning with what was held back. */
  resumeTransmit(): void {
    this.#paused = false
    const had = this.#sending.length > 0
    for (let byte = this.#sending.shift(); byte >= 0; byte = this.#sending.shift()) this.#batch.push(byte)
    if (had) this.#thrEmptyPending = true
    this.#update()
  }

  /** Hands over what would be lost with the machine. */
  quiesce(): void {
    this.#batch.flush()
  }

  /** Hands the host what the guest has sent so far, without waiting for more. */
  flush(): void {
    this.#batch.flush()
  }

  #read(offset: number): number {
    switch (offset) {
      case RBR_THR_DLL:
        return (this.#lcr & LCR_DLAB) === 0 ? this.#readReceiver() : this.#divisor & 0xff
      case IER_DLM:
        return (this.#lcr & LCR_DLAB) === 0 ? this.#ier : this.#divisor >> 8
      case IIR_FCR: {
        const iir = this.#identify()
        // Reading the identification ends a THRE interrupt, if that is what it shows.
        if (iir === IIR_THRE) {
          this.#thrEmptyPending = false
          this.#update()
        }
        return iir | (this.#fifos ? IIR_FIFOS : 0)
      }
      case LCR:
        return this.#lcr
      case MCR:
        return this.#mcr
      case LSR: {
        const status = this.#lineStatus()
        this.#lsr &= ~LSR_ERRORS
        this.#update()
        return status
      }
      case MSR: {
        const status = this.#modemStatus() | this.#msr
        this.#msr = 0
        this.#update()
        return status
      }
      default:
        return this.#scr
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case RBR_THR_DLL:
        if ((this.#lcr & LCR_DLAB) === 0) this.#send(value)
        else this.#divisor = (this.#divisor & 0xff00) | value
        break
      case IER_DLM:
        if ((this.#lcr & LCR_DLAB) === 0) this.#writeInterruptEnable(value & IER_WRITABLE)
        else this.#divisor = (this.#divisor & 0xff) | (value << 8)
        break
      case IIR_FCR:
        this.#writeFifoControl(value)
        break
      case LCR:
        this.#writeLineControl(value)
        break
      case MCR: {
        const before = this.#modemStatus()
        const changed = (this.#mcr ^ value) & (MCR_DTR | MCR_RTS | MCR_LOOP)
        this.#mcr = value & MCR_WRITABLE
        if (changed !== 0) this.#driveModem()
        this.#noteModemChange(before)
        // The host's characters were held off while the receiver listened to the transmitter.
        this.#refill()
        break
      }
      case LSR:
      case MSR:
        // Factory test writes; they do nothing here.
        return
      default:
        this.#scr = value
        return
    }
    this.#update()
  }

  /** In loopback the outputs do not leave the chip: the far end sees them inactive. */
  #driveModem(): void {
    const out = (this.#mcr & MCR_LOOP) === 0 ? this.#mcr : 0
    this.#options.stream?.setModem?.({
      dataTerminalReady: (out & MCR_DTR) !== 0,
      requestToSend: (out & MCR_RTS) !== 0,
    })
  }

  #writeInterruptEnable(value: number): void {
    // An empty transmitter interrupts anew each time that its enable is set.
    if ((value & IER_THRE) !== 0 && (this.#ier & IER_THRE) === 0 && this.#transmitterEmpty())
      this.#thrEmptyPending = true
    this.#ier = value
  }

  #writeFifoControl(value: number): void {
    const enable = (value & FCR_ENABLE) !== 0
    const toggled = enable !== this.#fifos
    this.#fifos = enable
    // The other bits count only while bit 0 is written as 1.
    if (toggled || (enable && (value & FCR_CLEAR_RX) !== 0)) {
      this.#received.clear()
      this.#lsr &= ~(LSR_PE | LSR_FE | LSR_BI)
      this.#timeoutPending = false
      this.#timer?.cancel()
    }
    if (toggled || (enable && (value & FCR_CLEAR_TX) !== 0)) {
      if (this.#sending.length > 0) this.#thrEmptyPending = true
      this.#sending.clear()
    }
    this.#trigger = enable ? value >> 6 : 0
    this.#refill()
  }

  #writeLineControl(value: number): void {
    const changed = (this.#lcr ^ value) & LCR_BREAK
    this.#lcr = value
    if (changed === 0) return
    const active = (value & LCR_BREAK) !== 0
    if ((this.#mcr & MCR_LOOP) === 0) this.#options.stream?.setBreak?.(active)
    else if (active) this.#loopBack((LSR_BI | LSR_FE) << ERRORS_SHIFT)
  }

  #transmitterEmpty(): boolean {
    return this.#sending.length === 0
  }

  #send(byte: number): void {
    // Word lengths under eight bits never put the upper bits on the line.
    const character = byte & (0xff >> (3 - (this.#lcr & 3)))
    this.#thrEmptyPending = false
    if ((this.#mcr & MCR_LOOP) !== 0) {
      this.#loopBack(character)
    } else if (this.#paused) {
      // A byte more than fits is lost; a driver that looks at THRE sends none.
      const room = this.#fifos ? FIFO_BYTES : 1
      if (this.#sending.length < room) this.#sending.push(character)
      return
    } else {
      this.#batch.push(character)
    }
    this.#thrEmptyPending = true
  }

  #loopBack(character: number): void {
    if (this.#received.length < (this.#fifos ? FIFO_BYTES : 1)) {
      this.#accept(character)
      return
    }
    // FIFOs keep what they hold; the single register takes the newer character.
    this.#lsr |= LSR_OE
    if (!this.#fifos) {
      this.#received.clear()
      this.#accept(character)
    }
  }

  /** Moves characters from the host's queue to the FIFO while there is room. */
  #refill(): void {
    if ((this.#mcr & MCR_LOOP) !== 0) return
    const room = this.#fifos ? FIFO_BYTES : 1
    while (this.#waiting.length > 0 && this.#received.length < room) this.#accept(this.#waiting.shift())
    if (!this.#short || this.#waiting.length > 0) return
    this.#short = false
    this.#options.stream?.ready?.()
  }

  #accept(character: number): void {
    this.#received.push(character)
    if (this.#received.length === 1) this.#lsr |= character >> ERRORS_SHIFT
    this.#restartTimeout()
  }

  #readReceiver(): number {
    const character = this.#received.shift()
    if (character < 0) return 0
    this.#timeoutPending = false
    // Errors show when their character is the next to be read.
    const next = this.#received.at(0)
    if (next >= 0) this.#lsr |= next >> ERRORS_SHIFT
    this.#restartTimeout()
    this.#refill()
    this.#update()
    return character & 0xff
  }

  /** "No characters for 4 character times, and none read": the count begins again with each arrival and each read. */
  #restartTimeout(): void {
    const timer = this.#timer
    const context = this.#context
    if (timer === null || context === null) return
    if (!this.#fifos || this.#received.length === 0) {
      timer.cancel()
      return
    }
    const bits = 1 + 5 + (this.#lcr & 3) + ((this.#lcr & 8) === 0 ? 0 : 1) + ((this.#lcr & 4) === 0 ? 1 : 2)
    timer.arm(context.clock.now() + Math.ceil((4 * bits * Math.max(1, this.#divisor) * 1e9) / BAUD_BASE))
  }

  #lineStatus(): number {
    let status = this.#lsr
    if (this.#received.length > 0) status |= LSR_DR
    if (this.#transmitterEmpty()) status |= LSR_THRE | LSR_TEMT
    if (this.#fifos) {
      for (let i = 0; i < this.#received.length; i++) {
        if (this.#received.at(i) >> ERRORS_SHIFT !== 0) {
          status |= LSR_FIFO_ERROR
          break
        }
      }
    }
    return status
  }

  /** MSR bits 7:4; in loopback the modem control outputs come round. */
  #modemStatus(): number {
    if ((this.#mcr & MCR_LOOP) === 0) return this.#modem
    return (
      ((this.#mcr & MCR_RTS) === 0 ? 0 : MSR_CTS) |
      ((this.#mcr & MCR_DTR) === 0 ? 0 : MSR_DSR) |
      ((this.#mcr & MCR_OUT1) === 0 ? 0 : MSR_RI) |
      ((this.#mcr & MCR_OUT2) === 0 ? 0 : MSR_DCD)
    )
  }

  #noteModemChange(before: number): void {
    const now = this.#modemStatus()
    // The ring indicator's delta is its trailing edge only.
    let delta = ((before ^ now) >> 4) & ~MSR_DELTA_RI
    if ((before & ~now & MSR_RI) !== 0) delta |= MSR_DELTA_RI
    this.#msr |= delta
  }

  /** The pending interrupt of highest priority, or IIR_NONE. */
  #identify(): number {
    const ier = this.#ier
    if ((ier & IER_RLS) !== 0 && (this.#lsr & LSR_ERRORS) !== 0) return IIR_RLS
    if ((ier & IER_RDA) !== 0) {
      const level = this.#fifos ? TRIGGERS[this.#trigger]! : 1
      if (this.#received.length >= level) return IIR_RDA
      if (this.#timeoutPending) return IIR_TIMEOUT
    }
    if ((ier & IER_THRE) !== 0 && this.#thrEmptyPending) return IIR_THRE
    if ((ier & IER_MODEM) !== 0 && this.#msr !== 0) return IIR_MODEM
    return IIR_NONE
  }

  #update(): void {
    // In loopback OUT2 is disconnected from its pin, which then is inactive.
    const gated = (this.#mcr & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2
    this.#line?.set(gated && this.#identify() !== IIR_NONE)
  }

  /** Returns the registers to their state at power-on. */
  reset(): void {
    this.flush()
    this.#ier = 0
    this.#fifos = false
    this.#trigger = 0
    this.#lcr = 0
    this.#mcr = 0
    this.#lsr = 0
    this.#msr = 0
    this.#thrEmptyPending = false
    this.#timeoutPending = false
    this.#timer?.cancel()
    this.#received.clear()
    this.#sending.clear()
    this.#update()
  }

  /** Returns the state as plain data. */
  save(): Uart16550State {
    this.flush()
    const deadline = this.#timer?.deadlineNs ?? Infinity
    return {
      version: 1,
      ier: this.#ier,
      fifos: this.#fifos,
      trigger: this.#trigger,
      lcr: this.#lcr,
      mcr: this.#mcr,
      lsr: this.#lsr,
      msr: this.#msr,
      scr: this.#scr,
      divisor: this.#divisor,
      thrEmptyPending: this.#thrEmptyPending,
      timeoutPending: this.#timeoutPending,
      timeoutAt: deadline === Infinity ? null : deadline,
      modem: this.#modem,
      paused: this.#paused,
      received: this.#received.toArray(),
      waiting: this.#waiting.toArray(),
      sending: this.#sending.toArray(),
    }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const saved = savedState<Uart16550State>(this.name, state, 1)
    this.#ier = saved.ier
    this.#fifos = saved.fifos
    this.#trigger = saved.trigger
    this.#lcr = saved.lcr
    this.#mcr = saved.mcr
    this.#lsr = saved.lsr
    this.#msr = saved.msr
    this.#scr = saved.scr
    this.#divisor = saved.divisor
    this.#thrEmptyPending = saved.thrEmptyPending
    this.#timeoutPending = saved.timeoutPending
    this.#modem = saved.modem
    this.#paused = saved.paused
    for (const [queue, items] of [
      [this.#received, saved.received],
      [this.#waiting, saved.waiting],
      [this.#sending, saved.sending],
    ] as const) {
      queue.clear()
      for (const item of items) queue.push(item)
    }
    if (saved.timeoutAt === null) this.#timer?.cancel()
    else this.#timer?.arm(saved.timeoutAt)
    this.#update()
  }
}
