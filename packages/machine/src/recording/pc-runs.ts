import { crc32 } from '@retrap/basics'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { PC_PLACES } from '../debugger/stop-places.ts'
import type { PcForkOptions } from '../fork/fork-options.ts'
import { type PcOptions, processorOf } from '../options/pc-options.ts'
import { Pc } from '../pc/pc.ts'
import type { PcKind } from '../pc/pc-board.ts'
import { machineOf } from '../pc/pc-state.ts'
import { identityBytes, powerOnFacts, type RecordedKind } from './description.ts'
import { type GateFor, type MachineRecorder, recordMachine, type RecordOptions } from './record.ts'
import { noteAll } from './record-gate.ts'
import { MachineReplay, type PcReplay } from './replay.ts'
import type { RecordingSource, ReplayOptions } from './run-replay.ts'

/** Options for recording the run of a PC. */
export type RecordPcOptions = RecordOptions

/** A recorder of a PC's run. */
export interface PcRecorder extends MachineRecorder<Pc> {
  /** The machine, under the name used for a PC. */
  readonly pc: Pc
}

/** Options for replaying a run of a PC. */
export type ReplayPcOptions = ReplayOptions<Pc>

/** How runs of PCs are recorded, and run again. */
export const PC_RUNS: RecordedKind<PcKind, Pc> = {
  board: ({ machine = 'pc' }) => machine,
  describe: recordedMachine,
  notes: ({ vcpus }) => noteAll(vcpus, ({ cpu }) => saveVcpuRegisters(cpu)),
  debugging: async () => {
    const [{ pcGdbMachine: show }, { x86Stepped: stepped }] = await Promise.all([
      import('../debugger/pc-debugger.ts'),
      import('./x86-stepped.ts'),
    ])
    return { places: PC_PLACES, show, stepped }
  },
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
    ...(options.tripleFault === 'reset' && { tripleFault: 'reset' }),
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
 * @param source - the machine to fork; it must use deterministic time. Of one that is recorded itself the clone is a branch
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
  const recorder = await recordMachine(PC_RUNS, write, given, make)
  return Object.assign(recorder, { pc: recorder.machine })
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
