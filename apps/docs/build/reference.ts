// The reference: TypeDoc over the public surface of each published package.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Application } from 'typedoc'
import { entryPoints, workspace } from './entry-points.ts'

/**
 * Writes the reference as HTML.
 *
 * @param folder - where to; its contents are removed first
 * @throws Error if TypeDoc cannot read an entry point
 */
export async function writeReference(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  const entries = entryPoints()
  const application = await Application.bootstrap({
    entryPoints: entries.map(({ source }) => source),
    tsconfig: join(import.meta.dirname, 'tsconfig.reference.json'),
    name: 'retrap: reference',
    readme: 'none',
    excludeInternal: true,
    excludePrivate: true,
    disableGit: true,
    sourceLinkTemplate: 'https://github.com/retrap/retrap/blob/main/{path}#L{line}',
    basePath: workspace,
    hideGenerator: true,
    githubPages: false,
    // tsc has checked them, with the version of TypeScript that they are written for.
    skipErrorChecking: true,
    logLevel: 'Error',
  })
  const project = await application.convert()
  if (project === undefined) throw new Error('TypeDoc could not read the packages')
  const names = new Map(entries.map(({ name, source }) => [source, name]))
  for (const module of project.children ?? []) {
    const source = module.sources?.[0]?.fullFileName ?? ''
    const name = names.get(source)
    if (name === undefined) throw new Error(`TypeDoc found a module that is no entry point: ${source}`)
    module.name = name
  }
  await application.generateDocs(project, folder)
}
