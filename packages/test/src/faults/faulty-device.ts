import {
  type AccessRequest,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  type PciFunction,
  type PciMessages,
  type RangeHandler,
  type Word64,
} from '@retrap/device'
import { intercepted } from '@retrap/device/host'
import { DEAD_HANDLER } from '@retrap/ioreq'
import { describeFault, type DeviceFault, type FaultAct } from './fault.ts'
import { HeldActs } from './held-acts.ts'

/** Target of an access. */
interface Place {
  readonly region: string
  readonly offset: number
}

/** Members of `Dma` that write guest memory, and their results. */
const DMA_WRITES: Readonly<Record<string, (length: number) => unknown>> = {
  write: () => true,
  writeSome: (length) => length,
  writeAsync: () => Promise.resolve(true),
}
const DMA_READS: Readonly<Record<string, () => unknown>> = {
  read: () => false,
  readSome: () => 0,
  readAsync: () => Promise.resolve(false),
}

/** One device with its faults, which wraps its model. */
export class FaultyDevice {
  /** Acts since power-on. */
  readonly counts: Record<FaultAct, number> = { read: 0, write: 0, interrupt: 0, dma: 0, timer: 0 }
  readonly #name: string
  /** All faults of the device, each with its number of acts so far. */
  readonly #faults: { readonly fault: DeviceFault; seen: number }[]
  readonly #happened: (fault: DeviceFault) => void
  readonly #remove: (() => void) | undefined
  readonly #lines: InterruptLine[] = []
  #held!: HeldActs
  #isGone = false

  constructor(
    name: string,
    faults: readonly DeviceFault[],
    happened: (fault: DeviceFault) => void,
    remove: (() => void) | undefined,
  ) {
    this.#name = name
    this.#faults = faults.map((fault) => ({ fault, seen: 0 }))
    this.#happened = happened
    this.#remove = remove
  }

  /** Wraps a model: the machine uses the result, which injects the planned faults. */
  wrap(model: DeviceModel): DeviceModel {
    const wrapped = intercepted(model, (method, given, name) => {
      if (name === 'attach') return method(this.#context(given[0] as DeviceContext))
      if (name === 'reset' || name === 'restore') this.#held.drop()
      // Before a snapshot, late acts come.
      const ended = name === 'quiesce' ? this.#held.releaseAll() : undefined
      return ended === undefined ? method(...given) : ended.then(() => method(...given))
    })
    // A stage may have to wait. A recording has all acts: a replay needs neither the model nor the faults.
    const own = { synchronous: false, deterministic: undefined }
    return new Proxy(wrapped, {
      get: (target, name) => (name in own ? own[name as keyof typeof own] : (Reflect.get(target, name) as unknown)),
    })
  }

  /** Counts an act. @returns the fault that befalls it */
  #next(act: FaultAct, place?: Place): DeviceFault | undefined {
    this.counts[act]++
    let found: DeviceFault | undefined
    for (const each of this.#faults) {
      const { fault } = each
      const isOf =
        fault.act === act &&
        (fault.region === undefined || fault.region === place?.region) &&
        (fault.offset === undefined || fault.offset === place?.offset)
      if (isOf && ++each.seen === fault.nth) found ??= fault
    }
    if (found === undefined) return undefined
    this.#happened(found)
    if (found.kind === 'removed') this.#goes()
    return found
  }

  /** Takes the device out by surprise. */
  #goes(): void {
    this.#isGone = true
    this.#held.drop()
    for (const line of this.#lines) line.set(false)
    this.#remove?.()
  }

  #context(context: DeviceContext): DeviceContext {
    this.#held = new HeldActs(context)
    const { dma, pci } = context
    return {
      ...context,
      mapPorts: (base, count, handler, options) =>
        context.mapPorts(base, count, this.#handler(`ports 0x${base.toString(16)}`, handler), options),
      mapMmio: (gpa, bytes, handler, options) =>
        context.mapMmio(gpa, bytes, this.#handler(`memory 0x${gpa.toString(16)}`, handler), options),
      interruptLine: (irq) => this.#line(context.interruptLine(irq)),
      signalMsi: (...message) => this.#interrupt(() => context.signalMsi(...message)),
      timer: (callback) => {
        let dropLate: () => void = () => {}
        const timer = context.timer((deadlineNs, deadline) => {
          if (this.#isGone) return
          const fault = this.#next('timer')
          if (fault === undefined) return callback(deadlineNs, deadline)
          if (fault.kind !== 'late') return
          const { lo, hi } = deadline
          dropLate = this.#held.hold(fault.ns!, 'nothing', () => callback(deadlineNs, { lo, hi }))
        })
        // When the timer is armed anew, the old deadline does not come any more.
        return intercepted(timer, (method, given, name) => {
          if (name !== 'readDeadline') dropLate()
          return method(...given)
        })
      },
      dma: intercepted(dma, (method, given, name) => {
        const bytes = given[1] as Uint8Array
        const [reads, writes] = [DMA_READS[name as string], DMA_WRITES[name as string]]
        if (reads !== undefined) {
          if (this.#isGone) return reads()
          const pushed = this.#held.push('dma')
          return name === 'readAsync' && pushed instanceof Promise
            ? pushed.then(() => method(...given))
            : method(...given)
        }
        if (writes === undefined) return method(...given)
        if (this.#isGone) return writes(bytes.length)
        return this.#write(given[0] as number, bytes, method) ?? writes(bytes.length)
      }),
      pci: {
        ...pci,
        add: ({ bars = [], ...options }) => {
          const fn = pci.add({
            ...options,
            bars: bars.map(({ handler, ...bar }) => ({
              ...bar,
              ...(handler && { handler: this.#handler(`bar ${bar.index}`, handler) }),
            })),
          })
          return this.#function(fn)
        },
      },
    }
  }

  #function(fn: PciFunction): PciFunction {
    const { interrupt, messages } = fn
    return Object.assign(fn, {
      interrupt: interrupt && this.#line(interrupt),
      messages: messages && this.#messages(messages),
    })
  }

  /** Writes to guest memory. @returns the result; undefined: pretend success */
  #write(gpa: number, bytes: Uint8Array, method: (...given: unknown[]) => unknown): unknown {
    const fault = this.#next('dma')
    if (fault === undefined) return method(gpa, bytes)
    if (fault.kind === 'wrong') return method(gpa, flipped(bytes, fault.bits!))
    if (fault.kind === 'late') {
      const kept = bytes.slice()
      this.#held.hold(fault.ns!, 'reads', () => method(gpa, kept))
    }
    return undefined
  }

  #interrupt(raise: () => void): void {
    if (this.#isGone) return
    const fault = this.#next('interrupt')
    if (fault === undefined) raise()
    else if (fault.kind === 'late') this.#held.hold(fault.ns!, 'nothing', raise)
  }

  #line(line: InterruptLine): InterruptLine {
    let level = false
    this.#lines.push(line)
    return {
      set: (to) => {
        if (to === level) return
        level = to
        // A late rise sets the level that the line has by then.
        if (to) this.#interrupt(() => line.set(level))
        else line.set(false)
      },
      pulse: () => this.#interrupt(() => line.pulse()),
    }
  }

  #messages(messages: PciMessages): PciMessages {
    return intercepted(messages, (method, given, name) => {
      if (name !== 'signal' || messages.mode === 'none') return method(...given)
      this.#interrupt(() => void method(...given))
      return true
    })
  }

  // ---- actions of the guest ----

  #handler(region: string, own: RangeHandler): RangeHandler {
    return {
      read: (offset, size, request) =>
        this.#read(
          { region, offset },
          () => own.read(offset, size, request),
          () => ones(size),
          (value, bits) => (value ^ (bits & ones(size))) >>> 0,
        ),
      write: (offset, size, value, request) =>
        this.#written({ region, offset }, (waits) => own.write(offset, size, value, waits ? request : undefined)),
      ...(own.read64 && {
        read64: (offset: number, into: Word64, request?: AccessRequest) =>
          this.#read<void>(
            { region, offset },
            () => own.read64?.(offset, into, request),
            () => DEAD_HANDLER.read64?.(offset, into) as void,
            (_, bits) => void (into.lo = (into.lo ^ bits) >>> 0),
          ),
      }),
      ...(own.write64 && {
        write64: (offset: number, lo: number, hi: number, request?: AccessRequest) =>
          this.#written({ region, offset }, (waits) => own.write64?.(offset, lo, hi, waits ? request : undefined)),
      }),
    }
  }

  #read<T>(
    place: Place,
    read: () => T | Promise<T>,
    gone: () => T,
    flip: (value: T, bits: number) => T,
  ): T | Promise<T> {
    if (this.#isGone) return gone()
    const fault = this.#next('read', place)
    if (fault?.kind === 'removed') return gone()
    if (fault?.kind === 'never') throw this.#never(fault)
    const value = this.#behindPushed('read', read)
    if (fault?.kind !== 'wrong') return value
    const bits = fault.bits!
    return value instanceof Promise ? value.then((found) => flip(found, bits)) : flip(value, bits)
  }

  #written(place: Place, write: (waits: boolean) => void | Promise<void>): void | Promise<void> {
    if (this.#isGone) return
    const fault = this.#next('write', place)
    if (fault === undefined) return this.#behindPushed('write', () => write(true))
    if (fault.kind === 'never') throw this.#never(fault)
    if (fault.kind === 'late') {
      const pushed = this.#held.push('write')
      this.#held.hold(fault.ns!, 'accesses', () => write(false))
      return pushed?.then(() => {})
    }
  }

  #behindPushed<T>(by: 'read' | 'write', access: () => T | Promise<T>): T | Promise<T> {
    const pushed = this.#held.push(by)
    return pushed === undefined ? access() : pushed.then(access)
  }

  /** Fails the act, whose deadline has passed: guest time stands still meanwhile, so that no test has to wait. */
  #never(fault: DeviceFault): DeviceError {
    return new DeviceError(
      'ERR_DEVICE',
      `${this.#name} has not answered in time, by the plan (${describeFault(fault)})`,
    )
  }
}

/** Returns ones of an access's size. */
const ones = (size: number): number => 0xffff_ffff >>> (32 - 8 * size)

function flipped(bytes: Uint8Array, bits: number): Uint8Array {
  const copy = bytes.slice()
  for (let i = 0; i < Math.min(4, copy.length); i++) copy[i]! ^= (bits >>> (8 * i)) & 0xff
  return copy
}
