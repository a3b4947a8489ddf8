import { concatenate, latin1 } from '@retrap/basics'
import { RecordingError, type RecordingMark } from '@retrap/recording'
import type { MachineKind } from '../machine/board.ts'
import type { GuestConsole } from '../machine/machine-gate.ts'

/** Guest time between two samples, and the most samples: beyond it every second sample is dropped, and the interval doubles. */
const SAMPLE_NS = 1_000_000
const MOST_SAMPLES = 2048
const MOST_MARKS = 10_000
/** Most characters kept of a failure, and of a line. */
const MOST_FAILURE = 500
const LINE_CHARACTERS = 120
const [LINE_FEED, RETURN, SPACE, DELETE] = [10, 13, 32, 127]
/** Bytes of console output kept, and bytes that a terminal gets again. */
const KEPT_BYTES = 1 << 20
const CONSOLE_BYTES = 1 << 14

/** A mark on the time line of a recorded run. */
export interface RunMark {
  /** A line that the guest has printed, or a mark of the user's. */
  readonly kind: 'serial' | 'own'
  /** Number of instructions retired at this time. */
  readonly instruction: number
  /** A line that the guest has printed, or the mark's name. */
  readonly text: string
}

/** Counts at an instant of a recorded run, from the beginning of the recording. */
export interface RunSample {
  /** Number of instructions retired at this time. */
  readonly instruction: number
  /** The guest's time since power-on, in milliseconds. */
  readonly guestMs: number
  /** External interrupts delivered. */
  readonly interrupts: number
  /** Exceptions delivered. */
  readonly exceptions: number
  /** Accesses to ports and to device memory. */
  readonly deviceAccesses: number
}

/** The failure of a run. */
export interface RunFailure {
  /** The program or test, and why it has failed, for people. */
  readonly what: string
  /** The host's time, as ISO 8601 has it. */
  readonly at: string
}

/** A run's history in its recording's file. */
export interface SavedHistory {
  /** Version of this shape. */
  readonly version: 2
  /** Counts at instants from the beginning of the recording to its end. */
  readonly samples: readonly RunSample[]
  /** Lines that the guest has printed, and the user's marks, in their order. */
  readonly marks: readonly RunMark[]
  /** The output of the console. */
  readonly output: {
    /** Bytes that the guest had sent before by the serial port; negative: they were printed before the machine was made. */
    readonly from: number
    /** A character for each byte. */
    readonly characters: string
    /** For a console with several outputs: earlier bytes of each, and runs of one output's characters: output, length. */
    readonly outputs?: { readonly from: readonly number[]; readonly runs: readonly number[] }
  }
  /** The failure of the run; absent: none was reported. */
  readonly failure?: RunFailure
}

/** A machine whose history is kept. */
export interface NotedMachine {
  /** The machine's clock and its counts of instructions. */
  readonly domain: Pick<MachineKind['domain'], 'clock' | 'instructions' | 'spent' | 'vcpus'>
  /** @internal Bytes that the guest has sent by an output of its console since power-on. */
  sentBy(output: number): number
}

/** The gate of a machine whose run is noted. */
export interface NotedGate {
  /** Outputs of the guest that people read. */
  readonly console: GuestConsole
  /** Called before a round that follows an event; null: no listener. */
  moved: (() => void) | null
}

/** An output whose lines are kept. */
class NotedOutput {
  /** Number of bytes sent at the last look, and number of bytes received. */
  seen: number
  heard: number
  /** The unfinished last line. */
  line = ''
  /** Finished lines, each with the number of bytes up to its end. */
  readonly ended: { readonly text: string; readonly end: number }[] = []
  /** The bytes of the unfinished line: numbers of sent bytes, each with its instruction. */
  readonly places: { readonly sent: number; readonly instruction: number }[] = []

  constructor(sent: number) {
    this.seen = sent
    this.heard = sent
  }

  /** Takes bytes. */
  hear(bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) {
      if (byte === LINE_FEED) {
        const text = this.line.trim()
        this.line = ''
        if (text !== '') this.ended.push({ text, end: this.heard + i + 1 })
      } else if (byte >= SPACE && byte !== DELETE && this.line.length < LINE_CHARACTERS)
        this.line += String.fromCharCode(byte)
    }
    this.heard += bytes.length
  }

  /** Returns the next line whose place is known. */
  next(): RunMark | undefined {
    const [first] = this.ended
    const least = first?.end ?? this.heard + 1
    while (this.places.length > 0 && this.places[0]!.sent < least) this.places.shift()
    const [place] = this.places
    if (first === undefined || place === undefined) return undefined
    this.ended.shift()
    return { kind: 'serial', instruction: place.instruction, text: first.text }
  }
}

/**
 * Keeps the history of a recorded run for a time line. The keeper samples the machine at the start of rounds of vCPUs, by guest time,
 * so that a replay has the same history. Its memory is bounded.
 */
export class RunHistoryKeeper {
  #failure: RunFailure | undefined
  #machine: NotedMachine | null = null
  #gate: NotedGate | undefined
  #samples: RunSample[] = []
  #marks: RunMark[] = []
  #everyNs = SAMPLE_NS
  #dueNs = 0
  #outputs: NotedOutput[] = []
  /** Bytes that the outputs have sent, in order, and how many bytes of each came before. */
  #pieces: { readonly output: number; readonly bytes: Uint8Array }[] = []
  #pieceBytes = 0
  #from: number[] = [0]

  /**
   * @internal Follows a machine that was just made, or is at the beginning of its recording. A further machine starts at a later instant:
   * zeros, which terminals ignore, replace the output in between.
   */
  follow(machine: NotedMachine, gate: NotedGate): void {
    this.#machine = machine
    this.#gate = gate
    const sent = gate.console.heard.map((_, output) => machine.sentBy(output))
    if (this.#outputs.length === 0) this.#from = sent
    for (const [output, { heard }] of this.#outputs.entries())
      this.#keep(output, new Uint8Array(Math.max(0, sent[output]! - heard)))
    this.#outputs = sent.map((count) => new NotedOutput(count))
    gate.console.onSent = (output, bytes) => this.#sent(output, bytes)
    gate.moved = () => this.#look()
    this.#sample()
  }

  /** @internal The run that was followed has ended. */
  leave(): void {
    this.#samples.push(...this.#now())
    this.#machine = null
    if (this.#gate === undefined) return
    this.#gate.moved = null
    this.#gate.console.onSent = null
  }

  /** Returns the history from an instruction on as plain data, with the end of the earlier output. */
  save(begin: number): SavedHistory {
    this.#dropBefore(begin)
    const runs = this.#pieces.flatMap(({ output, bytes }) => [output, bytes.length])
    const output = {
      from: this.#from[0]!,
      characters: latin1(concatenate(this.#pieces.map(({ bytes }) => bytes))),
      ...(runs.some((value, i) => i % 2 === 0 && value > 0) && { outputs: { from: this.#from, runs } }),
    }
    const failure = this.#failure
    const samples = [...this.#samples, ...this.#now()]
    return { version: 2, samples, marks: this.#marks, output, ...(failure !== undefined && { failure }) }
  }

  /** Restores a file's history. @param marks - the recording's @throws RecordingError for another shape */
  restore(saved: Partial<Record<keyof SavedHistory, unknown>>, marks: readonly RecordingMark[]): void {
    const { version, samples, marks: noted, output } = saved
    if (version !== 2 || !isListOf(samples, isSample) || !isListOf(noted, isMark) || !isOutput(output))
      throw new RecordingError('ERR_DAMAGED', 'the recording is damaged: its history has another form')
    this.#samples = samples.slice(0, MOST_SAMPLES + 1)
    const own = marks.map(({ name, instructions }) => ({ kind: 'own' as const, instruction: instructions, text: name }))
    const all = [...noted.filter(({ kind }) => kind === 'serial'), ...own]
    this.#marks = all.toSorted((a, b) => a.instruction - b.instruction).slice(0, MOST_MARKS)
    const { characters, outputs } = output
    const bytes = Uint8Array.from(characters, (character) => character.charCodeAt(0))
    const { from, runs } = outputs ?? { from: [output.from], runs: [0, bytes.length] }
    this.#from = [...from]
    this.#pieces = []
    for (let i = 0, at = 0; i < runs.length; at += runs[i + 1]!, i += 2)
      this.#pieces.push({ output: runs[i]!, bytes: bytes.subarray(at, at + runs[i + 1]!) })
  }

  /** Sets the end of the guest's console output, after the machine was restored to another instant. */
  startWith(console: Uint8Array): void {
    this.#pieces.unshift({ output: 0, bytes: console })
    this.#pieceBytes += console.length
    this.#from[0]! -= console.length
  }

  /** Returns the end of the guest's console output at the machine's instant, with line ends for a terminal. */
  consoleOf(machine: NotedMachine): Uint8Array<ArrayBuffer> {
    const left = this.#from.map((from, output) => machine.sentBy(output) - from)
    const arePipes = this.#pipes()
    const parts = this.#pieces.map(({ output, bytes }) => {
      const part = bytes.subarray(0, Math.max(0, left[output] ?? 0))
      left[output]! -= bytes.length
      return { output, part }
    })
    const shown: Uint8Array[] = []
    // Of a long output only the end is shown.
    for (let bytes = 0, i = parts.length - 1; i >= 0 && bytes < CONSOLE_BYTES; i--) {
      const { output, part } = parts[i]!
      const end = part.subarray(-CONSOLE_BYTES)
      shown.push(arePipes[output] === true ? withReturns(end) : end)
      bytes += end.length
    }
    return concatenate(shown.toReversed()).slice(-CONSOLE_BYTES)
  }

  /** Finds the outputs that are pipes: no terminal of the guest's has put a return before most of their line feeds. */
  #pipes(): boolean[] {
    const last: number[] = []
    const bare: number[] = []
    for (const { output, bytes } of this.#pieces)
      for (const byte of bytes) {
        if (byte === LINE_FEED) bare[output] = (bare[output] ?? 0) + (last[output] === RETURN ? -1 : 1)
        last[output] = byte
      }
    return bare.map((count) => count > 0)
  }

  /** Notes a failure of the run. @param what - the failed part and the reason, for people */
  fail(what: string): void {
    this.#failure = { what: what.slice(0, MOST_FAILURE), at: new Date().toISOString() }
  }

  /** Adds a mark of the user's. @param instruction - default: the machine's present instruction */
  mark(text: string, instruction: number = this.#machine?.domain.instructions ?? 0): void {
    this.#add({ kind: 'own', instruction, text })
  }

  /** The contents of a time line from an instruction on, up to now. */
  view(begin: number): { readonly samples: readonly RunSample[]; readonly marks: readonly RunMark[] } {
    this.#dropBefore(begin)
    return { samples: [...this.#samples, ...this.#now()], marks: this.#marks }
  }

  /** A round of vCPUs begins. */
  #look(): void {
    const machine = this.#machine!
    for (let output = 0; output < this.#outputs.length; output++) {
      const noted = this.#outputs[output]!
      const sent = machine.sentBy(output)
      if (sent === noted.seen) continue
      noted.seen = sent
      noted.places.push({ sent, instruction: machine.domain.instructions })
      this.#addLines(noted)
    }
    if (machine.domain.clock.now() >= this.#dueNs) this.#sample()
  }

  #sent(output: number, bytes: Uint8Array): void {
    this.#keep(output, bytes)
    const noted = this.#outputs[output]!
    noted.hear(bytes)
    this.#addLines(noted)
  }

  #addLines(noted: NotedOutput): void {
    for (let line = noted.next(); line !== undefined; line = noted.next()) this.#add(line)
  }

  #keep(output: number, bytes: Uint8Array): void {
    this.#pieces.push({ output, bytes: bytes.slice() })
    this.#pieceBytes += bytes.length
    if (this.#pieceBytes <= KEPT_BYTES) return
    for (const piece of this.#pieces.splice(0, this.#pieces.length >>> 1)) {
      this.#pieceBytes -= piece.bytes.length
      this.#from[piece.output]! += piece.bytes.length
    }
  }

  /** Drops history before the remaining recording. */
  #dropBefore(begin: number): void {
    const isLeft = ({ instruction }: { readonly instruction: number }): boolean => instruction >= begin
    this.#samples = this.#samples.filter(isLeft)
    this.#marks = this.#marks.filter(isLeft)
  }

  #add(mark: RunMark): void {
    this.#marks.push(mark)
    if (this.#marks.length > MOST_MARKS) this.#marks.splice(0, MOST_MARKS / 10)
  }

  /** Returns a sample of the present, unless the last sample is of this instant. */
  #now(): RunSample[] {
    if (this.#machine === null) return []
    const { clock, spent, instructions: instruction, vcpus } = this.#machine.domain
    if (this.#samples.at(-1)?.instruction === instruction) return []
    let [interrupts, exceptions, deviceAccesses] = [0, 0, 0]
    for (const { cpu, counts } of vcpus) {
      interrupts += cpu.counts.interrupts
      exceptions += cpu.counts.faults
      deviceAccesses += counts.portAccesses + counts.mmioAccesses
    }
    return [{ instruction, guestMs: (clock.now() + spent) / 1e6, interrupts, exceptions, deviceAccesses }]
  }

  #sample(): void {
    this.#dueNs = this.#machine!.domain.clock.now() + this.#everyNs
    this.#samples.push(...this.#now())
    if (this.#samples.length <= MOST_SAMPLES) return
    this.#samples = this.#samples.filter((_, i) => i % 2 === 0)
    this.#everyNs *= 2
  }
}

const withReturns = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.from([...bytes].flatMap((byte) => (byte === LINE_FEED ? [RETURN, byte] : [byte])))

const isListOf = <T>(given: unknown, isOne: (one: unknown) => one is T): given is readonly T[] =>
  Array.isArray(given) && given.every(isOne)

const SAMPLED = ['instruction', 'guestMs', 'interrupts', 'exceptions', 'deviceAccesses'] as const

const isSample = (given: unknown): given is RunSample =>
  SAMPLED.every((name) => Number.isFinite((given as RunSample | null)?.[name]))

function isMark(given: unknown): given is RunMark {
  const { kind, instruction, text } = (given ?? {}) as Partial<RunMark>
  return (kind === 'own' || kind === 'serial') && Number.isFinite(instruction) && typeof text === 'string'
}

const isNumber = (given: unknown): given is number => Number.isSafeInteger(given)

function isOutput(given: unknown): given is SavedHistory['output'] {
  const { from, characters, outputs } = (given ?? {}) as Partial<SavedHistory['output']>
  if (!isNumber(from) || typeof characters !== 'string') return false
  return outputs === undefined || (isListOf(outputs?.from, isNumber) && isListOf(outputs.runs, isNumber))
}
