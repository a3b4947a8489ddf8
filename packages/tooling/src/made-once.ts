import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { inject } from 'vitest'
import './run-folder.ts'

/**
 * Files that take long to make, and that several test files of a run use: the first that asks makes them. The package's
 * vitest.config.ts is `withMadeOnce`.
 *
 * @param name - of the files, in this run
 * @param make - gives contents by path; paths have `/`
 * @returns a map of paths, with the folder's files made first
 */
export async function madeOnce(
  name: string,
  make: () => Promise<ReadonlyMap<string, string | Uint8Array>>,
): Promise<Map<string, Uint8Array>> {
  const folder = join(inject('runFolder'), name)
  if (!existsSync(folder)) {
    const files = await make()
    const scratch = mkdtempSync(`${folder}-`)
    for (const [path, content] of files) {
      const file = join(scratch, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, content)
    }
    try {
      renameSync(scratch, folder)
    } catch (error) {
      // Another worker may have made the files meanwhile.
      if (!existsSync(folder)) throw error
    }
  }
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = found.map((entry) => join(entry.parentPath, entry.name))
  return new Map(paths.map((path) => [relative(folder, path).replaceAll('\\', '/'), readFileSync(path)]))
}
