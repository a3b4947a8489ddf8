// Installs the packed packages as a stranger's project has them, and uses them: Node imports each, and TypeScript reads
// their declarations with every check on, once beside lib.dom and once beside @types/node.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Member, root } from './workspace.ts'

/** Returns one line per problem; none means that every package works outside of this workspace. */
export function checkConsumer(all: readonly Member[]): string[] {
  const libraries = all.filter(({ path }) => path.startsWith('packages/'))
  const project = mkdtempSync(join(tmpdir(), 'retrap-consumer-'))
  try {
    return [...unpack(project, libraries), ...use(project, libraries)]
  } finally {
    rmSync(project, { recursive: true, force: true })
  }
}

/** Unpacks the tarballs that package:check made. */
function unpack(project: string, libraries: readonly Member[]): string[] {
  const problems: string[] = []
  for (const { folder, manifest } of libraries) {
    const tarball = join(folder, 'temp/package.tgz')
    const target = join(project, 'node_modules', manifest.name)
    mkdirSync(target, { recursive: true })
    if (!existsSync(tarball)) problems.push(`${manifest.name}: package:check made no tarball`)
    else run('tar', ['-xzf', tarball, '-C', target, '--strip-components=1'], project)
  }
  mkdirSync(join(project, 'node_modules/@types'), { recursive: true })
  symlinkSync(join(root, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'), 'junction')
  return problems
}

function use(project: string, libraries: readonly Member[]): string[] {
  const imports = libraries.map(({ manifest }, i) => `import * as p${i} from '${manifest.name}'`)
  const uses = libraries.map(
    ({ manifest }, i) => `if (Object.keys(p${i}).length === 0) throw new Error('${manifest.name} exports nothing')`,
  )
  const source = `${imports.join('\n')}\n${uses.join('\n')}\n`
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }\n')
  writeFileSync(join(project, 'use.mjs'), source)
  writeFileSync(join(project, 'use.ts'), source)
  const tsc = [
    'use.ts',
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--target',
    'es2024',
    '--module',
    'nodenext',
    '--skipLibCheck',
    'false',
  ]
  return [
    ...run(process.execPath, ['use.mjs'], project),
    ...run('tsc', [...tsc, '--lib', 'es2024,dom', '--types', ''], project),
    ...run('tsc', [...tsc, '--lib', 'es2024', '--types', 'node'], project),
  ]
}

function run(name: string, args: readonly string[], cwd: string): string[] {
  const result = spawnSync(name, args, { cwd, encoding: 'utf8', timeout: 120_000, shell: process.platform === 'win32' })
  if (result.status === 0) return []
  return [`${name} ${args.join(' ')}\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`]
}
