// What the root scripts know about the workspace: where its packages are and what lies in them.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'

/** The top folder of the checkout. */
export const root: string = dirname(import.meta.dirname)

/** The parts of a package.json that the scripts read. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly description?: string
  readonly keywords?: readonly string[]
  readonly homepage?: string
  readonly bugs?: { readonly url?: string }
  readonly license?: string
  readonly repository?: { readonly url?: string; readonly directory?: string }
  readonly files?: readonly string[]
  readonly exports?: Readonly<Record<string, unknown>>
  readonly engines?: { readonly node?: string; readonly bun?: string; readonly deno?: string }
  readonly publishConfig?: { readonly access?: string; readonly exports?: Readonly<Record<string, unknown>> }
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

/** One workspace package: its folder (absolute), its folder relative to the root, and its manifest. */
export interface Member {
  readonly folder: string
  readonly path: string
  readonly manifest: Manifest
}

function order(path: string): number {
  return ['packages', 'apps'].indexOf(path.split('/')[0] as string)
}

/** All workspace packages: what is in `packages`, then programs, each in alphabetical order. */
export function members(): Member[] {
  return globSync(['packages/*/package.json', 'apps/*/package.json'], { cwd: root })
    .map((file) => file.replaceAll('\\', '/'))
    .sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1))
    .map((file) => ({
      folder: join(root, dirname(file)),
      path: dirname(file),
      manifest: JSON.parse(readFileSync(join(root, file), 'utf8')) as Manifest,
    }))
}

/** Sorts packages so that each comes after all that it depends on. */
export function inOrder(all: readonly Member[]): Member[] {
  const sorted: Member[] = []
  const add = (member: Member): void => {
    if (sorted.includes(member)) return
    for (const name of Object.keys(member.manifest.dependencies ?? {})) {
      const needed = all.find(({ manifest }) => manifest.name === name)
      if (needed !== undefined) add(needed)
    }
    sorted.push(member)
  }
  for (const member of all) add(member)
  return sorted
}

/** Files of all packages that match `pattern` (relative to a package), keyed by base name without `suffix`. */
export function programs(pattern: string, suffix: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const member of members()) {
    for (const file of globSync(pattern, { cwd: member.folder }).sort()) {
      const name = basename(file, suffix)
      const path = join(member.folder, file)
      const other = found.get(name)
      if (other !== undefined)
        throw new Error(`${relative(root, path)} and ${relative(root, other)} have the same name`)
      found.set(name, path)
    }
  }
  return found
}

/** Looks `name` up among `found`; prints what there is and ends with exit code 2 when it is missing or unknown. */
export function choose(kind: string, found: ReadonlyMap<string, string>, name: string | undefined): string {
  const path = name === undefined ? undefined : found.get(name)
  if (path !== undefined) return path
  const names = [...found.keys()].sort().join(', ') || 'none yet'
  console.error(name === undefined ? `usage: npm run -s ${kind} -- NAME` : `there is no ${kind} named ${name}`)
  console.error(`${kind} names: ${names}`)
  process.exit(2)
}

/** True if the folder or file exists. */
export function has(...parts: string[]): boolean {
  return existsSync(join(...parts))
}

/** The pnpm to use: devEngines names the least that will do, and that one is pinned. */
export function pnpmVersion(): string {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    devEngines: { packageManager: { version: string } }
  }
  return manifest.devEngines.packageManager.version.replace('^', '')
}
