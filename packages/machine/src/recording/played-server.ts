import type { DomainServer } from '@retrap/hvm'
import {
  decodeFrame,
  type DevicePlatform,
  type GatedServer,
  NO_VCPU,
  RemoteServer,
  type RemoteServerOptions,
  type ServerLink,
} from '@retrap/device-hosting'
import { createIoRequest, IOREQ_TYPE_INVALIDATE, type IoDispatch } from '@retrap/ioreq'
import { ENDED, ModelsGate, type ServerFacts } from './gated-server.ts'
import { framesOf } from './held-frames.ts'
import type { InputGate } from './input-gate.ts'

const ONES = 0xffff_ffff

/** Repeats the recorded actions of a server's models, without the models. */
class PlayedServer extends ModelsGate {
  readonly #request = createIoRequest()
  /** The server's saved state; undefined if the server has existed since power-on. */
  #saved: unknown
  #isPlaying = false

  constructor(gate: InputGate, server: GatedServer, facts: ServerFacts) {
    super(gate, server, facts)
    this.#saved = gate.savedOf(this.party) ?? undefined
  }

  readonly link: ServerLink = {
    send: (frame) => {
      if (frame.kind === 'hello') void Promise.resolve().then(() => this.#start())
    },
    notify: (vcpu) => this.#asked(vcpu),
    notifyBuffered: () => {
      const { ring } = this.server.server
      while (ring?.consume(this.#request) === true);
    },
    close: () => undefined,
  }

  #start(): void {
    if (this.#saved === undefined) return this.begun()
    try {
      for (const frame of framesOf(this.#saved, true)) this.effect(this.ended(frame))
    } catch (error) {
      // A checkpoint that no recorder has written.
      this.#fail(String(error))
    }
  }

  #fail(message: string): void {
    this.server.apply({ kind: 'fault', vcpu: NO_VCPU, device: '', what: '', message })
  }

  protected restored(saved: unknown): void {
    this.#saved = undefined
    for (const frame of framesOf(saved, false)) this.effect(frame)
    this.server.putBack()
  }

  #asked(vcpu: number): void {
    if (!this.server.server.slot(vcpu).accept(this.#request)) return
    // Before its state is restored no request is the recording's, and none needs an answer of it.
    if (this.#request.type === IOREQ_TYPE_INVALIDATE || this.#saved !== undefined)
      void Promise.resolve().then(() => this.#answer(vcpu, 1, ONES, ONES))
    else {
      this.vcpus.add(vcpu)
      this.begun()
    }
  }

  #answer(vcpu: number, count: number, lo: number, hi: number): void {
    const { server } = this.server
    const slot = server.slot(vcpu)
    slot.count = count
    if (slot.answer(lo, hi)) server.answered(vcpu)
  }

  /** The recording contains the end of a server that was plugged in. */
  failed(): boolean {
    return this.isPlugged
  }

  protected begun(): void {
    if (!this.#isPlaying) void this.#play()
  }

  async #play(): Promise<void> {
    this.#isPlaying = true
    try {
      while (this.isAwaited) await this.gate.noted(this.party, (data) => this.#take(data))
    } catch {
      // There is no machine without its models. Otherwise the gate ends the replay, in a machine that waits for nothing.
      if (this.isStarting) this.#fail('the recording ended before they were there')
      for (const vcpu of this.vcpus) this.#answer(vcpu, 1, ONES, ONES)
      for (const call of this.calls) this.server.apply({ kind: 'called', call, error: '', result: '' })
      this.vcpus.clear()
      this.calls.length = 0
    } finally {
      this.#isPlaying = false
    }
  }

  #take(data: Uint8Array): void {
    if (data.length === ENDED.length) return this.server.end(undefined)
    const frame = decodeFrame(data)
    if (frame.kind === 'answer') {
      const { vcpu, sequence, lo, hi } = frame
      if (!this.vcpus.delete(vcpu)) throw new RangeError(`an answer to vCPU ${vcpu}, which has not asked`)
      this.#answer(vcpu, sequence, lo, hi)
    } else if (frame.kind === 'called') {
      const call = this.calls[frame.call]
      if (call === undefined) throw new RangeError(`a reply to call ${frame.call}, which is not open`)
      this.calls.splice(frame.call, 1)
      this.effect({ ...frame, call })
    } else this.effect(this.ended(frame))
  }

  saved(): null {
    return null
  }

  /** All that comes is from the recording. */
  arrived(): boolean {
    return true
  }

  asked(): void {}

  answered(): void {}

  overlay(): void {}
}

/**
 * Makes the server of models that are in the recording.
 *
 * @param options - as for the models' own server
 */
export function startPlayedServer(
  target: { readonly dispatch: IoDispatch; readonly platform: DevicePlatform },
  gate: InputGate,
  facts: ServerFacts,
  options: RemoteServerOptions,
): DomainServer {
  const made: { played?: PlayedServer } = {}
  const { dispatch, platform } = target
  const withGate = {
    ...platform,
    gate: (server: GatedServer) => (made.played = new PlayedServer(gate, server, facts)),
  }
  const link: ServerLink = {
    send: (frame) => made.played!.link.send(frame),
    notify: (vcpu) => made.played!.link.notify(vcpu),
    notifyBuffered: () => made.played!.link.notifyBuffered(),
    close: () => undefined,
  }
  const remote = new RemoteServer(dispatch, withGate, link, options)
  return { remote, close: () => remote.close() }
}
