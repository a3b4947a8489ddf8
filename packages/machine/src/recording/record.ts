import type { GdbTarget } from '@retrap/gdb'
import type { DeviceImpairment } from '@retrap/ioreq'
import {
  CheckpointStore,
  openRecording,
  type RecordingIndex,
  type RecordingMark,
  type RecordingRing,
  RecordingWriter,
} from '@retrap/recording'
import type { MachineGdbOptions } from '../debugger/machine-gdb-target.ts'
import { MachineError } from '../errors.ts'
import { requireSupported } from '../refusals/refusals.ts'
import { traitsOf } from '../refusals/traits.ts'
import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import type { MachineGate } from '../machine/machine-gate.ts'
import { BackEndGate } from './back-end-gate.ts'
import { type Checkpoints, CheckpointTaker } from './checkpoints.ts'
import { describeRun, type RecordedKind, type RunDescription } from './description.ts'
import { endOf, RecordGate } from './record-gate.ts'
import { flashFacts } from './recorded-flash.ts'
import type { LiveDebugOptions, LiveRun } from './live-run.ts'
import { MachineReplay } from './replay.ts'
import type { ReplayDebugger } from './replay-debugger.ts'
import { RunHistoryKeeper } from './run-history.ts'
import type { PluggedServer, PlugServer } from './server-starts.ts'
import type { TravelledMachine } from './travelling-machine.ts'
import { writeCheckpoints } from './saved-checkpoints.ts'

/** Eighths of all bytes that checkpoints may have; one that is being taken may have as much again. */
const STORE_EIGHTHS = 3
/** Eighths of all bytes that the log may have. */
const LOG_EIGHTHS = 2

/** Bytes that the checkpoints of a recording in a ring may have. */
const ringStoreBytes = ({ mostBytes }: Pick<RecordingRing, 'mostBytes'>): number =>
  Math.floor((mostBytes * STORE_EIGHTHS) / 8)

/**
 * Keeps a recording in memory within its bytes: its oldest past is dropped, up to a checkpoint.
 *
 * @param ring - ring without any part of the log yet
 */
function ringRoom(ring: RecordingRing, writer: RecordingWriter, store: Checkpoints) {
  const logBytes = (ring.mostBytes * LOG_EIGHTHS) / 8
  /** Bytes in front of the log, which stay. */
  const inFront = ring.bytes
  const log = (): number => ring.bytes - inFront + writer.waitingBytes
  let isDropping = false
  return {
    /** A checkpoint is due: the log is to have several, so that little is dropped at once. */
    isFilling: (): boolean => log() > logBytes / 2 && (store.last === undefined || store.instants.length < 2),
    /** Makes room. To be called while the machine runs, when no checkpoint is being taken. */
    look(): void {
      if (isDropping || log() <= logBytes) return
      const second = store.instants[1]
      const position = second && store.dropBefore(second)
      // Without a new checkpoint the whole past is dropped.
      if (position === undefined) store.clear()
      isDropping = true
      writer.dropBefore(position?.piece ?? writer.segment(), (from, to) => {
        ring.drop(from, to)
        isDropping = false
      })
    },
  }
}

/** How a run is recorded, of a machine of any board. */
export interface RecordOptions {
  /** A program's own notes in the file: plain JSON data. */
  readonly about?: unknown
  /**
   * A guest that waits for a timer waits as long for the host, as with `HostPacing`: for guests that people type to. A replay
   * does not wait. Default false.
   */
  readonly keepsPace?: boolean | undefined
  /** Images to include in the file, so that it can be replayed alone: `about` lists them. Default none. */
  readonly images?: readonly Uint8Array[] | undefined
  /**
   * Host time between two checkpoints, in milliseconds; default 1000. They are kept in memory, at most 256 MB of them, and
   * written when the recording ends. `Infinity`: none is taken on the way, and none is written.
   */
  readonly checkpointMs?: number | undefined
  /**
   * Inputs come from callbacks of {@link RunRecorder.timer} alone, and enter the machine there and then: the run is the same as one
   * that is not recorded, whose inputs come from timers of its domain. Default false: inputs enter between two rounds of its vCPUs.
   */
  readonly isTimed?: boolean | undefined
  /**
   * Keeps the recording in memory, which stays below its bytes with all checkpoints: the oldest past is dropped. `write` is the
   * ring's. Images and the machine's description are besides. Default none: all of it is kept.
   */
  readonly ring?: RecordingRing | undefined
}

/** The recorder of a machine's run. */
export interface RunRecorder {
  /** Number of instructions retired by the machine's vCPUs. */
  readonly instructions: number
  /** The first instruction that a replay can reach: 0, or a later one after the beginning was dropped. */
  readonly begin: number
  /** Bytes of its checkpoints in memory, and of a ring's log in memory. */
  readonly bytes: number
  /** Names this instant. */
  mark(name: string): void
  /** Makes a timer on the machine's time that a replay fires again, with the inputs that enter in its callback: see `isTimed`. */
  timer(callback: () => void): {
    /** Sets the timer for this many nanoseconds from now; Infinity: never. */
    armAfter(ns: number): void
  }
  /**
   * Advances the machine's clock by `ns` nanoseconds, while the machine stands still where a timer of these has stopped it. Its
   * processors have no translations then, as in a clone.
   */
  skip(ns: number): void
  /**
   * Writes the end of a file of the recording so far, with its checkpoints; the recording goes on meanwhile. To be called when the
   * machine does not run, and its devices are at rest.
   *
   * @param write - appends bytes to those written so far, piece by piece, in order
   * @param images - added to the images of the file, in front of the run's history
   * @throws what writing threw
   */
  copyEnd(write: (bytes: Uint8Array) => unknown, images?: readonly Uint8Array[]): Promise<void>
  /**
   * Ends the recording; to be called when the machine does not run. A recording that was not ended can be read up to the
   * last bytes written.
   *
   * @param images - added to the images of the file, in front of the run's history
   * @throws what writing threw
   */
  end(images?: readonly Uint8Array[]): Promise<void>
  /** Ends an unwanted recording; to be called when the machine does not run. Nothing more is written. */
  discard(): void
}

/** The recorder of a machine's run, whose debugger goes back in it. */
export interface MachineRecorder<M extends TravelledMachine> extends RunRecorder {
  /** The machine. It is run and typed to as any other, and saved while its devices are at rest. */
  readonly machine: M
  /** The run's history so far, which is part of its file. */
  readonly history: RunHistoryKeeper
  /**
   * A debugger that goes back through the recording so far, and on again. It runs the machine: while it is used, do not call the
   * machine's `run`. Going back makes a second machine with as much memory. Change no register and no memory: the recording
   * would be of another run. It is over when the recording ends.
   *
   * @throws MachineError `ERR_OPTION` for a machine with deterministic models of the caller
   */
  debugger(options: LiveDebugOptions): Promise<ReplayDebugger<M>>
  /** Returns a target for a `GdbSession` of `@retrap/gdb`. @throws as `debugger` */
  gdbTarget(gdb: MachineGdbOptions, options: LiveDebugOptions): Promise<GdbTarget>
  /**
   * Plugs in a server whose models live elsewhere, such as behind a message port, while the machine runs. The models' actions
   * are recorded: a replay, and the way back, do without them. A server that fails under the policy `detach` is taken out.
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
}

/** The parts of a run that is recorded. */
interface RecordedRun<K extends MachineKind, M extends Machine<K>> {
  readonly machine: M
  readonly options: K['options']
  readonly gate: RecordGate
  readonly writer: RecordingWriter
  readonly taker: CheckpointTaker
  readonly store: Checkpoints
  /** Instants with names. */
  readonly marks: readonly RecordingMark[]
  readonly fromPowerOn: boolean
  readonly backEnds: BackEndGate<K>
  readonly recorder: RunRecorder
  /** The debugger of the recorded run, which closes with the machine. */
  live: { close(): void } | undefined
}

/**
 * Begins to record a machine, whose debugger goes back in its run.
 *
 * @param make - makes the machine, behind the gate that it asks for
 * @throws as {@link recordRun}
 */
export async function recordMachine<K extends MachineKind, M extends Machine<K>>(
  kind: RecordedKind<K, M>,
  write: (bytes: Uint8Array) => unknown,
  given: RecordOptions,
  make: (gateFor: GateFor<K>) => Promise<M>,
): Promise<MachineRecorder<M>> {
  const history = new RunHistoryKeeper()
  const run = await recordRun(kind, write, given, make, history)
  const { machine, options, store, fromPowerOn, recorder, backEnds } = run
  history.follow(machine, run.gate)
  const debugged = async (how: LiveDebugOptions): Promise<LiveRun<K, M>> => {
    if (given.checkpointMs === Infinity && !fromPowerOn && options.snapshot === undefined)
      throw new MachineError(
        'ERR_OPTION',
        'checkpointMs Infinity: a clone is debugged by its checkpoints; leave it out',
      )
    const [{ LiveRun }, debugging] = await Promise.all([import('./live-run.ts'), kind.debugging()])
    run.live?.close()
    const source = { bytes: Infinity, read: (at: number, bytes: number) => how.read(at, bytes) }
    const openPast = async (index: RecordingIndex, past: K['options'], at: number): Promise<MachineReplay<K, M>> =>
      MachineReplay.ofLive(kind, await openRecording(source, index), past, store, at)
    const live = new LiveRun<K, M>({ ...run, kind, debugging, openPast, ...how })
    run.live = live
    return live
  }
  return Object.assign(recorder, {
    machine,
    history,
    plugServer: (start: PlugServer) => backEnds.servers.plug(machine.domain, start),
    impairDevice: (device: string, impairment: DeviceImpairment | null) => backEnds.impair(device, impairment),
    debugger: async (how: LiveDebugOptions) => (await debugged(how)).debugger(),
    gdbTarget: async (gdb: MachineGdbOptions, how: LiveDebugOptions) => (await debugged(how)).gdbTarget(gdb),
  })
}

/** Makes the gate between a machine of these options and its back ends. */
export type GateFor<K extends MachineKind> = (options: K['options'], fromPowerOn: boolean) => Promise<MachineGate<K>>

/**
 * Begins to record.
 *
 * @param make - makes the machine, behind the gate that it asks for
 * @throws MachineError `ERR_OPTION` for a machine that cannot be recorded; errors of `make`
 */
async function recordRun<K extends MachineKind, M extends Machine<K>>(
  kind: RecordedKind<K, M>,
  write: (bytes: Uint8Array) => unknown,
  { about, keepsPace = false, isTimed = false, images = [], checkpointMs, ring }: RecordOptions,
  make: (gateFor: GateFor<K>) => Promise<M>,
  history?: RunHistoryKeeper,
): Promise<RecordedRun<K, M>> {
  if (ring !== undefined && checkpointMs === Infinity)
    throw new MachineError('ERR_OPTION', 'checkpointMs Infinity: a ring is dropped up to a checkpoint; leave it out')
  type Begun = Pick<RecordedRun<K, M>, 'fromPowerOn' | 'gate' | 'options' | 'writer'>
  let begun: Begun & { readonly backEnds: BackEndGate<K> }
  const machine = await make(async (options, fromPowerOn) => {
    const board = kind.board(options)
    const traits = traitsOf({ ...options, machine: board }, 'recorded')
    requireSupported(fromPowerOn ? 'record' : 'record-on', traits)
    if (!fromPowerOn && checkpointMs === Infinity && traits.has('recorded-models'))
      throw new MachineError(
        'ERR_OPTION',
        'checkpointMs Infinity: a replay without the models of a snapshot begins at a checkpoint; leave it out',
      )
    const described = describeRun(kind, options, about, await flashFacts(options.flash))
    const description: RunDescription = { ...described, paced: keepsPace, ...(isTimed && { timed: true }) }
    const writer = new RecordingWriter(write, description)
    for (const image of images) writer.addImage(image)
    const gate = new RecordGate(writer, keepsPace, () => kind.notes(machine.domain))
    gate.isTimed = isTimed
    // RAM of a snapshot or of a forked machine comes later, and not by writes.
    const logs = checkpointMs !== Infinity && fromPowerOn
    const backEnds = new BackEndGate<K>(gate, description.backEnds, options, logs)
    begun = { options, writer, gate, backEnds, fromPowerOn }
    return backEnds
  })
  const { options, writer, gate, backEnds, fromPowerOn } = begun!
  const store: Checkpoints = new CheckpointStore(ring && ringStoreBytes(ring))
  gate.isInRing = ring !== undefined
  if (ring !== undefined) await writer.settled()
  const room = ring && ringRoom(ring, writer, store)
  const { machine: gated, sinceZeros } = backEnds
  const taker = new CheckpointTaker({
    machine: gated,
    gate,
    store,
    intervalMs: checkpointMs,
    isWanted: room?.isFilling,
    sinceZeros,
  })
  const { look } = gate
  if (room !== undefined)
    gate.look = () => {
      if (!taker.isTaking) room.look()
      look?.()
    }
  // Models go on from a snapshot by themselves: that comes before the first checkpoint.
  if (!fromPowerOn) await machine.domain.settleModels()
  if (checkpointMs !== Infinity) await taker.take(true)
  const addImages = (file: Pick<RecordingWriter, 'addImage'>, added: readonly Uint8Array[]): void => {
    for (const image of added) file.addImage(image)
    if (history !== undefined)
      file.addImage(
        new TextEncoder().encode(JSON.stringify(history.save(writer.firstPiece === 0 ? 0 : recorder.begin))),
      )
  }
  const marks: RecordingMark[] = []
  const recorder: RunRecorder = {
    get instructions() {
      return machine.domain.instructions
    },
    get begin() {
      if (fromPowerOn && writer.firstPiece === 0) return 0
      return store.instants[0]?.instructions ?? machine.domain.instructions
    },
    get bytes() {
      return store.bytes + writer.waitingBytes + (ring?.bytes ?? 0)
    },
    mark(name) {
      const { round, instructions } = gate.instant()
      writer.mark({ round, instructions }, name)
      marks.push({ name, round, instructions })
      history?.mark(name)
    },
    timer: (callback) => gate.timer(callback),
    skip: (ns) => gate.skip(ns),
    async copyEnd(more, added = []) {
      await taker.take()
      const copy = await writer.copy(more)
      addImages(copy, added)
      await writeCheckpoints(copy, store)
      await copy.end(endOf(gate, machine.domain))
    },
    async end(added = []) {
      run.live?.close()
      // The debugger has taken checkpoints of its own.
      if (checkpointMs === Infinity) store.clear()
      else await taker.take()
      const end = endOf(gate, machine.domain)
      addImages(writer, added)
      history?.leave()
      await writeCheckpoints(writer, store)
      store.clear()
      gate.hasEnded = true
      await writer.end(end)
    },
    discard() {
      run.live?.close()
      store.clear()
    },
  }
  const parts = { machine, options, gate, writer, taker, store, marks, fromPowerOn, backEnds, recorder }
  const run: RecordedRun<K, M> = { ...parts, live: undefined }
  return run
}
