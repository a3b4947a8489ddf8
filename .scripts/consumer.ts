// Installs the packed packages as a stranger's project has them, and uses them: Node imports each, devices run in Workers
// and processes, the command boots its guest; and TypeScript reads the declarations with every check on, once beside
// lib.dom and once beside @types/node.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Member, root } from './workspace.ts'

/** What the command takes from npm. */
const COMMAND_DEPENDENCIES = ['@clack/prompts', 'commander']

/** Returns one line per problem; none means that every package works outside of this workspace. */
export function checkConsumer(all: readonly Member[]): string[] {
  const published = all.filter(({ manifest }) => manifest.private !== true)
  const libraries = published.filter(({ path }) => path.startsWith('packages/'))
  const project = mkdtempSync(join(tmpdir(), 'retrap-consumer-'))
  try {
    return [...unpack(project, published), ...use(project, libraries), ...runDevices(project)]
  } finally {
    rmSync(project, { recursive: true, force: true })
  }
}

/** Unpacks the tarballs that package:check made. */
function unpack(project: string, published: readonly Member[]): string[] {
  const problems: string[] = []
  for (const { folder, manifest } of published) {
    const tarball = join(folder, 'temp/package.tgz')
    const target = join(project, 'node_modules', manifest.name)
    mkdirSync(target, { recursive: true })
    if (!existsSync(tarball)) problems.push(`${manifest.name}: package:check made no tarball`)
    else run('tar', ['-xzf', tarball, '-C', target, '--strip-components=1'], project)
  }
  const others = ['node_modules/@types/node', ...COMMAND_DEPENDENCIES.map((name) => `apps/retrap/node_modules/${name}`)]
  for (const path of others) {
    const target = join(project, path.slice(path.indexOf('node_modules')))
    mkdirSync(dirname(target), { recursive: true })
    symlinkSync(join(root, path), target, 'junction')
  }
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

const DEVICE = `
import { defineDevice } from '@retrap/device'
export const device = defineDevice({ name: 'mine' })
`
const DEVICES = `
import { startDeviceProcess, startDeviceWorker } from '@retrap/ioreq/node'
import { createPc } from '@retrap/machine'
const modules = [new URL('./device.mjs', import.meta.url).href]
for (const start of [startDeviceProcess, startDeviceWorker]) {
  const server = (dispatch, platform, realTime) => start(dispatch, platform, { name: 'mine', modules, realTime })
  const pc = await createPc({ memoryBytes: 1 << 24, firmware: new Uint8Array(1 << 16), deviceServers: [server] })
  pc.close()
}
`

/** The programs that packages start by URL: a bundler does not see that they belong to them. */
function runDevices(project: string): string[] {
  writeFileSync(join(project, 'device.mjs'), DEVICE)
  writeFileSync(join(project, 'devices.mjs'), DEVICES)
  // The guest's input ends at once, which powers it off.
  const command = ['node_modules/retrap/dist/main.js', '--devices', 'worker']
  return [
    ...run(process.execPath, ['devices.mjs'], project),
    ...run(process.execPath, [...command, '--device', './device.mjs,transport=worker'], project),
  ]
}

function run(name: string, args: readonly string[], cwd: string): string[] {
  const result = spawnSync(name, args, { cwd, encoding: 'utf8', timeout: 120_000, shell: process.platform === 'win32' })
  if (result.status === 0) return []
  return [`${name} ${args.join(' ')}\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`]
}
