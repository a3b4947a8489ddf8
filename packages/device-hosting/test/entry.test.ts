import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** Prints what importing a module loads, one address a line. */
const PROGRAM = `
import { registerHooks } from 'node:module'
registerHooks({ load(url, context, next) { console.log(url); return next(url, context) } })
await import(process.argv[1])`

function loadedBy(name: string): string[] {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--conditions=retrap-source', '--input-type=module', '--eval', PROGRAM, import.meta.resolve(name)],
    { encoding: 'utf8' },
  )
  expect(status, stderr).toBe(0)
  return stdout.trim().split('\n')
}

const isNodes = (url: string): boolean => url.startsWith('node:') || url.includes('/src/node/')

test('hosts of models load nothing of Node; the entry for Node does', () => {
  expect(loadedBy('../src/index.ts').filter(isNodes)).toEqual([])
  expect(loadedBy('../src/node/index.ts').some(isNodes)).toBe(true)
})
