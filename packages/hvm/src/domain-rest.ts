import { DeviceError } from '@retrap/device'
import type { DeviceHost, DeviceHostState, RemoteServer } from '@retrap/device-hosting'
import type { DomainServer } from './domain-options.ts'
import type { OwnedMemories, OwnedMemoryState } from './memory/owned-memories.ts'

/** The saved form of all device models of a domain, with the memory that they own. */
export interface DevicesState {
  /** Version of this form. */
  readonly version: 1
  /** The models of the domain's own process. */
  readonly local: DeviceHostState
  /** States of models in other threads or processes, by the name of their server. */
  readonly servers: Readonly<Record<string, DeviceHostState>>
  /** The memories that models own. */
  readonly memories: readonly OwnedMemoryState[]
  /** Names of servers whose models a replay did without: nobody knows their states. Absent: there were none. */
  readonly unknown?: readonly string[]
}

/** The parts of a domain that have device models. */
export interface DeviceParties {
  /** The models of the domain's own process. */
  readonly devices: DeviceHost
  /** Servers of models in other threads or processes. */
  readonly servers: readonly DomainServer[]
  /** Memory that models own. */
  readonly memories: OwnedMemories
  /** Host time that a model may take for any answer. */
  readonly deadlineMs: number
}

/** Host time that models may take to be restored. */
const RESTORE_MS = 10_000

/**
 * The device models of a domain at rest: none has a pending operation until {@link DomainRest.end}, which resumes all. The
 * caller of `Domain.rest` must call `end`, even after errors.
 */
export interface DomainRest {
  /**
   * Saves all device models, wherever they live, with the memory that they own.
   *
   * @throws DeviceError `ERR_STATE`, naming a model that has neither `save` nor `stateless: true`; `ERR_DEVICE`, naming one
   *   that failed or was late
   */
  saveDevices(): Promise<DevicesState>
  /** Resumes the device models. */
  end(): void
}

/** @param limit - host time that a model may take to be saved @param resting - servers that rest as well */
function devicesAtRest(parties: DeviceParties, limit: number, resting = remotesOf(parties)): DomainRest {
  const { devices, memories } = parties
  return {
    async saveDevices() {
      const remotes = remotesOf(parties)
      const saves = [devices.save(limit), ...remotes.map((remote) => remote.save(limit))] as const
      const [local, ...states] = await Promise.all(saves)
      const servers = Object.fromEntries(remotes.map((remote, i) => [remote.name, states[i]!]))
      return { version: 1, local, servers, memories: memories.save() }
    },
    end() {
      devices.resume()
      for (const remote of resting) remote.resume()
    },
  }
}

/** Brings all models to rest; if one does not rest in time, all resume. */
export async function beginRest(parties: DeviceParties, deadlineMs: number): Promise<DomainRest> {
  const limit = Math.min(deadlineMs, parties.deadlineMs)
  const rest = devicesAtRest(parties, limit)
  try {
    const { devices } = parties
    await Promise.all([devices.quiesce(limit), ...remotesOf(parties).map((remote) => remote.quiesce(limit))])
  } catch (error) {
    rest.end()
    throw error
  }
  return rest
}

/** Checks whether a state fits these models; remote servers check their own. @throws DeviceError */
export function checkDevices(parties: DeviceParties, state: DevicesState): void {
  if (state.version !== 1) {
    throw new DeviceError('ERR_STATE', `device state of version ${String(state.version)}: expected 1`)
  }
  const { unknown = [] } = state
  if (unknown.length > 0)
    throw new DeviceError(
      'ERR_STATE',
      `it was saved in a replay, which has no state of ${unknown.join(', ')}; save the machine while it is recorded`,
    )
  const all = parties.servers.map(({ remote }) => remote.name)
  const names = remotesOf(parties).map(({ name }) => name)
  const missing = Object.keys(state.servers).find((name) => !all.includes(name))
  if (missing !== undefined) {
    throw new DeviceError('ERR_NOT_FOUND', `saved state names the device server ${missing}, which is not there`)
  }
  const absent = names.find((name) => !Object.hasOwn(state.servers, name))
  if (absent !== undefined)
    throw new DeviceError('ERR_NOT_FOUND', `saved state has nothing of the device server ${absent}`)
  parties.devices.check(divide(parties, state).local)
}

/**
 * Divides a state for models that have moved: local models that are recorded from now on get a server.
 *
 * @returns the states as they are to be restored
 */
function divide({ devices, servers }: DeviceParties, state: DevicesState): Pick<DevicesState, 'local' | 'servers'> {
  const moved = servers.find(({ remote }) => remote.isRecorded && !Object.hasOwn(state.servers, remote.name))
  if (moved === undefined) return state
  const { own, others } = devices.divide(state.local)
  if (others === null) return state
  return { local: own, servers: { ...state.servers, [moved.remote.name]: others } }
}

/** Restores all models, which are at rest afterwards. @returns the rest; after an error the models stay stopped */
export async function restoreDevices(parties: DeviceParties, state: DevicesState): Promise<DomainRest> {
  const { devices, memories } = parties
  checkDevices(parties, state)
  memories.restore(state.memories)
  const { local, servers } = divide(parties, state)
  const limit = Math.min(RESTORE_MS, parties.deadlineMs)
  await devices.restore(local, limit)
  // A run that is recorded may begin with the state of models whose doings are recorded from then on.
  const remotes = parties.servers.map(({ remote }) => remote).filter(({ name }) => Object.hasOwn(servers, name))
  for (const remote of remotes) await remote.restore(servers[remote.name]!, limit)
  return devicesAtRest(parties, limit, remotes)
}

/** Returns servers whose models have state here: for recorded models the recording holds the actions instead. */
const remotesOf = ({ servers }: DeviceParties): readonly RemoteServer[] =>
  servers.map(({ remote }) => remote).filter((remote) => !remote.isRecorded)
