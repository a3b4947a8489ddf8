import { statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Those of some programs that are not on the path. */
export function lackingPrograms(...programs: readonly string[]): readonly string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return programs.filter((name) => !folders.some((folder) => statSync(join(folder, name), { throwIfNoEntry: false })))
}
