import { DeviceError } from '@retrap/device'
import type { DeviceHost, DeviceHostState, RemoteServer } from '@retrap/ioreq'
import type { DomainServer } from './domain-options.ts'
import type { OwnedMemories, OwnedMemoryState } from './owned-memories.ts'

/** The saved form of all device models of a domain, with the memory that they own. */
export interface DevicesState {
  /** Of this form. */
  readonly version: 1
  /** The models of the domain's own process. */
  readonly local: DeviceHostState
  /** The models that live elsewhere, by the name of their server. */
  readonly servers: Readonly<Record<string, DeviceHostState>>
  /** The memories that models own. */
  readonly memories: readonly OwnedMemoryState[]
}

/** The parts of a domain that have device models. */
export interface DeviceParties {
  readonly devices: DeviceHost
  readonly servers: readonly DomainServer[]
  readonly memories: OwnedMemories
}

/** Brings all models to rest, saves them, and lets them go on. See `Domain.saveDevices`. */
export async function saveDevices(
  parties: DeviceParties,
  deadlineMs: number,
  atRest: () => void,
): Promise<DevicesState> {
  const { devices, memories } = parties
  const remotes = remotesOf(parties)
  try {
    await Promise.all([devices.quiesce(deadlineMs), ...remotes.map((remote) => remote.quiesce(deadlineMs))])
    const [local, ...states] = await Promise.all([devices.save(), ...remotes.map((remote) => remote.save())])
    const saved: DevicesState = {
      version: 1,
      local,
      servers: Object.fromEntries(remotes.map((remote, i) => [remote.name, states[i]!])),
      memories: memories.save(),
    }
    atRest()
    return saved
  } finally {
    resume(parties)
  }
}

/** Brings all models to rest; they go on where one of them is too late. */
export async function quiesceDevices(parties: DeviceParties, deadlineMs: number): Promise<void> {
  const { devices } = parties
  try {
    await Promise.all([devices.quiesce(deadlineMs), ...remotesOf(parties).map((remote) => remote.quiesce(deadlineMs))])
  } catch (error) {
    resume(parties)
    throw error
  }
}

/** Looks whether a state is of these models; what servers elsewhere have they see for themselves. @throws DeviceError */
export function checkDevices(parties: DeviceParties, state: DevicesState): void {
  if (state.version !== 1) {
    throw new DeviceError('ERR_STATE', `device state of version ${String(state.version)}: expected 1`)
  }
  const names = remotesOf(parties).map(({ name }) => name)
  const missing = Object.keys(state.servers).find((name) => !names.includes(name))
  if (missing !== undefined) {
    throw new DeviceError('ERR_NOT_FOUND', `saved state names the device server ${missing}, which is not there`)
  }
  const absent = names.find((name) => !Object.hasOwn(state.servers, name))
  if (absent !== undefined)
    throw new DeviceError('ERR_NOT_FOUND', `saved state has nothing of the device server ${absent}`)
  parties.devices.check(state.local)
}

/** Restores all models, and lets them go on. See `Domain.restoreDevices`. */
export async function restoreDevices(parties: DeviceParties, state: DevicesState, atRest: () => void): Promise<void> {
  const { devices, memories } = parties
  checkDevices(parties, state)
  memories.restore(state.memories)
  await devices.restore(state.local)
  for (const remote of remotesOf(parties)) await remote.restore(state.servers[remote.name]!)
  atRest()
  resume(parties)
}

function resume(parties: DeviceParties): void {
  parties.devices.resume()
  for (const remote of remotesOf(parties)) remote.resume()
}

/** Servers whose models have state here: what those do that are recorded is in the recording. */
const remotesOf = ({ servers }: DeviceParties): readonly RemoteServer[] =>
  servers.map(({ remote }) => remote).filter((remote) => !remote.isRecorded)
