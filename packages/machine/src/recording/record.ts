import type { GdbTarget } from '@retrap/gdb'
import {
  CheckpointStore,
  openRecording,
  type RecordingIndex,
  type RecordingMark,
  RecordingWriter,
} from '@retrap/recording'
import type { PcGdbOptions } from '../debugger/gdb-target.ts'
import { requireSupported } from '../combinations/combinations.ts'
import { traitsOf } from '../combinations/traits.ts'
import { MachineError } from '../errors.ts'
import type { PcForkOptions } from '../fork/fork-options.ts'
import { Pc, type PcInputs } from '../pc/pc.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { type Checkpoints, CheckpointTaker } from './checkpoints.ts'
import { describeRun, noteRegisters, type RunDescription } from './description.ts'
import type { LiveDebugOptions, LiveRun } from './live-run.ts'
import { BackEndGate } from './back-end-gate.ts'
import { RecordGate } from './record-gate.ts'
import { flashFacts } from './recorded-flash.ts'
import { PcReplay } from './replay.ts'
import type { ReplayDebugger } from './replay-debugger.ts'
import { writeCheckpoints } from './saved-checkpoints.ts'

/** How a run is recorded. */
export interface RecordPcOptions {
  /** A program's own notes in the file: plain JSON data. */
  readonly about?: unknown
  /**
   * A guest that waits for a timer waits as long for the host, as with `HostPacing`: for guests that people type to. A replay
   * does not wait. Default false.
   */
  readonly keepsPace?: boolean | undefined
  /**
   * Host time between two checkpoints, in milliseconds; default 1000. They are kept in memory, at most 256 MB of them, and
   * written when the recording ends. `Infinity`: none is taken on the way, and none is written.
   */
  readonly checkpointMs?: number | undefined
}

/** A PC whose run is recorded. */
export interface PcRecorder {
  /** The machine. It is run and typed to as any other, and saved while its devices are at rest. */
  readonly pc: Pc
  /** Instructions that its vCPUs have retired. */
  readonly instructions: number
  /** Names this instant. */
  mark(name: string): void
  /**
   * A debugger that goes back through what was recorded so far, and on again. It runs the machine: while it is used, do not call
   * `pc.run`. Going back makes a second machine with as much memory, and `whoWrote` a third. Change no register and no memory:
   * the recording would be of another run. It is over when the recording ends.
   *
   * @throws MachineError `ERR_OPTION` for a machine with deterministic models of the caller
   */
  debugger(options: LiveDebugOptions): Promise<ReplayDebugger>
  /** The same for gdb. @returns what a `GdbSession` of `@retrap/gdb` takes. @throws as `debugger` */
  gdbTarget(gdb: PcGdbOptions, options: LiveDebugOptions): Promise<GdbTarget>
  /**
   * Ends the recording; to be called when the machine does not run. A recording that was not ended can be read up to what
   * was written last.
   *
   * @throws what writing threw
   */
  end(): Promise<void>
}

/**
 * Makes a PC whose run is recorded: each input with its instant. It needs deterministic time.
 *
 * Models of this repository run again in a replay; of their back ends the inputs are recorded, with all that is read from
 * disks. So do models of `devices` that say that they are deterministic. Of all others, of shares, and of models in other
 * threads and processes, what they do is recorded, and a replay does without them.
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
 * @param source - the machine that is forked; its time is deterministic
 * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
 * @param changes - what the clone has of its own, as for `pc.fork`
 * @throws MachineError `ERR_OPTION` for a machine that cannot be recorded, or with models whose doings would be recorded: they
 *   begin at power-on; as `Pc.fork`
 */
export async function recordClone(
  source: Pc,
  write: (bytes: Uint8Array) => unknown,
  given: RecordPcOptions = {},
  changes: PcForkOptions = {},
): Promise<PcRecorder> {
  return record(write, given, (gateFor) => source.forkBehind(changes, (options) => gateFor(options, false)))
}

/** Makes what stands between a machine of these options and its back ends. */
type GateFor = (options: PcOptions, fromPowerOn: boolean) => Promise<PcInputs>

async function record(
  write: (bytes: Uint8Array) => unknown,
  { about, keepsPace = false, checkpointMs }: RecordPcOptions,
  make: (gateFor: GateFor) => Promise<Pc>,
): Promise<PcRecorder> {
  let begun: {
    options: PcOptions
    writer: RecordingWriter
    gate: RecordGate
    pcGate: BackEndGate
    fromPowerOn: boolean
  }
  const pc = await make(async (options, fromPowerOn) => {
    requireSupported(fromPowerOn ? 'record' : 'record-on', traitsOf(options, 'recorded'))
    const described = describeRun(options, about, await flashFacts(options.flash))
    const description: RunDescription = { ...described, paced: keepsPace }
    const writer = new RecordingWriter(write, description)
    const gate = new RecordGate(writer, keepsPace, () => noteRegisters(pc.domain.vcpus))
    // RAM of a snapshot or of a forked machine comes later, and not by writes.
    const pcGate = new BackEndGate(gate, description.backEnds, options, checkpointMs !== Infinity && fromPowerOn)
    begun = { options, writer, gate, pcGate, fromPowerOn }
    return pcGate
  })
  const { options, writer, gate, pcGate, fromPowerOn } = begun!
  const store: Checkpoints = new CheckpointStore()
  const taker = new CheckpointTaker({
    machine: pcGate.machine,
    gate,
    store,
    intervalMs: checkpointMs,
    sinceZeros: pcGate.sinceZeros,
  })
  if (checkpointMs !== Infinity) await taker.take()
  const marks: RecordingMark[] = []
  let live: LiveRun | undefined
  const debugged = async (given: LiveDebugOptions): Promise<LiveRun> => {
    if (checkpointMs === Infinity && !fromPowerOn && options.snapshot === undefined)
      throw new MachineError(
        'ERR_OPTION',
        'checkpointMs Infinity: a clone is debugged by its checkpoints; leave it out',
      )
    const { LiveRun } = await import('./live-run.ts')
    live?.close()
    const source = { bytes: Infinity, read: (at: number, bytes: number) => given.read(at, bytes) }
    const openPast = async (index: RecordingIndex, past: PcOptions, instruction: number): Promise<PcReplay> =>
      PcReplay.ofLive(await openRecording(source, index), past, store, instruction)
    return (live = new LiveRun({ pc, options, gate, writer, taker, marks, openPast, ...given }))
  }
  return {
    pc,
    get instructions() {
      return pc.domain.instructions
    },
    mark(name) {
      const { round, instructions } = gate.instant()
      writer.mark({ round, instructions }, name)
      marks.push({ name, round, instructions })
    },
    debugger: async (given) => (await debugged(given)).debugger(),
    gdbTarget: async (gdb, given) => (await debugged(given)).gdbTarget(gdb),
    async end() {
      live?.close()
      // A debugger has taken some on its way.
      if (checkpointMs === Infinity) store.clear()
      else await taker.take()
      const instant = gate.instant()
      await writeCheckpoints(writer, store)
      store.clear()
      await writer.end(instant)
    },
  }
}
