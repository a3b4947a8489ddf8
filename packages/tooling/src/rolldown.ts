// Bundles every package into one module for each entry point. V8 folds a module's own constants into its code, but
// loads other modules', and checks them, wherever they are used.
import { existsSync, globSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Plugin, RolldownOptions } from 'rolldown'

/** The parts of a package.json that name entry points. */
interface Manifest {
  readonly bin?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly exports?: Readonly<Record<string, string | { readonly default: string }>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** Folder that a package's own build fills, after this one, with modules for pages without a bundler. */
const STANDALONE = 'standalone/'
/** Folder that a package's own build fills, after this one, with modules that only re-export another package. */
const API = 'api/'

const isPackage = /^(?:node:|@?[a-z][\w.-]*(?:\/|$))/

const readManifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest

/** The programs of Workers and processes that a package starts by URL, whose names end so: paths in `src`, without extension. */
const programsOf = (folder: string): string[] =>
  globSync('**/*-{process,worker}.ts', { cwd: join(folder, 'src') }).map((file) =>
    file.replaceAll('\\', '/').replace(/\.ts$/, ''),
  )

const hasStandalone = ({ exports }: Manifest): boolean => exports?.['./standalone'] !== undefined

/**
 * Returns the entry points of a package: exports of its package.json, its commands, and its programs. A package with modules for
 * pages without a bundler bundles those itself, and its programs with them. Modules in `api` are written by the package's build.
 *
 * @param folder - the package's folder
 * @returns their paths in `src` and `dist`, without extension
 */
export function entryPoints(folder: string): string[] {
  const manifest = readManifest(folder)
  const files = [...Object.values(manifest.exports ?? {}), ...Object.values(manifest.bin ?? {})]
  const names = files.map((file) => /^\.\/dist\/(.+)\.js$/.exec(typeof file === 'string' ? file : file.default)?.[1])
  return [
    ...names
      .filter((name) => name !== undefined)
      .filter((name) => !name.startsWith(STANDALONE) && !name.startsWith(API)),
    ...(hasStandalone(manifest) ? [] : programsOf(folder)),
  ].sort()
}

/**
 * The modules of a package for pages without a bundler, if its package.json exports one: `standalone/index`, and its programs.
 *
 * @param folder - the package's folder
 * @returns paths in `dist`, without extension
 */
export function standaloneModules(folder: string): string[] {
  return hasStandalone(readManifest(folder)) ? ['index', ...programsOf(folder)].map((name) => STANDALONE + name) : []
}

/**
 * Removes the modules of earlier builds; standalone ones are among them, and are built after these. `dist` cannot be emptied
 * instead: tsc has just written declarations into it.
 */
const removeStale: Plugin = {
  name: 'remove-stale',
  writeBundle({ dir = '' }, bundle) {
    for (const file of globSync('**/*.js{,.map}', { cwd: dir })) {
      if (!Object.hasOwn(bundle, file.replaceAll('\\', '/'))) rmSync(join(dir, file))
    }
  },
}

/**
 * Returns the bundler's options for a package.
 *
 * @param folder - the package's folder
 */
export function bundleOptions(folder: string) {
  const entries = entryPoints(folder)
  const inOne = entries.filter((name) => !name.endsWith('-worker'))
  const index = join(folder, 'src/index.ts')
  const { devDependencies = {}, peerDependencies = {} } = readManifest(folder)
  const bundled = Object.entries(devDependencies)
    .filter(([name, version]) => version.startsWith('workspace:') || existsSync(join(folder, 'node_modules', name)))
    .map(([name]) => name)
    .filter((name) => !Object.hasOwn(peerDependencies, name))
  return {
    cwd: folder,
    input: Object.fromEntries(entries.map((name) => [name, `src/${name}.ts`])),
    // A dependency stays an import, so that all its users have the same classes. A development dependency becomes a part of
    // the bundle: it is a private package of this workspace, which nobody can install, or one of which little is needed.
    // A package that is not installed stays an import too: `npm start` installs no development dependencies.
    external: (id) => isPackage.test(id) && !bundled.some((name) => id === name || id.startsWith(`${name}/`)),
    platform: 'neutral',
    logLevel: 'warn',
    transform: { target: 'es2024' },
    plugins: [removeStale] as Plugin[],
    // An entry point may hold at once modules that a page's own build loads later.
    checks: { ineffectiveDynamicImport: false },
    output: {
      dir: join(folder, 'dist'),
      // In `dist` itself, so that `new URL('../package.json', import.meta.url)` also works from a chunk.
      chunkFileNames: 'chunk-[name].js',
      // If other entry points use parts of the main one, the main module stays whole. A Worker's program is excluded: the
      // module that starts it must not be part of it, or bundlers loop.
      codeSplitting: { groups: inOne.length > 1 ? [{ name: 'index', test: (id) => id === index }] : [] },
      minifyInternalExports: false,
      // The declarations have the doc comments. Without them nearly all modules are Latin-1, of which V8 keeps, and scans,
      // one byte a character.
      comments: { legal: true, annotation: true, jsdoc: false },
      sourcemap: true,
      // The sources are published too.
      sourcemapExcludeSources: true,
    },
  } satisfies RolldownOptions
}

/**
 * How a package is bundled, with the plugins of its own that `build/plugins.ts` exports.
 *
 * @param folder - the package's folder
 */
export async function packageOptions(folder: string) {
  const options = bundleOptions(folder)
  const own = join(folder, 'build/plugins.ts')
  if (!existsSync(own)) return options
  const { plugins } = (await import(pathToFileURL(own).href)) as { readonly plugins: readonly Plugin[] }
  return { ...options, plugins: [...plugins, ...options.plugins] }
}
