import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { execaSync } from 'execa'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { entryPoints, standaloneModules } from '../../packages/tooling/src/rolldown.ts'
import { type Manifest, type Member, members, pnpmVersion, root } from '../workspace.ts'

const TARBALLS = 'node_modules/.retrap/tarballs'
/** Packages are ES modules: nobody who resolves in another way can use them. */
const NOT_SUPPORTED: ReadonlySet<string> = new Set(['node10', 'node16-cjs'])

/** Where {@link checkTarballs} puts a package's tarball. @param top - of the checkout */
export function tarballOf({ name, version }: Pick<Manifest, 'name' | 'version'>, top: string = root): string {
  return join(top, TARBALLS, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`)
}

/**
 * Packs packages as they would be published, and looks at their tarballs: whether all modules are there and no others, what
 * publint says of the manifest, and attw of the types.
 */
export async function checkTarballs(selected: readonly Member[]): Promise<string[]> {
  const published = selected.filter(({ manifest }) => manifest.private !== true)
  if (published.length === 0) return []
  rmSync(join(root, TARBALLS), { recursive: true, force: true })
  const failure = packInto(join(root, TARBALLS), published)
  if (failure !== undefined) return [failure]
  const problems: string[] = []
  for (const member of published) {
    const found = [...checkModules(member), ...(await checkTarball(member))]
    problems.push(...found.map((problem) => `${member.path}: ${problem}`))
  }
  return problems
}

/** Packs built packages into a folder. Returns why that has failed, if it has. */
export function packInto(folder: string, packages: readonly Member[]): string | undefined {
  mkdirSync(folder, { recursive: true })
  const filters = packages.map(({ manifest }) => `--filter=${manifest.name}`)
  // Their prepack script would build them once more.
  const pack = ['-r', ...filters, 'pack', '--ignore-scripts', '--pack-destination', folder]
  const npx = ['--yes', `--package=pnpm@${pnpmVersion()}`, '--', 'pnpm', ...pack]
  return execaSync('npx', npx, { cwd: root, reject: false }).message
}

/** One module per entry point, and what several of them share. */
function checkModules({ folder, manifest }: Member): string[] {
  const modules = [...entryPoints(folder), ...standaloneModules(folder)].map((name) => `${name}.js`)
  // The site is files for browsers, with names of vite's; publint misses what `exports` has and `dist/api` has not.
  const built = globSync('dist/**/*.js', { cwd: folder, exclude: ['dist/site', 'dist/api'] }).map((file) =>
    file.replaceAll('\\', '/').slice('dist/'.length),
  )
  const hasSite =
    manifest.devDependencies?.['@retrap/site'] === undefined || existsSync(`${folder}/dist/site/index.html`)
  // Firmware and systems have licences of their own: they are put beside a site that is written to a folder.
  const foreign = globSync('dist/site/{firmware,systems,debian}/**/*', { cwd: folder, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.json'))
    .map(({ name }) => `dist/site has ${name}, whose licence is not ours; remove dist and build again`)
  return [
    ...foreign,
    ...(hasSite ? [] : ['there is no dist/site/index.html']),
    ...modules.filter((file) => !built.includes(file)).map((file) => `there is no dist/${file}`),
    ...built
      .filter((file) => !modules.includes(file) && !/^(?:standalone\/)?chunk-[\w-]+\.js$/.test(file))
      .map((file) => `dist/${file} is neither an entry point nor a chunk of one; remove dist and build again`),
  ]
}

async function checkTarball({ manifest }: Member): Promise<string[]> {
  const bytes = Uint8Array.from(readFileSync(tarballOf(manifest)))
  const { messages, pkg } = await publint({ pack: { tarball: bytes.buffer }, strict: true })
  const lint = messages.map((message) => formatMessage(message, pkg, { color: false }) ?? message.code)
  const result = await checkPackage(createPackageFromTarballData(bytes))
  if (result.types === false) return [...lint, 'attw: there are no types']
  const wrong = result.problems.filter(
    (problem) => !('resolutionKind' in problem && NOT_SUPPORTED.has(problem.resolutionKind)),
  )
  return [...lint, ...wrong.map((problem) => `attw: ${JSON.stringify(problem)}`)]
}

// `npm run release` runs it in the checkout that is published, after the build.
if (import.meta.main) {
  const problems = await checkTarballs(members())
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
