import { closePages } from '@retrap/hvm'
import { type ArmDomain, beginSavingArmDomain, putBackArmDomain, restoreArmDomain } from '@retrap/hvm/arm'
import type { PcDrive } from '../drives.ts'
import { hostClock, type RandomSource } from '../host.ts'
import { type MachineLife, type PcRestoreOptions, type PcSaveOptions, SAVE_DEADLINE_MS } from '../machine-life.ts'
import { copiedPages, explaining, isNoError, lacksCode, OneByOne, requireSameMachine } from '../snapshot-rules.ts'
import type { ArmSnapshot, ArmSnapshotMachine, ArmSnapshotSource, ArmSnapshotState } from './snapshot-types.ts'

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

/** An Arm machine that is being saved. It may run on. */
interface ArmSaving {
  /** Host time that this took, in milliseconds. */
  readonly tookMs: number
  /** Copies RAM as it was. @throws MachineError `ERR_SNAPSHOT` where the host has no memory for the copy */
  finish(): Promise<ArmSnapshot>
  /** Ends it without that. */
  close(): void
}

/** Saves an Arm machine but for its RAM. @throws MachineError `ERR_SNAPSHOT` */
async function saveArmMachine(parts: ArmSnapshotParts, deadlineMs: number): Promise<ArmSaving> {
  const begun = hostClock()
  const { domain, random } = parts
  const others: { state?: Omit<ArmSnapshotState, 'domain'> } = {}
  return explaining('this machine cannot be saved', lacksCode, async () => {
    const { state, pages, close } = await beginSavingArmDomain(domain, deadlineMs, () => {
      others.state = { version: 1, machine: machineOf(parts), random: random.save() }
    })
    const whole = { ...others.state!, domain: state }
    const finish = async (): Promise<ArmSnapshot> => ({ state: whole, pages: await copiedPages(pages) })
    return { tookMs: (hostClock() - begun) / 1e6, finish, close }
  })
}

/** An Arm machine's way to other instants, one after the other. */
export class ArmSnapshots {
  readonly #life: MachineLife
  readonly #parts: () => ArmSnapshotParts
  readonly #inTurn = new OneByOne()

  /** @param parts - returns the machine's parts as they are now */
  constructor(life: MachineLife, parts: () => ArmSnapshotParts) {
    this.#life = life
    this.#parts = parts
  }

  /** See `ArmMachine.save`. */
  save({ deadlineMs = SAVE_DEADLINE_MS, onResumed }: PcSaveOptions): Promise<ArmSnapshot> {
    return this.#inTurn.do(async () => {
      const begun = await this.#life.pause(() => saveArmMachine(this.#parts(), deadlineMs))
      try {
        onResumed?.(begun.tookMs)
      } catch (error) {
        begun.close()
        throw error
      }
      return begun.finish()
    })
  }

  /** See `ArmMachine.restore`. */
  restore(
    { state, pages }: ArmSnapshotSource,
    { deadlineMs = SAVE_DEADLINE_MS, atRest }: PcRestoreOptions = {},
  ): Promise<void> {
    const done = this.#inTurn.do(() =>
      this.#life.restart(async () => {
        const parts = this.#parts()
        const { domain, random } = parts
        let isBegun = false
        try {
          requireSameMachine(state, machineOf(parts))
          await explaining('the snapshot does not fit this machine', isNoError, () =>
            putBackArmDomain(domain, { state: state.domain, pages }, deadlineMs, () => {
              isBegun = true
              atRest?.()
            }),
          )
        } catch (error) {
          // It is neither the one nor the other.
          if (isBegun) {
            domain.stop({ reason: 'stopped' })
            this.#life.close()
          }
          throw error
        }
        random.restore(state.random)
      }),
    )
    return done.catch((error: unknown) => {
      closePages(pages)
      throw error
    })
  }
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
