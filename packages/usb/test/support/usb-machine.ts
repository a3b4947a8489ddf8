import type {
  AccessSize,
  Clock,
  DeviceContext,
  DeviceModel,
  PciFunctionOptions,
  RangeHandler,
  Region,
} from '@retrap/device'
import { Instant } from '@retrap/device'
import { PciConfigSpace, TimerQueue } from '@retrap/device/host'

/** A machine of one PCI function: RAM, an interrupt wire, messages, and a clock that the test turns. */
export class UsbMachine {
  readonly ram: Uint8Array
  readonly view: DataView
  readonly now: Instant = new Instant()
  readonly #clock: Clock = {
    now: () => this.now.toNumber(),
    read: (into) => {
      into.lo = this.now.lo
      into.hi = this.now.hi
    },
  }
  readonly timers: TimerQueue = new TimerQueue(this.#clock)
  /** Promises of timers' callbacks. */
  readonly waits: Promise<unknown>[] = []
  level = false
  /** Data of the messages that were sent. */
  readonly messages: number[] = []
  fn!: PciConfigSpace
  #bar!: RangeHandler
  readonly #base: number
  /** Copies of guest memory that were made. */
  reads = 0

  /** @param base - guest-physical address of the RAM */
  constructor(model: DeviceModel, bytes = 1 << 20, base = 0) {
    this.#base = base
    this.ram = new Uint8Array(bytes)
    this.view = new DataView(this.ram.buffer)
    model.attach(this.#context())
    // Memory, bus master.
    this.fn.configWrite(4, 2, 6)
  }

  /** What a device that is plugged in by the test itself is given. */
  get context(): DeviceContext {
    return this.#context()
  }

  #context(): DeviceContext {
    const base = this.#base
    const holds = (gpa: number, length: number): boolean => gpa >= base && gpa - base + length <= this.ram.length
    const wire = { set: (level: boolean): void => void (this.level = level), pulse: unused }
    return {
      dma: {
        read: (gpa: number, into: Uint8Array) => {
          this.reads++
          if (!holds(gpa, into.length)) return false
          into.set(this.ram.subarray(gpa - base, gpa - base + into.length))
          return true
        },
        write: (gpa: number, from: Uint8Array) => {
          if (!holds(gpa, from.length)) return false
          this.ram.set(from, gpa - base)
          return true
        },
      },
      clock: this.#clock,
      timer: (callback: Parameters<DeviceContext['timer']>[0]) =>
        this.timers.create((deadlineNs, deadline) => {
          const wait = callback(deadlineNs, deadline)
          if (wait !== undefined) this.waits.push(wait)
        }),
      pci: {
        add: (options: PciFunctionOptions) => {
          this.fn = new PciConfigSpace(options, {
            mapBar: ({ handler, bytes }) => {
              if (handler !== undefined) this.#bar = handler
              return { length: bytes, enabled: false, enable() {}, disable() {}, move() {} } as unknown as Region
            },
            wire,
            signalMsi: (_address, data) => void this.messages.push(data),
            parent: null,
          })
          return this.fn
        },
      },
    } as unknown as DeviceContext
  }

  read(offset: number, size: AccessSize = 4): number {
    return (this.#bar.read(offset, size) as number) >>> 0
  }

  write(offset: number, value: number, size: AccessSize = 4): void {
    void this.#bar.write(offset, size, value >>> 0)
  }

  /** Switches MSI-X on, with vector `n` sending `n`. */
  enableMsix(vectors: number): void {
    for (let i = 0; i < vectors; i++) {
      this.write(0x3000 + 16 * i, 0xfee0_0000)
      this.write(0x3000 + 16 * i + 8, i)
      this.write(0x3000 + 16 * i + 12, 0)
    }
    this.fn.configWrite(this.fn.capability(0x11) + 2, 2, 0x8000)
  }

  /** Turns the clock forward, firing timers at their deadlines on the way. */
  advance(ns: number): void {
    const end = new Instant().set(this.now).add(ns)
    const next = new Instant()
    while (this.timers.readNextDeadline(next) && !end.isBefore(next)) {
      if (this.now.isBefore(next)) this.now.set(next)
      this.timers.expire()
    }
    this.now.set(end)
  }
}

/** Lets promises go on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function unused(): never {
  throw new Error('no USB device uses it')
}
