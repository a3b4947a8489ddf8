/** Collects the notices that third-party licences require in our bundles. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** File of a package that lists third-party work in it. */
export const NOTICES = 'THIRD-PARTY-NOTICES'

/**
 * Returns the notices of a bundle: our packages' lists of third-party work, and all other packages' licence texts.
 *
 * @param modules - paths of the files in the bundle; other module ids are ignored
 * @throws Error for a third-party package without a licence
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

/** Returns the folder of the package that contains a file. Third-party packages may contain further manifests. */
function packageOf(path: string): string | undefined {
  const others = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0]
  if (others !== undefined) return others
  const parent = dirname(path)
  if (parent === path) return undefined
  return existsSync(join(parent, 'package.json')) ? parent : packageOf(parent)
}
