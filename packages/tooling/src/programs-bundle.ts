import { join } from 'node:path'
import { build } from 'rolldown'

export interface ProgramOptions {
  /** Paths of the modules without `.ts`, by the names that the files get. */
  readonly input: Readonly<Record<string, string>>
  /** Imports that stay imports. */
  readonly external?: RegExp
  /** Code that replaces the content of files, by path. */
  readonly replaced?: Readonly<Record<string, string>>
}

/**
 * Bundles programs for Node from sources, with all that they import and the chunks that they ask for later.
 *
 * @param folder - the package's folder
 * @returns contents of files by name
 */
export async function bundlePrograms(folder: string, options: ProgramOptions): Promise<ReadonlyMap<string, string>> {
  const replaced = new Map(Object.entries(options.replaced ?? {}).map(([path, code]) => [join(folder, path), code]))
  const { output } = await build({
    cwd: folder,
    input: Object.fromEntries(Object.entries(options.input).map(([name, path]) => [name, `${path}.ts`])),
    ...(options.external !== undefined && { external: options.external }),
    platform: 'node',
    logLevel: 'warn',
    resolve: { conditionNames: ['retrap-source', 'node', 'import', 'default'] },
    transform: { target: 'es2024' },
    plugins: [{ name: 'replace', load: (id) => replaced.get(id) }],
    write: false,
    output: {
      chunkFileNames: 'chunk-[name].js',
      minifyInternalExports: false,
      comments: { legal: false, annotation: true, jsdoc: false },
    },
  })
  return new Map(output.filter((file) => file.type === 'chunk').map(({ fileName, code }) => [fileName, code]))
}
