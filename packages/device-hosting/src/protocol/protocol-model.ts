import {
  type AccessRequest,
  DeviceError,
  type DeviceContext,
  type DeviceModel,
  Instant,
  type InterruptLine,
  type OwnedMemory,
  type PciFunction,
  type RangeHandler,
  savedState,
  type Timer,
  type Word64,
} from '@retrap/device'
import type { IoreqError } from '@retrap/ioreq'
import type { DeclaredDevice, DeclaredFunction } from './declared.ts'
import type { FrameWord, ProtocolFrame } from './frame-table.ts'
import { accessOf, pciFunctionOptions } from './pci-options.ts'
import type { ProtocolSession } from './session.ts'

/** Timers that a device may have. */
const MOST_TIMERS = 1024
const NEVER = 0xffff_ffff
/** Guest time from a timer's call to its next one, where that is armed for the past: time has to go on. */
const LEAST_NS = 1000
const NOTHING = new Uint8Array(0)
const ONES: FrameWord = { lo: NEVER, hi: NEVER }

/** The part of guest memory that a device may reach. */
export interface TransferBounds {
  /** First guest-physical address. */
  readonly first: number
  /** Last one. */
  readonly last: number
}

/** A PCI function of the device, as it is attached. */
interface AttachedFunction {
  readonly pci: PciFunction
  /** Vectors whose interrupt cause is present. */
  readonly causes: Set<number>
}

/** A timer of the device. */
interface ArmedTimer {
  readonly timer: Timer
  /** Instant of the timer's last call; “never” before that. */
  readonly due: Instant
}

/** One device of a device server: a model like any other, whose handlers ask the server. */
export class ProtocolModel implements DeviceModel {
  readonly name: string
  readonly synchronous = false
  readonly stateless: boolean
  readonly #session: ProtocolSession
  readonly #device: DeclaredDevice
  readonly #bounds: TransferBounds
  readonly #isPulled: boolean
  readonly #functions = new Map<number, AttachedFunction>()
  readonly #lines = new Map<number, InterruptLine>()
  readonly #memories = new Map<number, OwnedMemory>()
  readonly #timers = new Map<number, ArmedTimer>()
  #context: DeviceContext | null = null

  /** @param isPulled - a device whose server is gone reads as ones until it is out, as one that was pulled; else it has failed */
  constructor(session: ProtocolSession, device: DeclaredDevice, bounds: TransferBounds, isPulled: boolean) {
    this.#isPulled = isPulled
    this.name = device.name
    this.stateless = device.isStateless
    this.#session = session
    this.#device = device
    this.#bounds = bounds
  }

  // ---- calls of the machine ----

  attach(context: DeviceContext): void {
    this.#context = context
    const { id, isOffered, ranges, functions, lines, memories, windows } = this.#device
    for (const { memory, bytes, flags, name } of memories) {
      const options = { name, bytes, executable: (flags & 2) !== 0, saved: (flags & 4) === 0 }
      this.#memories.set(memory, context.ownMemory({ ...options, kind: (flags & 1) === 0 ? 'ram' : 'rom' }))
    }
    for (const { memory, base } of windows) context.mapMemory(base, this.#memory(memory))
    for (const range of ranges) {
      const handler = this.#handler(range.region)
      const options = { ...accessOf(range), buffered: (range.flags & 1) !== 0 }
      if (range.space === 0) context.mapPorts(range.base, range.bytes, handler, options)
      else context.mapMmio(range.base, range.bytes, handler, options)
    }
    for (const { line, irq } of lines) this.#lines.set(line, context.interruptLine(irq))
    for (const declared of functions) this.#add(context, declared)
    if (isOffered) this.#begin({ kind: 'plug', device: id, now: this.#now() })
  }

  #add({ pci }: DeviceContext, declared: DeclaredFunction): void {
    const { frame } = declared
    const causes = new Set<number>()
    const added = pci.add({
      ...pciFunctionOptions(declared, ({ memory, region }) =>
        memory === 0 ? { handler: this.#handler(region) } : { memory: this.#memory(memory) },
      ),
      // The guest may have switched messages on or off.
      onWrite: () => drivePin(this.#functions.get(frame.function)),
    })
    this.#functions.set(frame.function, { pci: added, causes })
  }

  #handler(region: number): RangeHandler {
    const read = (offset: number, size: number, request?: AccessRequest): Promise<FrameWord> =>
      this.#access({ kind: 'read', region, offset, size, vcpu: request?.vcpu ?? 0, now: this.#now() }, request)
    const write = async (offset: number, size: number, value: Word64, request?: AccessRequest): Promise<void> => {
      const { vcpu = 0 } = request ?? {}
      const fields = { kind: 'write', region, offset, size, value, vcpu: Math.max(0, vcpu), now: this.#now() } as const
      // A write from the ring of buffered writes has no vCPU that waits for an answer.
      if (vcpu < 0) this.#session.send({ ...fields, call: 0 })
      else await this.#access(fields, request)
    }
    return {
      read: async (offset, size, request) => (await read(offset, size, request)).lo & (NEVER >>> (32 - 8 * size)),
      write: (offset, size, value, request) => write(offset, size, { lo: value, hi: 0 }, request),
      read64: async (offset, into, request) => {
        const { lo, hi } = await read(offset, 8, request)
        into.lo = lo
        into.hi = hi
      },
      write64: (offset, lo, hi, request) => write(offset, 8, { lo: lo >>> 0, hi: hi >>> 0 }, request),
    }
  }

  async #access(frame: Parameters<ProtocolSession['access']>[0], request?: AccessRequest): Promise<FrameWord> {
    const cancelled = (call: number): void =>
      request?.signal.addEventListener('abort', () => this.#session.send({ kind: 'cancel', call }))
    try {
      return await this.#session.access(frame, this.#device.id, request && cancelled)
    } catch (error) {
      return this.#gone(error, ONES)
    }
  }

  async #call(fields: Parameters<ProtocolSession['call']>[0]): Promise<Uint8Array> {
    try {
      return await this.#session.call(fields, this.#device.id)
    } catch (error) {
      return this.#gone(error, NOTHING)
    }
  }

  /** @throws what a server has answered, or how it has ended */
  #gone<T>(error: unknown, instead: T): T {
    if (this.#isPulled && this.#session.isOver) return instead
    throw error
  }

  #now(): FrameWord {
    const now = { lo: 0, hi: 0 }
    this.#context?.clock.read(now)
    return now
  }

  /** Makes a call without a waiting caller; where it fails, the device has failed. */
  #begin(fields: Parameters<ProtocolSession['call']>[0]): void {
    this.#session.call(fields).catch((error: IoreqError) => this.#session.fail(error))
  }

  removed(): void {
    if (this.#device.isOffered && !this.#session.isOver)
      this.#begin({ kind: 'unplug', device: this.#device.id, now: this.#now() })
    this.#context = null
    for (const part of [this.#functions, this.#lines, this.#memories, this.#timers]) part.clear()
  }

  async reset(): Promise<void> {
    for (const { causes } of this.#functions.values()) causes.clear()
    this.#stopTimers()
    await this.#call({ kind: 'reset', device: this.#device.id, now: this.#now() })
  }

  #stopTimers(): void {
    for (const { timer, due } of this.#timers.values()) {
      timer.cancel()
      due.clear()
    }
  }

  async quiesce(deadlineMs: number): Promise<void> {
    const deadline = Math.min(Math.floor(deadlineMs), Number.MAX_SAFE_INTEGER)
    await this.#call({ kind: 'quiesce', device: this.#device.id, deadline })
  }

  async resume(): Promise<void> {
    await this.#call({ kind: 'resume', device: this.#device.id, now: this.#now() })
  }

  async save(): Promise<SavedModel> {
    const causes = Object.fromEntries(
      [...this.#functions].map(([id, { causes: vectors }]) => [String(id), [...vectors].toSorted((a, b) => a - b)]),
    )
    if (this.stateless) return { version: 1, bytes: NOTHING, causes }
    const bytes = await this.#call({ kind: 'save', device: this.#device.id })
    // The bytes are a view of the connection's buffer.
    return { version: 1, bytes: Uint8Array.from(bytes), causes }
  }

  async restore(state: unknown): Promise<void> {
    const { bytes, causes } = savedState<SavedModel>(this.name, state, 1)
    this.#stopTimers()
    for (const [id, { causes: vectors }] of this.#functions) {
      vectors.clear()
      for (const vector of causes[String(id)] ?? []) vectors.add(vector)
    }
    if (!this.stateless) await this.#call({ kind: 'restore', device: this.#device.id, state: bytes, now: this.#now() })
  }

  // ---- calls of the device ----

  /** Drives the interrupt line or sends the message for a cause that the device has set or cleared. */
  interrupt({ function: id, vector, level }: ProtocolFrame<'interrupt'>): void {
    const found = this.#functions.get(id)
    // A device that is out reaches nothing.
    if (found === undefined) return
    const { pci, causes } = found
    if (level !== 0) {
      if (causes.has(vector)) return
      causes.add(vector)
      pci.messages?.signal(vector)
    } else if (causes.delete(vector)) pci.messages?.clear(vector)
    drivePin(found)
  }

  /** Drives a line. */
  setLine({ line, level }: ProtocolFrame<'setLine'>): void {
    this.#lines.get(line)?.set(level !== 0)
  }

  /** Sets or stops a timer. */
  armTimer({ timer: id, deadline }: ProtocolFrame<'armTimer'>): void {
    const context = this.#context
    if (context === null) return
    let armed = this.#timers.get(id)
    if (armed === undefined) {
      if (this.#timers.size >= MOST_TIMERS)
        throw new DeviceError('ERR_NO_SPACE', `${this.name} has ${MOST_TIMERS} timers, and there may be no more`)
      const due = new Instant().clear()
      const timer = context.timer(async (_, { lo, hi }) => {
        const now = this.#now()
        due.set(now)
        await this.#call({ kind: 'timer', timer: id, deadline: { lo, hi }, now })
      })
      armed = { timer, due }
      this.#timers.set(id, armed)
    }
    const { timer, due } = armed
    if (deadline.lo === NEVER && deadline.hi === NEVER) return timer.cancel()
    if (due.isNever || due.isBefore(deadline)) timer.armAfter(0, deadline)
    else timer.armAfter(LEAST_NS, due)
  }

  /** Reads guest memory. */
  async dmaRead({ call, address, length }: ProtocolFrame<'dmaRead'>): Promise<void> {
    const bytes = new Uint8Array(length)
    const ok = this.#mayReach(address, length) && (await this.#context!.dma.readAsync(address, bytes))
    this.#session.send({ kind: 'dmaDone', call, ok: ok ? 1 : 0, bytes: ok ? bytes : NOTHING })
  }

  /** Writes guest memory. */
  async dmaWrite({ call, address, bytes }: ProtocolFrame<'dmaWrite'>): Promise<void> {
    const ok = this.#mayReach(address, bytes.length) && (await this.#context!.dma.writeAsync(address, bytes))
    if (call !== 0) this.#session.send({ kind: 'dmaDone', call, ok: ok ? 1 : 0, bytes: NOTHING })
  }

  /** Reads memory of its own. */
  async memoryRead({ call, memory, offset, length }: ProtocolFrame<'memoryRead'>): Promise<void> {
    const [from, bytes] = [this.#memory(memory), new Uint8Array(length)]
    const ok = offset + length <= from.bytes
    if (ok) await from.readAsync(offset, bytes)
    this.#session.send({ kind: 'dmaDone', call, ok: ok ? 1 : 0, bytes: ok ? bytes : NOTHING })
  }

  /** Writes memory of its own. */
  async memoryWrite({ call, memory, offset, bytes }: ProtocolFrame<'memoryWrite'>): Promise<void> {
    const into = this.#memory(memory)
    const ok = offset + bytes.length <= into.bytes
    if (ok) await into.writeAsync(offset, bytes)
    if (call !== 0) this.#session.send({ kind: 'dmaDone', call, ok: ok ? 1 : 0, bytes: NOTHING })
  }

  /** The guest has made a request that ends its run. */
  request(frame: ProtocolFrame<'powerOff' | 'resetMachine' | 'exit'>): void {
    if (frame.kind === 'powerOff') this.#context?.requestPowerOff()
    else if (frame.kind === 'resetMachine') this.#context?.requestReset()
    else this.#context?.requestExit(frame.status)
  }

  #memory(id: number): OwnedMemory {
    const memory = this.#memories.get(id)
    if (memory === undefined) throw new DeviceError('ERR_NOT_FOUND', `${this.name} has no memory ${id}`)
    return memory
  }

  #mayReach(address: number, length: number): boolean {
    const functions = [...this.#functions.values()]
    return (
      this.#context !== null &&
      address >= this.#bounds.first &&
      address + length - 1 <= this.#bounds.last &&
      (functions.length === 0 || functions.some(({ pci }) => pci.mayMaster))
    )
  }
}

interface SavedModel {
  readonly version: 1
  readonly bytes: Uint8Array
  readonly causes: Readonly<Record<string, readonly number[]>>
}

/** The pin is driven while the guest has no messages switched on. */
function drivePin(found: AttachedFunction | undefined): void {
  if (found === undefined) return
  const { pci, causes } = found
  pci.interrupt?.set(causes.size > 0 && (pci.messages === null || pci.messages.mode === 'none'))
}
