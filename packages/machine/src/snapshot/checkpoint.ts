import { checkpointDomain, type DomainCheckpoint, type DomainState, type SavedDomain } from '@retrap/hvm'
import { MachineError } from '../errors.ts'
import { type MachineLife, type MachineRestoreOptions, SAVE_DEADLINE_MS } from '../lifecycle/machine-life.ts'
import { refuse } from './snapshot-rules.ts'

/** Limits of `pc.checkpoint`. */
export interface CheckpointOptions {
  /** Host time that devices may take to bring their work to rest, in milliseconds; default 10 seconds. */
  readonly deadlineMs?: number | undefined
}

/** An instant that a machine goes back to, in its own memory, as often as wanted. Made by `checkpoint` of a machine. */
export interface MachineCheckpoint {
  /** Guest frames (4 KiB) that the next `reset` writes back: those written since the instant, or since the last `reset`. */
  readonly writtenFrames: number
  /**
   * Puts the machine back to the instant. A running machine continues from the instant; one that its guest has ended can be
   * run again. Requests that its devices have in flight end, and nothing of them is seen. Media stay as they are: `atRest` is
   * the time to bring them back.
   *
   * @throws MachineError `ERR_SNAPSHOT` for a device that is too late, for other devices or media than at the instant: the
   *   machine is as it was. Where a device refuses its state later, the machine is closed. `ERR_STATE` for a machine or a
   *   checkpoint that was closed
   */
  reset(options?: MachineRestoreOptions): Promise<void>
  /** Ends the checkpoint: kept copies are freed, and writes to RAM are no longer intercepted. */
  close(): void
}

/** The machine's state outside its domain. */
export interface OwnState {
  /** Checks that the machine can still have it. @throws MachineError `ERR_SNAPSHOT` */
  readonly check: () => void
  /** Restores state that changes the memory map; called after device models have mapped their memory. */
  readonly mapped: () => void
  /** Restores the rest. */
  readonly restore: () => void
}

/** A machine that checkpoints are taken of. */
export interface CheckpointHost<S extends DomainState> {
  readonly domain: SavedDomain<S>
  readonly life: MachineLife
  /** Restores the rest of a machine's RAM. */
  restored(): Promise<void>
  /** Takes the state that is not the domain's, at rest. */
  ownState(): OwnState
  /** Notifies devices before the machine resumes from the checkpoint. */
  readonly goesOn?: () => void
}

const CANNOT_BE_TAKEN = 'this machine cannot have a checkpoint'
const CANNOT_GO_BACK = 'this machine cannot go back to its checkpoint'

/** The checkpoints of one machine. */
export class Checkpoints<S extends DomainState> {
  readonly #host: CheckpointHost<S>
  readonly #open = new Set<MachineCheckpoint>()

  constructor(host: CheckpointHost<S>) {
    this.#host = host
  }

  /** See `Pc.checkpoint`. */
  take({ deadlineMs = SAVE_DEADLINE_MS }: CheckpointOptions): Promise<MachineCheckpoint> {
    const { life, domain } = this.#host
    return life.inTurn.do(async () => {
      await this.#host.restored()
      return life.pause(async () => {
        try {
          const rest = await life.rest(deadlineMs)
          try {
            const own = this.#host.ownState()
            // This step is last: it starts the log of writes.
            return this.#opened(await checkpointDomain(domain, rest), own)
          } finally {
            rest.end()
          }
        } catch (error) {
          return refuse(CANNOT_BE_TAKEN, error)
        }
      })
    })
  }

  /** Closes all checkpoints with their machine. */
  close(): void {
    for (const each of this.#open) each.close()
  }

  #opened(instant: DomainCheckpoint<S>, own: OwnState): MachineCheckpoint {
    const open = this.#open
    const isOpen = (): boolean => open.has(checkpoint)
    const checkpoint: MachineCheckpoint = {
      get writtenFrames() {
        return instant.writtenFrames
      },
      reset: (options = {}) =>
        this.#host.life.inTurn.do(() => {
          if (!isOpen()) throw new MachineError('ERR_STATE', 'the checkpoint was closed')
          return this.#reset(instant, own, options)
        }),
      close: () => {
        if (open.delete(checkpoint)) instant.close()
      },
    }
    open.add(checkpoint)
    return checkpoint
  }

  #reset(
    instant: DomainCheckpoint<S>,
    own: OwnState,
    { deadlineMs = SAVE_DEADLINE_MS, atRest }: MachineRestoreOptions,
  ): Promise<void> {
    return this.#host.life.restart(async (accepted) => {
      own.check()
      try {
        await instant.reset(own.mapped, { deadlineMs, accepted, returned: own.restore })
      } catch (error) {
        refuse(CANNOT_GO_BACK, error)
      }
      this.#host.goesOn?.()
    }, atRest)
  }
}
