import { closePages } from '@retrap/hvm'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import { type ComposedOptions, runOf } from '../refusals/traits.ts'
import { loadWatch } from '../devices/device-kinds.ts'
import type { MachineSnapshotSource } from '../snapshot/snapshots.ts'
import type { Board, BoardMaker, MachineKind } from './board.ts'
import { composeMachine } from './compose.ts'
import type { ComposedMachine, Machine } from './machine.ts'
import type { MachineGate } from './machine-gate.ts'

/** The class of machines of a kind, and the creator of its boards. */
export interface MachineMaker<K extends MachineKind, B extends Board<K>, M extends Machine<K>> extends BoardMaker<
  K,
  B
> {
  /** Makes an object of the class. */
  build(machine: ComposedMachine<K>, board: B): M
}

/**
 * Makes a machine: powered on, at the instant of its snapshot, or at that of a fork.
 *
 * @param gate - stands between the machine and its back ends
 * @param origin - the machine that a clone is made from
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and the expected values
 */
export async function makeMachine<K extends MachineKind, B extends Board<K>, M extends Machine<K>>(
  maker: MachineMaker<K, B, M>,
  given: K['options'],
  gate?: MachineGate<K>,
  origin?: ForkOrigin<K['domain'], K['state']>,
): Promise<M> {
  try {
    return await make(maker, given, gate, origin)
  } catch (error) {
    // The argument may be no options at all.
    const { pages } = (given as K['options'] | undefined)?.snapshot ?? {}
    if (pages !== undefined) closePages(pages)
    throw error
  }
}

async function make<K extends MachineKind, B extends Board<K>, M extends Machine<K>>(
  maker: MachineMaker<K, B, M>,
  given: K['options'],
  gate: MachineGate<K> | undefined,
  origin: ForkOrigin<K['domain'], K['state']> | undefined,
): Promise<M> {
  if (origin === undefined) maker.check(given, runOf(gate))
  // Drop the snapshot here, which holds all of its RAM, and load no kernel over its state.
  const { snapshot, ...all } = given
  const goesOn = snapshot !== undefined || origin !== undefined
  const { firmware, flash = [] }: ComposedOptions = all
  const isDirect = firmware === undefined && flash.length === 0
  const { family, options } = await forkFamily<K>(
    snapshot !== undefined && isDirect ? { ...all, kernel: undefined } : all,
    origin,
  )
  const [board, watch, trays] = await Promise.all([
    maker.load(options),
    loadWatch(options),
    options.drives && import('../devices/removable-drive.ts'),
  ])
  origin?.checkRoom()
  const composed = composeMachine<K>(board, options, {
    ...{ gate, origin, family, watchModels: watch },
    withTrays: trays?.withTrays,
  })
  const clone: ComposedMachine<K>['clone'] = (changed, itsGate, its) => makeMachine(maker, changed, itsGate, its)
  const machine = maker.build({ ...composed, clone, checkValues: maker.checkValues }, board)
  const { life, snapshots } = composed
  try {
    await life.startServers(composed.options.deviceServers ?? [])
    if (!goesOn) await board.boot.setDevices?.()
  } catch (error) {
    machine.close()
    throw composed.failures.notStarted(error)
  }
  try {
    await board.boot.start(goesOn)
    await gate?.hasPorts(() => machine.hotPlug())
    if (origin !== undefined) await (await snapshots.load()).beginFork(origin.state, origin.memory)
    else if (snapshot !== undefined) await (await snapshots.load()).begin(snapshot as MachineSnapshotSource<K['state']>)
  } catch (error) {
    machine.close()
    throw error
  }
  return machine
}

/** Prepares a machine that is to be forked. @param origin - the machine that a clone is made from */
async function forkFamily<K extends MachineKind>(
  options: K['options'],
  origin: { readonly family: ForkFamily } | undefined,
): Promise<{ readonly family: ForkFamily | undefined; readonly options: K['options'] }> {
  if (options.forks === undefined) return { family: undefined, options }
  const [{ ForkFamily }, { withFreezableMedia }] = await Promise.all([
    import('../fork/fork-family.ts'),
    import('../fork/clone-options.ts'),
  ])
  return { family: origin?.family ?? new ForkFamily(), options: withFreezableMedia(options) }
}
