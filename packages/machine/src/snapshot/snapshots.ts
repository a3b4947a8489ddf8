import {
  beginCopying,
  closePages,
  type DomainRest,
  type ForkedMemory,
  type GuestPages,
  type GuestPageSource,
  noteWrites,
  saveDomainState,
  type WrittenFrames,
  type WrittenSince,
  type DomainRestoring,
  type X86DomainState,
} from '@retrap/hvm'
import { catchUp } from './catch-up.ts'
import type { CheckpointOptions, Checkpoints, MachineCheckpoint } from './checkpoint.ts'
import { isAtRest, CANNOT_BE_SAVED, copiedPages, finishRestoring, OneByOne, refuse } from './snapshot-rules.ts'
import { hostClock } from '../life/host.ts'
import { MachineError } from '../errors.ts'
import type { MachineLife, PcRestoreOptions, PcSaveOptions } from '../life/machine-life.ts'
import { SAVE_DEADLINE_MS } from '../life/machine-life.ts'
import type { PcSnapshot, PcSnapshotSource, PcSnapshotState } from '../options/pc-snapshot.ts'
import { ownStateOf, putBackPc, restoreForkedPc, restorePc, type SnapshotParts, stateOf } from './snapshot.ts'

/** The recording would be of another run. */
const NOT_AT_REST =
  'a machine that is recorded is saved while its devices are at rest, and one is at work: try again soon'

/** Another snapshot, which a machine was put back to before. */
export interface FormerPages {
  /** Pages of the snapshot that it was put back to. */
  readonly pages: PcSnapshotSource['pages']
  /** Guest frames whose contents differ between the two. */
  readonly differing: Iterable<number>
}

/** The part of a PC that {@link Snapshots} needs. */
export interface SnapshotHost {
  readonly life: MachineLife
  readonly parts: SnapshotParts
  /** Tells devices that the machine goes on from an earlier instant, before it does. */
  readonly goesOn: () => void
  /** Its run is recorded. */
  readonly isRecorded: boolean
}

/** A PC's way to other instants: it is saved, made from a snapshot, put back to one. One after the other. */
export class Snapshots {
  readonly #host: SnapshotHost
  /** Frames are copied for one at a time. */
  readonly #inTurn = new OneByOne()
  #restoring: DomainRestoring | undefined
  /** The written frames; begins when the machine has been put back once, or is to be. */
  #written: WrittenFrames | null | undefined
  /** The frames written since the instants of snapshots. */
  readonly #since = new WeakMap<GuestPages | GuestPageSource, WrittenSince>()
  /** Loaded when a checkpoint is asked for. */
  #checkpoints: Checkpoints<X86DomainState> | undefined

  constructor(host: SnapshotHost) {
    this.#host = host
  }

  /** Restores a PC that has just been made. See `restorePc`. */
  async begin({ state, pages }: PcSnapshotSource): Promise<void> {
    const { parts, goesOn } = this.#host
    const later = parts.options.generation?.after === 'same' ? undefined : catchUp(state)
    this.#restoring = await restorePc(parts, { state: later?.state ?? state, pages })
    goesOn()
    later?.begin(parts)
  }

  /** Restores a PC that has just been made in the memory of one that was forked. */
  async beginFork(state: PcSnapshotState, memory: ForkedMemory): Promise<void> {
    await restoreForkedPc(this.#host.parts, state, memory)
    this.#host.goesOn()
  }

  /** Forks the machine while it stands still. @param begin - gets the log of what is written since an instant, if there is one */
  fork<T>(begin: (written: WrittenFrames | null) => Promise<T>): Promise<T> {
    return this.#inTurn.do(async () => {
      if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      return this.#host.life.pause(() => begin(this.#written ?? null))
    })
  }

  /** Returns all of the machine but its RAM. @param domain - the part that is its domain's */
  stateWith(domain: X86DomainState): PcSnapshotState {
    return { ...stateOf(this.#host.parts), domain }
  }

  /** See `Pc.save`. */
  save({ deadlineMs = SAVE_DEADLINE_MS, onResumed, forRestore, since: before }: PcSaveOptions): Promise<PcSnapshot> {
    return this.#inTurn.do(async () => {
      if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      const { state, copies, since, tookMs } = await this.#host.life.pause(async () => {
        const began = hostClock()
        const parts = this.#host.parts
        const { domain } = parts
        if (this.#host.isRecorded && !isAtRest(domain)) throw new MachineError('ERR_SNAPSHOT', NOT_AT_REST)
        const rest = await this.rest(deadlineMs)
        let saved
        try {
          const whole = { ...stateOf(parts), domain: await saveDomainState(domain, rest) }
          const known = before && this.#since.get(before)
          const begun = await beginCopying(domain, known?.now())
          if (forRestore === true) await this.#log(parts)
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

  /** See `GatedSnapshots.rest`. */
  async rest(deadlineMs: number): Promise<DomainRest> {
    try {
      return await this.#host.parts.domain.rest(deadlineMs)
    } catch (error) {
      refuse(CANNOT_BE_SAVED, error)
    }
  }

  /** See `GatedSnapshots.saveState`. */
  async saveState(rest: DomainRest): Promise<PcSnapshotState> {
    const parts = this.#host.parts
    try {
      return { ...stateOf(parts), domain: await saveDomainState(parts.domain, rest) }
    } catch (error) {
      refuse(CANNOT_BE_SAVED, error)
    }
  }

  /** See `Pc.checkpoint`. */
  async checkpoint(options: CheckpointOptions): Promise<MachineCheckpoint> {
    const { Checkpoints } = await import('./checkpoint.ts')
    const { parts } = this.#host
    this.#checkpoints ??= new Checkpoints({
      domain: parts.domain,
      life: this.#host.life,
      inTurn: this.#inTurn,
      restored: async () => {
        if (this.#restoring !== undefined) await finishRestoring(this.#restoring)
      },
      ownState: () => ownStateOf(parts),
      goesOn: this.#host.goesOn,
    })
    return this.#checkpoints.take(options)
  }

  /** See `Pc.restore`. @param before - what is known of the snapshot's pages */
  restore(
    snapshot: PcSnapshotSource,
    { deadlineMs = SAVE_DEADLINE_MS, atRest }: PcRestoreOptions = {},
    before?: FormerPages,
  ): Promise<void> {
    const done = this.#inTurn.do(() =>
      this.#host.life.restart(async (accepted) => {
        const parts = this.#host.parts
        await this.#log(parts)
        const { pages } = snapshot
        const known = this.#since.get(pages)
        const former = known === undefined && before !== undefined ? this.#since.get(before.pages) : undefined
        this.#restoring = await putBackPc(parts, snapshot, {
          deadlineMs,
          log: this.#written ?? undefined,
          written: () => known?.now() ?? former?.now(before!.differing),
          accepted,
          returned: () => {
            const since = this.#written?.returnedTo(known)
            if (since !== undefined) this.#since.set(pages, since)
          },
        })
        this.#host.goesOn()
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

  async #log({ domain }: SnapshotParts): Promise<void> {
    if (this.#written === undefined) this.#written = await noteWrites(domain)
  }
}
