import {
  type Clock,
  DeviceError,
  type DeviceMemory,
  Instant,
  type InterruptLine,
  type Timer,
  type TimerCallback,
  type Word64,
} from '@retrap/device'
import { setDeadline } from '@retrap/device/host'
import { type Frame, MAX_DMA_BYTES } from './frames.ts'
import type { DevicePlatform, PlatformMemory, PlatformMemoryOptions } from './platform.ts'
import { remoteMemories } from './remote-memory.ts'

/** A device server's way to its hypervisor. */
export interface DeviceLink {
  /** Sends a frame after all frames before. */
  send(frame: Frame): void
  /** Answers the request of a vCPU, after all frames before. */
  answer(vcpu: number, lo: number, hi: number): void
  /**
   * Moves memory while the caller waits, where that can be done. Without it the synchronous forms of `dma` and of owned
   * memory throw.
   *
   * @param frame - one that a `dmaDone` answers, with a call number
   */
  callSync?(frame: Frame): Extract<Frame, { kind: 'dmaDone' }>
}

/** Tells of consecutive guest frames. */
export type TellFrames = (gfn: number, count: number) => void

/** A model's way to guest memory that lies within reach. */
export interface MappedMemory extends DeviceMemory {
  /** Calls back with the guest frames that are held for writing; absent: none ever are. */
  heldForWriting?(each: TellFrames): void
}

/** Options of a `DeviceServer`. */
export interface DeviceServerOptions {
  /** Names the server where the hypervisor has not; default `devices`. */
  readonly name?: string
  /** Takes messages from the machine's maker. */
  onMessage?(bytes: Uint8Array): void
  /** The wire of a PCI function's INTx pin, where the bridge that routes it is one of these models. */
  pciInterrupt?(device: number, pin: number): InterruptLine
  /**
   * Gives each model its own way to guest memory that lies within reach, such as a `MapCache` over a machine's shared
   * memory in a Worker. Its mappings delay the answers to INVALIDATE requests. Default: the hypervisor copies for
   * the models, and they cannot map.
   *
   * @param modified - to be called for guest frames that the model has written, when its bytes are there
   * @param writing - to be called for guest frames whose writes are logged, before the model writes them or holds them for it
   */
  openMemory?(modified: TellFrames, writing: TellFrames): MappedMemory
  /**
   * Shows memory that a model owns, where the machine's memory is shared with this thread: see `openOwnedMemory` of
   * `@retrap/hvm`. Default: models copy by message, and `OwnedMemory.view` is null.
   */
  ownedView?(location: number, bytes: number): Uint8Array
}

type DmaDone = Extract<Frame, { kind: 'dmaDone' }>

class LinkedTimer implements Timer {
  readonly #clock: Clock
  readonly #send: (deadline: Word64) => void
  readonly callback: TimerCallback
  /** “Never” while not armed. */
  readonly deadline: Instant = new Instant().clear()

  constructor(clock: Clock, send: (deadline: Word64) => void, callback: TimerCallback) {
    this.#clock = clock
    this.#send = send
    this.callback = callback
  }

  get deadlineNs(): number {
    return this.deadline.toNumber()
  }

  arm(deadlineNs: number): void {
    this.armAfter(deadlineNs, POWER_ON)
  }

  armAfter(delayNs: number, from?: Readonly<Word64>): void {
    const deadline = new Instant()
    if (from === undefined) this.#clock.read(deadline)
    setDeadline(deadline, delayNs, from ?? deadline)
    this.#set(deadline)
  }

  readDeadline(into: Word64): boolean {
    into.lo = this.deadline.lo
    into.hi = this.deadline.hi
    return !this.deadline.isNever
  }

  cancel(): void {
    if (!this.deadline.isNever) this.#set(new Instant().clear())
  }

  #set(deadline: Instant): void {
    this.deadline.set(deadline)
    this.#send(deadline.save())
  }
}

/** The instant from which `arm` counts. */
const POWER_ON: Readonly<Word64> = new Instant()

/** The machine as models see it that a link separates from their hypervisor: its clock, timers, lines and memory. */
export class LinkedPlatform implements DevicePlatform {
  readonly clock: Clock = {
    now: () => this.#time().toNumber(),
    read: (into) => {
      const { lo, hi } = this.#time()
      into.lo = lo
      into.hi = hi
    },
  }
  readonly dma: DevicePlatform['dma']
  readonly openMemory?: () => DeviceMemory
  /** The machine's clock follows the host's. */
  realTime = false
  readonly #link: DeviceLink
  readonly #options: DeviceServerOptions
  readonly #openOwn: ReturnType<typeof remoteMemories>
  /** Memories that models map. */
  readonly #mapped: MappedMemory[] = []
  /** Whether the machine waits for announcements of writes. */
  announces = false
  readonly #tell: Readonly<Record<'modified' | 'writing', TellFrames>>
  readonly #timers: LinkedTimer[] = []
  readonly #calls = new Map<number, (done: DmaDone) => void>()
  #lines = 0
  #nextCall = 1
  /** The machine's time as of the last frame that carried it. */
  readonly #now = new Instant()
  /** Room for the present time, which models read. */
  readonly #present = new Instant()
  /** The host's clock when `#now` was learnt; NaN: a moment ago. */
  #learnt = NaN

  constructor(link: DeviceLink, options: DeviceServerOptions) {
    this.#link = link
    this.#options = options
    const openMemory = options.openMemory?.bind(options)
    const view = options.ownedView?.bind(options)
    const callSync = link.callSync?.bind(link)
    this.#openOwn = remoteMemories({
      send: (frame) => link.send(frame),
      ...(callSync && { callSync }),
      call: (frame) => this.#call(frame),
      nextCall: () => this.#nextCall++,
      ...(view && { view }),
    })
    if (openMemory !== undefined) {
      this.openMemory = () => {
        const memory = openMemory(this.#tell.modified, this.#tell.writing)
        this.#mapped.push(memory)
        return memory
      }
    }
    this.dma = this.#dma(callSync)
    this.#tell = {
      modified: (gfn, count) => link.send({ kind: 'modified', gfn, count }),
      writing: (gfn, count) => {
        if (this.announces) callSync?.({ kind: 'writing', call: this.#nextCall++, gfn, count })
      },
    }
  }

  // ---- time ----

  /** Sets the machine's time. It advances from its first reading, or from `yieldTime`. */
  setTime(now: Readonly<Word64>): void {
    this.#now.set(now)
    this.#learnt = NaN
  }

  /** To be called before the event loop runs: the machine's time then runs on without requests that carry it. */
  yieldTime(): void {
    if (this.realTime && Number.isNaN(this.#learnt)) this.#learnt = performance.now()
  }

  #time(): Instant {
    const present = this.#present.set(this.#now)
    if (!this.realTime) return present
    // The host's clock is not asked for each request, only where a model wants to know.
    const host = performance.now()
    if (Number.isNaN(this.#learnt)) this.#learnt = host
    return present.add(Math.floor((host - this.#learnt) * 1e6))
  }

  timer(callback: TimerCallback): Timer {
    const number = this.#timers.length
    const send = (deadline: Word64): void => this.#link.send({ kind: 'armTimer', timer: number, deadline })
    const timer = new LinkedTimer(this.clock, send, callback)
    this.#timers.push(timer)
    return timer
  }

  /** The clock has reached a timer's deadline. */
  expire(number: number, deadline: Word64): void {
    const timer = this.#timers[number]
    // The timer may have been armed anew, or stopped, while the notice was under way.
    if (timer === undefined || !timer.deadline.equals(deadline)) return
    const { deadlineNs } = timer
    timer.deadline.clear()
    timer.callback(deadlineNs, deadline)
  }

  // ---- interrupts and the machine's state ----

  interruptLine(irq: number): InterruptLine {
    return this.#openLine((line) => ({ kind: 'openLine', line, irq }))
  }

  pciInterrupt(device: number, pin: number): InterruptLine {
    return (
      this.#options.pciInterrupt?.(device, pin) ?? this.#openLine((line) => ({ kind: 'openPin', line, device, pin }))
    )
  }

  #openLine(frame: (line: number) => Frame): InterruptLine {
    const line = this.#lines++
    const link = this.#link
    let driven = false
    link.send(frame(line))
    return {
      set: (level) => {
        if (level === driven) return
        driven = level
        link.send({ kind: 'setLine', line, level })
      },
      pulse: () => {
        driven = false
        link.send({ kind: 'pulseLine', line })
      },
    }
  }

  signalMsi(address: number, data: number, requester: number): void {
    this.#link.send({ kind: 'msi', address, data, requester })
  }

  powerOff(): void {
    this.#link.send({ kind: 'powerOff' })
  }

  reset(): void {
    this.#link.send({ kind: 'resetMachine' })
  }

  exit(code: number): void {
    this.#link.send({ kind: 'exit', code })
  }

  // ---- memory ----

  /** Models are at rest: the frames that they hold count as written, and mappings that they only cache are dropped. */
  atRest(): void {
    this.tellHeld('modified')
    for (const memory of this.#mapped) memory.invalidate()
  }

  /** Reports the frames that models hold for writing while they rest: no other report tells of writes to them. */
  tellHeld(what: 'modified' | 'writing'): void {
    for (const memory of this.#mapped) memory.heldForWriting?.(this.#tell[what])
  }

  ownMemory(device: string, options: PlatformMemoryOptions): PlatformMemory {
    return this.#openOwn(device, options)
  }

  /** Takes a received `dmaDone` frame. */
  reply(frame: DmaDone): void {
    this.#calls.get(frame.call)?.(frame)
    this.#calls.delete(frame.call)
  }

  #call(frame: Frame & { readonly call: number }): Promise<DmaDone> {
    const done = new Promise<DmaDone>((resolve) => this.#calls.set(frame.call, resolve))
    this.#link.send(frame)
    return done
  }

  #dma(sync: ((frame: Frame) => DmaDone) | undefined): DevicePlatform['dma'] {
    const callSync = (frame: Frame): DmaDone => {
      if (sync !== undefined) return sync(frame)
      throw new DeviceError('ERR_PERMISSION', 'guest memory is in another process: use readAsync and writeAsync')
    }
    return {
      read: (gpa, into) =>
        eachPiece(gpa, into, (at, piece) => {
          const done = callSync({ kind: 'dmaRead', call: this.#nextCall++, gpa: at, length: piece.length })
          piece.set(done.bytes)
          return done.ok
        }),
      write: (gpa, from) =>
        eachPiece(gpa, from, (at, bytes) => callSync({ kind: 'dmaWrite', call: this.#nextCall++, gpa: at, bytes }).ok),
      readAsync: async (gpa, into) => {
        for (let at = 0; at < into.length; at += MAX_DMA_BYTES) {
          const piece = into.subarray(at, at + MAX_DMA_BYTES)
          const call = this.#nextCall++
          const done = await this.#call({ kind: 'dmaRead', call, gpa: gpa + at, length: piece.length })
          piece.set(done.bytes)
          if (!done.ok) return false
        }
        return true
      },
      writeAsync: async (gpa, from) => {
        for (let at = 0; at < from.length; at += MAX_DMA_BYTES) {
          const bytes = from.subarray(at, at + MAX_DMA_BYTES)
          const done = await this.#call({ kind: 'dmaWrite', call: this.#nextCall++, gpa: gpa + at, bytes })
          if (!done.ok) return false
        }
        return true
      },
    }
  }
}

/** Moves memory in pieces of at most `MAX_DMA_BYTES`, until one cannot be moved. */
function eachPiece(gpa: number, bytes: Uint8Array, move: (gpa: number, piece: Uint8Array) => boolean): boolean {
  for (let at = 0; at < bytes.length; at += MAX_DMA_BYTES) {
    if (!move(gpa + at, bytes.subarray(at, at + MAX_DMA_BYTES))) return false
  }
  return true
}
