// Packs the package in the current folder as it would be published, and has publint and attw look at the tarball.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'

const tarball = 'temp/package.tgz'
const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
const commands = [
  ['pnpm', ['pack', '--out', tarball]],
  ['publint', ['--strict', tarball]],
]
// A package that is only a program has no types to resolve.
if (manifest.exports?.['.'] !== undefined) commands.push(['attw', [tarball, '--profile', 'esm-only']])

mkdirSync('temp', { recursive: true })
for (const [name, args] of commands) {
  const result = spawnSync(name, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  })
  if (result.status === 0) continue
  console.error(
    `${manifest.name}: ${name} failed\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`,
  )
  process.exit(1)
}
