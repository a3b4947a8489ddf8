/**
 * The file of a run: a tar archive of `run.json`, the frames' bytes one behind the other in `frames`, blocks of what recordings
 * contain, and for each start of a machine the list of its recording. Source: POSIX.1-2017, pax, "ustar Interchange Format". Bytes of a
 * header that POSIX leaves free have the CRC-32 of the entry's contents.
 */
import { concatenate, crc32 } from '@retrap/basics'
import { DEFAULT_LIMITS, type ImageFile, OciError, readTar, type TarEntry } from '@retrap/oci'
import { RecordingError, RecordingPacker, unpackRecording } from '@retrap/recording'
import * as z from 'zod'
import { GENERATOR } from './draws.ts'
import { ClusterError } from './errors.ts'
import { faultSchema, fieldOf, pathSchema } from './read-description.ts'
import type { ClusterRun, RunFrame } from './run.ts'

/** A file that is read by parts: on a disk, in memory, or of a page. */
export interface RunSource {
  /** Size in bytes. */
  readonly bytes: number
  /** Reads a part. @returns fewer bytes at the end */
  read(offset: number, bytes: number): Uint8Array | Promise<Uint8Array>
}

/** A recording to be written into a run's file. */
export interface RunRecording {
  /** As a start names it. */
  readonly name: string
  /** Its file. */
  readonly source: RunSource
}

const RUN = 'run.json'
const FRAMES = 'frames'
const CONTENTS = 'contents/'
/** Files of version 1 have whole recordings; those before version 3 have no checksums. */
const VERSION = 3
const BLOCK = 512
/** Place of the checksum in a header: 8 digits. */
const CHECKSUM_AT = 500
/** Zeros behind the last entry. */
const END_BYTES = 2 * BLOCK
/** Bytes of a whole recording that are read at once. */
const PIECE = 1 << 20

/**
 * Writes the file of a run. Recordings share what they have in common: each is read to its end before the next one is asked for.
 *
 * @param recordings - those that its starts name
 * @param write - gets the bytes, in order
 * @throws RecordingError for a file that is no recording
 */
export async function writeClusterRun(
  run: ClusterRun,
  recordings: AsyncIterable<RunRecording> | Iterable<RunRecording>,
  write: (bytes: Uint8Array) => unknown,
): Promise<void> {
  const frames = run.frames.map(({ bytes, ...frame }) => ({ ...frame, bytes: bytes.length }))
  const about = new TextEncoder().encode(JSON.stringify({ version: VERSION, ...run, frames }))
  const put = async (name: string, contents: Uint8Array): Promise<void> => void (await write(entryOf(name, contents)))
  await put(RUN, about)
  await put(FRAMES, concatenate(run.frames.map(({ bytes }) => bytes)))
  let blocks = 0
  const packer = new RecordingPacker((block) => put(`${CONTENTS}${blocks++}`, block))
  for await (const { name, source } of recordings) await put(name, await packer.add(source))
  await packer.end()
  await write(new Uint8Array(END_BYTES))
}

/** The file of a run, open. */
export class ClusterRunFile {
  /** The run. */
  readonly run: ClusterRun
  readonly #source: RunSource
  readonly #entries: ReadonlyMap<string, TarEntry>
  readonly #version: number

  private constructor(run: ClusterRun, source: RunSource, entries: ReadonlyMap<string, TarEntry>, version: number) {
    this.run = run
    this.#version = version
    this.#source = source
    this.#entries = entries
  }

  /**
   * Opens a file. It reads all but the recordings, whose checksums are looked at when they are read.
   *
   * @param name - for messages
   * @throws ClusterError `ERR_RUN` for one that is no run's file, is cut short, is damaged, or does not fit
   */
  static async open(source: RunSource, name: string): Promise<ClusterRunFile> {
    const entries = new Map((await entriesOf(source, name)).map((entry) => [entry.path, entry]))
    const read = async (path: string): Promise<Uint8Array> => {
      const entry = entries.get(path)
      if (entry === undefined) throw bad(`${name}: it has no ${path}; it is not the file of a cluster's run`)
      return readEntry(source, entry)
    }
    const { version, ...about } = parsed(await read(RUN), name)
    if (version >= 3) await checkEnd(source, entries, name)
    const lacks = about.machines
      .flatMap(({ starts }) => starts)
      .find(({ recording }) => recording !== undefined && !entries.has(recording))
    if (lacks !== undefined) throw bad(`${name}: it lacks the recording ${lacks.recording}`)
    const bytes = await read(FRAMES)
    let at = 0
    const frames = about.frames.map((frame): RunFrame => ({ ...frame, bytes: bytes.subarray(at, (at += frame.bytes)) }))
    if (at !== bytes.length) throw bad(`${name}: its frames have ${at} bytes, and ${bytes.length} are there`)
    return new ClusterRunFile({ ...about, frames } as unknown as ClusterRun, source, entries, version)
  }

  /** The recording of a start, as a file by itself: its bytes, in order. @throws ClusterError `ERR_RUN` for one that is not there, or damaged */
  async *recording(name: string): AsyncGenerator<Uint8Array> {
    // The recording is an entry of any size.
    if (this.#version === 1) {
      const { offset, size } = this.#entry(name)
      for (let at = 0; at < size; at += PIECE) yield this.#source.read(offset + at, Math.min(PIECE, size - at))
      return
    }
    try {
      yield* unpackRecording(await this.#read(name), (number) => this.#read(`${CONTENTS}${number}`))
    } catch (error) {
      throw error instanceof RecordingError ? bad(`recording ${name}: ${error.message}`) : error
    }
  }

  async #read(path: string): Promise<Uint8Array> {
    return readEntry(this.#source, this.#entry(path))
  }

  #entry(path: string): TarEntry {
    const entry = this.#entries.get(path)
    if (entry === undefined)
      throw bad(path.startsWith(CONTENTS) ? `there is no ${path}` : `there is no recording ${path}`)
    return entry
  }
}

const bad = (why: string): ClusterError => new ClusterError('ERR_RUN', why)

/** Reads an entry. @throws ClusterError `ERR_RUN` for one with a checksum, of which a byte was changed */
async function readEntry(source: RunSource, { path, offset, size }: TarEntry): Promise<Uint8Array> {
  const bytes = await source.read(offset - BLOCK, BLOCK + filling(size) + size)
  const contents = bytes.subarray(BLOCK, BLOCK + size)
  const isChecked = bytes.subarray(CHECKSUM_AT, BLOCK).some((byte) => byte !== 0)
  if (isChecked && crc32(bytes) !== crc32(entryOf(path, contents)))
    throw bad(`the run is damaged: ${path} is not what was written`)
  return contents
}

/** @throws ClusterError `ERR_RUN` */
async function checkEnd(source: RunSource, entries: ReadonlyMap<string, TarEntry>, name: string): Promise<void> {
  const { offset, size } = [...entries.values()].at(-1)!
  const at = offset + size + filling(size)
  const end = await source.read(at, source.bytes - at)
  if (end.length < END_BYTES) throw bad(`${name}: it is cut short: it ends at byte ${source.bytes}`)
  if (end.length > END_BYTES || end.some((byte) => byte !== 0)) throw bad(`${name}: the run is damaged at its end`)
}

/** Lists what an archive holds. @throws ClusterError `ERR_RUN` */
async function entriesOf(source: RunSource, name: string): Promise<readonly TarEntry[]> {
  const file: ImageFile = {
    ...{ name, size: source.bytes, close: () => Promise.resolve() },
    async read(offset, into) {
      const part = await source.read(offset, into.length)
      into.set(part)
      return part.length
    },
  }
  try {
    return await readTar(file, DEFAULT_LIMITS)
  } catch (error) {
    throw error instanceof OciError
      ? new ClusterError('ERR_RUN', `${error.message} (expected the file of a cluster's run)`, { cause: error })
      : error
  }
}

const instant = z.number()
const index = z.int().min(0)
const named = z.looseObject({ name: z.string(), number: index })

/** The parts that readers go by; the description was checked when the run began. */
const schema = z.object({
  version: z.int(),
  seed: index,
  branch: index,
  ...{ failure: z.string().optional(), madeWith: z.string().optional(), file: z.string().optional() },
  ...{ draws: z.literal(GENERATOR).optional(), path: pathSchema.optional(), mended: z.boolean().optional() },
  files: z.record(z.string(), z.string()).optional(),
  ns: instant,
  faultsBegin: instant.optional(),
  description: z.looseObject({
    machines: z.array(named).min(1),
    network: z.looseObject({ latency: instant, links: z.array(z.looseObject({})) }),
    workload: z.looseObject({ on: z.string().optional(), drivers: z.array(z.array(z.string())) }).optional(),
    faults: z.looseObject({ for: instant, heal: instant }),
    limit: instant,
  }),
  faults: z.array(faultSchema),
  machines: z.array(
    z.object({
      ...{ name: z.string(), number: index },
      starts: z.array(
        z.object({
          ...{ ns: instant, until: instant, recording: z.string().optional() },
          offsets: z.array(z.object({ ns: instant, offset: instant })).min(1),
        }),
      ),
    }),
  ),
  events: z.array(
    z.object({
      ns: instant,
      kind: z.enum(['output', 'report', 'ended', 'fault', 'machine', 'phase']),
      machine: z.string().optional(),
      text: z.string(),
    }),
  ),
  frames: z.array(
    z.object({
      ...{ from: index, to: index, sent: instant, arrives: instant.optional(), bytes: index },
      causes: z.array(z.enum(['loss', 'partition', 'off', 'duplicate', 'reorder', 'corrupt'])),
    }),
  ),
})

/** @throws ClusterError `ERR_RUN`, whose sentence names the field */
function parsed(bytes: Uint8Array, name: string): z.infer<typeof schema> {
  let value: { readonly version?: unknown } | null
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch (error) {
    throw new ClusterError('ERR_RUN', `${name}: ${RUN} is damaged: it is not JSON`, { cause: error })
  }
  if (![1, 2, VERSION].includes(value?.version as number))
    throw bad(`${name}: ${RUN} is of version ${String(value?.version)}; this release reads versions 1 to ${VERSION}`)
  const { success, data, error } = schema.safeParse(value)
  if (!success) throw bad(`${name}: ${RUN}: ${fieldOf(error.issues[0]!) || 'the run'}: ${error.issues[0]!.message}`)
  for (const [i, { number }] of data.machines.entries())
    if (number !== i) throw bad(`${name}: ${RUN}: machines[${i}].number: it is ${number}, expected ${i}`)
  for (const [i, { from, to }] of data.frames.entries())
    if (Math.max(from, to) >= data.machines.length)
      throw bad(`${name}: ${RUN}: frames[${i}]: there is no machine ${Math.max(from, to)}`)
  return data
}

/** Zeros behind the contents of an entry. */
const filling = (bytes: number): number => -bytes & (BLOCK - 1)

/** An entry: its header, and its contents. */
function entryOf(name: string, contents: Uint8Array): Uint8Array {
  const bytes = contents.length
  const entry = new Uint8Array(BLOCK + bytes + filling(bytes))
  entry.set(contents, BLOCK)
  const block = entry.subarray(0, BLOCK)
  const text = (at: number, value: string): void => block.set(new TextEncoder().encode(value), at)
  text(0, name)
  text(100, '0000644')
  text(108, '0000000')
  text(116, '0000000')
  // Octal digits have room for 8 GiB; a larger number is binary behind a mark (GNU tar manual, "Basic Tar Format").
  if (bytes < 8 ** 11) text(124, bytes.toString(8).padStart(11, '0'))
  else {
    block[124] = 0x80
    new DataView(block.buffer).setBigUint64(128, BigInt(bytes))
  }
  text(136, '00000000000')
  text(148, ' '.repeat(8))
  text(156, '0')
  text(257, 'ustar\x0000')
  text(CHECKSUM_AT, crc32(contents).toString(16).padStart(8, '0'))
  const sum = block.reduce((total, byte) => total + byte, 0)
  text(148, `${sum.toString(8).padStart(6, '0')}\x00 `)
  return entry
}
