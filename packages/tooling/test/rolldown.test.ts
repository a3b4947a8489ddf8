/** What is bundled, and from where. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { bundleOptions, entryPoints, standaloneModules } from '../src/rolldown.ts'

const folder = temporaryFolder('bundle')
mkdirSync(join(folder, 'src/node'), { recursive: true })
for (const name of ['index.ts', 'main.ts', 'device-worker.ts', 'node/device-process.ts', 'worker.ts']) {
  writeFileSync(join(folder, 'src', name), '')
}

/** Writes a manifest. @returns the options of its bundle */
function manifest(rest: object) {
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ exports: { '.': { default: './dist/index.js' } }, ...rest }),
  )
  return bundleOptions(folder)
}

test('entry points are exports, commands, and programs of Workers and processes', () => {
  manifest({
    exports: { '.': { types: './x', default: './dist/index.js' }, './package.json': './package.json' },
    bin: { tool: './dist/main.js' },
  })
  expect(entryPoints(folder)).toEqual(['device-worker', 'index', 'main', 'node/device-process'])
})

test('modules for pages without a bundler are made from the index and the programs, which are no entry points then', () => {
  manifest({})
  expect(standaloneModules(folder)).toEqual([])
  manifest({
    exports: { '.': { default: './dist/index.js' }, './standalone': { default: './dist/standalone/index.js' } },
  })
  expect(standaloneModules(folder).toSorted()).toEqual([
    'standalone/device-worker',
    'standalone/index',
    'standalone/node/device-process',
  ])
  expect(entryPoints(folder)).toEqual(['index'])
})

test('other packages and Node’s modules stay imports, development dependencies become parts', () => {
  mkdirSync(join(folder, 'node_modules/tool'), { recursive: true })
  const { external } = manifest({
    devDependencies: { '@retrap/private': 'workspace:*', tool: '1', absent: '1', peer: '1' },
    peerDependencies: { peer: '1' },
  })
  const outside = [
    'node:fs',
    'ws',
    'absent',
    'absent/x',
    'peer',
    '@retrap/device',
    '@retrap/device/host',
    '@retrap/private-not',
    'tools',
  ]
  const inside = ['./near.ts', '../far.ts', '/abs/path.ts', '@retrap/private', '@retrap/private/sub', 'tool', 'tool/x']
  expect(outside.map((id) => external(id))).toEqual(outside.map(() => true))
  expect(inside.map((id) => external(id))).toEqual(inside.map(() => false))
})

test('the main entry stays in one piece where others use parts of it', () => {
  const groups = manifest({}).output.codeSplitting.groups
  expect(groups.length).toBe(1)
  expect([groups[0]!.test(join(folder, 'src/index.ts')), groups[0]!.test(join(folder, 'src/main.ts'))]).toEqual([
    true,
    false,
  ])
  // A Worker's program is no part of the module that starts it.
  rmSync(join(folder, 'src/node/device-process.ts'))
  expect(manifest({}).output.codeSplitting.groups).toEqual([])
})
