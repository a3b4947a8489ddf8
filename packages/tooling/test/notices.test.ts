/** The licences that lie beside a bundle with others' work in it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { noticesOf } from '../src/notices.ts'

const folder = temporaryFolder('notices')

function file(path: string, text = ''): string {
  const whole = join(folder, path)
  mkdirSync(dirname(whole), { recursive: true })
  writeFileSync(whole, text)
  return whole
}

const manifest = (path: string, name: string): string => file(path, JSON.stringify({ name, version: '1.2.3' }))

test('others’ licences and our notices are given once, whatever files of them are in the bundle', () => {
  manifest('node_modules/.pnpm/b@1/node_modules/b/package.json', 'b')
  file('node_modules/.pnpm/b@1/node_modules/b/LICENSE', 'Copyright B\n')
  // A folder of it with a manifest of its own.
  manifest('node_modules/.pnpm/b@1/node_modules/b/hooks/package.json', 'b-hooks')
  manifest('node_modules/@a/a/package.json', '@a/a')
  file('node_modules/@a/a/licence.md', 'Copyright A\n')
  manifest('ours/package.json', 'ours')
  file('ours/THIRD-PARTY-NOTICES', 'derived from C\n')
  manifest('plain/package.json', 'plain')
  const modules = [
    file('ours/src/deep/index.js'),
    file('node_modules/.pnpm/b@1/node_modules/b/index.js'),
    `${file('node_modules/.pnpm/b@1/node_modules/b/hooks/index.js')}?worker`,
    file('node_modules/@a/a/dist/a.css'),
    file('plain/index.js'),
    '\0virtual',
    join(folder, 'gone/index.js'),
  ]
  expect(noticesOf(modules)).toBe('@a/a 1.2.3\n\nCopyright A\n\nb 1.2.3\n\nCopyright B\n\nderived from C\n')
})

test('a package of others without a licence is no part of a bundle', () => {
  manifest('node_modules/bare/package.json', 'bare')
  expect(() => noticesOf([file('node_modules/bare/index.js')])).toThrow('bare is in the bundle, and has no licence')
})
