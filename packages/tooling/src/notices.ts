/** The notices that the licences of others require, where their work is in one of our bundles. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The file of a package that lists the work of others in it. */
export const NOTICES = 'THIRD-PARTY-NOTICES'

/**
 * The notices of a bundle: of packages of ours what they say of others' work in them, of all others the text of their licence.
 *
 * @param modules - paths of the files in the bundle; what is no file is ignored
 * @throws Error for another's package without a licence
 */
export function noticesOf(modules: Iterable<string>): string {
  const files = [...modules]
    .map((id) => id.replace(/[?#].*$/, ''))
    .filter((path) => path.startsWith('/') && existsSync(path))
  const packages = [...new Set(files.map(packageOf))].filter((folder) => folder !== undefined)
  return packages
    .map(noticeOf)
    .filter((notice) => notice !== undefined)
    .toSorted()
    .join('\n')
}

function noticeOf(folder: string): string | undefined {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, string>
  const own = join(folder, NOTICES)
  if (existsSync(own)) return readFileSync(own, 'utf8')
  // Packages of this repository are installed as links, and so lie outside.
  if (!folder.includes('/node_modules/')) return undefined
  const licence = readdirSync(folder).find((file) => /^licen[cs]e(\.|$)/i.test(file))
  if (licence === undefined) throw new Error(`${name} is in the bundle, and has no licence that could be given with it`)
  return `${name} ${version}\n\n${readFileSync(join(folder, licence), 'utf8').trim()}\n`
}

/** The folder of the package that has a file. Folders of others' packages may have manifests of their own. */
function packageOf(path: string): string | undefined {
  const others = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0]
  if (others !== undefined) return others
  const parent = dirname(path)
  if (parent === path) return undefined
  return existsSync(join(parent, 'package.json')) ? parent : packageOf(parent)
}
