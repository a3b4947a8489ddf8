import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readCluster } from '@retrap/cluster'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { digestOfPrograms } from '../../src/commands/cluster/made-with.ts'

const folder = temporaryFolder('made-with')

const digest = (...command: readonly string[]): string =>
  digestOfPrograms(
    join(folder, 'cluster.json'),
    readCluster({ machines: [{ name: 'a', command, share: ['.:/bin-of-mine'] }] }),
  )

test('a digest of programs follows from their words and contents; a long script of a shell names no file', () => {
  writeFileSync(join(folder, 'server'), 'one')
  const [one, script] = [digest('/bin-of-mine/server'), digest('sh', '-c', `true; ${'x'.repeat(5000)}`)]
  expect([digest('/bin-of-mine/server') === one, digest('/bin-of-mine/server', '-v') === one]).toEqual([true, false])
  writeFileSync(join(folder, 'server'), 'two')
  expect([digest('/bin-of-mine/server') === one, /^[0-9a-f]{12}$/.test(script)]).toEqual([false, true])
})
