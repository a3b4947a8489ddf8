import * as block from '../../src/index.ts'
import { LoggingStorage, type Logged } from './logging-storage.ts'

export type Below = (bound: number) => number

const SECTOR = 512
/** Of a run with more writes to the file, moments between flushes are samples. */
const MANY_WRITES = 60

/** A whole sector of the host file, or the rest of one: what a disk writes whole or not at all. */
interface Unit {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What a sector of the disk may hold after a kill: bytes that fill it. */
type Allowed = readonly ReadonlySet<number>[]

/** A moment of the run: how many entries the log had, and what the disk had been promised to hold. */
interface Mark {
  readonly logLength: number
  readonly allowed: Allowed
}

export interface CrashRun {
  readonly start: Uint8Array
  readonly log: readonly Logged[]
  readonly marks: readonly Mark[]
  readonly sectors: number
  readonly backing: Uint8Array | null
}

export interface CrashOptions extends Omit<block.Qcow2CreateOptions, 'bytes' | 'backing'> {
  readonly sectors: number
  readonly steps: number
  readonly hasBacking: boolean
  /** Content of the image before the run, made by another program. */
  readonly start?: Uint8Array
  /** Sectors that the first request writes. */
  readonly opening?: { readonly at: number; readonly count: number }
}

/** Opens an image over a backing file of these bytes. */
export function openOver(storage: LoggingStorage, backing: Uint8Array | null): Promise<block.Qcow2Image> {
  const openBacking = async (): Promise<block.RawImage> =>
    new block.RawImage(new block.MemoryStorage(backing ?? new Uint8Array(0), { readOnly: true }))
  return block.Qcow2Image.open(storage, { openBacking, cacheBytes: 4 * 512 })
}

/** An image whose first sectors are written. */
export async function filledImage(options: CrashOptions, filled: number): Promise<Uint8Array> {
  const { sectors, steps: _steps, hasBacking: _hasBacking, ...create } = options
  const storage = new LoggingStorage()
  await block.createQcow2(storage, { ...create, bytes: sectors * SECTOR })
  const image = await openOver(storage, null)
  await image.write(0, new Uint8Array(filled * SECTOR).fill(251))
  await image.close()
  return storage.content
}

/** Runs random requests on a new image, several at a time, and records what they write to the file. */
export async function recordRun(options: CrashOptions, below: Below): Promise<CrashRun> {
  const { sectors, steps, hasBacking, start: _start, opening, ...create } = options
  const bytes = sectors * SECTOR
  const backing = hasBacking ? new Uint8Array(bytes).fill(0xb5) : null
  const storage = new LoggingStorage(options.start)
  if (options.start === undefined) {
    await block.createQcow2(storage, {
      ...create,
      bytes,
      ...(hasBacking && { backing: { name: 'base', format: 'raw' } }),
    })
  }
  const start = storage.content
  storage.isLogging = true
  const image = await openOver(storage, backing)
  const first = new Uint8Array(bytes)
  await image.read(0, first)
  let allowed: ReadonlySet<number>[] = Array.from({ length: sectors }, (_, i) => new Set([first[i * SECTOR]!]))
  const marks: Mark[] = [{ logLength: 0, allowed }]
  const mark = (): void => void marks.push({ logLength: storage.log.length, allowed })
  /** From now on, sectors may hold this as well. */
  const mayHold = (at: number, count: number, value: number): void => {
    allowed = allowed.map((set, i) => (i >= at && i < at + count ? new Set([...set, value]) : set))
    mark()
  }
  if (opening !== undefined) {
    mayHold(opening.at, opening.count, 252)
    await image.write(opening.at * SECTOR, new Uint8Array(opening.count * SECTOR).fill(252))
  }
  for (let step = 0; step < steps; step++) {
    const at = below(sectors)
    const count = Math.min(sectors - at, 1 + below(below(4) === 0 ? sectors : 8))
    const offset = at * SECTOR
    const length = count * SECTOR
    const what = below(8)
    const value = 1 + below(250)
    if (what < 4) {
      mayHold(at, count, value)
      const write = image.write(offset, new Uint8Array(length).fill(value))
      // A second one at the same time, elsewhere.
      const other = (at + count) % sectors
      const second = 1 + below(250)
      mayHold(other, 1, second)
      await Promise.all([write, image.write(other * SECTOR, new Uint8Array(SECTOR).fill(second))])
    } else if (what === 4) {
      mayHold(at, count, 0)
      await image.writeZeroes(offset, length)
    } else if (what === 5) {
      mayHold(at, count, 0)
      await image.discard(offset, length)
    } else {
      await image.flush()
      const now = new Uint8Array(bytes)
      await image.read(0, now)
      allowed = allowed.map((_, i) => new Set([now[i * SECTOR]!]))
      mark()
    }
  }
  await image.close()
  return { start, log: storage.log, marks, sectors, backing }
}

/**
 * Looks at the image after kills at every moment of a run: after each write to the file, and with any writes since the last
 * flush missing.
 *
 * @param exhaustive - up to this number of sectors between two flushes, all sets of missing ones are looked at
 * @param samples - sets that are looked at where there are more
 * @returns what is wrong; null: nothing
 */
export async function replayKills(
  run: CrashRun,
  below: Below,
  { exhaustive, samples }: { readonly exhaustive: number; readonly samples: number },
  seen: (content: Uint8Array) => Promise<void> | void = () => {},
): Promise<string | null> {
  let base = new LoggingStorage(run.start)
  let units: Unit[] = []
  for (let length = 0; length <= run.log.length; length++) {
    const entry = length === 0 ? undefined : run.log[length - 1]
    if (entry !== undefined && entry !== null) units.push(...unitsOf(entry.offset, entry.bytes))
    const isEnd = entry === null || length === run.log.length
    // All subsets include those of earlier moments, as far as the disk's content goes with them.
    const some = run.log.length > MANY_WRITES && !isEnd && below(run.log.length / MANY_WRITES) > 0
    for (const kept of isEnd ? subsets(units.length, below, exhaustive, samples) : some ? [] : [null]) {
      const storage = new LoggingStorage(base.content)
      units.forEach(({ offset, bytes }, i) => {
        if (kept === null || kept[i] === true) storage.apply(offset, bytes)
      })
      const wrong = await lookAt(storage, run, length)
      if (wrong !== null)
        return `after ${length} of ${run.log.length} writes, kept ${kept?.map(Number).join('') ?? 'all'}: ${wrong}`
      await seen(storage.content)
    }
    if (entry === null) {
      for (const { offset, bytes } of units) base.apply(offset, bytes)
      base = new LoggingStorage(base.content)
      units = []
    }
  }
  return null
}

async function lookAt(storage: LoggingStorage, run: CrashRun, length: number): Promise<string | null> {
  const check = await block.checkQcow2(storage)
  if (check.corruptions > 0) return check.messages.join('; ')
  const image = await openOver(storage, run.backing)
  const content = new Uint8Array(run.sectors * SECTOR)
  await image.read(0, content)
  // The last promise that was made before this moment, and all that was asked for since.
  const index = run.marks.findLastIndex(({ logLength }) => logLength < length || (logLength === 0 && length === 0))
  const { allowed } = run.marks[Math.max(0, index)]!
  for (let sector = 0; sector < run.sectors; sector++) {
    const first = content[sector * SECTOR]!
    let end = sector * SECTOR
    while (end < (sector + 1) * SECTOR && content[end] === first) end++
    if (!allowed[sector]!.has(first) || end < (sector + 1) * SECTOR) {
      return `sector ${sector} holds ${first} and ${content[end]}; allowed are ${[...allowed[sector]!].join(', ')}`
    }
  }
  return null
}

/** Parts of a write that a disk writes whole or not at all. */
function unitsOf(offset: number, bytes: Uint8Array): Unit[] {
  const units: Unit[] = []
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytes.length - done, SECTOR - ((offset + done) % SECTOR))
    units.push({ offset: offset + done, bytes: bytes.subarray(done, done + length) })
    done += length
  }
  return units
}

/** Sets of units that reach the disk: all of them, or samples. */
function* subsets(count: number, below: Below, exhaustive: number, samples: number): Generator<readonly boolean[]> {
  if (count <= exhaustive) {
    for (let mask = 0; mask < 2 ** count; mask++) yield Array.from({ length: count }, (_, i) => ((mask >> i) & 1) === 1)
    return
  }
  for (let sample = 0; sample < samples; sample++) {
    // Few missing, few there, and half of them.
    const [numerator, denominator] = (
      [
        [1, 2],
        [1, 8],
        [7, 8],
      ] as const
    )[sample % 3]!
    yield Array.from({ length: count }, () => below(denominator) < numerator)
  }
  for (let missing = 0; missing < count; missing += Math.ceil(count / samples)) {
    yield Array.from({ length: count }, (_, i) => i !== missing)
  }
}
