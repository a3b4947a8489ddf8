import { type ArmDomain, restoreArmDomain, saveArmDomain } from '@retrap/hvm/arm'
import type { PcDrive } from '../drives.ts'
import { hostClock, type RandomSource } from '../host.ts'
import { explaining, isNoError, lacksCode, requireSameMachine } from '../snapshot-rules.ts'
import type { ArmSnapshot, ArmSnapshotMachine, ArmSnapshotSource, ArmSnapshotState } from './snapshot-types.ts'

/** All of an Arm machine, and host time that saving it took, in milliseconds. */
export interface SavedArmMachine {
  readonly snapshot: ArmSnapshot
  readonly tookMs: number
}

/** The parts of an Arm machine that a snapshot has. */
export interface ArmSnapshotParts {
  readonly domain: ArmDomain
  readonly options: {
    readonly memoryBytes: number
    readonly cpus?: number | undefined
    readonly gic?: 2 | 3 | undefined
    readonly flash?: readonly unknown[] | undefined
    readonly clock?: 'real' | 'deterministic' | undefined
  }
  readonly random: RandomSource
  /** With the media that are in them now. */
  readonly drives: readonly PcDrive[]
}

/** What a snapshot says of the machine that options make. */
function machineOf({ options, drives }: ArmSnapshotParts): ArmSnapshotMachine {
  return {
    machine: 'virt',
    memoryBytes: options.memoryBytes,
    cpus: options.cpus ?? 1,
    gic: options.gic ?? 3,
    start: (options.flash ?? []).length > 0 ? 'flash' : 'kernel',
    clock: options.clock ?? 'real',
    media: drives.map(({ medium }) => medium?.properties.bytes ?? 0),
  }
}

/**
 * Saves an Arm machine. Not while it runs.
 *
 * @param deadlineMs - host time that devices may take
 * @throws MachineError `ERR_SNAPSHOT` for what cannot be saved, and for devices that are too late
 */
export async function saveArmMachine(parts: ArmSnapshotParts, deadlineMs: number): Promise<SavedArmMachine> {
  const begun = hostClock()
  const { domain, random } = parts
  const others: { state?: Omit<ArmSnapshotState, 'domain'> } = {}
  return explaining('this machine cannot be saved', lacksCode, async () => {
    const { state, pages } = await saveArmDomain(domain, deadlineMs, () => {
      others.state = { version: 1, machine: machineOf(parts), random: random.save() }
    })
    const snapshot = { state: { ...others.state!, domain: state }, pages }
    return { snapshot, tookMs: (hostClock() - begun) / 1e6 }
  })
}

/**
 * Restores an Arm machine that has just been made. One for which this fails is of no more use.
 *
 * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another version, or of another machine
 */
export async function restoreArmMachine(parts: ArmSnapshotParts, { state, pages }: ArmSnapshotSource): Promise<void> {
  const { domain, random } = parts
  requireSameMachine(state, machineOf(parts))
  await explaining('the snapshot does not fit this machine', isNoError, () =>
    restoreArmDomain(domain, { state: state.domain, pages }),
  )
  random.restore(state.random)
}
