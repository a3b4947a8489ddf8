/** The recordings of a cluster's machines. */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { MachineTime, TimedMachine } from '@retrap/cluster'
import type { PcForkOptions } from '@retrap/machine'
import { troubleWith } from '@retrap/linux-guest/errors'
import type { MachineOptions, MachineSerial } from '@retrap/linux-guest/machine/machine-contract'
import { recordBundled } from '../machine/recording/recorded-run.ts'

/** A machine of either board. */
export interface ForkedMachine extends TimedMachine {
  readonly domain: TimedMachine['domain'] & {
    readonly guestMemory: { read(gpa: number, into: Uint8Array): boolean }
    readonly vcpus: readonly { readonly translation: { onProgramFetch: ((gpa: number) => void) | null } }[]
    readonly memory: { readonly frameCount: number; readonly frames: { readonly freeFrames: number } }
    /** The sum of all vCPUs. */
    readonly instructions: number
  }
  /** From the first one on. */
  readonly serialPorts: readonly Pick<MachineSerial, 'onTransmit'>[]
  fork(options: PcForkOptions): Promise<ForkedMachine>
  /** Moves the clocks that the guest starts with: see `Pc`. */
  moveWallClock(ns: number): void
  close(): void
}

/** A machine, and the maker of timers from outside on its time. */
export interface MadeGuest {
  readonly machine: ForkedMachine
  readonly time: MachineTime
  /** Takes a clone of the machine; absent: nothing is known of its clones. */
  readonly copyOf?: (clone: ForkedMachine) => MadeGuest
  /** Ends the machine. */
  close(): void
}

/** A file that takes bytes until it fails: the machine goes on, and nothing more is written. */
export class RecordingFile {
  #file: FileHandle | undefined
  error: unknown

  /** Makes the file, in place of one that was opened before. */
  async open(path: string): Promise<void> {
    await this.close()
    await this.#attempt(async () => (this.#file = await open(path, 'w')))
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.error === undefined) await this.#attempt(() => this.#file!.writeFile(bytes))
  }

  async close(): Promise<void> {
    await this.#attempt(() => this.#file?.close())
    this.#file = undefined
  }

  async #attempt(act: () => Promise<unknown> | undefined): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.error ??= error
    }
  }
}

/** Records a machine from power-on to its end. */
export interface GuestRecording {
  record(options: MachineOptions): Promise<MadeGuest>
}

/** Time between two checkpoints: a recording has one of its begin, and one of its end. */
const NEVER_MS = 1e12

/** The recordings of machines of one thread, in a folder: each machine has a file. */
export class MachineRecordings {
  readonly #folder: string
  readonly #arguments: readonly string[]
  readonly #all: RecordingFile[] = []
  readonly #ends: Promise<void>[] = []

  constructor({ folder, given }: RecordedHow) {
    this.#folder = folder
    this.#arguments = given
  }

  /** The recording of a machine's start. @param name - as the run's file calls it */
  of(name: string): GuestRecording {
    return { record: (options) => this.#record(name, options) }
  }

  async #record(name: string, options: MachineOptions): Promise<MadeGuest> {
    const written = new RecordingFile()
    this.#all.push(written)
    await written.open(join(this.#folder, name))
    const how = { isTimed: true, checkpointMs: NEVER_MS }
    const recorder = await recordBundled(options, (bytes) => written.write(bytes), this.#arguments, how)
    const machine = recorder.machine as unknown as ForkedMachine
    const end = async (): Promise<void> => {
      try {
        await recorder.end()
      } catch (error) {
        written.error ??= error
      } finally {
        machine.close()
        await written.close()
      }
    }
    return { machine, time: recorder, close: () => void this.#ends.push(end()) }
  }

  /** Waits for the machines that have ended. @returns why the recording of one could not be written; undefined: all were */
  async ended(): Promise<string | undefined> {
    await Promise.all(this.#ends)
    const failed = this.#all.find(({ error }) => error !== undefined)
    return failed && troubleWith(failed.error, 'write')
  }
}

/** The way in which machines are recorded. */
export interface RecordedHow {
  /** The folder that gets a file for each start of a machine. */
  readonly folder: string
  /** The command line. */
  readonly given: readonly string[]
}
