// The package `retrap` has every published package under its own name: `retrap/machine` is `@retrap/machine`, and
// `retrap/machine/arm` is `@retrap/machine/arm`. Its manifest lists them; its build writes the modules.
//
// node .scripts/umbrella.ts writes them into the manifest, with the dependencies that they need.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { API, NAME, packageOf } from '../apps/retrap/build/api.ts'
import { type Manifest, type Member, members } from './workspace.ts'

type Exports = Readonly<Record<string, unknown>>

/** The entry points that stay out: pages load `standalone` by its address, without a bundler that could resolve a name. */
const LEFT_OUT: ReadonlySet<string> = new Set(['./standalone', './package.json'])

/** What the manifest of `retrap` should have. @returns exports by subpath, and the packages that they come from */
export function expected(all: readonly Member[]): { exports: Exports; dependencies: readonly string[] } {
  const parts = all.filter(({ path, manifest }) => path.startsWith('packages/') && manifest.private !== true)
  const subpaths = parts.flatMap(({ manifest }) =>
    Object.keys(manifest.publishConfig?.exports ?? manifest.exports ?? {})
      .filter((entry) => !LEFT_OUT.has(entry) && !entry.endsWith('.json'))
      .map((entry) => entry.replace('.', manifest.name.replace(NAME, '.'))),
  )
  const files = (subpath: string): object => ({
    types: subpath.replace('.', `./${API}`) + '.d.ts',
    default: subpath.replace('.', `./${API}`) + '.js',
  })
  return {
    exports: Object.fromEntries(subpaths.sort().map((subpath) => [subpath, files(subpath)])),
    dependencies: parts.map(({ manifest }) => manifest.name).sort(),
  }
}

/** Returns one line per subpath or dependency that `retrap` lacks, or has without a package. */
export function checkUmbrella(all: readonly Member[]): string[] {
  const { manifest } = umbrella(all)
  const { exports, dependencies } = expected(all)
  const has = Object.fromEntries(Object.entries(manifest.exports ?? {}).filter(([, target]) => packageOf(target)))
  const subpaths = [...new Set([...Object.keys(exports), ...Object.keys(has)])]
  const problems = [
    ...subpaths
      .filter((subpath) => JSON.stringify(has[subpath]) !== JSON.stringify(exports[subpath]))
      .map((subpath) => `exports["${subpath}"] is ${JSON.stringify(has[subpath])}`),
    ...dependencies
      .filter((name) => manifest.dependencies?.[name] === undefined)
      .map((name) => `dependencies lacks ${name}`),
  ].map((problem) => `apps/retrap/package.json: ${problem}`)
  return problems.length > 0 ? [...problems, 'node .scripts/umbrella.ts writes both from the other manifests'] : []
}

function umbrella(all: readonly Member[]): Member {
  return all.find(({ manifest }) => manifest.name === 'retrap') as Member
}

function update(all: readonly Member[]): void {
  const file = join(umbrella(all).folder, 'package.json')
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest & {
    exports: Exports
    dependencies: Record<string, string>
    devDependencies: Record<string, string>
  }
  const { exports, dependencies } = expected(all)
  const own = Object.entries(manifest.exports).filter(([, target]) => !packageOf(target))
  const needed = Object.fromEntries(dependencies.map((name) => [name, 'workspace:^']))
  const sorted = Object.entries({ ...manifest.dependencies, ...needed }).sort(([a], [b]) => (a < b ? -1 : 1))
  for (const name of dependencies) delete manifest.devDependencies[name]
  const next = {
    ...manifest,
    exports: { ...exports, ...Object.fromEntries(own) },
    dependencies: Object.fromEntries(sorted),
  }
  writeFileSync(file, `${JSON.stringify(next, null, 2)}\n`)
}

if (import.meta.main) update(members())
