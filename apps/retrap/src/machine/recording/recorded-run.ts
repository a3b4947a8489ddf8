import type { GdbTarget } from '@retrap/gdb'
import {
  bundleOptions,
  type LiveDebugOptions,
  type MachineExit,
  type MachineRunOptions,
  type PcGdbOptions,
  type PcRecorder,
  recordPc,
  type RecordPcOptions,
  type RecordingSource,
  replayPc,
} from '@retrap/machine'
import type { ArmRecorder } from '@retrap/machine/arm'
import { StoppableRun } from '@retrap/migration'
import { loadArm } from '@retrap/linux-guest/machine/arm-machine'
import { loadInterpreters } from '@retrap/linux-guest/machine/interpreters'
import type {
  Machine,
  MachineOptions,
  MachineRunner,
  PcMachineOptions,
  ReplayedRun,
} from '@retrap/linux-guest/machine/machine-contract'
import type { SavedRun } from '@retrap/linux-guest/machine/snapshots/snapshot-file'

export type SessionRecorder = Pick<PcRecorder | ArmRecorder, 'gdbTarget'> & { readonly machine: Machine }

/** Makes a machine of any board whose run is recorded. @throws CliError `ERR_USAGE`; MachineError as `recordPc` */
export async function recordRun(
  options: MachineOptions,
  write: (bytes: Uint8Array) => unknown,
  how: RecordPcOptions,
): Promise<PcRecorder | ArmRecorder> {
  if (options.architecture === 'arm64') {
    const { arm, given } = await loadArm(options)
    return arm.recordArmMachine(given, write, how)
  }
  await loadInterpreters('x86')
  return recordPc(options as PcMachineOptions, write, how)
}

/** Makes a machine of any board whose recording has the machine inside. @param given - the command line @throws as `recordRun` */
export function recordBundled(
  options: MachineOptions,
  write: (bytes: Uint8Array) => unknown,
  given: readonly string[],
  how: Omit<RecordPcOptions, 'about' | 'images'>,
): Promise<PcRecorder | ArmRecorder> {
  const { options: bundle, images } = bundleOptions(options)
  const savedAt = new Date().toISOString()
  const about: SavedRun = { version: 1, arguments: given, savedAt, bundle, images: images.length }
  return recordRun(options, write, { ...how, about, images })
}

/** Opens a recording of a machine of any board. @throws as `replayPc` */
export async function replayRun(
  options: MachineOptions,
  source: RecordingSource,
  how: { readonly onMachine: (machine: Machine) => void },
): Promise<ReplayedRun> {
  if (options.architecture === 'arm64') {
    const { arm, given } = await loadArm(options)
    return arm.replayArmMachine(given, source, how)
  }
  await loadInterpreters('x86')
  return replayPc(options as PcMachineOptions, source, how)
}

/** The run of a machine that is recorded, which the session and gdb share: gdb goes back in it. */
export class RecordedRun implements MachineRunner {
  readonly #recorder: SessionRecorder
  readonly #read: LiveDebugOptions['read']
  #target: GdbTarget | undefined
  readonly #ended = Promise.withResolvers<MachineExit>()
  /** Runs the machine for the session, while gdb resumes it. */
  readonly #stoppable = new StoppableRun()

  /** @param read - reads the recorder's output back */
  constructor(recorder: SessionRecorder, read: LiveDebugOptions['read']) {
    this.#recorder = recorder
    this.#read = read
    this.#ended.promise.catch(() => {})
  }

  /** Shows the machine to gdb, which has it go on from now on. */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    const { machine } = this.#recorder
    this.#target = await this.#recorder.gdbTarget(options, {
      read: this.#read,
      run: (limits: MachineRunOptions) =>
        this.#stoppable.run(machine, limits as { readonly signal?: AbortSignal }, { reason: 'stopped' }),
      onExit: (exit) => this.#ended.resolve(exit),
      onFailure: (error) => this.#ended.reject(error),
    })
    await this.#hold()
    return this.#target
  }

  /** Runs the machine, or lets gdb run it. The machine stands still when this returns. */
  async run(options: Parameters<Machine['run']>[0]): Promise<MachineExit> {
    if (this.#target === undefined) return this.#recorder.machine.run(options)
    const limits = limitsOf(options)
    this.#stoppable.resume()
    try {
      return await Promise.race([this.#ended.promise, limits.reached])
    } finally {
      limits.clear()
      await this.#hold()
    }
  }

  /** Holds the machine, regardless of gdb, until the session runs it. */
  async #hold(): Promise<void> {
    // `stop` rejects for a machine that has ended, which does not run either.
    await this.#stoppable.stop().catch(() => {})
  }

  /** Resolves when gdb's command has ended. */
  async stop(): Promise<void> {
    while (this.#target?.isStopped === false) {
      this.#target.stop()
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
}

/**
 * Waits for the limits of a run that somebody else makes: the session's end, or its time.
 *
 * @returns `reached` settles then; `clear` is to be called when no caller waits any more
 */
export function limitsOf({ signal, timeoutMs }: Parameters<Machine['run']>[0]): {
  readonly reached: Promise<MachineExit>
  clear(): void
} {
  const { promise, resolve } = Promise.withResolvers<MachineExit>()
  const stop = (): void => resolve({ reason: 'stopped' })
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => resolve({ reason: 'timeout' }), timeoutMs)
  signal?.addEventListener('abort', stop)
  if (signal?.aborted === true) stop()
  return {
    reached: promise,
    clear() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    },
  }
}
