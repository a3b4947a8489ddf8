import type * as device from '@retrap/device'
import { Instant } from '@retrap/device'
import { checkedNumber, cut, PciConfigSpace, TimerQueue } from '@retrap/device/host'

/** A machine of one device: RAM, a PCI function, an interrupt wire, messages, and a clock that the test turns. */
export class PciMachine {
  readonly ram: Uint8Array
  readonly view: DataView
  readonly now: Instant = new Instant()
  readonly clock: device.Clock & { realTime: boolean } = {
    realTime: false,
    now: () => this.now.toNumber(),
    read: (into) => {
      into.lo = this.now.lo
      into.hi = this.now.hi
    },
  }
  readonly timers: TimerQueue = new TimerQueue(this.clock)
  /** Promises of timers' callbacks. */
  readonly waits: Promise<unknown>[] = []
  level = false
  /** Data of the messages that were sent. */
  readonly messages: number[] = []
  fn: PciConfigSpace | null = null
  mmio: device.RangeHandler | null = null
  readonly #base: number
  readonly #handlers = new Map<device.Region, device.RangeHandler>()
  /** Copies of guest memory that were made. */
  reads = 0
  /** Called before each write of the device to RAM. */
  onWrite: (gpa: number, bytes: number) => void = () => {}
  /** Whether single words can be published through mappings. */
  mappings = true

  /** @param base - guest-physical address of the RAM */
  constructor(model: device.DeviceModel, bytes = 1 << 20, base = 0) {
    this.#base = base
    this.ram = new Uint8Array(new SharedArrayBuffer(bytes))
    this.view = new DataView(this.ram.buffer)
    model.attach(this.#context())
    // I/O, memory, bus master.
    this.fn?.configWrite(4, 2, 7)
  }

  /** The context for a device that the test plugs in by itself. */
  get context(): device.DeviceContext {
    return this.#context()
  }

  #context(): device.DeviceContext {
    const base = this.#base
    const holds = (gpa: number, length: number): boolean => gpa >= base && gpa - base + length <= this.ram.length
    const map = (gpa: number, length: number): device.WritableGuestMapping => {
      const kind = holds(gpa, length) ? 'ram' : 'hole'
      if (kind === 'ram') this.onWrite(gpa, length)
      const bytes = kind === 'ram' && this.mappings ? this.ram.subarray(gpa - base, gpa - base + length) : null
      const segments = [{ kind, gpa, offset: 0, length, bytes }]
      return { segments, release: () => {} } as unknown as device.WritableGuestMapping
    }
    const wire = { set: (level: boolean): void => void (this.level = level), pulse: unused }
    return {
      mapPorts: unused,
      mapMmio: (_gpa: number, _bytes: number, handler: device.RangeHandler) => {
        this.mmio = handler
        return {} as device.Region
      },
      ownMemory: unused,
      mapMemory: unused,
      interruptLine: () => wire,
      signalMsi: unused,
      dma: {
        read: (gpa: number, into: Uint8Array) => {
          this.reads++
          if (!holds(gpa, into.length)) return false
          into.set(this.ram.subarray(gpa - base, gpa - base + into.length))
          return true
        },
        write: (gpa: number, from: Uint8Array) => {
          if (!holds(gpa, from.length)) return false
          this.onWrite(gpa, from.length)
          this.ram.set(from, gpa - base)
          return true
        },
        readAsync: unused,
        writeAsync: unused,
        readSome: unused,
        writeSome: unused,
        map: unused,
        mapForWriting: map,
      },
      clock: this.clock,
      timer: (callback) =>
        this.timers.create((deadlineNs, deadline) => {
          const wait = callback(deadlineNs, deadline)
          if (wait !== undefined) this.waits.push(wait)
        }),
      pci: {
        addSlot: unused,
        add: (options: device.PciFunctionOptions) => {
          this.fn = new PciConfigSpace(options, {
            mapBar: ({ handler, bytes }) => {
              const region = {
                length: bytes,
                enabled: false,
                enable() {},
                disable() {},
                move() {},
              } as unknown as device.Region
              if (handler !== undefined) this.#handlers.set(region, handler)
              return region
            },
            wire,
            signalMsi: (_address, data) => void this.messages.push(data),
            parent: null,
          })
          return this.fn
        },
      },
      requestPowerOff: unused,
      requestReset: unused,
      requestExit: unused,
    } as device.DeviceContext
  }

  #bar(index: number): device.RangeHandler {
    return this.#handlers.get(this.fn!.bar(index)!)!
  }

  /** Reads a register in the space of a base address register. */
  readBar(bar: number, offset: number, size: device.AccessSize): number {
    return cut(checkedNumber(this.#bar(bar).read(offset, size)), size)
  }

  /** Writes a register in the space of a base address register. */
  writeBar(bar: number, offset: number, size: device.AccessSize, value: number): void {
    void this.#bar(bar).write(offset, size, value >>> 0)
  }

  /** Switches MSI-X on, with vector `n` sending `n`; its table is at `offset`. */
  enableMsixAt(bar: number, offset: number, vectors: number): void {
    for (let i = 0; i < vectors; i++) {
      this.writeBar(bar, offset + 16 * i, 4, 0xfee0_0000)
      this.writeBar(bar, offset + 16 * i + 8, 4, i)
      this.writeBar(bar, offset + 16 * i + 12, 4, 0)
    }
    this.fn!.configWrite(this.fn!.capability(0x11) + 2, 2, 0x8000)
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
  throw new Error('no device of these tests uses it')
}
