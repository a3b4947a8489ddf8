import type { DeviceModel } from '@retrap/device'
import type { Domain, DomainServer } from '@retrap/hvm'
import {
  decodeFrame,
  type DevicePlatform,
  type GatedServer,
  NO_VCPU,
  RemoteServer,
  type RemoteServerOptions,
  type ServerLink,
  startLocalServer,
} from '@retrap/device-hosting'
import { createIoRequest, IOREQ_TYPE_INVALIDATE } from '@retrap/ioreq'
import type { IoDispatch } from '@retrap/ioreq'
import type { PartServerOptions, StartControllerServer, StartPartServer } from '../board/start.ts'
import type { StartDeviceServer } from '../lifecycle/machine-life.ts'
import { type InputGate, PLUG_PARTY } from './input-gate.ts'
import { ENDED, ModelsGate, type ServerFacts } from './gated-server.ts'
import { framesOf, type PlugFacts, plugsOf } from './held-frames.ts'
import { RecordGate } from './record-gate.ts'
import { RecordedServer } from './recorded-server.ts'

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
function startPlayedServer(
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

/** The part of a domain that servers of models need. */
export interface ServerTarget {
  readonly dispatch: IoDispatch
  readonly platform: DevicePlatform
}

/**
 * Makes a server of the caller's while the machine runs, such as a `MessageTransport`: at the instant at which it is plugged in.
 *
 * @param realTime - whether the machine's clock runs on by itself between two requests
 */
export type PlugServer = (dispatch: IoDispatch, platform: DevicePlatform, realTime: boolean) => DomainServer

/** A server that was plugged in while the machine ran. */
export interface PluggedServer {
  /** The server. Its `remote.ready` resolves when its models are ready, while the machine runs. */
  readonly server: DomainServer
  /** Removes the server: when the machine resumes, or at once if a processor waits for its models. */
  readonly unplug: () => void
}

/** The parts of a domain that plugging in a server needs. */
export type PluggingDomain = Pick<Domain, 'addServer' | 'dispatch' | 'platform'>

/** Starts the servers whose models are recorded at the device contract; a replay gets servers that repeat the recorded actions. */
export class ServerStarts {
  readonly #gate: InputGate

  constructor(gate: InputGate) {
    this.#gate = gate
  }

  /** @param start - starts the models. @param options - of the server without them */
  #start(
    target: ServerTarget,
    facts: ServerFacts,
    options: RemoteServerOptions,
    start: (platform: DevicePlatform) => DomainServer,
  ): DomainServer {
    const gate = this.#gate
    if (!(gate instanceof RecordGate)) return startPlayedServer(target, gate, facts, options)
    return start(recordedPlatform(gate, target.platform, facts))
  }

  /** Starts a board in a thread of its own. */
  board<Options extends PartServerOptions>(start: StartPartServer<Options>): StartPartServer<Options> {
    return (dispatch, platform, options) =>
      this.#start({ dispatch, platform }, { name: 'board', talksToHost: false }, options, (gated) =>
        start(dispatch, gated, options),
      )
  }

  /** Controllers in a thread of their own; their disks and networks are the host's. */
  controllers(start: StartControllerServer): StartControllerServer {
    return (dispatch, platform, { onMessage, ...options }) =>
      this.#start({ dispatch, platform }, { name: 'controllers', talksToHost: true }, options, (gated) =>
        start(dispatch, gated, { ...options, onMessage }),
      )
  }

  /** Servers of the caller's models. @param count - that the recording has */
  devices(starts: readonly StartDeviceServer[], count: number): StartDeviceServer[] {
    const gate = this.#gate
    const first = Array.from({ length: count }, (_, i): StartDeviceServer => {
      const facts = { name: `server ${i}`, talksToHost: false }
      if (!(gate instanceof RecordGate))
        return (dispatch, platform) =>
          startPlayedServer({ dispatch, platform }, gate, facts, { name: facts.name, realTime: false })
      return (dispatch, platform, realTime) => starts[i]!(dispatch, recordedPlatform(gate, platform, facts), realTime)
    })
    // Servers that were plugged in before the checkpoint that the machine begins at.
    const later = plugsOf(gate.saved).map(
      (plug): StartDeviceServer =>
        (dispatch, platform) =>
          this.#playPlugged({ dispatch, platform }, plug),
    )
    return [...first, ...later]
  }

  #playPlugged(target: ServerTarget, plug: PlugFacts): DomainServer {
    const { name, policy } = plug
    const options = { name, realTime: false, readyMs: Infinity, ...(policy !== null && { policy }) }
    return startPlayedServer(target, this.#gate, { name, talksToHost: false, plug }, options)
  }

  /** Attaches the machine's domain after its creation: a replay plugs in the recorded servers. */
  begin(domain: PluggingDomain): void {
    const gate = this.#gate
    if (gate instanceof RecordGate) return
    const text = new TextDecoder()
    gate.others.set(PLUG_PARTY, (data) =>
      domain.addServer(this.#playPlugged(domain, JSON.parse(text.decode(data)) as PlugFacts)),
    )
  }

  /**
   * Plugs in a server of the caller's, of a machine that is recorded. Settles at that instant: not while the machine stands still.
   *
   * @throws what `start` throws
   */
  plug(domain: PluggingDomain, start: PlugServer): Promise<PluggedServer> {
    const gate = this.#gate as RecordGate
    const { dispatch, platform } = domain
    return new Promise((resolve, reject) => {
      gate.post(PLUG_PARTY, () => {
        let made:
          | { readonly plug: PlugFacts; readonly recorded: RecordedServer; readonly gated: GatedServer }
          | undefined
        const gateOf = (gated: GatedServer): RecordedServer => {
          const plug = { name: gated.name, party: gate.nextParty, policy: gated.server.policy }
          const facts = { name: gated.name, talksToHost: false, plug }
          const recorded = new RecordedServer(gate, gated, facts, platform.dma)
          made = { plug, recorded, gated }
          return recorded
        }
        try {
          const server = start(dispatch, gatedPlatform(platform, gateOf), false)
          const { plug, recorded } = made!
          domain.addServer(server)
          resolve({ server, unplug: () => recorded.end() })
          return new TextEncoder().encode(JSON.stringify(plug))
        } catch (error) {
          // The server existed for this instant only.
          made?.gated.end(undefined)
          reject(error)
          return null
        }
      })
    })
  }

  /** Models of the machine's thread. */
  local(
    { dispatch, platform }: ServerTarget,
    given: Omit<ServerFacts, 'talksToHost'>,
    models: readonly DeviceModel[],
  ): DomainServer {
    const { name } = given
    const facts = { ...given, talksToHost: false, isLocal: true }
    return this.#start({ dispatch, platform }, facts, { name, realTime: false }, (gated) =>
      startLocalServer({ dispatch, platform: gated }, { name, realTime: false }, (server) => {
        for (const model of models) server.attach(model)
      }),
    )
  }
}

/** The device platform of recorded models: they access the machine only by messages. */
const recordedPlatform = (gate: RecordGate, platform: DevicePlatform, facts: ServerFacts): DevicePlatform =>
  gatedPlatform(platform, (server) => new RecordedServer(gate, server, facts, platform.dma))

/** The device platform of recorded models: they access the machine by messages, not through shared memory. */
function gatedPlatform(platform: DevicePlatform, gate: (server: GatedServer) => RecordedServer): DevicePlatform {
  const { sharedMemory: _sharedMemory, ...others } = platform
  return { ...others, gate }
}
