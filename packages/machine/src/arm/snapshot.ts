import {
  closePages,
  type DomainRestoring,
  type DomainReturn,
  type ForkedMemory,
  type PageCopies,
  type GuestPages,
  type GuestPageSource,
  noteWrites,
  type WrittenFrames,
  type WrittenSince,
} from '@retrap/hvm'
import {
  type ArmDomain,
  beginCopying,
  beginRestoringDomain,
  saveDomainState,
  type ArmDomainState,
} from '@retrap/hvm/arm'
import type { PcDrive } from '../options/drives.ts'
import { type InputSwitches, restoreInputs, saveInputs, type UsedInputs } from '../input/input-switch.ts'
import { hostClock, type RandomSource } from '../life/host.ts'
import { catchUp } from '../snapshot/catch-up.ts'
import { type MachineLife, type PcRestoreOptions, type PcSaveOptions, SAVE_DEADLINE_MS } from '../life/machine-life.ts'
import type { CheckpointOptions, Checkpoints, MachineCheckpoint, OwnState } from '../snapshot/checkpoint.ts'
import {
  CANNOT_BE_SAVED,
  copiedPages,
  finishRestoring,
  OneByOne,
  refuse,
  refuseUnfit,
  requireSameMachine,
} from '../snapshot/snapshot-rules.ts'

/** The options of an Arm machine that a snapshot belongs to. Those of its devices show in the devices' states. */
export interface ArmSnapshotMachine {
  /** The board. */
  readonly machine: 'virt'
  /** Guest RAM. */
  readonly memoryBytes: number
  /** vCPUs. */
  readonly cpus: number
  /** Version of the interrupt controller. */
  readonly gic: 2 | 3
  /** Where its first instruction comes from. */
  readonly start: 'kernel' | 'flash'
  /** How its time passes. */
  readonly clock: 'real' | 'deterministic'
  /** Sizes of the media that were in its drives, in bytes, in the order of the options; 0: none was in. */
  readonly media: readonly number[]
}

/** All of an Arm machine but the contents of its RAM: plain data. */
export interface ArmSnapshotState {
  /** Version of this shape. */
  readonly version: 1
  /** Of which machine it is. */
  readonly machine: ArmSnapshotMachine
  /** Processors, interrupt controller, timers, devices and time. */
  readonly domain: ArmDomainState
  /** The sequence of a deterministic machine's random numbers: the last one; null for the host's. */
  readonly random: number | null
  /** The keyboards and mice that the guest uses. Absent from states of earlier releases. */
  readonly inputs?: UsedInputs | undefined
}

/** An Arm machine as it was between two instructions. */
export interface ArmSnapshot {
  /** Everything else. */
  readonly state: ArmSnapshotState
  /** The contents of RAM. */
  readonly pages: GuestPages
}

/** A snapshot whose pages may be read when they are needed, as from a file. */
export interface ArmSnapshotSource {
  /** Everything else. */
  readonly state: ArmSnapshotState
  /** The contents of RAM. */
  readonly pages: GuestPages | GuestPageSource
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
  /** Where input goes. */
  readonly inputs: InputSwitches
}

/** Returns a snapshot's description of the machine that options make. */
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

/** An Arm machine's way to other instants, one after the other. */
export class ArmSnapshots {
  readonly #life: MachineLife
  readonly #parts: () => ArmSnapshotParts
  readonly #inTurn = new OneByOne()
  #restoring: DomainRestoring | undefined
  /** The written frames; begins when a later save is to be of those alone. */
  #written: WrittenFrames | null | undefined
  /** The frames written since the instants of snapshots. */
  #since = new WeakMap<GuestPages, WrittenSince>()
  /** Loaded when a checkpoint is asked for. */
  #checkpoints: Checkpoints<ArmDomainState> | undefined

  /** @param parts - returns the machine's parts as they are now */
  constructor(life: MachineLife, parts: () => ArmSnapshotParts) {
    this.#life = life
    this.#parts = parts
  }

  /** Restores a machine that has just been made. One for which this fails is of no more use. @throws as `restore` */
  async begin({ state, pages }: ArmSnapshotSource): Promise<void> {
    const [parts, later] = [this.#parts(), catchUp(state)]
    this.#restoring = await putBackArm(parts, { state: later.state, pages })
    later.begin(parts)
  }

  /** Restores a machine that has just been made in the memory of one that was forked. */
  async beginFork(state: ArmSnapshotState, memory: ForkedMemory): Promise<void> {
    const parts = this.#parts()
    requireSameMachine(state, machineOf(parts))
    try {
      await memory.restoreDomain(parts.domain, state.domain, () => restoreInputs(parts.inputs, state.inputs))
    } catch (error) {
      refuseUnfit(error)
    }
    parts.random.restore(state.random)
  }

  /** Does something while the machine stands still, with all of its RAM. */
  still<T>(action: () => Promise<T>): Promise<T> {
    return this.#inTurn.do(async () => {
      if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      return this.#life.pause(action)
    })
  }

  /** Returns all of the machine but its RAM. @param domain - the part that is its domain's */
  stateWith(domain: ArmDomainState): ArmSnapshotState {
    const parts = this.#parts()
    return {
      version: 1,
      machine: machineOf(parts),
      random: parts.random.save(),
      inputs: saveInputs(parts.inputs),
      domain,
    }
  }

  /** See `ArmMachine.save`. */
  save({ onResumed, ...options }: PcSaveOptions): Promise<ArmSnapshot> {
    return this.#inTurn.do(async () => {
      if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      const { state, copies, since, tookMs } = await this.#life.pause(() => this.#saveAtRest(options))
      try {
        onResumed?.(tookMs)
      } catch (error) {
        copies.close()
        throw error
      }
      const pages = await copiedPages(copies)
      if (since !== undefined) this.#since.set(pages, since)
      return { state, pages }
    })
  }

  /** @throws MachineError `ERR_SNAPSHOT` */
  async #saveAtRest({ deadlineMs = SAVE_DEADLINE_MS, forRestore, since }: PcSaveOptions): Promise<{
    readonly state: ArmSnapshotState
    readonly copies: PageCopies
    readonly since: WrittenSince | undefined
    readonly tookMs: number
  }> {
    const began = hostClock()
    const { domain } = this.#parts()
    let saved
    try {
      const rest = await domain.rest(deadlineMs)
      try {
        const state = this.stateWith(await saveDomainState(domain, rest))
        const known = since && this.#since.get(since)
        const copies = await beginCopying(domain, known?.now())
        if (forRestore === true && this.#written === undefined) this.#written = await noteWrites(domain)
        saved = { state, copies, since: this.#written?.note() }
      } finally {
        rest.end()
      }
    } catch (error) {
      refuse(CANNOT_BE_SAVED, error)
    }
    return { ...saved, tookMs: (hostClock() - began) / 1e6 }
  }

  /** See `ArmMachine.checkpoint`. */
  async checkpoint(options: CheckpointOptions): Promise<MachineCheckpoint> {
    const { Checkpoints } = await import('../snapshot/checkpoint.ts')
    this.#checkpoints ??= new Checkpoints({
      domain: this.#parts().domain,
      life: this.#life,
      inTurn: this.#inTurn,
      restored: async () => {
        if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      },
      ownState: () => ownStateOf(this.#parts()),
    })
    return this.#checkpoints.take(options)
  }

  /** See `ArmMachine.restore`. */
  restore(
    snapshot: ArmSnapshotSource,
    { deadlineMs = SAVE_DEADLINE_MS, atRest }: PcRestoreOptions = {},
  ): Promise<void> {
    const done = this.#inTurn.do(() =>
      this.#life.restart(async (accepted) => {
        this.#restoring = await putBackArm(this.#parts(), snapshot, {
          deadlineMs,
          written: () => undefined,
          accepted,
          // Any frame may have changed.
          returned: () => void (this.#since = new WeakMap()),
        })
      }, atRest),
    )
    return done.catch((error: unknown) => {
      closePages(snapshot.pages)
      throw error
    })
  }

  /** Ends the log with its machine. */
  close(): void {
    this.#restoring?.close()
    this.#checkpoints?.close()
  }
}

/** Takes what a machine has beside its domain, for a checkpoint. */
function ownStateOf(parts: ArmSnapshotParts): OwnState {
  const machine = machineOf(parts)
  const random = parts.random.save()
  const inputs = saveInputs(parts.inputs)
  return {
    check: () => requireSameMachine({ version: 1, machine }, machineOf(parts)),
    mapped: () => restoreInputs(parts.inputs, inputs),
    restore: () => parts.random.restore(random),
  }
}

/**
 * Restores an Arm machine: it may run before its RAM is there.
 *
 * @param used - for one that has run: nothing of it has changed where this fails before `accepted` is called
 * @returns what brings the rest of its RAM, which goes on by itself
 * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another version, or of another machine
 */
async function putBackArm(
  parts: ArmSnapshotParts,
  { state, pages }: ArmSnapshotSource,
  used?: DomainReturn,
): Promise<DomainRestoring> {
  requireSameMachine(state, machineOf(parts))
  let late: DomainRestoring
  try {
    const mapped = (): void => restoreInputs(parts.inputs, state.inputs)
    late = await beginRestoringDomain(parts.domain, { state: state.domain, pages }, mapped, used)
  } catch (error) {
    refuseUnfit(error)
  }
  parts.random.restore(state.random)
  void finishRestoring(late)
  return late
}
