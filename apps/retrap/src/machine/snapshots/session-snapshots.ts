import { setTimeout as sleep } from 'node:timers/promises'
import { CliError } from '@retrap/linux-guest/errors'
import type { DriveArgument } from '../drives/drives.ts'
import { checkTarget } from '@retrap/linux-guest/host/files'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { lookAtDisks, type SavedDisk } from '@retrap/linux-guest/machine/snapshots/saved-disks'
import {
  argumentsToKeep,
  hostDigest,
  type SavedRun,
  writeSnapshotFile,
} from '@retrap/linux-guest/machine/snapshots/snapshot-file'

/** Settings for saving a session's machine. */
export interface SnapshotSettings {
  /** The command line. */
  readonly arguments: readonly string[]
  /** Path of the snapshot to write when the user ends the run; undefined: none. */
  readonly onExit?: string | undefined
}

/** The disks of a session. */
export interface SavedImages {
  /** Paths of this host's files that hold them. */
  readonly paths: readonly string[]
  /** Writes data that the disks hold back. */
  flush(): Promise<void>
  /** Flushes the disks, whose files then do not change while the machine stands still. */
  settle(): Promise<void>
}

type SavedMachine = Pick<Machine, 'save'>

/** Quick operations get no message. */
const QUIET_MS = 1000

/** Saves the machine of a session to files. */
export class SessionSnapshots {
  readonly #settings: SnapshotSettings
  readonly #drives: readonly Pick<DriveArgument, 'id' | 'path' | 'snapshot'>[]
  readonly #tell: (text: string) => void
  readonly #images: () => SavedImages | undefined
  readonly #isPaused: () => boolean
  #changedBy: string | undefined

  /**
   * @param tell - receives messages about slow steps
   * @param images - images of `drives`; default none
   * @param isPaused - whether the user has paused the machine; default it runs
   */
  constructor(
    settings: SnapshotSettings,
    drives: readonly DriveArgument[],
    tell: (text: string) => void,
    images: () => SavedImages | undefined = () => undefined,
    isPaused: () => boolean = () => false,
  ) {
    this.#images = images
    this.#isPaused = isPaused
    this.#settings = settings
    this.#drives = drives
    this.#tell = tell
  }

  /** Checks, before the machine is made, that `--save-on-exit` can write its file. @throws CliError `ERR_INPUT` */
  async open(): Promise<void> {
    const { onExit } = this.#settings
    if (onExit !== undefined) await checkTarget('--save-on-exit', onExit)
  }

  /** Notes that a command has changed the machine, which its command line no longer describes. */
  changed(command: string): void {
    this.#changedBy = command
  }

  /**
   * Refuses a machine that cannot be saved, or not with its command line.
   *
   * @param hasWrites - the snapshot includes writes that drives keep in memory; default false
   * @throws CliError `ERR_INPUT`
   */
  check(machine: SavedMachine, hasWrites = false): void {
    if (machine.save === undefined)
      throw new CliError('ERR_INPUT', 'this machine cannot be saved: it runs a recording again, which has all of it')
    const lost = this.#drives.find(({ snapshot }) => snapshot)
    if (lost !== undefined && !hasWrites) {
      const what = `drive ${lost.id ?? lost.path ?? ''} keeps what the guest writes in memory (snapshot=on)`
      throw new CliError('ERR_INPUT', `this machine cannot be saved: ${what}, where a snapshot does not have it`)
    }
    if (this.#changedBy !== undefined) {
      const what = `${this.#changedBy} has changed it, and its command line, which restore runs again, does not say so`
      throw new CliError('ERR_INPUT', `this machine cannot be saved: ${what}`)
    }
  }

  /**
   * Saves a machine, which runs on if it runs.
   *
   * @param hasStopped - the machine does not run on
   * @returns the text for the user
   * @throws CliError; MachineError if the machine cannot be saved
   */
  async save(machine: SavedMachine, path: string, hasStopped = false): Promise<string> {
    this.check(machine)
    const { paths } = this.#images() ?? { paths: [] }
    const run: SavedRun = {
      version: 1,
      arguments: argumentsToKeep(this.#settings.arguments),
      savedAt: new Date().toISOString(),
      host: hostDigest(),
    }
    let pauseMs = 0
    const over = new AbortController()
    void sleep(QUIET_MS, undefined, { signal: over.signal }).then(
      () => this.#tell(`saving to ${path} …`),
      () => undefined,
    )
    try {
      let disks: readonly SavedDisk[] = []
      // Writes that are held back until the run ends would come after the time that the file has. A qcow2 image counts clusters
      // that one flush has freed at another one.
      await this.#images()?.flush()
      await this.#images()?.flush()
      const onResumed = (ms: number): void => {
        pauseMs = ms
        disks = lookAtDisks(paths)
      }
      const isPaused = this.#isPaused()
      const snapshot = await machine.save!({ onResumed })
      if (hasStopped) {
        await this.#images()?.settle()
        disks = lookAtDisks(paths)
      }
      const bytes = await writeSnapshotFile(path, { ...run, disks, isPaused }, snapshot)
      const mebibytes = (bytes / 2 ** 20).toFixed(1)
      return `saved to ${path}: ${mebibytes} MiB; the guest stood still for ${Math.ceil(pauseMs)} ms`
    } finally {
      over.abort()
    }
  }

  /** Saves a machine when the user has ended its run, if the settings ask for it. @returns the text for the user, or undefined */
  async saveOnExit(machine: SavedMachine, endedByGuest: boolean): Promise<string | undefined> {
    const { onExit } = this.#settings
    if (onExit === undefined) return undefined
    return endedByGuest ? `the guest has ended; nothing was saved to ${onExit}` : this.save(machine, onExit, true)
  }

  /** Saves a machine to a new file with a name of its own. */
  saveNow(machine: SavedMachine): Promise<string> {
    const stamp = new Date().toISOString().replaceAll(/[-:]|\..*$/g, '')
    return this.save(machine, `retrap-${stamp}.snapshot`)
  }
}

/** Time for a guest to fall asleep, in milliseconds: it freezes its programs and devices first. */
const PATIENCE_MS = 60_000

/**
 * Has a guest take the time from its machine's clock: it is asked to sleep by the sleep button, and woken at once. A kernel that
 * wakes from S3 reads that clock; nothing else makes one do so while it runs.
 */
export class GuestClock {
  readonly #tell: (text: string) => void
  #machine: Machine | undefined
  #patience: ReturnType<typeof setTimeout> | undefined

  /** @param tell - tells the user whether the guest's clock was set */
  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  /** Asks the guest to fall asleep. @param machine - a machine that is about to run */
  async ask(machine: Machine): Promise<void> {
    this.#machine = machine
    this.#patience = setTimeout(() => this.#end('the guest has not gone to sleep'), PATIENCE_MS).unref()
    try {
      const listens = await machine.sleepButton?.()
      if (listens !== true) this.#end('the guest has no driver for the sleep button')
    } catch (error) {
      // The button refuses, for instance while the run is recorded.
      this.#end(error instanceof Error ? error.message : String(error))
    }
  }

  /** The guest sleeps, or has been woken. @returns whether that was for its clock */
  slept(asleep: boolean): boolean {
    if (this.#machine === undefined) return false
    if (asleep) void this.#machine.powerButton()
    else this.#end(undefined)
    return true
  }

  #end(problem: string | undefined): void {
    clearTimeout(this.#patience)
    if (this.#machine === undefined) return
    this.#machine = undefined
    this.#tell(
      problem === undefined
        ? 'the guest has slept for a moment, and has the time now'
        : `${problem}: its clock catches up by itself, by 7 days at most; hwclock --hctosys there sets it`,
    )
  }
}
