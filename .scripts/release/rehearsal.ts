// A release, rehearsed from the first command to its users: a copy of the checkout is versioned and built; a person claims its
// names in a registry on the loopback, and a workflow publishes to it by its identity alone; every package is installed by itself with npm and pnpm in an empty folder, type-checked,
// and its README's program is run; all of them together are bundled and measured; and one is upgraded alone.
//
// The short form, for the gate, has the workflow publish the versions as they stand, to names that are claimed: the gate has built and checked just these files,
// so turbo's cache has them. It installs a part of the packages by themselves, which changes with the commit; all of them
// each night. It leaves out npm for single packages, which is less strict than pnpm about what a manifest lacks, and all
// that is not about one package's contents: versions, old compilers, the upgrade.
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { transform } from 'esbuild'
import { type Member, inOrder, root } from '../workspace.ts'
import { bundleProblems } from './bundles.ts'
import { type NodeVersion, provideNodes } from './nodes.ts'
import { inPairs, noOtherHost, problemOf, run, strangerEnvironment } from './processes.ts'
import { firstSteps, imported, printed } from './readme.ts'
import { type Registry, startRegistry } from './registry.ts'
import { CLAIMS, hasTerminals, rehearseClaim } from './rehearse-claim.ts'
import { billOfMaterials } from './sbom.ts'
import { commit, git, stageCheckout } from './stage.ts'

/** Everything, or what the gate runs each time. */
export type Extent = 'whole' | 'short'

/** The short form installs one of so many packages by itself. */
const PARTS = 6

/** As turbo.json says; a copy of the same files finds there what the gate has built. */
const TURBO_CACHE = 'node_modules/.cache/turbo'

interface Rehearsal {
  readonly published: readonly Member[]
  readonly registry: Registry
  readonly nodes: readonly NodeVersion[]
  /** The folder of everything that the rehearsal writes. */
  readonly folder: string
  /** The copy of the checkout. */
  readonly copy: string
  readonly extent: Extent
  readonly env: Readonly<Record<string, string>>
}

/**
 * Rehearses a release of all packages. Prints the sizes of bundles. Returns one line per problem.
 *
 * @param slice - which packages the short form installs by themselves: one of {@link PARTS}
 */
export async function rehearse(all: readonly Member[], extent: Extent, slice = 0): Promise<string[]> {
  const { nodes, absent } = provideNodes()
  for (const line of absent) console.log(`       skipped: ${line}`)
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'retrap-rehearsal-'))
  const registry = await startRegistry()
  try {
    // The registry of those who install.
    writeFileSync(join(folder, 'stranger.npmrc'), `registry=${registry.url}\n`)
    const published = inOrder(all.filter(({ manifest }) => manifest.private !== true))
    const env = strangerEnvironment(folder, join(folder, 'stranger.npmrc'))
    const rehearsal: Rehearsal = { published, registry, nodes, folder, copy: join(folder, 'retrap'), extent, env }
    const stopped = await publishAll(rehearsal)
    if (stopped.length > 0) return stopped
    for (const name of foreignPackages(published)) registry.addFolder(name)
    return [
      ...(await inPairs(
        extent === 'whole'
          ? published.flatMap((member) => [
              () => alone(rehearsal, member, 'npm'),
              () => alone(rehearsal, member, 'pnpm'),
            ])
          : published
              .filter((_, i) => (i + slice) % PARTS === 0)
              .map((member) => () => alone(rehearsal, member, 'pnpm')),
      )),
      ...(await together(rehearsal)),
      ...(extent === 'whole' ? await bill(rehearsal) : []),
      ...(extent === 'whole' ? await upgradeOne(rehearsal) : []),
      ...registry.refused.map((request) => `the registry could not answer ${request}`),
    ]
  } finally {
    await registry.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The root script, in the copy, as the workflow calls it: it has no login, and GitHub says what it is. */
async function release(rehearsal: Rehearsal, action: string): Promise<string[]> {
  const { copy, registry, folder, extent } = rehearsal
  const args = [join(copy, '.scripts/go.mjs'), 'release', action]
  if (action === 'publish') args.push('--registry', registry.url)
  // pnpm and the packages of the workspace come from the caches that installed this checkout.
  const env = {
    ...noOtherHost,
    ...registry.workflow(CLAIMS),
    npm_config_userconfig: join(folder, 'workflow.npmrc'),
    npm_config_prefer_offline: 'true',
    ...(extent === 'short' ? { TURBO_CACHE_DIR: join(root, TURBO_CACHE) } : {}),
  }
  return problemOf(`npm run release -- ${action}`, await run(process.execPath, args, copy, env, 600_000))
}

async function publishAll(rehearsal: Rehearsal): Promise<string[]> {
  const { copy, published, registry, extent } = rehearsal
  stageCheckout(copy)
  // What was never released has no version to publish.
  const isNew = published.some(({ manifest }) => manifest.version === '0.0.0')
  if (extent === 'short' && !isNew) withoutNotes(copy)
  else if (isNew || notesOf(copy).length > 0) {
    const problems = await release(rehearsal, 'version')
    if (problems.length > 0) return problems
    commit(copy, 'Versions')
  }
  const versions = published.map((member) => `${member.manifest.name}@${versionOf(rehearsal, member)}`)
  const isClaimed = extent === 'whole' && hasTerminals()
  const early = isClaimed ? await release(rehearsal, 'publish') : []
  const claimed = isClaimed ? await rehearseClaim(rehearsal, versions, early) : reserveAll(rehearsal)
  const problems = claimed.length > 0 ? claimed : await release(rehearsal, 'publish')
  if (problems.length > 0) return problems
  const tags = git(copy, 'tag').split('\n')
  return [
    ...versions.filter((name) => !registry.published.includes(name)).map((name) => `${name} was not published`),
    ...versions.filter((name) => !tags.includes(name)).map((name) => `there is no git tag ${name}`),
    ...outOfOrder(rehearsal),
  ]
}

/** Has the names without their claim. */
function reserveAll({ published, registry, extent }: Rehearsal): [] {
  if (extent === 'whole') console.log('       skipped: the claim, which needs a terminal from `script` of util-linux')
  registry.createOrganisation('retrap')
  for (const { manifest } of published) registry.reserve(manifest.name, CLAIMS)
  return []
}

/** Nothing with notes is published; the short form tries no versions. */
function withoutNotes(copy: string): void {
  const notes = notesOf(copy)
  for (const note of notes) rmSync(join(copy, note))
  if (notes.length > 0) commit(copy, 'No notes')
}

function notesOf(copy: string): string[] {
  return globSync('.changeset/*.md', { cwd: copy }).filter((file) => basename(file) !== 'README.md')
}

function versionOf({ copy }: Rehearsal, { path }: Member): string {
  return (JSON.parse(readFileSync(join(copy, path, 'package.json'), 'utf8')) as { version: string }).version
}

/** A package that is published before one that it depends on cannot be installed for a moment. */
function outOfOrder({ published, registry }: Rehearsal): string[] {
  const order = registry.published.map((name) => name.replace(/@[^@]*$/, ''))
  return published.flatMap(({ manifest }) =>
    Object.keys(manifest.dependencies ?? {})
      .filter((name) => order.indexOf(name) > order.indexOf(manifest.name))
      .map((name) => `${manifest.name} was published before ${name}, which it depends on`),
  )
}

/** The installed folders of all packages of others that the published ones need. */
function foreignPackages(published: readonly Member[]): Set<string> {
  const found = new Set<string>()
  const add = (folder: string): void => {
    const real = realpathSync(folder)
    if (found.has(real)) return
    found.add(real)
    const { name, dependencies } = JSON.parse(readFileSync(join(real, 'package.json'), 'utf8')) as {
      name: string
      dependencies?: Record<string, string>
    }
    // pnpm puts the dependencies of a package beside it.
    const modules = name.startsWith('@') ? dirname(dirname(real)) : dirname(real)
    for (const needed of Object.keys(dependencies ?? {})) add(join(modules, needed))
  }
  for (const { folder, manifest } of published) {
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      if (!name.startsWith('@retrap/')) add(join(folder, 'node_modules', name))
    }
  }
  return found
}

type Client = 'npm' | 'pnpm'

/** Makes an empty project and installs packages in it. */
async function project(
  rehearsal: Rehearsal,
  name: string,
  client: Client,
  packages: readonly string[],
): Promise<[string, string[]]> {
  const folder = join(rehearsal.folder, 'projects', client, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  const args = client === 'npm' ? ['install', '--no-audit', '--silent', ...packages] : ['add', ...packages]
  const ended = await run(client, args, folder, rehearsal.env)
  return [folder, problemOf(`${client} ${args.join(' ')}`, ended)]
}

/** One package, installed as its README says, with its program. */
async function alone(rehearsal: Rehearsal, member: Member, client: Client): Promise<string[]> {
  const { name } = member.manifest
  if (member.path.startsWith('apps/')) return command(rehearsal, member, client)
  const { install, program, output } = firstSteps(member)
  const packages = install ?? [...new Set([name, ...imported(program ?? '')])]
  const [folder, problems] = await project(rehearsal, name.replace('@retrap/', ''), client, packages)
  if (problems.length > 0 || program === undefined) return problems
  writeFileSync(join(folder, 'program.ts'), program)
  // The oldest Node does not run TypeScript, and does not know `using`.
  const { code } = await transform(program, { loader: 'ts', target: 'node22' })
  writeFileSync(join(folder, 'program.js'), code)
  if (client === 'pnpm') return runProgram(name, folder, output, rehearsal.nodes.slice(-1))
  return [
    ...copies(name, folder),
    ...(await runProgram(name, folder, output, rehearsal.nodes)),
    ...(await typeCheck(name, folder, 'program.ts', ['typescript'], 'both')),
  ]
}

/** Two copies of a package are two sets of classes, and twice the memory. */
function copies(name: string, folder: string): string[] {
  const found = globSync('**/node_modules/@retrap/*/package.json', { cwd: folder })
  const names = found.map((file) => file.replace(/^.*node_modules\//, ''))
  return names
    .filter((file, i) => names.indexOf(file) !== i)
    .map((file) => `${name}: two copies of ${file} are installed`)
}

async function runProgram(
  name: string,
  folder: string,
  output: string | undefined,
  nodes: readonly NodeVersion[],
): Promise<string[]> {
  const problems: string[] = []
  for (const { version, executable } of nodes) {
    const ended = await run(executable, ['program.js'], folder, { NODE_OPTIONS: '', ...noOtherHost }, 60_000)
    const what = `${name}: README.md's first program, or what imports all of it, under Node ${version}`
    if (ended.failed) problems.push(...problemOf(what, ended))
    else if (output !== undefined && printed(ended.stdout) !== output)
      problems.push(`${what} prints\n${ended.stdout}\nand promises\n${output}`)
  }
  return problems
}

const RESOLUTIONS = [
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'esnext', moduleResolution: 'bundler' },
]

/** What a program may count on: Node's types, a browser's, or both. */
const HOSTS = {
  node: { lib: ['es2024'], types: ['node'] },
  browser: { lib: ['es2024', 'dom'], types: [] },
  both: { lib: ['es2024', 'dom'], types: ['node'] },
}

/** Type-checks a file with every check on, those of declaration files too. */
async function typeCheck(
  name: string,
  folder: string,
  file: string,
  compilers: readonly string[],
  host: keyof typeof HOSTS,
): Promise<string[]> {
  const types = join(folder, 'node_modules/@types')
  mkdirSync(types, { recursive: true })
  if (!existsSync(join(types, 'node')))
    symlinkSync(join(root, 'node_modules/@types/node'), join(types, 'node'), 'junction')
  const problems: string[] = []
  for (const resolution of RESOLUTIONS) {
    const compilerOptions = {
      ...HOSTS[host],
      ...resolution,
      strict: true,
      target: 'es2024',
      noEmit: true,
      skipLibCheck: false,
    }
    const config = `tsconfig.${host}.${resolution.moduleResolution}.json`
    writeFileSync(join(folder, config), JSON.stringify({ compilerOptions, files: [file] }))
    for (const compiler of compilers) {
      const tsc = join(root, 'node_modules', compiler, 'bin/tsc')
      const what = `${name}: ${compiler} with ${config}`
      problems.push(...problemOf(what, await run(process.execPath, [tsc, '-p', config], folder)))
    }
  }
  return problems
}

/** A program that uses every package by the name that it has in `retrap`. */
function umbrella({ exports = {} }: Member['manifest']): string {
  const subpaths = Object.keys(exports).filter(
    // The one that needs vitest, which only its users install; and files.
    (subpath) => !subpath.endsWith('/vitest') && !subpath.endsWith('.json'),
  )
  const uses = subpaths.map((subpath, i) => {
    const name = subpath.replace('.', 'retrap')
    return `import * as p${i} from '${name}'\nif (Object.keys(p${i}).length === 0) throw new Error('${name} exports nothing')`
  })
  return `${uses.join('\n')}\n`
}

/**
 * The command, installed by itself, boots its guest, with the interpreter that it brings; the guest powers off when its input ends.
 * What it brings can be imported under its name.
 */
async function command(rehearsal: Rehearsal, { manifest }: Member, client: Client): Promise<string[]> {
  const [folder, problems] = await project(rehearsal, manifest.name, client, [manifest.name])
  if (problems.length > 0) return problems
  const main = join(folder, 'node_modules/retrap/dist/main.js')
  const interpreters = [join(folder, 'node_modules/retrap/dist/interpreters-process.js'), 'check']
  const program = umbrella(manifest)
  writeFileSync(join(folder, 'program.js'), program)
  writeFileSync(join(folder, 'program.ts'), program)
  problems.push(...(await typeCheck('retrap/…', folder, 'program.ts', ['typescript'], 'both')))
  problems.push(
    ...(await runProgram(
      'retrap/…',
      folder,
      undefined,
      client === 'npm' ? rehearsal.nodes : rehearsal.nodes.slice(-1),
    )),
  )
  for (const { version, executable } of client === 'npm' ? rehearsal.nodes : rehearsal.nodes.slice(-1)) {
    const what = `retrap under Node ${version}`
    problems.push(...problemOf(`${what}: --version`, await run(executable, [main, '--version'], folder)))
    problems.push(...problemOf(`${what}: its interpreters`, await run(executable, interpreters, folder)))
    problems.push(...problemOf(what, await run(executable, [main], folder, noOtherHost, 60_000)))
  }
  return problems
}

const DEVICE = `
import { defineDevice } from '@retrap/device'
export const device = defineDevice({ name: 'mine', stateless: true })
`
const DEVICES = `
import { startDeviceProcess, startDeviceWorker } from '@retrap/device-hosting/node'
import { createPc } from '@retrap/machine'
const modules = [new URL('./device.mjs', import.meta.url).href]
for (const start of [startDeviceProcess, startDeviceWorker]) {
  const server = (dispatch, platform, realTime) => start(dispatch, platform, { name: 'mine', modules, realTime })
  const pc = await createPc({ memoryBytes: 1 << 24, firmware: new Uint8Array(1 << 16), deviceServers: [server] })
  pc.close()
}
`

/** A device module that lies in no project: the command gives it its own instance of the contract. */
async function outside(main: readonly string[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-outside-'))
  try {
    writeFileSync(join(folder, 'device.mjs'), DEVICE.replace('@retrap', 'retrap'))
    const problems: string[] = []
    for (const transport of ['inline', 'worker', 'process']) {
      const device = `./device.mjs,transport=${transport}`
      problems.push(...problemOf(`retrap --device ${device}`, await run(process.execPath, [...main, device], folder)))
    }
    return problems
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** No page has this package, which holds no part that does without Node. */
const NODE_ALONE = '@retrap/sandbox'

/** All packages in one project: their declarations beside each other, Workers and processes, bundles. */
async function together(rehearsal: Rehearsal): Promise<string[]> {
  const names = rehearsal.published.map(({ manifest }) => manifest.name)
  const libraries = names.filter((name) => name !== 'retrap')
  const [folder, problems] = await project(rehearsal, 'all', 'npm', names)
  if (problems.length > 0) return problems
  const imports = libraries.map((name, i) => `import * as p${i} from '${name}'`)
  const uses = libraries.map(
    (name, i) => `if (Object.keys(p${i}).length === 0) throw new Error('${name} exports nothing')`,
  )
  writeFileSync(join(folder, 'use.ts'), `${imports.join('\n')}\n${uses.join('\n')}\n`)
  writeFileSync(join(folder, 'program.js'), `${imports.join('\n')}\n${uses.join('\n')}\n`)
  writeFileSync(join(folder, 'device.mjs'), DEVICE)
  writeFileSync(join(folder, 'devices.mjs'), DEVICES)
  const compilers = rehearsal.extent === 'whole' ? ['typescript', 'typescript-5'] : ['typescript']
  const main = [join(folder, 'node_modules/retrap/dist/main.js'), '--devices', 'worker', '--device']
  return inPairs([
    () => typeCheck('all packages', folder, 'use.ts', compilers, 'browser'),
    () => typeCheck('all packages', folder, 'use.ts', compilers, 'node'),
    () => runProgram('all packages', folder, undefined, rehearsal.nodes),
    async () => problemOf('devices in Workers and processes', await run(process.execPath, ['devices.mjs'], folder)),
    async () =>
      problemOf('retrap --device', await run(process.execPath, [...main, './device.mjs,transport=worker'], folder)),
    () => outside(main),
    () =>
      bundleProblems(
        folder,
        libraries.filter((name) => name !== NODE_ALONE),
      ),
  ])
}

/** The bill of materials names all packages that were published, and no licence that a release must not have. */
async function bill({ published, env }: Rehearsal): Promise<string[]> {
  const { json, problems } = await billOfMaterials('retrap', env)
  if (json === '') return [...problems]
  const { components } = JSON.parse(json) as { components: { name: string; properties: { name: string }[] }[] }
  const bundled = components.filter(({ properties }) => properties.some(({ name }) => name === 'retrap:bundled'))
  const names = components.map(({ name }) => name)
  const ours = published.map(({ manifest }) => manifest.name)
  console.log(
    `       bill of materials: ${ours.length} packages of ours, ${components.length - bundled.length - ours.length} of others, ${bundled.length} in bundles`,
  )
  const absent = ours.filter((name) => !names.includes(name))
  return [...problems, ...absent.map((name) => `the bill of materials lacks ${name}`)]
}

/** A patch of the package that most others depend on: all packages are one fixed group, and get the new version with it. */
async function upgradeOne(rehearsal: Rehearsal): Promise<string[]> {
  const { copy, registry, published } = rehearsal
  const memory = published.find(({ manifest }) => manifest.name === '@retrap/memory') as Member
  const before = registry.published.length
  writeFileSync(join(copy, '.changeset/one.md'), `---\n'@retrap/memory': patch\n---\n\nA rehearsal.\n`)
  writeFileSync(
    join(copy, memory.path, 'src/index.ts'),
    `${readFileSync(join(copy, memory.path, 'src/index.ts'), 'utf8')}\n`,
  )
  commit(copy, 'A note')
  const problems = await release(rehearsal, 'version')
  if (problems.length > 0) return problems
  commit(copy, 'A version')
  problems.push(...(await release(rehearsal, 'publish')))
  const patched = versionOf(rehearsal, memory)
  const expected = published.map(({ manifest }) => `${manifest.name}@${patched}`).toSorted()
  const news = registry.published.slice(before).toSorted()
  if (news.join() !== expected.join())
    problems.push(`a patch of one package published ${news.join(', ')}; expected ${expected.join(', ')}`)
  const byPerson = news.filter((name) => registry.byPerson.has(name))
  if (byPerson.length > 0) problems.push(`the workflow did not publish ${byPerson.join(', ')}`)
  console.log(`       the workflow, by its identity alone: ${news.length} packages at ${patched}`)
  const folder = join(rehearsal.folder, 'projects/npm/all')
  const ended = await run('npm', ['update', '--no-audit', '--silent', '@retrap/memory'], folder, rehearsal.env)
  problems.push(...problemOf('npm update @retrap/memory', ended), ...copies('after the upgrade', folder))
  const installed = join(folder, 'node_modules/@retrap/memory/package.json')
  const { version } = JSON.parse(readFileSync(installed, 'utf8')) as { version: string }
  if (version !== patched) problems.push(`npm update left @retrap/memory at ${version}`)
  return [
    ...problems,
    ...(await runProgram('after the upgrade', folder, undefined, rehearsal.nodes.slice(-1))),
    ...(await typeCheck('after the upgrade', folder, 'use.ts', ['typescript'], 'browser')),
  ]
}
