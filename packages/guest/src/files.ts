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
  /** When the file was last written, in seconds since 1970 on the guest's clock. */
  readonly modifiedSeconds: number
}

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
   * @throws GuestError `ERR_GUEST_FILE`, `ERR_GUEST_OUTPUT` and those of `exec`
   */
  async read(path: string, { maxBytes }: { readonly maxBytes?: number } = {}): Promise<Uint8Array> {
    const limit = maxBytes === undefined ? {} : { maxOutputBytes: maxBytes }
    return (await this.#run(`cat <${quotePath(path)}`, limit, `read ${path}`)).stdoutBytes
  }

  /**
   * Writes a file: what it had is replaced, its owner stays.
   *
   * @param options - `mode`: the permission bits, such as 0o755; default those that it has, or those of a new file
   * @throws GuestError `ERR_GUEST_FILE`, `ERR_GUEST_OPTION` and those of `exec`
   */
  async write(path: string, bytes: Uint8Array | string, { mode }: { readonly mode?: number } = {}): Promise<void> {
    if (mode !== undefined && !(Number.isInteger(mode) && mode >= 0 && mode <= 0o7777))
      throw new GuestError('ERR_GUEST_OPTION', `mode ${mode}: expected permission bits, 0 to 0o7777`)
    const quoted = quotePath(path)
    const chmod = mode === undefined ? '' : ` && chmod ${mode.toString(8)} ${quoted}`
    await this.#run(`cat >${quoted}${chmod}`, { stdin: bytes }, `write ${path}`)
  }

  /**
   * Returns the entries of a folder, without `.` and `..`, by name.
   *
   * @throws GuestError `ERR_GUEST_FILE` and those of `exec`
   */
  async list(path: string): Promise<readonly GuestFileEntry[]> {
    // A pattern without a match stays as it is, and there is no such file. A shell that cannot start a program has 126 or 127.
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
    const why = result.stderr.trim().slice(0, 200) || `its shell ends with ${result.exitCode}`
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
