import * as devices from '@retrap/device'
import { checkRegion, TimerQueue } from '@retrap/device/host'
import { FakeMemory } from './fake-memory.ts'

interface Claim {
  readonly base: number
  readonly length: number
  readonly handler: devices.RangeHandler
  readonly options: devices.RegionOptions
}

/** A line with every holder's level and the count of its rising edges. */
export class FakeLine {
  readonly holders: boolean[] = []
  edges = 0

  get level(): boolean {
    return this.holders.includes(true)
  }

  holder(): devices.InterruptLine {
    const index = this.holders.push(false) - 1
    const set = (level: boolean): void => {
      const before = this.level
      this.holders[index] = level
      if (!before && this.level) this.edges++
    }
    return {
      set,
      pulse: () => {
        set(true)
        set(false)
      },
    }
  }
}

/** A machine of devices alone: ports, MMIO, lines, RAM, PCI and a clock that the test turns. */
export class FakeMachine {
  readonly exact: devices.Instant
  readonly #powerOn: devices.Instant
  readonly clock: devices.Clock & { realTime: boolean } = {
    realTime: false,
    now: () => this.exact.toNumber(),
    read: (into) => {
      this.exact.add(this.nsPerLook)
      into.lo = this.exact.lo
      into.hi = this.exact.hi
    },
  }
  /** Time that passes whenever a model looks at the clock, as on a busy host. */
  nsPerLook = 0
  readonly timers: TimerQueue = new TimerQueue(this.clock)
  ram = new Uint8Array(0x1_0000)
  readonly functions = new Map<number, { options: devices.PciFunctionOptions; config: Uint8Array }>()
  readonly memories = new Map<string, FakeMemory>()
  readonly requests: string[] = []
  private readonly ports: Claim[] = []
  private readonly mmio: Claim[] = []
  private readonly lines = new Map<number, FakeLine>()

  constructor(...models: readonly devices.DeviceModel[]) {
    this.exact = new devices.Instant()
    this.#powerOn = new devices.Instant()
    for (const model of models) model.attach(this.context())
  }

  /** A machine whose clock shows `start` at power-on, in nanoseconds. */
  static at(start: bigint, ...models: readonly devices.DeviceModel[]): FakeMachine {
    const machine = new FakeMachine()
    machine.exact.set(devices.Instant.from(start))
    machine.#powerOn.set(machine.exact)
    for (const model of models) model.attach(machine.context())
    return machine
  }

  /** Nanoseconds since power-on. */
  get time(): number {
    return this.exact.since(this.#powerOn)
  }
  set time(ns: number) {
    this.exact.set(this.#powerOn).add(ns)
  }

  /** Has as much RAM from now on, all zeroes. */
  grow(bytes: number): void {
    this.ram = new Uint8Array(bytes)
  }

  line(irq: number): FakeLine {
    let line = this.lines.get(irq)
    if (line === undefined) {
      line = new FakeLine()
      this.lines.set(irq, line)
    }
    return line
  }

  context(): devices.DeviceContext {
    const claim =
      (list: Claim[]) =>
      (
        base: number,
        length: number,
        handler: devices.RangeHandler,
        options: devices.RegionOptions = {},
      ): devices.Region => {
        checkRegion('a model', handler, options)
        list.push({ base, length, handler, options })
        return { base, length } as devices.Region
      }
    return {
      mapPorts: claim(this.ports),
      mapMmio: claim(this.mmio),
      ownMemory: (options) => {
        const memory = new FakeMemory(options)
        this.memories.set(options.name, memory)
        return memory
      },
      mapMemory: (base, memory, { offset = 0, bytes = memory.bytes - offset, priority = 0 } = {}) => {
        const claimed: Claim = {
          base,
          length: bytes,
          handler: (memory as FakeMemory).guest(offset),
          options: { priority },
        }
        this.mmio.push(claimed)
        const unmap = (): void => void this.mmio.splice(this.mmio.indexOf(claimed), 1)
        return { base, length: bytes, unmap } as devices.Region
      },
      interruptLine: (irq) => this.line(irq).holder(),
      signalMsi: () => {},
      dma: {
        read: (gpa, into) => {
          if (gpa + into.length > this.ram.length) return false
          into.set(this.ram.subarray(gpa, gpa + into.length))
          return true
        },
        write: (gpa, from) => {
          if (gpa + from.length > this.ram.length) return false
          this.ram.set(from, gpa)
          return true
        },
        readAsync: () => Promise.reject(new Error('no model of a PC uses it')),
        writeAsync: () => Promise.reject(new Error('no model of a PC uses it')),
        readSome: unused,
        writeSome: unused,
        map: unused,
        mapForWriting: unused,
      },
      clock: this.clock,
      timer: (callback) => this.timers.create((deadlineNs, deadline) => void callback(deadlineNs, deadline)),
      pci: { add: (options) => this.addFunction(options), addSlot: unused },
      requestPowerOff: () => this.requests.push('power-off'),
      requestReset: () => this.requests.push('reset'),
      requestExit: (code) => this.requests.push(`exit ${code}`),
    }
  }

  private addFunction(options: devices.PciFunctionOptions): devices.PciFunction {
    const config = new Uint8Array(256)
    for (const [register, , initial] of options.writable ?? [])
      new DataView(config.buffer).setUint32(register, initial ?? 0, true)
    for (const bar of options.bars ?? []) if (bar.handler !== undefined) checkRegion('a model', bar.handler, bar)
    this.functions.set(options.device * 8 + (options.function ?? 0), { options, config })
    // Device N has its interrupt pin at input 100 + N.
    const interrupt = options.interruptPin === undefined ? null : this.line(100 + options.device).holder()
    const fn = {
      device: options.device,
      config,
      interrupt,
      bar: () => null,
      get mayMaster() {
        return (config[4]! & 4) !== 0
      },
    }
    return fn as unknown as devices.PciFunction
  }

  /** A guest's write of one configuration byte of device `device`. */
  writeConfig(device: number, register: number, value: number): void {
    const fn = this.functions.get(device * 8)
    if (fn === undefined) throw new Error(`no PCI device ${device}`)
    const row = fn.options.writable?.find(([at]) => at === (register & ~3))
    const mask = ((row?.[1] ?? 0) >>> (8 * (register & 3))) & 0xff
    fn.config[register] = ((fn.config[register] ?? 0) & ~mask) | (value & mask)
    fn.options.onWrite?.(register, 1)
  }

  /** Turns the clock forward, firing timers at their deadlines on the way. */
  advance(ns: number): void {
    const end = new devices.Instant().set(this.exact).add(ns)
    const next = new devices.Instant()
    while (this.timers.readNextDeadline(next) && !end.isBefore(next)) {
      if (this.exact.isBefore(next)) this.exact.set(next)
      this.timers.expire()
    }
    this.exact.set(end)
  }

  /** Turns the clock forward at once, as a host that was away does; timers fire late. */
  leap(ns: number): void {
    this.exact.add(ns)
    this.timers.expire()
  }

  private find(list: readonly Claim[], address: number): Claim {
    const found = list
      .filter((c) => address >= c.base && address < c.base + c.length)
      .sort((a, b) => (b.options.priority ?? 0) - (a.options.priority ?? 0))[0]
    if (found === undefined) throw new Error(`nothing at 0x${address.toString(16)}`)
    return found
  }

  in(port: number, size: devices.AccessSize = 1): number {
    return this.read(this.ports, port, size)
  }

  out(port: number, value: number, size: devices.AccessSize = 1): void {
    this.write(this.ports, port, size, value)
  }

  load(gpa: number, size: devices.AccessSize = 4): number {
    return this.read(this.mmio, gpa, size)
  }

  store(gpa: number, value: number, size: devices.AccessSize = 4): void {
    this.write(this.mmio, gpa, size, value)
  }

  load64(gpa: number): bigint {
    const claim = this.find(this.mmio, gpa)
    const into: devices.Word64 = { lo: 0, hi: 0 }
    void claim.handler.read64?.(gpa - claim.base, into)
    return (BigInt(into.hi) << 32n) | BigInt(into.lo)
  }

  store64(gpa: number, value: bigint): void {
    const claim = this.find(this.mmio, gpa)
    void claim.handler.write64?.(gpa - claim.base, Number(value & 0xffff_ffffn), Number(value >> 32n))
  }

  private read(list: readonly Claim[], address: number, size: devices.AccessSize): number {
    let value = 0
    for (let done = 0; done < size;) {
      const claim = this.find(list, address + done)
      const step = stepIn(claim, address + done, size - done)
      const part = claim.handler.read(address + done - claim.base, step) as number
      value += ((part >>> 0) % 2 ** (8 * step)) * 2 ** (8 * done)
      done += step
    }
    return value
  }

  private write(list: readonly Claim[], address: number, size: devices.AccessSize, value: number): void {
    for (let done = 0; done < size;) {
      const claim = this.find(list, address + done)
      const step = stepIn(claim, address + done, size - done)
      void claim.handler.write(address + done - claim.base, step, Math.floor(value / 2 ** (8 * done)) % 2 ** (8 * step))
      done += step
    }
  }
}

/** Bytes of an access that go to a claim at once. */
function stepIn({ base, length, options }: Claim, address: number, bytes: number): devices.AccessSize {
  const most = Math.min(bytes, options.maximumAccess ?? 4, base + length - address)
  return most === 3 ? 2 : (most as devices.AccessSize)
}

function unused(): never {
  throw new Error('no model of a PC uses it')
}
