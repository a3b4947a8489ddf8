import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { type Member, members, root } from '../workspace.ts'

/** The project of a package's sources, by its script that builds them; undefined where nothing but a bundler does. */
const SOURCES = /(?:^|&& )tsc -b(?: (tsconfig\.\w+\.json))?/
/** The program of a package that generates some of its sources; git has none of what it writes. */
const GENERATOR = 'build/generate.ts'
/** What a package's tests, benches and examples are in. Tests use packages that their project does not refer to. */
const TESTS = 'tsconfig.test.json'

/**
 * Generates the sources that git does not have, type-checks the sources of some packages and of those that they use, and writes
 * their declarations, then type-checks the tests of some. One compiler for all of them takes a fifth of what one for each does.
 *
 * @returns what a generator or tsc says, if anything is wrong
 */
export async function checkTypes(selected: readonly Member[]): Promise<string[]> {
  const used = usedBy(selected)
  const generated = await Promise.all(used.map(generate))
  if (generated.some((output) => output !== '')) return generated.filter((output) => output !== '')
  const sources = await tsc('-b', ...used.flatMap(sourcesOf))
  if (sources !== '') return [sources]
  const outputs = [await tsc('-b', ...testProjects(selected))]
  // Sources that Vite bundles have no declarations, and no project refers to them.
  for (const { folder, path } of selected)
    if (existsSync(join(folder, 'build/vite.config.ts'))) outputs.push(await tsc('-p', path))
  return outputs.filter((output) => output !== '')
}

/** The parts of a project of tests that say what it may share with others. */
interface TestProject {
  readonly compilerOptions?: object
  readonly include: readonly string[]
  readonly references?: readonly { readonly path: string }[]
}

/**
 * The projects of tests. Those without options of their own are written as one, which reads what they share once: that takes two
 * thirds of the processor time of a project for each. Those that declare objects of a host do not see Node's where the others are.
 */
function testProjects(selected: readonly Member[]): string[] {
  const read = ({ folder }: Member): TestProject =>
    JSON.parse(readFileSync(join(folder, TESTS), 'utf8').replaceAll(/^\s*\/\/.*$/gm, '')) as TestProject
  const kindOf = (member: Member): string => {
    const { compilerOptions, include } = read(member)
    if (compilerOptions !== undefined) return member.path
    return include.some((one) => one.endsWith('host.d.ts')) ? 'host' : 'plain'
  }
  const groups = Map.groupBy(selected, kindOf)
  return [...groups].map(([kind, all]) => {
    if (all.length === 1) return `${all[0]!.path}/${TESTS}`
    const project = join(root, `node_modules/.retrap/tests-${kind}.json`)
    const within = (paths: (one: TestProject) => readonly string[]): string[] => [
      ...new Set(all.flatMap((member) => paths(read(member)).map((path) => join(member.folder, path)))),
    ]
    const text = {
      extends: join(root, '.config/tsconfig.test.json'),
      compilerOptions: { rootDir: root, tsBuildInfoFile: `${project}.tsbuildinfo` },
      include: within(({ include }) => include),
      references: within(({ references = [] }) => references.map(({ path }) => path)).map((path) => ({ path })),
    }
    mkdirSync(join(root, 'node_modules/.retrap'), { recursive: true })
    writeFileSync(project, JSON.stringify(text))
    return project
  })
}

/** Packages with all of the workspace that their manifests name, and so on. */
function usedBy(selected: readonly Member[]): Member[] {
  const all = members()
  const used = new Set(selected.map(({ path }) => path))
  for (const path of used) {
    const { dependencies, devDependencies } = all.find((one) => one.path === path)!.manifest
    const names = Object.keys({ ...dependencies, ...devDependencies })
    for (const { manifest, path: other } of all) if (names.includes(manifest.name)) used.add(other)
  }
  return all.filter(({ path }) => used.has(path))
}

function sourcesOf({ path, manifest }: Member): string[] {
  const found = SOURCES.exec(manifest.scripts?.['build'] ?? '')
  return found === null ? [] : [`${path}/${found[1] ?? 'tsconfig.json'}`]
}

/** Runs the generator of a package that has one: it takes less than a second, and writes what differs. */
async function generate({ folder }: Member): Promise<string> {
  const generator = join(folder, GENERATOR)
  if (!existsSync(generator)) return ''
  return outputOf(process.execPath, '--conditions=retrap-source', generator)
}

const tsc = (...args: string[]): Promise<string> => outputOf('tsc', ...args)

/** What a process says; empty if it ends well. */
async function outputOf(name: string, ...args: string[]): Promise<string> {
  const { failed, all, exitCode } = await execa(name, args, { cwd: root, all: true, reject: false })
  return failed ? `${all}\n${name} ${args[0]} ended with exit code ${exitCode}` : ''
}
