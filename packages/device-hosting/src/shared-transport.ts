import type { Clock, Word64 } from '@retrap/device'
import type { DevicePlatform } from './platform.ts'
import { type IoDispatch, isWithServer } from '@retrap/ioreq'
import { Doorbell } from './doorbell.ts'
import { RemoteServer, type RemoteServerOptions } from './remote-server.ts'
import { createSharedDeviceMemory, SharedEnd, type SharedDeviceMemory } from './shared-memory.ts'

/** The options of a {@link SharedTransport}. */
export interface SharedTransportOptions extends RemoteServerOptions {
  /**
   * Rung for frames or an answer of the server; one for all servers of a domain lets a thread wait for all. Default its
   * own.
   */
  readonly doorbell?: Doorbell
  /**
   * How long the vCPU's thread waits for an answer, blocked, before the vCPU is taken off and the thread goes about
   * other things. Milliseconds; default 0. Needs a thread that may block.
   */
  readonly patienceMs?: number
}

/**
 * The hypervisor's end of a device server in a Worker: requests lie in a page that both see, everything else goes
 * through streams in shared memory, and each side rings for the other.
 *
 * The vCPU's thread lets its event loop run (`watch`), or blocks (`waitSync`); the code around them is the same.
 */
export class SharedTransport {
  /** To be posted to the Worker, which calls `serveSharedDevices` with it. */
  readonly memory: SharedDeviceMemory
  /** The hypervisor's end of the server. */
  readonly remote: RemoteServer
  /** The bell that the server rings when it has frames or an answer. */
  readonly doorbell: Doorbell
  readonly #end: SharedEnd
  readonly #clock: Clock
  readonly #time: Word64 = { lo: 0, hi: 0 }
  readonly #patienceMs: number
  /** vCPUs whose request is in a slot. */
  readonly #outstanding: Uint8Array
  /** The doorbell when all that it had been rung for was handled. */
  #pumped = 0
  #closed = false

  constructor(dispatch: IoDispatch, platform: DevicePlatform, options: SharedTransportOptions) {
    this.doorbell = options.doorbell ?? new Doorbell()
    this.memory = createSharedDeviceMemory(this.doorbell)
    this.#patienceMs = options.patienceMs ?? 0
    this.#outstanding = new Uint8Array(dispatch.vcpus)
    const end = new SharedEnd(this.memory, 'hypervisor', (frame) => this.remote.take(frame))
    this.#end = end
    this.#clock = platform.clock
    this.remote = new RemoteServer(
      dispatch,
      platform,
      {
        page: end.page,
        ringPage: end.ringPage,
        send: (frame) => end.send(frame),
        notify: (vcpu) => this.#notify(vcpu),
        receive: () => void this.#receive(),
        notifyBuffered: () => {
          this.#publishTime()
          end.ringBuffered()
        },
        close: () => {
          this.#closed = true
          end.close()
          // Threads that watch the page must see the new state.
          this.doorbell.ring()
        },
      },
      options,
    )
  }

  #publishTime(): void {
    this.#clock.read(this.#time)
    this.#end.setTime(this.#time)
  }

  #notify(vcpu: number): void {
    this.#outstanding[vcpu] = 1
    this.#publishTime()
    this.#end.otherBell.ring()
    if (this.#patienceMs > 0) this.#waitFor(vcpu)
  }

  #waitFor(vcpu: number): void {
    const slot = this.remote.server.slot(vcpu)
    // The host's clock costs as much as a hop. The host's time is read only where the bell was rung for another reason.
    let deadline = NaN
    let left = this.#patienceMs
    for (let waits = 0; ; waits++) {
      const seen = this.doorbell.value
      // The state first: frames that the server sent before its answer have arrived then. A model may need memory before
      // it can answer.
      const { state } = slot
      this.#receive()
      if (this.#closed) return
      if (!isWithServer(state)) {
        this.#outstanding[vcpu] = 0
        return
      }
      if (waits > 0 && left > 0) {
        const now = performance.now()
        if (waits === 1) deadline = now + left
        left = deadline - now
      }
      if (left <= 0) return
      // Answers that come with the end of the time are looked at once more.
      if (!this.doorbell.waitSync(seen, left)) left = 0
    }
  }

  #receive(): boolean {
    try {
      return this.#end.receive()
    } catch (error) {
      this.remote.failed(error)
      return true
    }
  }

  /** Handles all that the server has sent: its events, then its answers. False if there was nothing. */
  pump(): boolean {
    if (this.#closed) return false
    this.#pumped = this.doorbell.value
    let any = this.#receive()
    const { server } = this.remote
    for (let vcpu = 0; vcpu < this.#outstanding.length && !this.#closed; vcpu++) {
      if (this.#outstanding[vcpu] === 0) continue
      const { state } = server.slot(vcpu)
      if (!isWithServer(state)) {
        this.#outstanding[vcpu] = 0
        any = true
        // Frames that it sent before its answer take effect before it.
        this.#receive()
      }
      server.answered(vcpu)
    }
    return any
  }

  /**
   * Blocks until the server has frames or an answer, or the time is over, and handles them.
   *
   * @returns false if the time was over
   */
  waitSync(ms: number = Infinity): boolean {
    const seen = this.doorbell.value
    // Each frame and answer rings the bell: without a new ring there is none.
    if (seen !== this.#pumped && this.pump()) return true
    const rung = this.doorbell.waitSync(seen, ms)
    this.pump()
    return rung
  }

  /** Handles the server's frames and answers as they come, while the event loop runs; until the server is closed. */
  async watch(): Promise<void> {
    while (!this.#closed) {
      const seen = this.doorbell.value
      this.pump()
      if (this.#closed) return
      await this.doorbell.wait(seen)
    }
  }

  /** Ends the server. The Worker's `serveSharedDevices` returns. */
  close(): void {
    this.remote.close()
  }
}
