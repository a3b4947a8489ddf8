import { Instant, type DeviceModel, type Word64 } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { DeviceHost, type DeviceHostOptions, type DevicePlatform, type PlatformMemory } from '../src/index.ts'
import {
  createIoRequest,
  type DeviceFailure,
  IoDispatch,
  type IoDispatchOptions,
  type IoRequest,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_UNHANDLED,
} from '@retrap/ioreq'

/** Names of the statuses, so that a failing row says what it got. */
export const STATUS: Record<number, string> = {
  [STATUS_DONE]: 'done',
  [STATUS_RETRY]: 'retry',
  [STATUS_RESTART]: 'log',
  [STATUS_UNHANDLED]: 'unhandled',
  [STATUS_ERROR]: 'failed',
}

/** A dispatcher with an in-process host, 64 KiB of RAM at 0, and a record of what the machine was asked. */
export function makeMachine(
  options: Partial<IoDispatchOptions> = {},
  models: DeviceModel[] = [],
  hostOptions: DeviceHostOptions = {},
  platformOptions: Partial<DevicePlatform> = {},
) {
  const ram = new Uint8Array(0x1_0000)
  const failures: DeviceFailure[] = []
  const completed: number[] = []
  const events: string[] = []
  const exact = new Instant()
  const clock = {
    get time(): number | bigint {
      return exact.toBigInt()
    },
    set time(ns) {
      exact.set(Instant.from(ns))
    },
    now: () => exact.toNumber(),
    read: (into: Word64) => {
      into.lo = exact.lo
      into.hi = exact.hi
    },
  }
  const timers = new TimerQueue(clock)
  const dma = {
    read: (gpa: number, into: Uint8Array) => {
      if (gpa + into.length > ram.length) return false
      into.set(ram.subarray(gpa, gpa + into.length))
      return true
    },
    write: (gpa: number, from: Uint8Array) => {
      if (gpa + from.length > ram.length) return false
      ram.set(from, gpa)
      return true
    },
  }
  const dispatch = new IoDispatch({
    vcpus: 2,
    onComplete: (vcpu) => completed.push(vcpu),
    onFailure: (failure) => failures.push(failure),
    guestMemory: dma,
    ...options,
  })
  const line = (name: string) => ({
    set: (level: boolean) => void events.push(`${name}=${level ? 1 : 0}`),
    pulse: () => void events.push(`${name} pulse`),
  })
  const memories: FakeMemory[] = []
  const platform: DevicePlatform = {
    ownMemory: (_device, { bytes, contents }) => {
      const memory = new FakeMemory(bytes, contents)
      memories.push(memory)
      return memory
    },
    clock,
    timer: (callback) => timers.create(callback),
    dma,
    interruptLine: (irq) => line(`irq${irq}`),
    pciInterrupt: (device, pin) => line(`pci${device}.${pin}`),
    signalMsi: (address, data) => void events.push(`msi ${address.toString(16)} ${data}`),
    powerOff: () => void events.push('power off'),
    reset: () => void events.push('reset'),
    exit: (code) => void events.push(`exit ${code}`),
    ...platformOptions,
  }
  const host = new DeviceHost(dispatch, platform, hostOptions)
  for (const model of models) host.attach(model)
  const request = (fields: Partial<IoRequest>): IoRequest => ({ ...createIoRequest(), ...fields })
  return { dispatch, host, platform, ram, failures, completed, events, clock, timers, request, memories }
}

/** Memory of a model on a machine that has no guest: it remembers where it is shown. */
export class FakeMemory implements PlatformMemory {
  readonly bytes: Uint8Array
  readonly view = null
  placed: string[] = []
  mode = 'memory'
  logged = false
  #dirty = new Set<number>()

  constructor(bytes: number, contents?: Uint8Array) {
    this.bytes = new Uint8Array(bytes)
    this.bytes.set(contents ?? [])
  }
  setMode(mode: 'memory' | 'trapped'): void {
    this.mode = mode
  }
  place(gpa: number, offset: number, bytes: number): { remove(): void } {
    const what = `${gpa.toString(16)}: ${bytes.toString(16)} from ${offset.toString(16)}`
    this.placed.push(what)
    return { remove: () => void (this.placed = this.placed.filter((each) => each !== what)) }
  }
  read(offset: number, into: Uint8Array): void {
    into.set(this.bytes.subarray(offset, offset + into.length))
  }
  write(offset: number, from: Uint8Array): void {
    this.bytes.set(from, offset)
    this.modified(offset, from.length)
  }
  modified(offset: number, bytes: number): void {
    for (let at = offset; this.logged && at < offset + bytes; at++) this.#dirty.add(at >>> 12)
  }
  logWrites(on: boolean): void {
    this.logged = on
    this.#dirty.clear()
  }
  takeDirty(offset: number, bytes: number, into: Uint32Array): number {
    into.fill(0)
    let dirty = 0
    for (let page = 0; page < bytes >>> 12; page++) {
      if (!this.#dirty.delete((offset >>> 12) + page)) continue
      into[page >>> 5]! |= 1 << (page & 31)
      dirty++
    }
    return dirty
  }
  free(): void {
    this.placed = []
  }
}

/** A model over one range that records what it is asked; a byte at offset n reads as n. */
export function recorder(
  name: string,
  range: { ports?: [number, number]; mmio?: [number, number] },
  options: Parameters<Parameters<DeviceModel['attach']>[0]['mapMmio']>[3] & { synchronous?: boolean } = {},
): DeviceModel & { log: string[] } {
  const log: string[] = []
  const bytes = (offset: number, size: number): number => {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = value * 256 + ((offset + i) & 0xff)
    return value
  }
  const { synchronous = true, ...region } = options
  return {
    name,
    synchronous,
    log,
    attach(context) {
      const handler = {
        read(offset: number, size: 1 | 2 | 4) {
          log.push(`r${size}@${offset}`)
          return bytes(offset, size)
        },
        write(offset: number, size: 1 | 2 | 4, value: number) {
          log.push(`w${size}@${offset}=${value.toString(16)}`)
        },
        read64(offset: number, into: { lo: number; hi: number }) {
          log.push(`r8@${offset}`)
          into.lo = bytes(offset, 4)
          into.hi = bytes(offset + 4, 4)
        },
        write64(offset: number, lo: number, hi: number) {
          log.push(`w8@${offset}=${hi.toString(16)}:${lo.toString(16)}`)
        },
      }
      if (range.ports) context.mapPorts(range.ports[0], range.ports[1], handler, region)
      if (range.mmio) context.mapMmio(range.mmio[0], range.mmio[1], handler, region)
    },
  }
}
