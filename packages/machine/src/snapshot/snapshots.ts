import {
  beginCopying,
  beginRestoringDomain,
  closePages,
  type DomainRest,
  type DomainRestoring,
  type DomainReturn,
  type DomainState,
  type ForkedMemory,
  type FrameSet,
  type GuestPages,
  type GuestPageSource,
  noteWrites,
  type SavedDomain,
  saveDomainState,
  type DirtyFrames,
  type DirtySince,
} from '@retrap/hvm'
import { catchUp, type LetTimePass, savedEarlier, savedInstant, type SavedInstant } from './catch-up.ts'
import type { CheckpointOptions, Checkpoints, MachineCheckpoint, OwnState } from './checkpoint.ts'
import {
  isAtRest,
  NOT_AT_REST,
  CANNOT_BE_SAVED,
  copiedPages,
  finishRestoring,
  refuse,
  refuseUnfit,
  requireSameMachine,
} from './snapshot-rules.ts'
import { hostClock } from '../lifecycle/host.ts'
import { MachineError } from '../errors.ts'
import type { MachineLife, MachineRestoreOptions, MachineSaveOptions } from '../lifecycle/machine-life.ts'
import { SAVE_DEADLINE_MS } from '../lifecycle/machine-life.ts'

/** The saved state of a machine of any board: all but the contents of its RAM, as plain data. */
export interface MachineState<S extends DomainState = DomainState> {
  /** Version of this shape. */
  readonly version: 1
  /** The options of the snapshot's machine. Options of devices appear in the devices' states. */
  readonly machine: object
  /** Processors, interrupt controllers, devices and time. */
  readonly domain: S
}

/** A machine as it was between two instructions. */
export interface MachineSnapshot<State> {
  /** Everything else. */
  readonly state: State
  /** The contents of RAM and ROM. */
  readonly pages: GuestPages
}

/** A snapshot whose pages are read on demand, for example from a file. */
export interface MachineSnapshotSource<State> {
  /** Everything else. */
  readonly state: State
  /** The contents of RAM and ROM. */
  readonly pages: GuestPages | GuestPageSource
}

/** Another snapshot, which a machine was put back to before. */
export interface FormerPages {
  /** Pages of the snapshot that it was put back to. */
  readonly pages: GuestPages | GuestPageSource
  /** Guest frames whose contents differ between the two. */
  readonly differing: Iterable<number>
}

/** The part of a machine that a board knows how to save. */
export interface BoardState<S extends DomainState, State extends MachineState<S>> {
  readonly domain: SavedDomain<S>
  /** Takes all but the domain's state. */
  save(): Omit<State, 'domain'>
  /** Checks a state of a machine with the same options, which may come from anywhere. @throws MachineError `ERR_SNAPSHOT` */
  check?(state: State): void
  /** Restores state that affects the memory map, and the target of input, before models resume. */
  putBackMap(state: Omit<State, 'domain'>): void
  /** Restores the rest. */
  putBackRest(state: Omit<State, 'domain'>): void
}

/** The gate of a machine that is saved. */
interface SavedGate {
  /** The run is being recorded, and not replayed. */
  readonly isRecording: boolean
  /** Adds the states of models whose actions are recorded to the state of a machine that stands still. @throws DeviceError */
  saveModels(devices: DomainState['devices'], deadlineMs: number): Promise<DomainState['devices']>
}

/** A machine with {@link Snapshots}. */
export interface SnapshotHost<S extends DomainState, State extends MachineState<S>> {
  readonly life: MachineLife
  readonly board: BoardState<S, State>
  /** The time that has passed since it was saved passes for the guest. */
  readonly catchesUp: boolean
  /**
   * Tells devices that the machine goes on from an earlier instant, before it does.
   *
   * @param isNew - whether the machine was just made
   * @param catchUp - lets the time pass; a machine that was never saved does not load it
   * @param from - the instant from which time is to pass for its guest; default none is
   */
  readonly goesOn: (isNew: boolean, catchUp: LetTimePass, from?: SavedInstant) => void
  /** Seconds of that time that have not passed yet. */
  readonly behind: () => number
  /** The gate of a machine whose run is recorded, or replayed. */
  readonly gate: SavedGate | undefined
}

/** Saves a machine, makes it from a snapshot, or restores it to one, one operation after another. */
export class Snapshots<S extends DomainState, State extends MachineState<S>> {
  readonly #host: SnapshotHost<S, State>
  #restoring: DomainRestoring | undefined
  /** The written frames; begins when the machine has been put back once, or is to be. */
  #written: DirtyFrames | null | undefined
  /** The frames written since the instants of snapshots. */
  readonly #since = new WeakMap<GuestPages | GuestPageSource, DirtySince>()
  /** Loaded with the first checkpoint. */
  #checkpoints: Checkpoints<S> | undefined

  constructor(host: SnapshotHost<S, State>) {
    this.#host = host
  }

  /**
   * Restores a machine that was just made: it may run before its RAM is complete. After an error the machine is unusable.
   *
   * @throws MachineError `ERR_SNAPSHOT` for a snapshot of another version, or of a machine with other options
   */
  async begin({ state, pages }: MachineSnapshotSource<State>): Promise<void> {
    const saved = this.#instantOf(state)
    await this.#putBack({ state: saved.state, pages })
    this.#host.goesOn(true, catchUp, saved.from)
  }

  #instantOf(state: State): ReturnType<typeof savedInstant<State>> {
    return this.#host.catchesUp ? savedInstant(state) : { state }
  }

  /** Restores a machine that was just made in a forked machine's memory. @throws as `begin` */
  async beginFork(state: State, memory: ForkedMemory): Promise<void> {
    await this.#putBackState(state, (mapped) => memory.restoreDomain(this.#host.board.domain, state.domain, mapped))
    this.#host.goesOn(true, catchUp)
  }

  /** Forks the machine while it is paused. @param begin - gets the log of frames written since an instant, if one exists */
  fork<T>(begin: (written: DirtyFrames | null) => Promise<T>): Promise<T> {
    return this.#host.life.inTurn.do(async () => {
      if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      return this.#host.life.pause(async () => {
        await this.#restIfRecorded(SAVE_DEADLINE_MS)
        return begin(this.#written ?? null)
      })
    })
  }

  /** Returns the machine's state without its RAM. @param domain - the state of its domain */
  stateWith(domain: S): State {
    const state = { ...this.#host.board.save(), domain } as State
    return savedEarlier(state, this.#host.behind())
  }

  /** Returns the state of a machine at rest as {@link Snapshots.stateWith}, with recorded models. @throws as `rest` */
  async whole(domain: S, deadlineMs: number): Promise<State> {
    const devices = await (this.#host.gate?.saveModels(domain.devices, deadlineMs) ?? domain.devices)
    return this.stateWith({ ...domain, devices })
  }

  /** @throws MachineError `ERR_SNAPSHOT` for a recorded machine whose devices are at work: a save would change them */
  async #restIfRecorded(deadlineMs: number): Promise<void> {
    if (this.#host.gate?.isRecording !== true) return
    await this.settle(deadlineMs)
    if (!isAtRest(this.#host.board.domain)) throw new MachineError('ERR_SNAPSHOT', NOT_AT_REST)
  }

  /** See `Pc.save`. */
  save({
    deadlineMs = SAVE_DEADLINE_MS,
    onResumed,
    forRestore,
    since: before,
    frames,
  }: MachineSaveOptions): Promise<MachineSnapshot<State>> {
    return this.#host.life.inTurn.do(async () => {
      if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      const { state, copies, since, tookMs } = await this.#host.life.pause(async () => {
        const began = hostClock()
        const { domain } = this.#host.board
        await this.#restIfRecorded(deadlineMs)
        const rest = await this.rest(deadlineMs)
        let saved
        try {
          const whole = await this.whole(await saveDomainState(domain, rest), deadlineMs)
          const known = before && this.#since.get(before)
          const begun = await beginCopying(domain, frames?.() ?? known?.now())
          if (forRestore === true) await this.#log()
          saved = { state: whole, copies: begun, since: this.#written?.note() }
        } catch (error) {
          refuse(CANNOT_BE_SAVED, error)
        } finally {
          rest.end()
        }
        return { ...saved, tookMs: (hostClock() - began) / 1e6 }
      })
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

  /** See `GatedSnapshots.settle`. */
  async settle(deadlineMs: number): Promise<void> {
    try {
      await this.#host.life.settle(deadlineMs)
    } catch (error) {
      refuse(CANNOT_BE_SAVED, error)
    }
  }

  /** See `GatedSnapshots.rest`. */
  async rest(deadlineMs: number): Promise<DomainRest> {
    await this.settle(deadlineMs)
    try {
      return await this.#host.board.domain.rest(deadlineMs)
    } catch (error) {
      refuse(CANNOT_BE_SAVED, error)
    }
  }

  /** See `GatedSnapshots.saveState`. */
  async saveState(rest: DomainRest): Promise<State> {
    try {
      return this.stateWith(await saveDomainState(this.#host.board.domain, rest))
    } catch (error) {
      refuse(CANNOT_BE_SAVED, error)
    }
  }

  /** See `Pc.checkpoint`. */
  async checkpoint(options: CheckpointOptions): Promise<MachineCheckpoint> {
    const { Checkpoints } = await import('./checkpoint.ts')
    this.#checkpoints ??= new Checkpoints({
      domain: this.#host.board.domain,
      life: this.#host.life,
      restored: async () => {
        if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      },
      ownState: () => this.#ownState(),
      goesOn: () => this.#host.goesOn(false, catchUp),
    })
    return this.#checkpoints.take(options)
  }

  /** Collects the machine's state outside its domain. */
  #ownState(): OwnState {
    const { board } = this.#host
    const state = board.save()
    return {
      check: () => requireSameMachine(state, board.save().machine),
      mapped: () => board.putBackMap(state),
      restore: () => board.putBackRest(state),
    }
  }

  /** See `GatedSnapshots.noteSince`. */
  async noteSince(pages: FormerPages['pages']): Promise<void> {
    this.#restoring?.finishNow()
    await this.#log()
    const since = this.#written?.note()
    if (since !== undefined) this.#since.set(pages, since)
  }

  /** See `GatedSnapshots.writtenSince`. */
  writtenSince(pages: FormerPages['pages']): FrameSet | undefined {
    return this.#since.get(pages)?.now()
  }

  /** See `Pc.restore`. @param before - known facts about the snapshot's pages */
  restore(
    snapshot: MachineSnapshotSource<State>,
    { deadlineMs = SAVE_DEADLINE_MS, atRest }: MachineRestoreOptions = {},
    before?: FormerPages,
  ): Promise<void> {
    const done = this.#host.life.inTurn.do(() =>
      this.#host.life.restart(async (accepted) => {
        await this.#log()
        const { pages } = snapshot
        const known = this.#since.get(pages)
        const former = known === undefined && before !== undefined ? this.#since.get(before.pages) : undefined
        const { state, from } = this.#instantOf(snapshot.state)
        await this.#putBack(
          { state, pages },
          {
            deadlineMs,
            log: this.#written ?? undefined,
            written: () => known?.now() ?? former?.now(before!.differing),
            accepted,
            returned: () => {
              const since = this.#written?.returnedTo(known)
              if (since !== undefined) this.#since.set(pages, since)
            },
          },
        )
        this.#host.goesOn(false, catchUp, from)
      }, atRest),
    )
    return done.catch((error: unknown) => {
      closePages(snapshot.pages)
      throw error
    })
  }

  /**
   * Restores the machine to a snapshot, while its RAM is loaded in the background.
   *
   * @param used - for a machine that has run: an error before `accepted` is called leaves the machine unchanged
   */
  async #putBack({ state, pages }: MachineSnapshotSource<State>, used?: DomainReturn): Promise<void> {
    const { domain } = this.#host.board
    const late = await this.#putBackState(state, (mapped) =>
      beginRestoringDomain(domain, { state: state.domain, pages }, mapped, used),
    )
    void finishRestoring(late)
    this.#restoring = late
  }

  /** @param restore - restores the domain; it calls back when device models have mapped their memory */
  async #putBackState<T>(state: State, restore: (mapped: () => void) => Promise<T>): Promise<T> {
    const { board } = this.#host
    requireSameMachine(state, board.save().machine)
    board.check?.(state)
    try {
      const done = await restore(() => board.putBackMap(state))
      board.putBackRest(state)
      return done
    } catch (error) {
      refuseUnfit(error)
    }
  }

  /** Closes the log with its machine. */
  close(): void {
    this.#restoring?.close()
    this.#checkpoints?.close()
  }

  async #log(): Promise<void> {
    if (this.#written === undefined) this.#written = await noteWrites(this.#host.board.domain)
  }
}
