/** `retrap cluster replay`: shows a run again from its file, and its frames; or goes into the run of one machine. */
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import {
  ClusterError,
  type ClusterEvent,
  ClusterRunFile,
  clusterTime,
  decodeFrame,
  groupOf,
  hexLines,
  machineTime,
  MOST_LINE,
  type RunFrame,
  type RunMachine,
  type RunStart,
  startAt,
  timeText,
} from '@retrap/cluster'
import { CliError, troubleWith } from '@retrap/linux-guest/errors'
import { CONTAINER_STREAMS } from '@retrap/linux-guest/jobs/machine'
import { LinePort } from '@retrap/linux-guest/jobs/ports'
import { EXEC_PORTS } from '@retrap/linux-guest/linux/exec-initramfs'
import type { Machine, MachineOptions, ReplayedRun } from '@retrap/linux-guest/machine/machine-contract'
import { describeDivergence, parseGuestTime } from '@retrap/machine/debug'
import { openRecording } from '@retrap/recording'
import { ownPorts } from '../../jobs/own-guest.ts'
import { fileSource, machineInside } from '../../machine/recording/recorded-file.ts'
import { replayRun } from '../../machine/recording/recorded-run.ts'
import { usage } from '../../options/values.ts'
import { plainListed } from '../../print-lines.ts'
import { execAt, type ExecFlags } from './exec-at.ts'
import { thisBuild } from './made-with.ts'
import { eventText } from './once.ts'
import type { ClusterOutputs } from './run-cluster.ts'

export interface ReplayClusterFlags extends ExecFlags {
  readonly goto?: string
  readonly machine?: string
  /** Of the machine's starts, from 1. */
  readonly start?: number
  readonly gdb?: string
  readonly whoWrote?: string
  readonly frames?: boolean
  readonly frame?: number
  readonly jsonl?: boolean
}

/** Options that go into one machine. */
const NEED_MACHINE = ['start', 'gdb', 'whoWrote', 'exec'] as const
const NOT_WITH_EXEC = ['start', 'gdb', 'whoWrote', 'frames', 'frame', 'jsonl'] as const

/** The surroundings of the command. */
export interface ReplayClusterHost extends ClusterOutputs {
  /** Runs a command line of retrap's. @returns its exit code */
  readonly run: (args: readonly string[]) => Promise<number>
}

/**
 * Replays the file of a run.
 *
 * @param more - further options of the machine's replay
 * @returns the exit code
 * @throws CliError `ERR_INPUT` for a bad file, and for a machine that does not do again what it did; `ERR_USAGE`
 */
export async function replayCluster(
  path: string,
  more: readonly string[],
  flags: ReplayClusterFlags,
  host: ReplayClusterHost,
): Promise<number> {
  const lacking = NEED_MACHINE.find((name) => flags[name] !== undefined)
  if (flags.machine === undefined && (lacking !== undefined || more.length > 0)) {
    const option = lacking === 'whoWrote' ? 'who-wrote' : lacking
    throw usage(
      `${option === undefined ? more.join(' ') : `--${option}`}: expected --machine NAME, too: it is of one machine`,
    )
  }
  const printsFrames = flags.frames === true || flags.frame !== undefined
  if (flags.jsonl === true && (printsFrames || flags.machine !== undefined))
    throw usage('--jsonl: events are printed so, without --machine, --frames and --frame')
  if (flags.exec !== undefined && (more.length > 0 || NOT_WITH_EXEC.some((name) => flags[name] !== undefined)))
    throw usage('--exec: of options expected --machine, --goto and --timeout only')
  if (flags.exec === undefined && flags.timeout !== undefined) throw usage('--timeout: expected --exec, too')
  const source = await fileSource(path)
  const folder = await mkdtemp(join(tmpdir(), 'retrap-cluster-'))
  try {
    const file = await ClusterRunFile.open(source, path)
    const [build] = file.run.madeWith?.split(',') ?? []
    if (build !== undefined && build !== thisBuild() && flags.exec === undefined)
      host.stderr.write(`retrap: ${path} was made with ${build}; this is ${thisBuild()}: the run may be another one\n`)
    const shown = new ShownRun(path, file, folder, host)
    if (flags.frame !== undefined) shown.frame(flags.frame)
    else if (flags.frames === true) shown.frames(flags.machine)
    else if (flags.exec !== undefined) {
      const { goto = 'end', machine } = flags
      const ns = goto === 'end' ? file.run.ns : timeOf(goto)
      return await execAt(path, file.run, [shown.machine(machine!), ns], flags, host)
    } else if (flags.machine !== undefined) return await shown.enter(flags.machine, more, flags)
    else await shown.events(flags)
    return 0
  } catch (error) {
    throw error instanceof ClusterError ? new CliError('ERR_INPUT', error.message) : error
  } finally {
    await source.close()
    await rm(folder, { recursive: true, force: true })
  }
}

class ShownRun {
  readonly #path: string
  readonly #file: ClusterRunFile
  readonly #folder: string
  readonly #host: ReplayClusterHost

  /** @param folder - for copies of recordings */
  constructor(path: string, file: ClusterRunFile, folder: string, host: ReplayClusterHost) {
    this.#path = path
    this.#file = file
    this.#folder = folder
    this.#host = host
  }

  /** Prints the events, when the machines have done them again. */
  async events({ goto, jsonl }: ReplayClusterFlags): Promise<void> {
    const { run } = this.#file
    const until = goto === undefined ? Infinity : timeOf(goto)
    for (const machine of run.machines)
      for (const [number, start] of machine.starts.entries())
        if (start.ns <= until) await this.#compare(machine, number, start, until)
    for (const event of run.events)
      if (event.ns <= until) this.#host.stdout.write(jsonl === true ? `${JSON.stringify(event)}\n` : eventText(event))
    const { failure, seed, ns } = run
    const end = until < ns ? `the same until ${timeText(until)}` : (failure ?? 'ok')
    this.#host.stderr.write(
      `retrap: seed ${seed}, as it was recorded: ${end} (${timeText(ns)} of the cluster's time)\n`,
    )
  }

  /** @throws CliError `ERR_INPUT` for a machine that does something else */
  async #compare(machine: RunMachine, number: number, start: RunStart, until: number): Promise<void> {
    const { machines } = this.#file.run.description
    const place = machines[machine.number]!
    // The recording of a machine has the lines of its containers.
    if (start.recording === undefined || place.inside !== undefined) return
    const { name } = machine
    const names = groupOf(machines, place).map((one) => one.name)
    const next = machine.starts[number + 1]?.ns ?? Infinity
    const told = this.#file.run.events.filter(
      ({ ns, kind, machine: of }) =>
        names.includes(of ?? '') &&
        (kind === 'output' || kind === 'report') &&
        ns >= start.ns &&
        ns < next &&
        ns <= until,
    )
    const isOwn = place.machine !== undefined
    const copy = await this.#copy(start.recording)
    const heard = await linesOfRecording(copy, isOwn)
    await rm(copy)
    // Lines of a serial port are in their own order.
    const waiting = [...Map.groupBy(heard, ({ ns }) => Number.isNaN(ns)).values()]
    const isTold = ({ text, kind, ns }: ClusterEvent): boolean => {
      const isNext = ([first]: readonly HeardLine[]): boolean =>
        first?.text === text && first.kind === kind && (Number.isNaN(first.ns) || first.ns === machineTime(start, ns))
      const found = waiting.find(isNext)
      found?.shift()
      return found !== undefined
    }
    const there = told.find((event) => !isTold(event))
    if (there === undefined) return
    const here = waiting.flat()[0]
    const now = here === undefined ? 'nothing' : `'${here.text}' at ${here.ns} ns of its clock`
    throw new CliError(
      'ERR_INPUT',
      `${this.#path}: ${name} did something else: at ${timeText(there.ns)} it had said '${there.text}' (${machineTime(start, there.ns)} ns of its clock), and now comes ${now}`,
    )
  }

  /** Goes into the run of one machine. */
  async enter(name: string, more: readonly string[], flags: ReplayClusterFlags): Promise<number> {
    const machine = this.machine(name)
    const { goto, gdb, whoWrote } = flags
    const ns = goto === undefined ? undefined : parseGuestTime(goto)?.ns
    const start = this.#start(machine, flags.start, ns)
    const copy = await this.#copy(start.recording!)
    let place = ns === undefined ? goto : `${machineTime(start, ns)}ns`
    const end = await endOf(copy)
    if (ns !== undefined && machineTime(start, ns) > end) {
      const [from, until] = [clusterTime(start, end), start.until].map(timeText)
      this.#host.stderr.write(
        `retrap: ${name} does nothing from ${from} to ${until} of the cluster's time: it is as then\n`,
      )
      place = 'end'
    }
    const options = [...(gdb === undefined ? [] : ['--gdb', /^\d+$/.test(gdb) ? `tcp:127.0.0.1:${gdb}` : gdb]), ...more]
    return this.#host.run([
      ...['replay', copy],
      ...(place === undefined ? [] : ['--goto', place]),
      ...(whoWrote === undefined ? [] : ['--who-wrote', whoWrote]),
      ...(options.length === 0 ? [] : ['--', ...options]),
    ])
  }

  /** Lists frames. @param name - of a machine: those from it and to it */
  frames(name: string | undefined): void {
    const { frames } = this.#file.run
    const number = name === undefined ? undefined : this.machine(name).number
    for (const [i, frame] of frames.entries())
      if (number === undefined || frame.from === number || frame.to === number)
        this.#host.stdout.write(plainListed(`${String(i).padStart(6)} ${this.#line(frame)}`))
  }

  /** Says where a frame came from, and how to go there. */
  frame(number: number): void {
    const { frames, machines } = this.#file.run
    const frame = frames[number]
    if (frame === undefined) throw usage(`--frame ${number}: expected a number below ${frames.length}`)
    const { from, to, sent, arrives, bytes } = frame
    const { payload } = decodeFrame(bytes)
    const lines = [
      `frame ${number}: ${this.#line(frame)}`,
      this.#way('sent by', machines[from]!, sent),
      ...(arrives === undefined ? [] : [this.#way('arrived at', machines[to]!, arrives)]),
      ...hexLines(payload).map((line) => `  ${line}`),
    ]
    this.#host.stdout.write(lines.map(plainListed).join(''))
  }

  /** A machine at an instant, and how to go there. */
  #way(what: string, machine: RunMachine, ns: number): string {
    const start = startAt(machine, ns)
    const clock = start === undefined ? '' : `, ${machineTime(start, ns)} ns of its clock`
    return `${what} ${machine.name} at ${ns} ns${clock}: retrap cluster replay ${this.#path} --machine ${machine.name} --goto ${ns}ns`
  }

  #line({ from, to, sent, arrives, causes, bytes }: RunFrame): string {
    const { machines } = this.#file.run
    const seconds = (ns: number): string => (ns / 1e9).toFixed(6)
    const end = arrives === undefined ? 'lost' : seconds(arrives)
    const why = causes.length === 0 ? '' : ` (${causes.join(', ')})`
    return `${seconds(sent)} ${machines[from]!.name} > ${end} ${machines[to]!.name}${why}: ${decodeFrame(bytes).text}`
  }

  /** @throws CliError `ERR_USAGE` for a name that no machine has */
  machine(name: string): RunMachine {
    const { machines } = this.#file.run
    const found = machines.find((one) => one.name === name)
    if (found !== undefined) return found
    throw usage(`--machine ${name}: expected one of ${machines.map((one) => one.name).join(', ')}`)
  }

  /** The start that is asked for, or that an instant is in; else the last one. */
  #start(machine: RunMachine, number: number | undefined, ns: number | undefined): RunStart {
    const { name, starts } = machine
    if (number !== undefined && starts[number - 1] === undefined)
      throw usage(`--start ${number}: ${name} has ${starts.length} starts`)
    const start = number === undefined ? (ns === undefined ? starts.at(-1) : startAt(machine, ns)) : starts[number - 1]
    const isThere = ns === undefined || number === undefined || (start!.ns <= ns && ns <= start!.until)
    if (start?.recording !== undefined && isThere) return start
    const when = ns === undefined ? '' : ` at ${timeText(ns)}`
    const lives = starts.map(({ ns: from, until }) => `${timeText(from)} to ${timeText(until)}`).join(', ')
    throw usage(`--machine ${name}: there is no recording of it${when}; it ran from ${lives}`)
  }

  /** Copies a recording. @returns the path */
  async #copy(name: string): Promise<string> {
    const path = join(this.#folder, name)
    try {
      await pipeline(this.#file.recording(name), createWriteStream(path))
    } catch (error) {
      throw error instanceof ClusterError ? error : new CliError('ERR_INPUT', `${path}: ${troubleWith(error, 'write')}`)
    }
    return path
  }
}

/** The instant at which a recording ends, in nanoseconds of its machine's clock: a machine at rest does not come to it. */
async function endOf(path: string): Promise<number> {
  const source = await fileSource(path)
  try {
    const { end } = await openRecording(source)
    return end.ns ?? Infinity
  } finally {
    await source.close()
  }
}

/** @throws CliError `ERR_USAGE` */
function timeOf(text: string): number {
  const time = parseGuestTime(text)
  if (time === undefined) throw usage(`--goto ${text}: expected a time of the cluster such as 1500ns or 2.5s`)
  return time.ns
}

interface HeardLine extends Pick<ClusterEvent, 'kind' | 'text'> {
  /** The instant of the machine's clock; NaN: the line came by a serial port, where a byte may wait for others. */
  readonly ns: number
}

/** The ports whose lines are events. */
const KINDS: Readonly<Record<string, HeardLine['kind']>> = { stdout: 'output', stderr: 'output', report: 'report' }
const CONTAINER_KINDS = CONTAINER_STREAMS.map((name) => KINDS[name])

/**
 * Runs a recorded machine again.
 *
 * @param isOwn - it is a machine of its own
 * @throws CliError `ERR_INPUT` for a recording that cannot be read, or leads elsewhere
 */
async function linesOfRecording(path: string, isOwn: boolean): Promise<readonly HeardLine[]> {
  const inside = await machineInside(path)
  if (inside === undefined) throw new CliError('ERR_INPUT', `${path}: the recording has no machine inside`)
  const heard: HeardLine[] = []
  let clock: { now(): number } | undefined
  const kinds = Object.entries(EXEC_PORTS)
    .toSorted(([, one], [, other]) => one - other)
    .map(([name]) => KINDS[name])
  const hears =
    (kind: HeardLine['kind']) =>
    (ns: number, text: string): void =>
      void heard.push({ kind, ns, text })
  const own = { line: hears('output'), report: hears('report') }
  const { serial } = ownPorts(() => Number.NaN, own)
  const { report } = ownPorts(() => clock!.now(), own)
  const virtio = inside.virtio?.map((device, i, { length }) => {
    if (device.kind !== 'console') return device
    if (isOwn) return i === length - 1 ? { ...device, ports: [{ ...device.ports[0]!, stream: report }] } : device
    // A console behind the first is that of a container.
    const known = device === inside.virtio!.find((one) => one.kind === 'console') ? kinds : CONTAINER_KINDS
    const ports = device.ports.map((port, number) => {
      const kind = known[number]
      if (kind === undefined) return { ...port, inReplays: false }
      const hear = (line: string): void =>
        void heard.push({ kind, ns: clock!.now(), text: Buffer.from(line, 'latin1').toString() })
      return { ...port, stream: new LinePort(hear, MOST_LINE), inReplays: true }
    })
    return { ...device, ports }
  })
  const options = {
    ...(inside as MachineOptions),
    ...(virtio && { virtio }),
    ...{ clock: 'deterministic' as const, devices: [], deviceServers: [] },
  }
  const file = await fileSource(path)
  let replay: ReplayedRun | undefined
  try {
    const onMachine = ({ domain, serialPorts }: Pick<Machine, 'domain' | 'serialPorts'>): void => {
      clock = domain.clock
      if (isOwn) serialPorts[0]?.onTransmit((bytes) => void serial.send(bytes))
    }
    replay = await replayRun(options, file, { onMachine })
    const exit = await replay.run({})
    if (exit.reason === 'diverged') throw new CliError('ERR_INPUT', `${path}: ${describeDivergence(exit)}`)
    return heard
  } finally {
    replay?.close()
    await file.close()
  }
}
