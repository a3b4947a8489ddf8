import type { GdbTarget } from '@retrap/gdb'
import type { DeviceImpairment } from '@retrap/ioreq'
import { openRecording, type RecordingIndex } from '@retrap/recording'
import { crc32 } from '@retrap/basics'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import type { PcGdbOptions } from '../debugger/gdb-target.ts'
import { MachineError } from '../errors.ts'
import type { PcForkOptions } from '../fork/fork-options.ts'
import { type PcOptions, processorOf } from '../options/pc-options.ts'
import { Pc } from '../pc/pc.ts'
import type { PcKind } from '../pc/pc-board.ts'
import { machineOf } from '../pc/pc-state.ts'
import { identityBytes, powerOnFacts, type RecordedKind } from './description.ts'
import type { LiveDebugOptions, LiveRun } from './live-run.ts'
import { type GateFor, type RecordOptions, recordRun, type RunRecorder } from './record.ts'
import { noteAll } from './record-gate.ts'
import { MachineReplay, type PcReplay } from './replay.ts'
import type { PluggedServer, PlugServer } from './server-starts.ts'
import { RunHistoryKeeper } from './run-history.ts'
import type { RecordingSource, ReplayOptions } from './run-replay.ts'
import type { ReplayDebugger } from './replay-debugger.ts'

/** Options for recording the run of a PC. */
export type RecordPcOptions = RecordOptions

/** A recorder of a PC's run. */
export interface PcRecorder extends RunRecorder {
  /** The machine. It is run and typed to as any other, and saved while its devices are at rest. */
  readonly pc: Pc
  /** The run's history so far, which is part of its file. */
  readonly history: RunHistoryKeeper
  /**
   * A debugger that goes back through what was recorded so far, and on again. It runs the machine: while it is used, do not call
   * `pc.run`. Going back makes a second machine with as much memory. Change no register and no memory: the recording would be
   * of another run. It is over when the recording ends.
   *
   * @throws MachineError `ERR_OPTION` for a machine with deterministic models of the caller
   */
  debugger(options: LiveDebugOptions): Promise<ReplayDebugger>
  /**
   * Plugs in a server whose models live elsewhere, such as behind a message port, while the machine runs. The models' doings are
   * recorded: a replay, and the way back, do without them. A server that fails under the policy `detach` is taken out.
   *
   * @param start - makes the server, when the machine resumes
   * @throws what `start` throws
   */
  plugServer(start: PlugServer): Promise<PluggedServer>
  /**
   * Has accesses to a device of the machine wait, or go nowhere, when it runs on; null: no more. A replay does so at the same
   * instants, and does not wait.
   *
   * @param device - the model's name
   * @returns false for an unknown model
   */
  impairDevice(device: string, impairment: DeviceImpairment | null): boolean
  /** Returns a target for a `GdbSession` of `@retrap/gdb`. @throws as `debugger` */
  gdbTarget(gdb: PcGdbOptions, options: LiveDebugOptions): Promise<GdbTarget>
}

/** Options for replaying a run of a PC. */
export type ReplayPcOptions = ReplayOptions<Pc>

/** How runs of PCs are recorded, and run again. */
export const PC_RUNS: RecordedKind<PcKind, Pc> = {
  board: ({ machine = 'pc' }) => machine,
  describe: recordedMachine,
  notes: ({ vcpus }) => noteAll(vcpus, ({ cpu }) => saveVcpuRegisters(cpu)),
  make: (options, gate) => Pc.create(options, gate),
}

/** Returns a recording's description of the machine that options make. */
function recordedMachine(options: PcOptions): object {
  const { kernel, initrd, modules = [], firmware, flash = [], commandLine = '', optionRoms = [] } = options
  const text = new TextEncoder().encode(commandLine)
  const images = [
    kernel,
    initrd,
    ...modules.map(({ bytes }) => bytes),
    firmware,
    ...optionRoms.map(({ bytes }) => bytes),
    text,
    ...identityBytes(options),
  ]
  return {
    ...machineOf(options),
    cpu: JSON.stringify(processorOf(options)),
    ...powerOnFacts(options),
    images: [flash.length, ...images.map((bytes) => (bytes === undefined ? 0 : crc32(bytes)))],
  }
}

/**
 * Makes a PC whose run is recorded: each input with its instant. It needs deterministic time.
 *
 * A replay runs this repository's models and deterministic models of `devices` again; the recording holds their back
 * ends' inputs, and all data read from disks. For other models, shares, and models in other threads and processes the
 * recording holds their actions, and a replay does not run them.
 *
 * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
 * @throws MachineError `ERR_OPTION` for a machine that cannot be recorded; as `createPc`
 */
export async function recordPc(
  options: PcOptions,
  write: (bytes: Uint8Array) => unknown,
  given: RecordPcOptions = {},
): Promise<PcRecorder> {
  return record(write, given, async (gateFor) => {
    const gate = await gateFor(options, options.snapshot === undefined)
    return Pc.create(options, gate)
  })
}

/**
 * Makes a clone, as `pc.fork` does, whose run is recorded from its first instruction on.
 *
 * With `checkpointMs: Infinity` nothing of its RAM is in the recording: a replay then needs a snapshot of the instant at which
 * it was forked, as `PcOptions.snapshot`. Otherwise the recording begins with a checkpoint that has all of it.
 *
 * @param source - the machine to fork; it must use deterministic time
 * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
 * @param changes - options of the clone that differ, as for `pc.fork`
 * @throws MachineError `ERR_OPTION` for a machine that cannot be recorded; as `Pc.fork`
 */
export async function recordClone(
  source: Pc,
  write: (bytes: Uint8Array) => unknown,
  given: RecordPcOptions = {},
  changes: PcForkOptions = {},
): Promise<PcRecorder> {
  return record(write, given, (gateFor) => source.forkBehind(changes, (options) => gateFor(options, false)))
}

async function record(
  write: (bytes: Uint8Array) => unknown,
  given: RecordPcOptions,
  make: (gateFor: GateFor<PcKind>) => Promise<Pc>,
): Promise<PcRecorder> {
  const history = new RunHistoryKeeper()
  const run = await recordRun(PC_RUNS, write, given, make, history)
  const { machine: pc, options, store, fromPowerOn, recorder, backEnds } = run
  history.follow(pc, run.gate)
  const debugged = async (how: LiveDebugOptions): Promise<LiveRun> => {
    if (given.checkpointMs === Infinity && !fromPowerOn && options.snapshot === undefined)
      throw new MachineError(
        'ERR_OPTION',
        'checkpointMs Infinity: a clone is debugged by its checkpoints; leave it out',
      )
    const { LiveRun } = await import('./live-run.ts')
    run.live?.close()
    const source = { bytes: Infinity, read: (at: number, bytes: number) => how.read(at, bytes) }
    const openPast = async (index: RecordingIndex, past: PcOptions, instruction: number): Promise<PcReplay> =>
      MachineReplay.ofLive(PC_RUNS, await openRecording(source, index), past, store, instruction)
    const live = new LiveRun({ ...run, pc, openPast, ...how })
    run.live = live
    return live
  }
  return Object.assign(recorder, {
    pc,
    history,
    plugServer: (start: PlugServer) => backEnds.servers.plug(pc.domain, start),
    impairDevice: (device: string, impairment: DeviceImpairment | null) => backEnds.impair(device, impairment),
    debugger: async (how: LiveDebugOptions) => (await debugged(how)).debugger(),
    gdbTarget: async (gdb: PcGdbOptions, how: LiveDebugOptions) => (await debugged(how)).gdbTarget(gdb),
  })
}

/**
 * Opens a recording for a replay.
 *
 * @param options - the options of the recorded machine; back ends may differ
 * @throws RecordingError for an invalid or damaged file; MachineError `ERR_OPTION` for options of another machine; as
 *   `createPc`
 */
export function replayPc(options: PcOptions, source: RecordingSource, given: ReplayPcOptions = {}): Promise<PcReplay> {
  return MachineReplay.open(PC_RUNS, source, options, given)
}
