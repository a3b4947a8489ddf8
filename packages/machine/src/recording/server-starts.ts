import type { DeviceModel } from '@retrap/device'
import type { DomainServer } from '@retrap/hvm'
import type { DevicePlatform, GatedServer, RemoteServerOptions } from '@retrap/ioreq/host'
import type { IoDispatch } from '@retrap/ioreq'
import type { PartServerOptions, StartControllerServer, StartPartServer } from '../board/start.ts'
import type { StartDeviceServer } from '../life/machine-life.ts'
import type { InputGate } from './gate.ts'
import type { ServerFacts } from './gated-server.ts'
import { startLocalServer } from './local-server.ts'
import { startPlayedServer } from './played-server.ts'
import { RecordGate } from './record-gate.ts'
import { RecordedServer } from './recorded-server.ts'

/** A domain, as servers of models are made in it. */
export interface ServerTarget {
  readonly dispatch: IoDispatch
  readonly platform: DevicePlatform
}

/** Starts the servers whose models are recorded at the contract; in a replay, servers that do the same again without them. */
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

  /** A board in a thread of its own. */
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
    return Array.from({ length: count }, (_, i): StartDeviceServer => {
      const facts = { name: `server ${i}`, talksToHost: false }
      if (!(gate instanceof RecordGate))
        return (dispatch, platform) =>
          startPlayedServer({ dispatch, platform }, gate, facts, { name: facts.name, realTime: false })
      return (dispatch, platform, realTime) => starts[i]!(dispatch, recordedPlatform(gate, platform, facts), realTime)
    })
  }

  /** Models of the machine's thread. */
  local(
    { dispatch, platform }: ServerTarget,
    given: Omit<ServerFacts, 'talksToHost'>,
    models: readonly DeviceModel[],
  ): DomainServer {
    const { name } = given
    const facts = { ...given, talksToHost: false }
    return this.#start({ dispatch, platform }, facts, { name, realTime: false }, (gated) =>
      startLocalServer({ dispatch, platform: gated }, name, models),
    )
  }
}

/** The machine as models reach it that are recorded: by what they say, and not through memory that they share. */
function recordedPlatform(gate: RecordGate, platform: DevicePlatform, facts: ServerFacts): DevicePlatform {
  const { sharedMemory: _sharedMemory, ...others } = platform
  return {
    ...others,
    gate: (server: GatedServer) => new RecordedServer(gate, server, facts, platform.dma),
  }
}
