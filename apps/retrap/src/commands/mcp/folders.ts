import { realpath, stat } from 'node:fs/promises'
import { isAbsolute, join, resolve, sep } from 'node:path'
import { CliError, troubled } from '@retrap/linux-guest/errors'
import { ToolError } from './tool-error.ts'

/** Folders of the host whose files machines may read. Files outside are never opened. */
export class NamedFolders {
  readonly #given: readonly string[]
  readonly #real: readonly string[]

  private constructor(given: readonly string[], real: readonly string[]) {
    this.#given = given
    this.#real = real
  }

  /** @throws CliError `ERR_INPUT` for a folder that does not exist */
  static async open(paths: readonly string[]): Promise<NamedFolders> {
    const real = paths.map(async (path) => {
      const trouble = troubled(`--folder ${path}`)
      const folder = await realpath(path).catch(trouble)
      if (!(await stat(folder).catch(trouble)).isDirectory())
        throw new CliError('ERR_INPUT', `--folder ${path}: it is not a directory`)
      return folder
    })
    return new NamedFolders(
      paths.map((path) => resolve(path)),
      await Promise.all(real),
    )
  }

  /** The folders as named on the command line. */
  get names(): readonly string[] {
    return this.#given
  }

  /**
   * Returns the real path of a regular file: one without symbolic links, which a later open does not leave.
   *
   * @param path - absolute, or below one of the folders
   * @throws ToolError `ERR_PATH`. The error for a file outside does not reveal whether it exists
   */
  async file(argument: string, path: string): Promise<string> {
    if (this.#real.length === 0)
      throw new ToolError('ERR_PATH', `${argument}: the server was started without folders; start it with --folder DIR`)
    for (const candidate of isAbsolute(path) ? [path] : this.#given.map((folder) => join(folder, path))) {
      const real = await realpath(candidate).catch(() => undefined)
      if (real === undefined || !this.#real.some((folder) => isBelow(real, folder))) continue
      const state = await stat(real)
      if (state.isFile()) return real
      throw new ToolError('ERR_PATH', `${argument}: ${path} is no regular file`)
    }
    throw new ToolError('ERR_PATH', `${argument}: no file ${path} in ${this.#given.join(', ')}`)
  }
}

const isBelow = (path: string, folder: string): boolean =>
  path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`)
