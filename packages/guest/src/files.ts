import { GuestError } from './errors.ts'
import type { ExecOptions, ExecResult } from './command.ts'

/** The kind of file that a path in a guest names. */
export type GuestFileType = 'file' | 'directory' | 'symlink' | 'character-device' | 'block-device' | 'fifo' | 'socket'

/** An entry of a folder of the guest. */
export interface GuestFileEntry {
  /** Name in the folder. */
  readonly name: string
  /** The kind of file; a symbolic link is not followed. */
  readonly type: GuestFileType
  /** Size in bytes. */
  readonly sizeBytes: number
  /** Permission bits, such as 0o644. */
  readonly mode: number
  /** Time of the last write to the file, in seconds since 1970 on the guest's clock. */
  readonly modifiedSeconds: number
}

/** The contents of a file by parts of any size: an async iterable, such as Node's streams, or a `ReadableStream` of the web. */
export type GuestFileSource =
  | AsyncIterable<Uint8Array>
  | {
      getReader(): {
        read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
        cancel(reason?: unknown): Promise<void>
      }
    }

/** Bytes of one part of a file: each part is a separate command, and one request on a fast port. */
const PART_BYTES = 1 << 20
/** Room for `dd`'s report on a part. */
const SAID_BYTES = 4096

/** S_IFMT of a mode, in 4096. Source: inode(7). */
const TYPES: Readonly<Record<number, GuestFileType>> = {
  1: 'fifo',
  2: 'character-device',
  4: 'directory',
  6: 'block-device',
  8: 'file',
  10: 'symlink',
  12: 'socket',
}

/** Files of the guest, by commands of its shell. Paths are absolute, or in the folder that the agent was started in. */
export class GuestFiles {
  readonly #exec: (command: string, options: ExecOptions) => Promise<ExecResult>

  /** @param exec - runs a command in the guest */
  constructor(exec: (command: string, options: ExecOptions) => Promise<ExecResult>) {
    this.#exec = exec
  }

  /**
   * Returns the bytes of a file.
   *
   * @param options - `maxBytes`: the most that is read; default the output limit of the connection
   * @throws GuestError `ERR_GUEST_FILE`, `ERR_GUEST_OUTPUT` and errors of `exec`
   */
  async read(path: string, { maxBytes }: { readonly maxBytes?: number } = {}): Promise<Uint8Array> {
    const limit = maxBytes === undefined ? {} : { maxOutputBytes: maxBytes }
    return (await this.#run(`cat <${quotePath(path)}`, limit, `read ${path}`)).stdoutBytes
  }

  /**
   * Reads a file or a block device of any size: parts of 1 MiB, each read when it is asked for, and a shorter one at the end. Writes
   * that are made meanwhile may be in it in part.
   *
   * @throws GuestError as {@link GuestFiles.read}, from the iteration
   */
  async *readParts(path: string): AsyncGenerator<Uint8Array, void> {
    const quoted = quotePath(path)
    for (let at = 0; ; at++) {
      const part = `dd bs=${PART_BYTES} skip=${at} count=1 iflag=fullblock <${quoted}`
      const { stdoutBytes } = await this.#run(part, { maxOutputBytes: PART_BYTES + SAID_BYTES }, `read ${path}`)
      if (stdoutBytes.length > 0) yield stdoutBytes
      if (stdoutBytes.length < PART_BYTES) return
    }
  }

  /**
   * Writes a file: its old content is replaced, its owner stays. A source may be of any size: host and guest have a part of 1 MiB
   * of it at a time. After an error the file has the bytes written so far.
   *
   * @param options - `mode`: permission bits, such as 0o755; default unchanged, or a new file's default
   * @throws GuestError `ERR_GUEST_FILE`, `ERR_GUEST_OPTION` and errors of `exec`; errors of the source
   */
  async write(
    path: string,
    data: Uint8Array | string | GuestFileSource,
    { mode }: { readonly mode?: number } = {},
  ): Promise<void> {
    if (mode !== undefined && !(Number.isInteger(mode) && mode >= 0 && mode <= 0o7777))
      throw new GuestError('ERR_GUEST_OPTION', `mode ${mode}: expected permission bits, 0 to 0o7777`)
    const quoted = quotePath(path)
    const chmod = mode === undefined ? '' : ` && chmod ${mode.toString(8)} ${quoted}`
    // Appending to a block device would write to its beginning.
    const further = (at: number): string =>
      `if [ -b ${quoted} ]; then dd bs=${PART_BYTES} seek=${at} conv=notrunc of=${quoted}; else cat >>${quoted}; fi`
    let at = 0
    for await (const { stdin, isLast } of partsOf(data)) {
      const command = at === 0 ? `cat >${quoted}` : further(at)
      await this.#run(command + (isLast ? chmod : ''), { stdin }, `write ${path}`)
      at++
    }
  }

  /**
   * Returns the entries of a folder, without `.` and `..`, by name.
   *
   * @throws GuestError `ERR_GUEST_FILE` and errors of `exec`
   */
  async list(path: string): Promise<readonly GuestFileEntry[]> {
    // A pattern without a match stays literal, and names no file. A shell that cannot start a program exits with 126 or 127.
    const script = `cd ${quotePath(path)} && { stat -c '%f %s %Y %n' -- * .[!.]* ..?* 2>/dev/null; [ $? -lt 126 ]; }`
    const { stdout } = await this.#run(script, {}, `list ${path}`)
    const entries = stdout.matchAll(/^([\da-f]{1,8}) (\d{1,15}) (-?\d{1,15}) (.+)$/gm)
    return Array.from(entries, ([, mode = '', size, modified, name = '']) =>
      entryOf(mode, Number(size), Number(modified), name),
    ).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async #run(command: string, options: ExecOptions, what: string): Promise<ExecResult> {
    const result = await this.#exec(command, options)
    if (result.exitCode === 0) return result
    // A failed `dd` also reports its progress.
    const said = result.stderr.replace(/^\d+\+\d+ records [^]*/m, '')
    const why = said.trim().slice(0, 200) || `its shell ends with ${result.exitCode}`
    throw new GuestError('ERR_GUEST_FILE', `the guest cannot ${what}: ${why}`)
  }
}

function entryOf(hex: string, sizeBytes: number, modifiedSeconds: number, name: string): GuestFileEntry {
  const mode = parseInt(hex, 16)
  return { name, type: TYPES[mode >>> 12] ?? 'file', sizeBytes, mode: mode & 0o7777, modifiedSeconds }
}

/** Returns a path as a word of a shell that is no option and no name of its own. @throws GuestError `ERR_GUEST_OPTION` */
function quotePath(path: string): string {
  if (path === '' || path.includes('\0'))
    throw new GuestError('ERR_GUEST_OPTION', `a path '${path}': expected at least one character, and none of code 0`)
  const whole = path.startsWith('/') ? path : `./${path}`
  return `'${whole.replaceAll("'", `'\\''`)}'`
}

/** Yields a file's new content in parts, at least one, valid until the next. @throws GuestError `ERR_GUEST_OPTION` */
async function* partsOf(
  data: Uint8Array | string | GuestFileSource,
): AsyncGenerator<{ readonly stdin: Uint8Array | string; readonly isLast: boolean }, void> {
  if (typeof data === 'string' || data instanceof Uint8Array) return yield { stdin: data, isLast: true }
  const part = new Uint8Array(PART_BYTES)
  let length = 0
  for await (const bytes of Symbol.asyncIterator in data ? data : chunksOf(data)) {
    if (!(bytes instanceof Uint8Array))
      throw new GuestError('ERR_GUEST_OPTION', `a source gives ${typeof bytes}: expected Uint8Array`)
    for (let at = 0; at < bytes.length;) {
      if (length === PART_BYTES) {
        yield { stdin: part, isLast: false }
        length = 0
      }
      const taken = bytes.subarray(at, at + PART_BYTES - length)
      part.set(taken, length)
      length += taken.length
      at += taken.length
    }
  }
  yield { stdin: part.subarray(0, length), isLast: true }
}

/** Iterates over a `ReadableStream`: Safari's is not iterable before version 26. */
async function* chunksOf(
  stream: Exclude<GuestFileSource, AsyncIterable<Uint8Array>>,
): AsyncGenerator<Uint8Array, void> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      if (value !== undefined) yield value
    }
  } finally {
    // Has no effect on a stream that has ended.
    await reader.cancel()
  }
}
