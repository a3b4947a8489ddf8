import type { Word64 } from '@retrap/device'
import {
  BufferedRing,
  createIoRequest,
  HVM_IOREQSRV_BUFIOREQ_ATOMIC,
  IOREQ_TYPE_INVALIDATE,
  IoreqPage,
} from '@retrap/ioreq'
import { DeviceServer } from './device-server.ts'
import type { DeviceServerOptions } from './linked-platform.ts'
import type { Frame } from './frames.ts'
import { SharedEnd, type SharedDeviceMemory } from './shared-memory.ts'

/** How a Worker serves; see {@link serveSharedDevices}. */
export interface SharedDevicesOptions extends DeviceServerOptions {
  /**
   * Longest that the Worker blocks between two looks at its own event loop, in milliseconds. While requests come in it
   * waits blocked, which is quicker; models' promises and host timers have their turn in between. Default 1; 0: never.
   */
  readonly blockMs?: number
}

/** After this long without anything to do, the Worker waits on its event loop. */
const IDLE_SLICES = 3
/** A Worker that is kept busy looks at its event loop this often. */
const BUSY_MS = 8
/** Turns of the microtask queue after a message: as many as promises follow one another in a model. */
const MESSAGE_TURNS = 16
/** Rounds of the loop between two looks whether that time has come. */
const ROUNDS_A_LOOK = 16

/**
 * Serves a domain's requests with models of this Worker, until the hypervisor closes the server.
 *
 * @param memory - what the hypervisor's `SharedTransport` has posted
 * @param attach - adds the models to the server
 */
export async function serveSharedDevices(
  memory: SharedDeviceMemory,
  attach: (server: DeviceServer) => void | Promise<void>,
  options: SharedDevicesOptions = {},
): Promise<void> {
  const loop = new SharedDevices(memory, options)
  // Node does not stay alive for a wait for a shared word.
  const alive = setTimeout(() => {}, LONGEST_MS)
  try {
    await loop.server.attachAll(attach)
    await loop.run()
  } finally {
    clearTimeout(alive)
    loop.server.endMappings()
  }
}

/** The longest delay that `setTimeout` takes, in milliseconds. */
const LONGEST_MS = 0x7fff_ffff

class SharedDevices {
  readonly server: DeviceServer
  readonly #end: SharedEnd
  readonly #page: IoreqPage
  readonly #ring: BufferedRing
  readonly #request = createIoRequest()
  readonly #bufferedRequest = createIoRequest()
  readonly #time: Word64 = { lo: 0, hi: 0 }
  readonly #blockMs: number
  /** Frames that arrived while a model waited for its memory; they are handled after it. */
  #later: Frame[] = []
  #waiting: ((frame: Extract<Frame, { kind: 'dmaDone' }>) => void) | null = null
  /** Whether a message has come, with which a model's promise may settle. */
  #heard = false
  /** Requests taken and not answered, by vCPU. */
  #taken = new Uint8Array(128)

  constructor(memory: SharedDeviceMemory, options: SharedDevicesOptions) {
    this.#end = new SharedEnd(memory, 'devices', (frame) => this.#receive(frame))
    this.#page = new IoreqPage(this.#end.page.buffer, this.#end.page.byteOffset)
    const { buffer, byteOffset } = this.#end.ringPage
    this.#ring = new BufferedRing(HVM_IOREQSRV_BUFIOREQ_ATOMIC, buffer, byteOffset)
    this.#blockMs = options.blockMs ?? 1
    this.server = new DeviceServer(
      {
        send: (frame) => this.#send(frame),
        answer: (vcpu, lo, hi) => this.#answer(vcpu, lo, hi),
        callSync: (frame) => this.#callSync(frame),
      },
      options,
    )
  }

  #send(frame: Frame): void {
    this.#end.write(frame)
    // A model that waits has no request, so no thread would look otherwise.
    this.#end.otherBell.ring()
    if (frame.kind === 'fault') this.#taken[frame.vcpu] = 0
  }

  #answer(vcpu: number, lo: number, hi: number): void {
    // An answer overtakes nothing that the models have done before it.
    while (!this.#end.flush()) {
      if (this.#end.closed) return
      this.#end.otherBell.ring()
      this.#end.ownBell.waitSync(this.#end.ownBell.value, 1)
    }
    this.#taken[vcpu] = 0
    this.#page.slot(vcpu).answer(lo, hi)
    this.#end.otherBell.ring()
  }

  #receive(frame: Frame): void {
    if (this.#waiting === null) return this.#handle(frame)
    if (frame.kind === 'dmaDone') this.#waiting(frame)
    else this.#later.push(frame)
  }

  #handle(frame: Frame): void {
    // The guest's buffered writes from before these frames come first.
    if (frame.kind === 'drop' || frame.kind === 'settle' || frame.kind === 'save') this.#serveRing()
    if (frame.kind === 'message') this.#heard = true
    this.server.receive(frame)
  }

  #callSync(frame: Frame): Extract<Frame, { kind: 'dmaDone' }> {
    let done: Extract<Frame, { kind: 'dmaDone' }> | null = null
    this.#waiting = (reply) => {
      done = reply
    }
    this.#end.send(frame)
    while (done === null && !this.#end.closed) {
      const seen = this.#end.ownBell.value
      if (!this.#end.receive()) this.#end.ownBell.waitSync(seen)
    }
    this.#waiting = null
    return done ?? { kind: 'dmaDone', call: 0, ok: false, bytes: new Uint8Array(0) }
  }

  /** Handles all work. @returns whether there was any */
  #work(): boolean {
    const { server } = this
    const request = this.#request
    let any = this.#receiveAll()
    // Posted writes come before the request that follows them.
    if (this.#end.takeBuffered()) any = this.#serveRing() || any
    for (let vcpu = 0; vcpu < server.vcpus; vcpu++) {
      if (!this.#page.slot(vcpu).accept(request)) continue
      any = true
      // Buffered requests may have come before this request, but after our look at them.
      if (this.#end.takeBuffered()) this.#serveRing()
      if (request.type === IOREQ_TYPE_INVALIDATE) this.#receiveAll()
      this.#taken[vcpu] = 1
      this.#learnTime()
      server.requests.serve(vcpu, request, server)
    }
    return any
  }

  #learnTime(): void {
    this.#end.readTime(this.#time)
    this.server.setTime(this.#time)
  }

  #receiveAll(): boolean {
    let any = this.#end.receive()
    while (this.#later.length > 0) {
      any = true
      this.#handle(this.#later.shift()!)
    }
    return any
  }

  #serveRing(): boolean {
    const { server } = this
    const request = this.#bufferedRequest
    let any = false
    while (this.#ring.consume(request)) {
      any = true
      this.#learnTime()
      server.serveBuffered(request)
    }
    return any
  }

  async run(): Promise<void> {
    let idle = 0
    let turn = performance.now()
    let rounds = 0
    let looked = -1
    while (!this.#end.closed) {
      const seen = this.#end.ownBell.value
      // Each frame and request rings the bell: without a new ring there is none.
      if (seen !== looked && this.#work()) {
        looked = seen
        idle = 0
        if (this.#open()) {
          // Promises that need nothing but a turn of the microtask queue.
          this.server.yieldTime()
          await Promise.resolve()
        }
        if (this.#heard) await this.#goOn()
      } else if (this.#blockMs > 0 && idle < IDLE_SLICES && !this.#open()) {
        if (!this.#end.ownBell.waitSync(seen, this.#blockMs)) idle++
      } else {
        this.server.yieldTime()
        await this.#end.ownBell.wait(seen)
        turn = performance.now()
        continue
      }
      // The host's clock costs as much as a request does.
      if (++rounds % ROUNDS_A_LOOK !== 0 && idle === 0) continue
      if (performance.now() - turn < BUSY_MS) continue
      // The event loop's turn: promises of models, host timers, messages from other threads.
      this.server.yieldTime()
      await new Promise<void>((resolve) => void setTimeout(resolve, 0))
      turn = performance.now()
    }
  }

  /** Lets promises of models go on that have waited for a message: there is no need to wait for the event loop's turn. */
  async #goOn(): Promise<void> {
    this.#heard = false
    for (let turns = 0; turns < MESSAGE_TURNS; turns++) await Promise.resolve()
  }

  /** Whether a model has yet to answer: its promise needs the event loop. */
  #open(): boolean {
    for (let vcpu = 0; vcpu < this.server.vcpus; vcpu++) if (this.#taken[vcpu] !== 0) return true
    return false
  }
}
