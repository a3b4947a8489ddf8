/** `--trace`: the guest's execution, as lines, in Chrome's format, or as a Value Change Dump. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { Domain } from '@retrap/hvm'
import type { IoTraceRecord } from '@retrap/ioreq'
import {
  ChromeTrace,
  formatRecord,
  type TraceRecord,
  Tracer,
  type TraceSpec,
  parseTrace,
  TraceError,
  type VcdOptions,
  VcdTrace,
} from '@retrap/trace'
import { attempt } from '@retrap/linux-guest/errors'
import type { SessionOutput } from '../session/session-host.ts'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { usage } from '../../options/values.ts'
import { CodeNames } from '../profile/guest-names.ts'

/** Pieces of text that go out in one. */
const BATCH = 256

/** Target of a trace. */
interface Sink {
  add(record: TraceRecord): void
  /** Called after the last record. */
  end(): void
}

/** The trace of a session, across successive machines. */
export class SessionTrace {
  readonly #tracer: Tracer
  readonly #sink: Sink
  readonly #names = new CodeNames()
  #ended = false

  /**
   * @param path - the file, in a format for viewers if its name ends with `.json` or `.vcd`; null: lines to stderr
   * @param cpus - vCPUs of the machines
   * @throws CliError `ERR_INPUT` where the file cannot be written
   */
  constructor(specs: readonly TraceSpec[], path: string | null, stderr: SessionOutput, cpus: number = 1) {
    const failed = (why: string): void => {
      stderr.write(`retrap: the trace ends here: cannot write ${path}: ${why}\n`)
      this.#tracer.detach()
    }
    const kinds = specs.map(({ kind }) => kind)
    const about = { cpus, kinds, symbolOf: (address: bigint) => this.#names.nameOf(address) }
    const formatOf = FORMATS[/\.[^.]*$/.exec(path ?? '')?.[0] ?? ''] ?? linesTo
    this.#sink =
      path === null
        ? linesTo((text) => void stderr.write(text))
        : fileSink(path, (write) => formatOf(write, about), failed)
    // A replay's file on the guest's time is that of the recorded run.
    const guestOnly = formatOf === FORMATS['.vcd']
    this.#tracer = new Tracer(specs, (record) => this.#sink.add(record), { guestOnly })
  }

  /** The trace function for a new machine; undefined: its accesses are not traced. */
  get access(): ((record: IoTraceRecord) => void) | undefined {
    return this.#tracer.access
  }

  /**
   * Traces a machine that was made with {@link SessionTrace.access}.
   *
   * @param kernel - the image that it was started with, which may have symbols
   */
  attach(machine: Pick<Machine, 'domain' | 'memory'>, kernel?: Uint8Array): void {
    const { domain } = machine
    if (!(domain instanceof Domain)) return
    this.#names.attach(machine, kernel)
    this.#tracer.attach(domain)
  }

  /** Ends the trace and closes its file. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#tracer.detach()
    this.#sink.end()
  }
}

type MakeSink = (write: (text: string) => void, about: VcdOptions) => Sink

const linesTo = (write: (text: string) => void): Sink => ({
  add: (record) => write(`${formatRecord(record)}\n`),
  end: () => undefined,
})

/** Formats for viewers, by the end of a file's name. */
const FORMATS: Readonly<Record<string, MakeSink>> = {
  '.json': (write) => new ChromeTrace(write),
  '.vcd': (write, about) => new VcdTrace(write, about),
}

/**
 * Opens a file that gets text in larger pieces. Text that still waits is written when the process ends.
 *
 * @param failed - called with why the file cannot be written any more; the guest executes on
 */
function fileSink(path: string, make: (write: (text: string) => void) => Sink, failed: (why: string) => void): Sink {
  const file = attempt(`cannot write ${path}`, () => openSync(path, 'w'), 'write')
  let pieces: string[] = []
  let isFull = false
  const flush = (): void => {
    const bytes = Buffer.from(pieces.join(''))
    pieces = []
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done)
    } catch (error) {
      isFull = true
      failed((error as Error).message)
    }
  }
  const write = (text: string): void => {
    if (isFull) return
    pieces.push(text)
    if (pieces.length >= BATCH) flush()
  }
  const sink = make(write)
  process.on('exit', flush)
  return {
    add: (record) => sink.add(record),
    end: () => {
      sink.end()
      flush()
      process.off('exit', flush)
      closeSync(file)
    },
  }
}

/** One `--trace`. */
export interface TraceArgument {
  readonly spec: TraceSpec
  /** The file of `--trace ioreq:FILE`. */
  readonly path: string | null
}

/**
 * Returns the meaning of a `--trace`.
 *
 * @throws CliError `ERR_USAGE` for an invalid trace
 */
export function parseTraceArgument(text: string): TraceArgument {
  const [, path] = /^ioreq:(.+)$/.exec(text) ?? []
  if (path !== undefined) return { spec: { kind: 'ioreq' }, path }
  try {
    return { spec: parseTrace(text), path: null }
  } catch (error) {
    if (error instanceof TraceError) throw usage(`--trace ${text}: ${error.message}`)
    throw error
  }
}
