/** What `turbo boundaries` refuses: the manifests of today in a workspace without sources, with one dependency more. */
import { spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const TURBO = join(ROOT, 'node_modules/.bin', process.platform === 'win32' ? 'turbo.cmd' : 'turbo')
const FILES = [
  'package.json',
  'pnpm-workspace.yaml',
  'pnpm-lock.yaml',
  'turbo.json',
  '{packages,apps}/*/{package,turbo}.json',
]

let workspace = ''
beforeAll(() => {
  workspace = mkdtempSync(join(tmpdir(), 'retrap-layers-'))
  for (const file of globSync(FILES, { cwd: ROOT })) cpSync(join(ROOT, file), join(workspace, file))
})
afterAll(() => rmSync(workspace, { recursive: true }))

/** Checks the workspace, where one package may depend on another one too. */
function check(from?: string, to?: string): { readonly status: number | null; readonly output: string } {
  const file = join(workspace, `packages/${from ?? 'basics'}/package.json`)
  const text = readFileSync(file, 'utf8')
  const manifest = JSON.parse(text) as { dependencies?: Record<string, string> }
  const more = to === undefined ? {} : { [`@retrap/${to}`]: 'workspace:*' }
  writeFileSync(file, JSON.stringify({ ...manifest, dependencies: { ...manifest.dependencies, ...more } }))
  const { status, stdout, stderr } = spawnSync(TURBO, ['boundaries'], {
    cwd: workspace,
    encoding: 'utf8',
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1' },
    shell: process.platform === 'win32',
  })
  writeFileSync(file, text)
  return { status, output: stdout + stderr }
}

test('the packages of today keep to their layers', () => {
  expect(check()).toMatchObject({ status: 0, output: expect.stringContaining('no issues found') as string })
})

test.each([
  ['irqchip', 'x86-cpu'],
  ['irqchip', 'hvm'],
  ['irqchip', 'p2m'],
  ['devices', 'xen'],
  ['devices', 'memory'],
  ['x86-cpu', 'devices'],
  ['hvm', 'machine'],
])('%s may not import %s', (from, to) => {
  const { status, output } = check(from, to)
  expect(status).toBe(1)
  expect(output.replace(/\s+\|?\s*/g, ' ')).toContain(
    `Package \`@retrap/${to}\` found without any tag listed in allowlist for \`@retrap/${from}\``,
  )
})
