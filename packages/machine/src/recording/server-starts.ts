import type { DeviceModel } from '@retrap/device'
import type { Domain, DomainServer } from '@retrap/hvm'
import {
  type DevicePlatform,
  type GatedServer,
  type RemoteServerOptions,
  startLocalServer,
} from '@retrap/device-hosting'
import type { IoDispatch } from '@retrap/ioreq'
import type { PartServerOptions, StartControllerServer, StartPartServer } from '../board/start.ts'
import type { StartDeviceServer } from '../lifecycle/machine-life.ts'
import { type InputGate, PLUG_PARTY } from './input-gate.ts'
import type { ServerFacts } from './gated-server.ts'
import { type PlugFacts, plugsOf } from './held-frames.ts'
import { startPlayedServer } from './played-server.ts'
import { RecordGate } from './record-gate.ts'
import { RecordedServer } from './recorded-server.ts'

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
