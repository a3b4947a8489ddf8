import { concatenate } from '@retrap/basics'
import type { Pc } from '@retrap/machine'
import type { RunHistory, RunMark, RunSample } from '../debugger.ts'
import { WebError } from '../errors.ts'

/** Host time between two samples. */
const SAMPLE_MS = 250
/** With more samples than these, every second one is dropped, and there is twice the time between them. */
const MOST_SAMPLES = 2048
const MOST_MARKS = 10_000
/** Characters of a line that are kept. */
const LINE_CHARACTERS = 120
const [LINE_FEED, SPACE, DELETE] = [10, 32, 127]
/** Bytes of the serial port's output that are kept, and those that a terminal is given again. */
const KEPT_BYTES = 1 << 20
const CONSOLE_BYTES = 1 << 14

/** The output of the serial port. */
interface SavedOutput {
  /** Bytes that the guest had sent before; negative: they were printed before the machine was made. */
  readonly from: number
  /** A character for each byte. */
  readonly characters: string
}

/** A run's history, as a recording has it beside the run. */
export interface SavedHistory {
  readonly version: 2
  readonly samples: readonly RunSample[]
  readonly marks: readonly RunMark[]
  readonly output: SavedOutput
}

/** Notes what happens in a recorded run, for a time line. Its memory is bounded. */
export class RunHistoryKeeper {
  readonly #pc: Pc | null
  #samples: RunSample[] = []
  #marks: RunMark[] = []
  #everyMs = SAMPLE_MS
  #sampled = 0
  #line = ''
  /** Output of the serial port, and how many bytes of it came before. */
  #pieces: Uint8Array[] = []
  #pieceBytes = 0
  #from: number

  /** @param pc - whose run goes on; null: it has ended, and was restored */
  constructor(pc: Pc | null) {
    this.#pc = pc
    this.#from = pc?.serial.sent ?? 0
    this.#sample()
  }

  /** Returns all from an instruction on as plain data. The output before is the end of what was shown there. */
  save(begin: number): SavedHistory {
    this.#dropBefore(begin)
    this.#sample()
    const output = { from: this.#from, characters: binaryText(concatenate(this.#pieces)) }
    return { version: 2, samples: this.#samples, marks: this.#marks, output }
  }

  /** Takes the history that a file has in place of its own. @throws WebError `ERR_SOURCE` for another shape */
  restore({ version, samples, marks, output }: Partial<Record<keyof SavedHistory, unknown>>): void {
    if (version !== 2 || !isListOf(samples, isSample) || !isListOf(marks, isMark) || !isOutput(output))
      throw new WebError('ERR_SOURCE', 'recording: its history has another form')
    this.#samples = samples.slice(0, MOST_SAMPLES)
    this.#marks = marks.slice(0, MOST_MARKS)
    this.#pieces = [Uint8Array.from(output.characters, (character) => character.charCodeAt(0))]
    this.#from = output.from
  }

  /** The machine stands still, or goes on: it is looked at if it is time. */
  look(): void {
    if (performance.now() - this.#sampled >= this.#everyMs) this.#sample()
  }

  /** Takes what the guest has written to its serial port. */
  transmitted(bytes: Uint8Array): void {
    this.#pieces.push(bytes.slice())
    this.#pieceBytes += bytes.length
    if (this.#pieceBytes > KEPT_BYTES) this.#dropPieces()
    for (const byte of bytes) {
      if (byte === LINE_FEED) this.#endLine()
      else if (byte >= SPACE && byte !== DELETE && this.#line.length < LINE_CHARACTERS)
        this.#line += String.fromCharCode(byte)
    }
    this.look()
  }

  /** The machine goes on from elsewhere: this is the end of what its guest had written there. */
  startWith(console: Uint8Array): void {
    this.#pieces.unshift(console)
    this.#pieceBytes += console.length
    this.#from -= console.length
  }

  /** The end of what the guest had written to its serial port when it had sent so many bytes. */
  consoleAt(sent: number): Uint8Array<ArrayBuffer> {
    const end = sent - this.#from
    return concatenate(this.#pieces).slice(Math.max(0, end - CONSOLE_BYTES), Math.max(0, end))
  }

  /** Adds a mark of the user's. */
  mark(text: string): void {
    this.#add({ kind: 'own', instruction: this.#instruction, text })
  }

  /** @param bytes - of the recording in memory */
  view(begin: number, bytes: number): RunHistory {
    this.#dropBefore(begin)
    this.#sample()
    return { samples: this.#samples, marks: this.#marks, bytes }
  }

  /** Drops what nobody can go to any more. */
  #dropBefore(begin: number): void {
    const isLeft = ({ instruction }: { readonly instruction: number }): boolean => instruction >= begin
    this.#samples = this.#samples.filter(isLeft)
    this.#marks = this.#marks.filter(isLeft)
  }

  get #instruction(): number {
    return this.#pc?.domain.instructions ?? 0
  }

  #dropPieces(): void {
    const half = this.#pieces.length >>> 1
    const dropped = this.#pieces.slice(0, half).reduce((sum, { length }) => sum + length, 0)
    this.#pieceBytes -= dropped
    this.#from += dropped
    this.#pieces = this.#pieces.slice(half)
  }

  #endLine(): void {
    const text = this.#line.trim()
    this.#line = ''
    if (text !== '') this.#add({ kind: 'serial', instruction: this.#instruction, text })
  }

  #add(mark: RunMark): void {
    this.#marks.push(mark)
    if (this.#marks.length > MOST_MARKS) this.#marks.splice(0, MOST_MARKS / 10)
  }

  #sample(): void {
    if (this.#pc === null) return
    this.#sampled = performance.now()
    const { domain } = this.#pc
    const { instructions: instruction } = domain
    if (this.#samples.at(-1)?.instruction === instruction) return
    const { interrupts, exceptions, portAccesses, mmioAccesses } = this.#pc.statistics()
    const guestMs = domain.clock.now() / 1e6
    this.#samples.push({ instruction, guestMs, interrupts, exceptions, deviceAccesses: portAccesses + mmioAccesses })
    if (this.#samples.length <= MOST_SAMPLES) return
    this.#samples = this.#samples.filter((_, i) => i % 2 === 0)
    this.#everyMs *= 2
  }
}

const isListOf = <T>(given: unknown, isOne: (one: unknown) => one is T): given is readonly T[] =>
  Array.isArray(given) && given.every(isOne)

const SAMPLED = ['instruction', 'guestMs', 'interrupts', 'exceptions', 'deviceAccesses'] as const

const isSample = (given: unknown): given is RunSample =>
  SAMPLED.every((name) => Number.isFinite((given as RunSample | null)?.[name]))

function isMark(given: unknown): given is RunMark {
  const { kind, instruction, text } = (given ?? {}) as Partial<RunMark>
  return (kind === 'own' || kind === 'serial') && Number.isFinite(instruction) && typeof text === 'string'
}

function isOutput(given: unknown): given is SavedOutput {
  const { from, characters } = (given ?? {}) as Partial<SavedOutput>
  return Number.isSafeInteger(from) && typeof characters === 'string'
}

/** A character for each byte. */
export function binaryText(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
