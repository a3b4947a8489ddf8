// What a package's manifest must say before the package can be published. publint sees one tarball at a time; these are
// the rules that hold for all of them. Beside them: each package is tested on Windows, or named there with why it is not.
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { checkUmbrella } from './umbrella.ts'
import { type Manifest, type Member, root } from './workspace.ts'

const CI = '.github/workflows/ci.yml'

const REPOSITORY = 'https://github.com/retrap/retrap'

/** Node versions that the packages support; the release rehearsal runs the oldest of each line. */
export const NODE_RANGE = '>=22.12'
/** Of the other runtimes: the lines that the soak `runtimes` has shown to do the same. */
const [BUN_RANGE, DENO_RANGE] = ['>=1.4', '>=2.9']

/** Returns one line per field of a published package's manifest that is absent or differs from what is expected. */
export function checkManifests(all: readonly Member[]): string[] {
  const tooling = new Set(all.filter(({ manifest }) => manifest.private === true).map(({ manifest }) => manifest.name))
  const published = all.filter(({ manifest }) => manifest.private !== true)
  return published
    .flatMap(({ path, manifest }) => [
      ...fields(path, manifest).map(([field, found, expected]) =>
        found === expected ? '' : `${path}/package.json: ${field} is ${JSON.stringify(found)}; expected "${expected}"`,
      ),
      ...lists(manifest).map((problem) => (problem === '' ? '' : `${path}/package.json: ${problem}`)),
      ...ranges(manifest, tooling).map((problem) => `${path}/package.json: ${problem}`),
      ...privateTypes(path, tooling),
    ])
    .filter((problem) => problem !== '')
    .concat(checkUmbrella(all), checkWindows(all, readFileSync(join(root, CI), 'utf8')))
}

/** Private packages whose types a package publishes, by its API reports: who installs the package does not have them. */
const privateTypes = (path: string, tooling: ReadonlySet<string>): string[] =>
  globSync(`${path}/etc/*.api.md`, { cwd: root }).flatMap((report) =>
    [...readFileSync(join(root, report), 'utf8').matchAll(/^import .* from '(@[^/]+\/[^/']+)/gm)]
      .filter(([, name = '']) => tooling.has(name))
      .map(([, name]) => `${report}: it has types of ${name}, which is not published`),
  )

/**
 * Returns one line per package that the workflow neither tests on Windows nor names with a reason, or does both of, and per name
 * without a package.
 */
export function checkWindows(all: readonly Member[], workflow: string): string[] {
  const [, job = ''] = /^ {2}windows:\n((?: {3,}.*\n|\n)*)/m.exec(workflow) ?? []
  const words = (text: string): string[] => text.trim().split(/\s+/)
  const tested = words(/npm test -- ([\w\s-]*?)\n\s*(?:\n|$|- )/.exec(`${job}\n`)?.[1] ?? '')
  const leftOut = [...job.matchAll(/^ *# - ([\w -]+): \S/gm)].flatMap(([, names = '']) => words(names))
  const names = new Set(all.map(({ path }) => basename(path)))
  return [
    ...[...names]
      .filter((name) => tested.includes(name) === leftOut.includes(name))
      .map((name) => `${name}: expected among those that are tested on Windows, or among those that are not, and why`),
    ...[...tested, ...leftOut].filter((name) => !names.has(name)).map((name) => `there is no package ${name}`),
  ].map((problem) => `${CI}: ${problem}`)
}

type Field = readonly [field: string, found: string | undefined, expected: string]

function fields(path: string, manifest: Manifest): Field[] {
  return [
    ['license', manifest.license, 'MIT'],
    ['homepage', manifest.homepage, `${REPOSITORY}/tree/main/${path}#readme`],
    ['bugs.url', manifest.bugs?.url, `${REPOSITORY}/issues`],
    ['repository.url', manifest.repository?.url, `git+${REPOSITORY}.git`],
    ['repository.directory', manifest.repository?.directory, path],
    ['engines.node', manifest.engines?.node, NODE_RANGE],
    ['engines.bun', manifest.engines?.bun, BUN_RANGE],
    ['engines.deno', manifest.engines?.deno, DENO_RANGE],
    ['publishConfig.access', manifest.publishConfig?.access, 'public'],
    ['scripts.prepack', manifest.scripts?.['prepack'], 'node ../../.scripts/go.mjs prepack'],
  ]
}

function lists(manifest: Manifest): string[] {
  const files = manifest.files ?? []
  const isLibrary = manifest.exports?.['.'] !== undefined
  const wanted = ['dist', 'src', 'CHANGELOG.md', ...(isLibrary ? ['examples'] : ['!dist/**/*.d.ts'])]
  return [
    (manifest.keywords?.length ?? 0) >= 3 ? '' : 'expected three keywords or more',
    (manifest.description?.length ?? 0) >= 20 ? '' : 'expected a description of 20 characters or more',
    ...wanted.map((entry) => (files.includes(entry) ? '' : `files: expected "${entry}"`)),
  ]
}

/** An exact range makes two copies of a package when one of its users is published alone. */
function ranges(manifest: Manifest, tooling: ReadonlySet<string>): string[] {
  const problems: string[] = []
  for (const kind of ['dependencies', 'peerDependencies', 'devDependencies'] as const) {
    for (const [name, range] of Object.entries(manifest[kind] ?? {})) {
      if (tooling.has(name)) {
        if (kind !== 'devDependencies') problems.push(`${kind}: ${name} is private; a published package cannot need it`)
      } else if (name.startsWith('@retrap/') && range !== 'workspace:^')
        problems.push(`${kind}: ${name} is "${range}"; expected "workspace:^"`)
    }
  }
  return problems
}
