import { checkShape, type DomainVapic, type X86Domain, type X86DomainState } from '@retrap/hvm'
import { MachineError } from '../errors.ts'
import type { FirmwareArea } from '../firmware/firmware-area.ts'
import type { Smram } from '../firmware/smram.ts'
import { type InputSwitches, restoreInputs, saveInputs } from '../input/input-switch.ts'
import type { RandomSource } from '../lifecycle/host.ts'
import type { Sleep } from '../lifecycle/sleep.ts'
import { type PcOptions, startsDirectly } from '../options/pc-options.ts'
import type { PcSnapshotMachine, PcSnapshotState } from '../options/pc-snapshot.ts'
import { refuseUnfit } from '../snapshot/snapshot-rules.ts'
import type { BoardState } from '../snapshot/snapshots.ts'

/** The parts of a PC that a snapshot has. */
export interface SnapshotParts {
  readonly domain: X86Domain
  readonly options: PcOptions
  readonly random: RandomSource
  /** Holds the firmware below 1 MiB, if the machine has any. */
  readonly boot: { readonly area: FirmwareArea | undefined }
  readonly vapic: DomainVapic | undefined
  /** Memory of system-management mode, if the machine has any. */
  readonly smram: Smram | undefined
  readonly sleep: Sleep
  /** Sizes of the media of disks that were plugged in and are still present. */
  readonly plugged: () => readonly number[]
  /** The switches of the machine's input. */
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

const withPlugged = (machine: PcSnapshotMachine, plugged: readonly number[]): PcSnapshotMachine =>
  plugged.length === 0 ? machine : { ...machine, plugged }

/** The board's part of a PC's state: everything outside the domain. */
export function pcState(parts: SnapshotParts): BoardState<X86DomainState, PcSnapshotState> {
  const { domain, options, random, boot, vapic, smram, sleep, plugged, inputs } = parts
  const save = (): Omit<PcSnapshotState, 'domain'> => ({
    version: 1,
    machine: withPlugged(machineOf(options), plugged()),
    random: random.save(),
    firmwareArea: boot.area?.save() ?? null,
    smram: smram?.save() ?? null,
    vapic: vapic?.save() ?? null,
    woken: sleep.isWoken,
    inputs: saveInputs(inputs()),
  })
  return {
    domain,
    save,
    check(state) {
      checkParts(parts, state)
      try {
        const { inputs: own, ...others } = save()
        // States of earlier versions have no inputs.
        const here = { ...others, machine: machineOf(options), ...(state.inputs && { inputs: own }) }
        // Media were compared already, and plugged disks may be among the options here.
        checkShape('the machine’s state', { ...state, machine: here.machine }, here)
      } catch (error) {
        refuseUnfit(error)
      }
    },
    putBackMap(state) {
      restoreInputs(inputs(), state.inputs)
      if (state.firmwareArea !== null) boot.area?.restore(state.firmwareArea)
      if (state.smram !== null) smram?.restore(state.smram)
    },
    putBackRest(state) {
      random.restore(state.random)
      sleep.isWoken = state.woken
      if (state.vapic !== null) vapic?.restore(state.vapic)
    },
  }
}

/** @throws MachineError `ERR_SNAPSHOT` for a state of a machine with other parts */
function checkParts({ boot, vapic, smram }: SnapshotParts, state: PcSnapshotState): void {
  for (const [what, saved, here] of [
    ['a firmware area', state.firmwareArea, boot.area],
    ['system-management memory', state.smram, smram],
    ['a TPR patcher', state.vapic, vapic],
  ] as const) {
    if ((saved === null) === (here === undefined)) continue
    const [with_, without] = saved === null ? ['this one', 'the saved machine'] : ['the saved machine', 'this one']
    throw new MachineError('ERR_SNAPSHOT', `${with_} has ${what}, and ${without} has none`)
  }
}
