import {
  beginRestoringDomain,
  checkShape,
  type DomainReturn,
  type DomainVapic,
  type ForkedMemory,
  type X86Domain,
  type DomainRestoring,
} from '@retrap/hvm'
import { MachineError } from '../errors.ts'
import type { FirmwareArea } from '../firmware/firmware-area.ts'
import { type InputSwitches, restoreInputs, saveInputs } from '../input/input-switch.ts'
import type { RandomSource } from '../life/host.ts'
import { type PcOptions, startsDirectly } from '../options/pc-options.ts'
import type { PcSnapshotMachine, PcSnapshotSource, PcSnapshotState } from '../options/pc-snapshot.ts'
import type { OwnState } from './checkpoint.ts'
import type { Sleep } from '../life/sleep.ts'
import { smramOf } from '../firmware/smram.ts'
import { finishRestoring, refuseUnfit, requireSameMachine } from './snapshot-rules.ts'

/** The parts of a PC that a snapshot has. */
export interface SnapshotParts {
  readonly domain: X86Domain
  readonly options: PcOptions
  readonly random: RandomSource
  /** Has the firmware below 1 MiB, where there is some. */
  readonly boot: { readonly area: FirmwareArea | undefined }
  readonly vapic: DomainVapic | undefined
  readonly sleep: Sleep
  /** Where input goes. */
  readonly inputs: () => InputSwitches
}

/** Returns a snapshot's description of the machine that options make. */
export function machineOf(options: PcOptions): PcSnapshotMachine {
  const start = startsDirectly(options) ? 'kernel' : options.firmware === undefined ? 'flash' : 'firmware'
  return {
    memoryBytes: options.memoryBytes,
    machine: options.machine ?? 'pc',
    cpus: options.cpus ?? 1,
    smm: options.smm === true,
    start,
    clock: options.clock ?? 'real',
    media: (options.drives ?? []).map(({ medium }) => medium?.properties.bytes ?? 0),
  }
}

/** A PC without its domain. */
type OwnPcState = Omit<PcSnapshotState, 'domain'>

/** Saves a PC without its domain. */
export function stateOf({ domain, options, random, boot, vapic, sleep, inputs }: SnapshotParts): OwnPcState {
  return {
    version: 1,
    machine: machineOf(options),
    random: random.save(),
    firmwareArea: boot.area?.save() ?? null,
    smram: smramOf(domain)?.save() ?? null,
    vapic: vapic?.save() ?? null,
    woken: sleep.isWoken,
    inputs: saveInputs(inputs()),
  }
}

/**
 * Restores a PC that has just been made. One for which this fails is of no more use.
 *
 * @returns what brings the rest of its RAM, which goes on by itself
 * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another version, or of another machine
 */
export function restorePc(parts: SnapshotParts, snapshot: PcSnapshotSource): Promise<DomainRestoring> {
  return putBackPc(parts, snapshot)
}

/**
 * Restores a PC as {@link restorePc} does.
 *
 * @param used - for one that has run: nothing of it has changed where this fails before `accepted` is called
 */
export async function putBackPc(
  parts: SnapshotParts,
  snapshot: PcSnapshotSource,
  used?: DomainReturn,
): Promise<DomainRestoring> {
  const { state, pages } = snapshot
  const late = await putBackState(parts, state, (restored) =>
    beginRestoringDomain(parts.domain, { state: state.domain, pages }, restored, used),
  )
  void finishRestoring(late)
  return late
}

/** Gives a PC that has just been made the state of one that was forked, whose RAM it shares. @throws as {@link restorePc} */
export function restoreForkedPc(parts: SnapshotParts, state: PcSnapshotState, memory: ForkedMemory): Promise<void> {
  return putBackState(parts, state, (restored) => memory.restoreDomain(parts.domain, state.domain, restored))
}

/** Takes what a PC has beside its domain, for a checkpoint. */
export function ownStateOf(parts: SnapshotParts): OwnState {
  const state = stateOf(parts)
  return {
    check: () => requireSameMachine(state, machineOf(parts.options)),
    mapped: () => putBackMap(parts, state),
    restore: () => putBackRest(parts, state),
  }
}

/** Restores what changes the memory map, and where input goes, before models go on. */
function putBackMap({ boot, domain, inputs }: SnapshotParts, state: OwnPcState): void {
  restoreInputs(inputs(), state.inputs)
  if (state.firmwareArea !== null) boot.area?.restore(state.firmwareArea)
  if (state.smram !== null) smramOf(domain)?.restore(state.smram)
}

function putBackRest({ random, sleep, vapic }: SnapshotParts, state: OwnPcState): void {
  random.restore(state.random)
  sleep.isWoken = state.woken
  if (state.vapic !== null) vapic?.restore(state.vapic)
}

/** @param restore - restores the domain; it calls back when device models have mapped what they map */
async function putBackState<T>(
  parts: SnapshotParts,
  state: PcSnapshotState,
  restore: (mapped: () => void) => Promise<T>,
): Promise<T> {
  const { domain, options, vapic } = parts
  const { area } = parts.boot
  requireSameMachine(state, machineOf(options))
  for (const [what, saved, here] of [
    ['a firmware area', state.firmwareArea, area],
    ['system-management memory', state.smram, smramOf(domain)],
    ['a TPR patcher', state.vapic, vapic],
  ] as const) {
    if ((saved === null) === (here === undefined)) continue
    const [with_, without] = saved === null ? ['this one', 'the saved machine'] : ['the saved machine', 'this one']
    throw new MachineError('ERR_SNAPSHOT', `${with_} has ${what}, and ${without} has none`)
  }
  try {
    const { inputs, ...own } = stateOf(parts)
    // A state of before has none.
    checkShape('the machine’s state', state, { ...own, ...(state.inputs && { inputs }) })
    const done = await restore(() => putBackMap(parts, state))
    putBackRest(parts, state)
    return done
  } catch (error) {
    refuseUnfit(error)
  }
}
